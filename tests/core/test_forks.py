"""Locks and forks. Children are made in a process of their own, which has no threads but its."""

from __future__ import annotations

import subprocess
import sys

from flask_state.core.forks import fork_safe_lock
from tests.source import ROOT

_CHILD = """
import os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is the point here
from flask_state.core.forks import fork_safe_lock

def in_child(check):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if check() else 1)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) == 0
"""


def run(program: str) -> None:
    """Run a program after `_CHILD`; its assertions are ours."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD + program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr


def test_it_is_a_lock() -> None:
    lock = fork_safe_lock()
    with lock:
        assert lock.locked()
        assert not lock.acquire(blocking=False)
    assert not lock.locked()


def test_a_child_finds_a_lock_free_that_another_thread_held() -> None:
    run(
        """
lock, other = fork_safe_lock(), fork_safe_lock()
halves, held, go = [], threading.Event(), threading.Event()

def work():
    with lock:
        halves.append(1)
        held.set()
        go.wait(10)
        halves.append(2)

thread = threading.Thread(target=work)
thread.start()
held.wait(10)
threading.Timer(0.05, go.set).start()
# The fork waits for the lock, so that no change is half made.
assert in_child(lambda: lock.acquire(blocking=False) and halves == [1, 2])
assert lock.acquire(timeout=5) and other.acquire(timeout=5)
thread.join()
"""
    )


def test_the_parent_goes_on_with_its_locks() -> None:
    run(
        """
locks = [fork_safe_lock() for _ in range(20)]
for _ in range(3):
    assert in_child(lambda: all(lock.acquire(blocking=False) for lock in locks))
    assert not any(lock.locked() for lock in locks)
"""
    )


def test_a_child_may_fork_again() -> None:
    run(
        """
lock = fork_safe_lock()
def child():
    with lock:
        pass
    return in_child(lambda: lock.acquire(blocking=False))
assert in_child(child)
"""
    )


def test_forking_while_threads_take_the_locks_never_hangs() -> None:
    run(
        """
locks, stop = [fork_safe_lock() for _ in range(4)], threading.Event()

def work(index):
    while not stop.is_set():
        with locks[index]:
            pass
        fork_safe_lock()  # made and dropped meanwhile

threads = [threading.Thread(target=work, args=(index,), daemon=True) for index in range(4)]
for thread in threads:
    thread.start()
for _ in range(30):
    assert in_child(lambda: all(lock.acquire(timeout=5) for lock in locks))
stop.set()
"""
    )


def test_a_lock_that_nobody_has_is_forgotten() -> None:
    run(
        """
import gc
from flask_state.core import forks
before = len(forks._locks)
locks = [fork_safe_lock() for _ in range(10)]
assert len(forks._locks) == before + 10
del locks
gc.collect()
assert len(forks._locks) == before
"""
    )
