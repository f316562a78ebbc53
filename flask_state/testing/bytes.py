"""What every `ByteStore` must do, as a test suite.

Derive a class whose name starts with ``Test``, give it `make_store`, and let pytest collect it::

    class TestMyBytes(ByteStoreContract):
        def make_store(self, clock):
            return MyBytes(clock=clock)
"""

from __future__ import annotations

import threading
import typing as t

import pytest

from ..core.clock import Clock
from ..core.sentinels import ANY
from ..core.sentinels import MISSING
from ..core.sentinels import Any_
from ..stores.base import ByteStore
from .clock import FakeClock
from .threads import run_threads

KEY = "key"
THREADS = 8
ROUNDS = 25

KEYS = [
    "a",
    "A",
    "a.",
    "a.b",
    "a/b",
    "a:b",
    "a%20b",
    "a*",
    "!~\"'`$&()[]{}<>|;,?=+-_@#^\\",
    "0",
    "k" * 199,
    "k" * 200,
    "k" * 199 + "l",
]


def put(store: ByteStore, value: bytes, key: str = KEY, ttl: float | None = None) -> int:
    """Keep bytes whatever is there; their version."""
    version = store.put(key, value, ttl)
    assert version is not None
    return version


def value(store: ByteStore, key: str = KEY) -> bytes | None:
    """The bytes under a key, or None."""
    found = store.get(key)
    return None if found is None else found[0]


