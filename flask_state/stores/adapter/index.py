"""How `ByteSessionStore` finds records: by the time to look at them, and by owner.

A byte store can't list its keys. So the locators are kept in blobs of their own, changed by
compare-and-set like everything else.
"""

from __future__ import annotations

import bisect
import collections
import collections.abc as cabc
import functools
import typing as t

from ...core.sentinels import MISSING
from ..base import ByteStore
from ..base import DamagedRecord
from .blobs import NewerBytes
from .blobs import Step
from .blobs import exchange
from .blobs import frame
from .blobs import hashed_key
from .blobs import unframe

DAY: t.Final = 86_400.0
"""Seconds by which a blob outlives what it is about, so that nothing leaks where nobody sweeps."""

_MINUTES = "t"
_MINUTE = 60.0
_SETTLED = 2
"""Minutes after which nobody files under a minute any more."""

Entry = tuple[float, str]
"""When to look at a record, and its locator."""


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
                self._change_minutes(functools.partial(_without, minute))

    def strike(self, minute: int, entries: cabc.Iterable[Entry], now: float) -> None:
        """Remove entries that were seen to."""
        key, done = _minute_key(minute), set(entries)

        def remove(data: bytes | None) -> Step[None]:
            listed = _readable(key, data)
            left = [each for each in listed if tuple(each) not in done]
            if len(left) == len(listed):
                return Step(None)
            if not left:
                return Step(None, MISSING)
            return Step(None, frame(key, left), _end(minute) - now)

        exchange(self._store, key, remove)

    def locators(self) -> set[str]:
        """All that are listed: every living record, and some that are not."""
        return {locator for minute in self._minutes() for _, locator in self._entries(minute)}

    def _file(self, minute: int, filed: list[list[t.Any]], now: float) -> None:
        key = _minute_key(minute)
        ttl = _end(minute) - now

        def add(data: bytes | None) -> Step[None]:
            if data is None:
                # First, because a minute without entries does no harm, and the reverse would.
                self._change_minutes(functools.partial(_with, minute, now))
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

    The blob ``o-<hash of the owner>`` lists locators, each with the time until which the record
    can't live without being listed again.
    """

    def __init__(self, store: ByteStore) -> None:
        self._store = store

    def add(self, owner: str, locator: str, until: float, now: float) -> None:
        """List a record."""

        def add(listed: dict[str, float]) -> None:
            listed[locator] = max(until, listed.get(locator, until))

        self._change(owner, now, add)

    def remove(self, owner: str, locators: cabc.Iterable[str], now: float) -> None:
        """List these no more. For records that never live again, so that no order matters."""

        def remove(listed: dict[str, float]) -> None:
            for locator in locators:
                listed.pop(locator, None)

        self._change(owner, now, remove)

    def locators(self, owner: str) -> list[str]:
        """The records that are listed."""
        key = hashed_key("o", owner)
        found = self._store.get(key)
        return [locator for locator, _ in _readable(key, found and found[0])]

    def _change(
        self, owner: str, now: float, change: cabc.Callable[[dict[str, float]], None]
    ) -> None:
        key = hashed_key("o", owner)

        def decide(data: bytes | None) -> Step[None]:
            before = _readable(key, data)
            listed = {locator: until for locator, until in before if until > now}
            change(listed)
            after = [[locator, until] for locator, until in listed.items()]
            if after == before:
                return Step(None)
            if not after:
                return Step(None, MISSING)
            return Step(None, frame(key, after), max(listed.values()) - now)

        exchange(self._store, key, decide)


def _readable(key: str, data: bytes | None) -> list[t.Any]:
    """What an index blob lists; nothing where it can't be read: records are listed anew in time.

    A newer format must have keys of its own, or else processes of both versions lose entries.
    """
    try:
        return unframe(key, data) if data is not None else []
    except (NewerBytes, DamagedRecord):
        return []


def _minute_key(minute: int) -> str:
    return f"{_MINUTES}.{minute}"


def _end(minute: int) -> float:
    """When the entries of a minute expire: a day after the last record they may lead to."""
    return (minute + 1) * _MINUTE + 2 * DAY


def _with(minute: int, now: float, minutes: list[int]) -> list[int]:
    """The minutes and this one, without those whose entries have expired."""
    if minute in minutes:
        return minutes
    minutes = [each for each in minutes if _end(each) > now]
    bisect.insort(minutes, minute)
    return minutes


def _without(minute: int, minutes: list[int]) -> list[int]:
    return [each for each in minutes if each != minute]
