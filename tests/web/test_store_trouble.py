"""What a request sees of a store that fails, or that gives back what nobody can read."""

from __future__ import annotations

import collections.abc as cabc
import logging
import typing as t

import flask
import flask_login
import pytest
from werkzeug.exceptions import ServiceUnavailable

from flask_state import session
from flask_state import signals
from flask_state.errors import SerializationError
from flask_state.errors import SessionConflict
from flask_state.errors import SessionReadOnly
from flask_state.errors import StoreError
from tests.web.conftest import Flaky
from tests.web.conftest import MakeApp
from tests.web.conftest import Visitor
from tests.web.conftest import guest_of
from tests.web.conftest import set_cookies


class Heard:
    """The signals an application sent, by name, and the lines logged about sessions."""

    def __init__(self, app: flask.Flask, caplog: pytest.LogCaptureFixture) -> None:
        self.signals: list[str] = []
        self._caplog = caplog
        self._receivers = []
        for name in ("store_down", "store_up", "session_damaged", "session_rejected"):
            receiver = self._receiver(name)
            self._receivers.append(receiver)  # signals hold them weakly
            getattr(signals, name).connect(receiver, app)

    def _receiver(self, name: str) -> cabc.Callable[..., None]:
        def note(sender: flask.Flask, **facts: t.Any) -> None:
            self.signals.append(name)

        return note

    @property
    def lines(self) -> list[str]:
        """Warnings and worse."""
        return [
            record.getMessage()
            for record in self._caplog.records
            if record.name == "flask_state.session" and record.levelno >= logging.WARNING
        ]


@pytest.fixture
def heard(flaky_app: flask.Flask, caplog: pytest.LogCaptureFixture) -> Heard:
    return Heard(flaky_app, caplog)


def fail(store: Flaky) -> None:
    store.failing = {"load", "commit"}


def read() -> None:
    session.get("a")


class TestLoading:
    def test_a_request_that_ignores_the_session_never_notices(
        self, guest: Visitor, store: Flaky, heard: Heard
    ) -> None:
        """S71: no call, no header, no log line."""
        fail(store)
        store.calls.clear()
        response = guest.client.get("/untouched")
        assert (response.status_code, response.text) == (200, "untouched")
        assert guest.client.get("/missing").status_code == 404
        assert (store.calls, heard.signals, heard.lines) == ([], [], [])

    @pytest.mark.parametrize("touch", [read, lambda: session.update(a=2), lambda: len(session)])
    def test_a_touch_is_answered_503_with_retry_after(
        self, guest: Visitor, store: Flaky, touch: cabc.Callable[[], t.Any]
    ) -> None:
        """S71: at once, in one attempt; the client's cookie stays, and sees no evidence."""
        fail(store)
        store.calls.clear()
        response = guest.run(touch)
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) > 0
        assert "fire" not in response.text
        assert not set_cookies(response)
        assert len(store.calls) == 1
        store.failing = set()
        assert guest.value(lambda: dict(session)) == {"a": 1, "b": 2}

    @pytest.mark.parametrize("kind", [StoreError, ServiceUnavailable, 503])
    def test_a_handler_of_the_application_answers_instead(
        self, flaky_app: flask.Flask, store: Flaky, kind: t.Any
    ) -> None:
        """It may look at the session, which is off: as a template of its site does."""

        @flaky_app.errorhandler(kind)
        def handler(error: StoreError) -> tuple[str, int]:
            return f"{error.operation}: no cart for {session.get('name', 'you')}", 418

        guest = guest_of(flaky_app)
        fail(store)
        response = guest.run(read)
        assert (response.status_code, response.text) == (418, "load: no cart for you")
        assert not set_cookies(response)

    def test_a_view_may_catch_it_and_go_on_without_a_session(
        self, guest: Visitor, store: Flaky
    ) -> None:
        def view() -> None:
            with pytest.raises(StoreError):
                session.get("a")
            assert session.get("a") is None
            with pytest.raises(SessionReadOnly, match="store"):
                session["a"] = 2

        fail(store)
        store.calls.clear()
        response = guest.run(view)
        assert (response.status_code, store.calls) == (200, ["load"])
        assert not set_cookies(response)
        store.failing = set()
        assert guest.value(lambda: session["a"]) == 1

    def test_an_outage_between_two_items_is_one_too(self, guest: Visitor, store: Flaky) -> None:
        def view() -> None:
            assert session["a"] == 1
            fail(store)
            session["b"]

        assert guest.run(view).status_code == 503

    def test_a_touch_that_first_comes_after_the_view_fails_soft(
        self, flaky_app: flask.Flask, store: Flaky
    ) -> None:
        """Such as that of Flask-Login, which looks for one name after every view."""
        seen: list[bool] = []

        @flaky_app.after_request
        def look(response: flask.Response) -> flask.Response:
            seen.append("a" in session)
            return response

        flask_login.LoginManager(flaky_app)
        guest = guest_of(flaky_app)
        fail(store)
        seen.clear()
        response = guest.client.get("/untouched")
        assert (response.status_code, response.text, seen) == (200, "untouched", [False])
        assert not set_cookies(response)
        assert guest.run(read).status_code == 503
        store.failing = set()
        assert guest.value(lambda: session["a"]) == 1

    def test_an_end_that_fails_is_none(self, guest: Visitor, store: Flaky) -> None:
        """Whoever signs out is told that it didn't work, and is still signed in."""

        def view() -> None:
            read()
            fail(store)
            session.abandon()

        response = guest.run(view)
        assert response.status_code == 503
        assert not set_cookies(response)
        store.failing = set()
        assert guest.value(lambda: session["a"]) == 1


