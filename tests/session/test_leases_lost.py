"""What becomes of leases that last too long, and of those who waited in vain."""

from __future__ import annotations

import collections.abc as cabc
import gc
import logging
import threading

import pytest

from flask_state import session
from flask_state.errors import SessionConflict
from flask_state.session.heartbeat import Heartbeat
from tests.session.site import Site
from tests.session.together import LONG
from tests.session.together import Held
from tests.session.together import StoreWaiters
from tests.session.together import Waiters
from tests.session.together import assert_free
from tests.session.together import facts_of
from tests.session.together import is_leased
from tests.session.together import leases_module
from tests.session.together import leases_of
from tests.session.together import request
from tests.session.together import start
from tests.session.together import take_elsewhere
from tests.session.together import without_heartbeat


def count_up() -> int:
    """What every second request of a shop does."""
    session["n"] += 1
    value: int = session["n"]
    return value


@pytest.fixture
def site(url: str) -> cabc.Iterator[Site]:
    """A site whose requests wait for as long as the clock is moved in a test."""
    site = Site(url, STATE_SESSION_LOCK_WAIT=1000, STATE_SESSION_LOCK_MAX=60)
    yield site
    site.close()


@pytest.fixture(autouse=True)
def _by_hand(monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    """Time stands until the test moves it, and leases are renewed when the test says so."""
    without_heartbeat(monkeypatch)
    monkeypatch.setattr(leases_module, "monotonic", site.clock.monotonic)


@pytest.fixture
def waiters(monkeypatch: pytest.MonkeyPatch) -> Waiters:
    """Tells who waits."""
    return Waiters(monkeypatch)


class TestLosing:
    """A lease runs out after 10 s that nobody renewed."""

    def test_while_nobody_took_it_nothing_is_lost(self, site: Site) -> None:
        _, id = site.sign_in(n=0)

        def slow() -> None:
            count_up()
            site.clock.advance(60)

        assert request(site, id, slow).response.status_code == 200
        assert site.items(f"session={id}") == {"n": 1}
        assert site.named("session_conflict") == []
        assert_free(site, id)

    def test_what_merges_meanwhile_takes_it_from_nobody(self, site: Site) -> None:
        _, id = site.sign_in(n=0)

        def slow() -> None:
            count_up()
            site.clock.advance(60)
            request(site, id, lambda: session.update(m=1), method="GET")

        assert request(site, id, slow).response.status_code == 200
        assert site.items(f"session={id}") == {"n": 1, "m": 1}

    @pytest.mark.parametrize("gives_back", [True, False])
    def test_taken_by_another_the_save_is_refused(self, site: Site, gives_back: bool) -> None:
        """Whether the other one is still at it or not."""
        _, id = site.sign_in(n=0)
        elsewhere = Site(site.store)

        def slow() -> None:
            count_up()
            session["mine"] = True
            site.clock.advance(11)
            if gives_back:
                request(elsewhere, id, count_up)
            else:
                take_elsewhere(site, id)

        visit = request(site, id, slow)
        assert visit.response.status_code == 409
        assert visit.cookie is None
        assert site.items(f"session={id}") == {"n": int(gives_back)}
        (told,) = site.named("session_conflict")
        assert (told["reason"], told["handle"], told["items"]) == ("lost", id[:10], ())
        assert is_leased(site, id) is not gives_back
        assert leases_of(site)._lines == {}

    def test_one_that_only_read_loses_nothing(self, site: Site) -> None:
        _, id = site.sign_in(n=0)

        def slow() -> None:
            len(session)
            site.clock.advance(11)
            take_elsewhere(site, id)

        assert request(site, id, slow).response.status_code == 200
        assert site.named("session_conflict") == []
        assert is_leased(site, id), "the other one still has it"

    def test_commit_in_the_view_raises_it_and_nothing_is_stored_later_either(
        self, site: Site
    ) -> None:
        _, id = site.sign_in(n=0)

        def slow() -> None:
            count_up()
            site.clock.advance(11)
            take_elsewhere(site, id)
            with pytest.raises(SessionConflict):
                session.commit()

        assert request(site, id, slow).response.status_code == 200
        assert site.items(f"session={id}") == {"n": 0}

    def test_who_loses_nothing_but_a_touch_goes_on_with_the_session(self, site: Site) -> None:
        """A touch was due. An early commit that comes too late for it is no conflict."""
        _, id = site.sign_in(n=0)
        site.clock.advance(86_400 * 10)  # far enough for a touch to be due

        def slow() -> str | None:
            handle = session.handle
            site.clock.advance(11)
            take_elsewhere(site, id, 1.0)
            session.commit()
            site.clock.advance(2)
            assert (session["n"], session.handle) == (0, handle)
            session["n"] = 1
            return handle

        visit = request(site, id, slow)
        assert (visit.response.status_code, visit.value) == (200, id[:10])
        assert site.named("session_conflict") == []
        assert site.items(f"session={id}") == {"n": 1}

    def test_a_handler_of_the_application_answers_for_it(self, site: Site) -> None:
        seen: list[SessionConflict] = []

        @site.app.errorhandler(SessionConflict)
        def handle(error: SessionConflict) -> tuple[str, int]:
            seen.append(error)
            return "somebody was faster", 200

        _, id = site.sign_in(n=0)

        def slow() -> None:
            count_up()
            site.clock.advance(11)
            take_elsewhere(site, id)

        assert request(site, id, slow).response.text == "somebody was faster"
        assert (len(seen), seen[0].items) == (1, ())
        assert site.items(f"session={id}") == {"n": 0}


class TestTheHeartbeat:
    """`Leases.renew`, which a thread calls every few seconds."""

    def test_a_long_request_keeps_its_lease(self, site: Site) -> None:
        _, id = site.sign_in(n=0)

        def slow() -> None:
            count_up()
            for _ in range(8):
                site.clock.advance(5)
                leases_of(site).renew()
            assert is_leased(site, id)

        assert request(site, id, slow).response.status_code == 200
        assert site.items(f"session={id}") == {"n": 1}
        assert_free(site, id)

    def test_a_fresh_lease_costs_nothing(self, site: Site) -> None:
        _, id = site.sign_in(n=0)
        with Held(site, id):
            site.store.calls.clear()
            leases_of(site).renew()
            site.clock.advance(1)
            leases_of(site).renew()
            assert site.store.calls == []
            site.clock.advance(2)
            leases_of(site).renew()
            leases_of(site).renew()
            assert site.store.calls == ["commit"]

    def test_it_moves_no_deadline_and_changes_no_item(self, site: Site) -> None:
        _, id = site.sign_in(n=0)
        with Held(site, id):
            before = facts_of(site, id)
            site.clock.advance(5)
            leases_of(site).renew()
            after = facts_of(site, id)
        assert after == before._replace(leased_until=before.leased_until + 5)

    def test_it_does_not_take_back_what_another_one_has(self, site: Site) -> None:
        _, id = site.sign_in(n=0)
        with Held(site, id):
            site.clock.advance(11)
            take_elsewhere(site, id)
            before = facts_of(site, id)
            leases_of(site).renew()
            assert facts_of(site, id) == before

    def test_whoever_lost_it_hands_on_to_those_behind(self, site: Site, waiters: Waiters) -> None:
        """They wait at the store then, for whoever has it, and not for the one that lost it."""
        _, id = site.sign_in(n=0)
        first = Held(site, id, count_up)
        at_store = StoreWaiters(site)
        other = start(lambda: request(site, id, count_up))
        waiters.next()
        site.clock.advance(11)
        take_elsewhere(site, id)
        leases_of(site).renew()
        at_store.next()
        site.clock.advance(11)
        assert other.result(LONG).value == 1
        assert first.let_go().response.status_code == 409
        assert site.items(f"session={id}") == {"n": 1}
        assert_free(site, id)

    def test_a_store_that_fails_is_asked_again(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        _, id = site.sign_in(n=0)
        with Held(site, id):
            site.clock.advance(5)
            with site.store.unplugged():
                leases_of(site).renew()
            leases_of(site).renew()
            assert facts_of(site, id).leased_until == site.clock.time() + 10

    def test_it_stops_at_the_limit_says_so_once_and_lets_others_go_on(
        self, site: Site, waiters: Waiters, caplog: pytest.LogCaptureFixture
    ) -> None:
        at_store = StoreWaiters(site)
        _, id = site.sign_in(n=0)
        first = Held(site, id, count_up)
        other = start(lambda: request(site, id, count_up))
        waiters.next()
        caplog.clear()
        for _ in range(11):
            site.clock.advance(5)
            leases_of(site).renew()
        assert at_store._seen.empty()
        assert caplog.records == []
        site.clock.advance(5)
        leases_of(site).renew()
        leases_of(site).renew()
        (said,) = [each for each in caplog.records if each.levelno == logging.WARNING]
        assert id[:10] in said.getMessage()
        assert id not in said.getMessage()
        assert "STATE_SESSION_LOCK_MAX" in said.getMessage()
        at_store.next()
        site.clock.advance(11)
        assert other.result(LONG).value == 1
        assert first.let_go().response.status_code == 409
        assert_free(site, id)

    def test_one_that_was_never_given_back_is_given_back(self, site: Site) -> None:
        """A teardown function raised before the session's turn came."""

        @site.app.teardown_request
        def fail(error: BaseException | None) -> None:
            if error is not None:
                raise OSError("no space left for the log")

        _, id = site.sign_in(n=0)

        def task() -> None:
            count_up()
            raise LookupError

        with pytest.raises(OSError, match="no space left"):
            request(site, id, task)
        gc.collect()
        leases_of(site).renew()
        assert site.items(f"session={id}") == {"n": 0}
        assert_free(site, id)

    def test_the_thread_goes_on_though_one_application_fails(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        rounds = threading.Semaphore(0)

        class Failing:
            def renew(self) -> None:
                rounds.release()
                raise LookupError("a fault of its own")

        each, heartbeat = Failing(), Heartbeat(0.001)
        heartbeat.show(each)
        heartbeat.show(each)
        for _ in range(3):
            assert rounds.acquire(timeout=LONG)
        assert "could not be renewed" in caplog.text
        del each

    def test_the_thread_ends_with_the_last_application(self) -> None:
        called = threading.Event()

        class Renewing:
            def renew(self) -> None:
                called.set()

        def threads() -> list[threading.Thread]:
            return [each for each in threading.enumerate() if "heartbeat" in each.name]

        before = threads()
        each, heartbeat = Renewing(), Heartbeat(0.001)
        heartbeat.show(each)
        (thread,) = [one for one in threads() if one not in before]
        assert thread.daemon
        assert called.wait(LONG)
        del each
        gc.collect()
        thread.join(LONG)
        assert not thread.is_alive()
