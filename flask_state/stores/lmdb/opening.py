"""Opening the engine's environment."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import typing as t

import lmdb

from ...core.clock import SystemClock
from ...errors import StoreError
from . import boot
from .failures import ENGINE
from .failures import is_full
from .folder import Folder
from .gate import Gate
from .locks import try_lock

monotonic: t.Callable[[], float] = SystemClock.monotonic

LOOK_EVERY: t.Final = 1.0
"""Seconds after which a process looks whether its data was replaced."""

_GIB: t.Final = 1 << 30
_RESERVATIONS = tuple(size * _GIB for size in (1024, 256, 64, 16, 4, 1))
"""Address space to ask for, until it is granted. It costs nothing that is not used, and one
size for good spares all the ways in which resizing fails between processes."""
_MAX_READERS = 1024


class Damaged(Exception):
    """The data can't be used as it is and must be checked."""


@dataclasses.dataclass(slots=True)
class Opened:
    """An environment this process has open."""

    env: lmdb.Environment
    gate: Gate
    in_use: int
    """A descriptor of the data file; its shared lock says that somebody has it open."""
    identity: tuple[int, int] | None
    pid: int
    look_at: float
    """The monotonic time at which to look whether the data was replaced."""

    def close(self) -> None:
        """Close all of it. No transaction may be running."""
        self.gate.close()
        self.env.close()
        self.leave()

    def leave(self) -> None:
        """Let go of the data file, but not of the environment."""
        descriptor, self.in_use = self.in_use, -1
        if descriptor >= 0:
            os.close(descriptor)


def open_folder(folder: Folder, durable: bool) -> Opened:
    """Open the environment in a directory that is locked and was checked where it had to be.

    :param durable: every commit waits for the disk.
    :raise Damaged: the file is no environment any more, or is shorter than its pages.
    :raise StoreError: it has another format.
    :raise lmdb.Error: whatever else the engine has against it.
    """
    env = _open_environment(folder.path, durable)
    in_use = -1
    try:
        _check(env, folder)
        env.reader_check()
        in_use = os.open(folder.data, os.O_RDONLY | os.O_CLOEXEC)
        if durable:
            _settle(env, folder, in_use)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(folder.copy)  # it would be older every day
        else:
            boot.mark_in_use(folder)
        try_lock(in_use, shared=True)
        gate = Gate(folder.gate)
    except BaseException:
        env.close()
        if in_use >= 0:
            os.close(in_use)
        raise
    look_at = monotonic() + LOOK_EVERY
    return Opened(env, gate, in_use, folder.identity(), os.getpid(), look_at)


def may_be_damaged(error: BaseException) -> bool:
    """Whether a failure to open may come from the data, and not from its surroundings."""
    if isinstance(error, (lmdb.LockError, lmdb.MemoryError, lmdb.ReadonlyError, OSError)):
        return False
    return not is_full(error) and "already open" not in str(error)


def settle_and_leave(opened: Opened, folder: Folder) -> None:
    """Say that the data is clean if nobody else has it open. The directory must be locked."""
    _settle(opened.env, folder, opened.in_use)
    opened.leave()


def _settle(env: lmdb.Environment, folder: Folder, in_use: int) -> None:
    if try_lock(in_use) and not boot.is_clean(folder):
        env.sync(True)
        boot.mark_clean(folder)


def _open_environment(path: str, durable: bool) -> lmdb.Environment:
    for size in _RESERVATIONS:
        try:
            return lmdb.open(
                path,
                map_size=size,
                mode=0o700,
                max_readers=_MAX_READERS,
                max_spare_txns=1,
                sync=durable,
                metasync=durable,
            )
        except lmdb.MemoryError:
            if size == _RESERVATIONS[-1]:
                raise
    raise AssertionError("unreachable")


def _check(env: lmdb.Environment, folder: Folder) -> None:
    if env.lib_version()[:2] != (0, 9):
        raise StoreError(
            f"{folder.data} was made by another generation of LMDB; "
            "is LMDB_DEFAULT_LIB_VERSION set?",
            engine=ENGINE,
            operation="open",
        )
    pages = env.info()["last_pgno"] + 1
    if folder.size() < pages * env.stat()["psize"]:
        raise Damaged(f"{folder.data} is shorter than its {pages} pages")
