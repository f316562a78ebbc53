"""Whether the data was written to the disk before the machine stopped.

Without a sync per commit the data outlives every process, but not the machine. So the directory
says since which boot the data is in use, or that it is clean; after another boot what is not
clean is checked before it is used.
"""

from __future__ import annotations

import contextlib
import os

from .folder import Folder
from .folder import write_file

BOOT_ID = "/proc/sys/kernel/random/boot_id"
_CLEAN = b"clean"


def this_boot() -> bytes:
    """A name for the time since the machine was started.

    Where the system has none all boots have the same name: damage is then found by those who
    stumble over it.
    """
    try:
        with open(BOOT_ID, "rb") as file:
            return file.read().strip()
    except OSError:
        return b"unknown"


def needs_check(folder: Folder) -> bool:
    """Whether the data must be looked through before it is used."""
    if os.path.exists(folder.suspect):
        return True
    state = _read(folder)
    if state is None:
        return folder.size() > 0
    if os.path.exists(folder.data) and folder.size() == 0:
        return True  # the engine would take it for a new one
    return state not in (_CLEAN, this_boot())


def is_clean(folder: Folder) -> bool:
    """Whether all of the data is on the disk and nobody writes without syncing."""
    return _read(folder) == _CLEAN


def mark_in_use(folder: Folder) -> None:
    """Say that from now on the data is ahead of the disk. Before the first such commit."""
    boot = this_boot()
    if _read(folder) != boot:
        write_file(folder.boot, boot)
        folder.sync()


def mark_clean(folder: Folder) -> None:
    """Say that all of the data is on the disk."""
    write_file(folder.boot, _CLEAN)


def mark_suspect(folder: Folder, why: str) -> None:
    """Have the data checked before it is opened next. If that can't be said, nothing is."""
    with contextlib.suppress(OSError):
        write_file(folder.suspect, why.encode())


def clear_suspect(folder: Folder) -> None:
    """The data was checked."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(folder.suspect)


def _read(folder: Folder) -> bytes | None:
    try:
        with open(folder.boot, "rb") as file:
            return file.read(200).strip()
    except FileNotFoundError:
        return None
