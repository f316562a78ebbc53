"""Bytes in memory."""

from __future__ import annotations

import pytest

from flask_state.core.clock import Clock
from flask_state.core.sentinels import MISSING
from flask_state.errors import StoreError
from flask_state.stores.memory.bytes import MemoryByteStore
from flask_state.testing import ByteStoreContract
from flask_state.testing import FakeClock


class TestContract(ByteStoreContract):
    def make_store(self, clock: Clock) -> MemoryByteStore:
        return MemoryByteStore(clock=clock)


@pytest.fixture
def small(clock: FakeClock) -> MemoryByteStore:
    return MemoryByteStore(max_bytes=20_000, clock=clock)


def test_a_full_store_refuses_and_loses_nothing(small: MemoryByteStore) -> None:
    """S69: memory is bounded, and what is stored stays."""
    version = small.put("a", b"x" * 15_000, None)
    assert version is not None
    with pytest.raises(StoreError, match="max_bytes") as caught:
        small.put("b", b"y" * 15_000, None)
    assert (caught.value.engine, caught.value.operation) == ("memory", "put")
    with pytest.raises(StoreError):
        small.put("a", b"z" * 25_000, None, version)
    assert small.get("a") == (b"x" * 15_000, version)
    assert small.get("b") is None


def test_a_full_store_answers_a_put_whose_condition_does_not_hold(small: MemoryByteStore) -> None:
    small.put("a", b"x" * 15_000, None)
    assert small.put("a", b"y" * 25_000, None, MISSING) is None


def test_a_full_store_drops_what_has_expired_first(
    small: MemoryByteStore, clock: FakeClock
) -> None:
    """S69: all that expired makes room, however much there is of it."""
    small.put("stays", b"x", None)
    for number in range(15):
        small.put(f"key.{number}", b"x" * 600, 10)
    clock.advance(10)
    assert small.put("b", b"y" * 15_000, None) is not None
    assert small.get("stays") is not None


def test_a_full_store_still_takes_deletions_and_smaller_bytes(small: MemoryByteStore) -> None:
    small.put("a", b"x" * 9_000, None)
    small.put("b", b"x" * 9_000, None)
    assert small.put("a", b"y" * 9_000, None) is not None
    assert small.put("a", b"y", None) is not None
    assert small.delete("b")
    assert small.put("c", b"z" * 15_000, None) is not None


def test_bytes_return_to_nothing_when_all_has_expired(clock: FakeClock) -> None:
    """Without a full store, a get or a delete: what is put later clears what was put before."""
    store = MemoryByteStore(clock=clock)
    for number in range(1_000):
        store.put(f"key.{number}", b"x" * 100, 10)
    clock.advance(10)
    for _ in range(300):
        store.put("later", b"", 10)
    assert list(store._entries) == ["later"]
    store.delete("later")
    assert store._bytes == 0


def test_replaced_entries_do_not_pile_up_in_the_heap(clock: FakeClock) -> None:
    store = MemoryByteStore(clock=clock)
    for _ in range(5_000):
        store.put("key", b"x", 1e6)
    assert len(store._due) < 2_000
    clock.advance(1e6)
    assert store.get("key") is None
