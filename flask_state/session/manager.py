"""Opens and saves sessions: the way between the mapping and the store."""

from __future__ import annotations

import collections.abc as cabc
import enum
import logging
import typing as t

from ..core import envelope
from ..core.codec import Codec
from ..core.extensions import UnknownType
from ..core.settings import Settings
from ..errors import SerializationError
from ..errors import SessionConflict
from ..errors import StoreError
from ..stores.base import ABANDONED
from ..stores.base import DAMAGED
from ..stores.base import EXISTS
from ..stores.base import EXPIRED
from ..stores.base import PASSED
from ..stores.base import Change
from ..stores.base import Committed
from ..stores.base import DamagedRecord
from ..stores.base import Item
from ..stores.base import Loaded
from . import access
from .adoption import Adoption
from .changes import ChangeMaker
from .ids import Id
from .ids import Ids
from .lifetime import Lifetime
from .watched import Notify
from .watched import WatchedStore
from .working import OPEN
from .working import UNOPENED
from .working import WorkingCopy

logger: logging.Logger = logging.getLogger("flask_state.session")

MAX_PRESENTED: t.Final = 4
"""Ids looked up for one request, however many its cookies hold."""


class Outcome(enum.Enum):
    """What the response has to say about the session."""

    KEEP = "keep"
    """Nothing: what the client holds stays as it is."""
    SET = "set"
    """The session's id, which the store confirmed to be its current one."""
    DELETE = "delete"
    """That the id is no more."""


