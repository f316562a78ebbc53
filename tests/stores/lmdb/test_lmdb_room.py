"""A full store refuses what is new, loses nothing, and lets records end."""

from __future__ import annotations

import os
import pathlib
import subprocess
import typing as t

import pytest

from flask_state.errors import StoreError
from flask_state.stores.base import ABANDONED
from flask_state.stores.base import ADOPTED
from flask_state.stores.base import Change
from flask_state.stores.base import Edit
from flask_state.stores.lmdb import opening
from flask_state.stores.lmdb import verify
from flask_state.stores.lmdb.sessions import LMDBSessionStore
from flask_state.testing import FakeClock
from flask_state.testing.items import PROOF
from flask_state.testing.items import create
from flask_state.testing.items import values

MAX_BYTES = 400_000


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(tmp_path: pathlib.Path, clock: FakeClock) -> t.Iterator[LMDBSessionStore]:
    store = LMDBSessionStore(tmp_path / "state", clock=clock, max_bytes=MAX_BYTES)
    yield store
    store.close()


def fill(store: LMDBSessionStore, lives: float = 1000.0) -> list[str]:
    """Create records until there is no room for another."""
    locators = []
    while True:
        try:
            locators.append(create(store, lives, a=b"x" * 3000))
        except StoreError:
            return locators


def test_max_bytes_is_kept_and_named(store: LMDBSessionStore, tmp_path: pathlib.Path) -> None:
    locators = fill(store)
    assert 60 < len(locators) <= MAX_BYTES // 3000
    assert store.count() == len(locators)
    assert all(values(store, locator) == {"a": b"x" * 3000} for locator in locators)
    with pytest.raises(StoreError, match="max_bytes") as caught:
        create(store, a=b"x" * 3000)
    assert (caught.value.engine, caught.value.operation) == ("lmdb", "commit")
    assert (tmp_path / "state" / "data.mdb").stat().st_size < 2 * MAX_BYTES


def test_a_full_store_lets_records_shrink_and_end(store: LMDBSessionStore) -> None:
    first, second, *_ = fill(store)
    done = store.commit(first, Change(items={"a": Edit(b"", 1, True)}, lives=2000), 1)
    assert done.refused is None
    assert store.commit(second, Change(lives=2000, end=ABANDONED), 1).refused is None
    assert store.claim(10, 60) == []


def test_a_full_store_replaces_values_by_others_of_their_size(store: LMDBSessionStore) -> None:
    for locator in fill(store):
        change = Change(items={"a": Edit(b"y" * 3000, 1, True)})
        assert store.commit(locator, change, 1).refused is None


def test_what_ended_or_expired_makes_room(store: LMDBSessionStore, clock: FakeClock) -> None:
    ended = fill(store, 100)
    for locator in ended[:20]:
        store.commit(locator, Change(end=ABANDONED), 1)
    for _ in range(15):
        create(store, 100, a=b"x" * 3000)
    clock.advance(100)
    assert len(fill(store)) > 60


def test_the_living_and_what_is_kept_make_no_room(
    store: LMDBSessionStore, clock: FakeClock
) -> None:
    """A record that was touched is found early among those that are due, and stays."""
    marker = Change(create=True, proof=PROOF, end=ADOPTED, lives=1000)
    assert store.commit("m" * 10, marker, None).refused is None
    locators = fill(store, 100)
    for locator in locators:
        store.commit(locator, Change(lives=500), 1)
    clock.advance(200)
    with pytest.raises(StoreError, match="max_bytes"):
        create(store, a=b"x" * 3000)
    assert store.count() == len(locators)
    assert store.commit("m" * 10, marker, None).refused == "exists"


def test_less_address_space_than_max_bytes_is_kept_too(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that records can still end: in a full map nothing can be removed."""
    monkeypatch.setattr(opening, "_RESERVATIONS", (1 << 20,))
    store = LMDBSessionStore(tmp_path / "narrow")
    locators = fill(store)
    with pytest.raises(StoreError, match="786,432 bytes are taken"):
        create(store, a=b"x" * 3000)
    for locator in locators:
        assert store.commit(locator, Change(end=ABANDONED), None).refused is None
        store.forget(locator)
    assert store.count() == 0
    assert len(fill(store)) > 60
    store.close()


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> t.Iterator[pathlib.Path]:
    """A disk of 2 MB."""
    if os.geteuid():
        pytest.skip("only root can mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)]
    done = subprocess.run(mount, capture_output=True)
    if done.returncode:
        pytest.skip(f"a small disk can't be mounted here: {done.stderr.decode()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_refuses_and_loses_nothing(small_disk: pathlib.Path, clock: FakeClock) -> None:
    store = LMDBSessionStore(small_disk / "state", clock=clock)
    locators = fill(store)
    with pytest.raises(StoreError, match="disk is full or fails"):
        create(store, a=b"x" * 30_000)
    assert store.count() == len(locators)
    assert all(values(store, locator) == {"a": b"x" * 3000} for locator in locators)
    store.close()
    assert verify.inspect(str(small_disk / "state" / "data.mdb")).sound


def test_a_disk_that_was_full_serves_again(small_disk: pathlib.Path, clock: FakeClock) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_000_000))
    store = LMDBSessionStore(small_disk / "state", clock=clock)
    locators = fill(store)
    ballast.unlink()
    locators += fill(store)
    assert store.count() == len(locators)
    store.close()


def test_an_environment_is_not_made_on_a_full_disk(small_disk: pathlib.Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(1_500_000))
    store = LMDBSessionStore(small_disk / "state")
    with pytest.raises(StoreError, match="is full"):
        store.count()
    assert not (small_disk / "state").exists()
