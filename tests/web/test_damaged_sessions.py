"""S33: a stored session that nobody can read is an empty one, once, and never a permanent 500."""

from __future__ import annotations

import collections.abc as cabc
import logging
import typing as t

import flask
import pytest

from flask_state import FlaskState
from flask_state import session
from flask_state import signals
from flask_state.stores.base import DamagedRecord
from tests.web.conftest import Flaky
from tests.web.conftest import Visitor
from tests.web.conftest import set_cookies
from tests.web.conftest import steps

LOOKS: t.Final[dict[str, cabc.Callable[[], t.Any]]] = {
    "get": lambda: [session.get("a")],
    "in": lambda: ["a" in session],
    "item": lambda: session.pop("a", None),
    "dict": lambda: dict(session),
    "items": lambda: list(session.items()),
    "values": lambda: list(session.values()),
    "copy": lambda: session.copy(),
    "setdefault": lambda: session.setdefault("c", 3),
}

EMPTY: t.Final[dict[str, t.Any]] = {
    "get": [None],
    "in": [False],
    "item": None,
    "dict": {},
    "items": [],
    "values": [],
    "copy": {},
    "setdefault": 3,
}


def undecodable(value: bytes) -> bytes:
    """The right envelope around bytes that mean nothing."""
    return value[:2] + b"\xc1"


def unreadable(value: bytes) -> t.NoReturn:
    """What a store does that keeps checksums."""
    raise DamagedRecord("its checksum is wrong")


def newer(value: bytes) -> bytes:
    """What a later version of this package might write."""
    return b"\x02" + value[1:]


@pytest.fixture
def damaged(flaky_app: flask.Flask) -> cabc.Iterator[list[dict[str, t.Any]]]:
    """What the signals about damage said."""
    heard: list[dict[str, t.Any]] = []

    def note(sender: flask.Flask, **facts: t.Any) -> None:
        heard.append(facts)

    with signals.session_damaged.connected_to(note, flaky_app):
        yield heard


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]


@pytest.mark.parametrize("spoil", [undecodable, unreadable])
class TestDamage:
    @pytest.mark.parametrize("look", LOOKS)
    def test_it_reads_as_empty_however_it_is_read(
        self, guest: Visitor, store: Flaky, spoil: t.Any, look: str
    ) -> None:
        store.spoil = spoil
        assert guest.value(LOOKS[look]) == EMPTY[look]

    def test_it_is_told_once(
        self,
        guest: Visitor,
        store: Flaky,
        damaged: list[dict[str, t.Any]],
        caplog: pytest.LogCaptureFixture,
        spoil: t.Any,
    ) -> None:
        """By one line and one signal, which name the session and show no value and no id."""
        handle = guest.value(lambda: session.handle)
        store.spoil = spoil
        for _ in range(3):
            assert guest.run(lambda: session.get("a")).status_code == 200
        assert damaged == [{"handle": handle}]
        [line] = errors(caplog)
        assert f"Session {handle} is damaged" in line
        assert guest.cookie is not None
        assert guest.cookie[10:] not in caplog.text

    def test_a_write_begins_a_new_session(self, guest: Visitor, store: Flaky, spoil: t.Any) -> None:
        """Not one with half of the old items; under another id."""
        before = guest.cookie
        store.spoil = spoil
        guest.run(steps(lambda: session.get("a"), lambda: session.update(c=3)))
        store.spoil = bytes
        assert guest.value(lambda: dict(session)) == {"c": 3}
        assert before is not None
        assert guest.cookie is not None
        assert guest.cookie[:10] != before[:10]

    def test_it_has_ended(
        self,
        flaky_app: flask.Flask,
        guest: Visitor,
        store: Flaky,
        state: FlaskState,
        spoil: t.Any,
    ) -> None:
        """The record is not read again when its bytes are good again; its end is told."""
        reasons: list[str] = []

        def note(sender: flask.Flask, reason: str, **facts: t.Any) -> None:
            reasons.append(reason)

        store.spoil = spoil
        guest.run(lambda: session.get("a"))
        store.spoil = bytes
        assert guest.value(lambda: dict(session)) == {}
        with flaky_app.app_context(), signals.session_ended.connected_to(note, flaky_app):
            assert state.sessions.count() == 0
            state.sessions.sweep()
        assert reasons == ["damaged"]

    def test_a_store_that_cannot_end_it_is_no_error(
        self, guest: Visitor, store: Flaky, spoil: t.Any
    ) -> None:
        store.spoil, store.failing = spoil, {"commit"}
        assert guest.value(lambda: session.get("a")) is None

    def test_abandon_ends_it(
        self, flaky_app: flask.Flask, guest: Visitor, store: Flaky, state: FlaskState, spoil: t.Any
    ) -> None:
        store.spoil = spoil
        guest.run(lambda: session.abandon())
        store.spoil = bytes
        assert guest.value(lambda: dict(session)) == {}
        with flaky_app.app_context():
            assert state.sessions.count() == 0


