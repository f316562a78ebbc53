"""Flask-Login over our sessions: the id at a sign-in, protection, remembering, signing out."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import flask
import flask_login
import pytest
from werkzeug.test import TestResponse

from flask_state import FlaskState
from flask_state import session
from tests.web.conftest import MakeApp
from tests.web.conftest import Visitor
from tests.web.conftest import set_cookies
from tests.web.conftest import steps

# Flask-Login 0.6 dates its cookie with a function that Python 3.12 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

FIREFOX: t.Final = {"User-Agent": "Firefox"}
OTHER: t.Final = {"User-Agent": "curl"}


class User(flask_login.UserMixin):  # type: ignore[misc]  # it comes without types
    def __init__(self, name: str) -> None:
        self.id = name


def with_login(app: flask.Flask) -> flask.Flask:
    """Set Flask-Login up on an application; any name is a user."""
    manager = flask_login.LoginManager(app)
    manager.user_loader(User)
    return app


class Person(Visitor):
    """A visitor who signs in and out, and asks who the application thinks it is."""

    def sign_in(self, name: str = "ann", **request: t.Any) -> TestResponse:
        return self.run(lambda: flask_login.login_user(User(name)), headers=FIREFOX, **request)

    def sign_in_remembered(self, name: str = "ann") -> TestResponse:
        user = User(name)
        return self.run(lambda: flask_login.login_user(user, remember=True), headers=FIREFOX)

    def sign_out(self) -> TestResponse:
        return self.run(lambda: flask_login.logout_user(), headers=FIREFOX)

    def name(self, headers: dict[str, str] = FIREFOX) -> str | None:
        """Who is signed in."""
        found = self.value(lambda: flask_login.current_user.get_id(), headers=headers)
        return t.cast("str | None", found)

    def is_fresh(self, headers: dict[str, str] = FIREFOX) -> bool:
        return bool(self.value(flask_login.login_fresh, headers=headers))

    def forget_session(self) -> None:
        """Close the browser: what remains is the remember cookie."""
        self.cookie = None

    @property
    def remembered(self) -> bool:
        return self.client.get_cookie("remember_token") is not None


@pytest.fixture
def login_app(app: flask.Flask) -> flask.Flask:
    return with_login(app)


@pytest.fixture
def person(login_app: flask.Flask) -> Person:
    return Person(login_app)


@pytest.fixture
def thief(login_app: flask.Flask) -> Person:
    return Person(login_app)


class TestSigningInAndOut:
    def test_a_user_is_signed_in_until_the_sign_out(self, person: Person) -> None:
        assert person.name() is None
        person.sign_in()
        assert person.name() == "ann"
        assert person.is_fresh()
        person.sign_out()
        assert person.name() is None

    def test_a_page_for_users_sends_others_to_sign_in(
        self, login_app: flask.Flask, person: Person
    ) -> None:
        login_app.login_manager.login_view = "untouched"  # type: ignore[attr-defined]
        guarded = flask_login.login_required(lambda: "secret")
        login_app.add_url_rule("/guarded", view_func=guarded, endpoint="guarded")
        assert person.client.get("/guarded").location == "/untouched?next=%2Fguarded"
        assert len(person.value(flask.get_flashed_messages)) == 1
        person.sign_in()
        assert person.client.get("/guarded", headers=FIREFOX).text == "secret"

    def test_what_the_session_held_survives_both(self, person: Person) -> None:
        person.run(lambda: session.update(cart=["tea"]))
        person.sign_in()
        assert person.value(lambda: session["cart"], headers=FIREFOX) == ["tea"]
        person.sign_out()
        assert person.value(lambda: session["cart"], headers=FIREFOX) == ["tea"]

    def test_flask_logins_look_at_every_response_sets_no_cookie(self, person: Person) -> None:
        """Its `after_request` hook asks for one name whatever the view does."""
        response = person.client.get("/untouched")
        assert response.text == "untouched"
        assert not set_cookies(response)
        assert person.client.get("/missing").status_code == 404


class TestIdentity:
    def test_a_sign_in_gives_the_session_a_new_id(self, person: Person) -> None:
        """S14: by default, without a line in the application."""
        person.run(lambda: session.update(cart=["tea"]))
        before, handle = person.cookie, person.value(lambda: session.handle)
        person.sign_in()
        assert person.cookie != before
        assert person.value(lambda: session.handle, headers=FIREFOX) == handle

    def test_an_id_planted_before_the_sign_in_is_dead_after_it(
        self, person: Person, thief: Person
    ) -> None:
        """S15: whoever planted it stays anonymous, and sees nothing."""
        thief.run(lambda: session.update(planted=True))
        person.cookie = planted = thief.cookie
        person.sign_in()
        assert person.name() == "ann"
        assert thief.cookie == planted
        assert thief.name() is None
        assert thief.value(lambda: dict(session), headers=FIREFOX) == {}
        assert person.name() == "ann"

    def test_an_id_stolen_before_the_second_factor_is_dead_after_it(
        self, person: Person, thief: Person
    ) -> None:
        """S14: signing in again, as somebody else too, renews as well."""
        person.sign_in("ann")
        thief.cookie = person.cookie
        person.sign_in("root")
        assert person.name() == "root"
        assert thief.name() is None

    def test_a_remembered_user_gets_a_new_id(self, person: Person, thief: Person) -> None:
        """S14: also where Flask-Login signs in by its own cookie."""
        person.sign_in_remembered()
        person.forget_session()
        thief.run(lambda: session.update(planted=True))
        person.cookie = thief.cookie
        assert person.name() == "ann"
        assert person.cookie != thief.cookie
        assert thief.name() is None

    def test_the_setting_turns_it_off(self, make_app: MakeApp) -> None:
        person = Person(with_login(make_app(STATE_SESSION_RENEW_AT_LOGIN=False)))
        person.run(lambda: session.update(cart=["tea"]))
        before = person.cookie
        person.sign_in()
        assert person.cookie == before
        assert person.name() == "ann"

    def test_a_sign_in_that_fails_later_changes_nothing(self, person: Person) -> None:
        """A response of 500 discards the sign-in, the owner and the new id together."""
        person.run(lambda: session.update(cart=["tea"]))
        before = person.cookie

        def view() -> None:
            flask_login.login_user(User("ann"))
            flask.abort(500)

        assert person.run(view, headers=FIREFOX).status_code == 500
        assert person.cookie == before
        assert person.name() is None


class TestOwner:
    def handles(self, app: flask.Flask, state: FlaskState, owner: str) -> list[str]:
        with app.app_context():
            return [each.handle for each in state.sessions.find(owner)]

    def test_a_sign_in_sets_it_and_a_sign_out_unsets_it(
        self, login_app: flask.Flask, state: FlaskState, person: Person
    ) -> None:
        person.run(lambda: session.update(cart=["tea"]))
        assert self.handles(login_app, state, "ann") == []
        person.sign_in()
        handle = person.value(lambda: session.handle, headers=FIREFOX)
        assert self.handles(login_app, state, "ann") == [handle]
        assert person.value(lambda: session.owner, headers=FIREFOX) == "ann"
        person.sign_out()
        assert self.handles(login_app, state, "ann") == []

    def test_it_follows_a_sign_in_as_somebody_else(
        self, login_app: flask.Flask, state: FlaskState, person: Person
    ) -> None:
        person.sign_in("ann")
        person.sign_in("bob")
        assert self.handles(login_app, state, "ann") == []
        assert len(self.handles(login_app, state, "bob")) == 1

    def test_a_remembered_user_owns_the_session_too(
        self, login_app: flask.Flask, state: FlaskState, person: Person
    ) -> None:
        person.sign_in_remembered()
        person.forget_session()
        assert person.name() == "ann"
        assert len(self.handles(login_app, state, "ann")) == 2

    def test_ending_all_signs_out_every_browser(
        self, login_app: flask.Flask, state: FlaskState
    ) -> None:
        """S22: with the next request, but for the one that asks."""
        here, there, bob = Person(login_app), Person(login_app), Person(login_app)
        here.sign_in("ann")
        there.sign_in("ann")
        bob.sign_in("bob")

        def end_others() -> int:
            return state.sessions.end_all("ann", keep=session.handle)

        assert here.value(end_others, headers=FIREFOX) == 1
        assert [here.name(), there.name(), bob.name()] == ["ann", None, "bob"]
        with login_app.app_context():
            assert state.sessions.end_all("ann") == 1
        assert [here.name(), bob.name()] == [None, "bob"]


class TestProtection:
    """A cookie stolen by another browser, by what `SESSION_PROTECTION` says."""

    def steal(self, app: flask.Flask, permanent: bool = False) -> Person:
        person, thief = Person(with_login(app)), Person(app)
        person.sign_in()
        if permanent:
            person.run(lambda: setattr(session, "permanent", True), headers=FIREFOX)
        thief.cookie = person.cookie
        return thief

    def test_without_protection_it_is_signed_in(self, make_app: MakeApp) -> None:
        thief = self.steal(make_app(SESSION_PROTECTION=None))
        assert (thief.name(OTHER), thief.is_fresh(OTHER)) == ("ann", True)

    def test_basic_protection_makes_it_stale(self, make_app: MakeApp) -> None:
        thief = self.steal(make_app(SESSION_PROTECTION="basic"))
        assert (thief.name(OTHER), thief.is_fresh(OTHER)) == ("ann", False)

    def test_strong_protection_signs_it_out(self, make_app: MakeApp) -> None:
        """Sessions are not permanent by default: that would turn "strong" into "basic"."""
        thief = self.steal(make_app(SESSION_PROTECTION="strong"))
        assert thief.name(OTHER) is None
        assert thief.name(FIREFOX) is None

    def test_strong_protection_of_a_permanent_session_is_basic(self, make_app: MakeApp) -> None:
        """So Flask-Login has it: `permanent` means to it what Flask says."""
        thief = self.steal(make_app(SESSION_PROTECTION="strong"), permanent=True)
        assert (thief.name(OTHER), thief.is_fresh(OTHER)) == ("ann", False)

    def test_strong_protection_takes_the_session_from_its_owner(
        self, make_app: MakeApp, state: FlaskState
    ) -> None:
        app = make_app(SESSION_PROTECTION="strong")
        assert self.steal(app).name(OTHER) is None
        with app.app_context():
            assert state.sessions.find("ann") == []


class TestRemembering:
    def test_a_remembered_user_comes_back_stale_and_can_confirm(self, person: Person) -> None:
        person.sign_in_remembered()
        assert person.is_fresh()
        person.forget_session()
        assert person.name() == "ann"
        assert not person.is_fresh()
        person.run(flask_login.confirm_login, headers=FIREFOX)
        assert person.is_fresh()

    def test_a_user_who_is_not_remembered_does_not_come_back(self, person: Person) -> None:
        person.sign_in()
        assert not person.remembered
        person.forget_session()
        assert person.name() is None

    def test_a_page_for_fresh_users_asks_the_remembered_to_sign_in_again(
        self, login_app: flask.Flask, person: Person
    ) -> None:
        fresh = flask_login.fresh_login_required(lambda: "payment")
        login_app.add_url_rule("/pay", view_func=fresh, endpoint="pay")
        person.sign_in_remembered()
        assert person.client.get("/pay", headers=FIREFOX).text == "payment"
        person.forget_session()
        assert person.client.get("/pay", headers=FIREFOX).status_code == 401


def abandon() -> None:
    session.abandon()


class TestAbandon:
    """Ending the session and signing out, in either order: the next request is anonymous."""

    WAYS: t.ClassVar[dict[str, list[cabc.Callable[[], t.Any]]]] = {
        "sign out": [flask_login.logout_user],
        "sign out, then abandon": [flask_login.logout_user, abandon],
        "abandon, then sign out": [abandon, flask_login.logout_user],
        "sign out, then clear": [flask_login.logout_user, lambda: session.pop("cart")],
    }

    @pytest.mark.parametrize("remember", [True, False])
    @pytest.mark.parametrize("way", WAYS)
    def test_the_next_request_is_anonymous(
        self, person: Person, thief: Person, way: str, remember: bool
    ) -> None:
        """S19: so is a copy of the cookie, and the remember cookie is gone."""
        person.run(lambda: session.update(cart=["tea"]))
        person.sign_in_remembered() if remember else person.sign_in()
        assert person.remembered == remember
        thief.cookie = person.cookie
        response = person.run(steps(*self.WAYS[way]), headers=FIREFOX)
        assert response.status_code == 200
        assert not person.remembered
        assert person.name() is None
        assert thief.name() is None
        if "abandon" in way:
            assert person.cookie is None
            assert thief.value(lambda: dict(session), headers=FIREFOX) == {}

    @pytest.mark.parametrize("way", ["sign out, then abandon", "abandon, then sign out"])
    def test_it_happens_though_the_response_fails(
        self, person: Person, thief: Person, way: str
    ) -> None:
        """S17: an end is an end, whatever comes after it."""
        person.sign_in()
        thief.cookie = person.cookie

        def view() -> None:
            for step in self.WAYS[way]:
                step()
            flask.abort(500)

        assert person.run(view, headers=FIREFOX).status_code == 500
        assert [person.name(), thief.name()] == [None, None]

    @pytest.mark.parametrize("remember", [True, False])
    def test_a_farewell_flashed_after_it_begins_a_new_session(
        self, person: Person, thief: Person, remember: bool
    ) -> None:
        person.sign_in_remembered() if remember else person.sign_in()
        thief.cookie = person.cookie

        def view() -> None:
            flask_login.logout_user()
            abandon()
            flask.flash("bye")

        person.run(view, headers=FIREFOX)
        assert person.cookie is not None
        assert thief.cookie is not None
        assert person.cookie[:10] != thief.cookie[:10]
        assert person.value(flask.get_flashed_messages, headers=FIREFOX) == ["bye"]
        assert [person.name(), thief.name()] == [None, None]
        assert not person.remembered

    def test_signing_in_again_after_it_begins_a_new_session(
        self, person: Person, thief: Person
    ) -> None:
        person.sign_in("ann")
        thief.cookie = person.cookie
        person.run(steps(abandon, lambda: flask_login.login_user(User("bob"))), headers=FIREFOX)
        assert [person.name(), thief.name()] == ["bob", None]
        assert person.value(lambda: session.owner, headers=FIREFOX) == "bob"
