"""Flask-DebugToolbar over our sessions: it looks at them in every request."""

from __future__ import annotations

import typing as t

import flask
import pytest
from flask_debugtoolbar import DebugToolbarExtension

from flask_state import session
from tests.web.conftest import MakeApp
from tests.web.conftest import Visitor
from tests.web.conftest import set_cookies

PAGE = "<html><body>{}</body></html>"


def page(text: object) -> flask.Response:
    return flask.Response(PAGE.format(text), content_type="text/html")


@pytest.fixture
def debugged(make_app: MakeApp) -> Visitor:
    app = make_app(DEBUG=True, DEBUG_TB_INTERCEPT_REDIRECTS=True)
    DebugToolbarExtension(app)
    return Visitor(app)


def test_a_session_works_under_the_toolbar(debugged: Visitor) -> None:
    def view() -> flask.Response:
        session["n"] = session.get("n", 0) + 1
        return page(f"visit {session['n']}")

    for n in (1, 2, 3):
        response = debugged.run(view)
        assert f"visit {n}" in response.text
        assert "flDebug" in response.text
        assert "Cookie" in response.vary


def test_the_toolbar_shows_the_values_of_the_session(debugged: Visitor) -> None:
    debugged.run(lambda: session.update(cart=["green tea"]))
    assert "green tea" in debugged.run(lambda: page("")).text


def test_the_toolbar_starts_no_session_and_changes_none(debugged: Visitor) -> None:
    response = debugged.run(lambda: page("nothing"))
    assert "flDebug" in response.text
    assert not set_cookies(response)
    debugged.run(lambda: session.update(a=[1]))
    assert not set_cookies(debugged.run(lambda: page("nothing")))
    assert debugged.value(lambda: dict(session)) == {"a": [1]}


def test_an_intercepted_redirect_keeps_what_its_view_stored(debugged: Visitor) -> None:
    def view() -> t.Any:
        session["a"] = 1
        return flask.make_response(flask.redirect("/untouched"))

    response = debugged.run(view)
    assert response.status_code == 200
    assert "/untouched" in response.text
    assert debugged.value(lambda: session["a"]) == 1


def test_flashes_and_transactions_work_under_the_toolbar(debugged: Visitor) -> None:
    debugged.run(lambda: flask.flash("saved"))
    assert debugged.value(flask.get_flashed_messages) == ["saved"]
    with debugged.client.session_transaction() as found:
        found["a"] = 1
    assert debugged.value(lambda: session["a"]) == 1


def test_a_failed_view_discards_under_the_toolbar_too(debugged: Visitor) -> None:
    def view() -> t.Any:
        session["a"] = 1
        flask.abort(500)

    assert debugged.run(view).status_code == 500
    assert debugged.value(lambda: dict(session)) == {}
