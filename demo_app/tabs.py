"""Two tabs at once: overlapping requests of one session, in each access mode.

Every request reads a counter, works, and puts back what it read and one more. Side by side that
loses counts; one at a time it loses none; and who may only read doesn't get that far.
"""

from __future__ import annotations

import time
import typing as t

from flask import Blueprint
from flask import abort
from flask import g
from flask import render_template
from flask import request

from flask_state import errors
from flask_state import session
from flask_state import session_access

bp = Blueprint("tabs", __name__, url_prefix="/tabs")

WORK = 0.4
"""Seconds of work, with the counter read and not yet put back."""

WORK_BY_HAND = 4.0
"""The same for people, who need time to change tabs."""

MODES = {
    "readonly": "All begin at once and read the same. None may change anything.",
    "merge": "All begin at once and read the same. Each puts back one more than that, and the last "
    "one wins: the other counts are lost.",
    "exclusive": "One at a time, from the first touch of the session to its save: each reads what "
    "the one before has saved.",
}


class Run(t.NamedTuple):
    """What one request did. Times are seconds since 1970."""

    mode: str
    arrived: float
    opened: float
    """When it had the session."""
    done: float
    seen: int
    """The counter, as it found it."""
    left: int
    """The counter, as it left it."""
    refused: str | None
    """Why it could not change it."""


@bp.url_value_preprocessor
def note_arrival(endpoint: str | None, values: dict[str, t.Any] | None) -> None:
    """The first thing that happens to a request, before any hook touches the session."""
    g.arrived = time.time()


@bp.get("")
def index() -> str:
    """The page that fires the requests."""
    return render_template("tabs/index.html", modes=MODES, work=WORK)


@bp.get("/by-hand/<mode>")
def by_hand(mode: str) -> str:
    """One of two tabs, for a person to press a button in each."""
    if mode not in MODES:
        abort(404)
    tab = "two" if request.args.get("tab") == "two" else "one"
    return render_template("tabs/by_hand.html", mode=mode, tab=tab, work=WORK_BY_HAND)


@bp.get("/counter")
@session_access("readonly")
def counter() -> dict[str, int]:
    """The counter, as it was saved last."""
    return {"counter": session.get("tabs", 0)}


@bp.post("/readonly")
@session_access("readonly")
def readonly() -> str | dict[str, t.Any]:
    """Wait for nobody, change nothing."""
    return _count_up("readonly")


@bp.post("/merge")
@session_access("merge")
def merge() -> str | dict[str, t.Any]:
    """Wait for nobody; the later change of the same item wins."""
    return _count_up("merge")


@bp.post("/exclusive")
@session_access("exclusive")
def exclusive() -> str | dict[str, t.Any]:
    """Wait for the others. For a POST that is so without saying it."""
    return _count_up("exclusive")


def _count_up(mode: str) -> str | dict[str, t.Any]:
    """The same work whatever the mode."""
    by_hand = "tab" in request.form
    opened = time.time()  # the check of the CSRF token has touched the session: it is there now
    seen = session.get("tabs", 0)
    time.sleep(WORK_BY_HAND if by_hand else WORK)
    refused = None
    try:
        session["tabs"] = seen + 1
    except errors.SessionReadOnly as error:
        refused = str(error)
    run = Run(mode, g.arrived, opened, time.time(), seen, session.get("tabs", 0), refused)
    if by_hand:
        return render_template("tabs/result.html", run=run, tab=request.form["tab"][:3])
    return run._asdict()
