"""Requests that are killed while they wait, and stores that fail meanwhile, block nobody."""

from __future__ import annotations

import threading
import typing as t

import pytest

from flask_state import session
from flask_state.errors import StoreError
from tests.session.site import Site
from tests.session.together import LONG
from tests.session.together import Held
from tests.session.together import StoreWaiters
from tests.session.together import Waiters
from tests.session.together import assert_free
from tests.session.together import leases_module
from tests.session.together import request
from tests.session.together import start
from tests.session.together import take_elsewhere


def count_up() -> int:
    """What every second request of a shop does."""
    session["n"] += 1
    value: int = session["n"]
    return value


class TestThoseWhoGiveUp:
    """What is thrown into a wait, by gevent's timeouts or by a worker that ends, goes through."""

    class Killed(BaseException):
        pass

    def killing(self, monkeypatch: pytest.MonkeyPatch, when: str) -> threading.Event:
        """The next waiter is killed: before its turn, or at the moment that it comes."""
        killed, waits, once = self.Killed, threading.Event(), [True]

        class Waiter(leases_module._Waiter):  # type: ignore[misc]
            def wait(self, timeout: float | None = None) -> bool:
                kills, once[:] = bool(once), []
                waits.set()
                if kills and when == "before":
                    raise killed
                called = bool(super().wait(timeout))
                if kills:
                    raise killed
                return called

        monkeypatch.setattr(leases_module, "_Waiter", Waiter)
        return waits

    @pytest.mark.parametrize("when", ["before", "at its turn"])
    def test_one_that_is_killed_in_line_blocks_nobody(
        self, site: Site, monkeypatch: pytest.MonkeyPatch, when: str
    ) -> None:
        _, id = site.sign_in(n=0)
        waits = self.killing(monkeypatch, when)
        first = Held(site, id, count_up)
        other = start(lambda: request(site, id, count_up))
        assert waits.wait(LONG)
        if when == "before":
            with pytest.raises(self.Killed):
                other.result(LONG)
        assert first.let_go().value == 1
        with pytest.raises(self.Killed):
            other.result(LONG)
        assert_free(site, id)

    def test_one_behind_it_goes_on(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        _, id = site.sign_in(n=0)
        waits = self.killing(monkeypatch, "at its turn")
        first = Held(site, id, count_up)
        other = start(lambda: request(site, id, count_up))
        assert waits.wait(LONG)
        waiters = Waiters(monkeypatch)
        behind = start(lambda: request(site, id, count_up))
        waiters.next()
        first.let_go()
        with pytest.raises(self.Killed):
            other.result(LONG)
        assert behind.result(LONG).value == 2
        assert_free(site, id)

    def test_one_that_is_killed_at_the_store_blocks_nobody(self, site: Site) -> None:
        _, id = site.sign_in(n=0)
        take_elsewhere(site, id)

        def wait(*ignored: t.Any) -> None:
            raise self.Killed

        t.cast(t.Any, site.store).wait = wait
        with pytest.raises(self.Killed):
            request(site, id, count_up)
        site.clock.advance(11)
        assert_free(site, id)

    def test_a_store_that_fails_meanwhile_blocks_nobody(self, site: Site) -> None:
        _, id = site.sign_in(n=0)
        take_elsewhere(site, id)

        def wait(*ignored: t.Any) -> None:
            raise StoreError("it was unplugged", engine="test", operation="wait")

        t.cast(t.Any, site.store).wait = wait
        assert request(site, id, count_up).response.status_code == 503
        site.clock.advance(11)
        assert_free(site, id)

    def test_a_store_that_fails_at_the_end_lets_those_behind_go_on(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They wait until the lease has run out by itself."""
        waiters = Waiters(monkeypatch)
        _, id = site.sign_in(n=0)
        failing, inner = threading.Event(), site.store.store.commit

        def commit(*args: t.Any) -> t.Any:
            if failing.is_set():
                raise StoreError("it was unplugged", engine="test", operation="commit")
            return inner(*args)

        t.cast(t.Any, site.store).commit = commit
        first = Held(site, id, lambda: (count_up(), failing.set()))
        at_store = StoreWaiters(site)
        other = start(lambda: request(site, id, count_up))
        waiters.next()
        assert first.let_go().response.status_code == 503
        at_store.next()
        failing.clear()
        site.clock.advance(11)
        assert other.result(LONG).value == 1
        del t.cast(t.Any, site.store).commit
        assert_free(site, id)
