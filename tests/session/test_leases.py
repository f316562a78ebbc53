"""Exclusive requests: one of a session at a time, from first touch to save."""

from __future__ import annotations

import threading
import typing as t

import pytest

from flask_state import session
from flask_state.stores.base import Change
from tests.session.site import Site
from tests.session.together import LONG
from tests.session.together import Held
from tests.session.together import StoreWaiters
from tests.session.together import Waiters
from tests.session.together import assert_free
from tests.session.together import facts_of
from tests.session.together import is_leased
from tests.session.together import leases_of
from tests.session.together import request
from tests.session.together import start


@pytest.fixture
def waiters(monkeypatch: pytest.MonkeyPatch) -> Waiters:
    """Tells who waits."""
    return Waiters(monkeypatch)


def count_up() -> int:
    """What every second request of a shop does."""
    session["n"] += 1
    value: int = session["n"]
    return value


# One at a time


def test_the_second_touches_the_session_when_the_first_is_saved(
    site: Site, waiters: Waiters
) -> None:
    _, id = site.sign_in(n=0)
    log: list[t.Any] = []
    arrived = threading.Event()

    def second() -> None:
        arrived.set()
        log.append(session["n"])

    first = Held(site, id, lambda: log.append(count_up()))
    other = start(lambda: request(site, id, second))
    assert arrived.wait(LONG), "its view begins: only the touch waits"
    waiters.next()
    assert log == []
    first.let_go()
    other.result(LONG)
    assert log == [1, 1]
    assert_free(site, id)


