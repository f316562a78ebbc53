"""Bytes in this process."""

from __future__ import annotations

import heapq
import math
import typing as t

from ...core.clock import Clock
from ...core.clock import SystemClock
from ...core.forks import fork_safe_lock
from ...core.sentinels import ANY
from ...core.sentinels import MISSING
from ...core.sentinels import Any_
from ...core.sentinels import Missing
from ...errors import StoreError
from .sessions import DEFAULT_MAX_BYTES

_OVERHEAD = 400
"""Bytes that CPython spends on an entry beside key and value: objects, table, heap."""
_DROPPED_PER_PUT = 4
"""Expired entries that a put clears away: more than it adds, and never many."""


class _Entry(t.NamedTuple):
    value: bytes
    version: int
    expires: float


class MemoryByteStore:
    """A `ByteStore` in this process.

    :param max_bytes: about how much memory the entries may take. Where a put would exceed it,
        expired entries are dropped first; then it is a `StoreError`, and what is stored stays.
    :param clock: tells the time.

    One lock guards the table, the heap, the sum and the counter of versions, which all keys
    share, so that none ever comes again.
    """

    engine: str = "memory"
    shared: str = "process"

    def __init__(self, *, max_bytes: int = DEFAULT_MAX_BYTES, clock: Clock | None = None) -> None:
        self._max_bytes = max_bytes
        self._clock = clock or SystemClock()
        self._lock = fork_safe_lock()
        self._entries: dict[str, _Entry] = {}
        self._versions = 0
        self._bytes = 0
        self._due: list[tuple[float, int, str]] = []
        """A heap of those that expire, and some that were replaced or deleted since."""

    def get(self, key: str) -> tuple[bytes, int] | None:
        now = self._clock.time()
        with self._lock:
            entry = self._entries.get(key)
        return None if entry is None or entry.expires <= now else (entry.value, entry.version)

    def put(
        self, key: str, value: bytes, ttl: float | None, if_version: int | Missing | Any_ = ANY
    ) -> int | None:
        now = self._clock.time()
        with self._lock:
            self._drop_expired(now, _DROPPED_PER_PUT)
            entry = self._living(key, now)
            if if_version is not ANY:
                there = MISSING if entry is None else entry.version
                if there != if_version:
                    return None
            self._make_room(key, value, now)
            self._remove(key)
            self._versions += 1
            expires = math.inf if ttl is None else now + ttl
            self._entries[key] = _Entry(value, self._versions, expires)
            self._bytes += _cost(key, value)
            if ttl is not None:
                heapq.heappush(self._due, (expires, self._versions, key))
            return self._versions

    def delete(self, key: str, if_version: int | Any_ = ANY) -> bool:
        now = self._clock.time()
        with self._lock:
            entry = self._living(key, now)
            if entry is None or (if_version is not ANY and if_version != entry.version):
                return False
            self._remove(key)
        return True

    def close(self) -> None:
        """Nothing is held open; the entries stay until the store itself goes."""

    # The rest is called with the lock held.

    def _living(self, key: str, now: float) -> _Entry | None:
        entry = self._entries.get(key)
        return None if entry is None or entry.expires <= now else entry

    def _make_room(self, key: str, value: bytes, now: float) -> None:
        if self._fits(key, value):
            return
        self._drop_expired(now, len(self._due))
        if not self._fits(key, value):
            raise StoreError(
                f"{self._bytes:,} of {self._max_bytes:,} bytes are taken; raise max_bytes",
                engine=self.engine,
                operation="put",
            )

    def _fits(self, key: str, value: bytes) -> bool:
        """Whether there is room, or the bytes at least take no more of it than those before."""
        old = self._entries.get(key)
        growth = _cost(key, value) - (_cost(key, old.value) if old is not None else 0)
        return growth <= 0 or self._bytes + growth <= self._max_bytes

    def _drop_expired(self, now: float, limit: int) -> None:
        while limit > 0 and self._due and self._due[0][0] <= now:
            _, version, key = heapq.heappop(self._due)
            entry = self._entries.get(key)
            if entry is not None and entry.version == version:
                self._remove(key)
            limit -= 1

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self._bytes -= _cost(key, entry.value)
        if len(self._due) > 2 * len(self._entries) + 1000:
            self._due = [
                (each.expires, each.version, key)
                for key, each in self._entries.items()
                if each.expires < math.inf
            ]
            heapq.heapify(self._due)


def _cost(key: str, value: bytes) -> int:
    return _OVERHEAD + len(key) + len(value)
