"""Waiting is bounded: in how long, and in how many."""

from __future__ import annotations

import collections.abc as cabc
import os
import pathlib
import subprocess
import sys
import typing as t

import flask
import pytest

from flask_state import session
from flask_state.errors import SessionLockTimeout
from tests.session.site import Site
from tests.session.together import LONG
from tests.session.together import Held
from tests.session.together import StoreWaiters
from tests.session.together import Waiters
from tests.session.together import assert_free
from tests.session.together import leases_of
from tests.session.together import request
from tests.session.together import start
from tests.session.together import take_elsewhere

SHORT: t.Final = 0.02
"""Seconds: as long as a test that waits in vain really waits."""


def count_up() -> int:
    """What every second request of a shop does."""
    session["n"] += 1
    value: int = session["n"]
    return value


def counters(site: Site) -> tuple[int, int]:
    """How many waited, and how many in vain."""
    with site.app.app_context():
        values = site.state.sessions.counters()
    return values.lease_waits, values.lease_timeouts


@pytest.fixture
def impatient(url: str) -> cabc.Iterator[Site]:
    """A site where nobody waits for long."""
    site = Site(url, STATE_SESSION_LOCK_WAIT=SHORT)
    yield site
    site.close()


@pytest.fixture
def crowded(url: str) -> cabc.Iterator[Site]:
    """A site where one may wait."""
    site = Site(url, STATE_SESSION_LOCK_QUEUE=1)
    yield site
    site.close()


