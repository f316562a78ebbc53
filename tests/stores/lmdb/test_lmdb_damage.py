"""Every value is held against its checksum, and a damaged record can still be ended."""

from __future__ import annotations

import pathlib
import typing as t

import ormsgpack
import pytest

from flask_state.stores.base import ABANDONED
from flask_state.stores.base import DAMAGED
from flask_state.stores.base import EXISTS
from flask_state.stores.base import GONE
from flask_state.stores.base import Change
from flask_state.stores.base import DamagedRecord
from flask_state.stores.base import Edit
from flask_state.stores.lmdb import layout
from flask_state.stores.lmdb import verify
from flask_state.stores.lmdb.sessions import LMDBSessionStore
from flask_state.testing import FakeClock
from flask_state.testing.items import PROOF
from flask_state.testing.items import create
from flask_state.testing.items import values

from .consistent import assert_consistent

LONG = "long" * 200
LARGE = bytes(range(256)) * 1000


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(tmp_path: pathlib.Path, clock: FakeClock) -> t.Iterator[LMDBSessionStore]:
    store = LMDBSessionStore(tmp_path / "state", clock=clock)
    yield store
    store.close()


def keys(store: LMDBSessionStore, prefix: bytes) -> list[bytes]:
    """The keys in the file that start with these bytes."""
    return store._access.read("test", lambda txn: [k for k, _ in txn.cursor() if k[:1] == prefix])


def stored(store: LMDBSessionStore, key: bytes) -> bytes:
    """The bytes under a key."""
    return store._access.read("test", lambda txn: txn.get(key) or b"")


def rewrite(store: LMDBSessionStore, key: bytes, new: t.Callable[[bytes], bytes]) -> None:
    """Replace the bytes under a key."""
    store._access.write("test", lambda txn: txn.put(key, new(txn.get(key) or b"")))


def flip(value: bytes) -> bytes:
    """Change one bit in the middle."""
    middle = len(value) // 2
    return value[:middle] + bytes([value[middle] ^ 1]) + value[middle + 1 :]


def item_key(locator: str, name: str) -> bytes:
    return layout.named_key(layout.head_key(locator) + b".", name)[0]


@pytest.mark.parametrize("damage", [flip, lambda value: b"", lambda value: value[:5]])
def test_damaged_facts_are_told(
    store: LMDBSessionStore, damage: t.Callable[[bytes], bytes]
) -> None:
    locator = create(store, a=b"1")
    rewrite(store, layout.head_key(locator), damage)
    for names in (None, ["a"], []):
        with pytest.raises(DamagedRecord):
            store.load(locator, (PROOF,), names)
    assert store.count() == 0


@pytest.mark.parametrize("name", ["a", LONG, "large"])
def test_a_damaged_item_is_told_to_those_who_load_it(store: LMDBSessionStore, name: str) -> None:
    locator = create(store, 1000, **{"a": b"1" * 30, LONG: b"2" * 30, "large": LARGE, "fine": b"3"})
    rewrite(store, item_key(locator, name), flip)
    for names in (None, [name], ["fine", name]):
        with pytest.raises(DamagedRecord):
            store.load(locator, (PROOF,), names)
    assert values(store, locator, PROOF, "fine") == {"fine": b"3"}


def test_a_damaged_or_missing_part_of_a_large_value_is_told(store: LMDBSessionStore) -> None:
    locator = create(store, a=LARGE)
    first, second, *_ = keys(store, layout.CHUNK)
    rewrite(store, first, flip)
    with pytest.raises(DamagedRecord):
        values(store, locator)
    rewrite(store, first, flip)
    assert values(store, locator) == {"a": LARGE}
    store._access.write("test", lambda txn: txn.delete(second))
    with pytest.raises(DamagedRecord):
        values(store, locator)


@pytest.mark.parametrize("name", ["a", LONG])
def test_no_part_of_a_large_value_outlives_it(store: LMDBSessionStore, name: str) -> None:
    locator = create(store, 1000, **{name: LARGE, "other": LARGE})
    parts = len(keys(store, layout.CHUNK)) // 2
    for value, left in ((LARGE[1:], 2), (b"small", 1), (LARGE, 2), (None, 1)):
        store.commit(locator, Change(items={name: Edit(value, 99, True)}), 1)
        assert len(keys(store, layout.CHUNK)) == left * parts
    assert values(store, locator) == {"other": LARGE}
    store.commit(locator, Change(clear=99, items={name: Edit(LARGE, 99)}), 1)
    assert len(keys(store, layout.CHUNK)) == parts
    store.commit(locator, Change(end=ABANDONED), 1)
    store.forget(locator)
    assert keys(store, layout.CHUNK) == []


