"""What else Flask promises about sessions: flashes, keys, hooks, the test client."""

from __future__ import annotations

import functools
import gc
import typing as t
import weakref

import flask
import pytest
from markupsafe import Markup

from flask_state import FlaskState
from flask_state import session
from flask_state.errors import ConfigurationError
from flask_state.web.sessions import Session
from flask_state.web.sessions import StateSessionInterface
from tests.web.conftest import SECRET_KEY
from tests.web.conftest import MakeApp
from tests.web.conftest import Visitor
from tests.web.conftest import steps


class TestFlashes:
    def test_messages_come_back_once_with_their_categories(self, visitor: Visitor) -> None:
        def flash() -> None:
            flask.flash("plain")
            flask.flash(Markup("<em>bold</em>"), "error")
            flask.flash("saved", "info")

        visitor.run(flash)
        messages = visitor.value(lambda: flask.get_flashed_messages(with_categories=True))
        assert messages == [("message", "plain"), ("error", "<em>bold</em>"), ("info", "saved")]
        assert [type(text) for _, text in messages] == [str, Markup, str]
        assert visitor.value(flask.get_flashed_messages) == []
        assert visitor.value(lambda: list(session)) == []

    def test_they_can_be_asked_for_by_category(self, visitor: Visitor) -> None:
        visitor.run(steps(*(functools.partial(flask.flash, each, each) for each in "abc")))
        filtered = visitor.value(lambda: flask.get_flashed_messages(category_filter=["a", "c"]))
        assert filtered == ["a", "c"]

    def test_they_add_up_until_they_are_read(self, visitor: Visitor) -> None:
        for text in ("one", "two", "three"):
            visitor.run(functools.partial(flask.flash, text))
        assert visitor.value(flask.get_flashed_messages) == ["one", "two", "three"]

    def test_they_are_read_in_the_request_that_made_them(self, visitor: Visitor) -> None:
        def view() -> list[t.Any]:
            flask.flash("now")
            return [flask.get_flashed_messages(), flask.get_flashed_messages()]

        assert visitor.value(view) == [["now"], ["now"]]

    def test_a_template_shows_them_with_markup_unescaped(self, visitor: Visitor) -> None:
        page = "{% for each in get_flashed_messages() %}{{ each }}{% endfor %}"
        visitor.run(steps(lambda: flask.flash("<i>"), lambda: flask.flash(Markup("<b>"))))
        response = visitor.run(lambda: flask.make_response(flask.render_template_string(page)))
        assert response.text == "&lt;i&gt;<b>"


class TestSecretKeys:
    def test_a_key_of_the_class_counts(self, engine_url: str) -> None:
        """Flask reads `app.secret_key`, which a subclass may say."""

        class Shop(flask.Flask):
            secret_key = SECRET_KEY
            testing = True

        app = Shop("shop")
        app.config["STATE_URL"] = engine_url
        FlaskState(app)
        client = app.test_client()
        for _ in range(2):
            with client.session_transaction() as found:
                found["n"] = found.get("n", 0) + 1
        assert found["n"] == 2
        app.extensions["flask_state"].parts.store.close()

    def test_fallbacks_open_what_older_keys_made(self, app: flask.Flask, visitor: Visitor) -> None:
        visitor.run(lambda: session.update(a=1))
        app.secret_key = "a new key that is long enough"
        assert visitor.value(lambda: dict(session)) == {}
        app.config["SECRET_KEY_FALLBACKS"] = ["the oldest key, not used here", SECRET_KEY]
        assert visitor.value(lambda: dict(session)) == {"a": 1}

    def test_what_a_fallback_opened_is_made_again(self, app: flask.Flask, visitor: Visitor) -> None:
        """S38: once used, a session no longer needs the old key."""
        visitor.run(lambda: session.update(a=1))
        app.secret_key = "a new key that is long enough"
        app.config["SECRET_KEY_FALLBACKS"] = [SECRET_KEY]
        visitor.run(lambda: session.get("a"))
        app.config["SECRET_KEY_FALLBACKS"] = []
        assert visitor.value(lambda: dict(session)) == {"a": 1}

    def test_a_string_of_fallbacks_is_refused(self, make_app: MakeApp) -> None:
        """S37: it would be taken apart into one-character keys."""
        visitor = Visitor(make_app(SECRET_KEY_FALLBACKS="old key"))
        with pytest.raises(ConfigurationError, match="must be a list"):
            visitor.run(lambda: session.update(a=1))


