"""Your devices: where somebody is signed in, and how to end that from here."""

from __future__ import annotations

from flask import Blueprint
from flask import abort
from flask import flash
from flask import redirect
from flask import render_template
from flask import url_for
from flask_login import current_user
from flask_login import login_required
from werkzeug.wrappers import Response

from flask_state import session

from .extensions import state
from .useragents import browser_name

bp = Blueprint("devices", __name__, url_prefix="/devices")


@bp.get("")
@login_required  # type: ignore[untyped-decorator]  # Flask-Login has no types
def index() -> str:
    """All sessions of this user, the last used first.

    `session.owner` was set by the sign-in: it is Flask-Login's user id.
    """
    found = state.sessions.find(current_user.get_id())
    found.sort(key=lambda each: (each.handle == session.handle, each.touched), reverse=True)
    return render_template("devices/index.html", devices=found, browser_name=browser_name)


@bp.post("/<handle>/end")
@login_required  # type: ignore[untyped-decorator]
def end(handle: str) -> Response:
    """Sign one device out. A handle is no secret: it must be one of the user's own."""
    if handle == session.handle:
        flash("That is this device: use “Sign out”.")
        return redirect(url_for(".index"))
    found = state.sessions.get(handle)
    if found is None or found.owner != current_user.get_id():
        abort(404)
    state.sessions.end(handle)
    flash(f"{browser_name(found.browser)} is signed out.")
    return redirect(url_for(".index"))


@bp.post("/end-others")
@login_required  # type: ignore[untyped-decorator]
def end_others() -> Response:
    """Sign all devices out but this one."""
    ended = state.sessions.end_all(current_user.get_id(), keep=session.handle)
    flash("No other device was signed in." if not ended else f"Signed out elsewhere: {ended}.")
    return redirect(url_for(".index"))
