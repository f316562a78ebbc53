"""Sessions in streams, which run after the response's headers have left."""

from __future__ import annotations

import collections.abc as cabc
import gc
import typing as t
import weakref

import flask
import pytest

from flask_state import FlaskState
from flask_state import session
from flask_state.errors import StateError
from tests.web.conftest import Visitor

Body = cabc.Callable[[], cabc.Iterator[str]]


def stream(body: Body) -> cabc.Callable[[], flask.Response]:
    """A view that answers with a stream in the context of its request."""
    return lambda: flask.Response(flask.stream_with_context(body()))


def test_a_stream_reads_what_the_view_stored(visitor: Visitor) -> None:
    def view() -> flask.Response:
        session["a"] = "stored"

        def body() -> cabc.Iterator[str]:
            yield session["a"]

        return flask.Response(flask.stream_with_context(body()))

    assert visitor.run(view).text == "stored"


def test_a_decorated_generator_reads_it_too(visitor: Visitor) -> None:
    def view() -> flask.Response:
        session["a"] = "stored"

        def body(name: str) -> cabc.Iterator[str]:
            yield session[name]

        decorated: t.Any = flask.stream_with_context(body)
        return flask.Response(decorated("a"))

    assert visitor.run(view).text == "stored"


def test_a_stream_reads_what_the_view_did_not_touch(visitor: Visitor) -> None:
    visitor.run(lambda: session.update(a="stored"))

    def body() -> cabc.Iterator[str]:
        yield session["a"]

    assert visitor.run(stream(body)).text == "stored"


@pytest.mark.parametrize("touched", [True, False])
def test_what_a_stream_changes_is_committed_when_it_ends(visitor: Visitor, touched: bool) -> None:
    visitor.run(lambda: session.update(n=1, items=["x"], old=1))

    def body() -> cabc.Iterator[str]:
        session["n"] += 1
        yield "."
        session["items"].append("y")
        del session["old"]

    def view() -> flask.Response:
        if touched:
            session["n"] += 10
        return stream(body)()

    assert visitor.run(view).text == "."
    expected = {"n": 12 if touched else 2, "items": ["x", "y"]}
    assert visitor.value(lambda: dict(session)) == expected


def test_a_stream_goes_on_with_a_session_its_view_started(visitor: Visitor) -> None:
    """The client gets the id with the headers, before the stream: so it holds it."""

    def body() -> cabc.Iterator[str]:
        session["b"] = 2
        yield "."

    def view() -> flask.Response:
        session["a"] = 1
        return stream(body)()

    visitor.run(view)
    assert visitor.value(lambda: dict(session)) == {"a": 1, "b": 2}


def test_a_stream_that_fails_changes_nothing(visitor: Visitor) -> None:
    visitor.run(lambda: session.update(n=1))

    def body() -> cabc.Iterator[str]:
        session["n"] = 2
        yield str(1 / 0)

    with pytest.raises(ZeroDivisionError):
        visitor.run(stream(body))
    assert visitor.value(lambda: session["n"]) == 1


@pytest.mark.parametrize("started", [True, False])
def test_a_stream_cannot_start_a_session(
    visitor: Visitor, app: flask.Flask, state: FlaskState, started: bool
) -> None:
    """The headers have left: an id would never reach the client."""

    def body() -> cabc.Iterator[str]:
        assert "a" not in session
        with pytest.raises(StateError, match=r"session\.commit\(\)"):
            session["a"] = 1
        yield "."

    def view() -> flask.Response:
        if started:
            session["a"] = 1
            session.clear()
        return stream(body)()

    assert visitor.run(view).text == "."
    with app.app_context():
        assert state.sessions.count() == 0


@pytest.mark.parametrize("touched", [True, False])
@pytest.mark.parametrize("verb", ["regenerate", "abandon"])
def test_a_stream_cannot_regenerate_or_end_a_session(
    visitor: Visitor, verb: str, touched: bool
) -> None:
    visitor.run(lambda: session.update(a=1))
    before = visitor.cookie

    def body() -> cabc.Iterator[str]:
        with pytest.raises(StateError, match=r"session\.commit\(\)"):
            getattr(session, verb)()
        yield "."

    def view() -> flask.Response:
        if touched:
            session["b"] = 2
        return stream(body)()

    assert visitor.run(view).text == "."
    assert visitor.cookie == before
    assert visitor.value(lambda: session["a"]) == 1


def test_a_stream_cannot_fill_what_its_view_ended(visitor: Visitor) -> None:
    visitor.run(lambda: session.update(a=1))

    def body() -> cabc.Iterator[str]:
        assert dict(session) == {}
        with pytest.raises(StateError, match="response has left"):
            session["a"] = 2
        yield "."

    def view() -> flask.Response:
        session.abandon()
        return stream(body)()

    assert visitor.run(view).text == "."
    assert visitor.cookie is None


def test_a_stream_that_empties_a_session_ends_it(visitor: Visitor) -> None:
    visitor.run(lambda: session.update(a=1))

    def body() -> cabc.Iterator[str]:
        session.clear()
        yield "."

    visitor.run(stream(body))
    assert visitor.value(lambda: dict(session)) == {}


def test_a_teardown_that_fails_leaves_nothing_behind(app: flask.Flask, visitor: Visitor) -> None:
    """The changes of a stream are committed after the application's own teardown functions."""
    streamed: list[weakref.ref[t.Any]] = []

    @app.teardown_request
    def fails(error: BaseException | None) -> None:
        if "streamed" in flask.g:
            raise LookupError

    def body() -> cabc.Iterator[str]:
        session["a"] = 2
        proxy: t.Any = session
        streamed.append(weakref.ref(proxy._get_current_object()))
        flask.g.streamed = True
        yield "."

    visitor.run(lambda: session.update(a=1))
    with pytest.raises(LookupError):
        visitor.run(stream(body))
    gc.collect()
    assert streamed[0]() is None
    assert visitor.value(lambda: session["a"]) == 1


def test_commit_and_reload_work_in_a_stream(visitor: Visitor) -> None:
    """What is committed in a stream stays, though the rest of it fails."""
    other = Visitor(visitor.client.application)
    visitor.run(lambda: session.update(n=1))
    other.cookie = visitor.cookie

    def body() -> cabc.Iterator[str]:
        session["n"] = 2
        session.commit()
        yield "."
        other.run(lambda: session.update(n=session["n"] * 10))
        session.reload()
        session["n"] += 1
        session.commit()
        session["n"] = 99
        yield str(1 / 0)

    with pytest.raises(ZeroDivisionError):
        visitor.run(stream(body))
    assert visitor.value(lambda: session["n"]) == 21
