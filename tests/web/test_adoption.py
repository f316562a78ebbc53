"""Taking over, once, a session that Flask itself kept in a signed cookie."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import threading
import typing as t
import uuid

import flask
import flask_login
import pytest
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import TimestampSigner
from markupsafe import Markup

from flask_state import FlaskState
from flask_state import session
from flask_state import signals
from flask_state.core import registry
from flask_state.stores.base import Change
from flask_state.stores.base import Committed
from flask_state.testing import FakeClock
from tests.web.conftest import SECRET_KEY
from tests.web.conftest import MakeApp
from tests.web.conftest import Visitor
from tests.web.conftest import set_cookies

VALUES: t.Final[dict[str, t.Any]] = {
    "cart": ["tea", {"cups": 2}],
    "pair": (1, "two"),
    "bytes": b"\xff",
    "markup": Markup("<b>"),
    "uuid": uuid.UUID(int=7),
    "when": dt.datetime(2027, 1, 2, tzinfo=dt.UTC),
}


def flask_cookie(values: dict[str, t.Any], secret_key: str = SECRET_KEY) -> str:
    """The session cookie that Flask makes of these values."""
    app = flask.Flask("before")
    app.secret_key = secret_key
    serializer = SecureCookieSessionInterface().get_signing_serializer(app)
    assert serializer is not None
    return serializer.dumps(values)


def with_cookie(app: flask.Flask, text: str) -> Visitor:
    visitor = Visitor(app)
    visitor.cookie = text
    return visitor


def count(app: flask.Flask, state: FlaskState) -> int:
    with app.app_context():
        return state.sessions.count()


@pytest.fixture
def started(app: flask.Flask) -> cabc.Iterator[list[str]]:
    """The handles of the sessions that were started."""
    handles: list[str] = []

    def note(sender: flask.Flask, handle: str, **extra: t.Any) -> None:
        handles.append(handle)

    with signals.session_started.connected_to(note, app):
        yield handles


class TestTakingOver:
    def test_its_values_are_there_with_their_types(self, app: flask.Flask) -> None:
        found = with_cookie(app, flask_cookie(VALUES)).value(lambda: dict(session))
        assert found == VALUES
        assert {k: type(v) for k, v in found.items()} == {k: type(v) for k, v in VALUES.items()}

    def test_the_client_gets_an_id_of_ours_though_it_only_read(
        self, app: flask.Flask, started: list[str]
    ) -> None:
        old = flask_cookie(VALUES)
        visitor = with_cookie(app, old)
        response = visitor.run(lambda: session.get("cart"))
        assert len(set_cookies(response)) == 1
        assert visitor.cookie not in (None, old)
        assert len(visitor.cookie or "") == 36
        visitor.run(lambda: session["cart"].append("pot"))
        assert visitor.value(lambda: session["cart"]) == ["tea", {"cups": 2}, "pot"]
        assert len(started) == 1

    def test_a_request_that_ignores_the_session_takes_nothing_over(
        self, app: flask.Flask, state: FlaskState
    ) -> None:
        visitor = with_cookie(app, flask_cookie(VALUES))
        assert not set_cookies(visitor.client.get("/untouched"))
        assert count(app, state) == 0
        assert visitor.value(lambda: session["pair"]) == (1, "two")

    def test_flashes_wait_in_it(self, app: flask.Flask) -> None:
        visitor = with_cookie(app, flask_cookie({"_flashes": [("message", "saved")]}))
        assert visitor.value(flask.get_flashed_messages) == ["saved"]
        assert visitor.cookie is None

    @pytest.mark.parametrize("permanent", [True, False])
    def test_it_stays_as_permanent_as_it_was(self, app: flask.Flask, permanent: bool) -> None:
        """Flask keeps that among the values; here no bookkeeping is among them."""
        values = {"a": 1} | ({"_permanent": True} if permanent else {})
        visitor = with_cookie(app, flask_cookie(values))
        assert visitor.value(lambda: (session.permanent, dict(session))) == (permanent, {"a": 1})
        cookie = visitor.client.get_cookie("session")
        assert cookie is not None
        assert (cookie.expires is not None) == permanent
        assert visitor.value(lambda: session.permanent) == permanent

    def test_a_user_of_flask_login_stays_signed_in(
        self, app: flask.Flask, state: FlaskState
    ) -> None:
        """And owns the session, so that ending all of a user's sessions finds it."""

        def load(name: str) -> t.Any:
            return type("User", (flask_login.UserMixin,), {"id": name})()

        flask_login.LoginManager(app).user_loader(load)
        visitor = with_cookie(app, flask_cookie({"_user_id": "ann", "_fresh": True}))
        who = lambda: flask_login.current_user.get_id()  # noqa: E731
        assert [visitor.value(who), visitor.value(who)] == ["ann", "ann"]
        with app.app_context():
            assert len(state.sessions.find("ann")) == 1

    def test_a_response_of_500_loses_nothing(self, app: flask.Flask) -> None:
        """The change is discarded; the take-over is none."""
        visitor = with_cookie(app, flask_cookie({"n": 1}))

        def view() -> flask.Response:
            session["n"] = 2
            return flask.make_response("no", 500)

        visitor.run(view)
        assert visitor.value(lambda: session["n"]) == 1

    def test_a_key_that_was_replaced_still_opens_it(self, make_app: MakeApp) -> None:
        app = make_app(SECRET_KEY="a new key, long enough too", SECRET_KEY_FALLBACKS=[SECRET_KEY])
        visitor = with_cookie(app, flask_cookie({"a": 1}))
        assert visitor.value(lambda: dict(session)) == {"a": 1}
        app.config["SECRET_KEY_FALLBACKS"] = []
        assert visitor.value(lambda: dict(session)) == {"a": 1}

    def test_it_expires_as_any_session_does(self, app: flask.Flask, clock: FakeClock) -> None:
        visitor = with_cookie(app, flask_cookie({"a": 1}))
        visitor.run(lambda: session.get("a"))
        clock.advance(app.permanent_session_lifetime.total_seconds() * 1.2)
        assert visitor.value(lambda: dict(session)) == {}


