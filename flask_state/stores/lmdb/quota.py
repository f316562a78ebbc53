"""How many bytes the records may take."""

from __future__ import annotations

import typing as t

import lmdb

from .failures import NoRoom

_USABLE = 0.75
"""The part of the address space that may be used, where less of it was granted than asked for:
removing something from a full map needs pages as well."""


class Quota:
    """Bounds the pages in use, whatever the size of the file: that never shrinks.

    :param max_bytes: what all that is kept in the file may take together.
    :param reserved: tells the address space that was granted, in bytes.

    Asking the engine costs as much as reading an item. So one answer is good for a sixteenth
    of the room it found, and several processes may exceed the bound by some percent.
    """

    def __init__(self, max_bytes: int, reserved: t.Callable[[], int]) -> None:
        self.max_bytes = max_bytes
        self._reserved = reserved
        self._spare = 0

    def admit(self, txn: lmdb.Transaction[bytes], growth: int) -> None:
        """Let a change pass that adds `growth` bytes. One that adds nothing always passes.

        :raise NoRoom: that is more than there is room for.
        """
        if growth <= 0:
            return
        self._spare -= growth
        if self._spare >= 0:
            return
        pages = txn.stat()
        used = pages["branch_pages"] + pages["leaf_pages"] + pages["overflow_pages"]
        taken = used * pages["psize"]
        bound = min(self.max_bytes, int(_USABLE * self._reserved()))
        room = bound - taken - growth
        self._spare = max(0, room // 16)
        if room < 0:
            raise NoRoom(
                f"{taken:,} of {bound:,} bytes are taken; raise max_bytes in the URL, "
                "where the process's limits allow it, or shorten the idle timeout"
            )