def test_a_large_value_conflicts_by_its_bytes(store: LMDBSessionStore) -> None:
    """Two requests that set the same one agree."""
    for name in ("a", LONG):
        locator = create(store, 1000, **{name: LARGE})
        for value, lost in ((LARGE[1:], ()), (LARGE[1:], ()), (LARGE[2:], (name,))):
            done = store.commit(locator, Change(items={name: Edit(value, 1, True)}), 1)
            assert done.conflicts == lost
        facts = done.facts
        assert facts is not None
        assert facts.size == len(name) + len(LARGE) - 2


def test_a_value_under_the_key_of_another_is_damaged(store: LMDBSessionStore) -> None:
    one, two = create(store, a=b"1"), create(store, a=b"2")
    for make in (layout.head_key, lambda locator: item_key(locator, "a")):
        there = stored(store, make(two))
        rewrite(store, make(one), lambda value, there=there: there)  # type: ignore[misc]
        with pytest.raises(DamagedRecord):
            values(store, one)


def test_a_missing_item_is_told_to_those_who_load_all(store: LMDBSessionStore) -> None:
    locator = create(store, a=b"1", b=b"2")
    store._access.write("test", lambda txn: txn.delete(item_key(locator, "a")))
    with pytest.raises(DamagedRecord, match="1 of 2"):
        values(store, locator)


def test_a_wrong_proof_learns_nothing_of_damaged_items(store: LMDBSessionStore) -> None:
    locator = create(store, a=b"1")
    rewrite(store, item_key(locator, "a"), flip)
    assert store.load(locator, (b"x" * 16,), None) is None


def test_a_damaged_item_can_be_replaced_and_removed(store: LMDBSessionStore) -> None:
    locator = create(store, a=b"1", b=b"2", c=b"3")
    rewrite(store, item_key(locator, "a"), flip)
    rewrite(store, item_key(locator, "b"), flip)
    change = Change(items={"a": Edit(b"4", 1, True), "b": Edit(None, 1, True)})
    done = store.commit(locator, change, 1)
    assert (done.refused, done.conflicts) == (None, ())
    assert done.facts is not None
    assert done.facts.size == 4
    assert values(store, locator) == {"c": b"3", "a": b"4"}


def test_a_record_with_damaged_items_can_be_cleared(store: LMDBSessionStore) -> None:
    locator = create(store, a=b"1", b=LARGE)
    rewrite(store, item_key(locator, "b"), flip)
    done = store.commit(locator, Change(clear=1, items={"n": Edit(b"2", 1)}), 1)
    assert (done.refused, done.conflicts) == (None, ())
    assert values(store, locator) == {"n": b"2"}
    assert keys(store, layout.CHUNK) == []


def test_a_record_with_damaged_facts_can_be_ended_and_nothing_else(
    store: LMDBSessionStore, clock: FakeClock
) -> None:
    locator = create(store, a=b"1")
    store.commit(locator, Change(owner="ann"), 1)
    rewrite(store, layout.head_key(locator), flip)
    change = Change(items={"a": Edit(b"2", 1, True)})
    assert store.commit(locator, change, None).refused == GONE
    again = Change(create=True, proof=PROOF, lives=10, items={"a": Edit(b"2", 1)})
    assert store.commit(locator, again, None).refused == EXISTS
    assert store.find("ann") == []
    done = store.commit(locator, Change(end=DAMAGED), 1)
    assert done.refused is None
    assert done.facts is not None
    assert done.facts.end == DAMAGED
    assert store.load(locator, (PROOF,), None) is None
    (ended,) = store.claim(10, 60)
    assert ended.facts.end == DAMAGED
    assert ended.items["a"].value == b"1"
    store.forget(locator)
    clock.advance(5000)
    assert store.claim(10, 60) == []
    assert keys(store, b"s") == keys(store, b"x") == []


def test_a_record_with_damaged_facts_can_be_ended_and_kept(
    store: LMDBSessionStore, clock: FakeClock
) -> None:
    locator = create(store, a=b"1")
    rewrite(store, layout.head_key(locator), flip)
    assert store.commit(locator, Change(end=DAMAGED, lives=50), None).refused is None
    clock.advance(49)
    assert store.claim(10, 60) == []
    clock.advance(1)
    assert [each.locator for each in store.claim(10, 60)] == [locator]


