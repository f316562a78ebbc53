"""Opens sessions: the way from the store to what a request knows of one."""

from __future__ import annotations

import logging
import typing as t

from ..core import envelope
from ..core.codec import Codec
from ..core.extensions import UnknownType
from ..core.sentinels import MISSING
from ..core.settings import Settings
from ..errors import SerializationError
from ..errors import SessionLockTimeout
from ..errors import StoreError
from ..stores.base import DAMAGED
from ..stores.base import EXPIRED
from ..stores.base import Change
from ..stores.base import DamagedRecord
from ..stores.base import Facts
from ..stores.base import Item
from ..stores.base import Loaded
from . import access
from .adoption import Adoption
from .changes import ChangeMaker
from .ids import Id
from .ids import Ids
from .leases import Leases
from .lifetime import Lifetime
from .owners import OwnerCap
from .probes import Probes
from .watched import Notify
from .watched import WatchedStore
from .working import WorkingCopy

logger: logging.Logger = logging.getLogger("flask_state.session")

MAX_PRESENTED: t.Final = 4
"""Ids looked up for one request, however many its cookies hold."""


class SessionOpener:
    """Opens the sessions of one application, and turns values into bytes and back.

    Its methods are called with the lock of the session they get.

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
        leases: Leases,
        owner_cap: OwnerCap,
        probes: Probes,
        notify: Notify,
    ) -> None:
        self.lifetime = lifetime
        self.ids = ids
        self._store = store
        self._changes = changes
        self._adoption = adoption
        self._settings = settings
        self._codec = codec
        self._leases = leases
        self._owner_cap = owner_cap
        self._probes = probes
        self._notify = notify

    def open(self, data: WorkingCopy, names: tuple[str, ...] | None) -> None:
        """Load what the client holds or presents, or begin a new session.

        :raise StoreError: where the store fails and the settings say so. The session is off then.
        :raise SessionLockTimeout: other requests of the session took too long. It is off, too.
        """
        data._mode, data._keeps_alive = data._access()
        if data._mode == access.OFF:
            data._turn_off(data._why_off())
            return
        if data._mode == access.READONLY:
            names = None  # all at once: one consistent whole
        try:
            if data._sealed:
                data._reopened()
            if not data._visited:
                found = self._open_presented(data, names)
            elif data._held is not None:
                found = self._load_into(data, data._held, names)
                if not found:
                    data._forget()  # it ended since it was saved
            else:
                found = False
            data._visited = True
            if not found:
                data._begin()
        except SessionLockTimeout:
            data._turn_off("other requests of it took too long", failed=True)
            raise
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
        known, raw = data._values, data._raw
        values = {}
        try:
            for name in data._names or ():
                value = known.get(name, MISSING)
                values[name] = self.decode(data, name, raw[name]) if value is MISSING else value
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
        missed: list[str] = []
        looked_up = 0
        for text in texts:
            id = self.ids.parse(text)
            if id is not None and looked_up < MAX_PRESENTED:
                if self._load_into(data, id, names):
                    if missed:  # a good id beside them is no excuse
                        self._probe(data, missed)
                    return True
                looked_up += 1
            missed.append(text)
        if not texts:
            return False
        if data._superseded:
            return False
        if self._settings.session_adopt_cookies and self._adopt(data, names):
            return True
        self._notify("rejected", reason="unknown" if looked_up else "malformed")
        self._probe(data, missed)
        return False

    def _probe(self, data: WorkingCopy, texts: list[str]) -> None:
        address = data._client()[1]
        count = self._probes.rejected(address, texts)
        if count is not None:
            self._notify("probed", address=address, count=count)

    def _load_into(self, data: WorkingCopy, id: Id, names: tuple[str, ...] | None) -> bool:
        loaded = self._load(id, names, data)
        if loaded is None:
            return False
        if loaded.superseded:
            data._superseded = True  # unless another id the client presents is good
            return False
        touch = self.lifetime.touch(loaded.facts, loaded.now)
        if touch is not None and touch <= 0:
            self._store.commit(id.locator, Change(end=EXPIRED), loaded.facts.fence)
            self._hand_back(data, None)
            return False
        data._origin, data._superseded = id.text, False
        if loaded.previous:
            successor = self._changes.successor(id, loaded.facts)
            if successor is not None:
                id, data._cookie_due = successor, True
        data._attach(id, loaded)
        if names and not loaded.complete:
            data._absent.update((name, None) for name in names if name not in loaded.items)
        data._touch = touch if data._keeps_alive else None
        data._stale = loaded.match > 0 and not loaded.previous
        return True

    def _load(
        self, id: Id, names: tuple[str, ...] | None, leasing: WorkingCopy | None = None
    ) -> Loaded | None:
        """Ask the store.

        :param leasing: what takes a lease, if its access mode is exclusive.
        """
        proofs = self._changes.proofs(id)
        try:
            if leasing is None or leasing._mode != access.EXCLUSIVE or leasing._lease is not None:
                return self._store.load(id.locator, proofs, names)
            loaded, lease = self._leases.take(id.locator, proofs, names, leasing._may_wait)
        except DamagedRecord as error:
            self._damaged(id, str(error))
            return None
        if lease is not None:
            leasing._lease = lease
            leasing._leased()
        return loaded

    def _hand_back(self, data: WorkingCopy, facts: Facts | None) -> None:
        """The lease is the store's again; let the next request have it."""
        lease, data._lease = data._lease, None
        if lease is not None:
            self._leases.handed_back(lease, facts)

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
                if foreign.owner is not None:
                    self._owner_cap.enforce(foreign.owner)
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

    # Trouble

    def _fail(self, data: WorkingCopy) -> None:
        """While a StoreError is handled: raise it where it is due, or go on with nothing."""
        if self._settings.session_on_outage == "error" and not data._is_late():
            data._turn_off("its store does not answer", failed=True)
            raise
        data._unload()
        data._begin()
        data._unsaved = True

    def _damaged(self, id: Id, what: str) -> None:
        """Nobody can use the record any more: end it, so that this is said once."""
        logger.error("Session %s is damaged and reads as empty: %s", id.locator, what)
        self._notify("damaged", handle=id.locator)
        try:
            self._store.commit(id.locator, Change(end=DAMAGED), None)
        except (StoreError, DamagedRecord):
            logger.warning("The damaged session %s could not be ended.", id.locator)
