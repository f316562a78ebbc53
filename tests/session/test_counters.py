"""What `state.sessions.counters()` counts, and when."""

from __future__ import annotations

import os
import threading

import flask
import pytest

from flask_state import errors
from flask_state import session
from flask_state import signals
from flask_state.session.counters import Counters
from flask_state.session.counters import CounterValues
from tests.session.site import Site
from tests.stores.lmdb.forked import fork
from tests.stores.lmdb.forked import status_of

ZERO = CounterValues(*(0,) * len(CounterValues._fields))


def counted(site: Site) -> dict[str, float]:
    """The counters that aren't zero."""
    with site.app.app_context():
        values = site.state.sessions.counters()
    return {name: value for name, value in values._asdict().items() if value}


def test_before_anything_happens_all_are_zero(site: Site) -> None:
    with site.app.app_context():
        assert site.state.sessions.counters() == ZERO


def test_a_session_that_starts_is_counted_once(site: Site) -> None:
    browser, _ = site.sign_in()
    site.visit(browser, lambda: session.update(more=1))
    assert counted(site) == {"active": 1, "started": 1}


def test_reading_counts_nothing(site: Site) -> None:
    site.visit(None, lambda: session.get("user"))
    assert counted(site) == {}


def test_an_abandoned_session_counts_when_it_is_abandoned_and_not_when_it_is_swept(
    site: Site,
) -> None:
    browser, _ = site.sign_in()
    site.visit(browser, lambda: session.abandon())
    assert counted(site) == {"started": 1, "abandoned": 1}
    site.sweep()
    assert counted(site) == {"started": 1, "abandoned": 1}


def test_a_session_that_is_saved_empty_counts_as_abandoned(site: Site) -> None:
    browser, _ = site.sign_in()
    site.visit(browser, lambda: session.clear())
    assert counted(site) == {"started": 1, "abandoned": 1}


def test_a_second_abandon_finds_nothing_to_end(site: Site) -> None:
    _, id = site.sign_in()
    for _ in range(2):
        site.visit(f"session={id}", lambda: session.abandon())
    assert counted(site) == {"started": 1, "abandoned": 1, "rejected": 1}


def test_a_revoked_session_counts_when_it_is_revoked(site: Site) -> None:
    _, id = site.sign_in()
    with site.app.app_context():
        assert site.state.sessions.end(id[:10]) is True
        assert site.state.sessions.end(id[:10]) is False
    assert counted(site) == {"started": 1, "revoked": 1}
    site.sweep()
    assert counted(site) == {"started": 1, "revoked": 1}


def test_an_expired_session_counts_when_it_is_swept(site: Site) -> None:
    site.sign_in()
    site.clock.advance(90 * 86_400)
    assert counted(site) == {"started": 1}
    site.sweep()
    assert counted(site) == {"started": 1, "expired": 1}


def test_an_expired_session_whose_receiver_fails_counts_once(site: Site) -> None:
    failing = True

    def receiver(sender: flask.Flask, **facts: object) -> None:
        if failing:
            raise ZeroDivisionError

    signals.session_ended.connect(receiver, site.app)
    site.sign_in()
    site.clock.advance(90 * 86_400)
    site.sweep()
    site.clock.advance(61)
    site.sweep()
    failing = False
    assert counted(site) == {"started": 1}
    site.clock.advance(61)
    site.sweep()
    assert counted(site) == {"started": 1, "expired": 1}


def test_a_shorter_timeout_that_ends_a_session_counts_as_expired(site: Site) -> None:
    browser, _ = site.sign_in()
    site.clock.advance(3600)
    site.app.config["PERMANENT_SESSION_LIFETIME"] = 60
    assert site.items(browser) == {}
    site.sweep()
    assert counted(site) == {"started": 1, "expired": 1, "rejected": 1}


def test_a_renewed_id_is_counted(site: Site) -> None:
    browser, _ = site.sign_in()
    site.visit(browser, lambda: session.regenerate())
    assert counted(site) == {"active": 1, "started": 1, "renewed": 1}