def test_claim_goes_on_past_damaged_records(store: LMDBSessionStore, clock: FakeClock) -> None:
    """One with damaged items comes without them; one with damaged facts is dropped."""
    fine, items, facts = (create(store, 10, a=b"1", b=LARGE) for _ in range(3))
    rewrite(store, item_key(items, "a"), flip)
    rewrite(store, layout.head_key(facts), flip)
    clock.advance(10)
    claimed = {each.locator: each for each in store.claim(10, 60)}
    assert set(claimed) == {fine, items}
    assert set(claimed[fine].items) == {"a", "b"}
    assert claimed[items].items == {}
    for locator in claimed:
        store.forget(locator)
    assert keys(store, b"s") == keys(store, b"c") == keys(store, b"x") == []


def test_claim_removes_entries_that_lead_nowhere(store: LMDBSessionStore, clock: FakeClock) -> None:
    create(store, a=b"1")
    entries = keys(store, b"x")
    for when, what in ((1.0, b"z" * 10), (2.0, b""), (3.0, b"odd")):
        key = layout.time_key(layout.DUE, when, what)
        store._access.write("test", lambda txn, key=key: txn.put(key, layout.frame(key, b"")))  # type: ignore[misc]
    assert store.claim(10, 60) == []
    assert keys(store, b"x") == entries


def test_a_damaged_note_counts_as_none(store: LMDBSessionStore) -> None:
    store.note("a", b"one")
    rewrite(store, b"na", flip)
    assert store.note("a", b"two") is None
    assert store.note("a", b"two") == b"two"


def test_a_record_of_a_newer_format_is_left_alone(
    store: LMDBSessionStore, clock: FakeClock
) -> None:
    """After a step back to an older version of flask_state."""
    locator = create(store, 10, a=b"1")
    key = layout.head_key(locator)
    rewrite(store, key, lambda value: layout.frame(key, b"\x02" + value[1:-4]))
    assert store.load(locator, (PROOF,), None) is None
    assert store.commit(locator, Change(lives=50), None).refused == GONE
    assert store.commit(locator, Change(create=True, lives=50), None).refused == EXISTS
    assert store.count() == 0
    clock.advance(20)
    other = create(store, 10, a=b"1")
    clock.advance(10)
    assert [each.locator for each in store.claim(10, 60)] == [other]
    store.forget(locator)
    assert key in keys(store, b"s")


def test_facts_with_fewer_or_more_fields_load(store: LMDBSessionStore) -> None:
    """Of an older version, and of a newer one that kept the format's number."""
    locator = create(store, a=b"1")
    key = layout.head_key(locator)
    whole = store.load(locator, (PROOF,), None)
    assert whole is not None

    def with_fields(fields: list[t.Any]) -> bytes:
        return layout.frame(key, b"\x01" + ormsgpack.packb(fields))

    fields = [1, whole.facts.expires, *whole.facts]
    rewrite(store, key, lambda value: with_fields([*fields, "new"]))
    assert store.load(locator, (PROOF,), None) == whole._replace(now=whole.now)
    rewrite(store, key, lambda value: with_fields(fields[:-6]))
    older = store.load(locator, (PROOF,), [])
    assert older is not None
    assert older.facts.end is None
    for nonsense in ([], [1], [1, 2.0, b"proof"], 7, "text", None):
        rewrite(store, key, lambda value, fields=nonsense: with_fields(fields))  # type: ignore[misc]
        with pytest.raises(DamagedRecord):
            store.load(locator, (PROOF,), None)


def test_the_file_is_sound_after_all_kinds_of_changes(
    store: LMDBSessionStore, tmp_path: pathlib.Path, clock: FakeClock
) -> None:
    locators = [create(store, 100, **{LONG: b"1", "b": LARGE, "c": b"x" * 3000}) for _ in range(5)]
    for locator in locators[:4]:
        change = Change(items={LONG: Edit(LARGE, 1, True), "b": Edit(b"", 1, True)}, owner="ann")
        store.commit(locator, change, 1)
    store.commit(locators[0], Change(clear=9, items={"c": Edit(b"1", 9)}), 1)
    store.commit(locators[1], Change(items={LONG: Edit(None, 9, True)}, lives=500), 1)
    store.commit(locators[2], Change(end=ABANDONED), 1)
    clock.advance(100)
    assert len(store.claim(10, 60)) == 4
    store.forget(locators[2])
    assert_consistent(store)
    store.close()
    assert verify.inspect(str(tmp_path / "state" / "data.mdb")).sound
