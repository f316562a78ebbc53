"""What every `SessionStore` must do with items: the first half of its suite."""

from __future__ import annotations

import typing as t

import pytest

from ..core.clock import Clock
from ..core.tokens import random_text
from ..stores.base import CONFLICT
from ..stores.base import Change
from ..stores.base import Committed
from ..stores.base import Edit
from ..stores.base import Facts
from ..stores.base import SessionStore
from .clock import FakeClock

PROOF = b"p" * 16
OTHER = b"q" * 16
THIRD = b"r" * 16


def create(store: SessionStore, _lives: float = 1000.0, **items: bytes) -> str:
    """A new record with these items; its locator."""
    locator = random_text(10)
    edits = {name: Edit(value, 0) for name, value in items.items()}
    done = store.commit(locator, Change(create=True, proof=PROOF, lives=_lives, items=edits), None)
    assert done.refused is None
    return locator


def values(
    store: SessionStore, locator: str, proof: bytes = PROOF, *names: str
) -> dict[str, bytes] | None:
    """The items of a record, or those named."""
    loaded = store.load(locator, (proof,), names or None)
    if loaded is None or loaded.superseded:
        return None
    return {n: i.value for n, i in loaded.items.items() if not names or n in names}


def facts_of(done: Committed) -> Facts:
    """The facts after a commit that went through."""
    assert done.refused is None
    assert done.facts is not None
    return done.facts


