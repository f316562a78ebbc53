"""The decisions all engines share, as functions of facts: no bytes move and no time is asked here.

An engine reads the facts, asks these functions, and writes what they say, inside one
transaction or under one lock.
"""

from __future__ import annotations

import collections.abc as cabc
import hmac
import typing as t

from ..core.sentinels import MISSING
from .base import ABANDONED
from .base import EXISTS
from .base import EXPIRED
from .base import GONE
from .base import LOST
from .base import PASSED
from .base import SUPERSEDED_FOR
from .base import Change
from .base import Edit
from .base import Facts
from .base import Item
from .base import Loaded

_CURRENT = (0, False)
_ITEMS_PER_COMMIT = 1 << 20
_FENCE = Facts._fields.index("fence")
_LEASE = Facts._fields.index("holder")
"""Where `holder`, `leased_until` and `wanted` are, one after the other."""


def lives(facts: Facts, now: float) -> bool:
    """Whether a record is visible."""
    return facts.end is None and now < facts.expires


def match(facts: Facts, proofs: cabc.Sequence[bytes], now: float) -> tuple[int, bool] | None:
    """Which proof fits the facts: its index, and whether it is the previous one in its grace.

    Every proof is compared, so that time tells nothing.
    """
    if len(proofs) == 1 and hmac.compare_digest(proofs[0], facts.proof):
        return _CURRENT
    found = None
    in_grace = bool(facts.previous) and now < facts.previous_until
    for index, proof in enumerate(proofs):
        if hmac.compare_digest(proof, facts.proof):
            found = (index, False)
        elif in_grace and hmac.compare_digest(proof, facts.previous) and found is None:
            found = (index, True)
    return found


def superseded(facts: Facts, proofs: cabc.Sequence[bytes], now: float) -> Loaded | None:
    """What `load` answers where no proof fits: the facts alone, if one was good a moment ago."""
    if not facts.previous or now >= facts.renewed + SUPERSEDED_FOR:
        return None
    for index, proof in enumerate(proofs):
        if hmac.compare_digest(proof, facts.previous):
            return Loaded(facts, {}, True, index, True, now, superseded=True)
    return None


def refusal(facts: Facts | None, change: Change, fence: int | None, now: float) -> str | None:
    """Why a change can't be applied to these facts, or None."""
    if change.create:
        return None if facts is None else EXISTS
    if facts is None or not lives(facts, now):
        return GONE
    if fence is not None:
        if fence < facts.floor:
            return PASSED
        if change.lease is not None and fence < facts.fence:
            return LOST
    return None


def is_leased(facts: Facts, now: float) -> bool:
    """Whether somebody holds the lease, as far as the facts tell."""
    return facts.holder != b"" and now < facts.leased_until


def is_over(facts: Facts, fence: int, now: float) -> bool:
    """Whether the lease that has this fence is no more, and asking for one makes sense."""
    return facts.fence != fence or not lives(facts, now) or not is_leased(facts, now)


def granted(facts: Facts, holder: bytes, until: float) -> Facts:
    """The facts of a record whose lease is given to a holder."""
    # In a third of the time that `_replace` takes: every exclusive request pays for it.
    fields: list[t.Any] = list(facts)
    fields[_FENCE] += 1
    fields[_LEASE : _LEASE + 3] = holder, until, False
    return tuple.__new__(Facts, fields)


def busy(facts: Facts, match: tuple[int, bool], now: float) -> Loaded:
    """What `load` answers where somebody else has the lease."""
    return Loaded(facts, {}, False, match[0], match[1], now, busy=True)


def conflicts(edit: Edit, stored: Item | None) -> bool:
    """Whether somebody else changed an item since the request saw it, and a value is lost."""
    if stored is None:
        return edit.present and edit.value is not None
    return stored.version > edit.seen and stored.value != edit.value


