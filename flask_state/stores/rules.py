"""The decisions all engines share, as functions of facts: no bytes move and no time is asked here.

An engine reads the facts, asks these functions, and writes what they say, inside one
transaction or under one lock.
"""

from __future__ import annotations

import collections.abc as cabc
import hmac

from ..core.sentinels import MISSING
from .base import ABANDONED
from .base import EXISTS
from .base import EXPIRED
from .base import GONE
from .base import PASSED
from .base import SUPERSEDED_FOR
from .base import Change
from .base import Edit
from .base import Facts
from .base import Item
from .base import Loaded

_CURRENT = (0, False)
_ITEMS_PER_COMMIT = 1 << 20


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
    if fence is not None and fence < facts.floor:
        return PASSED
    return None


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
    elif change.proof is not None:
        facts = _regenerated(facts, change.proof, change.grace, now)
    expires, touched = facts.expires, facts.touched
    if change.lives is not None:
        deadline = now + change.lives
        if change.create or change.timeout is not MISSING or deadline > expires:
            expires, touched = deadline, now
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
        facts.owner if change.owner is MISSING else change.owner,
        facts.fence,
        facts.floor,
        facts.version + 1 if change.items or change.clear is not None else facts.version,
        size,
        facts.end,
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
