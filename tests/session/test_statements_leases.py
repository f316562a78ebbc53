"""Security statements S16 and S27 to S31: many requests of one session. Names hold the numbers."""

from __future__ import annotations

import collections.abc as cabc
import functools
import gc
import threading
import typing as t

import flask
import pytest

from flask_state import session
from flask_state.stores.base import Change
from flask_state.stores.base import Edit
from tests.session.site import COOKIE
from tests.session.site import Site
from tests.session.together import LONG
from tests.session.together import Held
from tests.session.together import StoreWaiters
from tests.session.together import Waiters
from tests.session.together import assert_free
from tests.session.together import facts_of
from tests.session.together import leases_of
from tests.session.together import request
from tests.session.together import start
from tests.session.together import take_elsewhere
from tests.session.together import without_heartbeat

AFTER: t.Final = 600.0
"""Seconds after which ids are renewed where the test says so."""


def count_up() -> int:
    """What every second request of a shop does."""
    session["n"] += 1
    value: int = session["n"]
    return value


@pytest.fixture
def renewing(url: str) -> cabc.Iterator[Site]:
    """A site that renews ids."""
    site = Site(url, STATE_SESSION_RENEW_AFTER=AFTER, STATE_SESSION_RENEW_GRACE=60)
    yield site
    site.close()


# S16


@pytest.mark.parametrize("methods", [["GET"] * 6, ["GET", "POST"] * 3, ["POST"] * 6])
def test_s16_an_id_is_renewed_once_under_parallel_requests(
    renewing: Site, methods: list[str]
) -> None:
    """S16: all are given the same new id, and the old one is good until its grace is over."""
    _, id = renewing.sign_in(n=0)
    renewing.clock.advance(AFTER + 1)
    readers = methods.count("GET")
    met = threading.Barrier(readers) if readers else None

    def visit(number: int, method: str) -> str | None:
        def task() -> None:
            assert session["n"] == 0
            if met is not None and method == "GET":
                met.wait(LONG)  # all of them have read the session before one is saved
            session[f"seen by {number}"] = True

        return request(renewing, id, task, method=method).cookie

    visits = [start(functools.partial(visit, *each)) for each in enumerate(methods)]
    cookies = {visit.result(LONG) for visit in visits}
    assert len(cookies) == 1
    (renewed,) = cookies
    assert renewed not in (None, "", id)
    assert len(renewing.items(f"session={renewed}")) == 1 + len(methods)
    late = request(renewing, id, lambda: session["n"], method="GET")
    assert (late.value, late.cookie) == (0, renewed), "in its grace the old id leads to the new one"
    renewing.clock.advance(61)
    assert renewing.items(f"session={id}") == {}
    assert renewing.items(f"session={renewed}")["n"] == 0


def test_s16_it_is_renewed_again_after_as_long_and_not_before(renewing: Site) -> None:
    """S16: the period begins with the renewal, whoever was late."""
    _, id = renewing.sign_in(n=0)
    renewing.clock.advance(AFTER + 1)
    first = request(renewing, id, count_up).cookie
    assert first
    assert first != id
    renewing.clock.advance(AFTER - 2)
    assert request(renewing, first, lambda: session["n"]).cookie is None
    renewing.clock.advance(3)
    second = request(renewing, first, lambda: session["n"]).cookie
    assert second not in (None, "", first, id)
    assert [told["handle"] for told in renewing.named("session_renewed")] == [id[:10]] * 2


