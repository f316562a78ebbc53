"""Sessions in a byte store that fails, is damaged, or is left alone for a long time."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import pytest

from flask_state.core import envelope
from flask_state.core.clock import Clock
from flask_state.core.sentinels import ANY
from flask_state.errors import StoreError
from flask_state.stores.adapter import ByteSessionStore
from flask_state.stores.base import ABANDONED
from flask_state.stores.base import DAMAGED
from flask_state.stores.base import EXISTS
from flask_state.stores.base import EXPIRED
from flask_state.stores.base import GONE
from flask_state.stores.base import REVOKED
from flask_state.stores.base import Change
from flask_state.stores.base import DamagedRecord
from flask_state.stores.base import Edit
from flask_state.stores.memory.bytes import MemoryByteStore
from flask_state.testing import FakeClock
from flask_state.testing.items import PROOF
from flask_state.testing.items import create
from flask_state.testing.items import values

DAY = 86_400.0
LOCATOR = "abcdefghij"
KEY = f"s.{LOCATOR}"

T = t.TypeVar("T")


class FailingBytes(MemoryByteStore):
    """A byte store in memory that can fail once, before or after it did what it was told."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.left = -1
        """How many operations go well before one fails; below 0, none fails any more."""
        self.does_it = False

    def get(self, key: str) -> tuple[bytes, int] | None:
        return self._perhaps("get", lambda: MemoryByteStore.get(self, key))

    def put(self, key: str, value: bytes, ttl: float | None, if_version: t.Any = ANY) -> int | None:
        return self._perhaps("put", lambda: MemoryByteStore.put(self, key, value, ttl, if_version))

    def delete(self, key: str, if_version: t.Any = ANY) -> bool:
        return self._perhaps("delete", lambda: MemoryByteStore.delete(self, key, if_version))

    def living(self) -> set[str]:
        """The keys of all that has not expired."""
        return {key for key in list(self._entries) if MemoryByteStore.get(self, key) is not None}

    def _perhaps(self, verb: str, do: cabc.Callable[[], T]) -> T:
        self.left -= 1
        if self.left != -1:
            return do()
        if self.does_it:
            do()
        raise StoreError("the line is cut", engine=self.engine, operation=verb)


@pytest.fixture
def kept(clock: FakeClock) -> FailingBytes:
    return FailingBytes(clock)


@pytest.fixture
def store(kept: FailingBytes, clock: FakeClock) -> ByteSessionStore:
    return ByteSessionStore(kept, clock=clock)


def creation(lives: float = 100.0, owner: str | None = None) -> Change:
    """A change that makes a record of one item."""
    items = {"a": Edit(b"1", 0)}
    return Change(create=True, proof=PROOF, lives=lives, owner=owner, items=items)


def expire_all(store: ByteSessionStore, clock: FakeClock) -> list[tuple[str, str | None]]:
    """Let every deadline pass, claim and forget; the locators and reasons of what was claimed."""
    told = []
    for _ in range(3):
        clock.advance(3600)
        while batch := store.claim(10, 60):
            for each in batch:
                told.append((each.locator, each.facts.end))
                store.forget(each.locator)
    return told


# Failures in the middle

LIFE: t.Final = (
    (creation(owner="ann"), {"a": b"1"}, "ann"),
    (Change(items={"b": Edit(b"2", 1)}, lives=200.0), {"a": b"1", "b": b"2"}, "ann"),
    (Change(owner="bob"), {"a": b"1", "b": b"2"}, "bob"),
    (Change(timeout=50.0, lives=50.0), {"a": b"1", "b": b"2"}, "bob"),
    (Change(end=REVOKED), None, None),
)
"""Changes, and the items and the owner after each of them."""


