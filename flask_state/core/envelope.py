"""The one frame around bytes that are kept or sent: version, flags, key id, payload.

Layout: byte 0 the version, 1 today; byte 1 the flags; with `SEALED`, four bytes of key id;
then the payload. A reader that meets a version or a flag it doesn't know treats the bytes as
absent. Nothing ever guesses a format.
"""

from __future__ import annotations

import typing as t

VERSION: t.Final = 1
SEALED: t.Final = 1
COMPRESSED: t.Final = 2
KEY_ID_BYTES: t.Final = 4

PLAIN: t.Final = bytes([VERSION, 0])
"""All there is around a payload without flags, which is the case of every item of a session."""


_KNOWN = SEALED | COMPRESSED


class Opened(t.NamedTuple):
    """What an envelope holds."""

    flags: int
    key_id: bytes
    payload: bytes


def wrap(payload: bytes, flags: int = 0, key_id: bytes = b"") -> bytes:
    """Put an envelope around a payload.

    :param key_id: exactly `KEY_ID_BYTES` where `flags` has `SEALED`, else nothing.
    """
    if len(key_id) != (KEY_ID_BYTES if flags & SEALED else 0):
        raise ValueError("a sealed envelope, and no other, has a key id")
    return bytes([VERSION, flags]) + key_id + payload


def unwrap(data: bytes) -> Opened | None:
    """What is in an envelope; None where the version or a flag is unknown or bytes are missing."""
    if len(data) < 2 or data[0] != VERSION or data[1] & ~_KNOWN:
        return None
    flags = data[1]
    start = 2 + (KEY_ID_BYTES if flags & SEALED else 0)
    if len(data) < start:
        return None
    return Opened(flags, data[2:start], data[start:])