def test_the_first_is_stored_before_the_second_loads(site: Site, waiters: Waiters) -> None:
    _, id = site.sign_in(n=0)
    site.store.calls.clear()
    first = Held(site, id, count_up)
    other = start(lambda: request(site, id, count_up))
    waiters.next()
    first.let_go()
    assert other.result(LONG).value == 2
    assert site.store.calls == ["load", "commit", "load", "commit"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_others_go_on_meanwhile(site: Site, method: str) -> None:
    """They see what was stored last, and what they write is kept beside."""
    _, id = site.sign_in(n=0, m=0)
    with Held(site, id, count_up):
        site.store.calls.clear()
        visit = request(site, id, lambda: session.update(m=session["n"] + 1), method=method)
        assert visit.response.status_code == 200
        assert "wait" not in site.store.calls
    assert site.items(f"session={id}") == {"n": 1, "m": 1}
    assert site.named("session_conflict") == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_every_changing_method_is_exclusive(site: Site, method: str) -> None:
    methods = ["PUT", "PATCH", "DELETE", "POST"]
    site.app.add_url_rule("/all", "all", site.app.view_functions["task"], methods=methods)
    _, id = site.sign_in(n=0)
    visit = request(site, id, lambda: (len(session), is_leased(site, id))[1], "/all", method)
    assert visit.value is True
    assert_free(site, id)


def test_they_come_in_order_of_arrival(site: Site, waiters: Waiters) -> None:
    _, id = site.sign_in(line=[])
    first = Held(site, id, lambda: session["line"].append("first"))
    others = []
    for number in range(6):

        def stand(number: int = number) -> None:
            session["line"].append(number)

        others.append(start(lambda stand=stand: request(site, id, stand)))  # type: ignore[misc]
        waiters.next()
    first.let_go()
    for other in others:
        other.result(LONG)
    assert site.items(f"session={id}")["line"] == ["first", 0, 1, 2, 3, 4, 5]
    assert_free(site, id)


def test_different_sessions_do_not_wait_for_each_other(site: Site) -> None:
    _, one = site.sign_in(n=0)
    _, other = site.sign_in(n=0)
    with Held(site, one):
        assert request(site, other, count_up).value == 1


def test_a_new_visitor_takes_no_lease(site: Site) -> None:
    """Nothing is stored yet that somebody else could use."""
    site.store.calls.clear()
    visit = request(site, None, lambda: session.update(n=0))
    assert visit.cookie
    assert site.store.changes[-1].lease is None
    assert leases_of(site)._lines == {}
    assert "load" not in site.store.calls
    assert_free(site, visit.cookie)


@pytest.mark.parametrize("id", ["a" * 36, "nonsense"])
def test_an_id_that_is_none_takes_no_lease(site: Site, id: str) -> None:
    request(site, id, lambda: len(session))
    assert leases_of(site)._lines == {}


def test_the_wrong_secret_takes_no_lease_and_waits_for_none(site: Site) -> None:
    """Whoever knows a session's name can't keep its owner waiting."""
    _, id = site.sign_in(n=0)
    request(site, id[:10] + "b" * 26, lambda: len(session))
    assert_free(site, id)
    fence = facts_of(site, id).fence
    request(site, id[:10] + "b" * 26, lambda: len(session))
    assert facts_of(site, id).fence == fence


# What it costs


def test_it_is_taken_with_the_load_and_given_back_with_the_commit(site: Site) -> None:
    _, id = site.sign_in(n=0)
    site.store.calls.clear()
    site.store.changes.clear()

    def task() -> None:
        assert not is_leased(site, id)
        count_up()
        assert is_leased(site, id)

    request(site, id, task)
    assert site.store.calls == ["load", "commit"]
    assert site.store.changes[0].lease == 0.0
    assert list(site.store.changes[0].items) == ["n"]
    assert_free(site, id)


def test_one_that_only_reads_gives_it_back_and_writes_nothing_else(site: Site) -> None:
    _, id = site.sign_in(n=0)
    site.store.calls.clear()
    site.store.changes.clear()
    visit = request(site, id, lambda: session["n"])
    assert site.store.calls == ["load", "commit"]
    assert site.store.changes == [Change(lease=0.0)]
    assert visit.cookie is None


def test_one_that_never_touches_the_session_takes_nothing(site: Site) -> None:
    _, id = site.sign_in(n=0)
    site.store.calls.clear()
    request(site, id, lambda: None)
    assert site.store.calls == []


def test_one_that_never_touches_the_session_waits_for_nobody(site: Site) -> None:
    _, id = site.sign_in(n=0)
    with Held(site, id):
        assert request(site, id, lambda: None).response.status_code == 200


def test_items_read_later_cost_no_other_lease(site: Site) -> None:
    _, id = site.sign_in(**{f"item {n}": "x" * 1000 for n in range(40)})
    before = facts_of(site, id).fence
    request(site, id, lambda: [session[f"item {n}"] for n in range(40)])
    assert facts_of(site, id).fence == before + 1


def test_the_fence_rises_with_every_lease(site: Site) -> None:
    _, id = site.sign_in(n=0)
    before = facts_of(site, id).fence
    for _ in range(3):
        request(site, id, count_up)
    assert facts_of(site, id).fence == before + 3


# Two processes, here two applications with one store


def test_another_process_waits_at_the_store(site: Site) -> None:
    _, id = site.sign_in(n=0)
    elsewhere = Site(site.store)
    at_store = StoreWaiters(elsewhere)
    first = Held(site, id, count_up)
    other = start(lambda: request(elsewhere, id, count_up))
    at_store.next()
    first.let_go()
    assert other.result(LONG).value == 2
    assert_free(site, id)
    assert_free(elsewhere, id)


def test_only_the_front_of_each_line_waits_at_the_store(site: Site, waiters: Waiters) -> None:
    _, id = site.sign_in(n=0)
    elsewhere = Site(site.store)
    at_store = StoreWaiters(elsewhere)
    first = Held(site, id, count_up)
    others = [start(lambda: request(elsewhere, id, count_up)) for _ in range(4)]
    at_store.next()
    for _ in range(3):
        waiters.next()
    assert at_store._seen.empty()
    first.let_go()
    assert sorted(other.result(LONG).value for other in others) == [2, 3, 4, 5]
    assert_free(elsewhere, id)


def test_what_waits_is_counted(site: Site, waiters: Waiters) -> None:
    _, id = site.sign_in(n=0)
    first = Held(site, id)
    other = start(lambda: request(site, id, count_up))
    waiters.next()
    first.let_go()
    other.result(LONG)
    with site.app.app_context():
        counters = site.state.sessions.counters()
    assert (counters.lease_waits, counters.lease_timeouts) == (1, 0)
    assert 0 < counters.lease_wait_seconds < LONG