@pytest.mark.parametrize("does_it", [False, True], ids=["undone", "done"])
@pytest.mark.parametrize("step", range(len(LIFE)))
def test_a_commit_that_fails_anywhere_is_whole_or_not_at_all(
    clock: FakeClock, step: int, does_it: bool
) -> None:
    """Whatever operation fails: the record is as before or as after, its owner finds it, it is
    claimed once its time has come, and in the end nothing is left of it."""
    before = (None, None) if step == 0 else LIFE[step - 1][1:]
    for operation in range(100):
        kept = FailingBytes(clock)
        store = ByteSessionStore(kept, clock=clock)
        for change, _, _ in LIFE[:step]:
            store.commit(LOCATOR, change, None)
        kept.left, kept.does_it = operation, does_it
        failed = False
        try:
            store.commit(LOCATOR, LIFE[step][0], None)
        except StoreError:
            failed = True
        reached, kept.left = kept.left < 0, -1
        items, owner = values(store, LOCATOR), _owner(store)
        assert (items, owner) in ((before, LIFE[step][1:]) if failed else (LIFE[step][1:],))
        existed = KEY in kept.living()
        told = expire_all(store, clock)
        assert [each for each, _ in told] == [LOCATOR] * existed
        clock.advance(3 * DAY)
        assert kept.living() <= {"t"}
        if not reached:
            break
    assert 2 <= operation < 99


def _owner(store: ByteSessionStore) -> str | None:
    owners = [owner for owner in ("ann", "bob") if store.find(owner)]
    assert len(owners) < 2
    return owners[0] if owners else None


@pytest.mark.parametrize("does_it", [False, True], ids=["undone", "done"])
def test_a_claim_that_fails_anywhere_loses_no_end(clock: FakeClock, does_it: bool) -> None:
    for operation in range(100):
        kept = FailingBytes(clock)
        store = ByteSessionStore(kept, clock=clock)
        made = {create(store, 10, a=b"1") for _ in range(3)}
        living = create(store, 1e6, a=b"1")
        store.commit(LOCATOR, creation(1e6, "ann"), None)
        store.commit(LOCATOR, Change(end=ABANDONED), None)
        clock.advance(100)
        kept.left, kept.does_it = operation, does_it
        with_luck = set()
        try:
            with_luck = {each.locator for each in store.claim(10, 60)}
        except StoreError:
            assert operation < 99
        reached, kept.left = kept.left < 0, -1
        if not reached:
            assert with_luck == made | {LOCATOR}
            break
        told = {each for each, _ in expire_all(store, clock)}
        assert told == made | {LOCATOR}
        assert store.count() == 1
        assert values(store, living) == {"a": b"1"}
    assert operation > 10


def test_a_failure_while_an_owner_is_unlisted_does_not_undo_an_end(
    store: ByteSessionStore, kept: FailingBytes
) -> None:
    store.commit(LOCATOR, creation(owner="ann"), None)
    kept.left = 6  # the record, its minute and the list of minutes are read and put by then
    assert store.commit(LOCATOR, Change(end=REVOKED), None).refused is None
    assert kept.left < 0
    assert store.find("ann") == []
    assert not any(key.startswith("o-") for key in kept.living())


# Damage


@pytest.mark.parametrize("damage", ["cut", "flipped", "elsewhere"])
def test_a_damaged_record_says_so_and_can_be_ended(
    store: ByteSessionStore, kept: FailingBytes, damage: str
) -> None:
    store.commit(LOCATOR, creation(owner="ann"), None)
    store.commit(other := "zzzzzzzzzz", creation(), None)
    found = kept.get(KEY if damage != "elsewhere" else f"s.{other}")
    assert found is not None
    data = {
        "cut": found[0][:-5],
        "flipped": found[0][:9] + bytes([found[0][9] ^ 1]) + found[0][10:],
        "elsewhere": found[0],
    }[damage]
    kept.put(KEY, data, None)
    with pytest.raises(DamagedRecord):
        store.load(LOCATOR, (PROOF,), None)
    assert store.find("ann") == []
    assert store.count() == 1
    assert store.commit(LOCATOR, creation(), None).refused == EXISTS
    assert store.commit(LOCATOR, Change(items={"a": Edit(b"2", 1)}), None).refused == GONE
    store.forget(LOCATOR)
    assert store.commit(LOCATOR, Change(end=DAMAGED), None).refused is None
    assert store.load(LOCATOR, (PROOF,), None) is None
    (claimed,) = store.claim(10, 60)
    assert (claimed.locator, claimed.facts.end, claimed.items) == (LOCATOR, DAMAGED, {})


