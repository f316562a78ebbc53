"""Notices an address that presents one id after the other, none of which is one."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

from ..core.clock import Clock
from ..core.forks import fork_safe_lock

WINDOW: t.Final = 60.0
"""Seconds within which ids that are none are counted together."""

MAX_ADDRESSES: t.Final = 1_000
"""Addresses known at a time, so that an attacker who has many can't fill the memory."""


class Probes:
    """Counts, per address, the different ids that were none within the last minute.

    Different ones, because a browser whose session has ended presents the same dead id with
    every request, and is no attacker. Each process counts what reaches it.

    `_lock` guards all below it. Nothing is asked or told while it is held.

    :param limit: how many of them within a minute make a probe.
    :param clock: tells when a minute is over.
    """

    def __init__(self, limit: int, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = fork_safe_lock()
        self._addresses: dict[str, _Address] = {}
        """In the order in which they were last heard of."""

    def rejected(self, address: str, texts: cabc.Sequence[str]) -> int | None:
        """Count what a request presented as ids, and none of which is one.

        :param address: where the request came from.
        :return: how many the address presented within a minute, when they reach the limit;
            None otherwise, and for a minute after that.
        """
        now = self._clock.monotonic()
        with self._lock:
            known = self._addresses.pop(address, None) or _Address()
            self._forget(now)
            self._addresses[address] = known
            known.add(texts, now, self._limit)
            if len(known.seen) < self._limit or now < known.quiet_until:
                return None
            known.quiet_until = now + WINDOW
            return len(known.seen)

    def _forget(self, now: float) -> None:
        """Make room for one more: drop addresses silent for a minute, and the oldest of too many.

        Each is dropped once, so that a call takes the same time whatever their number.
        """
        addresses = self._addresses
        while addresses:
            oldest = next(iter(addresses))
            if len(addresses) < MAX_ADDRESSES and now < addresses[oldest].heard + WINDOW:
                return
            del addresses[oldest]


class _Address:
    """What is known of one address."""

    __slots__ = ("heard", "quiet_until", "seen")

    def __init__(self) -> None:
        self.heard = 0.0
        self.quiet_until = 0.0
        """Until then its probe was told."""
        self.seen: dict[int, float] = {}
        """When each id was last presented, in that order. Hashes, which are salted per process
        and say nothing of the ids."""

    def add(self, texts: cabc.Sequence[str], now: float, limit: int) -> None:
        """Remember the last `limit` ids of the last minute."""
        seen, self.heard = self.seen, now
        for text in texts[-limit:]:
            known = hash(text)
            seen.pop(known, None)
            seen[known] = now
        while seen and (len(seen) > limit or seen[next(iter(seen))] <= now - WINDOW):
            del seen[next(iter(seen))]
