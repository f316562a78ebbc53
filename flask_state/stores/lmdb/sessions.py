"""Records in a memory-mapped file, shared by all processes of the machine."""

from __future__ import annotations

import collections.abc as cabc
import os
import time
import typing as t

from ...core.clock import Clock
from ...core.clock import SystemClock
from .. import polling
from ..base import Change
from ..base import Committed
from ..base import Found
from ..base import Loaded
from ..base import Record
from . import changes
from . import edits
from . import expiry
from . import layout
from . import records
from .failures import ENGINE
from .leasing import Granted
from .leasing import Leasing
from .leasing import Watch
from .quota import Quota
from .sharing import Access

DEFAULT_MAX_BYTES: t.Final = 1 << 30
DEFAULT_GATE_TIMEOUT: t.Final = 5.0

_SCANNED_AT_ONCE = 5_000
"""Records per read transaction: while one runs, no page is reused."""
_LOOKED_AT = 5_000
"""Entries that one claim takes up at least, if it finds so many due."""

monotonic: t.Callable[[], float] = SystemClock.monotonic


class LMDBSessionStore:
    """A `SessionStore` in an LMDB environment.

    :param path: the directory, made when it is first used, for this user alone.
    :param clock: tells the time.
    :param durability: with ``"process"`` a commit outlives the process, and a power cut may
        cost up to a minute: the file is checked at the first use after one, and replaced by its
        latest copy if it was damaged. With ``"disk"`` every commit waits for the disk, and a
        power cut costs nothing that was committed.
    :param max_bytes: about how much the file may hold. Where a commit would exceed it, ended and
        expired records are dropped first; then it is a `StoreError`, and what is stored stays.
    :param gate_timeout: seconds for which a commit waits for other writers at most.
    :raise ConfigurationError: there is no such durability.

    At its first use it also raises `ConfigurationError` where the directory can't be used.
    """

    engine: str = ENGINE
    shared: str = "machine"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Clock | None = None,
        durability: str = "process",
        max_bytes: int = DEFAULT_MAX_BYTES,
        gate_timeout: float = DEFAULT_GATE_TIMEOUT,
    ) -> None:
        self._clock = clock or SystemClock()
        self._access = Access(path, durability, gate_timeout)
        self._quota = Quota(max_bytes, self._access.reserved)
        self._granted: dict[bytes, Granted] = {}

    def load(
        self,
        locator: str,
        proofs: cabc.Sequence[bytes],
        names: cabc.Sequence[str] | None,
        lease: float | None = None,
    ) -> Loaded | None:
        access = self._access
        environment = access.environment or access.join()
        now = self._clock.time()
        if lease is None:
            return environment.read("load", records.load, locator, proofs, names, now, None)
        leasing = layout.new(Leasing, (environment.presence, lease, self._granted))
        return access.write_with_room(
            "load",
            lambda txn: expiry.drop(txn, now),
            records.load,
            locator,
            proofs,
            names,
            now,
            leasing,
        )

    def commit(self, locator: str, change: Change, fence: int | None) -> Committed:
        now = self._clock.time()
        prepared = edits.prepare(locator, change)
        granted = None
        if change.lease is not None:
            granted = self._granted.pop(layout.head_key(locator), None)
        return self._access.write_with_room(
            "commit",
            lambda txn: expiry.drop(txn, now),
            changes.apply,
            locator,
            change,
            prepared,
            fence,
            now,
            self._quota,
            granted,
        )

    def wait(self, locator: str, fence: int, timeout: float) -> None:
        """Answer `SessionStore.wait`. A look at what nobody changed costs a few microseconds."""
        access = self._access
        watch = Watch((access.environment or access.join()).presence, locator, fence)

        def over() -> bool:
            return access.read("wait", watch.is_over, self._clock.time())

        polling.until(over, timeout)

    def claim(self, limit: int, lease: float) -> list[Record]:
        now = self._clock.time()
        access = self._access
        claimed: list[Record] = []
        if not access.read("claim", expiry.anything_due, now):
            return claimed
        looked = 0
        while len(claimed) < limit and looked < max(4 * limit, _LOOKED_AT):
            begun = monotonic()
            batch = access.write("claim", expiry.claim, now, limit - len(claimed), lease)
            if not batch.looked:
                break
            looked += batch.looked
            held = monotonic() - begun
            claimed += access.read("claim", expiry.with_items, batch.claimed)
            if len(claimed) < limit:
                time.sleep(2 * held)  # the lock is unfair: let those who wait have their turn
        return claimed

    def forget(self, locator: str) -> None:
        self._access.write("forget", expiry.forget, locator)

    def find(self, owner: str) -> list[Found]:
        found = self._access.read("find", records.find, owner, self._clock.time())
        return sorted(found, key=lambda each: each.facts.created)

    def count(self) -> int:
        found, after = self.scan("", _SCANNED_AT_ONCE)
        total = len(found)
        while after:
            found, after = self.scan(after, _SCANNED_AT_ONCE)
            total += len(found)
        return total

    def scan(self, cursor: str, limit: int) -> tuple[list[Found], str]:
        limit = min(limit, _SCANNED_AT_ONCE)
        return self._access.read("scan", records.page, cursor, limit, self._clock.time())

    def inspect(self, locator: str) -> Record | None:
        return self._access.read("inspect", records.inspect, locator, self._clock.time())

    def note(self, name: str, value: bytes) -> bytes | None:
        return self._access.write("note", records.note, name, value)

    def close(self) -> None:
        self._access.close()
