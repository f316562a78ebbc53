"""The pages of the demo."""

from __future__ import annotations

from datetime import UTC
from datetime import datetime

from flask import Blueprint
from flask import Response
from flask import current_app
from flask import flash
from flask import redirect
from flask import render_template
from flask import request
from flask import url_for
from werkzeug.wrappers import Response as BaseResponse

from flask_state import session

bp = Blueprint("pages", __name__)


@bp.after_request
def secure(response: Response) -> Response:
    """Nothing from elsewhere, and nothing of a visitor in anybody's cache."""
    response.headers["Content-Security-Policy"] = "default-src 'self'; img-src 'self' data:"
    response.headers["Cache-Control"] = "no-store"
    return response


@bp.get("/")
def index() -> str:
    """Count the visit and show what is remembered."""
    session["visits"] = session.get("visits", 0) + 1
    session.setdefault("since", datetime.now(UTC))
    return render_template("index.html", engine=current_app.config["STATE_URL"])


@bp.post("/sign-in")
def sign_in() -> BaseResponse:
    """Remember a name, under a new id: nobody who knew the old one comes along."""
    name = request.form.get("name", "").strip()[:40]
    if not name:
        flash("Please say what to call you.")
        return _home()
    session.regenerate()
    session["name"] = name
    flash(f"Welcome, {name}. Your session has a new id and kept everything else.")
    return _home()


@bp.post("/notes")
def add_note() -> BaseResponse:
    """Append to a list inside the session: the change is noticed."""
    note = request.form.get("note", "").strip()[:120]
    if note:
        session.setdefault("notes", []).append(note)
    return _home()


@bp.post("/notes/<int:index>/remove")
def remove_note(index: int) -> BaseResponse:
    """Remove one note, if it is still there."""
    notes = session.get("notes", [])
    if index < len(notes):
        del notes[index]
    return _home()


@bp.post("/sign-out")
def sign_out() -> BaseResponse:
    """End the session: its data is gone at once, whatever is still under way."""
    session.abandon()
    flash("Signed out. The old id opens nothing any more.")
    return _home()


def _home() -> BaseResponse:
    return redirect(url_for("pages.index"))