class ByteStoreContract:
    """The suite. Every test starts with an empty store."""

    clock: FakeClock

    def make_store(self, clock: Clock) -> ByteStore:
        """An empty store whose clock is this one."""
        raise AssertionError("a suite must say how its store is made")

    @pytest.fixture
    def store(self) -> t.Iterator[ByteStore]:
        self.clock = FakeClock()
        store = self.make_store(self.clock)
        yield store
        store.close()

    def test_a_store_says_what_it_is_and_who_sees_it(self, store: ByteStore) -> None:
        assert store.engine
        assert store.shared in {"process", "machine", "network"}

    # Getting and putting

    def test_a_missing_key_gets_none(self, store: ByteStore) -> None:
        assert store.get(KEY) is None

    def test_what_was_put_is_got_with_its_version(self, store: ByteStore) -> None:
        version = put(store, b"one")
        assert store.get(KEY) == (b"one", version)
        assert store.get(KEY) == (b"one", version)

    def test_a_later_put_replaces_the_bytes_and_the_version(self, store: ByteStore) -> None:
        first = put(store, b"one")
        second = put(store, b"two")
        assert second != first
        assert store.get(KEY) == (b"two", second)

    def test_the_same_bytes_put_again_have_another_version(self, store: ByteStore) -> None:
        assert put(store, b"one") != put(store, b"one")

    def test_keys_are_exact(self, store: ByteStore) -> None:
        for key in KEYS:
            put(store, key.encode(), key)
        assert [value(store, key) for key in KEYS] == [key.encode() for key in KEYS]
        for key in KEYS[::2]:
            assert store.delete(key)
        assert [key for key in KEYS if store.get(key) is not None] == KEYS[1::2]

    @pytest.mark.parametrize(
        "size",
        [0, 1, 2030, 4095, 4096, 4097, 65_535, 65_536, 65_537, 1_000_000, 1 << 20, 1_100_000],
    )
    def test_values_of_every_size_come_back(self, store: ByteStore, size: int) -> None:
        whole = (bytes(range(256)) * (size // 256 + 1))[:size]
        version = put(store, whole)
        found = store.get(KEY)
        assert found == (whole, version)
        assert found is not None
        assert type(found[0]) is bytes

    def test_values_grow_and_shrink(self, store: ByteStore) -> None:
        for size in (200_000, 10, 150_000, 70_000, 0, 1 << 20):
            put(store, b"y" * size)
            assert value(store) == b"y" * size

    # Deleting

    def test_deleted_bytes_are_gone(self, store: ByteStore) -> None:
        put(store, b"one")
        assert store.delete(KEY) is True
        assert store.get(KEY) is None

    def test_deleting_what_is_not_there_changes_nothing(self, store: ByteStore) -> None:
        put(store, b"one", "other")
        assert store.delete(KEY) is False
        assert store.delete(KEY, 1) is False
        assert value(store, "other") == b"one"

    def test_large_bytes_are_deleted_whole(self, store: ByteStore) -> None:
        put(store, b"x" * 300_000)
        assert store.delete(KEY)
        put(store, b"small")
        assert value(store) == b"small"

    # Compare and set

    def test_a_put_over_the_version_that_is_there_goes_through(self, store: ByteStore) -> None:
        version = put(store, b"one")
        second = store.put(KEY, b"two", None, version)
        assert second is not None
        assert store.get(KEY) == (b"two", second)

    def test_a_put_over_another_version_changes_nothing(self, store: ByteStore) -> None:
        old = put(store, b"one")
        version = put(store, b"two")
        assert store.put(KEY, b"three", None, old) is None
        assert store.put(KEY, b"three", None, version + 1) is None
        assert store.get(KEY) == (b"two", version)

    def test_a_put_over_a_version_of_nothing_makes_nothing(self, store: ByteStore) -> None:
        assert store.put(KEY, b"one", None, 1) is None
        version = put(store, b"one")
        store.delete(KEY)
        assert store.put(KEY, b"two", None, version) is None
        assert store.get(KEY) is None

    def test_missing_puts_only_where_there_is_nothing(self, store: ByteStore) -> None:
        version = store.put(KEY, b"one", None, MISSING)
        assert version is not None
        assert store.put(KEY, b"two", None, MISSING) is None
        assert store.get(KEY) == (b"one", version)
        store.delete(KEY)
        assert store.put(KEY, b"three", None, MISSING) is not None

    def test_empty_bytes_are_not_missing(self, store: ByteStore) -> None:
        version = put(store, b"")
        assert store.put(KEY, b"one", None, MISSING) is None
        assert store.get(KEY) == (b"", version)
        assert store.delete(KEY) is True

    def test_any_puts_whatever_is_there(self, store: ByteStore) -> None:
        assert store.put(KEY, b"one", None, ANY) is not None
        assert store.put(KEY, b"two", None, ANY) is not None
        assert value(store) == b"two"

    def test_a_delete_of_another_version_changes_nothing(self, store: ByteStore) -> None:
        old = put(store, b"one")
        version = put(store, b"two")
        assert store.delete(KEY, old) is False
        assert store.get(KEY) == (b"two", version)
        assert store.delete(KEY, version) is True
        assert store.delete(KEY, version) is False

    def test_a_version_never_comes_again(self, store: ByteStore) -> None:
        """Neither after a delete nor after an expiry, nor when the store was closed meanwhile."""
        seen = []
        for step in range(12):
            seen.append(put(store, b"%d" % step, ttl=10 if step % 4 == 1 else None))
            if step % 4 == 0:
                store.delete(KEY)
            elif step % 4 == 1:
                self.clock.advance(10)
            elif step % 4 == 2:
                store.close()
        assert len(set(seen)) == len(seen)

    # Expiry

    def test_bytes_expire_when_their_time_has_come(self, store: ByteStore) -> None:
        version = put(store, b"one", ttl=100)
        self.clock.advance(99.5)
        assert store.get(KEY) == (b"one", version)
        self.clock.advance(0.5)
        assert store.get(KEY) is None

    def test_bytes_without_a_ttl_stay(self, store: ByteStore) -> None:
        put(store, b"one", ttl=None)
        self.clock.advance(1e9)
        assert value(store) == b"one"

    @pytest.mark.parametrize(("ttl", "left"), [(None, True), (500, True), (10, False)])
    def test_each_put_has_its_own_ttl(
        self, store: ByteStore, ttl: float | None, left: bool
    ) -> None:
        put(store, b"one", ttl=100)
        put(store, b"two", ttl=ttl)
        self.clock.advance(200)
        assert value(store) == (b"two" if left else None)

    def test_a_put_that_is_refused_leaves_the_ttl(self, store: ByteStore) -> None:
        version = put(store, b"one", ttl=100)
        assert store.put(KEY, b"two", None, version + 1) is None
        assert store.put(KEY, b"two", 5, MISSING) is None
        self.clock.advance(99)
        assert value(store) == b"one"
        self.clock.advance(1)
        assert store.get(KEY) is None

    def test_expired_bytes_are_missing_for_a_put(self, store: ByteStore) -> None:
        old = put(store, b"one", ttl=10)
        self.clock.advance(10)
        assert store.put(KEY, b"two", None, old) is None
        version = store.put(KEY, b"three", None, MISSING)
        assert version is not None
        assert version != old
        assert store.get(KEY) == (b"three", version)

    @pytest.mark.parametrize("exact", [True, False])
    def test_expired_bytes_are_missing_for_a_delete(self, store: ByteStore, exact: bool) -> None:
        version = put(store, b"one", ttl=10)
        self.clock.advance(10)
        assert store.delete(KEY, version if exact else ANY) is False
        assert store.get(KEY) is None

    def test_what_expires_takes_nothing_else_along(self, store: ByteStore) -> None:
        for number in range(40):
            put(store, b"x" * number, f"key.{number}", ttl=10 if number % 2 else None)
        self.clock.advance(10)
        put(store, b"later")
        left = [number for number in range(40) if store.get(f"key.{number}") is not None]
        assert left == list(range(0, 40, 2))

    # Threads

    def test_threads_that_count_lose_no_step(self, store: ByteStore) -> None:
        put(store, b"0")
        barrier = threading.Barrier(THREADS)

        def work(number: int) -> None:
            barrier.wait()
            for _ in range(ROUNDS):
                while True:
                    found = store.get(KEY)
                    assert found is not None
                    if store.put(KEY, b"%d" % (int(found[0]) + 1), None, found[1]) is not None:
                        break

        run_threads([(work, number) for number in range(THREADS)])
        assert value(store) == b"%d" % (THREADS * ROUNDS)

    def test_of_threads_that_create_one_wins(self, store: ByteStore) -> None:
        for turn in range(ROUNDS):
            key = f"key.{turn}"

            def create(number: int, key: str = key) -> int | None:
                return store.put(key, b"%d" % number, 60, MISSING)

            won = self._race(create)
            (winner,) = won
            assert store.get(key) == (b"%d" % winner, won[winner])

    def test_of_threads_that_delete_one_wins(self, store: ByteStore) -> None:
        for turn in range(ROUNDS):
            version = put(store, b"one")

            def delete(_: int, seen: int | Any_ = version if turn % 2 else ANY) -> bool | None:
                return store.delete(KEY, seen) or None

            assert len(self._race(delete)) == 1
            assert store.get(KEY) is None

    def test_a_put_and_a_delete_of_one_version_are_not_both_done(self, store: ByteStore) -> None:
        for _ in range(ROUNDS):
            version = put(store, b"one")

            def put_or_delete(number: int, seen: int = version) -> int | bool | None:
                if number % 2:
                    return store.delete(KEY, seen) or None
                return store.put(KEY, b"%d" % number, None, seen)

            (winner,) = self._race(put_or_delete)
            assert value(store) == (None if winner % 2 else b"%d" % winner)

    def _race(self, attempt: t.Callable[[int], int | bool | None]) -> dict[int, int | bool]:
        """Let threads do the same at once; what came of it, for those that got something."""
        barrier = threading.Barrier(THREADS)
        won: dict[int, int | bool] = {}

        def work(number: int) -> None:
            barrier.wait()
            result = attempt(number)
            if result is not None:
                won[number] = result

        run_threads([(work, number) for number in range(THREADS)])
        return won

    # The rest

    def test_a_closed_store_opens_again(self, store: ByteStore) -> None:
        version = put(store, b"one")
        store.close()
        store.close()
        assert store.get(KEY) in ((b"one", version), None)
        put(store, b"two")
        assert value(store) == b"two"
