"""Reading and removing records inside a transaction."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import struct
import typing as t
import zlib

import lmdb

from .. import rules
from ..base import DamagedRecord
from ..base import Found
from ..base import Item
from ..base import Loaded
from ..base import Record
from . import layout
from .leasing import Leasing

Transaction: t.TypeAlias = "lmdb.Transaction[bytes]"

_KEY_LENGTH = 1 + 10
_NAME_AT = _KEY_LENGTH + 1
_TAIL = layout.TAIL
_unpack = layout.TRAILER.unpack_from


def load(
    txn: Transaction,
    locator: str,
    proofs: cabc.Sequence[bytes],
    names: cabc.Sequence[str] | None,
    now: float,
    leasing: Leasing | None = None,
) -> Loaded | None:
    """Answer `SessionStore.load`; in a write transaction if a lease is asked for."""
    key = layout.head_key(locator)
    value = txn.get(key)
    if value is None or len(key) != _KEY_LENGTH:
        return None
    try:
        head = layout.read_head(key, value)
    except layout.NewerRecord:
        return None
    facts = head.facts
    if not rules.lives(facts, now):
        return None
    match = rules.match(facts, proofs, now)
    if match is None:
        return rules.superseded(facts, proofs, now)
    if leasing is not None:
        if facts.holder and leasing.is_taken(facts, now):
            leasing.want(txn, key, head)
            return rules.busy(facts, match, now)
        facts = leasing.grant(txn, key, head, now)
    if names is None:
        items = read_items(txn, key)
        if len(items) != head.item_count:
            raise _incomplete(items, head)
        return Loaded(facts, items, True, match[0], match[1], now)
    items = {}
    prefix = key + b"."
    for name in names:
        key, _ = layout.named_key(prefix, name)
        value = txn.get(key)
        if value is not None:
            items[name] = read_item(txn, key, value)
    complete = len(items) == head.item_count
    return Loaded(facts, items, complete, match[0], match[1], now)


def find(txn: Transaction, owner: str, now: float) -> list[Found]:
    """The owner's living records, in no order. Those that can't be read are left out."""
    found = []
    prefix = layout.owner_prefix(owner)
    for entry, _ in scan(txn, prefix):
        locator = entry[len(prefix) :]
        with contextlib.suppress(DamagedRecord, layout.NewerRecord):
            head = find_head(txn, layout.HEAD + locator)
            if head is not None and head.facts.owner == owner and rules.lives(head.facts, now):
                found.append(Found(locator.decode(), head.facts))
    return found


def page(txn: Transaction, after: str, limit: int, now: float) -> tuple[list[Found], str]:
    """Those of the next `limit` records that live. Those that can't be read are left out.

    :param after: where the last call stopped; at first nothing.
    :return: the records, and where this call stopped, or nothing at the end.
    """
    living: list[Found] = []
    cursor = txn.cursor()
    for _ in range(limit):
        # Behind the items of the last record, whose keys go on with a dot.
        start = layout.head_key(after) + b"/" if after else layout.HEAD
        if not cursor.set_range(start):
            return living, ""
        key, value = cursor.item()
        if not key.startswith(layout.HEAD):
            return living, ""
        after = key[1:_KEY_LENGTH].decode()
        with contextlib.suppress(DamagedRecord, layout.NewerRecord):
            if len(key) == _KEY_LENGTH:
                facts = layout.read_head(key, value).facts
                if rules.lives(facts, now):
                    living.append(Found(after, facts))
    return living, after


def inspect(txn: Transaction, locator: str, now: float) -> Record | None:
    """Answer `SessionStore.inspect`."""
    key = layout.head_key(locator)
    try:
        head = find_head(txn, key) if len(key) == _KEY_LENGTH else None
    except layout.NewerRecord:
        return None
    if head is None or not rules.lives(head.facts, now):
        return None
    items = read_items(txn, key)
    if len(items) != head.item_count:
        raise _incomplete(items, head)
    return Record(locator, head.facts, items)


def note(txn: Transaction, name: str, value: bytes) -> bytes | None:
    """Answer `SessionStore.note`. A damaged note counts as none."""
    key, _ = layout.named_key(layout.NOTE, name)
    before = None
    old = txn.get(key)
    if old is not None:
        with contextlib.suppress(DamagedRecord):
            before = layout.unframe(key, old)
    if before != value:
        txn.put(key, layout.frame(key, value))
    return before


def find_head(txn: Transaction, key: bytes) -> layout.Head | None:
    """The head under a key, or None.

    :raise DamagedRecord: it can't be read.
    :raise NewerRecord: its format is unknown.
    """
    value = txn.get(key)
    return None if value is None else layout.read_head(key, value)


def read_items(txn: Transaction, key: bytes) -> dict[str, Item]:
    """All items of the record whose head has this key.

    :raise DamagedRecord: one of them can't be read.
    """
    items: dict[str, Item] = {}
    prefix = key + b"."
    cursor = txn.cursor()
    if cursor.set_range(prefix):
        for at, value in cursor:
            if at[:_NAME_AT] != prefix:
                break
            item = read_item(txn, at, value)
            items[_name(at, value)] = item
    return items


def read_item(txn: Transaction, key: bytes, value: bytes) -> Item:
    """An item from its key and bytes, its parts put together.

    :raise DamagedRecord: it can't be read.
    """
    if zlib.crc32(value, zlib.crc32(key)) != layout.VALID:
        raise DamagedRecord("an item fails its checksum")
    try:
        version, position, flags = _unpack(value, len(value) - _TAIL)
        if not flags:
            return layout.new(Item, (value[:-_TAIL], version, position))
        return Item(value_of(txn, key, layout.read_stored(key, value)), version, position)
    except struct.error as error:
        raise DamagedRecord("an item can't be read") from error


def value_of(txn: Transaction, key: bytes, stored: layout.Stored) -> bytes:
    """The value of an item, its parts put together.

    :raise DamagedRecord: a part is missing or can't be read.
    """
    prefix = parts_prefix(key, stored)
    if prefix is None:
        return _body(stored)
    whole = b"".join([layout.unframe(at, part) for at, part in scan(txn, prefix)])
    length = length_of(stored)
    if len(whole) != length:
        raise DamagedRecord(f"{len(whole)} of {length} bytes of an item are there")
    return whole


def length_of(stored: layout.Stored) -> int:
    """How long the value of an item is, without reading its parts."""
    body = _body(stored)
    return layout.read_chunks(body)[1] if stored.flags & layout.CHUNKED else len(body)


def _body(stored: layout.Stored) -> bytes:
    """What is kept of a value where the item is, without the name."""
    return layout.split_name(stored)[1] if stored.flags & layout.LONG_NAME else stored.body


def scan(txn: Transaction, prefix: bytes) -> cabc.Iterator[tuple[bytes, bytes]]:
    """Keys and values of everything that starts with a prefix. Change nothing meanwhile."""
    cursor = txn.cursor()
    if cursor.set_range(prefix):
        for key, value in cursor:
            if not key.startswith(prefix):
                return
            yield key, value


def newer_items(txn: Transaction, key: bytes, version: int) -> list[str]:
    """Names of the items of a record that were set after a version. Damaged ones don't count."""
    found = []
    for at, value in scan(txn, key + b"."):
        with contextlib.suppress(DamagedRecord):
            if layout.read_stored(at, value).version > version:
                found.append(_name(at, value))
    return found


