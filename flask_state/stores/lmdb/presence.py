"""Which processes are there, so that what a dead one held is free at once.

A process shows that it is there by a lock on one byte of a side file, at a random place among
2^62; that place is how it is known to the others. The lock goes with the process, whatever kills
that; it knows nothing of process numbers, so neither their reuse nor containers mislead anybody;
and asking for it takes a microsecond.
"""

from __future__ import annotations

import fcntl
import os
import struct
import typing as t

from ...core.tokens import random_bytes
from .locks import open_side_file

_SET: t.Final[int | None] = getattr(fcntl, "F_OFD_SETLK", None)
_ASK: t.Final[int | None] = getattr(fcntl, "F_OFD_GETLK", None)
"""Locks on parts of a file that belong to the open file; Linux has them."""

_FLOCK = struct.Struct("hhqqi4x")
"""The system's `struct flock`: type, whence, start, length, process."""
_PLACES = (1 << 62) - 1
_BYTES = 8
_UNSEEN = b"?"
"""Before a name that is no place: nobody can tell whether its process is gone."""


class Presence:
    """Shows that this process is there, and sees which others are.

    :param path: the side file; made where it is missing.

    Where the system has no such locks a process has a random name, and is never known to be
    gone. `open` and `close` are for whoever opens and closes the environment, `mine` is for the
    one writer, and `is_gone` for everybody.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1
        self._mine = b""

    def open(self) -> None:
        """Open the file. Where another one has taken its place, this process is a new one there.

        :raise OSError: it can't be opened.
        """
        if self._descriptor >= 0:
            try:
                if os.path.samestat(os.fstat(self._descriptor), os.stat(self._path)):
                    return
            except FileNotFoundError:
                pass
            self.close()
        self._descriptor = open_side_file(self._path)

    def close(self) -> None:
        """Be gone. In a forked child: let go of the parent's lock, which would outlive it."""
        descriptor, self._descriptor, self._mine = self._descriptor, -1, b""
        if descriptor >= 0:
            os.close(descriptor)

    def mine(self) -> bytes:
        """What this process is known by. Others see it from the first call on."""
        if not self._mine:
            self._mine = self._show()
        return self._mine

    def is_gone(self, process: bytes) -> bool:
        """Whether a process is known to have ended."""
        if process == self._mine or len(process) != _BYTES or _ASK is None:
            return False
        try:
            answer = fcntl.fcntl(self._descriptor, _ASK, _lock_at(process))
        except (OSError, ValueError):  # it was closed
            return False
        return bool(_FLOCK.unpack(answer)[0] == fcntl.F_UNLCK)

    def _show(self) -> bytes:
        place = (int.from_bytes(random_bytes(_BYTES), "big") & _PLACES).to_bytes(_BYTES, "big")
        if _SET is None:
            return _UNSEEN + place
        try:
            fcntl.fcntl(self._descriptor, _SET, _lock_at(place))
        except (OSError, ValueError):  # the file system has none, or the file was closed
            return _UNSEEN + place
        return place


def _lock_at(place: bytes) -> bytes:
    start = int.from_bytes(place, "big") & _PLACES
    return _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, 1, 0)
