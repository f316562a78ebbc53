"""Keys and values in the file.

Keys start with a byte that says what they are; there are no named databases:

===== ============================= ===============================================
``s`` locator                       head of a record: its facts
``s`` locator ``.`` item name       an item, beside its head: one page holds both
``c`` locator, id, number           a part of a value above 64 KB
``x`` time, locator                 when to look whether a record has expired
``o`` hash of the owner, locator    records by owner
``n`` name                          a note
``b`` key, ``y`` time, key          bytes of the byte store, and when they expire
===== ============================= ===============================================

Every value ends with the CRC-32 of its key and itself, so a value under a wrong key fails like
a changed one; over a short value it costs a third of a keyed BLAKE2b and over 10 KB a fifth.
Appending a CRC makes the CRC of the whole a constant, so that a check cuts nothing out.
"""

from __future__ import annotations

import hashlib
import struct
import typing as t
import zlib

import ormsgpack

from ..base import DamagedRecord
from ..base import Facts

HEAD: t.Final = b"s"
CHUNK: t.Final = b"c"
DUE: t.Final = b"x"
OWNER: t.Final = b"o"
NOTE: t.Final = b"n"
BYTES: t.Final = b"b"
BYTES_DUE: t.Final = b"y"

VALID: t.Final = 0x2144DF1C
"""The CRC-32 of anything followed by its own CRC-32, low byte first."""

TRAILER: t.Final = struct.Struct("<QQB")
"""Behind an item's bytes: version, position, flags."""
TAIL: t.Final = TRAILER.size + 4
LONG_NAME: t.Final = 1
CHUNKED: t.Final = 2

MAX_KEY = 511
CHUNK_BYTES: t.Final = 15 * 4096 - 16 - 4
"""With the page header and the checksum a part fills 15 pages."""
MAX_WHOLE: t.Final = 64 * 1024

new: t.Final = tuple.__new__
"""Makes a named tuple in two thirds of the time that calling its class takes."""

_FORMAT = 1
"""Of a head. Another one is of a version of flask_state that this one can't read."""
_FORMAT_BYTE = bytes([_FORMAT])
_HASH_BYTES = 32
_LENGTH = struct.Struct("<I")
_TIME = struct.Struct(">d")
_CHUNKS = struct.Struct("<8sQ")
_FIELDS = len(Facts._fields)
_OWNER = Facts._fields.index("owner")


class NewerRecord(Exception):
    """A head was written by a version of flask_state whose format is unknown to this one."""


class Head(t.NamedTuple):
    """The facts of a record and what only this engine needs."""

    facts: Facts
    item_count: int
    """How many items the record has."""
    due: float
    """The time in the record's entry among those that are due; never after it expires."""


class Stored(t.NamedTuple):
    """An item as it is in the file."""

    version: int
    position: int
    flags: int
    body: bytes
    """The value or, by the flags, where its parts are; then, by the flags, the item's name."""


# Keys


def head_key(locator: str) -> bytes:
    """The key of a record's head; every key of an item starts with it too."""
    return HEAD + locator.encode()


def named_key(prefix: bytes, name: str) -> tuple[bytes, bool]:
    """The key of something that has a name, and whether the name fits into it.

    Names that don't fit are cut and end with their hash. Such keys have the full length, and
    no other key has.
    """
    text = name.encode("utf-8", "surrogatepass")
    if len(prefix) + len(text) < MAX_KEY:
        return prefix + text, True
    digest = hashlib.blake2b(text, digest_size=_HASH_BYTES).digest()
    return prefix + text[: MAX_KEY - len(prefix) - _HASH_BYTES] + digest, False


def time_key(prefix: bytes, when: float, what: bytes) -> bytes:
    """A key that sorts by time: positive floats sort like their big-endian bytes."""
    return prefix + _TIME.pack(when) + what


def time_in(key: bytes) -> tuple[float, bytes]:
    """The time of such a key, and what it is about."""
    return _TIME.unpack_from(key, 1)[0], key[1 + _TIME.size :]


