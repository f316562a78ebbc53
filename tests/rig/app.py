"""The application under test: what a request does to its session is written in its URL.

`/run?step=read a&step=stop slow&step=set a 1` reads an item, waits until the test lets it go on,
and sets the item. The answer lists what was seen. Runs in the server's processes.
"""

from __future__ import annotations

import collections.abc as cabc
import json
import os
import pathlib
import typing as t

import flask

from flask_state import FlaskState
from flask_state import session
from flask_state import signals
from tests.rig import coordinator

if t.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment

WORKER_HEADER: t.Final = "X-Worker"
"""In every response: the process that made it."""

SIGNALS_HEADER: t.Final = "X-Signals"
"""In every response: the signals that its request sent, as JSON."""

_SENT: t.Final = "rig.signals"

state = FlaskState()


def create_app() -> flask.Flask:
    """The application, set by `FLASK_*` variables.

    Where `RIG_USED_AT_IMPORT` names a file, a session is made before the application is
    returned, so in gunicorn's master; the file holds its cookie then.
    """
    app = flask.Flask(__name__)
    app.config["SECRET_KEY"] = "the rig's key, which is no secret at all"
    app.config.from_prefixed_env()
    state.init_app(app)
    app.add_url_rule("/run", view_func=run)
    app.add_url_rule("/worker", view_func=worker)
    app.add_url_rule("/count", view_func=count)
    # The way Flask documents for middleware, though it replaces a method.
    app.wsgi_app = _labelled(app.wsgi_app)  # type: ignore[assignment, method-assign]
    signals.session_conflict.connect(_note, app, weak=False)
    used = os.environ.get("RIG_USED_AT_IMPORT")
    if used:
        client = app.test_client()
        client.get("/run", query_string={"step": "set maker master"})
        cookie = client.get_cookie(app.config["SESSION_COOKIE_NAME"])
        assert cookie is not None, "the master's session was not stored"
        pathlib.Path(used).write_text(cookie.value)
    return app


def run() -> dict[str, t.Any]:
    """Do the steps of the request, in order."""
    seen: list[t.Any] = []
    for step in flask.request.args.getlist("step"):
        verb, *words = step.split(" ")
        found = STEPS[verb](*words)
        if verb in ("read", "look", "handle"):
            seen.append(found)
    return {"seen": seen}


def worker() -> str:
    """Nothing: who made the answer is in its header."""
    return ""


def count() -> dict[str, t.Any]:
    """How many sessions live."""
    return {"seen": [state.sessions.count()]}


def _set(name: str, value: str) -> None:
    session[name] = value


def _fill(name: str, text: str, times: str) -> None:
    session[name] = text * int(times)


def _append(name: str, value: str) -> None:
    session.setdefault(name, []).append(value)


def _permanent() -> None:
    session.permanent = True


def _look() -> dict[str, t.Any]:
    return {"items": dict(session), "handle": None if session.new else session.handle}


def _stop(name: str) -> None:
    coordinator.stop(os.environ["RIG_COORDINATOR"], name)


STEPS: t.Final[dict[str, cabc.Callable[..., t.Any]]] = {
    "read": lambda name: session.get(name),
    "look": _look,
    "handle": lambda: session.handle,
    "set": _set,
    "fill": _fill,
    "append": _append,
    "permanent": _permanent,
    "regenerate": lambda: session.regenerate(),
    "abandon": lambda: session.abandon(),
    "stop": _stop,
}
"""What a request can do."""


def _note(app: flask.Flask, reason: str, items: cabc.Sequence[str], **extra: object) -> None:
    flask.request.environ.setdefault(_SENT, []).append(["conflict", reason, *items])


def _labelled(application: WSGIApplication) -> WSGIApplication:
    """Say in every response who made it, and which signals were sent until it was saved."""

    def labelled(environ: WSGIEnvironment, start_response: StartResponse) -> cabc.Iterable[bytes]:
        def start(
            status: str, headers: list[tuple[str, str]], exc_info: t.Any = None
        ) -> cabc.Callable[[bytes], object]:
            headers.append((WORKER_HEADER, str(os.getpid())))
            headers.append((SIGNALS_HEADER, json.dumps(environ.get(_SENT, []))))
            return start_response(status, headers, exc_info)

        return application(environ, start)

    return labelled