class TestOnce:
    def test_a_copy_meets_the_same_session_while_it_lives(
        self, app: flask.Flask, started: list[str]
    ) -> None:
        """Also a slow tab, or a client that lost our answer."""
        cookie = flask_cookie({"n": 1})
        one, other = with_cookie(app, cookie), with_cookie(app, cookie)
        one.run(lambda: session.update(n=2))
        assert other.value(lambda: session["n"]) == 2
        assert one.cookie == other.cookie
        assert len(started) == 1

    @pytest.mark.parametrize("end", ["abandon", "clear"])
    @pytest.mark.parametrize("swept", [True, False])
    def test_a_copy_opens_nothing_after_the_session_was_ended(
        self, app: flask.Flask, state: FlaskState, end: str, swept: bool
    ) -> None:
        """S19: a cookie that Flask signed can't be revoked; that it was taken over is kept."""
        cookie = flask_cookie({"_user_id": "ann"})
        visitor, thief = with_cookie(app, cookie), with_cookie(app, cookie)
        visitor.run(lambda: session.get("_user_id"))
        visitor.run(lambda: getattr(session, end)())
        if swept:
            with app.app_context():
                while state.sessions.sweep():
                    pass
        assert thief.value(lambda: dict(session)) == {}
        assert thief.value(lambda: dict(session)) == {}
        assert count(app, state) == 0

    def test_a_copy_opens_nothing_after_the_session_expired(
        self, make_app: MakeApp, state: FlaskState, clock: FakeClock
    ) -> None:
        """S21: the cookie is good longer than the session was."""
        app = make_app(STATE_SESSION_IDLE_TIMEOUT=60)
        cookie = flask_cookie({"_user_id": "ann"})
        with_cookie(app, cookie).run(lambda: session.get("_user_id"))
        clock.advance(100)
        with app.app_context():
            state.sessions.sweep()
        assert with_cookie(app, cookie).value(lambda: dict(session)) == {}

    def test_a_copy_opens_nothing_after_a_regenerate(self, app: flask.Flask) -> None:
        """S10: the cookie was the session's first id."""
        cookie = flask_cookie({"a": 1})
        visitor, thief = with_cookie(app, cookie), with_cookie(app, cookie)
        visitor.run(lambda: session.get("a"))
        visitor.run(lambda: session.regenerate())
        assert visitor.value(lambda: dict(session)) == {"a": 1}
        assert thief.value(lambda: dict(session)) == {}

    def test_a_copy_opens_nothing_if_the_first_request_ended_it(self, app: flask.Flask) -> None:
        cookie = flask_cookie({"a": 1})
        with_cookie(app, cookie).run(lambda: session.abandon())
        assert with_cookie(app, cookie).value(lambda: dict(session)) == {}

    def test_parallel_requests_meet_in_one_session(
        self, app: flask.Flask, state: FlaskState
    ) -> None:
        for n in range(20):
            cookie = flask_cookie({"n": n})
            together, seen, visitors = threading.Barrier(4), [], []

            def view() -> None:
                together.wait(10)  # noqa: B023  each round waits for its threads
                seen.append((session["n"], session.handle))  # noqa: B023
                session[threading.current_thread().name] = True

            visitors = [with_cookie(app, cookie) for _ in range(4)]
            threads = [threading.Thread(target=each.run, args=[view]) for each in visitors]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert {value for value, _ in seen} == {n}
            assert len({handle for _, handle in seen}) == 1
            assert len({each.cookie for each in visitors}) == 1
            assert visitors[0].value(lambda: len(session)) == 5
            assert count(app, state) == n + 1


