"""Checks data that may be damaged and, where it is, starts again from the latest copy."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil

from ...errors import StoreError
from . import boot
from . import verify
from .failures import ENGINE
from .folder import Folder
from .gate import Gate
from .gate import GateTimeout
from .locks import pauses
from .locks import try_lock

logger: logging.Logger = logging.getLogger("flask_state.stores.lmdb")

NOTICED_AFTER = 1.5
"""Seconds after which every process that writes has noticed that its data was replaced."""


def recover(folder: Folder, timeout: float) -> None:
    """Check the data and keep it, or set it aside and put the latest copy in its place.

    Called with the directory locked. Afterwards it may be another one. No process writes
    meanwhile; those that have the data open go on reading it until they notice.

    Where the structure is sound and a few values are not, the data is only given up for a copy
    without any fault: otherwise the records with those values say so when they are loaded.

    :param timeout: seconds to wait for a writer at most.
    :raise StoreError: a writer doesn't end, or the data can't be set aside.
    """
    gate = Gate(folder.gate)
    try:
        gate.enter(timeout)
    except GateTimeout as error:
        raise StoreError(
            f"it must be checked, and {error}", engine=ENGINE, operation="open"
        ) from None
    try:
        _recover(folder)
    except OSError as error:
        raise StoreError(
            f"{folder.path} must be checked or set aside: {error}", engine=ENGINE, operation="open"
        ) from error
    finally:
        gate.leave()
        gate.close()


def _recover(folder: Folder) -> None:
    copied = os.path.exists(folder.copy) and verify.inspect_apart(folder.copy).sound
    if not os.path.exists(folder.data):
        if copied:
            os.rename(folder.copy, folder.data)
            logger.error("%s was missing; the latest copy is used instead", folder.data)
        return _accept(folder)
    findings = verify.inspect_apart(folder.data)
    if findings.sound:
        logger.info("%s was checked and is sound", folder.data)
        return _accept(folder)
    if not findings.pages and not copied:
        logger.error("%d values in %s are damaged", findings.values, folder.data)
        return _accept(folder)
    what = findings.pages or f"{findings.values} values fail their checksum"
    aside = _set_aside(folder, copied)
    logger.error(
        "%s was damaged (%s) and is kept as %s; %s",
        folder.path,
        what,
        aside,
        "the latest copy is used instead" if copied else "it starts empty",
    )
    return None


def _accept(folder: Folder) -> None:
    """Go on with the data as it is."""
    boot.mark_in_use(folder)
    boot.clear_suspect(folder)


def _set_aside(folder: Folder, use_copy: bool) -> str:
    """Replace the data by its copy, or by nothing; return where the damaged data is kept.

    The whole directory is renamed and a new one put in its place. Where that can't be done,
    because it is a mount point or its parent is not ours, its files move into one inside it.
    """
    old = os.open(folder.data, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            aside = _replace_directory(folder, use_copy)
        except OSError:
            aside = _move_files(folder, use_copy)
        # Who still has the old data open must not write to it: they wait at the gate, which is
        # ours, and look at the directory again when they come through.
        for _ in pauses(NOTICED_AFTER):
            if try_lock(old):
                break
    finally:
        os.close(old)
    return aside


def _replace_directory(folder: Folder, use_copy: bool) -> str:
    """Prepare a new directory beside the old one, then rename both.

    A process killed between the renames leaves the new one for `Folder.prepare` to find.
    """
    fresh = Folder(folder.replacement)
    shutil.rmtree(fresh.path, ignore_errors=True)
    os.mkdir(fresh.path, 0o700)
    try:
        if use_copy:
            os.link(folder.copy, fresh.data)
        boot.mark_in_use(fresh)
        fresh.sync()
        aside = _free_name(f"{folder.path}.damaged-")
        os.rename(folder.path, aside)
    except OSError:
        shutil.rmtree(fresh.path)
        raise
    with contextlib.suppress(FileNotFoundError):  # somebody found it first
        os.rename(fresh.path, folder.path)
    if use_copy:
        os.unlink(Folder(aside).copy)  # it is in use now
    return aside


def _move_files(folder: Folder, use_copy: bool) -> str:
    """Move the files of the environment out of the way, the lock file first: one left behind
    would belong to the data that is gone. The suspicion stays until the copy is in place."""
    boot.mark_suspect(folder, "it is being set aside")
    aside = _free_name(os.path.join(folder.path, "damaged-"))
    os.mkdir(aside, 0o700)
    with contextlib.suppress(FileNotFoundError):
        os.rename(folder.lock_file, Folder(aside).lock_file)
    os.rename(folder.data, Folder(aside).data)
    if use_copy:
        os.rename(folder.copy, folder.data)
    _accept(folder)
    return aside


def _free_name(start: str) -> str:
    number = 1
    while os.path.lexists(f"{start}{number}"):
        number += 1
    return f"{start}{number}"
