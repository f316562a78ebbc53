"""What a request knows of a session, and what it did to it."""

from __future__ import annotations

import collections.abc as cabc
import threading
import types
import typing as t

from ..core.extensions import is_immutable
from ..core.sentinels import MISSING
from ..core.sentinels import Missing
from ..stores.base import Edit
from ..stores.base import Facts
from ..stores.base import Item
from ..stores.base import Loaded
from . import access
from .ids import Id

if t.TYPE_CHECKING:
    from .adoption import Foreign
    from .leases import Lease

UNOPENED: t.Final = 0
OPEN: t.Final = 1
OFF: t.Final = 2

_NOTHING: t.Any = types.MappingProxyType({})
"""The items of a session that is not open: nothing can be put there by mistake."""

_MERGED: t.Final = (access.MERGE, True)

_RLock = type(threading.RLock())
"""The class itself: `threading.RLock` is a function that looks it up each time."""

Encode = cabc.Callable[[str, t.Any], bytes]


class WorkingCopy:
    """One request's copy of a session: items as stored, values as seen, and the difference.

    Owned by one request; the contexts it is copied into share it. `_lock` is held while the
    session is loaded and saved, so that two threads of one request do so once; all else is
    single operations on a dict.
    """

    # One is made for every request. Slots, because an attribute that has a default on its class
    # is found in ten times as long, and set in twenty: CPython 3.11 then looks it up each time.
    __slots__ = (
        *("_lock", "accessed", "_sealed", "_id", "_origin", "_held", "_cookie_due", "_ended"),
        *("_off", "_visited", "_saved", "_state", "_failed", "_facts", "_now", "_touch", "_names"),
        *("_dirty", "_cleared", "_modified", "_owner", "_timeout", "_regenerate", "_grace"),
        *("_superseded", "_unsaved", "_stale", "_mode", "_keeps_alive", "_lease"),
        *("_raw", "_values", "_set", "_removed", "_absent"),
    )

    _lock: threading.RLock
    accessed: bool
    _sealed: bool
    """Its response has left: no id can be given to the client any more."""
    _id: Id | None
    _origin: str
    """What the client presented that opened it."""
    _held: Id | None
    """The id that the client holds after a save."""
    _cookie_due: bool
    """The client is to be given the id in any case."""
    _ended: bool
    """This request ended the session, and began no other."""
    _off: str
    """Why it is off."""
    _visited: bool
    """It was opened before, if only to find nothing."""
    _saved: bool
    """The last save had something to save."""

    _state: int
    _failed: bool
    """It is off because its store failed."""
    _facts: Facts | None
    """None where nothing is stored of it."""
    _now: float
    """The store's time when it was loaded."""
    _touch: float | None
    """Seconds to live that a touch is to write, where one is due."""
    _names: dict[str, None] | None
    """All names in their order; None while not all are known."""
    _dirty: bool
    """Something was set, removed or asked for. Changes inside of values don't show here."""
    _cleared: bool
    _modified: bool
    """The user said so."""
    _owner: str | Missing | None
    _timeout: float | Missing | None
    _regenerate: bool
    _grace: float
    _superseded: bool
    """Its id was replaced meanwhile: it reads as empty, and what it stores is dropped, whatever
    is read again."""
    _unsaved: bool
    """Its store failed, and that is passed over: nothing of it will be saved."""
    _stale: bool
    """Its proof was made under an old key."""

    _mode: str
    """The access mode with which it was opened last."""
    _keeps_alive: bool
    """This use counts toward the idle timeout."""
    _lease: Lease | None
    """The lease it holds, from its first touch to its save, whatever is read again between."""

    _raw: dict[str, Item]
    """Stored items, as they were when first read."""
    _values: dict[str, t.Any]
    """Values decoded or assigned: what the user sees."""
    _set: dict[str, bool]
    """Names assigned, and whether they move to the end."""
    _removed: dict[str, None]
    _absent: dict[str, None]
    """Names looked up and not found."""

    def __init__(self) -> None:
        self._lock = _RLock()
        self.accessed = self._sealed = self._cookie_due = self._ended = False
        self._visited = self._saved = self._superseded = False
        self._id = self._held = self._lease = None
        self._origin = self._off = ""
        self._now = self._grace = 0.0
        self._mode, self._keeps_alive = _MERGED
        self._unload()

    def _unload(self) -> None:
        """Back to what nothing is known of."""
        # Not through `__dict__`: an object that was asked for it is slower from then on.
        self._state = UNOPENED
        self._facts = self._touch = self._names = None
        self._raw = self._values = self._set = self._removed = self._absent = _NOTHING
        self._failed = self._dirty = self._stale = self._unsaved = False
        self._cleared = self._modified = self._regenerate = False
        self._owner = self._timeout = MISSING

    def _make_room(self) -> None:
        self._raw, self._values = {}, {}
        self._set, self._removed, self._absent = {}, {}, {}

    # What the request says, overridden by whoever opens it.

    def _presented(self) -> cabc.Sequence[str]:
        """The texts the client presents as ids, best first."""
        return ()

    def _foreign(self) -> Foreign | None:
        """A genuine session of another kind that the client presents, to take over."""
        return None

    def _access(self) -> tuple[str, bool]:
        """The access mode, and whether this use counts toward the idle timeout."""
        return _MERGED

    def _client(self) -> tuple[str, str]:
        """What the browser calls itself, and its network address."""
        return "", ""

    def _why_off(self) -> str:
        """The rest of a sentence, for whoever writes where the access mode is off."""
        return 'this view is marked @session_access("off")'

    def _is_late(self) -> bool:
        """Whether the view is done, so that a failing store must not spoil its answer."""
        return False

    def _may_wait(self) -> bool:
        """Whether it may wait for the lease: only where an answer can say that it took too long."""
        return not self._is_late()

    def _leased(self) -> None:
        """Told when it has taken a lease: see that it is given back in any case."""

    def _reopened(self) -> None:
        """Told when the session is touched after its response has left."""

    # What becomes of it. Called with the lock held.

    def _begin(self) -> None:
        """It is new: nothing is stored of it."""
        self._make_room()
        self._names = {}
        self._state = OPEN

    def _attach(self, id: Id, loaded: Loaded) -> None:
        """It is stored, and this is what was loaded."""
        self._make_room()
        self._id = id
        self._facts = loaded.facts
        self._now = loaded.now
        self._raw = loaded.items
        if loaded.complete:
            self._order()
        self._state = OPEN  # last: a thread that sees it asks for no lock any more

    def _merge(self, loaded: Loaded) -> None:
        """More of it was loaded; what was read before stays as it was."""
        for name, item in loaded.items.items():
            self._raw.setdefault(name, item)
        if loaded.complete:
            self._order()

    def _order(self) -> None:
        """All items are here: put their names in order."""
        stored = sorted(self._raw, key=lambda name: self._raw[name].position)
        names = {n: None for n in stored if n not in self._removed and not self._set.get(n)}
        names.update(dict.fromkeys(self._set))
        self._names = names

    def _turn_off(self, why: str, *, failed: bool = False) -> None:
        """The null session: it reads as empty, and every write says why."""
        self._unload()
        self._make_room()
        self._names = {}
        self._off, self._failed = why, failed
        self._state = OFF

    def _become_ghost(self, values: dict[str, t.Any]) -> None:
        """The record has ended: these values stay readable, and are not stored again."""
        self._unload()
        self._make_room()
        self._id = self._held = None
        self._values, self._names = values, dict.fromkeys(values)
        self._state = OPEN

    def _forget(self) -> None:
        """It is over, and what is stored from here on is another session's."""
        self._unload()
        self._id = self._held = None

    def _drop_changes(self) -> None:
        """Forget what was changed since the last save."""
        if self._facts is not None:
            self._held = self._id
        self._unload()

    # What it did.

    def _held_lease(self) -> Lease | None:
        """The lease under which it saves; a forked child has none of its parent's."""
        lease = self._lease
        return lease if lease is not None and lease.held else None

    def _own_timeout(self) -> float | None:
        if self._timeout is not MISSING:
            return self._timeout
        return self._facts.timeout if self._facts is not None else None

    def _changes_facts(self) -> bool:
        """Whether facts, rather than items, are to change."""
        return self._owner is not MISSING or self._timeout is not MISSING or self._regenerate

    def _mutated(self, encode: Encode) -> list[tuple[str, bytes]]:
        """Items that were only read, and encode otherwise now."""
        mutated = []
        for name, value in list(self._values.items()):
            item = self._raw.get(name)
            if item is None or name in self._set or is_immutable(value):
                continue
            data = encode(name, value)
            if data != item.value:
                mutated.append((name, data))
        return mutated

    def _edits(self, encode: Encode) -> dict[str, Edit]:
        """What this request did to each item."""
        version = self._facts.version if self._facts is not None else 0
        edits: dict[str, Edit] = {}
        if not (self._set or self._removed):
            for name, data in self._mutated(encode):
                edits[name] = Edit(data, self._raw[name].version, True)
            return edits
        for name in self._removed:
            item = self._raw.get(name)
            if item is not None:
                edits[name] = Edit(None, item.version, True)
        for name, append in self._set.items():
            item = self._raw.get(name)
            seen = item.version if item is not None else version
            data = encode(name, self._values[name])
            edits[name] = Edit(data, seen, item is not None, append)
        for name, data in self._mutated(encode):
            edits[name] = Edit(data, self._raw[name].version, True)
        return edits
