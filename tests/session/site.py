"""A small application whose views run what a test hands them, and what is seen around it."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import pathlib
import typing as t
from urllib.parse import urlsplit

import flask
from blinker import NamedSignal
from flask.testing import FlaskClient
from werkzeug.http import parse_cookie
from werkzeug.test import TestResponse

from flask_state import FlaskState
from flask_state import session_access
from flask_state import signals
from flask_state.core import registry
from flask_state.core.clock import Clock
from flask_state.errors import StoreError
from flask_state.stores.base import Change
from flask_state.stores.base import SessionStore
from flask_state.testing import FakeClock

ENGINES: t.Final = ("memory", "lmdb")
KEY: t.Final = "a secret key of the tests, long enough"
COOKIE: t.Final = "session"
SIGNALS: t.Final = [each for each in vars(signals).values() if isinstance(each, NamedSignal)]

Task = cabc.Callable[[], t.Any]


class WatchedEngine:
    """A store that counts what it is asked, and fails when told to."""

    def __init__(self, store: SessionStore) -> None:
        self.store = store
        self.calls: list[str] = []
        self.changes: list[Change] = []
        """What was committed, refused changes included."""
        self.failing = False

    @property
    def engine(self) -> str:
        return self.store.engine

    @property
    def shared(self) -> str:
        return self.store.shared

    def __getattr__(self, name: str) -> t.Any:
        method = getattr(self.store, name)

        def call(*args: t.Any, **kwargs: t.Any) -> t.Any:
            self.calls.append(name)
            if self.failing:
                raise StoreError("it was unplugged", engine=self.engine, operation=name)
            return method(*args, **kwargs)

        return call

    def commit(self, locator: str, change: Change, fence: int | None) -> t.Any:
        self.changes.append(change)
        return self.__getattr__("commit")(locator, change, fence)

    def close(self) -> None:
        self.store.close()

    @contextlib.contextmanager
    def unplugged(self) -> cabc.Iterator[None]:
        """Fail while the block runs."""
        self.failing = True
        try:
            yield
        finally:
            self.failing = False


class Event(t.NamedTuple):
    """A signal that was sent."""

    name: str
    facts: dict[str, t.Any]


class Visit(t.NamedTuple):
    """One request: its response, and what its task returned."""

    response: TestResponse
    value: t.Any

    @property
    def cookie(self) -> str | None:
        """The session cookie that the response sets; empty where it deletes it."""
        for header in self.response.headers.getlist("Set-Cookie"):
            pair = header.partition(";")[0]
            if pair.startswith(f"{COOKIE}="):
                return parse_cookie(pair)[COOKIE]
        return None


class Site:
    """An application with two views, which run a test's task.

    :param store: a URL, or a store that another site uses too.
    :param config: more of `app.config`.
    """

    def __init__(
        self,
        store: str | WatchedEngine = "memory://",
        *,
        clock: FakeClock | None = None,
        state: FlaskState | None = None,
        **config: t.Any,
    ) -> None:
        self.clock = clock or FakeClock()
        self.store = store if isinstance(store, WatchedEngine) else watched(store, self.clock)
        self.app = flask.Flask("site")
        self.app.config.update(
            {"SECRET_KEY": KEY, "TESTING": True, "STATE_SESSION_URL": self.store}
        )
        self.app.config.update(config)
        # A view of its own: what a test says of it says nothing of other sites'.
        self.app.add_url_rule("/", "task", lambda: _run_task(), methods=["GET", "POST"])
        self.app.add_url_rule("/off", "off", session_access("off")(lambda: _run_task()))
        self.state = state or FlaskState(clock=self.clock)
        self.state.init_app(self.app)
        self.events: list[Event] = []
        self._receivers = [self._listen(signal) for signal in SIGNALS]

    def browser(self) -> FlaskClient:
        """A client that keeps cookies."""
        return self.app.test_client()

    def visit(
        self, client: FlaskClient | str | None, task: Task, path: str = "/", **request: t.Any
    ) -> Visit:
        """Run a task inside a request.

        :param client: a browser, or the text of a `Cookie` header, or None for no cookie.
        :param path: ``/``, or ``/off`` for a view that wants no session.
        """
        if not isinstance(client, FlaskClient):
            if client is not None:
                request.setdefault("headers", {})["Cookie"] = client
            client = self.app.test_client(use_cookies=False)
        done: list[t.Any] = []
        environ = {"tests.task": task, "tests.done": done.append}
        response = client.get(path, environ_overrides=environ, **request)
        return Visit(response, done[0] if done else None)

    def sign_in(self, **items: t.Any) -> tuple[FlaskClient, str]:
        """A browser with a session that holds these items, and its id."""
        browser = self.browser()
        items = items or {"user": "ann"}
        visit = self.visit(browser, lambda: flask.session.update(items))
        assert visit.cookie
        return browser, visit.cookie.removesuffix(".p")

    def items(self, client: FlaskClient | str | None) -> dict[str, t.Any]:
        """What a visitor's session holds."""
        values: dict[str, t.Any] = self.visit(client, lambda: dict(flask.session)).value
        return values

    def named(self, name: str) -> list[dict[str, t.Any]]:
        """The facts of every signal of this name that was sent."""
        return [event.facts for event in self.events if event.name == name]

    def sweep(self) -> int:
        """Sweep all that has ended."""
        total = 0
        with self.app.app_context():
            while swept := self.state.sessions.sweep():
                total += swept
        return total

    def close(self) -> None:
        """Release the store."""
        self.store.close()

    def _listen(self, signal: NamedSignal) -> cabc.Callable[..., None]:
        name = signal.name.replace("-", "_")

        def receiver(sender: flask.Flask, **facts: t.Any) -> None:
            self.events.append(Event(name, {k: v for k, v in facts.items() if k[0] != "_"}))

        signal.connect(receiver, self.app)
        return receiver


def _run_task() -> t.Any:
    environ = flask.request.environ
    answer = environ["tests.task"]()
    environ["tests.done"](answer)
    return answer if isinstance(answer, flask.Response) else ""


def watched(url: str, clock: Clock) -> WatchedEngine:
    """The engine of a URL, watched."""
    return WatchedEngine(registry.open_sessions(url, clock))


def engine_url(engine: str, folder: pathlib.Path) -> str:
    """The URL of an engine that keeps what it keeps in a folder."""
    return "memory://" if engine == "memory" else f"{engine}://{folder}/state"


def dump(store: WatchedEngine, url: str) -> bytes:
    """Everything that an engine keeps, as whoever steals it would see it."""
    parts = urlsplit(url)
    if parts.scheme == "memory":
        inner: t.Any = store.store
        kept = [(key, each.facts, each.items) for key, each in inner._records.items()]
        return repr([kept, inner._owners, inner._notes]).encode()
    files = sorted(path for path in pathlib.Path(parts.path).rglob("*") if path.is_file())
    return b"".join(path.read_bytes() for path in files)
