"""Whole copies of the data, so that a power cut costs a minute and not everything.

Without a sync per commit a power cut may damage the file, however often it is synced in
between. A copy is written beside it, synced, and only then takes the place of the one before.
"""

from __future__ import annotations

import errno
import importlib
import logging
import os
import sys
import typing as t

from ...core.clock import SystemClock
from .failures import ERRORS
from .folder import Folder
from .locks import open_side_file
from .locks import try_lock

logger: logging.Logger = logging.getLogger("flask_state.stores.lmdb")

EVERY: float = 60.0
"""Seconds between two copies, while there are commits."""

_SOON = 1 / 30
"""The part of that after which a process makes its first copy at the earliest."""

now: t.Callable[[], float] = SystemClock.time


class Copier:
    """Makes a copy a minute after the one before, where there were commits since then.

    :param folder: where the copies are kept.
    :param copy: writes the data to a descriptor; returns False where it can't now.

    The work is done by a thread of its own that ends when every commit is copied. Of several
    processes one makes the copy, and the others see that it is recent.
    """

    def __init__(self, folder: Folder, copy: t.Callable[[int], bool]) -> None:
        self._folder = folder
        self._copy = copy
        self._awake = False
        self._written = 0.0

    def written(self) -> None:
        """A commit went through."""
        self._written = now()
        if not self._awake:
            self._awake = True
            start = _native("_thread", "start_new_thread")
            start(self._run, (_native("time", "sleep"),))

    def _run(self, sleep: t.Callable[[float], None]) -> None:
        # At once, almost, where the last one is old: not every process lives for a minute.
        pause: float | None = min(EVERY, max(_SOON * EVERY, self._made() + EVERY - now()))
        while pause is not None:
            sleep(pause)
            pause = self._step()
            if pause is None:
                self._awake = False
                if self._written > self._made():  # just now
                    self._awake = True
                    pause = EVERY

    def _step(self) -> float | None:
        """Make a copy if it is time; seconds until the next one, or None if there is no need."""
        made = self._made()
        if made > self._written:
            return None
        begun = now()
        if made <= begun < made + EVERY:
            return made + EVERY - begun
        try:
            if not self._make(begun):
                self._written = 0.0
        except ERRORS as error:
            logger.warning("%s could not be made: %s", self._folder.copy, error)
        return EVERY if self._written >= begun else None

    def _make(self, begun: float) -> bool:
        """Make a copy unless somebody else does; False if there is nothing to copy."""
        if self._folder.identity() is None:
            return False
        self._check_disk()
        new = self._folder.new_copy
        descriptor = open_side_file(new)
        try:
            if not try_lock(descriptor) or not os.path.samestat(os.fstat(descriptor), os.stat(new)):
                return True
            made = False
            try:
                made = self._write(descriptor, begun)
            finally:
                if not made:
                    os.unlink(new)
        finally:
            os.close(descriptor)
        return made

    def _write(self, descriptor: int, begun: float) -> bool:
        """Fill the new copy, have it on the disk, and only then put it in the place of the old."""
        os.ftruncate(descriptor, 0)
        if not self._copy(descriptor):
            return False
        os.fsync(descriptor)
        os.utime(descriptor, (begun, begun))
        os.rename(self._folder.new_copy, self._folder.copy)
        self._folder.sync()
        return True

    def _check_disk(self) -> None:
        """A copy must not take the room that commits need."""
        disk = os.statvfs(self._folder.path)
        if disk.f_bavail * disk.f_frsize < 2 * self._folder.size():
            raise OSError(errno.ENOSPC, "twice the size of the data is not free on its disk")

    def _made(self) -> float:
        """When the latest copy was begun."""
        try:
            return os.stat(self._folder.copy).st_mtime
        except FileNotFoundError:
            return 0.0


def _native(module: str, name: str) -> t.Any:
    """A function as it was before gevent replaced it: copying would hold up its hub."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None:
        return monkey.get_original(module, name)
    return getattr(importlib.import_module(module), name)