def test_ids_that_are_none_are_counted(site: Site) -> None:
    for text in ("a" * 36, "not an id"):
        site.visit(f"session={text}", lambda: session.get("user"))
    assert counted(site) == {"rejected": 2}


def test_a_conflict_is_counted(site: Site) -> None:
    browser, id = site.sign_in()

    def overtaken() -> None:
        session["user"] = "slow"
        site.visit(f"session={id}", lambda: session.update(user="fast"))

    site.visit(browser, overtaken)
    assert counted(site) == {"active": 1, "started": 1, "conflicts": 1}


def test_an_outage_counts_once_however_many_fail(site: Site) -> None:
    _, id = site.sign_in()
    for _ in range(2):
        with site.store.unplugged():
            for _ in range(3):
                site.visit(f"session={id}", lambda: session.get("user"))
        assert site.items(f"session={id}") == {"user": "ann"}
    assert counted(site) == {"active": 1, "started": 1, "outages": 2}


def test_a_damaged_session_counts_as_that_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, _ = site.sign_in(cart=[1])

    def damaged(data: bytes) -> object:
        raise errors.SerializationError("the bytes can't be decoded")

    monkeypatch.setattr(site.state.codec, "loads", damaged)
    assert site.items(browser) == {}
    site.sweep()
    assert counted(site) == {"started": 1, "damaged": 1}


def test_a_request_that_waits_in_vain_counts_as_a_wait_and_as_a_timeout(url: str) -> None:
    site = Site(url, STATE_SESSION_ACCESS="exclusive", STATE_SESSION_LOCK_WAIT=0.05)
    browser, id = site.sign_in()

    statuses: list[int] = []

    def wait() -> None:
        visit = site.visit(f"session={id}", lambda: session.get("user"))
        statuses.append(visit.response.status_code)

    def hold() -> None:
        session["user"] = "bob"
        other = threading.Thread(target=wait)
        other.start()
        other.join()

    site.visit(browser, hold)
    assert statuses == [503]
    values = counted(site)
    assert values.pop("lease_wait_seconds") > 0.04
    assert values == {"active": 1, "started": 1, "lease_waits": 1, "lease_timeouts": 1}
    site.close()


def test_waits_are_counted_and_added_up() -> None:
    counters = Counters()
    counters.waited(0.25)
    counters.waited(0.5)
    counters.lock_timeout()
    values = counters.values(active=7)
    assert values == ZERO._replace(
        active=7, lease_waits=2, lease_wait_seconds=0.75, lease_timeouts=1
    )


def test_what_receivers_see_and_say_goes_through() -> None:
    heard: list[tuple[str, dict[str, object]]] = []

    def notify(event: str, **facts: object) -> bool:
        heard.append((event, facts))
        return event == "started"

    around = Counters().around(notify)
    assert around("started", handle="a") is True
    assert around("ended", handle="a", reason="expired") is False
    assert heard == [("started", {"handle": "a"}), ("ended", {"handle": "a", "reason": "expired"})]


def test_an_event_counts_though_its_receiver_raises() -> None:
    counters = Counters()

    def notify(event: str, **facts: object) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        counters.around(notify)("started", handle="a")
    assert counters.values(0).started == 1


def test_no_count_is_lost_between_threads() -> None:
    counters = Counters()
    notify = counters.around(lambda event, **facts: True)
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait(10)
        for _ in range(2_000):
            notify("started")
            counters.waited(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    values = counters.values(0)
    assert (values.started, values.lease_waits, values.lease_wait_seconds) == (8_000,) * 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_starts_at_zero_and_its_parent_goes_on() -> None:
    counters = Counters()
    counters.waited(1)
    counters.lock_timeout()

    def child() -> None:
        assert counters.values(0) == ZERO
        counters.lock_timeout()
        assert counters.values(0) == ZERO._replace(lease_timeouts=1)

    assert status_of(fork(child)) == 0
    assert counters.values(0) == ZERO._replace(
        lease_waits=1, lease_wait_seconds=1, lease_timeouts=1
    )
