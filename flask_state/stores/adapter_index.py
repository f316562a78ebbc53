"""How `adapter.ByteSessionStore` changes a key, and how it finds records: by time and by owner.

A byte store can't list its keys. So the locators of what will have to be looked at are kept in
blobs of their own, changed by compare-and-set like everything else.
"""

from __future__ import annotations

import bisect
import collections
import collections.abc as cabc
import hashlib
import time
import typing as t
import zlib

from ..core import envelope
from ..core.codec import Codec
from ..core.sentinels import MISSING
from ..core.sentinels import Missing
from ..core.tokens import random_bytes
from ..errors import SerializationError
from ..errors import StoreError
from .base import ByteStore
from .base import DamagedRecord

DAY: t.Final = 86_400.0
"""Seconds for which a blob outlives its last use, so that nothing leaks where nobody sweeps."""

_TRIES: t.Final = 50
_FIRST_PAUSE = 1e-4
_LONGEST_PAUSE = 0.05
_CHECKSUM_BYTES = 4
_MINUTE = 60.0
_SETTLED = 2
"""Minutes after which nobody files under a minute any more."""

_codec = Codec()

T = t.TypeVar("T")

Entry = tuple[float, str]
"""When to look at a record, and its locator."""


class NewerBytes(Exception):
    """The bytes were written by a version of flask_state whose format is unknown to this one."""


class Step(t.NamedTuple, t.Generic[T]):
    """What shall become of the bytes under a key, and the answer once that is done."""

    answer: T
    value: bytes | Missing | None = None
    """New bytes; `MISSING` removes those there are; None leaves them."""
    ttl: float | None = None


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


def _readable(key: str, data: bytes | None) -> list[t.Any]:
    """What an index blob lists; nothing where it can't be read: records are listed anew in time."""
    try:
        return unframe(key, data) if data is not None else []
    except (NewerBytes, DamagedRecord):
        return []


class DueIndex:
    """When to look at which record.

    The entries of one minute share a blob, ``t.<minute>``; the blob ``t`` lists the minutes.
    An entry is an errand, not a fact: whoever looks, and finds a record that is not due, files
    another one. So an entry too many costs a look, and two of one record end as one.
    """

    def __init__(self, store: ByteStore) -> None:
        self._store = store

    def file(self, entries: cabc.Iterable[Entry], now: float) -> None:
        """Add entries. One whose time is over is due at once."""
        by_minute = collections.defaultdict(list)
        for when, locator in entries:
            by_minute[int(max(when, now) // _MINUTE)].append([when, locator])
        for minute, filed in by_minute.items():
            self._file(minute, filed, now)

    def due(self, now: float) -> cabc.Iterator[tuple[int, list[Entry]]]:
        """The minutes that have begun, each with its entries that are due, oldest first."""
        this = int(now // _MINUTE)
        for minute in self._minutes():
            if minute > this:
                return
            entries = sorted(each for each in self._entries(minute) if each[0] <= now)
            if entries:
                yield minute, entries
            elif minute < this - _SETTLED:
                self._change_minutes(lambda known, over=minute: [m for m in known if m != over])

    def strike(self, minute: int, entries: cabc.Collection[Entry]) -> None:
        """Remove entries that were seen to."""
        key, done = _minute_key(minute), set(entries)

        def remove(data: bytes | None) -> Step[None]:
            listed = _readable(key, data)
            left = [each for each in listed if tuple(each) not in done]
            if len(left) == len(listed):
                return Step(None)
            return Step(None, frame(key, left), DAY) if left else Step(None, MISSING)

        exchange(self._store, key, remove)

    def locators(self) -> set[str]:
        """All that are listed: every living record, and some that are not."""
        return {locator for minute in self._minutes() for _, locator in self._entries(minute)}

    def _file(self, minute: int, filed: list[list[t.Any]], now: float) -> None:
        key = _minute_key(minute)
        ttl = (minute + 1) * _MINUTE - now + DAY

        def add(data: bytes | None) -> Step[None]:
            if data is None:
                # First, because a minute without entries does no harm, and the reverse would.
                self._change_minutes(lambda known: _with(known, minute, now))
            return Step(None, frame(key, _readable(key, data) + filed), ttl)

        exchange(self._store, key, add)

    def _entries(self, minute: int) -> list[Entry]:
        key = _minute_key(minute)
        found = self._store.get(key)
        return [(when, locator) for when, locator in _readable(key, found and found[0])]

    def _minutes(self) -> list[int]:
        found = self._store.get(_MINUTES)
        return _readable(_MINUTES, found and found[0])

    def _change_minutes(self, change: cabc.Callable[[list[int]], list[int]]) -> None:
        def decide(data: bytes | None) -> Step[None]:
            known = _readable(_MINUTES, data)
            after = change(known)
            return Step(None, None if after == known else frame(_MINUTES, after))

        exchange(self._store, _MINUTES, decide)


class OwnerIndex:
    """Which records an owner has, and some that were the owner's.

    The blob ``o.<hash of the owner>`` lists locators, each with the time until which the record
    can't live without being listed again.
    """

    def __init__(self, store: ByteStore) -> None:
        self._store = store

    def add(self, owner: str, locator: str, until: float, now: float) -> None:
        """List a record, and drop those whose time is over."""
        key = _owner_key(owner)

        def decide(data: bytes | None) -> Step[None]:
            listed = {each: limit for each, limit in _readable(key, data) if limit > now}
            listed[locator] = max(until, listed.get(locator, until))
            return Step(None, _listing(key, listed), max(listed.values()) - now)

        exchange(self._store, key, decide)

    def remove(self, owner: str, locators: cabc.Collection[str], now: float) -> None:
        """List these no more. For records that never live again, so that no order matters."""
        key = _owner_key(owner)

        def decide(data: bytes | None) -> Step[None]:
            listed = dict(_readable(key, data))
            left = {each: until for each, until in listed.items() if each not in locators}
            if len(left) == len(listed):
                return Step(None)
            if not left:
                return Step(None, MISSING)
            return Step(None, _listing(key, left), max(*left.values(), now + 1.0) - now)

        exchange(self._store, key, decide)

    def locators(self, owner: str) -> list[str]:
        """The records that are listed."""
        key = _owner_key(owner)
        found = self._store.get(key)
        return [locator for locator, _ in _readable(key, found and found[0])]


_MINUTES = "t"


def _minute_key(minute: int) -> str:
    return f"{_MINUTES}.{minute}"


def _owner_key(owner: str) -> str:
    text = owner.encode("utf-8", "surrogatepass")
    return "o." + hashlib.blake2b(text, digest_size=16).hexdigest()


def _listing(key: str, listed: dict[str, float]) -> bytes:
    return frame(key, [[locator, until] for locator, until in listed.items()])


def _with(minutes: list[int], minute: int, now: float) -> list[int]:
    """The minutes with this one, without those whose entries have expired."""
    if minute in minutes:
        return minutes
    minutes = [each for each in minutes if (each + 1) * _MINUTE + DAY > now]
    bisect.insort(minutes, minute)
    return minutes
