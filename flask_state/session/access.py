"""How a view may use the session."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from ..errors import ConfigurationError

OFF: t.Final = "off"
MERGE: t.Final = "merge"
MODES: t.Final = (OFF, MERGE)

_ATTRIBUTE: t.Final = "_flask_state_session_access"

F = t.TypeVar("F", bound=cabc.Callable[..., t.Any])


def session_access(mode: str) -> cabc.Callable[[F], F]:
    """Say how a view uses the session.

    :param mode: ``"off"``: it reads as empty, costs nothing, and a write explains why not.
        ``"merge"``, the default: requests run side by side; changes to different items all
        survive, the later change of one item wins.
    :raise ConfigurationError: for another mode.
    """
    if mode not in MODES:
        offered = ", ".join(map(repr, MODES))
        raise ConfigurationError(f"a session's access mode is one of {offered}, not {mode!r}")

    def decorate(view: F) -> F:
        setattr(view, _ATTRIBUTE, mode)
        return view

    return decorate


def mode_of(view: object) -> str:
    """The access mode that a view function says, `MERGE` where it says none."""
    return getattr(view, _ATTRIBUTE, MERGE)