class ItemsContract:
    """How items are loaded, changed and merged. Every test starts with an empty store."""

    clock: FakeClock

    def make_store(self, clock: Clock) -> SessionStore:
        """An empty store whose clock is this one."""
        raise AssertionError("a suite must say how its store is made")

    @pytest.fixture
    def store(self) -> t.Iterator[SessionStore]:
        self.clock = FakeClock()
        store = self.make_store(self.clock)
        yield store
        store.close()

    # Loading

    def test_a_missing_record_loads_as_none(self, store: SessionStore) -> None:
        assert store.load("a" * 10, (PROOF,), None) is None

    def test_what_was_committed_loads(self, store: SessionStore) -> None:
        locator = create(store, a=b"1", b=b"2")
        loaded = store.load(locator, (PROOF,), None)
        assert loaded is not None
        assert {n: i.value for n, i in loaded.items.items()} == {"a": b"1", "b": b"2"}
        assert loaded.complete
        assert (loaded.match, loaded.previous) == (0, False)
        assert loaded.now == self.clock.time()
        assert loaded.facts.created == loaded.facts.touched == self.clock.time()
        assert loaded.facts.expires == self.clock.time() + 1000

    def test_named_items_load_and_missing_names_are_left_out(self, store: SessionStore) -> None:
        locator = create(store, a=b"1", b=b"2")
        loaded = store.load(locator, (PROOF,), ["b", "nobody"])
        assert loaded is not None
        assert loaded.items["b"].value == b"2"
        assert "nobody" not in loaded.items

    def test_a_wrong_proof_loads_as_none(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        assert store.load(locator, (OTHER,), None) is None
        assert store.load(locator, (b"",), None) is None

    def test_any_of_several_proofs_loads_and_is_named(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        loaded = store.load(locator, (OTHER, PROOF), None)
        assert loaded is not None
        assert loaded.match == 1

    @pytest.mark.parametrize(
        "name", ["", "a" * 2000, "a" * 1999 + "b", "é", "e\u0301", "A", "a ", "\0", "汉" * 400]
    )
    def test_item_names_are_exact(self, store: SessionStore, name: str) -> None:
        decoys: dict[str, t.Any] = {
            n: bytes([65 + i]) for i, n in enumerate(["a" * 2000, "a" * 1999 + "b", "a"])
        }
        locator = create(store, **{**decoys, name: b"mine"})
        loaded = store.load(locator, (PROOF,), [name])
        assert loaded is not None
        assert loaded.items[name].value == b"mine"
        assert values(store, locator) == {**decoys, name: b"mine"}

    @pytest.mark.parametrize("size", [0, 1, 2030, 4096, 65_535, 65_536, 65_537, 1 << 20])
    def test_values_of_every_size_come_back(self, store: SessionStore, size: int) -> None:
        value = bytes(range(256)) * (size // 256 + 1)
        locator = create(store, a=value[:size], b=b"small")
        assert values(store, locator) == {"a": value[:size], "b": b"small"}
        assert values(store, locator, PROOF, "a") == {"a": value[:size]}

    def test_a_value_may_shrink_and_grow(self, store: SessionStore) -> None:
        locator = create(store, a=b"x" * 200_000)
        for size in (10, 150_000, 70_000, 0):
            store.commit(locator, Change(items={"a": Edit(b"y" * size, 99, True)}), 1)
            assert values(store, locator) == {"a": b"y" * size}

    # Items

    def test_items_are_set_and_removed(self, store: SessionStore) -> None:
        locator = create(store, a=b"1", b=b"2", c=b"3")
        change = Change(items={"a": Edit(b"9", 1, True), "b": Edit(None, 1, True)})
        facts_of(store.commit(locator, change, 1))
        assert values(store, locator) == {"a": b"9", "c": b"3"}

    def test_order_is_that_of_insertion(self, store: SessionStore) -> None:
        locator = create(store, z=b"1", a=b"2", m=b"3")
        store.commit(
            locator,
            Change(items={"k": Edit(b"4", 1), "a": Edit(b"5", 1, True), "b": Edit(b"6", 1)}),
            1,
        )
        store.commit(locator, Change(items={"z": Edit(b"7", 1, True, append=True)}), 1)
        loaded = store.load(locator, (PROOF,), None)
        assert loaded is not None
        ordered = sorted(loaded.items, key=lambda name: loaded.items[name].position)
        assert ordered == ["a", "m", "k", "b", "z"]

    def test_commits_of_different_items_both_survive(self, store: SessionStore) -> None:
        locator = create(store, a=b"1", b=b"1")
        one = store.commit(locator, Change(items={"a": Edit(b"2", 1, True)}), 1)
        two = store.commit(locator, Change(items={"b": Edit(b"2", 1, True)}), 1)
        assert one.conflicts == two.conflicts == ()
        assert values(store, locator) == {"a": b"2", "b": b"2"}

    def test_the_later_commit_of_an_item_wins_and_names_it(self, store: SessionStore) -> None:
        locator = create(store, a=b"1", b=b"1")
        store.commit(locator, Change(items={"a": Edit(b"2", 1, True)}), 1)
        late = Change(items={"a": Edit(b"3", 1, True), "b": Edit(b"3", 1, True)})
        done = store.commit(locator, late, 1)
        assert done.refused is None
        assert done.conflicts == ("a",)
        assert values(store, locator) == {"a": b"3", "b": b"3"}

    def test_a_strict_change_is_refused_whole(self, store: SessionStore) -> None:
        locator = create(store, a=b"1", b=b"1")
        store.commit(locator, Change(items={"a": Edit(b"2", 1, True)}), 1)
        late = Change(
            items={"a": Edit(b"3", 1, True), "b": Edit(b"3", 1, True)}, strict=True, owner="x"
        )
        done = store.commit(locator, late, 1)
        assert (done.refused, done.conflicts) == (CONFLICT, ("a",))
        assert values(store, locator) == {"a": b"2", "b": b"1"}
        assert store.find("x") == []

    def test_an_item_new_to_both_conflicts(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        store.commit(locator, Change(items={"n": Edit(b"2", 1)}), 1)
        assert store.commit(locator, Change(items={"n": Edit(b"3", 1)}), 1).conflicts == ("n",)

    def test_an_item_removed_meanwhile_conflicts(self, store: SessionStore) -> None:
        locator = create(store, a=b"1", b=b"1")
        store.commit(locator, Change(items={"a": Edit(None, 1, True)}), 1)
        late = store.commit(locator, Change(items={"a": Edit(b"2", 1, True)}), 1)
        assert late.conflicts == ("a",)
        again = store.commit(locator, Change(items={"b": Edit(None, 1, True)}), 1)
        assert again.conflicts == ()

    def test_the_same_bytes_do_not_conflict(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        store.commit(locator, Change(items={"a": Edit(b"2", 1, True)}), 1)
        same = store.commit(locator, Change(items={"a": Edit(b"2", 1, True)}), 1)
        assert same.conflicts == ()

    def test_what_was_seen_later_does_not_conflict(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        done = store.commit(locator, Change(items={"a": Edit(b"2", 1, True)}), 1)
        seen = facts_of(done).version
        again = store.commit(locator, Change(items={"a": Edit(b"3", seen, True)}), 1)
        assert again.conflicts == ()

    def test_clear_removes_all_but_what_it_sets(self, store: SessionStore) -> None:
        locator = create(store, a=b"1", b=b"2")
        done = store.commit(locator, Change(clear=1, items={"b": Edit(b"3", 1, True)}), 1)
        assert done.conflicts == ()
        assert values(store, locator) == {"b": b"3"}

    def test_clear_names_what_came_meanwhile(self, store: SessionStore) -> None:
        locator = create(store, a=b"1", b=b"2")
        store.commit(locator, Change(items={"late": Edit(b"4", 1)}), 1)
        done = store.commit(locator, Change(clear=1, items={"b": Edit(b"3", 1, True)}), 1)
        assert done.conflicts == ("late",)
        assert values(store, locator) == {"b": b"3"}

    def test_size_counts_names_and_values(self, store: SessionStore) -> None:
        locator = create(store, ab=b"123", c=b"4")
        done = store.commit(locator, Change(items={"ab": Edit(b"1", 1, True)}), 1)
        assert facts_of(done).size == 2 + 1 + 1 + 1
        done = store.commit(locator, Change(items={"c": Edit(None, 1, True)}), 1)
        assert facts_of(done).size == 3

    def test_size_is_right_after_a_clear(self, store: SessionStore) -> None:
        locator = create(store, ab=b"123", c=b"4")
        done = store.commit(locator, Change(clear=1, items={"c": Edit(b"55", 1, True)}), 1)
        assert facts_of(done).size == 3
