"""How many bytes the records may take."""

from __future__ import annotations

import lmdb

from .failures import NoRoom


class Quota:
    """Bounds the pages in use, whatever the size of the file: that never shrinks.

    :param max_bytes: what all that is kept in the file may take together.

    Asking the engine costs as much as reading an item. So one answer is good for a sixteenth
    of the room it found, and several processes may exceed the bound by some percent.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
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
        room = self.max_bytes - taken - growth
        self._spare = max(0, room // 16)
        if room < 0:
            raise NoRoom(
                f"{taken:,} of {self.max_bytes:,} bytes are taken; "
                "raise max_bytes in the URL or shorten the idle timeout"
            )
