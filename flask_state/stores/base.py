"""The contracts between flask_state and the places where bytes are kept.

Stores see bytes and facts, never Python values, users or requests. Two contracts:

- `SessionStore` keeps *records*: the facts about a session and its items.
- `ByteStore` keeps bytes under keys with compare-and-set; `adapter.ByteSessionStore` makes a
  `SessionStore` of any of them.

Both have a suite in `flask_state.testing` that an engine must pass. Every method may raise
`StoreError`, and only for faults of the system: what is missing, ended or expired is an answer.
"""

from __future__ import annotations

import collections.abc as cabc
import types
import typing as t

from ..core.sentinels import ANY
from ..core.sentinels import MISSING
from ..core.sentinels import Any_
from ..core.sentinels import Missing

ABANDONED: t.Final = "abandoned"
EXPIRED: t.Final = "expired"
REVOKED: t.Final = "revoked"
DAMAGED: t.Final = "damaged"
ADOPTED: t.Final = "adopted"
"""End reasons. `ADOPTED` marks a Flask cookie as taken over; nobody is told of that end."""

GONE: t.Final = "gone"
PASSED: t.Final = "passed"
LOST: t.Final = "lost"
EXISTS: t.Final = "exists"
CONFLICT: t.Final = "conflict"
"""Why a commit was refused: the record is missing, ended or expired; its fence was passed by a
regeneration; its lease went to somebody else; it was to be created and exists; an item conflicts
and the change was strict."""


SUPERSEDED_FOR: t.Final = 60.0
"""Seconds for which the holder of a replaced id is known as such."""


class DamagedRecord(Exception):
    """Raised by `load` where the bytes kept for a record fail their checksum or can't be read."""


class Item(t.NamedTuple):
    """One named value as it is kept."""

    value: bytes
    version: int
    """The record's version with which this value was set."""
    position: int
    """Items ordered by this are in order of insertion."""


class Edit(t.NamedTuple):
    """What a request does to one item."""

    value: bytes | None
    """The new bytes; None removes the item."""
    seen: int
    """The item's version when the request read it, or the record's version if it did not."""
    present: bool = False
    """Whether the request saw the item there."""
    append: bool = False
    """The item moves to the end of the order, because it was removed and set again."""


class Facts(t.NamedTuple):
    """What a store keeps about a session beside its items. Times are the store's own, in seconds.

    New fields go to the end and have a default, so that older records still load.
    """

    proof: bytes
    """Keyed hash of the id's secret."""
    created: float
    touched: float
    """When `expires` was last set."""
    expires: float
    """From this moment the record is never returned. For an ended record: when to claim it."""
    renewed: float
    """When the proof was last replaced."""
    previous: bytes = b""
    """The proof before this one, honoured until `previous_until`, and known a while longer."""
    previous_until: float = 0.0
    timeout: float | None = None
    """The session's own idle timeout in seconds, where it has one."""
    owner: str | None = None
    fence: int = 1
    """Rises with every lease, regeneration and end."""
    floor: int = 1
    """The fence at the last regeneration or end: a commit below it is refused."""
    version: int = 0
    """Rises with every commit that changes items."""
    size: int = 0
    """Bytes of all items, names included."""
    end: str | None = None
    """Why the session ended; None while it lives."""
    holder: bytes = b""
    """Who holds the lease, in the engine's own terms; empty where nobody does."""
    leased_until: float = 0.0
    """When the lease runs out."""
    wanted: bool = False
    """Somebody was told that the lease is taken, since it was granted."""
    owned_since: float = 0.0
    """When the owner was set."""
    browser: str = ""
    address: str = ""
    """From where the owner was set: what the browser calls itself, and its network address."""


class Change(t.NamedTuple):
    """All that one request does to a record, as data. An empty one is never sent."""

    items: cabc.Mapping[str, Edit] = types.MappingProxyType({})
    """New items take their place in the order in which they stand here."""
    clear: int | None = None
    """Remove every item that is not in `items`; the number is the record's version the request
    knew. Items set since then are reported as conflicts."""
    create: bool = False
    """The record is new: refused with `EXISTS` where there is one, ended ones included."""
    proof: bytes | None = None
    """Replace the proof: a regeneration, which raises fence and floor unless there is a `grace`."""
    grace: float = 0.0
    """Seconds for which the replaced proof stays good. With 0 no older one is good either."""
    lives: float | None = None
    """Seconds from now until the record expires. Only ever lengthens what is stored, unless the
    change also sets `timeout` or creates. With `end`: how long the ended record is kept."""
    timeout: float | Missing | None = MISSING
    owner: str | Missing | None = MISSING
    browser: str = ""
    address: str = ""
    """From where the owner is set."""
    end: str | None = None
    """End the session for this reason: invisible at once, its items kept until it is forgotten."""
    strict: bool = False
    """Refuse the whole change with `CONFLICT` if an item conflicts."""
    lease: float | None = None
    """The change is made under a lease, which lasts so many seconds from now on; 0 gives it back.
    Refused with `LOST` where somebody else was granted one since. A lease that ran out, and that
    nobody took, is as good as ever. One that was given back is not taken again by this."""


class Loaded(t.NamedTuple):
    """A record as `load` found it."""

    facts: Facts
    items: dict[str, Item]
    complete: bool
    """Whether `items` holds all items of the record."""
    match: int
    """Which of the given proofs is the record's."""
    previous: bool
    """Whether it is the record's previous proof, still in its grace."""
    now: float
    """The store's time."""
    superseded: bool = False
    """The proof is one that a regeneration replaced less than `SUPERSEDED_FOR` ago. No items are
    brought: the holder is a request that was under way, or its client is about to learn the new
    id. Whatever it stores must neither be kept nor begin another session."""
    busy: bool = False
    """A lease was asked for, and somebody else has it. No items are brought."""


