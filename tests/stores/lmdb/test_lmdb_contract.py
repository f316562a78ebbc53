"""The LMDB engine keeps the contract of session stores."""

from __future__ import annotations

import pathlib

import pytest

from flask_state.core.clock import Clock
from flask_state.stores.lmdb.sessions import LMDBSessionStore
from flask_state.testing import SessionStoreContract


class TestContract(SessionStoreContract):
    @pytest.fixture(autouse=True)
    def directory(self, tmp_path: pathlib.Path) -> None:
        self.path = tmp_path / "state"

    def make_store(self, clock: Clock) -> LMDBSessionStore:
        return LMDBSessionStore(self.path, clock=clock)


class TestDurableContract(TestContract):
    def make_store(self, clock: Clock) -> LMDBSessionStore:
        return LMDBSessionStore(self.path, clock=clock, durability="disk")