class TestPolicyEmpty:
    @pytest.fixture
    def flaky_app(self, make_app: MakeApp, store: Flaky) -> flask.Flask:
        return make_app(STATE_URL=store, STATE_SESSION_ON_OUTAGE="empty")

    def test_the_session_reads_as_empty(self, guest: Visitor, store: Flaky, heard: Heard) -> None:
        fail(store)
        seen: list[t.Any] = []
        response = guest.run(lambda: seen.append((dict(session), session.get("a"), "a" in session)))
        assert (response.status_code, seen) == (200, [({}, None, False)])
        assert not set_cookies(response)
        assert heard.signals == ["store_down"]
        store.failing = set()
        assert guest.value(lambda: dict(session)) == {"a": 1, "b": 2}

    def test_a_write_is_not_saved(self, guest: Visitor, store: Flaky) -> None:
        fail(store)
        response = guest.run(lambda: session.update(a=2))
        assert response.status_code == 200
        assert not set_cookies(response)
        store.failing = set()
        assert guest.value(lambda: session["a"]) == 1

    def test_what_cannot_be_saved_is_lost_and_the_response_stays(
        self, guest: Visitor, store: Flaky
    ) -> None:
        store.failing = {"commit"}
        response = guest.run(lambda: session.update(a=2))
        assert (response.status_code, response.text) == (200, "ok")
        assert not set_cookies(response)
        store.failing = set()
        assert guest.value(lambda: session["a"]) == 1

    def test_a_new_visitor_gets_the_page_and_no_cookie(
        self, flaky_app: flask.Flask, store: Flaky
    ) -> None:
        fail(store)
        response = Visitor(flaky_app).run(lambda: session.update(a=1))
        assert response.status_code == 200
        assert not set_cookies(response)


