"""For the administrator: how many sessions there are, and what happened to them.

All of it is `readonly`: the session is read, waits for nobody, and nobody waits for it.
"""

from __future__ import annotations

import heapq
import typing as t

from flask import Blueprint
from flask import abort
from flask import render_template
from flask_login import current_user
from flask_login import login_required

from flask_state import session_access

from . import users
from .extensions import state
from .useragents import browser_name

bp = Blueprint("admin", __name__, url_prefix="/admin")

NEWEST = 20
"""How many sessions are listed."""

MEANINGS = {
    "active": "sessions that live, in all processes",
    "started": "stored for the first time",
    "abandoned": "ended by a sign-out",
    "expired": "swept after their time was over",
    "revoked": "ended from elsewhere",
    "damaged": "could not be read",
    "renewed": "given a new id, at a sign-in",
    "rejected": "ids presented that are none",
    "conflicts": "saves that met another one",
    "lease_waits": "requests that waited for another",
    "lease_wait_seconds": "seconds they waited, in all",
    "lease_timeouts": "requests that gave up waiting",
    "outages": "times the store didn't answer",
}


@bp.before_request
@login_required  # type: ignore[untyped-decorator]  # Flask-Login has no types
def admins_only() -> None:
    """Whoever isn't signed in is asked to; whoever isn't the administrator gets no further."""
    if not current_user.is_admin:
        abort(403)


@bp.get("")
@session_access("readonly")
def index() -> str:
    """The numbers, and the newest sessions."""
    newest = heapq.nlargest(NEWEST, state.sessions, key=lambda each: each.created)
    return render_template(
        "admin/index.html",
        numbers=_numbers(),
        meanings=MEANINGS,
        newest=newest,
        names=users.names(),
        browser_name=browser_name,
    )


@bp.get("/numbers")
@session_access("readonly", keep_alive=False)
def numbers() -> dict[str, t.Any]:
    """The numbers alone, for a page that asks again and again.

    That keeps nobody signed in: an administrator who went home is signed out in time.
    """
    return _numbers()


def _numbers() -> dict[str, t.Any]:
    values = state.sessions.counters()._asdict()
    return {**values, "lease_wait_seconds": round(values["lease_wait_seconds"], 1)}
