"""The engine `lmdb://`: records in a memory-mapped file, shared by the machine's processes."""

from __future__ import annotations

from ...core.clock import Clock
from ...core.registry import EngineURL
from ...errors import ConfigurationError
from .sessions import DEFAULT_MAX_BYTES
from .sessions import LMDBSessionStore


def open_sessions(url: EngineURL, clock: Clock) -> LMDBSessionStore:
    """The store of ``lmdb:///path?durability=process&max_bytes=...``.

    :raise ConfigurationError: the URL has no path, a host, or an option that isn't known.
    """
    url.only("durability", "max_bytes")
    if url.host:
        raise ConfigurationError(
            "lmdb:// has no host; a path starts with a third slash, as in lmdb:///var/lib/app"
        )
    if not url.path.strip("/"):
        raise ConfigurationError("lmdb:// needs the path of a directory, as in lmdb:///var/lib/app")
    return LMDBSessionStore(
        url.path,
        clock=clock,
        durability=url.choice("durability", "process", "disk"),
        max_bytes=url.number("max_bytes", DEFAULT_MAX_BYTES),
    )
