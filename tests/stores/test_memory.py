"""The memory engine."""

from __future__ import annotations

import pytest

from flask_state.core.clock import Clock
from flask_state.errors import StoreError
from flask_state.stores.base import ABANDONED
from flask_state.stores.base import Change
from flask_state.stores.base import Edit
from flask_state.stores.memory.sessions import MemorySessionStore
from flask_state.testing import FakeClock
from flask_state.testing import SessionStoreContract
from flask_state.testing.items import create
from flask_state.testing.items import values


class TestContract(SessionStoreContract):
    def make_store(self, clock: Clock) -> MemorySessionStore:
        return MemorySessionStore(clock=clock)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def small(clock: FakeClock) -> MemorySessionStore:
    return MemorySessionStore(max_bytes=20_000, clock=clock)


def test_a_full_store_refuses_and_loses_nothing(small: MemorySessionStore) -> None:
    """S69: memory is bounded, and what is stored stays."""
    locator = create(small, a=b"x" * 15_000)
    with pytest.raises(StoreError, match="max_bytes") as caught:
        create(small, a=b"y" * 15_000)
    assert (caught.value.engine, caught.value.operation) == ("memory", "commit")
    with pytest.raises(StoreError):
        small.commit(locator, Change(items={"b": Edit(b"z" * 15_000, 1)}), 1)
    assert values(small, locator) == {"a": b"x" * 15_000}
    assert small.count() == 1


def test_a_full_store_drops_what_has_ended_first(
    small: MemorySessionStore, clock: FakeClock
) -> None:
    """S69: ended and expired records make room."""
    ended = create(small, a=b"x" * 8_000)
    create(small, 10, a=b"x" * 8_000)
    small.commit(ended, Change(end=ABANDONED), 1)
    clock.advance(10)
    create(small, a=b"y" * 15_000)
    assert small.count() == 1


def test_a_full_store_still_takes_deletions(small: MemorySessionStore) -> None:
    locator = create(small, a=b"x" * 15_000, b=b"1")
    done = small.commit(locator, Change(items={"a": Edit(None, 1, True)}), 1)
    assert done.refused is None
    create(small, a=b"y" * 15_000)


def test_bytes_return_to_nothing_when_all_is_forgotten(clock: FakeClock) -> None:
    store = MemorySessionStore(clock=clock)
    for _ in range(50):
        locator = create(store, a=b"x" * 100)
        store.commit(locator, Change(items={"b": Edit(b"y" * 50, 1)}, owner="ann"), 1)
        store.commit(locator, Change(clear=2, items={"c": Edit(b"z", 2)}), 1)
        store.commit(locator, Change(end=ABANDONED), 1)
    while batch := store.claim(10, 60):
        for each in batch:
            store.forget(each.locator)
    assert store._bytes == 0
    assert not store._records
    assert not store._owners


def test_dropped_records_do_not_pile_up_in_the_heap(clock: FakeClock) -> None:
    store = MemorySessionStore(clock=clock)
    for _ in range(5_000):
        store.commit(locator := create(store, 1e6, a=b"1"), Change(end=ABANDONED), 1)
        store.forget(locator)
    assert len(store._due) < 2_000
