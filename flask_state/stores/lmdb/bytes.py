"""Bytes under keys in the same file as the records."""

from __future__ import annotations

import os
import struct
import typing as t

from ...core.clock import Clock
from ...core.clock import SystemClock
from ...core.sentinels import ANY
from ...core.sentinels import MISSING
from ...core.sentinels import Any_
from ...core.sentinels import Missing
from ...core.tokens import random_bytes
from ..base import DamagedRecord
from . import layout
from . import records
from .failures import ENGINE
from .quota import Quota
from .sessions import DEFAULT_GATE_TIMEOUT
from .sessions import DEFAULT_MAX_BYTES
from .sharing import Access

_TRAILER = struct.Struct("<dQ")
"""Behind the bytes: when they expire, infinity for never, and their version."""
_FOREVER = float("inf")
_PAID = 2
"""Expired entries that each `put` removes; so there are never many more than living ones."""
_BATCH = 100


class _Kept(t.NamedTuple):
    value: bytes
    expires: float
    version: int


class LMDBByteStore:
    """A `ByteStore` in an LMDB environment; the arguments are those of `LMDBSessionStore`.

    Versions are random. Bytes that fail their checksum are not there.
    """

    engine: str = ENGINE
    shared: str = "machine"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Clock | None = None,
        durability: str = "process",
        max_bytes: int = DEFAULT_MAX_BYTES,
        gate_timeout: float = DEFAULT_GATE_TIMEOUT,
    ) -> None:
        self._clock = clock or SystemClock()
        self._access = Access(path, durability, gate_timeout)
        self._quota = Quota(max_bytes, self._access.reserved)

    def get(self, key: str) -> tuple[bytes, int] | None:
        kept = self._access.read("get", _find, layout.BYTES + key.encode())
        if kept is None or kept.expires <= self._clock.time():
            return None
        return kept.value, kept.version

    def put(
        self, key: str, value: bytes, ttl: float | None, if_version: int | Missing | Any_ = ANY
    ) -> int | None:
        now = self._clock.time()
        expires = _FOREVER if ttl is None else now + ttl
        kept = _Kept(value, expires, int.from_bytes(random_bytes(8), "big") >> 1)
        at = layout.BYTES + key.encode()
        return self._access.write_with_room(
            "put",
            lambda txn: _drop(txn, now, _BATCH),
            _put,
            at,
            kept,
            if_version,
            now,
            self._quota,
        )

    def delete(self, key: str, if_version: int | Any_ = ANY) -> bool:
        at = layout.BYTES + key.encode()
        return self._access.write("delete", _delete, at, if_version, self._clock.time())

    def close(self) -> None:
        self._access.close()


def _find(txn: records.Transaction, key: bytes) -> _Kept | None:
    framed = txn.get(key)
    if framed is None:
        return None
    try:
        body = layout.unframe(key, framed)
    except DamagedRecord:
        return None
    expires, version = _TRAILER.unpack_from(body, len(body) - _TRAILER.size)
    return _Kept(body[: -_TRAILER.size], expires, version)


def _put(
    txn: records.Transaction,
    key: bytes,
    kept: _Kept,
    if_version: int | Missing | Any_,
    now: float,
    quota: Quota,
) -> int | None:
    _drop(txn, now, _PAID)
    before = _find(txn, key)
    lives = before is not None and before.expires > now
    if if_version is MISSING:
        if lives:
            return None
    elif if_version is not ANY and not (lives and before and before.version == if_version):
        return None
    quota.admit(txn, len(kept.value) - (len(before.value) if before else -len(key)))
    if before is not None and before.expires != kept.expires:
        _unschedule(txn, key, before)
    body = kept.value + _TRAILER.pack(kept.expires, kept.version)
    txn.put(key, layout.frame(key, body))
    if kept.expires != _FOREVER:
        entry = layout.time_key(layout.BYTES_DUE, kept.expires, key[1:])
        txn.put(entry, layout.frame(entry, b""))
    return kept.version


def _delete(txn: records.Transaction, key: bytes, if_version: int | Any_, now: float) -> bool:
    before = _find(txn, key)
    if before is None:
        txn.delete(key)  # damaged, if it is there
        return False
    lives = before.expires > now
    if lives and if_version is not ANY and before.version != if_version:
        return False
    _unschedule(txn, key, before)
    txn.delete(key)
    return lives


def _drop(txn: records.Transaction, now: float, limit: int) -> int:
    """Remove up to `limit` expired entries; return how many were due."""
    end = layout.time_key(layout.BYTES_DUE, now, b"\xff")
    entries: list[bytes] = []
    for entry, _ in records.scan(txn, layout.BYTES_DUE):
        if entry > end or len(entries) == limit:
            break
        entries.append(entry)
    for entry in entries:
        expires, name = layout.time_in(entry)
        key = layout.BYTES + name
        kept = _find(txn, key)
        if kept is not None and kept.expires == expires:
            txn.delete(key)
        txn.delete(entry)
    return len(entries)


def _unschedule(txn: records.Transaction, key: bytes, kept: _Kept) -> None:
    if kept.expires != _FOREVER:
        txn.delete(layout.time_key(layout.BYTES_DUE, kept.expires, key[1:]))
