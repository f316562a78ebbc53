"""Records in this process."""

from __future__ import annotations

import collections.abc as cabc
import heapq

from ...core.clock import Clock
from ...core.clock import SystemClock
from ...core.forks import fork_safe_lock
from ...errors import StoreError
from .. import polling
from .. import rules
from ..base import CONFLICT
from ..base import Change
from ..base import Committed
from ..base import Facts
from ..base import Found
from ..base import Item
from ..base import Loaded
from ..base import Record

DEFAULT_MAX_BYTES = 256 * 1024 * 1024
_RECORD_OVERHEAD = 1000
"""Bytes that CPython spends on an empty record: facts, dicts, heap and table entries."""
_ITEM_OVERHEAD = 200
_HOLDER = b"here"
"""Who holds a lease: all are in this process, and gone with it."""


class _Kept:
    __slots__ = ("cost", "facts", "items")

    def __init__(self, facts: Facts, items: dict[str, Item]) -> None:
        self.facts = facts
        self.items = items
        self.cost = 0
        """About how many bytes of memory it takes; 0 until it is settled."""


class MemorySessionStore:
    """A `SessionStore` in this process.

    :param max_bytes: about how much memory the records may take. Where a commit would exceed
        it, ended and expired records are dropped first; then it is a `StoreError`, and what is
        stored stays: a living session is never evicted.
    :param clock: tells the time.

    One lock guards all of the table, the heap, the owners and the sum. It is held for the
    dictionary operations of one call, never across I/O or the user's code.
    """

    engine: str = "memory"
    shared: str = "process"

    def __init__(self, *, max_bytes: int = DEFAULT_MAX_BYTES, clock: Clock | None = None) -> None:
        self._max_bytes = max_bytes
        self._clock = clock or SystemClock()
        self._lock = fork_safe_lock()
        self._records: dict[str, _Kept] = {}
        self._owners: dict[str, set[str]] = {}
        self._notes: dict[str, bytes] = {}
        self._bytes = 0
        self._due: list[tuple[float, str]] = []
        """A heap with an entry per record, due at its `expires` or earlier, and some of dropped
        records, which it loses when they are the majority."""

    def load(
        self,
        locator: str,
        proofs: cabc.Sequence[bytes],
        names: cabc.Sequence[str] | None,
        lease: float | None = None,
    ) -> Loaded | None:
        now = self._clock.time()
        with self._lock:
            record = self._records.get(locator)
            if record is None or not rules.lives(record.facts, now):
                return None
            facts, stored = record.facts, record.items
            match = rules.match(facts, proofs, now)
            if match is None:
                return rules.superseded(facts, proofs, now)
            if lease is not None:
                if rules.is_leased(facts, now):
                    record.facts = facts._replace(wanted=True)
                    return rules.busy(facts, match, now)
                record.facts = facts = rules.granted(facts, _HOLDER, now + lease)
            if names is None:
                return Loaded(facts, dict(stored), True, match[0], match[1], now)
            items = {name: stored[name] for name in names if name in stored}
            complete = len(items) == len(stored)
        return Loaded(facts, items, complete, match[0], match[1], now)

    def commit(self, locator: str, change: Change, fence: int | None) -> Committed:
        now = self._clock.time()
        with self._lock:
            record = self._records.get(locator)
            facts = record.facts if record is not None else None
            refused = rules.refusal(facts, change, fence, now)
            if refused is not None:
                return Committed(refused)
            stored = record.items if record is not None else {}
            lost = rules.lost(change, stored)
            if lost and change.strict:
                return Committed(CONFLICT, lost)
            count, size = _measure(change, stored, facts.size if facts is not None else 0)
            after = rules.advance(facts, change, now, size=size, empty=not count)
            cost = _RECORD_OVERHEAD + _ITEM_OVERHEAD * count + size
            self._make_room(cost - (record.cost if record is not None else 0), now)
            if record is None:
                record = self._records[locator] = _Kept(after, stored)
            rules.apply(change, stored, after.version)
            self._settle(locator, record, after, cost)
        return Committed(None, lost, after)

    def wait(self, locator: str, fence: int, timeout: float) -> None:
        def over() -> bool:
            # A single look-up needs no lock.
            record = self._records.get(locator)
            return record is None or rules.is_over(record.facts, fence, self._clock.time())

        polling.until(over, timeout)

    def claim(self, limit: int, lease: float) -> list[Record]:
        now = self._clock.time()
        claimed: list[Record] = []
        with self._lock:
            looked = 0
            while self._due and self._due[0][0] <= now and looked < limit * 4:
                if len(claimed) == limit:
                    break
                looked += 1
                _, locator = heapq.heappop(self._due)
                record = self._records.get(locator)
                if record is None:
                    continue
                if record.facts.expires > now:
                    heapq.heappush(self._due, (record.facts.expires, locator))
                    continue
                record.facts = rules.claimed(record.facts, now + lease)
                self._disown(locator, record.facts.owner)
                heapq.heappush(self._due, (now + lease, locator))
                claimed.append(Record(locator, record.facts, dict(record.items)))
        return claimed

    def forget(self, locator: str) -> None:
        with self._lock:
            record = self._records.get(locator)
            if record is not None and record.facts.end is not None:
                self._drop(locator, record)

    def find(self, owner: str) -> list[Found]:
        now = self._clock.time()
        with self._lock:
            found = [
                Found(locator, self._records[locator].facts)
                for locator in self._owners.get(owner, ())
            ]
        living = (each for each in found if rules.lives(each.facts, now))
        return sorted(living, key=lambda each: each.facts.created)

    def count(self) -> int:
        now = self._clock.time()
        with self._lock:
            return sum(rules.lives(record.facts, now) for record in self._records.values())

    def scan(self, cursor: str, limit: int) -> tuple[list[Found], str]:
        now = self._clock.time()
        with self._lock:
            page = heapq.nsmallest(limit, (key for key in self._records if key > cursor))
            found = [Found(locator, self._records[locator].facts) for locator in page]
        living = [each for each in found if rules.lives(each.facts, now)]
        return living, page[-1] if len(page) == limit else ""

    def inspect(self, locator: str) -> Record | None:
        now = self._clock.time()
        with self._lock:
            record = self._records.get(locator)
            if record is None or not rules.lives(record.facts, now):
                return None
            return Record(locator, record.facts, dict(record.items))

    def note(self, name: str, value: bytes) -> bytes | None:
        with self._lock:
            before = self._notes.get(name)
            self._notes[name] = value
        return before

    def close(self) -> None:
        """Nothing is held open; the records stay until the store itself goes."""

    # The rest is called with the lock held.

    def _make_room(self, growth: int, now: float) -> None:
        if growth <= 0 or self._bytes + growth <= self._max_bytes:
            return
        self._drop_ended(now)
        if self._bytes + growth > self._max_bytes:
            raise StoreError(
                f"{self._bytes:,} of {self._max_bytes:,} bytes are taken by living sessions; "
                "raise max_bytes in the URL, shorten the idle timeout, or use lmdb://",
                engine=self.engine,
                operation="commit",
            )

    def _settle(self, locator: str, record: _Kept, after: Facts, cost: int) -> None:
        """Give a record its new facts, and the sum, the heap and the owners what follows."""
        before, is_new = record.facts, not record.cost
        self._bytes += cost - record.cost
        record.facts, record.cost = after, cost
        if is_new or after.expires < before.expires:
            heapq.heappush(self._due, (after.expires, locator))
        old_owner = None if is_new else before.owner
        new_owner = after.owner if after.end is None else None
        if old_owner != new_owner:
            self._disown(locator, old_owner)
            if new_owner is not None:
                self._owners.setdefault(new_owner, set()).add(locator)

    def _drop_ended(self, now: float) -> None:
        """Make room: nobody can see these records any more, though nobody was told either."""
        gone = [each for each in self._records.items() if not rules.lives(each[1].facts, now)]
        for locator, record in gone:
            self._drop(locator, record)

    def _drop(self, locator: str, record: _Kept) -> None:
        del self._records[locator]
        self._bytes -= record.cost
        self._disown(locator, record.facts.owner)
        if len(self._due) > 2 * len(self._records) + 1000:
            self._due = [(each.facts.expires, key) for key, each in self._records.items()]
            heapq.heapify(self._due)

    def _disown(self, locator: str, owner: str | None) -> None:
        locators = self._owners.get(owner) if owner is not None else None
        if owner is not None and locators is not None:
            locators.discard(locator)
            if not locators:
                del self._owners[owner]


def _measure(change: Change, stored: dict[str, Item], size: int) -> tuple[int, int]:
    """How many items there are after a change, and their bytes; `size` is those before it."""
    count = len(stored)
    if change.clear is not None:
        stored, count, size = {}, 0, 0
    for name, edit in change.items.items():
        old = stored.get(name)
        if old is not None:
            count -= 1
            size -= rules.weight(name, old.value)
        if edit.value is not None:
            count += 1
            size += rules.weight(name, edit.value)
    return count, size