def remove_items(txn: Transaction, key: bytes, keep: cabc.Container[bytes] = frozenset()) -> None:
    """Remove all items of a record, readable or not, but those under the keys to keep.

    The parts of large values are removed of all of them.
    """
    keys = [at for at, _ in scan(txn, key + b".") if at not in keep]
    keys += [at for at, _ in scan(txn, layout.chunk_prefix(key[1:]))]
    for each in keys:
        txn.delete(each)


def remove(txn: Transaction, key: bytes, head: layout.Head | None) -> None:
    """Remove a record and, as far as its head tells, its entries elsewhere."""
    remove_items(txn, key)
    if head is not None:
        txn.delete(layout.time_key(layout.DUE, head.due, key[1:]))
        if head.facts.owner is not None:
            txn.delete(layout.owner_prefix(head.facts.owner) + key[1:])
    txn.delete(key)


def parts_prefix(key: bytes, stored: layout.Stored) -> bytes | None:
    """What the keys of the parts of an item's value start with; None where it has none."""
    if not stored.flags & layout.CHUNKED:
        return None
    return layout.chunk_prefix(key[1:_KEY_LENGTH]) + layout.read_chunks(_body(stored))[0]


def remove_all(txn: Transaction, prefix: bytes) -> None:
    """Remove everything that starts with a prefix."""
    for key in [key for key, _ in scan(txn, prefix)]:
        txn.delete(key)


def _incomplete(items: dict[str, Item], head: layout.Head) -> DamagedRecord:
    return DamagedRecord(f"{len(items)} of {head.item_count} items are there")


def _name(key: bytes, value: bytes) -> str:
    """The name of an item: in its key, or with its value where it is too long for that."""
    try:
        if len(key) < layout.MAX_KEY:
            return str(key[_NAME_AT:], "utf-8", "surrogatepass")
        return layout.split_name(layout.read_stored(key, value))[0]
    except (UnicodeDecodeError, struct.error) as error:
        raise DamagedRecord("an item's name can't be read") from error
