"""What a request knows of a session, and what it did to it."""

from __future__ import annotations

import collections.abc as cabc
import threading
import typing as t

from ..core.codec import is_immutable
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

UNOPENED: t.Final = 0
OPEN: t.Final = 1
OFF: t.Final = 2

Encode = cabc.Callable[[str, t.Any], bytes]


class WorkingCopy:
    """One request's copy of a session: items as stored, values as seen, and the difference.

    Owned by one request; the contexts it is copied into share it. `_lock` is held while the
    session is loaded and saved, so that two threads of one request do so once; all else is
    single operations on a dict.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.accessed = False
        self._sealed = False
        """Its response has left: no id can be given to the client any more."""
        self._id: Id | None = None
        self._held: Id | None = None
        """The id that the client holds after a save."""
        self._cookie_due = False
        """The client is to be given the id in any case."""
        self._ended = False
        """This request ended the session, and began no other."""
        self._off = ""
        """Why it is off."""
        self._failed = False
        """It is off because its store failed."""
        self._unload()

    def _unload(self) -> None:
        """Back to what nothing is known of."""
        self._state = UNOPENED
        self._facts: Facts | None = None
        """None where nothing is stored of it."""
        self._now = 0.0
        """The store's time when it was loaded."""
        self._raw: dict[str, Item] = {}
        """Stored items, as they were when first read."""
        self._values: dict[str, t.Any] = {}
        """Values decoded or assigned: what the user sees."""
        self._absent: set[str] = set()
        """Names looked up and not found."""
        self._names: dict[str, None] | None = None
        """All names in their order; None while not all are known."""
        self._set: dict[str, bool] = {}
        """Names assigned, and whether they move to the end."""
        self._removed: dict[str, None] = {}
        self._cleared = False
        self._modified = False
        self._owner: str | None | Missing = MISSING
        self._timeout: float | None | Missing = MISSING
        self._regenerate = False
        self._grace = 0.0
        self._stale = False
        """Its proof was made under an old key."""

    # What the request says, overridden by whoever opens it.

    def _presented(self) -> cabc.Sequence[str]:
        """The texts the client presents as ids, best first."""
        return ()

    def _foreign(self) -> Foreign | None:
        """A genuine session of another kind that the client presents, to take over."""
        return None

    def _mode(self) -> str:
        """The access mode."""
        return access.MERGE

    def _is_late(self) -> bool:
        """Whether the view is done, so that a failing store must not spoil its answer."""
        return False

    def _reopened(self) -> None:
        """Told when the session is touched after its response has left."""

    # What becomes of it. Called with the lock held.

    def _begin(self) -> None:
        """It is new: nothing is stored of it."""
        self._names = {}
        self._state = OPEN

    def _attach(self, id: Id, loaded: Loaded) -> None:
        """It is stored, and this is what was loaded."""
        self._id = id
        self._facts = loaded.facts
        self._now = loaded.now
        self._raw = loaded.items
        if loaded.complete:
            self._order()
        self._state = OPEN

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
        self._names = {}
        self._off, self._failed = why, failed
        self._state = OFF

    def _become_ghost(self, values: dict[str, t.Any]) -> None:
        """The record has ended: these values stay readable, and are not stored again."""
        self._unload()
        self._id = self._held = None
        self._values, self._names = values, dict.fromkeys(values)
        self._ended = True
        self._state = OPEN

    def _drop_changes(self) -> None:
        """Forget what was changed since the last save."""
        if self._facts is not None:
            self._held = self._id
        self._unload()

    # What it did.

    def _own_timeout(self) -> float | None:
        if self._timeout is not MISSING:
            return self._timeout
        return self._facts.timeout if self._facts is not None else None

    def _changes_facts(self) -> bool:
        """Whether facts, rather than items, are to change."""
        return self._owner is not MISSING or self._timeout is not MISSING or self._regenerate

    def _mutated(self, encode: Encode) -> cabc.Iterator[tuple[str, bytes]]:
        """Items that were only read, and encode otherwise now."""
        for name, item in list(self._raw.items()):
            value = self._values.get(name, MISSING)
            if value is MISSING or name in self._set or is_immutable(value):
                continue
            data = encode(name, value)
            if data != item.value:
                yield name, data

    def _edits(self, encode: Encode) -> dict[str, Edit]:
        """What this request did to each item."""
        version = self._facts.version if self._facts is not None else 0
        edits: dict[str, Edit] = {}
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
