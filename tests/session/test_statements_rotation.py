"""Security statements S10 to S13: new ids. A test's name holds the statement's number."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import pytest

from flask_state import session
from flask_state.stores.base import SUPERSEDED_FOR
from tests.session.site import Site
from tests.session.site import Visit


def write() -> None:
    """Change the session."""
    session["late"] = True


def touch() -> None:
    """Only read it."""
    assert session.get("user") in ("ann", None)


def remove() -> None:
    """Empty it."""
    session.clear()


def change_facts() -> None:
    """Change something that is no item."""
    session.owner = "eve"


LATE: t.Final = {"write": write, "read": touch, "clear": remove, "owner": change_facts}

renew_now: t.Final = lambda: session.regenerate()  # noqa: E731  read as a task


def new_id(visit: Visit) -> str:
    """The id that a response sets."""
    assert visit.cookie
    return visit.cookie


# S10


def test_s10_regenerate_changes_the_id_and_keeps_the_data(site: Site) -> None:
    browser, old = site.sign_in(user="ann", cart=[1, {"a": (2,)}])

    def task() -> str | None:
        session.regenerate()
        return session.handle

    visit = site.visit(browser, task)
    new = new_id(visit)
    assert new != old
    assert new[:10] == old[:10] == visit.value
    assert site.items(browser) == {"user": "ann", "cart": [1, {"a": (2,)}]}
    assert site.named("session_renewed") == [{"handle": old[:10]}]


def test_s10_changes_made_around_it_are_kept(site: Site) -> None:
    browser, _ = site.sign_in(user="ann", n=1)

    def task() -> None:
        session["before"] = 1
        session.regenerate()
        session["after"] = session.pop("n")

    site.visit(browser, task)
    assert list(site.items(browser).items()) == [("user", "ann"), ("before", 1), ("after", 1)]


def test_s10_it_works_on_an_empty_session(site: Site) -> None:
    visit = site.visit(None, renew_now)
    assert visit.response.status_code == 200
    assert visit.cookie is None
    assert site.store.calls == []


def test_s10_it_works_on_a_new_session(site: Site) -> None:
    browser = site.browser()
    visit = site.visit(browser, lambda: (session.update(user="ann"), session.regenerate()))
    assert new_id(visit)
    assert site.items(browser) == {"user": "ann"}


def test_s10_a_new_session_gets_an_id_that_nobody_planted(site: Site) -> None:
    planted = "a" * 36
    visit = site.visit(
        f"session={planted}", lambda: (session.update(user="ann"), session.regenerate())
    )
    assert new_id(visit)[:10] != planted[:10]
    assert site.items(f"session={planted}") == {}


def test_s10_the_old_id_is_dead_at_once(site: Site) -> None:
    browser, old = site.sign_in(user="ann")
    site.visit(browser, renew_now)
    assert site.items(f"session={old}") == {}
    stray = site.visit(f"session={old}", write)
    assert stray.cookie is None or stray.cookie[:10] != old[:10]
    assert site.items(browser) == {"user": "ann"}


def test_s10_it_happens_in_the_same_commit_as_the_changes(site: Site) -> None:
    browser, _ = site.sign_in(user="ann")
    site.store.calls.clear()
    site.visit(browser, lambda: (session.update(a=1), session.regenerate(), session.update(b=2)))
    assert site.store.calls.count("commit") == 1
    assert site.store.changes[-1].proof is not None
    assert set(site.store.changes[-1].items) == {"a", "b"}


def test_s10_twice_in_one_request_is_once(site: Site) -> None:
    browser, old = site.sign_in(user="ann")
    visit = site.visit(browser, lambda: (session.regenerate(), session.regenerate()))
    assert new_id(visit) != old
    assert len(site.named("session_renewed")) == 1


def test_s10_it_does_not_happen_when_the_request_fails(site: Site) -> None:
    browser, old = site.sign_in(user="ann")
    site.app.config["PROPAGATE_EXCEPTIONS"] = False

    def fail() -> None:
        session.regenerate()
        raise ZeroDivisionError

    visit = site.visit(browser, fail)
    assert visit.response.status_code == 500
    assert visit.cookie is None
    assert site.items(f"session={old}") == {"user": "ann"}


def test_s10_every_new_id_is_new(site: Site) -> None:
    browser, old = site.sign_in(user="ann")
    ids = {old} | {new_id(site.visit(browser, renew_now)) for _ in range(20)}
    assert len(ids) == 21
    assert [text for text in ids if site.items(f"session={text}")] == [
        new_id(site.visit(browser, lambda: session.update(x=1)))
    ]


# S11: requests under way with the old id


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
@pytest.mark.parametrize("loaded", [True, False], ids=["loaded before", "loaded after"])
def test_s11_a_request_under_way_with_the_old_id_keeps_nothing_alive(
    site: Site, late: cabc.Callable[[], None], loaded: bool
) -> None:
    browser, old = site.sign_in(user="ann")
    site.clock.advance(40 * 3600)

    def slow() -> None:
        if loaded:
            assert session["user"] == "ann"
        site.visit(browser, renew_now)
        late()

    visit = site.visit(f"session={old}", slow)
    assert visit.response.status_code == 200
    assert visit.response.headers.getlist("Set-Cookie") == []
    assert site.items(f"session={old}") == {}
    assert site.items(browser) == {"user": "ann"}
    with site.app.app_context():
        assert site.state.sessions.count() == 1
        assert site.state.sessions.find("eve") == []


@pytest.mark.parametrize("late", [write, remove, change_facts])
def test_s11_what_was_dropped_is_told(site: Site, late: cabc.Callable[[], None]) -> None:
    browser, old = site.sign_in(user="ann")

    def slow() -> None:
        assert session["user"] == "ann"
        site.visit(browser, renew_now)
        late()

    site.visit(f"session={old}", slow)
    (conflict,) = site.named("session_conflict")
    assert (conflict["handle"], conflict["reason"]) == (old[:10], "passed")


def test_s11_of_two_renewals_one_wins_and_its_client_keeps_the_session(site: Site) -> None:
    browser, old = site.sign_in(user="ann")

    def slow() -> None:
        session["mine"] = 1
        site.visit(browser, renew_now)
        session.regenerate()

    visit = site.visit(f"session={old}", slow)
    assert visit.response.headers.getlist("Set-Cookie") == []
    assert site.items(browser) == {"user": "ann"}


def test_s11_a_request_that_saves_by_itself_is_told_by_an_error(site: Site) -> None:
    browser, old = site.sign_in(user="ann")

    def slow() -> None:
        session["mine"] = 1
        site.visit(browser, renew_now)
        session.commit()

    visit = site.visit(f"session={old}", slow)
    assert visit.response.status_code == 409
    assert visit.response.headers.getlist("Set-Cookie") == []
    assert site.items(browser) == {"user": "ann"}


def test_s11_a_request_that_ignores_the_session_never_sends_an_old_id(site: Site) -> None:
    """Also where the id is permanent, and so sent again with every response.

    A request that took a while asks the store first; a quick one doesn't, and can hardly be
    overtaken.
    """
    browser = site.browser()
    visit = site.visit(
        browser, lambda: (session.update(user="ann"), setattr(session, "permanent", True))
    )
    old = new_id(visit)

    def overtaken() -> None:
        site.visit(browser, renew_now)
        site.clock.advance(0.1)

    slow = site.visit(f"session={old}", overtaken)
    assert slow.cookie is None


# S12: the grace of a renewal that isn't about rights


def renewed_with_grace(site: Site, grace: float = 10) -> tuple[str, str]:
    """The ids before and after a renewal with grace."""
    browser, old = site.sign_in(user="ann")
    return old, new_id(site.visit(browser, lambda: session.regenerate(grace=grace)))


def test_s12_within_the_grace_the_old_id_leads_to_the_session(site: Site) -> None:
    old, new = renewed_with_grace(site)
    site.clock.advance(9.9)
    visit = site.visit(f"session={old}", lambda: (session["user"], session.update(late=True)))
    assert visit.value[0] == "ann"
    assert visit.cookie == new
    assert site.items(f"session={new}") == {"user": "ann", "late": True}


def test_s12_a_reader_within_the_grace_is_given_the_new_id(site: Site) -> None:
    old, new = renewed_with_grace(site)
    for _ in range(3):
        visit = site.visit(f"session={old}", lambda: session["user"])
        assert (visit.value, visit.cookie) == ("ann", new)


def test_s12_after_the_grace_the_old_id_is_unknown(site: Site) -> None:
    old, new = renewed_with_grace(site)
    site.clock.advance(10)
    visit = site.visit(f"session={old}", lambda: dict(session))
    assert visit.value == {}
    assert visit.response.headers.getlist("Set-Cookie") == []
    site.clock.advance(SUPERSEDED_FOR)
    assert site.items(f"session={old}") == {}
    assert site.named("session_rejected")[-1] == {"reason": "unknown"}
    assert site.items(f"session={new}") == {"user": "ann"}


def test_s12_the_grace_is_not_lengthened_by_use(site: Site) -> None:
    old, _ = renewed_with_grace(site)
    for _ in range(3):
        site.clock.advance(3)
        assert site.items(f"session={old}") == {"user": "ann"}
    site.clock.advance(1)
    assert site.items(f"session={old}") == {}


def test_s12_a_request_under_way_with_the_old_id_is_saved_within_the_grace(site: Site) -> None:
    browser, old = site.sign_in(user="ann")

    def slow() -> None:
        assert session["user"] == "ann"
        site.visit(browser, lambda: session.regenerate(grace=10))
        session["late"] = True

    visit = site.visit(f"session={old}", slow)
    assert visit.cookie in (None, new_id(site.visit(browser, lambda: session.update(x=1))))
    assert site.items(browser) == {"user": "ann", "late": True, "x": 1}


def test_s12_periodic_renewal_has_the_configured_grace(url: str) -> None:
    site = Site(url, STATE_SESSION_RENEW_AFTER=900, STATE_SESSION_RENEW_GRACE=5)
    browser, old = site.sign_in(user="ann")
    site.clock.advance(899)
    assert site.visit(browser, lambda: session["user"]).cookie is None
    site.clock.advance(1)
    new = new_id(site.visit(browser, lambda: session["user"]))
    assert new != old
    assert site.visit(f"session={old}", lambda: session["user"]).cookie == new
    assert len(site.named("session_renewed")) == 1, "those in the grace don't renew again"
    site.clock.advance(5)
    assert site.items(f"session={old}") == {}
    assert site.items(f"session={new}") == {"user": "ann"}
    site.close()


def test_s12_requests_that_renew_at_the_same_time_agree_on_the_id(url: str) -> None:
    site = Site(url, STATE_SESSION_RENEW_AFTER=900)
    _, old = site.sign_in(user="ann")
    site.clock.advance(900)
    inner: list[Visit] = []

    def slow() -> None:
        assert session["user"] == "ann"
        inner.append(site.visit(f"session={old}", lambda: session["user"]))

    outer = site.visit(f"session={old}", slow)
    assert {new_id(inner[0])} >= {cookie for cookie in [outer.cookie] if cookie}
    assert site.items(f"session={new_id(inner[0])}") == {"user": "ann"}
    site.close()


# S13: rights never pass through a grace


def sign_in_as_bob() -> None:
    """What a sign-in does: the owner changes, and the id with it."""
    session.owner = "bob"
    session.regenerate(grace=60)


@pytest.mark.parametrize(
    "task",
    [
        sign_in_as_bob,
        lambda: (session.regenerate(grace=60), session.regenerate()),
        lambda: (session.regenerate(), session.regenerate(grace=60)),
        lambda: (session.regenerate(grace=60), setattr(session, "owner", "bob")),
        lambda: session.regenerate(),
        lambda: session.regenerate(grace=0),
    ],
    ids=["owner first", "plain last", "plain first", "owner last", "plain", "none"],
)
def test_s13_where_rights_may_change_there_is_no_grace(
    site: Site, task: cabc.Callable[[], object]
) -> None:
    browser, old = site.sign_in(user="ann")
    new_id(site.visit(browser, task))
    assert site.items(f"session={old}") == {}


def test_s13_a_sign_in_ends_the_grace_of_an_earlier_renewal(site: Site) -> None:
    """The id before the renewal must not lead to the session after the sign-in."""
    old, new = renewed_with_grace(site, grace=60)
    newest = new_id(site.visit(f"session={new}", sign_in_as_bob))
    assert site.items(f"session={old}") == {}
    assert site.items(f"session={new}") == {}
    assert site.items(f"session={newest}") == {"user": "ann"}


def test_s13_a_request_under_way_from_before_the_sign_in_cannot_hand_out_the_new_id(
    site: Site,
) -> None:
    old, new = renewed_with_grace(site, grace=60)

    def slow() -> None:
        assert session["user"] == "ann"
        site.visit(f"session={new}", sign_in_as_bob)
        session["late"] = True

    visit = site.visit(f"session={old}", slow)
    assert visit.cookie is None
    with site.app.app_context():
        (info,) = site.state.sessions.find("bob")
    assert info.handle == old[:10]
    assert len(site.named("session_conflict")) == 1


def test_s13_an_owner_set_again_keeps_the_grace(site: Site) -> None:
    """Nothing changed hands."""
    browser, _ = site.sign_in(user="ann")
    site.visit(browser, lambda: setattr(session, "owner", "ann"))
    task = lambda: (setattr(session, "owner", "ann"), session.regenerate(grace=10))  # noqa: E731
    old = new_id(site.visit(browser, lambda: session.update(x=1)))
    new = new_id(site.visit(browser, task))
    assert site.visit(f"session={old}", lambda: session["user"]).cookie == new