def test_damage_that_first_shows_at_a_second_item_is_damage(guest: Visitor, store: Flaky) -> None:
    """Items are loaded and decoded one by one: what was read before stays as it was."""

    def view() -> None:
        assert session["a"] == 1
        store.spoil = unreadable
        assert session.get("b") is None

    assert guest.run(view).status_code == 200
    store.spoil = bytes
    assert guest.value(lambda: dict(session)) == {}


class TestNewerVersion:
    """A server that was not upgraded yet meets what one that was has stored."""

    @pytest.mark.parametrize("look", LOOKS)
    def test_it_reads_as_empty_however_it_is_read(
        self, guest: Visitor, store: Flaky, damaged: list[t.Any], look: str
    ) -> None:
        store.spoil = newer
        assert guest.value(LOOKS[look]) == EMPTY[look]
        assert damaged == []

    def test_it_is_not_destroyed(
        self, flaky_app: flask.Flask, guest: Visitor, store: Flaky, state: FlaskState
    ) -> None:
        """S25: nothing is written; the client keeps its cookie; the upgraded server reads it."""
        store.spoil = newer
        store.calls.clear()
        for look in ("get", "in", "dict"):
            assert not set_cookies(guest.run(LOOKS[look]))
        assert "commit" not in store.calls
        store.spoil = bytes
        assert guest.value(lambda: dict(session)) == {"a": 1, "b": 2}

    def test_a_write_begins_another_session_beside_it(
        self, flaky_app: flask.Flask, guest: Visitor, store: Flaky, state: FlaskState
    ) -> None:
        old = guest.cookie
        store.spoil = newer
        guest.run(steps(lambda: session.get("a"), lambda: session.update(c=3)))
        store.spoil = bytes
        assert guest.value(lambda: dict(session)) == {"c": 3}
        guest.cookie = old
        assert guest.value(lambda: dict(session)) == {"a": 1, "b": 2}

    def test_it_is_logged(
        self, guest: Visitor, store: Flaky, caplog: pytest.LogCaptureFixture
    ) -> None:
        store.spoil = newer
        guest.run(lambda: session.get("a"))
        assert "newer flask_state" in caplog.text
        assert errors(caplog) == []


def test_a_type_this_process_does_not_know_is_no_session_either(
    flaky_app: flask.Flask, store: Flaky, state: FlaskState
) -> None:
    """S32: bytes name a registered type by a word; where nobody registered it, it is no value."""

    class Money:
        pass

    state.codec.register(Money, "money", dump=lambda money: 5, load=lambda value: Money())
    guest = Visitor(flaky_app)
    guest.run(lambda: session.update(a=Money()))
    assert type(guest.value(lambda: session["a"])) is Money
    del state.codec._by_name["money"]
    assert guest.value(lambda: session.get("a")) is None
    assert guest.value(lambda: dict(session)) == {}
