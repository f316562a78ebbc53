"""An application on each engine, and visitors to it."""

from __future__ import annotations

import collections.abc as cabc
import pathlib
import typing as t

import flask
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from flask_state import FlaskState
from flask_state import session
from flask_state.core import registry
from flask_state.errors import StoreError
from flask_state.stores.base import Change
from flask_state.stores.base import Committed
from flask_state.stores.base import Item
from flask_state.stores.base import Loaded
from flask_state.testing import FakeClock

ENGINES: t.Final = ("memory", "lmdb")
SECRET_KEY: t.Final = "a secret key that is long enough"

MakeApp = cabc.Callable[..., flask.Flask]


class Visitor:
    """A browser with cookies of its own, whose requests run what they are given."""

    def __init__(self, app: flask.Flask) -> None:
        self.client: FlaskClient = app.test_client()

    def run(self, body: cabc.Callable[[], t.Any], **request: t.Any) -> TestResponse:
        """Request `/run`, where `body` is the view, to the end of its answer.

        Where it returns no response, the answer is "ok".
        """
        environ = {"tests.body": body, **request.pop("environ_overrides", {})}
        return self.client.open("/run", environ_overrides=environ, buffered=True, **request)

    def value(self, body: cabc.Callable[[], t.Any], **request: t.Any) -> t.Any:
        """The same; returns what `body` returned, as it is."""
        results: list[t.Any] = []
        response = self.run(lambda: results.append(body()), **request)
        assert response.status_code == 200, response.text
        return results[0]

    @property
    def cookie(self) -> str | None:
        """The value of the session cookie."""
        cookie = self.client.get_cookie("session")
        return cookie.value if cookie is not None else None

    @cookie.setter
    def cookie(self, value: str | None) -> None:
        if value is None:
            self.client.delete_cookie("session")
        else:
            self.client.set_cookie("session", value)


class Flaky:
    """A session store that fails when it is told to, and counts its calls."""

    def __init__(self, inner: t.Any) -> None:
        self._inner = inner
        self.failing: set[str] = set()
        self.calls: list[str] = []
        self.spoil: cabc.Callable[[bytes], bytes] = bytes
        """What becomes of an item's bytes on their way out."""

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self._inner, name)

    def load(
        self,
        locator: str,
        proofs: cabc.Sequence[bytes],
        names: cabc.Sequence[str] | None,
        lease: float | None = None,
    ) -> Loaded | None:
        self._called("load")
        loaded: Loaded | None = self._inner.load(locator, proofs, names, lease)
        if loaded is None:
            return None
        items = {
            name: Item(self.spoil(value), *rest) for name, (value, *rest) in loaded.items.items()
        }
        return loaded._replace(items=items)

    def commit(self, locator: str, change: Change, fence: int | None) -> Committed:
        self._called("commit")
        done: Committed = self._inner.commit(locator, change, fence)
        return done

    def _called(self, operation: str) -> None:
        self.calls.append(operation)
        if operation in self.failing:
            raise StoreError("the disk is on fire", engine=self.engine, operation=operation)


def steps(*bodies: cabc.Callable[[], t.Any]) -> cabc.Callable[[], t.Any]:
    """A view that does one thing after the other, and returns what the last one does."""
    return lambda: [body() for body in bodies][-1]


def storing(**values: t.Any) -> cabc.Callable[[], t.Any]:
    """A view that stores these values in the session."""
    return lambda: session.update(values)


def guest_of(app: flask.Flask) -> Visitor:
    """A visitor with a session of two items."""
    visitor = Visitor(app)
    visitor.run(lambda: session.update(a=1, b=2))
    return visitor


def set_cookies(response: TestResponse) -> list[str]:
    """The cookies that a response sets or deletes, as headers."""
    return response.headers.getlist("Set-Cookie")


def _run() -> flask.Response:
    answer = flask.request.environ["tests.body"]()
    return (
        answer
        if isinstance(answer, flask.Response)
        else flask.Response("ok", mimetype="text/plain")
    )


@pytest.fixture(params=ENGINES)
def engine_url(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    """Where state is kept, once for each engine."""
    return "memory://" if request.param == "memory" else f"lmdb://{tmp_path / 'state'}"


@pytest.fixture
def state(clock: FakeClock) -> FlaskState:
    """The extension, for all applications of a test."""
    return FlaskState(clock=clock)


@pytest.fixture
def make_app(state: FlaskState, engine_url: str) -> cabc.Iterator[MakeApp]:
    """Makes applications from settings; closes their stores in the end."""
    made: list[flask.Flask] = []

    def make(**config: t.Any) -> flask.Flask:
        app = flask.Flask("shop", static_folder=None)
        app.config.update(TESTING=True, SECRET_KEY=SECRET_KEY, STATE_URL=engine_url)
        app.config.update(config)
        state.init_app(app)
        app.add_url_rule("/run", view_func=_run, methods=["GET", "POST"])
        app.add_url_rule("/untouched", view_func=lambda: "untouched", endpoint="untouched")
        made.append(app)
        return app

    yield make
    for app in made:
        app.extensions["flask_state"].parts.store.close()


@pytest.fixture
def app(make_app: MakeApp) -> flask.Flask:
    """An application with default settings."""
    return make_app()


@pytest.fixture
def visitor(app: flask.Flask) -> Visitor:
    """A visitor of `app` without cookies."""
    return Visitor(app)


@pytest.fixture
def client(visitor: Visitor) -> FlaskClient:
    """The client of `visitor`."""
    return visitor.client


@pytest.fixture
def store(engine_url: str, clock: FakeClock) -> Flaky:
    return Flaky(registry.open_sessions(engine_url, clock))


@pytest.fixture
def flaky_app(make_app: MakeApp, store: Flaky) -> flask.Flask:
    """An application over `store` whose errors become responses, as in production."""
    return make_app(STATE_URL=store, PROPAGATE_EXCEPTIONS=False)


@pytest.fixture
def guest(flaky_app: flask.Flask) -> Visitor:
    """A visitor of `flaky_app` with a session."""
    return guest_of(flaky_app)
