"""What has ended or expired: claimed for delivery, forgotten, or dropped for want of room.

Every record has one entry among those that are due, made when the record is and left alone by
a touch. It comes up at the record's first deadline at the latest; whoever finds the record
alive moves the entry to the deadline of now.
"""

from __future__ import annotations

import typing as t

from ...core.clock import SystemClock
from .. import rules
from ..base import DamagedRecord
from ..base import Facts
from ..base import Record
from . import layout
from . import records

BATCH: t.Final = 100
"""Records per transaction; those of a million in one go would grow the file and hold up
commits for seconds, this many for about a millisecond."""
_HOLD = 1e-3
"""Seconds after which a transaction takes up no further record."""
_NEWER_AGAIN = 3600.0
"""Seconds after which a record of a newer format is looked at again."""

_ENTRY_LENGTH = 1 + 8 + 10

monotonic: t.Callable[[], float] = SystemClock.monotonic


class Batch(t.NamedTuple):
    """What one transaction did."""

    claimed: list[tuple[str, Facts]]
    looked: int
    """Entries taken up; 0 means that no more are due."""


def anything_due(txn: records.Transaction, now: float) -> bool:
    """Whether `claim` would find something to do."""
    return bool(_due(txn, now, 1))


def claim(txn: records.Transaction, now: float, limit: int, lease: float) -> Batch:
    """Take up to `limit` records, and no more than fit into one short transaction."""
    claimed = []
    looked = 0
    stop = monotonic() + _HOLD
    for entry in _due(txn, now, min(limit, BATCH)):
        looked += 1
        facts = _claim_one(txn, entry, now, lease)
        if facts is not None:
            claimed.append((entry[9:].decode(), facts))
        if monotonic() > stop:
            break
    return Batch(claimed, looked)


def with_items(txn: records.Transaction, claimed: list[tuple[str, Facts]]) -> list[Record]:
    """Add the items, none where they are damaged. Nobody changes a claimed record meanwhile."""
    found = []
    for locator, facts in claimed:
        try:
            items = records.read_items(txn, layout.head_key(locator))
        except DamagedRecord:
            items = {}
        found.append(Record(locator, facts, items))
    return found


def forget(txn: records.Transaction, locator: str) -> None:
    """Answer `SessionStore.forget`. A record that can't be read is left to `claim`."""
    key = layout.head_key(locator)
    try:
        head = records.find_head(txn, key)
    except (DamagedRecord, layout.NewerRecord):
        return
    if head is not None and head.facts.end is not None:
        records.remove(txn, key, head)


def drop(txn: records.Transaction, now: float) -> int:
    """Remove a batch of what is due and not alive, though nobody was told.

    :return: how many entries were taken up; 0 means that no more are due.
    """
    looked = 0
    stop = monotonic() + _HOLD
    for entry in _due(txn, now, BATCH):
        looked += 1
        _claim_one(txn, entry, now, 0.0, drop=True)
        if monotonic() > stop:
            break
    return looked


def _due(txn: records.Transaction, now: float, limit: int) -> list[bytes]:
    """The keys of the oldest entries up to now."""
    found: list[bytes] = []
    end = layout.time_key(layout.DUE, now, b"\xff")
    for entry, _ in records.scan(txn, layout.DUE):
        if entry > end or len(found) == limit:
            break
        found.append(entry)
    return found


def _claim_one(
    txn: records.Transaction, entry: bytes, now: float, lease: float, *, drop: bool = False
) -> Facts | None:
    """Do what is due with one record; return its facts if it was claimed."""
    if len(entry) != _ENTRY_LENGTH:
        txn.delete(entry)
        return None
    due, locator = layout.time_in(entry)
    key = layout.HEAD + locator
    try:
        head = records.find_head(txn, key)
    except layout.NewerRecord:
        _move(txn, entry, now + _NEWER_AGAIN)
        return None
    except DamagedRecord:
        records.remove(txn, key, None)
        head = None
    if head is None or head.due != due:
        txn.delete(entry)
        return None
    facts = head.facts
    if facts.expires > now:
        _put(txn, key, entry, head._replace(due=facts.expires))
        return None
    if drop:
        records.remove(txn, key, head)
        return None
    if facts.end is None and facts.owner is not None:
        txn.delete(layout.owner_prefix(facts.owner) + locator)
    facts = rules.claimed(facts, now + lease)
    _put(txn, key, entry, head._replace(facts=facts, due=facts.expires))
    return facts


def _put(txn: records.Transaction, key: bytes, entry: bytes, head: layout.Head) -> None:
    _move(txn, entry, head.due)
    txn.put(key, layout.pack_head(key, *head))


def _move(txn: records.Transaction, entry: bytes, when: float) -> None:
    moved = layout.time_key(layout.DUE, when, layout.time_in(entry)[1])
    if moved != entry:
        txn.delete(entry)
        txn.put(moved, layout.frame(moved, b""))
