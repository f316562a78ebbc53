"""Data that looks damaged while processes run is replaced under all of them."""

from __future__ import annotations

import logging
import os
import pathlib
import signal
import subprocess
import threading
import typing as t

import lmdb
import pytest

from flask_state.errors import StoreError
from flask_state.stores.base import Change
from flask_state.stores.base import Edit
from flask_state.stores.lmdb import gate as gates
from flask_state.stores.lmdb import locks
from flask_state.stores.lmdb import recovery
from flask_state.stores.lmdb import verify
from flask_state.stores.lmdb.gate import Gate
from flask_state.stores.lmdb.sessions import LMDBSessionStore
from flask_state.testing.items import create
from flask_state.testing.items import values

from .broken import Damage
from .broken import another_boot
from .broken import aside
from .broken import behead
from .broken import copied
from .broken import in_use
from .broken import readable
from .broken import truncate
from .broken import written
from .forked import Numbers
from .forked import fork
from .forked import status_of

here = pytest.mark.usefixtures("checked_here")


@here
@pytest.mark.parametrize("damage", [behead, truncate])
def test_data_damaged_in_this_boot_is_noticed_at_opening(
    path: pathlib.Path, damage: Damage
) -> None:
    locators = written(path)
    copied(path)
    in_use(path)
    damage(path)
    assert readable(path, locators) == 300
    assert aside(path) == ["state.damaged-1"]


@here
def test_an_error_of_the_engine_has_the_data_checked(
    path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is sound, so it is used on."""
    caplog.set_level(logging.INFO)
    store = LMDBSessionStore(path)
    locator = create(store, a=b"1")

    def fail(txn: t.Any) -> None:
        raise lmdb.CorruptedError("as if")

    for use in (store._access.read, store._access.write):
        with pytest.raises(StoreError, match="looks damaged") as caught:
            use("load", fail)
        assert caught.value.operation == "load"
        assert (path / "suspect").exists()
        assert values(store, locator) == {"a": b"1"}
        assert not (path / "suspect").exists()
        assert "is sound" in caplog.text
        caplog.clear()
    store.close()


def replaced(store: LMDBSessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the data found damaged and set aside, and open what takes its place."""
    folder = store._access.join().folder
    store.close()
    pathlib.Path(folder.suspect).touch()

    def inspect(at: str) -> verify.Findings:
        return verify.Findings(["as if"], 0) if at == folder.data else verify.inspect(at)

    monkeypatch.setattr(verify, "inspect_apart", inspect)
    store.count()
    monkeypatch.undo()


def test_a_process_that_rested_writes_to_what_replaced_the_data(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had looked at the directory just before, and is given time to look again."""
    store = LMDBSessionStore(path)
    ready, go = Numbers(), Numbers()

    def work() -> None:
        store.note("who", b"child")
        ready.tell(1)
        go.hear()
        store.note("who", b"child again")

    pid = fork(work)
    ready.hear()
    replaced(store, monkeypatch)
    go.tell(1)
    assert status_of(pid) == 0
    assert store.note("who", b"parent") == b"child again"
    store.close()
    ready.close()
    go.close()


def test_other_processes_move_to_what_replaces_damaged_data(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child writes all the time. Nothing it wrote after the exchange is lost."""
    store = LMDBSessionStore(path)
    locator = create(store, n=b"0")
    numbers, stop = Numbers(), Numbers()

    def work() -> None:
        os.set_blocking(stop._read, False)
        for number in range(1, 1 << 40):
            edits = {"n": Edit(b"%d" % number, 1 << 40)}
            assert store.commit(locator, Change(items=edits), None).refused is None
            numbers.tell(number)
            try:
                stop.hear()
            except BlockingIOError:
                continue
            return

    store.close()
    copied(path)
    pid = fork(work)
    numbers.hear()
    store.count()
    replaced(store, monkeypatch)
    for _ in range(30):
        last = numbers.hear()
    stop.tell(1)
    assert status_of(pid) == 0
    last = max([last, *numbers.rest()])
    stop.close()
    assert aside(path) == ["state.damaged-1"]
    assert values(store, locator) == {"n": b"%d" % last}
    store.close()


def test_a_writer_that_waited_looks_where_it_writes(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever held the gate may have replaced the data, so the second's pause doesn't count."""
    waiting = threading.Event()

    def pauses(timeout: float) -> t.Iterator[None]:
        waiting.set()
        return locks.pauses(timeout)

    monkeypatch.setattr(gates, "pauses", pauses)
    store = LMDBSessionStore(path)
    store.count()
    opened = store._access.join()._opened
    assert opened is not None
    opened.look_at = float("inf")
    other = Gate(str(path / "gate"))
    other.enter(1)
    thread = threading.Thread(target=store.note, args=("who", b"waited"))
    thread.start()
    waiting.wait()
    path.rename(path.parent / "elsewhere")
    other.leave()
    thread.join()
    other.close()
    assert store.note("who", b"") == b"waited"
    store.close()
    moved = LMDBSessionStore(path.parent / "elsewhere")
    assert moved.note("who", b"") is None
    moved.close()


def test_a_check_that_was_killed_is_not_a_finding(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locators = written(path)
    another_boot(path)
    ended = subprocess.CompletedProcess([], -signal.SIGKILL, b"", b"")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: ended)
    with pytest.raises(StoreError, match="ended by signal 9"):
        readable(path, locators)
    monkeypatch.undo()
    assert readable(path, locators) == 300


def test_recovery_waits_for_a_writer_and_not_for_ever(path: pathlib.Path) -> None:
    store = LMDBSessionStore(path)
    store.count()
    folder = store._access.join().folder

    def meanwhile(txn: t.Any) -> None:
        with pytest.raises(StoreError, match="has held the right to write"):
            recovery.recover(folder, 0.05)

    store._access.write("test", meanwhile)
    store.close()
