"""What the engine's errors mean, and how they are told."""

from __future__ import annotations

import typing as t

import lmdb

from ...errors import StoreError

ENGINE: t.Final = "lmdb"

ERRORS: t.Final = (lmdb.Error, SystemError, OSError)
"""What the driver raises; `SystemError` comes from deleting in a damaged file."""

_FULL_CODES = frozenset({5, 28, 122})
"""EIO, which is what a full disk usually looks like to LMDB, ENOSPC and EDQUOT."""

_SUSPECT = (
    lmdb.BadTxnError,
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.VersionMismatchError,
    SystemError,
)


class NoRoom(Exception):
    """There is no room for what should be written; the message says what is full."""


def is_full(error: BaseException) -> bool:
    """Whether the disk, a disk quota or the reserved address space is used up."""
    code = getattr(error, "code", None) or getattr(error, "errno", None)
    return isinstance(error, lmdb.MapFullError) or code in _FULL_CODES


def is_suspect(error: BaseException) -> bool:
    """Whether an error means that the file may be damaged."""
    return isinstance(error, _SUSPECT)


def explain(error: BaseException) -> str:
    """One sentence about an error of the driver, for people."""
    if isinstance(error, lmdb.MapFullError):
        return f"the address space granted to this process is full ({error})"
    if is_full(error):
        return f"the disk is full or fails ({error})"
    if is_suspect(error):
        return f"the data file looks damaged and is checked at its next use ({error})"
    if isinstance(error, lmdb.LockError):
        return (
            f"its lock file can't be used ({error}); containers that share the directory must "
            "share their process numbers as well, and network file systems don't work"
        )
    if isinstance(error, lmdb.ReadersFullError):
        return f"more than 1,024 threads are reading at once ({error})"
    if isinstance(error, lmdb.MemoryError):
        return f"there is not enough address space ({error}); see the process's limits"
    if "already open" in str(error):
        return f"the application opened the data file by itself ({error})"
    return str(error)


def failed(operation: str, error: BaseException) -> StoreError:
    """The error to raise for one of the driver's."""
    return StoreError(explain(error), engine=ENGINE, operation=operation)
