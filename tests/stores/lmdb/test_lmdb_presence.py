"""Presences: seen while their process is there, and gone with it."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from flask_state.core.clock import SystemClock
from flask_state.stores.lmdb.presence import Presence
from flask_state.stores.lmdb.sessions import LMDBSessionStore
from flask_state.testing.items import create

monotonic = SystemClock.monotonic


@pytest.fixture
def store(path: pathlib.Path) -> t.Iterator[LMDBSessionStore]:
    store = LMDBSessionStore(path)
    yield store
    store.close()


def test_a_presence_lasts_as_long_as_its_file_is_open(tmp_path: pathlib.Path) -> None:
    one, two = Presence(str(tmp_path / "presence")), Presence(str(tmp_path / "presence"))
    one.open()
    two.open()
    mine, yours = one.mine(), two.mine()
    assert mine == one.mine() != yours
    assert not two.is_gone(mine)
    assert not one.is_gone(mine)
    one.open()
    assert not two.is_gone(mine)
    one.close()
    assert two.is_gone(mine)
    one.open()
    assert one.mine() != mine
    assert not one.is_gone(yours)
    one.close()
    two.close()


def test_who_closed_the_file_sees_nobody_gone(tmp_path: pathlib.Path) -> None:
    """A store that another thread closes meanwhile: the lease runs out then."""
    one, two = Presence(str(tmp_path / "presence")), Presence(str(tmp_path / "presence"))
    one.open()
    mine = one.mine()
    assert not two.is_gone(mine)
    one.close()
    assert not two.is_gone(mine)
    two.open()
    unseen = one.mine()
    assert not two.is_gone(unseen)
    two.close()


def test_the_file_of_presences_is_private(path: pathlib.Path, store: LMDBSessionStore) -> None:
    create(store, a=b"1")
    assert (path / "presence").stat().st_mode & 0o777 == 0o600