class TestSaving:
    """`save_session` runs outside of Flask's error handling, which is brought to it."""

    def view(self) -> flask.Response:
        session["a"] = 2
        headers = {"X-View": "yes", "Cache-Control": "max-age=60", "Set-Cookie": "other=1"}
        return flask.Response("saved!", headers=headers, mimetype="text/plain")

    def test_a_store_that_fails_is_answered_503(self, guest: Visitor, store: Flaky) -> None:
        """Nothing of the view's answer is left, and there is no second attempt."""
        store.failing = {"commit"}
        store.calls.clear()
        response = guest.run(self.view)
        assert response.status_code == 503
        assert response.headers["Retry-After"]
        assert response.mimetype == "text/html"
        assert "saved!" not in response.text
        assert "X-View" not in response.headers
        assert "Cache-Control" not in response.headers
        assert int(response.headers["Content-Length"]) == len(response.data)
        assert not set_cookies(response)
        assert store.calls == ["load", "commit"]
        store.failing = set()
        assert guest.value(lambda: session["a"]) == 1

    def test_a_new_session_that_cannot_be_stored_gets_no_cookie(
        self, flaky_app: flask.Flask, store: Flaky
    ) -> None:
        visitor = Visitor(flaky_app)
        store.failing = {"commit"}
        assert visitor.run(self.view).status_code == 503
        assert visitor.cookie is None

    def test_a_handler_for_store_errors_answers_instead(
        self, flaky_app: flask.Flask, store: Flaky
    ) -> None:
        @flaky_app.errorhandler(StoreError)
        def handler(error: StoreError) -> t.Any:
            return {"try again after": error.retry_after, "cart": session.get("a")}, 507

        guest = guest_of(flaky_app)
        store.failing = {"commit"}
        response = guest.run(self.view)
        assert response.status_code == 507
        assert response.get_json() == {"try again after": 5, "cart": None}
        assert response.mimetype == "application/json"

    def test_a_value_that_cannot_be_stored_is_answered_500(
        self, flaky_app: flask.Flask, guest: Visitor, store: Flaky
    ) -> None:
        """Flask reports it as any error; the second save it makes then does nothing."""
        errors: list[t.Any] = []

        def note(sender: flask.Flask, exception: Exception, **extra: t.Any) -> None:
            errors.append(exception)

        store.calls.clear()
        with flask.got_request_exception.connected_to(note, flaky_app):
            response = guest.run(lambda: session.update(a=2, b=object()))
        assert response.status_code == 500
        assert not set_cookies(response)
        assert [type(error) for error in errors] == [SerializationError]
        assert errors[0].key == "b"
        assert store.calls == ["load"]
        assert guest.value(lambda: dict(session)) == {"a": 1, "b": 2}

    def test_it_is_raised_in_tests(self, make_app: MakeApp) -> None:
        visitor = Visitor(make_app())
        with pytest.raises(SerializationError, match=r"session\['b'\]"):
            visitor.run(lambda: session.update(b=object()))
        assert visitor.value(lambda: dict(session)) == {}

    def test_a_handler_for_such_values_answers_instead(self, flaky_app: flask.Flask) -> None:
        @flaky_app.errorhandler(SerializationError)
        def handler(error: SerializationError) -> tuple[str, int]:
            return f"can't keep {error.key}", 422

        guest = guest_of(flaky_app)
        response = guest.run(lambda: session.update(a=2, b=object()))
        assert (response.status_code, response.text) == (422, "can't keep b")
        assert guest.value(lambda: dict(session)) == {"a": 1, "b": 2}

    def test_a_conflict_is_answered_409_where_that_is_configured(
        self, make_app: MakeApp, store: Flaky
    ) -> None:
        app = make_app(STATE_URL=store, STATE_SESSION_ON_CONFLICT="error")

        @app.errorhandler(SessionConflict)
        def handler(error: SessionConflict) -> tuple[str, int]:
            return f"somebody changed {', '.join(error.items)}", 409

        visitor, other = Visitor(app), Visitor(app)
        visitor.run(lambda: session.update(a=1))
        other.cookie = visitor.cookie

        def view() -> None:
            session["a"] = session["a"] + 1
            other.run(lambda: session.update(a=10))

        response = visitor.run(view)
        assert (response.status_code, response.text) == (409, "somebody changed a")
        assert visitor.value(lambda: session["a"]) == 10

    def test_a_stream_whose_changes_cannot_be_saved_is_logged(
        self, guest: Visitor, store: Flaky, caplog: pytest.LogCaptureFixture
    ) -> None:
        """There is nobody left to answer."""

        def body() -> cabc.Iterator[str]:
            session["a"] = 2
            store.failing = {"commit"}
            yield "streamed"

        response = guest.run(lambda: flask.Response(flask.stream_with_context(body())))
        assert (response.status_code, response.text) == (200, "streamed")
        assert "after its response could not be saved" in caplog.text
        store.failing = set()
        assert guest.value(lambda: session["a"]) == 1


def test_an_outage_is_one_log_line_and_one_signal_and_so_is_its_end(
    guest: Visitor, store: Flaky, heard: Heard
) -> None:
    for round in (1, 2):
        fail(store)
        for _ in range(3):
            assert guest.run(read).status_code == 503
        assert heard.signals == ["store_down", "store_up"] * (round - 1) + ["store_down"]
        store.failing = set()
        for _ in range(3):
            assert guest.run(read).status_code == 200
        assert heard.signals == ["store_down", "store_up"] * round
    down, up = heard.lines[:2]
    assert "out of order" in down
    assert "the disk is on fire" in down
    assert "are back" in up
    assert len(heard.lines) == 4


def test_a_signal_of_an_outage_carries_the_evidence(
    flaky_app: flask.Flask, guest: Visitor, store: Flaky
) -> None:
    facts: list[dict[str, t.Any]] = []

    def note(sender: flask.Flask, **extra: t.Any) -> None:
        facts.append(extra)

    fail(store)
    with signals.store_down.connected_to(note, flaky_app):
        guest.run(read)
    assert facts[0]["engine"] == store.engine
    assert facts[0]["operation"] == "load"
    assert isinstance(facts[0]["error"], StoreError)