def test_a_damaged_record_that_nobody_ends_is_removed_when_it_is_due(
    store: ByteSessionStore, kept: FailingBytes, clock: FakeClock
) -> None:
    store.commit(LOCATOR, creation(), None)
    kept.put(KEY, envelope.PLAIN + b"nonsense", None)
    assert expire_all(store, clock) == []
    assert KEY not in kept.living()


@pytest.mark.parametrize("data", [b"\x02\x00new", b"\x01\x04new", b""])
def test_a_record_of_a_newer_format_is_not_there_and_is_left_alone(
    store: ByteSessionStore, kept: FailingBytes, clock: FakeClock, data: bytes
) -> None:
    """It is looked at again later: the process that can read it may be the next one to look."""
    store.commit(LOCATOR, creation(), None)
    found = kept.get(KEY)
    assert found is not None
    kept.put(KEY, data, None)
    assert store.load(LOCATOR, (PROOF,), None) is None
    assert store.commit(LOCATOR, creation(), None).refused == EXISTS
    assert store.commit(LOCATOR, Change(end=REVOKED), None).refused == GONE
    store.forget(LOCATOR)
    assert expire_all(store, clock) == []
    assert kept.get(KEY) is not None
    kept.put(KEY, found[0], None)
    assert expire_all(store, clock) == [(LOCATOR, EXPIRED)]


@pytest.mark.parametrize("data", [None, b"", b"\x02\x00new", envelope.PLAIN + b"nonsense"])
def test_lost_indexes_are_made_anew_by_a_session_in_use(
    store: ByteSessionStore, kept: FailingBytes, clock: FakeClock, data: bytes | None
) -> None:
    store.commit(LOCATOR, creation(owner="ann"), None)
    for key in kept.living() - {KEY}:
        kept.delete(key) if data is None else kept.put(key, data, None)
    assert store.find("ann") == []
    assert store.count() == 0
    for _ in range(1000):
        clock.advance(90)
        assert store.commit(LOCATOR, Change(lives=100.0), None).refused is None
    assert [found.locator for found in store.find("ann")] == [LOCATOR]
    assert store.count() == 1
    assert expire_all(store, clock) == [(LOCATOR, EXPIRED)]


# Long times


def test_nothing_is_left_where_nobody_sweeps(
    store: ByteSessionStore, kept: FailingBytes, clock: FakeClock
) -> None:
    for number in range(50):
        store.commit(create(store, 100, a=b"1"), Change(owner=f"owner {number % 7}"), 1)
        clock.advance(45)
    clock.advance(100 + 2 * DAY + 60)
    assert kept.living() == {"t"}
    create(store, a=b"1")
    found = kept.get("t")
    assert found is not None
    assert len(found[0]) < 20


def test_a_session_in_use_is_found_and_claimed_however_long_nobody_sweeps(
    store: ByteSessionStore, clock: FakeClock
) -> None:
    store.commit(LOCATOR, creation(1000.0, "ann"), None)
    for turn in range(600):
        clock.advance(900)
        store.commit(LOCATOR, Change(lives=1000.0), None)
        if turn % 10 == 0:
            assert len(store.find("ann")) == store.count() == 1
    assert expire_all(store, clock) == [(LOCATOR, EXPIRED)]


def test_sweeping_keeps_the_indexes_small(
    store: ByteSessionStore, kept: FailingBytes, clock: FakeClock
) -> None:
    """One session lives on, another ends every two minutes, for two days."""
    store.commit(LOCATOR, creation(600.0, "ann"), None)
    told = 0
    for _ in range(1440):
        clock.advance(120)
        store.commit(LOCATOR, Change(lives=600.0), None)
        store.commit(create(store, 60, a=b"1"), Change(owner="ann"), 1)
        for each in store.claim(10, 60):
            told += 1
            store.forget(each.locator)
        assert len(kept.living()) < 12
    assert told > 1400
    assert store.find("ann")[0].locator == LOCATOR
    assert kept._bytes < 12_000
