"""The engine does, step by step, what the memory engine does."""

from __future__ import annotations

import pathlib
import random
import typing as t

import pytest

from flask_state.core.sentinels import MISSING
from flask_state.stores.base import ABANDONED
from flask_state.stores.base import ADOPTED
from flask_state.stores.base import Change
from flask_state.stores.base import Edit
from flask_state.stores.base import SessionStore
from flask_state.stores.lmdb import verify
from flask_state.stores.lmdb.sessions import LMDBSessionStore
from flask_state.stores.memory.sessions import MemorySessionStore
from flask_state.testing import FakeClock

from .consistent import assert_consistent

NAMES = ["", "a", "b", "é", "long" * 150, "long" * 149 + "Long", "\ud800"]
SIZES = [0, 1, 30, 3000, 65_536, 65_537, 130_000]
PROOFS = [b"p" * 16, b"q" * 16]
OWNERS = ["ann", "bob", None]


class Pair:
    """Both engines, given the same."""

    def __init__(self, path: pathlib.Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.clock = FakeClock()
        self.lmdb = LMDBSessionStore(path, clock=self.clock)
        self.memory = MemorySessionStore(clock=self.clock)
        self.locators = [f"{number:010d}" for number in range(6)]
        self.claimed: list[str] = []

    def both(self, use: t.Callable[[SessionStore], t.Any]) -> t.Any:
        """What both say, which must be the same."""
        said = use(self.lmdb)
        assert said == use(self.memory)
        return said

    def step(self) -> None:
        steps = [self.commit] * 6 + [self.load] * 3 + [self.ask, self.claim, self.forget, self.wait]
        self.chance.choice(steps)()

    def edit(self) -> Edit:
        size = self.chance.choice(SIZES)
        value = None if self.chance.random() < 0.25 else bytes([self.chance.randrange(3)]) * size
        return Edit(value, self.chance.randrange(12), *self.chance.choices([True, False], k=2))

    def change(self) -> Change:
        chance = self.chance
        names = chance.sample(NAMES, chance.randrange(len(NAMES)))
        create = chance.random() < 0.4
        return Change(
            items={name: self.edit() for name in names},
            clear=chance.randrange(12) if chance.random() < 0.1 else None,
            create=create,
            proof=chance.choice(PROOFS) if create or chance.random() < 0.1 else None,
            grace=chance.choice([0.0, 5.0]),
            lives=chance.choice([None, 5.0, 50.0, 500.0]),
            timeout=chance.choice([MISSING, MISSING, None, 20.0]),
            owner=chance.choice([MISSING, MISSING, *OWNERS]),
            end=chance.choice([None] * 12 + [ABANDONED, ADOPTED]),
            strict=chance.random() < 0.1,
        )

    def commit(self) -> None:
        locator, change = self.chance.choice(self.locators), self.change()
        fence = self.chance.choice([None, 1, 2, 3])

        def use(store: SessionStore) -> t.Any:
            done = store.commit(locator, change, fence)
            return done._replace(conflicts=tuple(sorted(done.conflicts)))

        self.both(use)

    def load(self) -> None:
        locator = self.chance.choice(self.locators)
        proofs = self.chance.sample(PROOFS, self.chance.choice([1, 1, 2]))
        names = self.chance.choice([None, [], self.chance.sample(NAMES, 3)])
        self.both(lambda store: store.load(locator, proofs, names))

    def ask(self) -> None:
        self.both(lambda store: store.count())
        for owner in ("ann", "bob"):
            self.both(lambda store, owner=owner: sorted(store.find(owner)))  # type: ignore[misc]
        name, value = self.chance.choice(NAMES), self.chance.choice([b"1", b"2"])
        self.both(lambda store: store.note(name, value))

    def claim(self) -> None:
        found = self.both(lambda store: sorted(store.claim(100, 30.0)))
        self.claimed += [each.locator for each in found]

    def forget(self) -> None:
        for locator in {*self.claimed[:2], self.chance.choice(self.locators)}:
            self.both(lambda store, locator=locator: store.forget(locator))  # type: ignore[misc]
        del self.claimed[:2]

    def wait(self) -> None:
        self.clock.advance(self.chance.choice([0.5, 3.0, 20.0, 100.0]))


@pytest.mark.parametrize("seed", range(12))
def test_both_engines_do_the_same(tmp_path: pathlib.Path, seed: int) -> None:
    pair = Pair(tmp_path / "state", seed)
    for _ in range(250):
        pair.step()
    assert_consistent(pair.lmdb)
    pair.lmdb.close()
    assert verify.inspect(str(tmp_path / "state" / "data.mdb")).sound