class TestHowLong:
    """`STATE_SESSION_LOCK_WAIT`."""

    def test_in_line_it_ends_with_a_503_that_says_when_to_try_again(self, impatient: Site) -> None:
        _, id = impatient.sign_in(n=0)
        with Held(impatient, id):
            response = request(impatient, id, count_up).response
            assert response.status_code == 503
            assert int(response.headers["Retry-After"]) > 0
            assert id not in response.text
            assert response.headers.getlist("Set-Cookie") == []
            assert counters(impatient) == (1, 1)
        assert impatient.items(f"session={id}") == {"n": 0}
        assert_free(impatient, id)

    def test_at_the_store_too(self, impatient: Site) -> None:
        _, id = impatient.sign_in(n=0)
        take_elsewhere(impatient, id)
        response = request(impatient, id, count_up).response
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) > 0
        assert counters(impatient) == (1, 1)
        assert leases_of(impatient)._lines == {}
        impatient.clock.advance(11)
        assert_free(impatient, id)

    def test_the_time_in_line_and_at_the_store_is_one(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever waited in line for a while waits that much less at the store."""
        _, id = site.sign_in(n=0)
        elsewhere = Site(site.store, STATE_SESSION_LOCK_WAIT=LONG)
        waiters = Waiters(monkeypatch)
        asked: list[float] = []
        first = Held(elsewhere, id)
        other = start(lambda: request(elsewhere, id, count_up))
        waiters.next()
        inner = site.store.store.wait

        def wait(locator: str, fence: int, timeout: float) -> None:
            asked.append(timeout)
            site.clock.advance(11)
            inner(locator, fence, timeout)

        t.cast(t.Any, site.store).wait = wait
        loads = iter([lambda: take_elsewhere(site, id)])
        load = site.store.store.load

        def taken_first(*args: t.Any) -> t.Any:
            next(loads, lambda: 0)()
            return load(*args)

        t.cast(t.Any, site.store).load = taken_first
        first.let_go()
        assert other.result(LONG).response.status_code == 200
        assert [0 < seconds < LONG for seconds in asked] == [True]

    def test_the_error_names_the_session_by_its_handle(self, impatient: Site) -> None:
        seen: list[SessionLockTimeout] = []

        @impatient.app.errorhandler(SessionLockTimeout)
        def handle(error: SessionLockTimeout) -> tuple[str, int]:
            seen.append(error)
            # What the session holds is not known, and that is no second error.
            return f"one moment, {session.get('user')}", 429

        _, id = impatient.sign_in(user="ann")
        with Held(impatient, id):
            visit = request(impatient, id, lambda: session["user"])
        assert (visit.response.status_code, visit.response.text) == (429, "one moment, None")
        assert visit.cookie is None
        (error,) = seen
        assert error.handle == id[:10]
        assert id not in str(error)
        assert "STATE_SESSION_LOCK_WAIT" in str(error)
        assert_free(impatient, id)

    def test_a_view_may_catch_it_and_go_on_without(self, impatient: Site) -> None:
        _, id = impatient.sign_in(n=0)

        def task() -> dict[str, t.Any]:
            with pytest.raises(SessionLockTimeout):
                count_up()
            return dict(session)

        with Held(impatient, id):
            visit = request(impatient, id, task)
        assert (visit.response.status_code, visit.value, visit.cookie) == (200, {}, None)
        assert impatient.items(f"session={id}") == {"n": 0}

    def test_those_behind_one_that_gave_up_move_up(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, id = site.sign_in(n=0)
        waiters = Waiters(monkeypatch)
        monkeypatch.setattr(leases_of(site), "_longest_wait", SHORT)
        first = Held(site, id, count_up)
        gave_up = request(site, id, count_up)
        waiters.next()
        monkeypatch.setattr(leases_of(site), "_longest_wait", LONG)
        behind = start(lambda: request(site, id, count_up))
        waiters.next()
        first.let_go()
        assert gave_up.response.status_code == 503
        assert behind.result(LONG).value == 2
        assert_free(site, id)


class TestHowMany:
    """`STATE_SESSION_LOCK_QUEUE`."""

    def test_one_more_is_turned_away_at_once(
        self, crowded: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, id = crowded.sign_in(n=0)
        waiters = Waiters(monkeypatch)
        seen: list[SessionLockTimeout] = []
        first = Held(crowded, id, count_up)
        second = start(lambda: request(crowded, id, count_up))
        waiters.next()

        def third() -> None:
            with pytest.raises(SessionLockTimeout) as caught:
                count_up()
            seen.append(caught.value)
            raise caught.value

        response = request(crowded, id, third).response
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) > 0
        assert seen[0].handle == id[:10]
        assert "STATE_SESSION_LOCK_QUEUE" in str(seen[0])
        assert waiters._seen.empty()
        first.let_go()
        assert second.result(LONG).value == 2
        # The first that waited; the one that was turned away didn't.
        assert counters(crowded) == (1, 1)
        assert_free(crowded, id)

    def test_readers_are_not_counted(self, crowded: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        _, id = crowded.sign_in(n=0)
        waiters = Waiters(monkeypatch)
        first = Held(crowded, id, count_up)
        second = start(lambda: request(crowded, id, count_up))
        waiters.next()
        for _ in range(5):
            assert request(crowded, id, lambda: session["n"], method="GET").value == 0
        first.let_go()
        second.result(LONG)

    def test_each_session_has_a_line_of_its_own(
        self, crowded: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waiters = Waiters(monkeypatch)
        ids = [crowded.sign_in(n=0)[1] for _ in range(3)]
        held = [Held(crowded, id, count_up) for id in ids]
        behind = []
        for id in ids:
            behind.append(start(lambda id=id: request(crowded, id, count_up)))  # type: ignore[misc]
            waiters.next()
        for each in held:
            each.let_go()
        assert [each.result(LONG).value for each in behind] == [2, 2, 2]
        assert leases_of(crowded)._lines == {}


class TestTooLate:
    """A touch while the response is finished can't be answered with a 503: it does not wait."""

    def look_late(self, site: Site, change: bool) -> list[t.Any]:
        seen: list[t.Any] = []

        @site.app.after_request
        def after(response: flask.Response) -> flask.Response:
            if "late" in flask.request.args:
                seen.append(session["n"])
                if change:
                    session["late"] = True
            return response

        return seen

    @pytest.mark.parametrize("change", [True, False])
    def test_in_line(self, site: Site, monkeypatch: pytest.MonkeyPatch, change: bool) -> None:
        seen = self.look_late(site, change)
        waiters = Waiters(monkeypatch)
        _, id = site.sign_in(n=0)
        with Held(site, id, count_up):
            assert request(site, id, lambda: None, "/?late").response.status_code == 200
        assert seen == [0]
        assert waiters._seen.empty()
        assert site.items(f"session={id}") == ({"n": 1, "late": True} if change else {"n": 1})
        assert_free(site, id)

    @pytest.mark.parametrize("change", [True, False])
    def test_at_the_store(self, site: Site, change: bool) -> None:
        seen = self.look_late(site, change)
        _, id = site.sign_in(n=0)
        at_store = StoreWaiters(site)
        take_elsewhere(site, id)
        assert request(site, id, lambda: None, "/?late").response.status_code == 200
        assert seen == [0]
        assert at_store._seen.empty()
        assert leases_of(site)._lines == {}
        assert ("late" in site.items(f"session={id}")) is change

    def test_where_it_is_free_nothing_is_left_behind(self, site: Site) -> None:
        seen = self.look_late(site, True)
        _, id = site.sign_in(n=0)
        request(site, id, lambda: None, "/?late")
        assert seen == [0]
        assert site.items(f"session={id}") == {"n": 0, "late": True}
        assert_free(site, id)


def test_a_forked_child_has_no_leases_and_its_parent_goes_on(url: str) -> None:
    """A process that forks in the middle of a request, with others waiting."""
    script = pathlib.Path(__file__).with_name("forking_view.py")
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    # Python 3.12 and later warn of every fork beside threads, which is what this is about.
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", str(script), url],
        capture_output=True,
        text=True,
        timeout=60,
        env=environ,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["child: no lines, no lease", "parent: leased", "2"]