def lost(change: Change, items: cabc.Mapping[str, Item]) -> tuple[str, ...]:
    """The names of all items with which a change conflicts."""
    names = [n for n, edit in change.items.items() if conflicts(edit, items.get(n))]
    if change.clear is not None:
        names += [
            name
            for name, item in items.items()
            if item.version > change.clear and name not in change.items
        ]
    return tuple(names)


def apply(change: Change, items: dict[str, Item], version: int) -> None:
    """Do to the items of a record, all of which are here, what a change says.

    :param version: the record's version after the change.
    """
    if change.clear is not None:
        items.clear()
    for index, (name, edit) in enumerate(change.items.items()):
        old = items.pop(name, None) if edit.append or edit.value is None else items.get(name)
        if edit.value is not None:
            keeps_place = old is not None and not edit.append
            place = old.position if old and keeps_place else position(version, index)
            items[name] = Item(edit.value, version, place)


def position(version: int, index: int) -> int:
    """The place in the order of the `index`-th new item of the commit that made `version`."""
    return version * _ITEMS_PER_COMMIT + index


def weight(name: str, value: bytes) -> int:
    """What an item counts toward a record's size."""
    return len(name) + len(value)


def advance(facts: Facts | None, change: Change, now: float, *, size: int, empty: bool) -> Facts:
    """The facts after a change that was not refused.

    :param size: bytes of all items after the change.
    :param empty: whether no item is left.
    """
    if facts is None:
        facts = Facts(proof=change.proof or b"", created=now, touched=now, expires=now, renewed=now)
    elif change.proof not in (None, facts.proof):  # a parallel renewal has done it already
        facts = _regenerated(facts, change.proof, change.grace, now)
    expires, touched = facts.expires, facts.touched
    if change.lives is not None:
        deadline = now + change.lives
        if change.create or change.timeout is not MISSING or deadline > expires:
            expires, touched = deadline, now
    holder, leased_until = facts.holder, facts.leased_until
    if change.lease is not None:
        holder, leased_until = (holder, now + change.lease) if change.lease else (b"", 0.0)
    elif change.proof is not None and not change.grace:
        holder, leased_until = b"", 0.0  # nothing its holder sends will be accepted
    owner, owned_since = facts.owner, facts.owned_since
    browser, address = facts.browser, facts.address
    if change.owner is not MISSING:
        owner, owned_since = change.owner, now
        browser, address = change.browser, change.address
    # One tuple made once: `_replace` costs as much as all the rest of a small commit.
    after = Facts(
        facts.proof,
        facts.created,
        touched,
        expires,
        facts.renewed,
        facts.previous,
        facts.previous_until,
        facts.timeout if change.timeout is MISSING else change.timeout,
        owner,
        facts.fence,
        facts.floor,
        facts.version + 1 if change.items or change.clear is not None else facts.version,
        size,
        facts.end,
        holder,
        leased_until,
        facts.wanted,
        owned_since,
        browser,
        address,
    )
    if change.end is not None:
        return ended(after, change.end, now if change.lives is None else expires)
    return ended(after, ABANDONED, now) if empty else after


def ended(facts: Facts, reason: str, claim_at: float) -> Facts:
    """The facts of a record that has ended."""
    fence = facts.fence + 1
    return facts._replace(end=reason, expires=claim_at, fence=fence, floor=fence)


def claimed(facts: Facts, until: float) -> Facts:
    """The facts of a record that somebody delivers until then; one that had expired ends now."""
    if facts.end is None:
        return ended(facts, EXPIRED, until)
    return facts._replace(expires=until)


def _regenerated(facts: Facts, proof: bytes, grace: float, now: float) -> Facts:
    if grace > 0:
        return facts._replace(
            proof=proof, previous=facts.proof, previous_until=now + grace, renewed=now
        )
    fence = facts.fence + 1
    return facts._replace(
        proof=proof, previous=facts.proof, previous_until=now, renewed=now, fence=fence, floor=fence
    )
