"""The check of a data file."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import typing as t

import pytest

from flask_state.stores.base import Change
from flask_state.stores.base import Edit
from flask_state.stores.lmdb import layout
from flask_state.stores.lmdb import verify
from flask_state.stores.lmdb.sessions import LMDBSessionStore
from flask_state.testing.items import create

from .broken import behead
from .broken import shred
from .broken import swap_values
from .broken import written


def test_the_check_can_be_run_by_hand(path: pathlib.Path) -> None:
    written(path)
    command = [sys.executable, "-m", "flask_state.stores.lmdb.verify", str(path / "data.mdb")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[[], 0]\n")
    assert subprocess.run(command[:-1], capture_output=True).returncode == 2


def test_the_check_sees_pages_and_values(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    written(path)
    data = str(path / "data.mdb")
    assert verify.inspect(data).sound
    swap_values(path)
    assert verify.inspect(data) == verify.Findings([], 1)
    assert verify.inspect_apart(data) == verify.Findings([], 1)
    shred(path)
    assert verify.inspect_apart(data).pages
    assert verify.inspect(str(tmp_path / "nothing")).pages


def test_the_check_survives_an_engine_that_does_not(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(path)
    data = str(path / "data.mdb")
    results = iter([-signal.SIGABRT, -signal.SIGBUS, 1])

    def run(*args: t.Any, **kwargs: t.Any) -> t.Any:
        return subprocess.CompletedProcess([], next(results), b"", b"")

    monkeypatch.setattr(subprocess, "run", run)
    assert "signal 6" in verify.inspect_apart(data).pages[0]
    assert "signal 7" in verify.inspect_apart(data).pages[0]
    assert verify.inspect_apart(data).sound

    def no_interpreter(*args: t.Any, **kwargs: t.Any) -> t.Any:
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", no_interpreter)
    assert verify.inspect_apart(data).sound
    behead(path)
    assert verify.inspect_apart(data).pages


def test_a_file_shorter_than_its_pages_is_damaged(path: pathlib.Path) -> None:
    """Even where only free pages are missing."""
    store = LMDBSessionStore(path)
    locator = create(store, a=b"x" * 1_000_000)
    store.commit(locator, Change(items={"a": Edit(b"1", 1, True)}), 1)
    store.close()
    os.truncate(path / "data.mdb", (path / "data.mdb").stat().st_size - 4096)
    assert verify.inspect(str(path / "data.mdb")).pages


def test_every_value_in_the_file_has_a_checksum(path: pathlib.Path) -> None:
    store = LMDBSessionStore(path)
    locator = create(store, 1000, **{"a": b"1", "n" * 1000: b"2", "large": b"x" * 200_000})
    store.commit(locator, Change(owner="ann"), 1)
    store.note("key", b"1")
    kinds = {
        key[:1]: layout.unframe(key, value)
        for key, value in store._access.read("test", lambda txn: list(txn.cursor()))
    }
    assert set(kinds) == {b"s", b"c", b"x", b"o", b"n"}
    store.close()