class Committed(t.NamedTuple):
    """What became of a change."""

    refused: str | None
    """None, or one of `GONE`, `PASSED`, `LOST`, `EXISTS`, `CONFLICT`; then nothing was changed."""
    conflicts: tuple[str, ...] = ()
    """Items that another commit had changed since this request saw them."""
    facts: Facts | None = None
    """The facts after the commit; None where refused."""


class Found(t.NamedTuple):
    """A living record, without its items."""

    locator: str
    facts: Facts


class Record(t.NamedTuple):
    """All that is kept under a locator."""

    locator: str
    facts: Facts
    items: dict[str, Item]


class SessionStore(t.Protocol):
    """Keeps records under locators: 10 characters, one record each.

    A record that is ended, or whose `expires` has come, is invisible to everything but `claim`,
    swept or not. Methods may be called from any thread; each is whole or not at all.
    """

    @property
    def engine(self) -> str:
        """The engine's name for logs and errors."""
        ...

    @property
    def shared(self) -> str:
        """Who sees the records: ``"process"``, ``"machine"`` or ``"network"``."""
        ...

    def load(
        self,
        locator: str,
        proofs: cabc.Sequence[bytes],
        names: cabc.Sequence[str] | None,
        lease: float | None = None,
    ) -> Loaded | None:
        """Bring the facts and the named items in one round trip, and take the lease if asked to.

        A store for which one key is as dear as ten brings all items of a small record as well.

        :param locator: the record's key.
        :param proofs: at least one; compared in constant time before anything is returned.
        :param names: the items wanted, or None for all. Names without an item are left out.
        :param lease: seconds for which the caller is to be the only one with a lease. Granted in
            the same step, once a proof fits, and the fence rises. Where somebody else's is still
            good, and their process is not known to be gone, the answer is `busy`, and the record
            is marked as `wanted` until the next lease is granted. A superseded proof gets none.
        :return: None where there is no living record or no proof fits: nobody can tell which.
            Where a proof was good until a moment ago, `rules.superseded` says what.
        :raise DamagedRecord: the record is there and can't be read.
        """
        ...

    def commit(self, locator: str, change: Change, fence: int | None) -> Committed:
        """Apply a change, whole or not at all, in one round trip.

        Two commits that change different items both survive. An edit conflicts where the item
        is newer than what was `seen` (or gone although it was `present`) and holds other bytes;
        it is applied all the same, unless the change is strict. Every item set or removed gets
        the record's new version. A commit that leaves a record without items ends it as
        `ABANDONED`.

        :param fence: the fence the request loaded; refused with `PASSED` if it is below the
            record's floor, and with `LOST` if the change is made under a lease and it is below
            the record's fence. None is not measured.
        """
        ...

    def wait(self, locator: str, fence: int, timeout: float) -> None:
        """Return once the lease with this fence may be over, or after `timeout` seconds.

        It is over when it was given back, ran out, went to somebody else, its holder's process
        is gone, or the record ended. Noticed within 10 ms; waiting costs next to nothing. May
        return too early: whoever waits asks for the lease again.
        """
        ...

    def claim(self, limit: int, lease: float) -> list[Record]:
        """Take up to `limit` records that have ended or expired, oldest first.

        An expired record becomes ended (reason `EXPIRED`) in the same step. What was claimed is
        not given to another caller for `lease` seconds; if it isn't forgotten by then, it is
        given again. Work is bounded: a small `limit` never holds up commits. Items that can't
        be read are left out.
        """
        ...

    def forget(self, locator: str) -> None:
        """Remove an ended record and all that belongs to it. A living or missing one is left."""
        ...

    def find(self, owner: str) -> list[Found]:
        """The owner's living records, oldest first."""
        ...

    def count(self) -> int:
        """How many records live. May look at every record."""
        ...

    def scan(self, cursor: str, limit: int) -> tuple[list[Found], str]:
        """Some of the living records, about `limit`, in the engine's own order.

        A record that lives from the first call to the last is found; others may be.

        :param cursor: empty at first, then what the last call returned.
        :return: the records, and the cursor of the next call, which is empty at the end.
        """
        ...

    def inspect(self, locator: str) -> Record | None:
        """A living record with all its items, without a proof: for administrators and exports.

        :raise DamagedRecord: the record is there and can't be read.
        """
        ...

    def note(self, name: str, value: bytes) -> bytes | None:
        """Keep a few bytes about the store itself; return what was kept under the name before."""
        ...

    def close(self) -> None:
        """Release what is held. The store opens again at its next use."""
        ...


class ByteStore(t.Protocol):
    """Keeps bytes under keys, with compare-and-set.

    Keys are ASCII without spaces, at most 200 characters.
    """

    @property
    def engine(self) -> str:
        """The engine's name for logs and errors."""
        ...

    @property
    def shared(self) -> str:
        """Who sees the bytes: ``"process"``, ``"machine"`` or ``"network"``."""
        ...

    def get(self, key: str) -> tuple[bytes, int] | None:
        """The bytes and their version, or None where there are none or they expired.

        A version names these bytes under this key: put again, they have another one.
        """
        ...

    def put(
        self, key: str, value: bytes, ttl: float | None, if_version: int | Missing | Any_ = ANY
    ) -> int | None:
        """Keep bytes.

        :param ttl: seconds until they expire, or None.
        :param if_version: put only over this version; `MISSING`: only where there is nothing.
        :return: the new version, or None where the condition did not hold.
        """
        ...

    def delete(self, key: str, if_version: int | Any_ = ANY) -> bool:
        """Remove the bytes. True if they are gone because of this call."""
        ...

    def close(self) -> None:
        """Release what is held. The store opens again at its next use."""
        ...
