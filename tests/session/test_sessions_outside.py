"""`state.sessions`: what is seen of sessions from outside of a request."""

from __future__ import annotations

import collections.abc as cabc
import logging
import typing as t

import flask
import pytest
from markupsafe import Markup

from flask_state import session
from flask_state.session import sessions as sessions_module
from flask_state.session.sessions import SessionInfo
from flask_state.session.sessions import Sessions
from flask_state.stores.base import DamagedRecord
from tests.session.site import Site

BROWSER: t.Final = "Mozilla/5.0 (X11; Linux)"


@pytest.fixture
def sessions(site: Site) -> cabc.Iterator[Sessions]:
    """The sessions of the site, in an application context."""
    with site.app.app_context():
        yield site.state.sessions


def sign_in(site: Site, owner: str | None, **items: t.Any) -> str:
    """A new session of an owner, as its handle."""

    def task() -> str | None:
        session.update(items or {"user": "ann"})
        if owner is not None:
            session.owner = owner
        return session.handle

    headers = {"User-Agent": BROWSER}
    handle: str = site.visit(None, task, headers=headers).value
    return handle


# Who, when, from where


def test_an_owned_session_says_who_signed_in_when_and_from_where(
    site: Site, sessions: Sessions
) -> None:
    handle = sign_in(site, "ann")
    (info,) = sessions.find("ann")
    assert info == sessions.get(handle)
    assert (info.handle, info.owner, info.signed_in) == (handle, "ann", site.clock.time())
    assert (info.browser, info.address) == (BROWSER, "127.0.0.1")


def test_a_session_without_owner_signed_in_never(site: Site, sessions: Sessions) -> None:
    info = sessions.get(sign_in(site, None))
    assert info is not None
    assert (info.owner, info.signed_in, info.browser, info.address) == (None, None, "", "")


def test_the_sign_in_is_not_the_beginning(site: Site, sessions: Sessions) -> None:
    browser, id = site.sign_in()
    begun = site.clock.time()
    site.clock.advance(60)
    site.visit(browser, lambda: setattr(session, "owner", "ann"))
    info = sessions.get(id[:10])
    assert info is not None
    assert (info.created, info.signed_in) == (begun, begun + 60)


def test_who_signs_out_has_signed_in_never(site: Site, sessions: Sessions) -> None:
    browser, id = site.sign_in()
    site.visit(browser, lambda: setattr(session, "owner", "ann"))
    site.visit(browser, lambda: setattr(session, "owner", None))
    info = sessions.get(id[:10])
    assert info is not None
    assert (info.owner, info.signed_in) == (None, None)


# One of them


def test_get_knows_no_session_that_has_ended(site: Site, sessions: Sessions) -> None:
    handle = sign_in(site, "ann")
    assert sessions.end(handle) is True
    assert sessions.get(handle) is None
    assert sessions.items_of(handle) is None
    assert sessions.end(handle) is False


def test_items_come_in_their_order_and_with_their_types(site: Site, sessions: Sessions) -> None:
    handle = sign_in(site, "ann", z=(1, 2), a={"b": {3}})
    items = sessions.items_of(handle)
    assert items == {"z": (1, 2), "a": {"b": {3}}}
    assert list(items or ()) == ["z", "a"]


def test_what_is_changed_in_the_items_is_stored_nowhere(site: Site, sessions: Sessions) -> None:
    handle = sign_in(site, "ann", cart=[1])
    items = sessions.items_of(handle)
    assert items is not None
    items["cart"].append(2)
    assert sessions.items_of(handle) == {"cart": [1]}


def test_an_item_that_cannot_be_read_is_left_out_with_a_line_in_the_log(
    site: Site, sessions: Sessions, caplog: pytest.LogCaptureFixture
) -> None:
    class Point:
        """A type of the user, which another release will not know."""

    state = site.state
    state.codec.register(Point, "point", dump=lambda point: 1, load=lambda plain: Point())
    handle = sign_in(site, "ann", where=Point(), other=1)
    del state.codec._by_name["point"]
    with caplog.at_level(logging.WARNING):
        assert sessions.items_of(handle) == {"other": 1}
    assert f"Item 'where' of session {handle} is left out" in caplog.text


