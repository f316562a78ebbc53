"""The byte store of the LMDB engine."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from flask_state.core.clock import Clock
from flask_state.core.sentinels import MISSING
from flask_state.errors import StoreError
from flask_state.stores.lmdb.bytes import LMDBByteStore
from flask_state.stores.lmdb.sessions import LMDBSessionStore
from flask_state.testing import ByteStoreContract
from flask_state.testing import FakeClock
from flask_state.testing.items import create

from .forked import fork
from .forked import status_of


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(tmp_path: pathlib.Path, clock: FakeClock) -> t.Iterator[LMDBByteStore]:
    store = LMDBByteStore(tmp_path / "state", clock=clock)
    yield store
    store.close()


def version(found: int | None) -> int:
    assert found is not None
    return found


def entries(store: LMDBByteStore) -> list[bytes]:
    """The first bytes of all keys in the file."""
    return store._access.read("test", lambda txn: [key[:1] for key, _ in txn.cursor()])


def test_bytes_come_back_with_their_version(store: LMDBByteStore) -> None:
    assert store.get("a") is None
    first = version(store.put("a", b"1", None))
    assert store.get("a") == (b"1", first)
    second = version(store.put("a", b"1", None))
    assert second != first
    assert store.get("a") == (b"1", second)
    assert store.get("k" * 200) is None
    large = version(store.put("k" * 200, b"x" * 300_000, None))
    assert store.get("k" * 200) == (b"x" * 300_000, large)


def test_bytes_expire(store: LMDBByteStore, clock: FakeClock) -> None:
    store.put("a", b"1", 10)
    store.put("b", b"1", None)
    clock.advance(9.9)
    assert store.get("a") is not None
    clock.advance(0.1)
    assert store.get("a") is None
    assert store.get("b") is not None
    assert store.delete("a") is False


def test_only_one_puts_where_there_is_nothing(store: LMDBByteStore, clock: FakeClock) -> None:
    assert store.put("a", b"1", 10, if_version=MISSING) is not None
    assert store.put("a", b"2", 10, if_version=MISSING) is None
    clock.advance(10)
    assert store.put("a", b"3", 10, if_version=MISSING) is not None
    assert store.get("a") is not None


def test_only_over_the_version_that_was_seen(store: LMDBByteStore, clock: FakeClock) -> None:
    first = version(store.put("a", b"1", 10))
    second = version(store.put("a", b"2", 10, if_version=first))
    assert store.put("a", b"3", 10, if_version=first) is None
    assert store.delete("a", if_version=first) is False
    assert store.get("a") == (b"2", second)
    clock.advance(10)
    assert store.put("a", b"3", 10, if_version=second) is None
    assert store.put("b", b"3", 10, if_version=second) is None


def test_what_is_deleted_is_gone(store: LMDBByteStore) -> None:
    seen = version(store.put("a", b"1", 10))
    assert store.delete("a", if_version=seen) is True
    assert store.delete("a") is False
    assert store.get("a") is None
    assert store.put("a", b"1", None) != seen
    assert store.delete("a") is True
    assert entries(store) == []


def test_what_expired_is_removed_by_those_who_put(store: LMDBByteStore, clock: FakeClock) -> None:
    for number in range(20):
        store.put(f"k{number}", b"1", 10)
    clock.advance(10)
    for number in range(10):
        store.put(f"n{number}", b"1", None)
    assert sorted(entries(store)) == [b"b"] * 10


def test_an_entry_put_again_keeps_its_new_time(store: LMDBByteStore, clock: FakeClock) -> None:
    store.put("a", b"1", 10)
    store.put("a", b"2", 100)
    store.put("b", b"1", 10)
    store.put("b", b"2", None)
    clock.advance(50)
    store.put("c", b"1", None)
    assert store.get("a") is not None
    assert store.get("b") is not None
    clock.advance(50)
    store.put("a", b"3", 100)
    assert store.get("a") is not None
    assert sorted(entries(store)) == [b"b", b"b", b"b", b"y"]


def test_damaged_bytes_are_not_there(store: LMDBByteStore) -> None:
    store.put("a", b"1", 10)
    store._access.write("test", lambda txn: txn.put(b"ba", b"nonsense"))
    assert store.get("a") is None
    assert store.delete("a") is False
    assert store.put("a", b"2", 10, if_version=MISSING) is not None
    assert store.get("a") is not None


def test_a_full_store_drops_what_expired_and_then_refuses(
    tmp_path: pathlib.Path, clock: FakeClock
) -> None:
    store = LMDBByteStore(tmp_path / "small", clock=clock, max_bytes=200_000)

    def fill(prefix: str) -> int:
        for number in range(1000):
            try:
                store.put(f"{prefix}{number}", b"x" * 3000, 10)
            except StoreError:
                return number
        raise AssertionError("it never fills")

    first = fill("a")
    with pytest.raises(StoreError, match="max_bytes") as caught:
        store.put("n", b"x" * 9000, None)
    assert (caught.value.engine, caught.value.operation) == ("lmdb", "put")
    assert store.put("a0", b"y" * 3000, 10) is not None
    assert store.delete("a1") is True
    clock.advance(10)
    assert fill("b") >= first - 2
    store.close()


def test_counting_by_compare_and_set_loses_nothing(store: LMDBByteStore) -> None:
    store.put("n", b"0", None)

    def add() -> None:
        for _ in range(50):
            done = None
            while done is None:
                value, seen = store.get("n") or (b"", 0)
                done = store.put("n", b"%d" % (int(value) + 1), None, if_version=seen)

    pids = [fork(add) for _ in range(3)]
    assert [status_of(pid) for pid in pids] == [0] * 3
    found = store.get("n")
    assert found is not None
    assert found[0] == b"150"


def test_both_kinds_of_store_share_a_file(store: LMDBByteStore, tmp_path: pathlib.Path) -> None:
    sessions = LMDBSessionStore(tmp_path / "state")
    create(sessions, a=b"1")
    store.put("a", b"1", 10)
    assert sessions.count() == 1
    assert set(entries(store)) == {b"s", b"x", b"b", b"y"}
    store.close()
    assert sessions.count() == 1
    assert store.get("a") is not None
    sessions.close()


class TestContract(ByteStoreContract):
    @pytest.fixture(autouse=True)
    def directory(self, tmp_path: pathlib.Path) -> None:
        self.path = tmp_path / "state"

    def make_store(self, clock: Clock) -> LMDBByteStore:
        return LMDBByteStore(self.path, clock=clock)
