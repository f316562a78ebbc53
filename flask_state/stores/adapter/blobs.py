"""The blobs of `ByteSessionStore`: how they are named, framed, and changed."""

from __future__ import annotations

import collections.abc as cabc
import hashlib
import time
import typing as t
import zlib

from ...core import envelope
from ...core.codec import Codec
from ...core.sentinels import MISSING
from ...core.sentinels import Missing
from ...core.tokens import random_bytes
from ...errors import SerializationError
from ...errors import StoreError
from ..base import ByteStore
from ..base import DamagedRecord
from ..base import Facts
from ..base import Item

_TRIES: t.Final = 50
_FIRST_PAUSE = 1e-4
_LONGEST_PAUSE = 0.05
_CHECKSUM_BYTES = 4
_LONGEST_PLAIN_NAME = 64
_FIELDS = len(Facts._fields)

_codec = Codec()
_new = tuple.__new__

T = t.TypeVar("T")


class NewerBytes(Exception):
    """The bytes were written by a version of flask_state whose format is unknown to this one."""


class Blob(t.NamedTuple):
    """All that is kept under a locator."""

    facts: Facts
    items: dict[str, Item]
    listed: float
    """The indexes lead to the record until then; before it lives longer, it is listed anew."""


class Step(t.NamedTuple, t.Generic[T]):
    """What shall become of the bytes under a key, and the answer once that is done."""

    answer: T
    value: bytes | Missing | None = None
    """New bytes; `MISSING` removes those there are; None leaves them."""
    ttl: float | None = None


def key_of(kind: str, name: str) -> str:
    """The key of something that has a name; a name that is not fit for keys is hashed."""
    if name.isascii() and name.isalnum() and len(name) <= _LONGEST_PLAIN_NAME:
        return f"{kind}.{name}"
    return hashed_key(kind, name)


def hashed_key(kind: str, name: str) -> str:
    """A key that doesn't show the name, which may be any text."""
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=20)
    return f"{kind}-{digest.hexdigest()}"


def exchange(store: ByteStore, key: str, decide: cabc.Callable[[bytes | None], Step[T]]) -> T:
    """Change the bytes under a key, and begin anew whenever somebody else was faster.

    :param decide: called with the bytes or None, at most `_TRIES` times.
    :return: the answer of the step that was done.
    :raise StoreError: every try came too late, though the pauses between them grew.
    """
    for tried in range(_TRIES):
        if tried:
            longest = min(_FIRST_PAUSE * 2**tried, _LONGEST_PAUSE)
            time.sleep(longest * random_bytes(1)[0] / 255)
        found = store.get(key)
        data, version = found if found is not None else (None, MISSING)
        step = decide(data)
        if step.value is None:
            return step.answer
        if step.value is MISSING:
            if version is MISSING or store.delete(key, version):
                return step.answer
        elif store.put(key, step.value, step.ttl, version) is not None:
            return step.answer
    raise StoreError(
        f"others changed the same bytes first, {_TRIES} times in a row",
        engine=store.engine,
        operation="put",
    )


def frame(key: str, value: list[t.Any]) -> bytes:
    """The bytes of a value: envelope, payload, and the CRC-32 of key and payload."""
    payload = _codec.dumps(value)
    checksum = zlib.crc32(payload, zlib.crc32(key.encode()))
    return b"".join((envelope.PLAIN, payload, checksum.to_bytes(_CHECKSUM_BYTES, "little")))


def unframe(key: str, data: bytes) -> list[t.Any]:
    """The value in such bytes.

    :raise NewerBytes: the envelope is of another version or has flags.
    :raise DamagedRecord: they fail their checksum or can't be read.
    """
    start = len(envelope.PLAIN)
    if data[:start] != envelope.PLAIN:
        raise NewerBytes
    payload = data[start:-_CHECKSUM_BYTES]
    checksum = int.from_bytes(data[-_CHECKSUM_BYTES:], "little")
    if zlib.crc32(payload, zlib.crc32(key.encode())) != checksum:
        raise DamagedRecord("the bytes fail their checksum")
    try:
        value = _codec.loads(payload)
    except SerializationError as error:
        raise DamagedRecord("the bytes can't be decoded") from error
    if type(value) is not list:
        raise DamagedRecord("the bytes hold something else")
    return value


def pack(key: str, record: Blob) -> bytes:
    """The bytes of a record."""
    items = [[name, *item] for name, item in record.items.items()]
    return frame(key, [record.listed, list(record.facts), items])


def unpack(key: str, data: bytes) -> Blob:
    """The record in such bytes. Facts that a later version added at their end are ignored.

    :raise NewerBytes: their format is unknown.
    :raise DamagedRecord: they can't be read.
    """
    try:
        listed, facts, rows = unframe(key, data)
        # As `Item(...)` does, in less than half the time: it is most of a load.
        items = {name: _new(Item, (value, version, at)) for name, value, version, at in rows}
        return Blob(Facts(*facts[:_FIELDS]), items, listed)
    except (ValueError, TypeError) as error:
        raise DamagedRecord("the record can't be read") from error


def readable(key: str, data: bytes | None) -> Blob | None:
    """The record in such bytes, or None where there is none that can be read."""
    try:
        return unpack(key, data) if data is not None else None
    except (NewerBytes, DamagedRecord):
        return None


def blank(now: float) -> Blob:
    """A record in place of one that can't be read, alive just long enough to be ended."""
    facts = Facts(proof=b"", created=now, touched=now, expires=now + 1.0, renewed=now)
    return Blob(facts, {}, facts.expires)
