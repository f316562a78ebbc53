"""A response of status 500 or above, or none at all, discards what its request changed."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import flask
import pytest

from flask_state import FlaskState
from flask_state import session
from tests.web.conftest import MakeApp
from tests.web.conftest import Visitor
from tests.web.conftest import guest_of
from tests.web.conftest import steps


class Oops(Exception):
    """An error that the application handles."""


def raised() -> t.NoReturn:
    raise ZeroDivisionError


def handled() -> t.NoReturn:
    raise Oops


def aborted() -> t.NoReturn:
    flask.abort(500)


def unavailable() -> t.NoReturn:
    flask.abort(503)


def returned() -> flask.Response:
    return flask.make_response("sorry", 500)


WAYS: t.Final = [raised, handled, aborted, unavailable, returned]


def use(make_app: MakeApp, **config: t.Any) -> Visitor:
    """A visitor with a session, of an application whose errors become responses."""
    app = make_app(PROPAGATE_EXCEPTIONS=False, **config)

    @app.errorhandler(Oops)
    def sorry(error: Oops) -> tuple[str, int]:
        session["handler"] = True
        return "sorry", 500

    return guest_of(app)


def changing(end: cabc.Callable[[], t.Any]) -> cabc.Callable[[], t.Any]:
    """A view that changes what there is, and then ends in some way."""

    def view() -> t.Any:
        session["a"] = 10
        session["c"] = 3
        del session["b"]
        return end()

    return view


@pytest.mark.parametrize("end", WAYS)
class TestStatus:
    def test_changes_are_discarded_however_it_came_about(
        self, make_app: MakeApp, end: t.Any
    ) -> None:
        visitor = use(make_app)
        before = visitor.cookie
        assert visitor.run(changing(end)).status_code >= 500
        assert visitor.value(lambda: dict(session)) == {"a": 1, "b": 2}
        assert visitor.cookie == before

    def test_a_new_session_is_not_begun(
        self, make_app: MakeApp, state: FlaskState, end: t.Any
    ) -> None:
        visitor = use(make_app)
        visitor.cookie = None

        def view() -> t.Any:
            session["a"] = 1
            return end()

        assert visitor.run(view).status_code >= 500
        assert visitor.cookie is None
        with visitor.client.application.app_context():
            assert state.sessions.count() == 1

    def test_the_id_stays(self, make_app: MakeApp, end: t.Any) -> None:
        visitor = use(make_app)
        before = visitor.cookie
        visitor.run(steps(lambda: session.regenerate(), end))
        assert visitor.cookie == before
        assert visitor.value(lambda: session["a"]) == 1

    def test_what_was_committed_before_stays(self, make_app: MakeApp, end: t.Any) -> None:
        visitor = use(make_app)

        def view() -> t.Any:
            session["a"] = 5
            session.commit()
            return changing(end)()

        visitor.run(view)
        assert visitor.value(lambda: dict(session)) == {"a": 5, "b": 2}

    def test_a_setting_keeps_them(self, make_app: MakeApp, end: t.Any) -> None:
        visitor = use(make_app, STATE_SESSION_SAVE_ON_ERROR=True)
        assert visitor.run(changing(end)).status_code >= 500
        expected = {"a": 10, "c": 3} | ({"handler": True} if end is handled else {})
        assert visitor.value(lambda: dict(session)) == expected


@pytest.mark.parametrize("status", [200, 302, 404, 409, 499])
def test_other_statuses_keep_them(make_app: MakeApp, status: int) -> None:
    visitor = use(make_app)
    visitor.run(changing(lambda: flask.make_response("", status)))
    assert visitor.value(lambda: dict(session)) == {"a": 10, "c": 3}


def test_an_after_request_function_may_decide_it(make_app: MakeApp) -> None:
    """The status that counts is the one that leaves."""
    app = make_app()

    @app.after_request
    def rescue(response: flask.Response) -> flask.Response:
        response.status_code = {500: 200, 200: 500}[response.status_code]
        return response

    visitor = Visitor(app)
    assert visitor.run(lambda: session.update(a=1)).status_code == 500
    assert visitor.cookie is None
    assert visitor.run(steps(lambda: session.update(a=2), returned)).status_code == 200
    assert visitor.cookie is not None


def test_no_response_at_all_discards_them(make_app: MakeApp) -> None:
    """What is no `Exception` passes Flask by: the worker is going."""
    visitor = use(make_app)

    def going() -> t.NoReturn:
        raise SystemExit

    with pytest.raises(SystemExit):
        visitor.run(changing(going))
    assert visitor.value(lambda: dict(session)) == {"a": 1, "b": 2}


def test_an_error_in_an_after_request_function_discards_them(make_app: MakeApp) -> None:
    app = make_app(PROPAGATE_EXCEPTIONS=False)

    @app.after_request
    def fails(response: flask.Response) -> flask.Response:
        if flask.request.args:
            raise ZeroDivisionError
        return response

    visitor = guest_of(app)
    assert visitor.run(changing(lambda: None), query_string={"fail": 1}).status_code == 500
    assert visitor.value(lambda: dict(session)) == {"a": 1, "b": 2}


def test_an_error_in_a_teardown_function_comes_too_late(make_app: MakeApp) -> None:
    """The response has left with what was saved."""
    app = make_app()

    @app.teardown_request
    def fails(error: BaseException | None) -> None:
        if flask.request.args:
            raise ZeroDivisionError

    visitor = guest_of(app)
    with pytest.raises(ZeroDivisionError):
        visitor.run(changing(lambda: None), query_string={"fail": 1})
    assert visitor.value(lambda: dict(session)) == {"a": 10, "c": 3}
