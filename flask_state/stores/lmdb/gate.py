"""One writer at a time, and nobody waits for ever.

LMDB's own writer lock knows no timeout: behind a stopped process every writer of the machine
would hang, deaf to signals, and gevent's hub with it. So whoever wants to write takes this gate
first, and LMDB's lock is free by then.
"""

from __future__ import annotations

import os
import threading
import typing as t
import weakref
from fcntl import LOCK_EX
from fcntl import LOCK_NB
from fcntl import LOCK_UN
from fcntl import flock

from .locks import holder
from .locks import open_side_file
from .locks import pauses
from .locks import try_lock

_NOW: t.Final = LOCK_EX | LOCK_NB
"""As `try_lock` and `unlock` do it, without their calls: every write comes through here."""


class GateTimeout(Exception):
    """Another writer held the gate for too long; the message says who."""


class GateClosed(Exception):
    """The gate was closed while somebody waited: the environment is opening again."""


class Gate:
    """The gate of one environment in one process.

    :param path: the side file whose lock excludes other processes. Threads of this process are
        excluded by an ordinary lock.
    """

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        self._closed = False
        self._descriptor = open_side_file(path)
        _gates.add(self)

    def enter(self, timeout: float) -> bool:
        """Come in as the only writer; `leave` must follow.

        :param timeout: seconds to wait at most.
        :return: whether another process had to be waited for.
        :raise GateTimeout: somebody else held it all the time.
        :raise GateClosed: there is a new gate to be asked.
        """
        lock = self._lock
        if not lock.acquire(False) and not lock.acquire(timeout=timeout):
            raise GateTimeout(f"another thread of this process has been writing for {timeout:g} s")
        try:
            if not self._closed:
                try:
                    flock(self._descriptor, _NOW)
                except BlockingIOError:
                    pass
                else:
                    return False
            for _ in pauses(timeout):
                if self._closed:
                    break
                if try_lock(self._descriptor):
                    return True
            if self._closed:
                raise GateClosed
            who = holder(self._descriptor)
            raise GateTimeout(f"{who} has held the right to write for {timeout:g} s")
        except BaseException:
            self._release()
            raise

    def leave(self) -> None:
        """Let the next writer in."""
        try:
            flock(self._descriptor, LOCK_UN)
        finally:
            self._lock.release()
            if self._closed:
                self.close()

    def close(self) -> None:
        """Send those who wait here away. The file is closed with the last of them."""
        self._closed = True
        if self._lock.acquire(False):
            self.abandon()
            self._lock.release()

    @property
    def empty(self) -> bool:
        """Whether a closed gate has seen the last of its visitors."""
        return self._descriptor < 0

    def abandon(self) -> None:
        """Close the file, whoever thinks to be inside: in a forked child nobody is."""
        self._closed = True
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _release(self) -> None:
        self._lock.release()
        if self._closed:
            self.close()


_gates: weakref.WeakSet[Gate] = weakref.WeakSet()


def abandon_all_gates() -> None:
    """In a forked child: let go of the copies of the parent's locks, which outlive the parent."""
    for gate in list(_gates):
        gate.abandon()