class TestInterface:
    def test_the_cookie_name_may_depend_on_the_request(self, app: flask.Flask) -> None:
        """The hooks `get_cookie_*` of a class derived from ours are used."""

        class PerPath(StateSessionInterface):
            def get_cookie_name(self, app: flask.Flask) -> str:
                return "pos" if flask.request.args.get("pos") else "web"

        app.session_interface.__class__ = PerPath
        visitor = Visitor(app)
        visitor.run(lambda: session.update(a="web"))
        visitor.run(lambda: session.update(a="pos"), query_string={"pos": 1})
        assert visitor.value(lambda: session["a"]) == "web"
        assert visitor.value(lambda: session["a"], query_string={"pos": 1}) == "pos"

    def test_an_interface_may_match_the_request_first(self, app: flask.Flask) -> None:
        """`request.endpoint` is there in `open_session` for who asks for it."""
        endpoints = []

        class Matching(StateSessionInterface):
            def open_session(self, app: flask.Flask, request: flask.Request) -> Session | None:
                adapter = app.create_url_adapter(request)
                assert adapter is not None
                request.url_rule, _ = adapter.match(return_rule=True)
                endpoints.append(request.endpoint)
                return super().open_session(app, request)

        app.session_interface.__class__ = Matching
        visitor = Visitor(app)
        visitor.run(lambda: session.update(a=1))
        assert visitor.value(lambda: session["a"]) == 1
        assert endpoints == ["_run", "_run"]

    def test_a_test_request_context_saves_nothing(
        self, app: flask.Flask, state: FlaskState, visitor: Visitor
    ) -> None:
        with app.test_request_context():
            session["a"] = 1
            assert session["a"] == 1
            assert state.sessions.count() == 0
        visitor.run(lambda: session.update(a=1))
        with app.test_request_context(headers={"Cookie": f"session={visitor.cookie}"}):
            assert session["a"] == 1
            session["a"] = 2
        assert visitor.value(lambda: session["a"]) == 1

    def test_an_app_is_freed_when_nobody_holds_it(self, engine_url: str) -> None:
        """No cycle goes through the extension: an app needs no garbage collector to go."""
        app = flask.Flask("gone")
        app.config.update(TESTING=True, SECRET_KEY=SECRET_KEY, STATE_URL=engine_url)
        FlaskState(app)

        @app.get("/")
        def index() -> str:
            session["a"] = session.get("a", 0) + 1
            return str(session["a"])

        client = app.test_client()
        assert [client.get("/").text, client.get("/").text] == ["1", "2"]
        store, reference = app.extensions["flask_state"].parts.store, weakref.ref(app)
        gc.disable()
        try:
            del app, client, index
            assert reference() is None
        finally:
            gc.enable()
            store.close()