def test_a_damaged_record_is_no_session(
    site: Site,
    sessions: Sessions,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    handle = sign_in(site, "ann")

    def damaged(locator: str) -> t.NoReturn:
        raise DamagedRecord("its bytes fail their checksum")

    monkeypatch.setattr(site.store, "inspect", damaged, raising=False)
    assert sessions.get(handle) is None
    assert sessions.items_of(handle) is None
    assert f"Session {handle} can't be shown: its bytes fail" in caplog.text


# Texts that are no handle

NO_HANDLES: t.Final = [
    "",
    "a" * 11,
    "A" * 10,
    "aaaa aaaaa",
    "aaaaaaaaa9",
    "aaaaaaaaa\n",
    "\ud800" * 10,
    "\N{FULLWIDTH LATIN SMALL LETTER A}" * 10,
    "../../../x",
    "a" * 36,
    "x" * 1_000_000,
    Markup("<b>aaaaaaa"),
    b"aaaaaaaaaa",
    None,
    7,
]


@pytest.mark.parametrize("text", NO_HANDLES, ids=lambda text: ascii(text)[:20])
def test_what_is_no_handle_is_that_of_no_session_and_no_store_is_asked(
    site: Site, sessions: Sessions, text: t.Any
) -> None:
    with site.store.unplugged():
        assert sessions.end(text) is False
        assert sessions.get(text) is None
        assert sessions.items_of(text) is None
    assert site.store.calls == []


def test_a_handle_that_nobody_has_is_that_of_no_session(sessions: Sessions) -> None:
    assert sessions.end("a" * 10) is False
    assert sessions.get("a" * 10) is None
    assert sessions.items_of("a" * 10) is None


def test_a_subclass_of_str_is_the_text_that_it_is(site: Site, sessions: Sessions) -> None:
    handle = sign_in(site, "ann & bob")
    assert [each.handle for each in sessions.find(Markup("ann & bob"))] == [handle]
    assert sessions.items_of(Markup(handle)) == {"user": "ann"}
    info = sessions.get(Markup(handle))
    assert info is not None
    assert type(info.handle) is str
    assert sessions.end(Markup(handle)) is True


@pytest.mark.parametrize("text", ["", "\ud800", "x" * 1_000_000, "a\0b", "\N{SNOWMAN}"])
def test_any_text_can_be_looked_for_as_an_owner(sessions: Sessions, text: str) -> None:
    assert sessions.find(text) == []
    assert sessions.end_all(text) == 0


@pytest.mark.parametrize("owner", [7, None, b"ann"])
def test_an_owner_that_is_not_text_is_an_error_that_says_what_is_taken(
    sessions: Sessions, owner: t.Any
) -> None:
    with pytest.raises(TypeError, match="takes the owner as str"):
        sessions.find(owner)
    with pytest.raises(TypeError, match="takes the owner as str"):
        sessions.end_all(owner)


# All of them


def test_iterating_brings_every_living_session_once(
    site: Site, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_module, "_PAGE", 3)
    handles = [sign_in(site, "ann" if number % 2 else None) for number in range(10)]
    for handle in handles[:2]:
        sessions.end(handle)
    found = list(sessions)
    assert sorted(each.handle for each in found) == sorted(handles[2:])
    assert all(each == sessions.get(each.handle) for each in found)


def test_iterating_over_nothing_ends(sessions: Sessions) -> None:
    assert list(sessions) == []


def test_sessions_can_be_ended_while_iterating(
    site: Site, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_module, "_PAGE", 2)
    for _ in range(7):
        sign_in(site, "ann")
    assert sum(sessions.end(each.handle) for each in sessions) == 7
    assert sessions.count() == 0


def test_an_expired_session_is_seen_by_nobody(site: Site, sessions: Sessions) -> None:
    handle = sign_in(site, "ann")
    site.clock.advance(90 * 86_400)
    assert list(sessions) == []
    assert sessions.find("ann") == []
    assert sessions.get(handle) is None
    assert sessions.end(handle) is False


def test_the_current_session_is_among_them_and_can_be_kept(site: Site) -> None:
    """What a page of devices does."""
    for _ in range(2):
        sign_in(site, "ann")
    browser = site.browser()

    def begin() -> None:
        session["user"] = "ann"
        session.owner = "ann"

    site.visit(browser, begin)

    def others() -> tuple[list[SessionInfo], int]:
        sessions = site.state.sessions
        mine = [each for each in sessions.find("ann") if each.handle == session.handle]
        return mine, sessions.end_all("ann", keep=session.handle)

    mine, ended = site.visit(browser, others).value
    assert (len(mine), ended) == (1, 2)
    assert site.items(browser) == {"user": "ann"}


def test_they_belong_to_the_application_of_the_moment(site: Site) -> None:
    other = Site(state=site.state, clock=site.clock)
    sign_in(site, "ann")
    with other.app.app_context():
        assert list(flask.current_app.extensions["flask_state"].parts.sessions) == []
        assert list(site.state.sessions) == []


def test_an_owner_alone_is_not_stored_and_the_log_says_so(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    browser = site.browser()

    def sign_in() -> None:
        session.owner = "ann"

    assert site.visit(browser, sign_in).cookie is None
    assert "an owner and no items" in caplog.text
    caplog.clear()
    assert site.visit(browser, lambda: (sign_in(), session.update(n=1))).cookie
    assert caplog.text == ""
