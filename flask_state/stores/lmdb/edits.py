"""Edits made ready before the file is locked."""

from __future__ import annotations

import typing as t
import zlib

from ...core.tokens import random_bytes
from ..base import Change
from ..base import Edit
from . import layout

_pack = layout.TRAILER.pack


class PreparedEdit(t.NamedTuple):
    """An edit with everything that can be made of it before the file is locked."""

    edit: Edit
    key: bytes
    body: bytes
    flags: int
    checksum: int
    """Over key and body; what follows depends on what is stored."""
    chunks: list[tuple[bytes, bytes]]

    def frame(self, version: int, position: int) -> bytes:
        """The bytes of the item."""
        trailer = _pack(version, position, self.flags)
        checksum = zlib.crc32(trailer, self.checksum)
        return b"".join((self.body, trailer, checksum.to_bytes(4, "little")))


def prepare(locator: str, change: Change) -> dict[str, PreparedEdit]:
    """Make the keys and bytes of a change's items."""
    prefix = layout.head_key(locator) + b"."
    return {name: _prepare(prefix, name, edit) for name, edit in change.items.items()}


def _prepare(prefix: bytes, name: str, edit: Edit) -> PreparedEdit:
    key, fits = layout.named_key(prefix, name)
    body = edit.value
    if body is None:
        return PreparedEdit(edit, key, b"", 0, 0, [])
    flags = 0
    chunks = []
    if len(body) > layout.MAX_WHOLE:
        flags |= layout.CHUNKED
        ident = random_bytes(8)
        start = layout.chunk_prefix(prefix[1:-1]) + ident
        for number, at in enumerate(range(0, len(body), layout.CHUNK_BYTES)):
            chunk = start + number.to_bytes(4, "big")
            part = body[at : at + layout.CHUNK_BYTES]
            chunks.append((chunk, layout.frame(chunk, part)))
        body = layout.pack_chunks(ident, len(body))
    if not fits:
        flags |= layout.LONG_NAME
        body = layout.join_name(body, name)
    return PreparedEdit(edit, key, body, flags, zlib.crc32(body, zlib.crc32(key)), chunks)