class TestTransaction:
    """`client.session_transaction()`, which opens a session twice and saves it once."""

    def test_what_it_stores_is_there_in_the_next_request(self, visitor: Visitor) -> None:
        with visitor.client.session_transaction() as before:
            assert len(before) == 0
            before["a"] = [1]
            assert before["a"] == [1]
        assert visitor.value(lambda: session["a"]) == [1]

    def test_it_reads_and_changes_what_a_request_stored(self, visitor: Visitor) -> None:
        visitor.run(lambda: session.update(a=[1], b=2))
        for _ in range(2):
            with visitor.client.session_transaction() as found:
                found["a"].append(2)
                found.pop("b", None)
        with visitor.client.session_transaction() as found:
            assert dict(found) == {"a": [1, 2, 2]}

    def test_reading_in_it_changes_no_cookie(self, visitor: Visitor) -> None:
        visitor.run(lambda: session.update(a=1))
        before = visitor.cookie
        with visitor.client.session_transaction() as found:
            assert found["a"] == 1
        assert visitor.cookie == before

    def test_an_error_in_it_stores_nothing(self, visitor: Visitor) -> None:
        visitor.run(lambda: session.update(a=1))
        with pytest.raises(ZeroDivisionError), visitor.client.session_transaction() as found:
            found["a"] = 1 / 0
        assert visitor.value(lambda: session["a"]) == 1

    def test_clear_in_it_ends_the_session(self, visitor: Visitor, state: FlaskState) -> None:
        visitor.run(lambda: session.update(a=1))
        with visitor.client.session_transaction() as found:
            found.clear()
        assert visitor.cookie is None
        with visitor.client.application.app_context():
            assert state.sessions.count() == 0

    def test_regenerate_and_abandon_work_in_it(self, visitor: Visitor) -> None:
        visitor.run(lambda: session.update(a=1))
        before = visitor.cookie
        with visitor.client.session_transaction() as found:
            t.cast(Session, found).regenerate()
        assert visitor.cookie != before
        assert visitor.value(lambda: session["a"]) == 1
        with visitor.client.session_transaction() as found:
            t.cast(Session, found).abandon()
        assert visitor.cookie is None

    def test_permanent_set_in_it_keeps_the_cookie(self, visitor: Visitor) -> None:
        with visitor.client.session_transaction() as found:
            found["a"] = 1
            found.permanent = True
        cookie = visitor.client.get_cookie("session")
        assert cookie is not None
        assert cookie.expires is not None
        assert visitor.value(lambda: session.permanent)

    def test_it_takes_a_request_of_its_own(self, visitor: Visitor) -> None:
        with visitor.client.session_transaction("/shop", method="POST", data={"x": 1}) as found:
            found["a"] = 1
        assert visitor.value(lambda: session["a"]) == 1

    def test_it_leaves_the_context_around_it(self, app: flask.Flask, visitor: Visitor) -> None:
        with app.test_request_context("/around"):
            request = flask.request._get_current_object()  # type: ignore[attr-defined]
            session["outside"] = 1
            with visitor.client.session_transaction() as found:
                found["a"] = 1
            assert flask.request._get_current_object() is request  # type: ignore[attr-defined]
            assert dict(session) == {"outside": 1}
        assert visitor.value(lambda: dict(session)) == {"a": 1}

    def test_two_clients_are_two_sessions(self, app: flask.Flask) -> None:
        one, other = app.test_client(), app.test_client()
        with one.session_transaction() as of_one, other.session_transaction() as of_other:
            of_one["a"] = 1
            of_other["a"] = 2
        with one.session_transaction() as found:
            assert found["a"] == 1

    def test_it_needs_a_secret_key_and_cookies(self, make_app: MakeApp) -> None:
        app = make_app(SECRET_KEY=None)
        with (
            pytest.raises(RuntimeError, match="did not open a session"),
            app.test_client().session_transaction(),
        ):
            pass
        with (
            pytest.raises(TypeError, match="Cookies are disabled"),
            app.test_client(use_cookies=False).session_transaction(),
        ):
            pass


class TestClientAsContext:
    """`with client:` keeps the context of the last request."""

    def test_what_a_view_stored_is_there_after_the_request(self, visitor: Visitor) -> None:
        with visitor.client:
            visitor.run(lambda: session.update(a=[1]))
            assert session["a"] == [1]
            visitor.run(lambda: session["a"].append(2))
            assert dict(session) == {"a": [1, 2]}

    def test_what_a_view_did_not_touch_is_there_after_the_request(self, visitor: Visitor) -> None:
        visitor.run(lambda: session.update(a=1))
        with visitor.client:
            visitor.client.get("/untouched")
            assert session["a"] == 1

    def test_what_a_view_only_read_is_there_after_the_request(self, visitor: Visitor) -> None:
        visitor.run(lambda: session.update(a=1))
        with visitor.client:
            visitor.run(lambda: session.get("b"))
            assert session["a"] == 1

    def test_it_is_that_of_the_last_of_several_redirects(
        self, app: flask.Flask, visitor: Visitor
    ) -> None:
        @app.get("/start")
        def start() -> t.Any:
            session["path"] = ["start"]
            return flask.redirect("/middle")

        @app.get("/middle")
        def middle() -> t.Any:
            session["path"].append("middle")
            return flask.redirect("/end")

        @app.get("/end")
        def end() -> str:
            session["path"].append("end")
            return "ok"

        with visitor.client:
            response = visitor.client.get("/start", follow_redirects=True)
            assert response.history
            assert session["path"] == ["start", "middle", "end"]

    def test_a_transaction_in_it_keeps_the_context(self, visitor: Visitor) -> None:
        with visitor.client:
            visitor.run(lambda: session.update(a=1))
            with visitor.client.session_transaction() as found:
                found["a"] = 2
            assert flask.request.path == "/run"
        assert visitor.value(lambda: session["a"]) == 2

    def test_an_ended_session_is_empty_after_the_request(self, visitor: Visitor) -> None:
        visitor.run(lambda: session.update(a=1))
        with visitor.client:
            visitor.run(lambda: session.abandon())
            assert dict(session) == {}
