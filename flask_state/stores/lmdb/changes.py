"""Applying a change to a record inside a write transaction."""

from __future__ import annotations

import contextlib
import math
import typing as t
import zlib

from ...core.tokens import random_bytes
from .. import rules
from ..base import CONFLICT
from ..base import EXISTS
from ..base import GONE
from ..base import Change
from ..base import Committed
from ..base import DamagedRecord
from ..base import Edit
from ..base import Facts
from ..base import Item
from . import layout
from . import records
from .quota import Quota

_RECORD_OVERHEAD = 400
"""About what a record takes in the file beside its items: facts, entries, unused halves."""
_ITEM_OVERHEAD = 60


class PreparedEdit(t.NamedTuple):
    """An edit with everything that can be made of it before the file is locked."""

    edit: Edit
    key: bytes
    body: bytes
    flags: int
    checksum: int
    """Over key and body; what follows depends on what is stored."""
    chunks: list[tuple[bytes, bytes]]

    def frame(self, version: int, position: int) -> bytes:
        """The bytes of the item."""
        trailer = layout.TRAILER.pack(version, position, self.flags)
        checksum = zlib.crc32(trailer, self.checksum)
        return b"".join((self.body, trailer, checksum.to_bytes(4, "little")))


def prepare(locator: str, change: Change) -> dict[str, PreparedEdit]:
    """Make the keys and bytes of a change's items."""
    prefix = layout.head_key(locator) + b"."
    return {name: _prepare(prefix, name, edit) for name, edit in change.items.items()}


def _prepare(prefix: bytes, name: str, edit: Edit) -> PreparedEdit:
    key, fits = layout.named_key(prefix, name)
    body = edit.value
    if body is None:
        return PreparedEdit(edit, key, b"", 0, 0, [])
    flags = 0
    chunks = []
    if len(body) > layout.MAX_WHOLE:
        flags |= layout.CHUNKED
        ident = random_bytes(8)
        start = layout.chunk_prefix(prefix[1:-1]) + ident
        for number, at in enumerate(range(0, len(body), layout.CHUNK_BYTES)):
            chunk = start + number.to_bytes(4, "big")
            part = body[at : at + layout.CHUNK_BYTES]
            chunks.append((chunk, layout.frame(chunk, part)))
        body = layout.pack_chunks(ident, len(body))
    if not fits:
        flags |= layout.LONG_NAME
        body = layout.join_name(body, name)
    return PreparedEdit(edit, key, body, flags, zlib.crc32(body, zlib.crc32(key)), chunks)


def apply(
    txn: records.Transaction,
    locator: str,
    change: Change,
    prepared: dict[str, PreparedEdit],
    fence: int | None,
    now: float,
    quota: Quota,
) -> Committed:
    """Answer `SessionStore.commit`.

    Where the facts can't be read, the record can still be ended, which makes its facts anew;
    every other change finds it gone. A damaged item can be replaced and removed.

    :raise NoRoom: the change needs more than the quota has.
    """
    key = layout.head_key(locator)
    try:
        head = records.find_head(txn, key)
    except layout.NewerRecord:
        return Committed(EXISTS if change.create else GONE)
    except DamagedRecord:
        if change.create or not change.end:
            return Committed(EXISTS if change.create else GONE)
        head = _blank_head(txn, key, now)
    refused = rules.refusal(head.facts if head is not None else None, change, fence, now)
    if refused is not None:
        return Committed(refused)
    return _Applied(txn, key, head, change, prepared).commit(now, quota)


def _blank_head(txn: records.Transaction, key: bytes, now: float) -> layout.Head:
    """A head for a record whose own can't be read, alive just long enough to be ended."""
    facts = Facts(proof=b"", created=now, touched=now, expires=math.inf, renewed=now)
    return layout.Head(facts, sum(1 for _ in records.scan(txn, key + b".")), math.inf)


