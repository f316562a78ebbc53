"""How long sessions live."""

from __future__ import annotations

import collections.abc as cabc

from ..stores.base import Facts

_SLACK = 0.1
"""A touch is written once per this part of the timeout, and this part is added to the stored
deadline: so nobody is signed out early, and at most so much late."""


class Lifetime:
    """The idle and the absolute timeout, applied to facts.

    :param idle: asked at each use for the idle timeout in seconds: Flask's setting may change.
    :param absolute: seconds a session may live in all, or None.
    """

    def __init__(self, idle: cabc.Callable[[], float], absolute: float | None) -> None:
        self._idle = idle
        self._absolute = absolute

    def timeout(self, own: float | None) -> float:
        """The idle timeout of a session that has this one of its own, or None."""
        return own if own is not None else self._idle()

    def at_start(self, own: float | None) -> float:
        """Seconds until a session that starts now expires."""
        life = self.timeout(own) * (1 + _SLACK)
        return life if self._absolute is None else min(life, self._absolute)

    def ahead(self, facts: Facts, own: float | None, now: float) -> float:
        """Seconds until a living session expires if it is touched now."""
        life = self.timeout(own) * (1 + _SLACK)
        if self._absolute is not None:
            life = min(life, facts.created + self._absolute - now)
        return life

    def touch(self, facts: Facts, now: float) -> float | None:
        """Seconds a touch would write, or None where none is due.

        0 or less where today's limits end a session that was stored under longer ones.
        """
        timeout = facts.timeout if facts.timeout is not None else self._idle()
        life = timeout * (1 + _SLACK)
        if now >= facts.touched + life:
            return 0.0
        if self._absolute is None:
            return life if now + life - facts.expires >= timeout * _SLACK else None
        left = facts.created + self._absolute - now
        if left < life:
            return left if left <= 0 or now + left > facts.expires else None
        return life if now + life - facts.expires >= timeout * _SLACK else None
