"""For tests: a clock to turn, and the suites that every store must pass."""

from __future__ import annotations

from .bytes import ByteStoreContract
from .clock import FakeClock
from .sessions import SessionStoreContract

__all__ = ["ByteStoreContract", "FakeClock", "SessionStoreContract"]
