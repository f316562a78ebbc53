"""The engine `memory://`: records in this process, gone with it."""

from __future__ import annotations

from ...core.clock import Clock
from ...core.registry import EngineURL
from .sessions import DEFAULT_MAX_BYTES
from .sessions import MemorySessionStore


def open_sessions(url: EngineURL, clock: Clock) -> MemorySessionStore:
    """The store of ``memory://?max_bytes=...``: one of its own for every application."""
    url.only("max_bytes")
    return MemorySessionStore(max_bytes=url.number("max_bytes", DEFAULT_MAX_BYTES), clock=clock)
