"""Static files: hooks that run for every request run for them too, and break nothing."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import flask
import flask_login
import pytest

from flask_state import session
from tests.web.conftest import Flaky
from tests.web.conftest import Visitor
from tests.web.conftest import set_cookies

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")


def with_static(app: flask.Flask) -> flask.Flask:
    """Give the application a style sheet."""
    app.add_url_rule("/static/<path:filename>", endpoint="static", view_func=lambda filename: "css")
    return app


def with_login(app: flask.Flask) -> cabc.Callable[[], t.Any]:
    """Give the application Flask-Login; returns a view that signs in, to be remembered."""
    kind = type("User", (flask_login.UserMixin,), {"id": "ann"})
    flask_login.LoginManager(app).user_loader(lambda name: kind())
    return lambda: flask_login.login_user(kind(), remember=True)


def test_a_hook_that_counts_every_request_works_for_them(app: flask.Flask) -> None:
    with_static(app)

    @app.before_request
    def count() -> None:
        session["n"] = session.get("n", 0) + 1

    visitor = Visitor(app)
    assert [visitor.client.get("/static/a.css").status_code for _ in range(3)] == [200] * 3
    assert visitor.value(lambda: session["n"]) == 4


@pytest.mark.parametrize("closed", [True, False])
def test_a_hook_that_asks_who_is_there_works_for_them(app: flask.Flask, closed: bool) -> None:
    """Flask-Login signs a remembered user in at the first look, be it for a style sheet."""
    sign_in = with_login(with_static(app))
    seen: list[t.Any] = []

    @app.before_request
    def look() -> None:
        seen.append(flask_login.current_user.get_id())
        session.permanent = True

    visitor = Visitor(app)
    visitor.run(sign_in)
    if closed:
        visitor.cookie = None
    assert visitor.client.get("/static/a.css").text == "css"
    assert seen[-1] == "ann"


def test_flask_logins_look_after_every_view_costs_them_nothing(
    flaky_app: flask.Flask, store: Flaky
) -> None:
    """Its `after_request` hook asks for one name; no store is asked, and no cookie set."""
    sign_in = with_login(with_static(flaky_app))
    visitor = Visitor(flaky_app)
    visitor.run(sign_in)
    store.calls.clear()
    response = visitor.client.get("/static/a.css")
    assert (response.text, store.calls) == ("css", [])
    assert not set_cookies(response)


def test_a_permanent_session_for_everybody_costs_them_nothing(
    flaky_app: flask.Flask, store: Flaky
) -> None:
    """`session.permanent = True` before every request: the id alone says whether it was."""
    with_static(flaky_app)

    @flaky_app.before_request
    def keep() -> None:
        session.permanent = True

    visitor = Visitor(flaky_app)
    assert not set_cookies(visitor.client.get("/static/a.css"))
    visitor.run(lambda: session.update(a=1))
    cookie = visitor.client.get_cookie("session")
    assert cookie is not None
    assert cookie.expires is not None
    store.calls.clear()
    for path in ("/untouched", "/static/a.css"):
        response = visitor.client.get(path)
        assert response.status_code == 200
        assert len(set_cookies(response)) == 1
        assert "Cookie" in response.vary
    assert store.calls == []
    assert visitor.value(lambda: (session["a"], session.permanent)) == (1, True)
