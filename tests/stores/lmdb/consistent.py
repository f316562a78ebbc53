"""What must hold between the entries of the file whatever happened."""

from __future__ import annotations

import typing as t

from flask_state.stores.lmdb import layout
from flask_state.stores.lmdb import records
from flask_state.stores.lmdb.sessions import LMDBSessionStore


def assert_consistent(store: LMDBSessionStore) -> None:
    """Every record has its items, their parts and its entries, and nothing is left over."""
    store._access.read("test", _check)


def _check(txn: records.Transaction) -> None:
    found: dict[bytes, set[bytes]] = {kind: set() for kind in (b"s", b"c", b"x", b"o")}
    for key, value in txn.cursor():
        layout.unframe(key, value)
        found.setdefault(key[:1], set()).add(key)
    heads = {key for key in found[b"s"] if len(key) == 11}
    expected: dict[bytes, set[bytes]] = {b"c": set(), b"x": set(), b"o": set()}
    items = 0
    for key in heads:
        head = records.find_head(txn, key)
        assert head is not None
        kept = records.read_items(txn, key)
        items += len(kept)
        assert len(kept) == head.item_count
        weight = sum(len(name) + len(item.value) for name, item in kept.items())
        assert weight == head.facts.size
        assert head.due <= head.facts.expires
        expected[b"x"].add(layout.time_key(layout.DUE, head.due, key[1:]))
        if head.facts.owner is not None and head.facts.end is None:
            expected[b"o"].add(layout.owner_prefix(head.facts.owner) + key[1:])
        expected[b"c"].update(_parts(txn, key))
    assert len(found[b"s"]) == len(heads) + items
    for kind, keys in expected.items():
        assert found[kind] == keys


def _parts(txn: records.Transaction, key: bytes) -> t.Iterator[bytes]:
    for at, value in records.scan(txn, key + b"."):
        prefix = records.parts_prefix(at, layout.read_stored(at, value))
        if prefix is not None:
            yield from (part for part, _ in records.scan(txn, prefix))
