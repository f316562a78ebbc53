"""How a request may use the session."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from ..errors import ConfigurationError

OFF: t.Final = "off"
READONLY: t.Final = "readonly"
MERGE: t.Final = "merge"
EXCLUSIVE: t.Final = "exclusive"
AUTO: t.Final = "auto"
MODES: t.Final = (AUTO, EXCLUSIVE, MERGE, READONLY, OFF)

WHY_READONLY: t.Final = "its access mode is readonly"

_CHANGING: t.Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_ATTRIBUTE: t.Final = "_flask_state_session_access"

T = t.TypeVar("T")


class Access(t.NamedTuple):
    """How a view, or whatever else says so, uses the session."""

    mode: str
    keep_alive: bool = True
    """Whether a use counts toward the idle timeout."""

    def resolved(self, method: str) -> str:
        """The mode for a request with this method: what `AUTO` stands for."""
        if self.mode != AUTO:
            return self.mode
        return EXCLUSIVE if method in _CHANGING else MERGE


MERGED: t.Final = Access(MERGE)


def session_access(mode: str, *, keep_alive: bool = True) -> cabc.Callable[[T], T]:
    """Say how a view uses the session: a function, a class, a method of one, or a blueprint.

    The nearest word counts: that of the method, of the view, of its blueprint, of the blueprint
    around that, then `STATE_SESSION_ACCESS`.

    :param mode: ``"exclusive"``: one request of a session at a time, from its first touch to
        its save. ``"merge"``: requests run side by side; changes to different items all
        survive, the later change of one item wins. ``"auto"``: exclusive for POST, PUT, PATCH
        and DELETE, merge for the rest. ``"readonly"``: what was stored last, as one consistent
        whole; waits for nobody, and a write raises `SessionReadOnly`. ``"off"``: it reads as
        empty and costs nothing, and a write explains why not.
    :param keep_alive: whether a use keeps the session from expiring; False for what a page
        asks for by itself, again and again.
    :raise ConfigurationError: for another mode.
    """
    if mode not in MODES:
        offered = ", ".join(map(repr, MODES))
        raise ConfigurationError(f"a session's access mode is one of {offered}, not {mode!r}")
    access = Access(mode, keep_alive)

    def decorate(place: T) -> T:
        setattr(place, _ATTRIBUTE, access)
        return place

    return decorate


def said_by(place: object) -> Access | None:
    """What a view, a method or a blueprint says of itself."""
    return getattr(place, _ATTRIBUTE, None)


def said_by_view(view: object, method: str) -> Access | None:
    """What a view function says; one made of a class, what the class or its method says."""
    said = said_by(view)
    made_of = getattr(view, "view_class", None)
    if made_of is None:
        return said
    answers = getattr(made_of, method.lower(), None)
    if answers is None and method == "HEAD":
        answers = getattr(made_of, "get", None)
    return said_by(answers) or said or said_by(made_of)
