"""The applications that are measured. All have the same views; they differ in their sessions."""

from __future__ import annotations

import random
import string
import typing as t

import flask

from flask_state import FlaskState
from flask_state import session_access

from .wsgi import Visit

KEY: t.Final = "a key of more than sixteen bytes"


class Shape(t.NamedTuple):
    """What a session holds beside the one number that the views touch."""

    items: int
    length: int
    """Characters in each."""


TINY: t.Final = Shape(0, 0)
SMALL: t.Final = Shape(19, 100)
"""With the number: 20 items, 2 KB."""
LONG_ITEMS: t.Final = Shape(20, 10_000)
MANY_ITEMS: t.Final = Shape(2_000, 100)
"""200 KB each."""


def bare() -> flask.Flask:
    """Without a key and without the extension: Flask keeps no session."""
    app = flask.Flask("benchmark")

    @app.get("/bare")
    def bare() -> str:
        return "ok"

    @app.get("/floor")
    def floor() -> flask.Response:
        """The least that a session read from a cookie does: look at it, and say so."""
        flask.request.cookies.get("session")
        response = app.response_class("ok")
        response.vary.add("Cookie")
        return response

    @app.get("/read")
    def read() -> str:
        return "ok" if flask.session["visits"] else "nothing"

    @app.get("/write")
    def write() -> str:
        flask.session["visits"] = flask.session["visits"] + 1
        return "ok"

    @app.get("/write-alone")
    @session_access("exclusive")
    def write_alone() -> str:
        flask.session["visits"] = flask.session["visits"] + 1
        return "ok"

    @app.get("/read-alone")
    @session_access("exclusive")
    def read_alone() -> str:
        return "ok" if flask.session["visits"] else "nothing"

    @app.get("/visits")
    def visits() -> str:
        return str(flask.session["visits"])

    @app.get("/fill/<int:items>/<int:length>")
    def fill(items: int, length: int) -> str:
        letters = random.Random(1)  # any text, and the same one for everybody
        alphabet = string.ascii_letters + string.digits + " "
        for number in range(items):
            text = "".join(letters.choices(alphabet, k=length))
            flask.session[f"item{number:04}"] = text
        flask.session["visits"] = 1
        return "ok"

    return app


def signed_cookie() -> flask.Flask:
    """Flask's own sessions, in a signed cookie."""
    app = bare()
    app.secret_key = KEY
    return app


def with_state(where: t.Any, state: FlaskState | None = None) -> flask.Flask:
    """With the extension, and no sweeper beside the requests.

    :param where: the URL of a store, or a store.
    """
    app = bare()
    app.secret_key = KEY
    app.config["STATE_URL"] = where
    app.config["STATE_SESSION_SWEEP_INTERVAL"] = 0
    (state or FlaskState()).init_app(app)
    return app


def close(app: flask.Flask) -> None:
    """Close the store of an application that has one of ours."""
    app.extensions["flask_state"].parts.store.close()


def flask_session() -> flask.Flask | None:
    """With Flask-Session in this process's memory; None where it is not installed."""
    try:
        import flask_session
        from cachelib import SimpleCache
    except ImportError:
        return None
    app = bare()
    app.secret_key = KEY
    app.config["SESSION_TYPE"] = "cachelib"
    app.config["SESSION_CACHELIB"] = SimpleCache()
    flask_session.Session(app)
    return app


def filled(app: flask.Flask, path: str, shape: Shape = SMALL) -> Visit:
    """A request by a client whose session holds all this.

    :raise RuntimeError: where the application doesn't keep it: there is nothing to measure.
    """
    cookie = Visit(app, f"/fill/{shape.items}/{shape.length}").answer().cookie()
    visit = Visit(app, path, cookie)
    before = Visit(app, "/visits", cookie).answer()
    if not cookie or before.body != b"1" or visit.answer().body != b"ok":
        raise RuntimeError(f"{path} doesn't work in {app.session_interface!r}")
    return visit