def owner_prefix(owner: str) -> bytes:
    """What the entries of an owner start with."""
    text = owner.encode("utf-8", "surrogatepass")
    return OWNER + hashlib.blake2b(text, digest_size=16).digest()


def chunk_prefix(locator: bytes) -> bytes:
    """What the parts of all large values of a record start with."""
    return CHUNK + locator


# Values


def frame(key: bytes, body: bytes) -> bytes:
    """A value with its checksum."""
    return body + zlib.crc32(body, zlib.crc32(key)).to_bytes(4, "little")


def unframe(key: bytes, value: bytes) -> bytes:
    """The value without its checksum.

    :raise DamagedRecord: it doesn't match.
    """
    if zlib.crc32(value, zlib.crc32(key)) != VALID:
        raise DamagedRecord("a value fails its checksum")
    return value[:-4]


def pack_head(key: bytes, facts: Facts, item_count: int, due: float) -> bytes:
    """A head as it is kept: format, then count, due and the facts as an array.

    An owner may be any text; where it is none that UTF-8 has, its bytes are kept.
    """
    try:
        packed = ormsgpack.packb((item_count, due, *facts))
    except TypeError:
        owner = (facts.owner or "").encode("utf-8", "surrogatepass")
        packed = ormsgpack.packb((item_count, due, *facts[:_OWNER], owner, *facts[_OWNER + 1 :]))
    return frame(key, _FORMAT_BYTE + packed)


def read_head(key: bytes, value: bytes) -> Head:
    """A head from its bytes.

    Facts that are missing at the end get their defaults, and those that a later version added
    there are ignored: where that would be wrong, the format has another number.

    :raise DamagedRecord: they fail their checksum or make no sense.
    :raise NewerRecord: their format is unknown.
    """
    if zlib.crc32(value, zlib.crc32(key)) != VALID:
        raise DamagedRecord("the facts fail their checksum")
    if value[0] != _FORMAT:
        raise NewerRecord(f"the facts have format {value[0]}")
    try:
        fields = ormsgpack.unpackb(value[1:-4])
        if type(fields[_OWNER + 2]) is bytes:
            fields[_OWNER + 2] = fields[_OWNER + 2].decode("utf-8", "surrogatepass")
        if len(fields) == _FIELDS + 2:
            facts = new(Facts, fields[2:])
        else:
            facts = Facts(*fields[2 : _FIELDS + 2])
        return new(Head, (facts, fields[0], fields[1]))
    except (ValueError, TypeError, IndexError) as error:
        raise DamagedRecord("the facts can't be read") from error


def read_stored(key: bytes, value: bytes) -> Stored:
    """An item from its bytes.

    :raise DamagedRecord: they fail their checksum.
    """
    if zlib.crc32(value, zlib.crc32(key)) != VALID or len(value) < TAIL:
        raise DamagedRecord("an item fails its checksum")
    version, position, flags = TRAILER.unpack_from(value, len(value) - TAIL)
    return Stored(version, position, flags, value[:-TAIL])


def split_name(stored: Stored) -> tuple[str, bytes]:
    """The name that was too long for the key, and the rest of the body."""
    end = len(stored.body) - _LENGTH.size
    length = _LENGTH.unpack_from(stored.body, end)[0]
    name = stored.body[end - length : end]
    return name.decode("utf-8", "surrogatepass"), stored.body[: end - length]


def join_name(body: bytes, name: str) -> bytes:
    """The body of an item whose name is too long for its key."""
    text = name.encode("utf-8", "surrogatepass")
    return body + text + _LENGTH.pack(len(text))


def pack_chunks(ident: bytes, length: int) -> bytes:
    """The body of an item whose value is in parts: their id, 8 bytes, and the value's length."""
    return _CHUNKS.pack(ident, length)


def read_chunks(body: bytes) -> tuple[bytes, int]:
    """The id of the parts and the value's length."""
    ident, length = _CHUNKS.unpack_from(body)
    return ident, length
