"""Flask's own sessions, kept in a signed cookie: read once, to take them over."""

from __future__ import annotations

import collections.abc as cabc

import flask
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import BadSignature

from ..session.adoption import Foreign

_FLASK = SecureCookieSessionInterface()


def read(app: flask.Flask, texts: cabc.Sequence[str]) -> Foreign | None:
    """The first of these cookies that Flask itself signed and would still accept."""
    serializer = _FLASK.get_signing_serializer(app)
    if serializer is None:
        return None
    max_age = int(app.permanent_session_lifetime.total_seconds())
    for text in texts:
        if text.count(".") < 2:
            continue
        try:
            values = serializer.loads(text, max_age=max_age)
        except BadSignature:
            continue
        if isinstance(values, dict):
            permanent = bool(values.pop("_permanent", False))
            user = values.get("_user_id")  # Flask-Login's
            owner = str(user) if user is not None else None
            return Foreign(text, values, float(max_age), permanent, owner)
    return None