class _Applied:
    """A change that was not refused, over what is stored."""

    def __init__(
        self,
        txn: records.Transaction,
        key: bytes,
        head: layout.Head | None,
        change: Change,
        prepared: dict[str, PreparedEdit],
    ) -> None:
        self.txn = txn
        self.key = key
        self.head = head
        self.change = change
        self.prepared = prepared
        self.lost: list[str] = []
        self.stored: dict[str, layout.Stored | None] = {}
        """What is there of the edited items; None where it is damaged."""
        self.kept = head.item_count if head is not None else 0
        self.size = head.facts.size if head is not None else 0
        if head is not None:
            self._look()
        if change.clear is not None:
            self.kept = self.size = 0
            newer = records.newer_items(txn, key, change.clear)
            self.lost += [name for name in newer if name not in prepared]

    def _look(self) -> None:
        """Find what is stored of the edited items, and what is left of the record without."""
        for name, each in self.prepared.items():
            value = self.txn.get(each.key)
            if value is None:
                item = None
            else:
                item, length = self._examine(name, each, value)
                self.kept -= 1
                self.size = max(0, self.size - len(name) - length)
            if rules.conflicts(each.edit, item):
                self.lost.append(name)

    def _examine(self, name: str, each: PreparedEdit, value: bytes) -> tuple[Item, int]:
        """An item for comparison, its bytes only where they are newer than seen; its length.

        A damaged one is older than everything and conflicts with nothing.
        """
        try:
            stored = layout.read_stored(each.key, value)
        except DamagedRecord:
            self.stored[name] = None
            return Item(b"", 0, 0), max(0, len(value) - layout.TAIL)
        self.stored[name] = stored
        kept = b""
        if stored.version > each.edit.seen:
            with contextlib.suppress(DamagedRecord):
                kept = records.value_of(self.txn, each.key, stored)
        return Item(kept, stored.version, stored.position), records.length_of(stored)

    def commit(self, now: float, quota: Quota) -> Committed:
        lost = tuple(self.lost)
        change, before = self.change, self.head
        if lost and change.strict:
            return Committed(CONFLICT, lost)
        count, size = self.kept, self.size
        for name, each in self.prepared.items():
            if each.edit.value is not None:
                count += 1
                size += rules.weight(name, each.edit.value)
        facts = before.facts if before is not None else None
        after = rules.advance(facts, change, now, size=size, empty=not count)
        if after.end is None:
            quota.admit(self.txn, self._growth(count, size))
        self._write_items(after.version)
        due = self._schedule(after)
        self._settle_owner(after)
        head = layout.Head(after, count, due)
        if head != before:
            self.txn.put(self.key, layout.pack_head(self.key, head))
        return Committed(None, lost, after)

    def _growth(self, count: int, size: int) -> int:
        if self.head is None:
            return _RECORD_OVERHEAD + _ITEM_OVERHEAD * count + size
        before = self.head
        return size - before.facts.size + _ITEM_OVERHEAD * (count - before.item_count)

    def _write_items(self, version: int) -> None:
        clears = self.change.clear is not None
        if clears:
            kept = {e.key for e in self.prepared.values() if e.edit.value is not None}
            records.remove_items(self.txn, self.key, kept)
        for index, (name, each) in enumerate(self.prepared.items()):
            place = rules.position(version, index)
            if name in self.stored and not clears:
                stored = self.stored[name]
                if stored is not None:
                    records.remove_chunks(self.txn, each.key, stored)
                    place = place if each.edit.append else stored.position
                if each.edit.value is None:
                    self.txn.delete(each.key)
            if each.edit.value is not None:
                self.txn.put(each.key, each.frame(version, place))
                for chunk, part in each.chunks:
                    self.txn.put(chunk, part)

    def _schedule(self, after: Facts) -> float:
        """Keep the record's entry among those that are due at or before the time it expires."""
        due = self.head.due if self.head is not None else None
        if due is not None and due <= after.expires:
            return due
        locator = self.key[1:]
        if due is not None:
            self.txn.delete(layout.time_key(layout.DUE, due, locator))
        entry = layout.time_key(layout.DUE, after.expires, locator)
        self.txn.put(entry, layout.frame(entry, b""))
        return after.expires

    def _settle_owner(self, after: Facts) -> None:
        before = self.head.facts.owner if self.head is not None else None
        owner = after.owner if after.end is None else None
        if before == owner:
            return
        if before is not None:
            self.txn.delete(layout.owner_prefix(before) + self.key[1:])
        if owner is not None:
            entry = layout.owner_prefix(owner) + self.key[1:]
            self.txn.put(entry, layout.frame(entry, b""))
