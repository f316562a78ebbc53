"""A `SessionStore` of any `ByteStore`."""

from __future__ import annotations

import collections.abc as cabc
import contextlib

from ...core.clock import Clock
from ...core.clock import SystemClock
from ...core.sentinels import MISSING
from ...errors import StoreError
from .. import polling
from .. import rules
from ..base import CONFLICT
from ..base import EXISTS
from ..base import GONE
from ..base import ByteStore
from ..base import Change
from ..base import Committed
from ..base import DamagedRecord
from ..base import Found
from ..base import Loaded
from ..base import Record
from .blobs import Blob
from .blobs import NewerBytes
from .blobs import Step
from .blobs import blank
from .blobs import exchange
from .blobs import key_of
from .blobs import pack
from .blobs import readable
from .blobs import unpack
from .index import DAY
from .index import DueIndex
from .index import Entry
from .index import OwnerIndex

_PATIENCE = 60.0
"""Seconds that an entry waits for the commit it was made for."""
_NEWER_AGAIN = 3600.0
"""Seconds after which a record of a newer format is looked at again."""
_LOOKS_PER_CLAIM = 4
_HOLDER = b"?"
"""Who holds a lease: nobody can tell, and so nobody can see that they are gone."""


class ByteSessionStore:
    """Keeps each record as one blob, facts and items together, and changes it by compare-and-set.

    A load is one get; a commit is a get and a put, and again as often as others were faster. A
    start, an end and a change of owner write to an index as well. The whole record travels each
    way, so this suits sessions of some kilobytes, and tens of new sessions per second. A blob
    outlives the record's deadline by a day, so that all goes in the end though nobody sweeps.

    **What a crash leaves behind.** The put of the record is the one moment at which a commit
    happens. What leads to the record is written before it: a crash in between leaves an entry
    for nothing, which is dropped in time. What leads there no longer is removed after it: a
    crash in between leaves an owner's entry for an ended record, which `find` drops. An end is
    claimed late, at the former deadline, where its put comes more than a minute after its entry.
    Where a backend loses an index blob, its records live on and expire, but `find` and `claim`
    miss them until they are listed anew: by the commit with which a record is to live a day
    longer than it was when it was listed.

    :param store: where the blobs go. Its keys are ``s.<locator>`` for records, ``t`` and
        ``t.<minute>`` for when to look at them, ``o-<hash>`` for those of an owner, and
        ``n.<name>`` for notes.
    :param clock: tells the time. Where several machines share the store, their clocks must
        agree to within seconds: a byte store has no time of its own to ask.
    """

    def __init__(self, store: ByteStore, *, clock: Clock | None = None) -> None:
        self._store = store
        self._clock = clock or SystemClock()
        self._due = DueIndex(store)
        self._owners = OwnerIndex(store)

    @property
    def engine(self) -> str:
        """The engine of the byte store."""
        return self._store.engine

    @property
    def shared(self) -> str:
        """Who sees the byte store."""
        return self._store.shared

    def load(
        self,
        locator: str,
        proofs: cabc.Sequence[bytes],
        names: cabc.Sequence[str] | None,
        lease: float | None = None,
    ) -> Loaded | None:
        """Answer `SessionStore.load`, always with all items: they are here already.

        A lease costs a put as well. It is never known that its holder's process is gone.
        """
        key = key_of("s", locator)
        if lease is None:
            found = self._store.get(key)
            step = self._open(key, found and found[0], proofs, lease)
            return step.answer
        return exchange(self._store, key, lambda data: self._open(key, data, proofs, lease))

    def commit(self, locator: str, change: Change, fence: int | None) -> Committed:
        """Answer `SessionStore.commit`.

        A record that can't be read can still be ended, which makes its facts anew; every other
        change finds it gone.
        """
        key = key_of("s", locator)

        def decide(data: bytes | None) -> Step[Committed]:
            now = self._clock.time()
            try:
                before = unpack(key, data) if data is not None else None
            except NewerBytes:
                return Step(Committed(EXISTS if change.create else GONE))
            except DamagedRecord:
                if change.create or change.end is None:
                    return Step(Committed(EXISTS if change.create else GONE))
                before = blank(now)
            return self._decide(locator, before, change, fence, now)

        done = exchange(self._store, key, decide)
        if done.facts is not None and done.facts.end is not None:
            self._disown(locator, done.facts.owner)
        return done

    def wait(self, locator: str, fence: int, timeout: float) -> None:
        """Answer `SessionStore.wait`, with a get every few milliseconds."""

        def over() -> bool:
            record = self._get(locator)
            return record is None or rules.is_over(record.facts, fence, self._clock.time())

        polling.until(over, timeout)

    def claim(self, limit: int, lease: float) -> list[Record]:
        """Answer `SessionStore.claim`. A record that can't be read is removed."""
        now = self._clock.time()
        claimed: list[Record] = []
        looks = limit * _LOOKS_PER_CLAIM
        for minute, entries in self._due.due(now):
            while entries and looks > 0 and len(claimed) < limit:
                room = min(looks, limit - len(claimed))
                batch, entries = entries[:room], entries[room:]
                claimed += self._claim(minute, batch, now, lease)
                looks -= len(batch)
            if looks <= 0 or len(claimed) >= limit:
                break
        return claimed

    def forget(self, locator: str) -> None:
        """Answer `SessionStore.forget`. A record that can't be read is left to `claim`."""
        key = key_of("s", locator)

        def decide(data: bytes | None) -> Step[None]:
            record = readable(key, data)
            ended = record is not None and record.facts.end is not None
            return Step(None, MISSING if ended else None)

        exchange(self._store, key, decide)

    def find(self, owner: str) -> list[Found]:
        """Answer `SessionStore.find`, and drop from the index what never lives again."""
        now = self._clock.time()
        found: list[Found] = []
        dead: list[str] = []
        for locator in self._owners.locators(owner):
            record = self._get(locator)
            if record is not None and not rules.lives(record.facts, now):
                dead.append(locator)
            elif record is not None and record.facts.owner == owner:
                found.append(Found(locator, record.facts))
        if dead:
            self._owners.remove(owner, dead, now)
        return sorted(found, key=lambda each: each.facts.created)

    def count(self) -> int:
        """How many records live. Looks at every one of them."""
        now = self._clock.time()
        records = (self._get(locator) for locator in self._due.locators())
        return sum(record is not None and rules.lives(record.facts, now) for record in records)

    def scan(self, cursor: str, limit: int) -> tuple[list[Found], str]:
        """Answer `SessionStore.scan`, by locator. Every page reads the index of them all."""
        now = self._clock.time()
        after = sorted(each for each in self._due.locators() if each > cursor)
        page = after[:limit]
        records = ((locator, self._get(locator)) for locator in page)
        living = [
            Found(locator, record.facts)
            for locator, record in records
            if record is not None and rules.lives(record.facts, now)
        ]
        return living, page[-1] if len(page) < len(after) else ""

    def inspect(self, locator: str) -> Record | None:
        """Answer `SessionStore.inspect`."""
        key = key_of("s", locator)
        found = self._store.get(key)
        try:
            record = unpack(key, found[0]) if found is not None else None
        except NewerBytes:
            return None
        if record is None or not rules.lives(record.facts, self._clock.time()):
            return None
        return Record(locator, record.facts, record.items)

    def note(self, name: str, value: bytes) -> bytes | None:
        """Answer `SessionStore.note`."""
        return exchange(
            self._store,
            key_of("n", name),
            lambda data: Step(data, value if data != value else None),
        )

    def close(self) -> None:
        """Close the byte store."""
        self._store.close()

    def _open(
        self, key: str, data: bytes | None, proofs: cabc.Sequence[bytes], lease: float | None
    ) -> Step[Loaded | None]:
        """What `load` answers, and what becomes of a record that is leased or wanted."""
        try:
            record = unpack(key, data) if data is not None else None
        except NewerBytes:
            return Step(None)
        now = self._clock.time()
        if record is None or not rules.lives(record.facts, now):
            return Step(None)
        facts = record.facts
        match = rules.match(facts, proofs, now)
        if match is None:
            return Step(rules.superseded(facts, proofs, now))
        loaded = Loaded(facts, record.items, True, match[0], match[1], now)
        if lease is None:
            return Step(loaded)
        if rules.is_leased(facts, now):
            after = facts._replace(wanted=True)
            answer = rules.busy(after, match, now)
        else:
            after = rules.granted(facts, _HOLDER, now + lease)
            answer = loaded._replace(facts=after)
        if after == facts:
            return Step(answer)
        data = pack(key, record._replace(facts=after))
        return Step(answer, data, facts.expires - now + DAY)

    def _get(self, locator: str) -> Blob | None:
        key = key_of("s", locator)
        found = self._store.get(key)
        return readable(key, found[0]) if found is not None else None

    def _decide(
        self, locator: str, before: Blob | None, change: Change, fence: int | None, now: float
    ) -> Step[Committed]:
        """What becomes of a record, once the indexes lead to what it will be."""
        facts, items, listed = before if before is not None else (None, {}, 0.0)
        refused = rules.refusal(facts, change, fence, now)
        if refused is not None:
            return Step(Committed(refused))
        lost = rules.lost(change, items)
        if lost and change.strict:
            return Step(Committed(CONFLICT, lost))
        rules.apply(change, items, facts.version + 1 if facts is not None else 1)
        size = sum(rules.weight(name, item.value) for name, item in items.items())
        after = rules.advance(facts, change, now, size=size, empty=not items)
        done = Committed(None, lost, after)
        if after == facts:
            return Step(done)
        anew = after.expires > listed
        if anew:
            listed = after.expires + DAY
        if anew or (facts is not None and after.expires < facts.expires):
            self._due.file([(after.expires, locator)], now)
        if after.owner is not None and after.end is None and (anew or change.owner is not MISSING):
            self._owners.add(after.owner, locator, listed, now)
        # Should the entry be lost to its end, an ended record comes up at its former deadline.
        deadline = after.expires if facts is None else max(after.expires, facts.expires)
        data = pack(key_of("s", locator), Blob(after, items, listed))
        return Step(done, data, deadline - now + DAY)

    def _disown(self, locator: str, owner: str | None) -> None:
        if owner is not None:
            # The record has ended whatever becomes of this, and `find` passes over it.
            with contextlib.suppress(StoreError):
                self._owners.remove(owner, [locator], self._clock.time())

    def _claim(self, minute: int, batch: list[Entry], now: float, lease: float) -> list[Record]:
        """See to entries that are due: make new ones, claim, and only then strike them out."""
        done: list[Entry] = []
        again: list[Entry] = []
        ready: list[tuple[str, Blob, int]] = []
        for entry in batch:
            locator = entry[1]
            found, when = self._look(locator, now)
            if found is not None and found[0].facts.expires <= now:
                ready.append((locator, *found))
                when = now + lease
            elif entry[0] > now - _PATIENCE:
                continue
            done.append(entry)
            if when is not None:
                again.append((when, locator))
        self._due.file(again, now)
        claims = [self._take(*each, now + lease) for each in ready]
        self._due.strike(minute, done, now)
        return [each for each in claims if each is not None]

    def _look(self, locator: str, now: float) -> tuple[tuple[Blob, int] | None, float | None]:
        """The record and its version, where there is one; when to look at it again."""
        key = key_of("s", locator)
        found = self._store.get(key)
        if found is None:
            return None, None
        data, version = found
        try:
            record = unpack(key, data)
        except NewerBytes:
            return None, now + _NEWER_AGAIN
        except DamagedRecord:
            self._store.delete(key, version)
            return None, None
        return (record, version), record.facts.expires

    def _take(self, locator: str, record: Blob, version: int, until: float) -> Record | None:
        """Claim one record, unless somebody else does."""
        facts = rules.claimed(record.facts, until)
        key = key_of("s", locator)
        data = pack(key, record._replace(facts=facts))
        if self._store.put(key, data, until - self._clock.time() + DAY, version) is None:
            return None
        if record.facts.end is None:
            self._disown(locator, facts.owner)
        return Record(locator, facts, record.items)
