"""What a request can do to its session, by the words that its URL says it with."""

from __future__ import annotations

import collections.abc as cabc
import os
import time
import typing as t

import flask

from flask_state import session
from flask_state.web.current import app_state
from tests.rig import coordinator

_BRIEF: t.Final = 1e-6
"""Seconds: over by the time at which anybody else can look."""


class Planned(Exception):
    """What a request raises because it was told to."""


def run() -> tuple[dict[str, t.Any], int]:
    """Do the steps of the request, in order, and list what they saw."""
    seen: list[t.Any] = []
    for step in flask.request.args.getlist("step"):
        verb, *words = step.split(" ")
        found = STEPS[verb](*words)
        if verb in _SEEING:
            seen.append(found)
    return {"seen": seen}, flask.g.get("status", 200)


def break_response(response: flask.Response) -> flask.Response:
    """An `after_request` function that raises where the request says so."""
    if flask.g.get("breaks_response"):
        raise Planned
    return response


def waiting() -> dict[str, t.Any]:
    """How many requests of this process wait for the lease of a session.

    There is no public way to see them: what counts waits does so when they are over.
    """
    lines = app_state().parts.manager._leases._lines
    # Whoever is at the front of a line and has no lease asks the store for it, and waits there.
    return {"seen": [sum(len(line.waiting) + (not line.lease) for line in list(lines.values()))]}


def _set(name: str, value: str) -> None:
    session[name] = value


def _fill(name: str, text: str, times: str) -> None:
    session[name] = text * int(times)


def _append(name: str, value: str) -> None:
    session.setdefault(name, []).append(value)


def _add(name: str) -> int:
    session[name] = after = session.get(name, 0) + 1
    return int(after)


def _permanent() -> None:
    session.permanent = True


def _look() -> dict[str, t.Any]:
    return {"items": dict(session), "handle": None if session.new else session.handle}


def _stop(name: str) -> None:
    coordinator.stop(os.environ["RIG_COORDINATOR"], name)


def _lapse(handle: str) -> None:
    """Let the session expire, and come back when nobody can see it any more."""
    stored = not session.new
    session.timeout = _BRIEF
    session.commit()
    sessions = app_state().parts.sessions
    while stored and sessions.get(handle) is not None:
        time.sleep(_BRIEF)


def _revoke(handle: str) -> None:
    app_state().parts.sessions.end(handle)


def _sweep() -> None:
    app_state().parts.sessions.sweep()


def _raise() -> None:
    raise Planned


def _status(code: str) -> None:
    flask.g.status = int(code)


def _break() -> None:
    flask.g.breaks_response = True


STEPS: t.Final[dict[str, cabc.Callable[..., t.Any]]] = {
    "read": lambda name: session.get(name),
    "look": _look,
    "handle": lambda: session.handle,
    "set": _set,
    "fill": _fill,
    "append": _append,
    "add": _add,
    "permanent": _permanent,
    "regenerate": lambda: session.regenerate(),
    "abandon": lambda: session.abandon(),
    "commit": lambda: session.commit(),
    "reload": lambda: session.reload(),
    "lapse": _lapse,
    "revoke": _revoke,
    "sweep": _sweep,
    "raise": _raise,
    "status": _status,
    "break": _break,
    "stop": _stop,
    "clock": time.monotonic,
}
"""What a request can do."""

_SEEING: t.Final = frozenset({"read", "look", "handle", "add", "clock"})
