"""Locks between processes: `flock`, asked for and never waited for inside the kernel.

A lock of this kind belongs to the open file, so it goes with its process whatever kills that,
closing another handle of the same file doesn't drop it, and two handles in one process exclude
each other. (The same is true of `F_OFD_SETLK`; that takes almost twice the time, exists on
Linux alone, and the system doesn't tell who holds it.) Waiting is a loop of short sleeps: it
has an end, signals get through, and under gevent the other greenlets run.
"""

from __future__ import annotations

import collections.abc as cabc
import fcntl
import os
import time
import typing as t

from ...core.clock import SystemClock

monotonic: t.Callable[[], float] = SystemClock.monotonic

_FIRST_PAUSE = 50e-6
_LONGEST_PAUSE = 2e-3


def open_side_file(path: str) -> int:
    """Open a file that is only there to be locked, and make it where it is missing.

    :return: a descriptor that programs started by this process don't inherit.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.open(path, flags, 0o600)


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take the lock if it is free now. Taken again, it changes between shared and exclusive."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(descriptor: int) -> None:
    """Give the lock back, also where a child being started holds a copy of the descriptor."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)


def pauses(timeout: float) -> cabc.Iterator[None]:
    """Yield at once, and again after every sleep of 50 us to 2 ms, for `timeout` seconds."""
    end = monotonic() + timeout
    pause = _FIRST_PAUSE
    yield
    while (left := end - monotonic()) > 0:
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, _LONGEST_PAUSE)
        yield


def holder(descriptor: int) -> str:
    """Who holds a lock on this file, for people: ``"process 4711"``, or less where unknown."""
    inode = f":{os.fstat(descriptor).st_ino}"
    try:
        with open("/proc/locks", encoding="ascii") as table:
            rows = [line.split() for line in table]
    except OSError:
        rows = []
    for row in rows:
        # "1: FLOCK ADVISORY WRITE 4711 08:01:1234 0 EOF"; waiters have "->" as second word.
        if row[1:4] == ["FLOCK", "ADVISORY", "WRITE"] and row[5].endswith(inode) and row[4] != "0":
            return f"process {row[4]}"
    return "another process"
