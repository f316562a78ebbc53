"""One writer at a time, and nobody waits for ever."""

from __future__ import annotations

import os
import pathlib
import signal
import threading
import time
import typing as t

import pytest

from flask_state.errors import StoreError
from flask_state.stores.base import Change
from flask_state.stores.base import Edit
from flask_state.stores.lmdb.gate import Gate
from flask_state.stores.lmdb.gate import GateClosed
from flask_state.stores.lmdb.gate import GateTimeout
from flask_state.stores.lmdb.sessions import LMDBSessionStore
from flask_state.testing.items import create
from flask_state.testing.items import values

from .forked import Numbers
from .forked import fork
from .forked import kill


@pytest.fixture
def store(tmp_path: pathlib.Path) -> t.Iterator[LMDBSessionStore]:
    store = LMDBSessionStore(tmp_path / "state", gate_timeout=0.3)
    yield store
    store.close()


def stop_inside(store: LMDBSessionStore) -> int:
    """A child that is stopped inside a write transaction; its process id."""
    inside = Numbers()

    def stop(txn: t.Any) -> None:
        txn.put(b"nunwritten", b"")
        inside.tell(1)
        os.kill(os.getpid(), signal.SIGSTOP)

    pid = fork(lambda: store._access.write("stop", stop))
    inside.hear()
    os.waitpid(pid, os.WUNTRACED)
    inside.close()
    return pid


def test_a_commit_behind_a_stopped_process_fails_in_time_and_says_who(
    store: LMDBSessionStore,
) -> None:
    locator = create(store, a=b"1")
    pid = stop_inside(store)
    try:
        begun = time.monotonic()
        with pytest.raises(StoreError, match=f"process {pid} has held") as caught:
            store.commit(locator, Change(items={"a": Edit(b"2", 1, True)}), 1)
        assert 0.3 <= time.monotonic() - begun < 3
        assert (caught.value.engine, caught.value.operation) == ("lmdb", "commit")
        assert caught.value.code == 503
        assert values(store, locator) == {"a": b"1"}
    finally:
        kill(pid)


def test_whoever_waits_is_served_when_the_holder_is_killed(store: LMDBSessionStore) -> None:
    locator = create(store, a=b"1")
    pid = stop_inside(store)
    store._access._timeout = 60.0
    change = Change(items={"a": Edit(b"2", 1, True)})
    thread = threading.Thread(target=store.commit, args=(locator, change, 1))
    thread.start()
    kill(pid)
    begun = time.monotonic()
    thread.join()
    assert time.monotonic() - begun < 3
    assert values(store, locator) == {"a": b"2"}
    assert store.note("unwritten", b"1") is None


def test_threads_wait_for_each_other_and_say_so(store: LMDBSessionStore) -> None:
    create(store, a=b"1")
    inside, leave = threading.Event(), threading.Event()

    def stay(txn: t.Any) -> None:
        inside.set()
        leave.wait()

    thread = threading.Thread(target=store._access.write, args=("stay", stay))
    thread.start()
    inside.wait()
    with pytest.raises(StoreError, match="another thread of this process"):
        store.note("a", b"1")
    leave.set()
    thread.join()
    store.note("a", b"1")


def test_two_gates_of_one_process_exclude_each_other(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "gate")
    one, two = Gate(path), Gate(path)
    assert one.enter(0.1) is False
    with pytest.raises(GateTimeout, match=f"process {os.getpid()} "):
        two.enter(0.02)
    one.leave()
    assert two.enter(0.1) is False
    two.leave()
    one.close()
    two.close()


def test_who_waits_at_a_gate_that_closes_is_sent_away(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "gate")
    one, two = Gate(path), Gate(path)
    one.enter(0.1)
    raised: list[BaseException] = []

    def wait() -> None:
        try:
            two.enter(60)
        except GateClosed as error:
            raised.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    while two._lock.acquire(False):
        two._lock.release()
    two.close()
    thread.join()
    assert raised
    assert two.empty
    one.close()
    assert not one.empty
    one.leave()
    assert one.empty


def test_the_work_of_a_transaction_is_undone_by_what_it_raises(store: LMDBSessionStore) -> None:
    locator = create(store, a=b"1")

    def fail(txn: t.Any) -> None:
        txn.put(b"nhalf", b"")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store._access.write("fail", fail)
    assert store.note("half", b"1") is None
    assert values(store, locator) == {"a": b"1"}
