"""Granting the lease of a record inside a write transaction, and seeing when it is over."""

from __future__ import annotations

import typing as t

import lmdb

from .. import rules
from ..base import DamagedRecord
from ..base import Facts
from . import layout
from .presence import Presence

MANY: t.Final = 1_000
"""Leases of which a store remembers what it wrote."""


class Granted(t.NamedTuple):
    """What was written with a lease. Where it stands unchanged, nobody need parse it again."""

    value: bytes
    head: layout.Head


class Leasing(t.NamedTuple):
    """A wish for a lease.

    It is granted to this process, by its presence: where the process is gone, so is the lease.
    """

    presence: Presence
    seconds: float
    granted: dict[bytes, Granted]
    """Where to remember it, under the head's key."""

    def is_taken(self, facts: Facts, now: float) -> bool:
        """Whether somebody has the lease, and their process is not known to be gone."""
        return rules.is_leased(facts, now) and not self.presence.is_gone(facts.holder)

    def grant(
        self, txn: lmdb.Transaction[bytes], key: bytes, head: layout.Head, now: float
    ) -> Facts:
        """Write the lease to the head under a key; return the facts with it."""
        facts = rules.granted(head.facts, self.presence.mine(), now + self.seconds)
        value = layout.pack_head(key, facts, head.item_count, head.due)
        txn.put(key, value)
        if len(self.granted) >= MANY:  # some were never given back
            self.granted.clear()
        head = layout.new(layout.Head, (facts, head.item_count, head.due))
        self.granted[key] = layout.new(Granted, (value, head))
        return facts

    def want(self, txn: lmdb.Transaction[bytes], key: bytes, head: layout.Head) -> None:
        """Let the holder see that somebody was told that the lease is taken. Once is enough."""
        if not head.facts.wanted:
            facts = head.facts._replace(wanted=True)
            txn.put(key, layout.pack_head(key, facts, head.item_count, head.due))


class Watch:
    """Sees whether a lease is over.

    :param presence: asked about the holder's process.
    :param locator: the record.
    :param fence: the lease's.

    A look at a head that nobody has written since the last one parses nothing.
    """

    def __init__(self, presence: Presence, locator: str, fence: int) -> None:
        self._presence = presence
        self._key = layout.head_key(locator)
        self._fence = fence
        self._seen: bytes | None = None
        self._facts: Facts | None = None

    def is_over(self, txn: lmdb.Transaction[bytes], now: float) -> bool:
        """Whether it is over now, or the record is gone or can't be read."""
        value = txn.get(self._key)
        if value != self._seen:
            self._seen, self._facts = value, _facts_in(self._key, value)
        facts = self._facts
        return (
            facts is None
            or rules.is_over(facts, self._fence, now)
            or self._presence.is_gone(facts.holder)
        )


def _facts_in(key: bytes, value: bytes | None) -> Facts | None:
    if value is None:
        return None
    try:
        return layout.read_head(key, value).facts
    except (DamagedRecord, layout.NewerRecord):
        return None
