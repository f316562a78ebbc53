"""Sessions in every kind of context: threads, async views, apps within apps, several saves."""

from __future__ import annotations

import collections.abc as cabc
import threading
import typing as t

import flask
import pytest
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from flask_state import FlaskState
from flask_state import session
from flask_state.errors import SessionConflict
from flask_state.errors import StateError
from tests.web.conftest import MakeApp
from tests.web.conftest import Visitor
from tests.web.conftest import set_cookies
from tests.web.conftest import steps


class TestCopiedContext:
    """`copy_current_request_context` shares the session with a thread."""

    @staticmethod
    def in_thread(function: cabc.Callable[[], None]) -> None:
        thread = threading.Thread(target=flask.copy_current_request_context(function))
        thread.start()
        thread.join()

    def test_a_thread_within_the_request_shares_its_session(self, visitor: Visitor) -> None:
        visitor.run(lambda: session.update(n=1))

        def view() -> None:
            session["n"] += 1
            self.in_thread(lambda: session.update(n=session["n"] * 10))
            session["n"] += 1

        visitor.run(view)
        assert visitor.value(lambda: session["n"]) == 21

    def test_the_end_of_a_thread_saves_nothing_while_the_view_works(self, visitor: Visitor) -> None:
        """The copy's teardown comes first; an error after it still discards all."""

        def view() -> None:
            self.in_thread(lambda: session.update(a=1))
            flask.abort(500)

        visitor.run(view)
        assert visitor.cookie is None

    @pytest.mark.parametrize("stored", [True, False])
    def test_two_threads_that_touch_first_see_one_session(
        self, visitor: Visitor, stored: bool
    ) -> None:
        if stored:
            visitor.run(lambda: session.update(a=[1]))
        together, seen = threading.Barrier(4), []

        def touch() -> None:
            together.wait(10)
            seen.append(session.get("a"))
            session[threading.current_thread().name] = 1

        def view() -> None:
            threads = [
                threading.Thread(target=flask.copy_current_request_context(touch), name=name)
                for name in "wxyz"
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        visitor.run(view)
        assert all(each is seen[0] for each in seen)
        assert visitor.value(lambda: {*session}) == {*"wxyz"} | ({"a"} if stored else set())

    def after_response(
        self, visitor: Visitor, work: cabc.Callable[[], None], touched: bool = True
    ) -> list[BaseException]:
        """Answer a request, and have a thread of it work only then; what it raised."""
        answered, raised = threading.Event(), []

        def late() -> None:
            assert answered.wait(10)
            work()

        def view() -> None:
            if touched:
                session["touched"] = True
            copied = flask.copy_current_request_context(late)

            def run() -> None:
                try:
                    copied()
                except Exception as error:
                    raised.append(error)

            threads.append(threading.Thread(target=run))
            threads[0].start()

        threads: list[threading.Thread] = []
        visitor.run(view)
        answered.set()
        threads[0].join()
        return t.cast("list[BaseException]", raised)

    @pytest.mark.parametrize("touched", [True, False])
    def test_a_thread_that_outlives_the_request_commits_at_its_end(
        self, visitor: Visitor, touched: bool
    ) -> None:
        visitor.run(lambda: session.update(n=1))
        raised = self.after_response(visitor, lambda: session.update(n=session["n"] + 1), touched)
        assert raised == []
        assert visitor.value(lambda: session["n"]) == 2

    def test_a_thread_that_fails_after_the_request_changes_nothing(self, visitor: Visitor) -> None:
        visitor.run(lambda: session.update(n=1))
        raised = self.after_response(visitor, lambda: session.update(n=1, m=1 / 0))
        assert [type(error) for error in raised] == [ZeroDivisionError]
        assert visitor.value(lambda: session["n"]) == 1

    def test_a_thread_that_outlives_the_request_starts_no_session(self, visitor: Visitor) -> None:
        raised = self.after_response(visitor, lambda: session.update(n=1), touched=False)
        assert [type(error) for error in raised] == [StateError]
        assert visitor.value(lambda: dict(session)) == {}


class TestAsync:
    def test_async_views_and_hooks_use_the_session(
        self, app: flask.Flask, visitor: Visitor
    ) -> None:
        """They run in other threads than the rest of the request."""

        @app.before_request
        async def before() -> None:
            session["threads"] = [threading.get_ident()]

        @app.get("/async")
        async def view() -> dict[str, t.Any]:
            session["threads"].append(threading.get_ident())
            session["n"] = session.get("n", 0) + 1
            return {"n": session["n"]}

        @app.after_request
        async def after(response: flask.Response) -> flask.Response:
            session["after"] = "n" in session
            return response

        assert [visitor.client.get("/async").get_json()["n"] for _ in range(3)] == [1, 2, 3]
        with visitor.client.session_transaction() as found:
            assert (found["n"], found["after"], len(found["threads"])) == (3, True, 2)

    def test_async_errors_discard(self, app: flask.Flask, visitor: Visitor) -> None:
        @app.get("/async")
        async def view() -> str:
            session["n"] = 1
            flask.abort(500)

        assert visitor.client.get("/async").status_code == 500
        assert visitor.cookie is None


class TestApps:
    def test_two_apps_of_one_extension_have_sessions_of_their_own(
        self, state: FlaskState, engine_url: str, make_app: MakeApp
    ) -> None:
        one, other = make_app(), make_app(SECRET_KEY="another key, long enough as well")
        first, second = Visitor(one), Visitor(other)
        first.run(lambda: session.update(a=1))
        second.cookie = first.cookie
        assert second.value(lambda: dict(session)) == {}
        second.run(lambda: session.update(a=2))
        assert first.value(lambda: dict(session)) == {"a": 1}
        assert second.value(lambda: dict(session)) == {"a": 2}

    def test_two_apps_under_one_server_keep_their_cookies_apart(self, make_app: MakeApp) -> None:
        shop = make_app(SESSION_COOKIE_NAME="shop")
        till = make_app(SESSION_COOKIE_NAME="till", APPLICATION_ROOT="/till")
        client = Client(DispatcherMiddleware(shop, {"/till": till}))

        def run(path: str, body: cabc.Callable[[], t.Any]) -> None:
            environ = {"tests.body": body}
            assert client.get(path, environ_overrides=environ).status_code == 200

        found: list[t.Any] = []
        run("/run", lambda: session.update(a="shop"))
        run("/till/run", lambda: session.update(a="till"))
        run("/run", lambda: found.append(session["a"]))
        run("/till/run", lambda: found.append(session["a"]))
        assert found == ["shop", "till"]

    def test_a_request_inside_a_view_has_a_session_of_its_own(self, make_app: MakeApp) -> None:
        """Contexts are stacked: of another app, or of the same one."""
        app, other = make_app(), make_app(SESSION_COOKIE_NAME="other")
        visitor, inner, same = Visitor(app), Visitor(other), Visitor(app)

        def view() -> None:
            session["a"] = "outer"
            inner.run(lambda: session.update(a="inner"))
            same.run(lambda: session.update(a="same"))
            with other.test_request_context():
                assert dict(session) == {}
                session["a"] = "never saved"
            assert dict(session) == {"a": "outer"}

        visitor.run(view)
        found = [each.value(lambda: session["a"]) for each in (visitor, inner, same)]
        assert found == ["outer", "inner", "same"]

    def test_a_session_outside_of_any_request_is_not_there(self, app: flask.Flask) -> None:
        with app.app_context(), pytest.raises(RuntimeError, match="outside of request context"):
            session.get("a")


class TestSeveralSaves:
    """One session, opened once and saved more than once."""

    def save(self) -> flask.Response:
        app: t.Any = flask.current_app
        proxy: t.Any = session
        response = flask.Response()
        app.session_interface.save_session(
            app._get_current_object(), proxy._get_current_object(), response
        )
        return response

    def test_each_save_commits_what_changed_since_the_last(self, visitor: Visitor) -> None:
        other = Visitor(visitor.client.application)
        visitor.run(lambda: session.update(n=1))
        other.cookie = visitor.cookie
        seen = []

        def view() -> None:
            for n in (2, 3, 4):
                session["n"] = n
                self.save()
                seen.append(other.value(lambda: session["n"]))

        visitor.run(view)
        assert seen == [2, 3, 4]

    def test_a_later_save_sees_what_others_stored_between(self, visitor: Visitor) -> None:
        """After a save the session is unloaded: it is read again, not written back."""
        other = Visitor(visitor.client.application)
        visitor.run(lambda: session.update(n=1, m=1))
        other.cookie = visitor.cookie

        def view() -> None:
            session["n"] = 2
            self.save()
            other.run(lambda: session.update(m=5))
            assert session["m"] == 5
            session["m"] += 1

        visitor.run(view)
        assert visitor.value(lambda: dict(session)) == {"n": 2, "m": 6}

    def test_the_first_save_gives_a_new_session_its_cookie(self, visitor: Visitor) -> None:
        cookies: list[list[str]] = []

        def view() -> None:
            session["n"] = 1
            cookies.append(set_cookies(t.cast(t.Any, self.save())))
            cookies.append(set_cookies(t.cast(t.Any, self.save())))

        visitor.run(view)
        assert [len(each) for each in cookies] == [1, 0]


class TestCommitAndReload:
    def test_what_was_committed_survives_an_error(self, visitor: Visitor) -> None:
        def view() -> None:
            session["paid"] = True
            session.commit()
            session["sent"] = True
            flask.abort(500)

        assert visitor.run(view).status_code == 500
        assert visitor.value(lambda: dict(session)) == {"paid": True}

    def test_reload_drops_what_was_not_committed(self, visitor: Visitor) -> None:
        visitor.run(lambda: session.update(a=1))

        def view() -> None:
            session.update(a=2, b=2)
            session.reload()
            assert dict(session) == {"a": 1}

        assert not set_cookies(visitor.run(view))
        assert visitor.value(lambda: dict(session)) == {"a": 1}

    def test_commit_says_that_the_session_was_ended_meanwhile(self, visitor: Visitor) -> None:
        other = Visitor(visitor.client.application)
        visitor.run(lambda: session.update(a=1))
        other.cookie = visitor.cookie

        def view() -> None:
            session["a"] = 2
            other.run(lambda: session.abandon())
            with pytest.raises(SessionConflict):
                session.commit()

        assert visitor.run(view).status_code == 200
        assert visitor.value(lambda: dict(session)) == {}

    def test_commit_with_nothing_to_commit_does_nothing(self, visitor: Visitor) -> None:
        assert not set_cookies(visitor.run(lambda: session.commit()))
        visitor.run(lambda: session.update(a=1))
        assert not set_cookies(
            visitor.run(steps(lambda: session.get("a"), lambda: session.commit()))
        )
