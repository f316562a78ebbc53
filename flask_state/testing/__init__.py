"""For tests: a clock to turn, and the suites that every store must pass."""

from __future__ import annotations

from .clock import FakeClock
from .sessions import SessionStoreContract

__all__ = ["FakeClock", "SessionStoreContract"]