class SessionManager:
    """Opens and saves the sessions of one application.

    Its methods are called with the lock of the session they get, `save` excepted.

    :param notify: called with the name of an event and its facts.
    """

    def __init__(
        self,
        *,
        store: WatchedStore,
        changes: ChangeMaker,
        adoption: Adoption,
        settings: Settings,
        codec: Codec,
        lifetime: Lifetime,
        ids: Ids,
        notify: Notify,
    ) -> None:
        self.lifetime = lifetime
        self.ids = ids
        self._store = store
        self._changes = changes
        self._adoption = adoption
        self._settings = settings
        self._codec = codec
        self._notify = notify

    # Opening

    def open(self, data: WorkingCopy, names: tuple[str, ...] | None) -> None:
        """Load what the client holds or presents, or begin a new session.

        :raise StoreError: where the store fails and the settings say so. The session is off then.
        """
        if data._mode() == access.OFF:
            data._turn_off(data._why_off())
            return
        try:
            if data._sealed:
                data._reopened()
            if data._visited:
                found = data._held is not None and self._load_into(data, data._held, names)
            else:
                found = self._open_presented(data, names)
            data._visited = True
            if not found:
                data._begin()
        except StoreError:
            self._fail(data)

    def fetch(self, data: WorkingCopy, names: tuple[str, ...] | None) -> None:
        """Bring more items of a loaded session; what was read before stays as it was."""
        try:
            loaded = self._load(data._id, names) if data._id is not None else None
        except StoreError:
            self._fail(data)
            return
        if loaded is not None and not loaded.superseded:
            data._merge(loaded)
        else:
            # It ended or got another id meanwhile: no more is to be had of it.
            data._order()

    def decode(self, data: WorkingCopy, name: str, item: Item) -> t.Any:
        """The value of an item.

        :raise KeyError: where its bytes are no good: then the whole session is empty.
        """
        value = item.value
        try:
            if value[:2] == envelope.PLAIN:
                return self._codec.loads(value[2:])
            logger.warning("A session was written by a newer flask_state; it reads as empty.")
        except UnknownType as error:
            # A release that knows it wrote this, and may be back: nothing is thrown away.
            logger.warning("A session reads as empty: session[%r]: %s", name, error)
        except SerializationError as error:
            if data._id is not None:
                self._damaged(data._id, f"item {name!r}: {error}")
        data._unload()
        data._id = None
        data._begin()
        raise KeyError(name)

    def _readable(self, data: WorkingCopy) -> dict[str, t.Any]:
        """All values of a loaded session; none where they are damaged."""
        values, raw = dict(data._values), data._raw
        try:
            for name in data._names or ():
                if name not in values:
                    values[name] = self.decode(data, name, raw[name])
        except KeyError:
            return {}
        return values

    def encode(self, name: str, value: t.Any) -> bytes:
        """The bytes of an item.

        :raise SerializationError: naming the item.
        """
        try:
            return envelope.PLAIN + self._codec.dumps(value)
        except SerializationError as error:
            raise SerializationError(f"session[{name!r}]: {error}", key=name) from error

    def _open_presented(self, data: WorkingCopy, names: tuple[str, ...] | None) -> bool:
        texts = data._presented()
        looked_up = 0
        for text in texts:
            id = self.ids.parse(text)
            if id is not None and looked_up < MAX_PRESENTED:
                if self._load_into(data, id, names):
                    return True
                looked_up += 1
        if not texts:
            return False
        if data._superseded:
            return False
        if self._settings.session_adopt_cookies and self._adopt(data, names):
            return True
        self._notify("rejected", reason="unknown" if looked_up else "malformed")
        return False

    def _load_into(self, data: WorkingCopy, id: Id, names: tuple[str, ...] | None) -> bool:
        loaded = self._load(id, names)
        if loaded is None:
            return False
        if loaded.superseded:
            data._superseded = True  # unless another id the client presents is good
            return False
        touch = self.lifetime.touch(loaded.facts, loaded.now)
        if touch is not None and touch <= 0:
            self._store.commit(id.locator, Change(end=EXPIRED), loaded.facts.fence)
            return False
        data._origin, data._superseded = id.text, False
        if loaded.previous:
            successor = self._changes.successor(id, loaded.facts)
            if successor is not None:
                id, data._cookie_due = successor, True
        data._attach(id, loaded)
        data._touch = touch
        data._stale = loaded.match > 0 and not loaded.previous
        return True

    def _load(self, id: Id, names: tuple[str, ...] | None) -> Loaded | None:
        try:
            return self._store.load(id.locator, self._changes.proofs(id), names)
        except DamagedRecord as error:
            self._damaged(id, str(error))
            return None

    def _adopt(self, data: WorkingCopy, names: tuple[str, ...] | None) -> bool:
        foreign = data._foreign()
        if foreign is None:
            return False

        def load(id: Id) -> bool:
            return self._load_into(data, id, names)

        if self._adoption.known(foreign.text, load) is None:
            id = self._adoption.take_over(foreign, self.encode)
            if id is None:
                if self._adoption.awaited(foreign.text, load) is None:
                    return False
            elif not load(id):
                return False
            else:
                self._notify("started", handle=id.locator)
        data._origin = foreign.text
        data._cookie_due = True
        return True

    def is_current(self, text: str) -> bool:
        """Whether a text is a living session's current id. Asks the store.

        :raise StoreError: where it fails.
        """
        id = self.ids.parse(text)
        loaded = self._load(id, ()) if id is not None else None
        return loaded is not None and not loaded.previous

    # Saving

    def abandon(self, data: WorkingCopy) -> None:
        """End the session in the store, now; the mapping keeps what can still be read."""
        refused: str | None = PASSED if data._superseded else None
        if data._facts is not None and data._id is not None:
            if data._names is None:
                self.fetch(data, None)
            change = Change(end=ABANDONED)
            refused = self._store.commit(data._id.locator, change, data._facts.fence).refused
            data._ended = data._ended or refused is None
        if refused is not None:
            self._conflict(data, refused)
        data._become_ghost(self._readable(data))

    def commit(self, data: WorkingCopy) -> None:
        """Save in the middle of a request; the session is loaded again at its next touch.

        :raise SessionConflict: where another request ended or regenerated the session.
        """
        if data._state != OPEN:
            return
        done = self._save(data)
        if done is not None and done.refused is not None:
            data._unload()
            raise SessionConflict("another request ended or regenerated this session")
        data._cookie_due = data._cookie_due or data._modified
        self._rest(data, done)

    def save(self, data: WorkingCopy, *, discard: bool, refresh: bool) -> Outcome:
        """Save at the end of a request, and unload the session.

        :param discard: drop what was changed since the last commit instead.
        :param refresh: the client shall have its id again though nothing changed.
        """
        with data._lock:
            data._saved = False
            if discard and data._state == OPEN:
                data._drop_changes()
            try:
                return self._finish(data, refresh)
            except StoreError:
                if self._settings.session_on_outage == "empty":
                    return Outcome.KEEP
                raise
            finally:
                data._cookie_due = False

    def _finish(self, data: WorkingCopy, refresh: bool) -> Outcome:
        if data._state not in (OPEN, UNOPENED):
            return Outcome.KEEP
        proof = data._facts.proof if data._facts is not None else None
        done = self._save(data) if data._state == OPEN else None
        wanted = refresh or data._cookie_due or data._modified
        if done is not None and done.refused is not None:
            data._held = None
            data._unload()
            return Outcome.KEEP
        self._rest(data, done)
        if data._held is None:
            return Outcome.DELETE if data._ended else Outcome.KEEP
        if not wanted or not self._confirm(data, data._held, done, proof):
            return Outcome.KEEP
        return Outcome.SET

    def _confirm(
        self, data: WorkingCopy, id: Id, done: Committed | None, proof: bytes | None
    ) -> bool:
        """Whether the client may be given its id: another request may have replaced it.

        :param done: what the store said to the commit, if there was one.
        :param proof: the one with which the session was loaded.
        """
        facts = done.facts if done is not None else None
        if facts is None:
            loaded = self._load(id, ())
            if loaded is None or loaded.superseded:
                return False
            facts = loaded.facts
        if facts.proof != proof and not self._changes.proves(id, facts):
            successor = self._changes.successor(id, facts)
            if successor is None:
                return False
            data._held = successor
        return True

    def _rest(self, data: WorkingCopy, done: Committed | None) -> None:
        """Unload after a save, and remember what the client holds from now on."""
        if done is not None and done.facts is not None and done.facts.end is not None:
            data._held, data._id, data._ended = None, None, True
        elif done is not None:
            data._held, data._ended = data._id, False
        elif data._facts is not None:
            data._held = data._id
        data._unload()

    def _save(self, data: WorkingCopy) -> Committed | None:
        """Commit what there is to commit, and say what became of it."""
        if data._unsaved:
            return None
        if not (data._dirty or data._mutated(self.encode) or self._is_due(data)):
            return None
        if data._facts is None or data._id is None:
            return self._create(data)
        change, next_id = self._changes.update(
            data, data._facts, data._id, self.encode, lambda: self.fetch(data, None)
        )
        if change is None:
            return None
        if change.items or change.clear is not None or data._changes_facts() or next_id != data._id:
            data._cookie_due = data._saved = True
        done = self._store.commit(data._id.locator, change, data._facts.fence)
        if done.conflicts and change.strict:
            named = ", ".join(map(repr, done.conflicts))
            raise SessionConflict(f"another request changed {named} first", items=done.conflicts)
        if done.refused is not None:
            self._conflict(data, done.refused)
            return done
        if done.conflicts:
            self._conflict(data, "changed", done.conflicts)
        if next_id != data._id:
            data._id = next_id
            self._notify("renewed", handle=next_id.locator)
        return done

    def _is_due(self, data: WorkingCopy) -> bool:
        """Whether the record wants a commit though the request changed nothing."""
        if data._touch is not None or data._stale:
            return True
        return self._settings.session_renew_after is not None

    def _create(self, data: WorkingCopy) -> Committed | None:
        for _ in range(3):
            id = data._id if data._id is not None else self.ids.new()
            change = self._changes.creation(data, id, self.encode)
            if change is None:
                return None
            if data._superseded:
                self._conflict(data, PASSED)
                return Committed(PASSED)
            done = self._store.commit(id.locator, change, None)
            if done.refused != EXISTS:
                data._id = id
                data._cookie_due = data._saved = True
                self._notify("started", handle=id.locator)
                return done
            data._id = None  # the locator was taken: one in 2**50 for each session there is
        raise StoreError("no free locator was found", engine=self._store.engine, operation="commit")

    # Trouble

    def _fail(self, data: WorkingCopy) -> None:
        """While a StoreError is handled: raise it where it is due, or go on with nothing."""
        if self._settings.session_on_outage == "error" and not data._is_late():
            data._turn_off("its store does not answer", failed=True)
            raise
        data._unload()
        data._begin()
        data._unsaved = True

    def _conflict(self, data: WorkingCopy, reason: str, items: cabc.Sequence[str] = ()) -> None:
        handle = data._id.locator if data._id is not None else None
        self._notify("conflict", handle=handle, reason=reason, items=tuple(items))

    def _damaged(self, id: Id, what: str) -> None:
        """Nobody can use the record any more: end it, so that this is said once."""
        logger.error("Session %s is damaged and reads as empty: %s", id.locator, what)
        self._notify("damaged", handle=id.locator)
        try:
            self._store.commit(id.locator, Change(end=DAMAGED), None)
        except (StoreError, DamagedRecord):
            logger.warning("The damaged session %s could not be ended.", id.locator)
