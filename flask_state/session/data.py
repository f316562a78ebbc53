"""The session as its user sees it: a mapping, with a life."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import math
import typing as t

from ..core.sentinels import MISSING
from ..errors import SerializationError
from ..errors import SessionReadOnly
from ..errors import StateError
from . import access
from .working import OFF
from .working import OPEN
from .working import UNOPENED
from .working import WorkingCopy

if t.TYPE_CHECKING:
    from .manager import SessionManager

_LATE = (
    "its response has left already, so it can't carry a cookie. "
    "Call session.commit() before that, and session.reload() to go on with what is stored"
)


class SessionData(WorkingCopy, cabc.MutableMapping[str, t.Any]):
    """One user's variables: a mapping from names to values, in order of insertion.

    Nothing is asked of the store before the first touch; then one round trip brings the named
    item, and values are decoded as they are read. Changes are noticed, inside values too.
    """

    __slots__ = ("_manager",)

    _manager: SessionManager

    # Reading

    def __getitem__(self, name: str) -> t.Any:
        value = self._values.get(name, MISSING)
        return self._read(name) if value is MISSING else value

    def get(self, name: str, default: t.Any = None) -> t.Any:
        """The item, or the default."""
        try:
            return self[name]
        except KeyError:
            return default

    def __contains__(self, name: object) -> bool:
        try:
            self[t.cast(str, name)]
        except KeyError:
            return False
        return True

    def __iter__(self) -> cabc.Iterator[str]:
        return iter(self._readable_names())

    def __reversed__(self) -> cabc.Iterator[str]:
        return reversed(self._readable_names())

    def __len__(self) -> int:
        return len(self._all_names())

    def at(self, index: int) -> t.Any:
        """The value at a position in the order of insertion; -1 is the last.

        :raise IndexError: where there are not so many.
        """
        return self[self._readable_names()[index]]

    def copy(self) -> dict[str, t.Any]:
        """All items, as a plain dict."""
        return dict(self)

    def __repr__(self) -> str:
        state = {UNOPENED: "not loaded", OPEN: "loaded", OFF: "off"}[self._state]
        handle = self._id.locator if self._id else "new"
        return f"<{type(self).__name__} {handle}, {state}, {self._mode}>"

    # Changing

    def __setitem__(self, name: str, value: t.Any) -> None:
        if type(name) is not str:
            name = _plain(name)
        self._write((name,))
        moved = name in self._removed
        self._values[name] = value
        self._set[name] = moved or self._set.get(name, False)
        self._removed.pop(name, None)
        if self._names is not None:
            self._names.setdefault(name)

    def __delitem__(self, name: str) -> None:
        name = _known_as(name)
        self._change(_names(name))
        self[name]  # raises the KeyError
        del self._values[name]
        self._set.pop(name, None)
        self._removed[name] = None
        if self._names is not None:
            self._names.pop(name, None)

    def pop(self, name: str, *default: t.Any) -> t.Any:
        """Remove an item and return its value, or the default."""
        self._change(_names(name))
        return super().pop(name, *default)

    def popitem(self) -> tuple[str, t.Any]:
        """Remove the last item and return it, as a dict does."""
        self._change(None)
        for name in reversed(self._all_names()):
            return name, self.pop(name)
        raise KeyError("the session is empty")

    def setdefault(self, name: str, default: t.Any = None) -> t.Any:
        """The item; the default, now set, where there is none."""
        self._change(_names(name))
        return super().setdefault(name, default)

    def update(self, *others: t.Any, **values: t.Any) -> None:
        """Set items, as `dict.update` does."""
        self._change(())
        super().update(*others, **values)

    def clear(self) -> None:
        """Remove all items. Saved so, the session ends; filled again, it goes on."""
        self._change(())
        for known in (self._values, self._set, self._removed, self._raw):
            known.clear()
        self._names = {}
        self._cleared = self._facts is not None

    @property
    def modified(self) -> bool:
        """Whether there is something to save, changes inside values included.

        Set it to have the client given its id in any case.
        """
        if self._state == UNOPENED:
            return self._saved
        if self._modified or self._set or self._removed or self._cleared:
            return True
        return self._changes_facts() or bool(self._mutated(self._manager.encode))

    @modified.setter
    def modified(self, value: bool) -> None:
        self._open(())
        self._modified = value

    # Facts

    @property
    def new(self) -> bool:
        """Whether nothing is stored of it yet."""
        self._open(())
        return self._facts is None

    @property
    def handle(self) -> str | None:
        """The session's public name, for people and logs: it survives `regenerate`.

        None where the session is off.
        """
        self._open(())
        if self._state == OFF:
            return None
        if self._id is None:
            self._id = self._manager.ids.new()
        return self._id.locator

    @property
    def owner(self) -> str | None:
        """Whose session this is, for `state.sessions.find`. May be set."""
        self._open(())
        if self._owner is not MISSING:
            return self._owner
        return self._facts.owner if self._facts is not None else None

    @owner.setter
    def owner(self, owner: str | None) -> None:
        owner = None if owner is None else _plain(owner)
        self._write(())
        self._owner = owner

    @property
    def timeout(self) -> float:
        """Seconds without a request after which this session ends. May be set; see there."""
        self._open(())
        return self._manager.lifetime.timeout(self._own_timeout())

    @timeout.setter
    def timeout(self, value: float | dt.timedelta | None) -> None:
        """Seconds or a `timedelta`; None returns to the configured timeout."""
        seconds = value.total_seconds() if isinstance(value, dt.timedelta) else value
        if seconds is not None and not 0 < seconds < math.inf:
            raise ValueError("session.timeout is a number of seconds above 0, or None")
        self._write(())
        self._timeout = seconds

    # Life

    def regenerate(self, grace: float = 0) -> None:
        """Give the session a new id and keep all else. Done when the session is saved.

        The old id is dead at that moment: requests under way with it lose their changes.
        Call it whenever somebody gains rights; Flask-Login's sign-in does by itself.

        :param grace: seconds for which the old id stays good, for a renewal that isn't about
            rights. Ignored where this request also changes the owner, or regenerates without.
        :raise StateError: where the response has left.
        """
        self._write(())
        if self._sealed:
            raise StateError(f"the session can't be regenerated: {_LATE}")
        if self._facts is not None:
            self._grace = min(grace, self._grace) if self._regenerate else grace
            self._regenerate = True

    def abandon(self) -> None:
        """End the session, in the store and now: whatever fails later, it is over.

        This request still reads its values. What is stored from here on begins a new session;
        otherwise the cookie is deleted.

        :raise StateError: where the response has left.
        """
        self._write(())
        if self._sealed:
            raise StateError(f"the session can't be ended: {_LATE}")
        with self._lock:
            self._manager.abandon(self)

    def commit(self) -> None:
        """Save what was changed so far, now, and let other requests of the session go on.

        :raise SessionConflict: where another request ended or regenerated the session, or took
            the lease, which had run out.
        """
        with self._lock:
            self._manager.commit(self)

    def reload(self) -> None:
        """Drop what was changed since the last save, and read again from the store."""
        with self._lock:
            self._drop_changes()
        self._open(())

    # How it gets there

    def _open(self, names: tuple[str, ...] | None) -> None:
        if self._state == UNOPENED:
            with self._lock:
                if self._state == UNOPENED:
                    self.accessed = True
                    self._manager.open(self, names)

    def _fetch(self, names: tuple[str, ...] | None) -> None:
        with self._lock:
            if self._names is None:
                self._manager.fetch(self, names)

    def _change(self, names: tuple[str, ...] | None) -> None:
        """Before every change: it may be off."""
        self._open(names)
        if self._state == OFF:
            raise SessionReadOnly(f"the session is unavailable because {self._off}")
        if self._mode == access.READONLY:
            raise SessionReadOnly(f"the session can't be changed: {access.WHY_READONLY}")
        self._dirty = True

    def _write(self, names: tuple[str, ...]) -> None:
        """Before something is stored: it may be off, or too late to start."""
        self._change(names)
        if self._sealed and self._facts is None:
            raise StateError(f"a session can't be started: {_LATE}")

    def _read(self, name: str) -> t.Any:
        if type(name) is not str:
            self._open(())
            name = _known_as(name)
        self._open((name,))
        item = self._raw.get(name)
        if item is None and self._names is None and self._may_exist(name):
            self._fetch((name,))
            item = self._raw.get(name)
            if item is None:
                self._absent[name] = None
        if item is None or name in self._removed:
            raise KeyError(name)
        value = self._manager.decode(self, name, item)
        # Two threads of one request may both decode it: they are to share what they may change.
        return self._values.setdefault(name, value)

    def _may_exist(self, name: str) -> bool:
        return name not in self._absent and name not in self._removed

    def _all_names(self) -> dict[str, None]:
        self._open(None)
        if self._names is None:
            self._fetch(None)
        return self._names if self._names is not None else {}

    def _readable_names(self) -> list[str]:
        """All names, after their values were decoded: if one can't be, the session is empty."""
        try:
            for name in self._all_names():
                if name not in self._values:
                    self._read(name)
        except KeyError:
            pass
        return list(self._all_names())


def _known_as(name: object) -> str:
    """The text by which an item would be known; what is no text is no item's name.

    :raise KeyError: it is none.
    """
    if isinstance(name, str):
        return str.__str__(name)
    raise KeyError(name)


def _names(name: object) -> tuple[str, ...]:
    return (str.__str__(name),) if isinstance(name, str) else ()


def _plain(name: object) -> str:
    """A name that is a subclass of str, such as Markup, as the str that it is."""
    if isinstance(name, str):
        return str.__str__(name)
    raise SerializationError(
        f"names of items, and owners, are of type str, not {type(name).__name__}", key=repr(name)
    )
