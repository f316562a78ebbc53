"""A clock that moves when told."""

from __future__ import annotations


class FakeClock:
    """A `Clock` for tests.

    :param start: seconds since 1970 at which it stands.
    """

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._now = start

    def time(self) -> float:
        """The moment it stands at."""
        return self._now

    def monotonic(self) -> float:
        """The same: nobody sets this clock back."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`."""
        self._now += seconds
