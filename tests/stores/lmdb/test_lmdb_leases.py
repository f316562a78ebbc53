"""Leases between processes: killed, stopped and forked holders, and those who wait for them."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import statistics
import subprocess
import threading
import typing as t

import ormsgpack
import pytest

from flask_state.core.clock import SystemClock
from flask_state.stores.base import LOST
from flask_state.stores.base import Change
from flask_state.stores.base import Edit
from flask_state.stores.lmdb import layout
from flask_state.stores.lmdb import leasing
from flask_state.stores.lmdb import presence as presences
from flask_state.stores.lmdb import recovery
from flask_state.stores.lmdb.presence import Presence
from flask_state.stores.lmdb.sessions import LMDBSessionStore
from flask_state.testing import FakeClock
from flask_state.testing.items import create
from flask_state.testing.items import values
from flask_state.testing.leases import LEASE
from flask_state.testing.leases import facts_in
from flask_state.testing.leases import is_busy
from flask_state.testing.leases import lease
from flask_state.testing.leases import release

from .broken import another_boot
from .broken import aside
from .broken import behead
from .forked import Numbers
from .forked import fork
from .forked import kill
from .forked import status_of

monotonic = SystemClock.monotonic


@pytest.fixture
def store(path: pathlib.Path) -> t.Iterator[LMDBSessionStore]:
    store = LMDBSessionStore(path)
    yield store
    store.close()


@contextlib.contextmanager
def holder(
    store: LMDBSessionStore, locator: str, then: t.Callable[[int], object] = lambda fence: None
) -> t.Iterator[int]:
    """A child that takes the lease, does something with its fence, and stays; its process id."""
    taken = Numbers()

    def work() -> None:
        fence = lease(store, locator).facts.fence
        taken.tell(fence)
        then(fence)
        signal.pause()

    pid = fork(work)
    try:
        taken.hear()
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            kill(pid)
        taken.close()


# Processes that are gone


def test_the_lease_of_a_killed_process_is_free_at_once(store: LMDBSessionStore) -> None:
    """S14, S30: not when it runs out, 10 s later. Measured from before the kill."""
    locator = create(store, a=b"1")
    took = []
    for _ in range(5):
        with holder(store, locator) as pid:
            assert is_busy(store, locator)
            begun = monotonic()
            kill(pid)
            lease(store, locator)
            took.append(monotonic() - begun)
        release(store, locator, facts_in(store, locator).fence)
    print(f"free after {statistics.median(took) * 1e3:.2f} ms")
    assert min(took) < 0.05


def test_who_waits_for_a_killed_process_is_back_at_once(store: LMDBSessionStore) -> None:
    locator = create(store, a=b"1")
    took = []
    for _ in range(5):
        with holder(store, locator) as pid:
            killed: list[float] = []

            def kill_it(pid: int = pid, killed: list[float] = killed) -> None:
                killed.append(monotonic())
                os.kill(pid, signal.SIGKILL)

            timer = threading.Timer(0.03, kill_it)
            timer.start()
            store.wait(locator, facts_in(store, locator).fence, 60.0)
            took.append(monotonic() - killed[0])
            timer.join()
            os.waitpid(pid, 0)
        assert facts_in(store, locator).leased_until > SystemClock.time() + 1
        lease(store, locator)
        release(store, locator, facts_in(store, locator).fence)
    print(f"back after {statistics.median(took) * 1e3:.2f} ms")
    assert statistics.median(took) < 0.05


def test_the_lease_of_a_process_that_ended_is_free(store: LMDBSessionStore) -> None:
    locator = create(store, a=b"1")
    assert status_of(fork(lambda: lease(store, locator))) == 0
    lease(store, locator)


def test_the_lease_of_a_closed_store_is_free(path: pathlib.Path, store: LMDBSessionStore) -> None:
    """Nobody in that process will give it back."""
    locator = create(store, a=b"1")
    first = lease(store, locator).facts.fence
    store.close()
    assert lease(store, locator).facts.fence == first + 1


def test_the_lease_of_another_machine_run_is_free(
    path: pathlib.Path, store: LMDBSessionStore
) -> None:
    """The side file says nothing of the process, because the process is no more."""
    locator = create(store, a=b"1")
    mine = lease(store, locator).facts
    store.close()
    os.unlink(path / "presence")
    assert facts_in(store, locator) == mine
    lease(store, locator)


# Processes that are there


def test_a_stopped_process_loses_its_lease_by_time_alone(path: pathlib.Path) -> None:
    """S31: and what it sends when it goes on is refused whole."""
    clock = FakeClock()
    store = LMDBSessionStore(path, clock=clock)
    locator = create(store, a=b"1")
    refused, go = Numbers(), Numbers()

    def late(fence: int) -> None:
        go.hear()
        change = Change(items={"a": Edit(b"late", 1, True)}, lease=0)
        refused.tell(int(store.commit(locator, change, fence).refused == LOST))

    with holder(store, locator, late) as pid:
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
        assert is_busy(store, locator)
        clock.advance(LEASE - 0.1)
        assert is_busy(store, locator)
        clock.advance(0.1)
        fence = lease(store, locator).facts.fence
        go.tell(1)
        os.kill(pid, signal.SIGCONT)
        assert refused.hear()
        assert is_busy(store, locator)
        change = Change(items={"a": Edit(b"2", 1, True)}, lease=0)
        assert store.commit(locator, change, fence).refused is None
    assert values(store, locator) == {"a": b"2"}
    store.close()


def test_a_process_keeps_its_leases_when_it_forks(store: LMDBSessionStore) -> None:
    """Others see them as held after the fork, and the child is no holder of them."""
    locator = create(store, a=b"1")
    mine = lease(store, locator).facts
    for _ in range(2):
        busy = Numbers()
        pid = fork(lambda busy=busy: busy.tell(int(is_busy(store, locator))))  # type: ignore[misc]
        assert busy.hear()
        assert status_of(pid) == 0
        busy.close()
    assert is_busy(store, locator)
    assert lease(store, create(store, a=b"1")).facts.holder == mine.holder
    assert not release(store, locator, mine.fence).holder


def test_a_forked_child_does_not_keep_its_parents_leases(store: LMDBSessionStore) -> None:
    """It has a copy of every open file, and closes this one; it has a presence of its own."""
    locator, other = create(store, a=b"1"), create(store, a=b"1")
    child, ready = Numbers(), Numbers()

    def grandchild() -> None:
        lease(store, other)
        child.tell(os.getpid())
        signal.pause()

    def parent(fence: int) -> None:
        fork(grandchild)
        ready.tell(1)

    with holder(store, locator, parent) as pid:
        ready.hear()
        orphan = child.hear()
        assert is_busy(store, locator)
        kill(pid)
        try:
            lease(store, locator)
            assert is_busy(store, other)
        finally:
            os.kill(orphan, signal.SIGKILL)


def test_programs_started_by_the_holder_do_not_keep_its_leases(store: LMDBSessionStore) -> None:
    locator = create(store, a=b"1")
    started = Numbers()

    def start(fence: int) -> None:
        started.tell(subprocess.Popen(["sleep", "60"]).pid)

    with holder(store, locator, start) as pid:
        program = started.hear()
        kill(pid)
        try:
            assert not is_busy(store, locator)
        finally:
            os.kill(program, signal.SIGKILL)


def test_a_replaced_directory_has_presences_of_its_own(
    path: pathlib.Path, checked_here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that goes on after its data was replaced is seen in the new directory."""
    monkeypatch.setattr(recovery, "NOTICED_AFTER", 0.0)
    store = LMDBSessionStore(path)
    lease(store, create(store, a=b"1"))
    environment = store._access.join()
    other = Presence(str(path / "presence"))
    environment._reopen(environment._opened)  # type: ignore[arg-type]
    another_boot(path)
    behead(path)
    locator = create(store, a=b"1")
    assert aside(path)
    mine = lease(store, locator).facts
    other.open()
    assert not other.is_gone(mine.holder)
    store.close()
    assert other.is_gone(mine.holder)
    other.close()


