"""Flask-WTF's CSRF protection over our sessions, which hold its token."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import flask
import flask_login
import flask_wtf
import flask_wtf.csrf
import pytest
import wtforms
from werkzeug.test import TestResponse

from flask_state import session
from tests.web.conftest import MakeApp
from tests.web.conftest import Visitor
from tests.web.conftest import set_cookies


class NameForm(flask_wtf.FlaskForm):  # type: ignore[misc]  # it comes without types
    name = wtforms.StringField()


class Shopper(Visitor):
    """A visitor who asks for a token and posts with it."""

    def token(self) -> str:
        """What a form or a page's script is given."""
        return t.cast(str, self.value(flask_wtf.csrf.generate_csrf))

    def post(
        self, token: str | None, body: cabc.Callable[[], t.Any] = lambda: None, **request: t.Any
    ) -> TestResponse:
        data = {"name": "Ann"} | ({"csrf_token": token} if token is not None else {})
        return self.run(body, method="POST", data=data, **request)

    def post_header(self, token: str) -> TestResponse:
        return self.run(lambda: None, method="POST", json={}, headers={"X-CSRFToken": token})


@pytest.fixture
def shopper(app: flask.Flask) -> Shopper:
    flask_wtf.CSRFProtect(app)
    return Shopper(app)


@pytest.fixture
def attacker(shopper: Shopper) -> Shopper:
    return Shopper(shopper.client.application)


def test_a_form_posts_with_its_token_and_not_without(shopper: Shopper) -> None:
    token = shopper.token()
    assert shopper.post(token).status_code == 200
    assert shopper.post(token).status_code == 200
    assert shopper.post(None).status_code == 400
    assert shopper.post(token[::-1]).status_code == 400


def test_a_script_posts_with_a_header(shopper: Shopper) -> None:
    assert shopper.post_header(shopper.token()).status_code == 200
    assert shopper.post_header("x").status_code == 400


def test_rendering_a_form_starts_a_session(shopper: Shopper) -> None:
    """The token is an item, written when the form is rendered: so the page sets a cookie."""
    page = "<form>{{ form.hidden_tag() }}</form>"
    response = shopper.run(
        lambda: flask.make_response(flask.render_template_string(page, form=NameForm()))
    )
    assert 'name="csrf_token"' in response.text
    assert len(set_cookies(response)) == 1
    assert "Cookie" in response.vary
    assert shopper.value(lambda: list(session)) == ["csrf_token"]


def test_a_form_validates_by_itself(make_app: MakeApp) -> None:
    """Also without `CSRFProtect` on the whole application."""
    shopper = Shopper(make_app())
    answers: list[tuple[bool, t.Any]] = []

    def view() -> None:
        form = NameForm()
        answers.append((form.validate_on_submit(), form.name.data))

    shopper.post(shopper.token(), view)
    shopper.post("x", view)
    assert answers == [(True, "Ann"), (False, "Ann")]


def test_a_token_of_another_session_is_refused(shopper: Shopper, attacker: Shopper) -> None:
    shopper.token()
    assert shopper.post(attacker.token()).status_code == 400


def test_a_token_without_a_session_is_refused(shopper: Shopper) -> None:
    token = shopper.token()
    shopper.cookie = None
    assert shopper.post(token).status_code == 400


def test_a_form_rendered_before_regenerate_still_posts(shopper: Shopper) -> None:
    """A tab that was open when the id changed: the data, and so the token, is the same."""
    token, before = shopper.token(), shopper.cookie
    assert shopper.post(token, lambda: session.regenerate()).status_code == 200
    assert shopper.cookie != before
    assert shopper.post(token).status_code == 200
    assert shopper.post_header(token).status_code == 200


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
def test_a_form_rendered_before_a_sign_in_still_posts(shopper: Shopper) -> None:
    flask_login.LoginManager(shopper.client.application).user_loader(lambda name: None)
    token, before = shopper.token(), shopper.cookie
    user = type("User", (flask_login.UserMixin,), {"id": "ann"})()
    assert shopper.post(token, lambda: flask_login.login_user(user)).status_code == 200
    assert shopper.cookie != before
    assert shopper.post(token).status_code == 200


@pytest.mark.parametrize("refilled", [True, False])
def test_a_form_rendered_before_abandon_is_refused(shopper: Shopper, refilled: bool) -> None:
    """S19: the token ends with its session, a new one or none in its place."""
    token = shopper.token()

    def view() -> None:
        session.abandon()
        if refilled:
            session["a"] = 1

    assert shopper.post(token, view).status_code == 200
    assert (shopper.cookie is not None) == refilled
    assert shopper.post(token).status_code == 400
    assert shopper.post(shopper.token()).status_code == 200


def test_a_token_made_after_abandon_belongs_to_the_new_session(shopper: Shopper) -> None:
    """Flask-WTF keeps one token per request: what it gave out before the end is not stored."""
    old = shopper.token()
    shopper.run(lambda: session.abandon())
    new = shopper.token()
    assert shopper.post(new).status_code == 200
    assert shopper.post(old).status_code == 400


def test_a_refused_post_changes_nothing(shopper: Shopper) -> None:
    shopper.token()
    before = shopper.value(lambda: dict(session))
    response = shopper.post("x", lambda: session.update(stolen=True))
    assert response.status_code == 400
    assert shopper.value(lambda: dict(session)) == before
