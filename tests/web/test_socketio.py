"""Flask-SocketIO with `manage_session=False`: events share the session of the pages.

Each event opens the session of the connection's cookie, and saves it with a response that goes
nowhere.
"""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import flask
import flask_socketio
import pytest

from flask_state import session
from tests.web.conftest import Visitor
from tests.web.conftest import storing


class Socket:
    """A connection of a visitor; `emit` has the server run what it is given."""

    def __init__(self, visitor: Visitor) -> None:
        app = visitor.client.application
        server = flask_socketio.SocketIO(app, manage_session=False, async_mode="threading")
        server.on_event("run", self._run)
        server.on_error_default(self._failed)
        self.raised: list[BaseException] = []
        self._body: cabc.Callable[[], t.Any] = lambda: None
        self._client = server.test_client(app, flask_test_client=visitor.client)

    def emit(self, body: cabc.Callable[[], t.Any]) -> t.Any:
        """What `body` returns in a handler."""
        self._body = body
        return self._client.emit("run", callback=True)

    def close(self) -> None:
        if self._client.is_connected():
            self._client.disconnect()

    def _run(self, *given: t.Any) -> t.Any:
        return self._body()

    def _failed(self, error: BaseException) -> None:
        self.raised.append(error)


@pytest.fixture
def started(visitor: Visitor) -> Visitor:
    """A visitor with a session."""
    visitor.run(lambda: session.update(n=1, cart=["tea"]))
    return visitor


@pytest.fixture
def socket(started: Visitor) -> cabc.Iterator[Socket]:
    socket = Socket(started)
    yield socket
    socket.close()


def test_an_event_reads_what_a_page_stored(started: Visitor, socket: Socket) -> None:
    assert socket.emit(lambda: session["n"]) == 1
    started.run(lambda: session.update(n=2))
    assert socket.emit(lambda: session["n"]) == 2


def test_a_page_reads_what_events_stored(started: Visitor, socket: Socket) -> None:
    """Many events of one connection: each is saved."""
    for n in range(2, 6):
        socket.emit(storing(n=n))
        assert started.value(lambda: session["n"]) == n
    socket.emit(lambda: session["cart"].append("cup"))
    assert started.value(lambda: session["cart"]) == ["tea", "cup"]


def test_events_and_pages_that_change_different_items_lose_nothing(
    started: Visitor, socket: Socket
) -> None:
    def view() -> None:
        session["page"] = session["n"]
        socket.emit(lambda: session.update(event=session["n"]))

    started.run(view)
    found = started.value(lambda: dict(session))
    assert (found["page"], found["event"]) == (1, 1)


def test_an_event_that_saves_by_hand_goes_on(started: Visitor, socket: Socket) -> None:
    def handler() -> None:
        session["n"] = 10
        session.commit()
        assert started.value(lambda: session["n"]) == 10
        session["n"] += 1

    socket.emit(handler)
    assert socket.raised == []
    assert started.value(lambda: session["n"]) == 11


def test_events_of_an_ended_session_see_nothing(started: Visitor, socket: Socket) -> None:
    started.run(lambda: session.abandon())
    assert socket.emit(lambda: dict(session)) == {}


def test_events_after_a_regenerate_see_nothing(started: Visitor, socket: Socket) -> None:
    """S10: the connection was made with an id that is dead now. Connect again."""
    started.run(lambda: session.regenerate())
    assert socket.emit(lambda: dict(session)) == {}
    socket.close()
    again = Socket(started)
    assert again.emit(lambda: session["n"]) == 1
    again.close()


def test_an_event_ends_the_session_of_the_pages(started: Visitor, socket: Socket) -> None:
    socket.emit(lambda: session.abandon())
    assert started.value(lambda: dict(session)) == {}


def test_an_event_that_only_reads_saves_nothing(
    app: flask.Flask, started: Visitor, socket: Socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S25: Flask-SocketIO asks `session.modified`, which is computed."""
    saves: list[object] = []
    monkeypatch.setattr(app.session_interface, "save_session", lambda *given: saves.append(given))
    socket.emit(lambda: session["cart"][0])
    assert saves == []
    socket.emit(lambda: session["cart"].append("cup"))
    assert len(saves) == 1


def test_a_handler_that_fails_leaves_the_session_usable(started: Visitor, socket: Socket) -> None:
    socket.emit(lambda: session["missing"])
    assert [type(error) for error in socket.raised] == [KeyError]
    socket.emit(lambda: session.update(n=2))
    assert started.value(lambda: session["n"]) == 2
