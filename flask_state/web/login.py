"""Flask-Login, where the application uses it: a sign-in gives the session a new id."""

from __future__ import annotations

import sys
import typing as t

import flask

from ..session.working import OFF
from .sessions import Session


def connect(app: flask.Flask) -> None:
    """Listen to Flask-Login's signals, if it is loaded. Called with the first request."""
    flask_login = sys.modules.get("flask_login")
    if flask_login is None:
        return
    signals = flask_login.signals
    signals.user_logged_in.connect(_signed_in, app)
    signals.user_loaded_from_cookie.connect(_signed_in, app)
    signals.user_logged_out.connect(_signed_out, app)


def _session() -> Session | None:
    if not flask.has_request_context():
        return None
    session = flask.session._get_current_object()  # type: ignore[attr-defined]
    if not isinstance(session, Session):
        return None
    session._open(())
    return session if session._state != OFF else None


def _signed_in(app: flask.Flask, user: t.Any, **extra: t.Any) -> None:
    """Whoever knew the id before the sign-in doesn't know it after."""
    session = _session()
    if session is not None:
        user_id = session.get("_user_id")
        session.owner = str(user_id) if user_id is not None else None
        session.regenerate()


def _signed_out(app: flask.Flask, user: t.Any, **extra: t.Any) -> None:
    session = _session()
    if session is not None and session.owner is not None:
        session.owner = None