def test_s16_those_who_wait_for_the_lease_meanwhile_get_it_too(
    renewing: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S16: they came with the old id, and go on in its grace."""
    waiters = Waiters(monkeypatch)
    _, id = renewing.sign_in(n=0)
    renewing.clock.advance(AFTER + 1)
    first = Held(renewing, id, count_up)
    others = []
    for _ in range(3):
        others.append(start(lambda: request(renewing, id, count_up)))
        waiters.next()
    renewed = first.let_go().cookie
    assert renewed not in (None, "", id)
    assert [other.result(LONG).cookie for other in others] == [renewed] * 3
    assert renewing.items(f"session={renewed}") == {"n": 4}
    assert len(renewing.named("session_renewed")) == 1


# S27


@pytest.mark.parametrize("slow_first", [True, False])
def test_s27_of_two_changes_of_one_item_the_later_commit_wins_whole(
    site: Site, slow_first: bool
) -> None:
    """S27: a container is never a mixture of both, and the loss is told by name."""
    _, id = site.sign_in(cart=["a"], other=0)

    def slow() -> None:
        session["cart"].append("slow")
        request(site, id, lambda: session["cart"].append("fast"), method="GET")
        if not slow_first:
            session["cart"].append("slower")

    request(site, id, slow, method="GET")
    expected = ["a", "slow"] if slow_first else ["a", "slow", "slower"]
    assert site.items(f"session={id}")["cart"] == expected
    (told,) = site.named("session_conflict")
    assert (told["reason"], told["items"]) == ("changed", ("cart",))


def test_s27_where_configured_it_is_an_error_and_nothing_of_it_is_stored(url: str) -> None:
    """S27: not even what did not conflict."""
    site = Site(url, STATE_SESSION_ON_CONFLICT="error")
    _, id = site.sign_in(cart=["a"], other=0)

    def slow() -> None:
        session["cart"].append("slow")
        session["other"] = 1
        request(site, id, lambda: session["cart"].append("fast"), method="GET")

    visit = request(site, id, slow, method="GET")
    assert (visit.response.status_code, visit.cookie) == (409, None)
    assert site.items(f"session={id}") == {"cart": ["a", "fast"], "other": 0}
    site.close()


def test_s27_exclusive_requests_lose_neither(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """S27: because the second reads what the first has stored."""
    waiters = Waiters(monkeypatch)
    _, id = site.sign_in(cart=["a"])
    first = Held(site, id, lambda: session["cart"].append("first"))
    second = start(lambda: request(site, id, lambda: session["cart"].append("second")))
    waiters.next()
    first.let_go()
    second.result(LONG)
    assert site.items(f"session={id}") == {"cart": ["a", "first", "second"]}
    assert site.named("session_conflict") == []


# S28


def test_s28_fifty_parallel_increments_are_fifty(url: str) -> None:
    """S28: in an exclusive view no increment is lost."""
    site = Site(url, STATE_SESSION_LOCK_QUEUE=50, STATE_SESSION_LOCK_WAIT=60)
    _, id = site.sign_in(n=0)
    met = threading.Barrier(50)

    def visit() -> int:
        def task() -> int:
            met.wait(LONG)
            return count_up()

        answer = request(site, id, task)
        assert answer.response.status_code == 200
        return t.cast(int, answer.value)

    visits = [start(visit) for _ in range(50)]
    assert sorted(each.result(60) for each in visits) == list(range(1, 51))
    assert site.items(f"session={id}") == {"n": 50}
    assert site.named("session_conflict") == []
    assert_free(site, id)
    site.close()


def test_s28_from_two_applications_with_one_store_too(url: str) -> None:
    """S28: two lines, one lease."""
    one = Site(url, STATE_SESSION_LOCK_QUEUE=50, STATE_SESSION_LOCK_WAIT=60)
    two = Site(one.store, STATE_SESSION_LOCK_QUEUE=50, STATE_SESSION_LOCK_WAIT=60)
    _, id = one.sign_in(n=0)
    visits = [start(lambda s=s: request(s, id, count_up)) for s in [one, two] * 10]  # type: ignore[misc]
    assert sorted(each.result(60).value for each in visits) == list(range(1, 21))
    assert_free(one, id)
    assert_free(two, id)
    one.close()


# S29


def test_s29_the_lease_of_a_holder_that_crashed_is_free_when_it_runs_out(site: Site) -> None:
    """S29: not before, and whoever waits goes on then."""
    _, id = site.sign_in(n=0)
    take_elsewhere(site, id)  # and never comes back
    at_store = StoreWaiters(site)
    other = start(lambda: request(site, id, count_up))
    at_store.next()
    site.clock.advance(9)
    assert request(site, id, lambda: session["n"], method="GET").value == 0
    assert not other.done()
    site.clock.advance(2)
    assert other.result(LONG).value == 1
    assert_free(site, id)


def test_s29_what_a_stale_holder_sends_is_refused_by_its_fence(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S29: whole, whenever it comes, and whether the next holder is done or not."""
    without_heartbeat(monkeypatch)
    _, id = site.sign_in(n=0)
    stale = take_elsewhere(site, id)
    site.clock.advance(11)
    late = Change(items={"n": Edit(b"late", 1, True)}, lease=0.0)
    with Held(site, id, count_up):
        assert site.store.store.commit(id[:10], late, stale).refused == "lost"
    assert site.store.store.commit(id[:10], late, stale).refused == "lost"
    assert site.items(f"session={id}") == {"n": 1}
    assert facts_of(site, id).fence > stale


def test_s29_a_stale_request_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """S29: it is answered with 409, and the next holder's change stays."""
    without_heartbeat(monkeypatch)
    _, id = site.sign_in(n=0)
    elsewhere = Site(site.store)
    stale = Held(site, id, lambda: session.update(n=-1))
    site.clock.advance(11)
    assert request(elsewhere, id, count_up).value == 1
    assert stale.let_go().response.status_code == 409
    assert site.items(f"session={id}") == {"n": 1}
    assert_free(site, id)


# S30


def test_s30_waiters_are_bounded_in_number_and_in_time(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S30: one more than may wait is a 503 at once, and so is who waited long enough."""
    site = Site(url, STATE_SESSION_LOCK_QUEUE=2, STATE_SESSION_LOCK_WAIT=0.2)
    waiters = Waiters(monkeypatch)
    _, id = site.sign_in(n=0)
    with Held(site, id):
        two = []
        for _ in range(2):
            two.append(start(lambda: request(site, id, count_up)))
            waiters.next()
        turned_away = request(site, id, count_up).response
        gave_up = [each.result(LONG).response for each in two]
    for response in [turned_away, *gave_up]:
        assert response.status_code == 503
        assert response.headers["Retry-After"]
    assert site.items(f"session={id}") == {"n": 0}
    assert_free(site, id)
    site.close()


# S31


def _transaction(site: Site, id: str) -> None:
    browser = site.browser()
    browser.set_cookie(COOKIE, id)

    def task() -> None:
        count_up()
        with browser.session_transaction(method="POST") as inner:
            inner["m"] = 1

    request(site, id, task)


def _nested_context(site: Site, id: str) -> None:
    def task() -> None:
        count_up()
        with site.app.test_request_context(method="POST", headers={"Cookie": f"{COOKIE}={id}"}):
            count_up()

    request(site, id, task)


def _nested_request(site: Site, id: str) -> None:
    request(site, id, lambda: (count_up(), request(site, id, count_up)))


def _messages(site: Site, id: str) -> None:
    """As Flask-SocketIO saves."""
    with site.app.test_request_context(method="POST", headers={"Cookie": f"{COOKIE}={id}"}):
        for _ in range(3):
            count_up()
            own = session._get_current_object()  # type: ignore[attr-defined]
            site.app.session_interface.save_session(site.app, own, flask.Response())


def _streaming(site: Site, id: str) -> None:
    def body() -> cabc.Iterator[str]:
        yield str(count_up())
        yield str(count_up())

    request(site, id, lambda: (count_up(), flask.Response(flask.stream_with_context(body())))[1])


def _streaming_that_fails(site: Site, id: str) -> None:
    def body() -> cabc.Iterator[str]:
        yield str(count_up())
        raise LookupError

    def task() -> flask.Response:
        count_up()
        return flask.Response(flask.stream_with_context(body()))

    with pytest.raises(LookupError):
        request(site, id, task)


def _error_in_the_view(site: Site, id: str) -> None:
    def task() -> None:
        count_up()
        raise LookupError

    with pytest.raises(LookupError):
        request(site, id, task)


def _error_in_teardown(site: Site, id: str) -> None:
    """Even where Flask gets to no other teardown: then the next heartbeat sees it."""

    def fail(error: BaseException | None) -> None:
        raise OSError("no space left for the log")

    site.app.teardown_request_funcs[None] = [fail]
    with pytest.raises(OSError, match="no space"):
        _error_in_the_view(site, id)
    site.app.teardown_request_funcs.clear()
    gc.collect()
    leases_of(site).renew()


def _copied_context(site: Site, id: str) -> None:
    def task() -> None:
        copy = flask.copy_current_request_context(count_up)
        count_up()
        start(copy).result(LONG)

    request(site, id, task)


SHAPES: t.Final = [
    _transaction,
    _nested_context,
    _nested_request,
    _messages,
    _streaming,
    _streaming_that_fails,
    _error_in_the_view,
    _error_in_teardown,
    _copied_context,
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__.strip("_"))
def test_s31_no_deadlock_and_no_lease_left(
    site: Site, shape: cabc.Callable[[Site, str], None]
) -> None:
    """S31: whatever Flask and its extensions do with sessions, the next request goes on at once."""
    _, id = site.sign_in(n=0)
    for _ in range(2):
        start(lambda: shape(site, id)).result(LONG)
        assert_free(site, id)
    assert request(site, id, lambda: session["n"], method="GET").response.status_code == 200
