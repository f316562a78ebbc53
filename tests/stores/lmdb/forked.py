"""Processes for the tests of the LMDB engine."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import os
import select
import signal
import traceback
import typing as t
import warnings

_PATIENCE = 20.0
"""Seconds after which nobody waits for a child any more."""


def fork(work: cabc.Callable[[], object]) -> int:
    """Run `work` in a forked child, which ends with status 0 unless it raises; its process id."""
    with warnings.catch_warnings():
        # From Python 3.12 on a fork beside threads warns; that it is safe here is what we test.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def status_of(pid: int) -> int:
    """Wait for a child; 0 if it ended well, below 0 if a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill(pid: int) -> None:
    """End a child at once, wherever it is."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


class Numbers:
    """A pipe through which a child tells numbers."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()

    def tell(self, number: int) -> None:
        """Send a number; it is out when this returns."""
        os.write(self._write, number.to_bytes(8, "big"))

    def hear(self) -> int:
        """The next number. A child that died before it told one fails the test."""
        patience = _PATIENCE if os.get_blocking(self._read) else 0.0
        there = select.select([self._read], [], [], patience)[0]
        assert there or not patience, "the child says nothing"
        return int.from_bytes(os.read(self._read, 8), "big")

    def rest(self) -> t.Iterator[int]:
        """All numbers that are there and were not heard."""
        os.set_blocking(self._read, False)
        with contextlib.suppress(BlockingIOError):
            while number := os.read(self._read, 8):
                yield int.from_bytes(number, "big")
        self.close()

    def close(self) -> None:
        """Close both ends."""
        os.close(self._write)
        os.close(self._read)