class Halting:
    """A session store in which the first commit's thread waits before it goes on."""

    def __init__(self, inner: t.Any) -> None:
        self._inner = inner
        self._first = threading.Lock()
        self.halted = threading.Event()
        self.go_on = threading.Event()

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self._inner, name)

    def commit(self, locator: str, change: Change, fence: int | None) -> Committed:
        first = self._first.acquire(blocking=False)
        done: Committed = self._inner.commit(locator, change, fence)
        if first:
            self.halted.set()
            assert self.go_on.wait(10)
        elif done.refused is not None:
            self.go_on.set()  # another request has met the one that waits
        return done


def test_a_request_that_meets_a_take_over_half_done_waits_for_it(
    make_app: MakeApp, engine_url: str, clock: FakeClock
) -> None:
    """It must not go on with an empty session, as if the user were signed out."""
    store = Halting(registry.open_sessions(engine_url, clock))
    app = make_app(STATE_URL=store)
    cookie, seen = flask_cookie({"_user_id": "ann"}), []

    def request() -> None:
        seen.append(with_cookie(app, cookie).value(lambda: dict(session)))
        store.go_on.set()

    threads = [threading.Thread(target=request) for _ in range(2)]
    threads[0].start()
    assert store.halted.wait(10)
    threads[1].start()
    for thread in threads:
        thread.join()
    assert seen == [{"_user_id": "ann"}] * 2


class TestIgnoring:
    """S3, S7: a cookie that is none of ours and none of Flask's is no session and no error."""

    def check(self, app: flask.Flask, state: FlaskState, cookie: str) -> None:
        visitor, rejected = with_cookie(app, cookie), []

        def note(sender: flask.Flask, reason: str, **extra: t.Any) -> None:
            rejected.append(reason)

        with signals.session_rejected.connected_to(note, app):
            response = visitor.run(lambda: session.get("a"))
        assert response.status_code == 200
        assert not set_cookies(response)
        assert rejected == ["malformed"]
        assert visitor.value(lambda: dict(session)) == {}
        assert count(app, state) == 0

    def test_one_that_was_changed(self, app: flask.Flask, state: FlaskState) -> None:
        good = flask_cookie({"a": 1})
        payload, rest = good.split(".", 1)
        forged = flask_cookie({"a": 2}, "another key").split(".", 1)[0]
        for cookie in (good[:-1], forged + "." + rest, payload, good + "x", "x" + good, "..", "."):
            self.check(app, state, cookie)

    def test_one_under_another_key(self, app: flask.Flask, state: FlaskState) -> None:
        self.check(app, state, flask_cookie({"a": 1}, "a key of somebody else"))

    def test_one_that_expired(
        self, app: flask.Flask, state: FlaskState, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        age = int(app.permanent_session_lifetime.total_seconds()) + 2
        now = TimestampSigner.get_timestamp
        monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: now(self) - age)
        cookie = flask_cookie({"a": 1})
        monkeypatch.undo()
        self.check(app, state, cookie)

    def test_one_signed_for_another_purpose(self, app: flask.Flask, state: FlaskState) -> None:
        """S44: a value that the application signed itself with the same key is no session."""
        hooks = SecureCookieSessionInterface()
        hooks.salt = "password-reset"
        serializer = hooks.get_signing_serializer(app)
        assert serializer is not None
        self.check(app, state, serializer.dumps({"a": 1}))

    def test_all_where_the_setting_is_off(self, make_app: MakeApp, state: FlaskState) -> None:
        app = make_app(STATE_SESSION_ADOPT_COOKIES=False)
        self.check(app, state, flask_cookie({"a": 1}))