@pytest.mark.parametrize("missing", ["_SET", "_ASK"])
def test_without_such_locks_nobody_is_known_to_be_gone(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Then a lease runs out, whatever became of its holder."""
    monkeypatch.setattr(presences, missing, None)
    clock = FakeClock()
    store = LMDBSessionStore(path, clock=clock)
    locator = create(store, a=b"1")
    assert status_of(fork(lambda: lease(store, locator))) == 0
    assert is_busy(store, locator)
    clock.advance(LEASE)
    lease(store, locator)
    store.close()


# What is written


def test_leases_that_nobody_gives_back_do_not_pile_up(
    store: LMDBSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store remembers what it wrote with a lease until it is given back, of so many."""
    monkeypatch.setattr(leasing, "MANY", 3)
    locators = [create(store, a=b"1") for _ in range(8)]
    fences = [lease(store, locator).facts.fence for locator in locators]
    assert len(store._granted) <= 3
    for locator, fence in zip(locators, fences, strict=True):
        release(store, locator, fence)
    assert not store._granted


def test_a_record_without_these_facts_loads_and_is_leased(store: LMDBSessionStore) -> None:
    """As an earlier version wrote it, whose facts ended with the end reason."""
    locator = create(store, a=b"1")
    key = layout.head_key(locator)

    def age(txn: t.Any) -> None:
        head = layout.read_head(key, txn.get(key))
        kept = ormsgpack.packb((head.item_count, head.due, *head.facts[:14]))
        txn.put(key, layout.frame(key, b"\x01" + kept))

    store._access.write("test", age)
    facts = facts_in(store, locator)
    assert (facts.holder, facts.leased_until, facts.wanted) == (b"", 0.0, False)
    assert (facts.owned_since, facts.browser, facts.address) == (0.0, "", "")
    mine = lease(store, locator)
    assert is_busy(store, locator)
    release(store, locator, mine.facts.fence)
