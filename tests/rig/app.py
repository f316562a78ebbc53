"""The application under test: what a request does to its session is written in its URL.

`/run?step=read a&step=stop slow&step=set a 1` reads an item, waits until the test lets it go on,
and sets the item; `tests.rig.steps` has them all. The answer lists what was seen. Runs in the
server's processes.
"""

from __future__ import annotations

import collections.abc as cabc
import json
import logging
import os
import pathlib
import time
import typing as t

import flask

from flask_state import FlaskState
from flask_state import signals
from tests.rig import steps

if t.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse
    from _typeshed.wsgi import WSGIApplication
    from _typeshed.wsgi import WSGIEnvironment

WORKER_HEADER: t.Final = "X-Worker"
"""In every response: the process that made it."""

SIGNALS_HEADER: t.Final = "X-Signals"
"""In every response: the signals that its request sent, as JSON."""

ANSWERED_HEADER: t.Final = "X-Answered"
"""In every response: the moment at which it began, by the clock that all processes share."""

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
    app.after_request(steps.break_response)
    app.logger.addFilter(_is_news)
    app.add_url_rule("/run", view_func=steps.run, methods=["GET", "POST"])
    app.add_url_rule("/waiting", view_func=steps.waiting)
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


def worker() -> str:
    """Nothing: who made the answer is in its header."""
    return ""


def count() -> dict[str, t.Any]:
    """How many sessions live."""
    return {"seen": [state.sessions.count()]}


def _note(app: flask.Flask, reason: str, items: cabc.Sequence[str], **extra: object) -> None:
    flask.request.environ.setdefault(_SENT, []).append(["conflict", reason, *items])


def _is_news(record: logging.LogRecord) -> bool:
    """Whether the log is to have it: what was asked for is none."""
    return record.exc_info is None or record.exc_info[0] is not steps.Planned


def _labelled(application: WSGIApplication) -> WSGIApplication:
    """Say in every response who made it, and which signals were sent until it was saved."""

    def labelled(environ: WSGIEnvironment, start_response: StartResponse) -> cabc.Iterable[bytes]:
        def start(
            status: str, headers: list[tuple[str, str]], exc_info: t.Any = None
        ) -> cabc.Callable[[bytes], object]:
            headers.append((WORKER_HEADER, str(os.getpid())))
            headers.append((ANSWERED_HEADER, repr(time.monotonic())))
            headers.append((SIGNALS_HEADER, json.dumps(environ.get(_SENT, []))))
            return start_response(status, headers, exc_info)

        return application(environ, start)

    return labelled
