"""Applying a change to a record inside a write transaction."""

from __future__ import annotations

import contextlib
import math
import typing as t
import zlib

from .. import rules
from ..base import CONFLICT
from ..base import EXISTS
from ..base import GONE
from ..base import Change
from ..base import Committed
from ..base import DamagedRecord
from ..base import Facts
from ..base import Item
from . import layout
from . import records
from .edits import PreparedEdit
from .leasing import Granted
from .quota import Quota

_RECORD_OVERHEAD = 400
"""About what a record takes in the file beside its items: facts, entries, unused halves."""
_ITEM_OVERHEAD = 60
_TAIL = layout.TAIL
_unpack = layout.TRAILER.unpack_from


class _Found(t.NamedTuple):
    """What a change finds in the record."""

    items: dict[str, Item | None]
    """The edited items that are there, None where damaged. The value of one in parts is only
    read where it decides a conflict."""
    parts: list[bytes]
    """What the keys of the parts of their values start with."""
    lost: list[str]
    """Items with which the change conflicts."""
    item_count: int
    size: int
    """Number and bytes of all items after the change."""


def apply(
    txn: records.Transaction,
    locator: str,
    change: Change,
    prepared: dict[str, PreparedEdit],
    fence: int | None,
    now: float,
    quota: Quota,
    granted: Granted | None = None,
) -> Committed:
    """Answer `SessionStore.commit`.

    :param granted: what was written with the lease under which the change is made.

    Where the facts can't be read, the record can still be ended, which makes its facts anew;
    every other change finds it gone. A damaged item can be replaced and removed.

    :raise NoRoom: the change needs more than the quota has.
    """
    key = layout.head_key(locator)
    try:
        if granted is not None and txn.get(key) == granted.value:
            head: layout.Head | None = granted.head
        else:
            head = records.find_head(txn, key)
    except layout.NewerRecord:
        return Committed(EXISTS if change.create else GONE)
    except DamagedRecord:
        if change.create or not change.end:
            return Committed(EXISTS if change.create else GONE)
        head = _blank_head(txn, key, now)
    before = head.facts if head is not None else None
    refused = rules.refusal(before, change, fence, now)
    if refused is not None:
        return Committed(refused)
    found = _look(txn, key, head, change, prepared)
    lost = tuple(found.lost)
    if lost and change.strict:
        return Committed(CONFLICT, lost)
    after = rules.advance(before, change, now, size=found.size, empty=not found.item_count)
    if after.end is None:
        quota.admit(txn, _growth(head, found))
    if prepared or change.clear is not None:
        _write_items(txn, key, change, prepared, found, after.version)
    due = _schedule(txn, key, head, after)
    _settle_owner(txn, key, before, after)
    txn.put(key, layout.pack_head(key, after, found.item_count, due))
    return Committed(None, lost, after)


def _blank_head(txn: records.Transaction, key: bytes, now: float) -> layout.Head:
    """A head for a record whose own can't be read, alive just long enough to be ended."""
    soon = math.nextafter(now, math.inf)
    facts = Facts(proof=b"", created=now, touched=now, expires=soon, renewed=now)
    return layout.Head(facts, sum(1 for _ in records.scan(txn, key + b".")), math.inf)


def _look(
    txn: records.Transaction,
    key: bytes,
    head: layout.Head | None,
    change: Change,
    prepared: dict[str, PreparedEdit],
) -> _Found:
    items: dict[str, Item | None] = {}
    parts: list[bytes] = []
    lost = []
    count, size = (head.item_count, head.facts.size) if head is not None else (0, 0)
    added = added_size = 0
    for name, each in prepared.items():
        framed = txn.get(each.key) if head is not None else None
        item = None
        if framed is not None:
            item, length = _examine(txn, each, framed, parts)
            items[name] = item
            count -= 1
            size -= len(name) + length
        edit = each.edit
        if (framed is None or item is not None) and rules.conflicts(edit, item):
            lost.append(name)
        if edit.value is not None:
            added += 1
            added_size += rules.weight(name, edit.value)
    if change.clear is not None:
        count = size = 0
        newer = records.newer_items(txn, key, change.clear)
        lost += [name for name in newer if name not in prepared]
    return _Found(items, parts, lost, count + added, max(0, size) + added_size)


def _examine(
    txn: records.Transaction, each: PreparedEdit, framed: bytes, parts: list[bytes]
) -> tuple[Item | None, int]:
    """An edited item as it is stored, and the length of its value; None where it is damaged."""
    if zlib.crc32(framed, zlib.crc32(each.key)) != layout.VALID:
        return None, max(0, len(framed) - _TAIL)
    version, position, flags = _unpack(framed, len(framed) - _TAIL)
    if not flags:
        return layout.new(Item, (framed[:-_TAIL], version, position)), len(framed) - _TAIL
    stored = layout.read_stored(each.key, framed)
    prefix = records.parts_prefix(each.key, stored)
    if prefix is None:
        value = records.value_of(txn, each.key, stored)
        return Item(value, version, position), len(value)
    parts.append(prefix)
    value = b""
    if version > each.edit.seen:
        with contextlib.suppress(DamagedRecord):
            value = records.value_of(txn, each.key, stored)
    return Item(value, version, position), records.length_of(stored)


def _growth(head: layout.Head | None, found: _Found) -> int:
    if head is None:
        return _RECORD_OVERHEAD + _ITEM_OVERHEAD * found.item_count + found.size
    return found.size - head.facts.size + _ITEM_OVERHEAD * (found.item_count - head.item_count)


def _write_items(
    txn: records.Transaction,
    key: bytes,
    change: Change,
    prepared: dict[str, PreparedEdit],
    found: _Found,
    version: int,
) -> None:
    """Write and remove items; each key once, for LMDB counts a second time wrong."""
    stored = found.items
    if change.clear is not None:
        written = {each.key for each in prepared.values() if each.edit.value is not None}
        records.remove_items(txn, key, written)
        stored = {}
    for prefix in found.parts:
        records.remove_all(txn, prefix)
    for index, (name, each) in enumerate(prepared.items()):
        edit = each.edit
        if edit.value is None:
            if name in stored:
                txn.delete(each.key)
            continue
        item = stored.get(name)
        keeps_place = item is not None and not edit.append
        place = item.position if item and keeps_place else rules.position(version, index)
        txn.put(each.key, each.frame(version, place))
        for chunk, part in each.chunks:
            txn.put(chunk, part)


def _schedule(
    txn: records.Transaction, key: bytes, head: layout.Head | None, after: Facts
) -> float:
    """Keep the record's entry among those that are due at or before the time it expires."""
    if head is not None:
        if head.due <= after.expires:
            return head.due
        txn.delete(layout.time_key(layout.DUE, head.due, key[1:]))
    entry = layout.time_key(layout.DUE, after.expires, key[1:])
    txn.put(entry, layout.frame(entry, b""))
    return after.expires


def _settle_owner(txn: records.Transaction, key: bytes, before: Facts | None, after: Facts) -> None:
    """Keep the record among those of its owner, while it lives."""
    old = before.owner if before is not None else None
    owner = after.owner if after.end is None else None
    if old == owner:
        return
    if old is not None:
        txn.delete(layout.owner_prefix(old) + key[1:])
    if owner is not None:
        entry = layout.owner_prefix(owner) + key[1:]
        txn.put(entry, layout.frame(entry, b""))
