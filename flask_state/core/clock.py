"""The only place that asks what time it is.

Everything that expires takes a `Clock`, so that a test can move time instead of waiting for it.
"""

from __future__ import annotations

import time
import typing as t


class Clock(t.Protocol):
    """Tells the time."""

    def time(self) -> float:
        """Seconds since 1970-01-01 UTC. May be set back; use it for what outlives the process."""
        ...

    def monotonic(self) -> float:
        """Seconds since some start. Never goes back; use it for waiting."""
        ...


class SystemClock:
    """The machine's own clock."""

    # The functions themselves: every request asks, and a function around them is not free.
    monotonic: staticmethod[[], float] = staticmethod(time.monotonic)
    """Seconds since some start; never goes back."""
    time: staticmethod[[], float] = staticmethod(time.time)
    """Seconds since 1970-01-01 UTC."""
