"""The ways in which a session ends, and what a request may be doing to it at that moment."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import pytest

from flask_state import session
from tests.session.site import Site

DAY: t.Final = 86_400.0

End = cabc.Callable[[Site, str], t.Any]
"""Ends the session with this id, from outside of the request that a test looks at."""


def _in_app(run: cabc.Callable[[Site, str], t.Any]) -> End:
    def end(site: Site, id: str) -> t.Any:
        with site.app.app_context():
            return run(site, id)

    return end


def _visiting(task: cabc.Callable[[], t.Any]) -> End:
    return lambda site, id: site.visit(f"session={id}", task)


ENDS: t.Final[dict[str, End]] = {
    "abandon": _visiting(lambda: session.abandon()),
    "clear": _visiting(lambda: session.clear()),
    "pop all": _visiting(lambda: [session.pop(name) for name in list(session)]),
    "end": _in_app(lambda site, id: site.state.sessions.end(id[:10])),
    "end all": _in_app(lambda site, id: site.state.sessions.end_all("ann")),
}
by_end: t.Final = pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)


def signed_in(site: Site) -> str:
    """The id of a session of the owner ann."""
    browser, id = site.sign_in(user="ann", secret="a value to forget")
    site.visit(browser, lambda: setattr(session, "owner", "ann"))
    return id


def count(site: Site) -> int:
    """How many sessions live."""
    with site.app.app_context():
        return site.state.sessions.count()


def owned(site: Site, owner: str = "ann") -> int:
    """How many sessions of an owner live."""
    with site.app.app_context():
        return len(site.state.sessions.find(owner))


def write() -> None:
    """Something is stored."""
    session["late"] = True


def read() -> None:
    """Something is looked up."""
    session.get("user")


def renew() -> None:
    """The session gets another id."""
    session.regenerate()


def own() -> None:
    """The session gets an owner."""
    session.owner = "ann"


def lengthen() -> None:
    """The session is to live longer."""
    session.timeout = 90 * DAY


def persist() -> None:
    """The session is to outlive the browser."""
    session.permanent = True
