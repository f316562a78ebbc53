"""All sessions of an application, seen from outside of a request: `state.sessions`."""

from __future__ import annotations

import collections.abc as cabc
import logging
import re
import typing as t

from ..core.codec import Codec
from ..stores.base import ADOPTED
from ..stores.base import REVOKED
from ..stores.base import Change
from ..stores.base import DamagedRecord
from ..stores.base import Facts
from ..stores.base import Record
from .counters import Counters
from .counters import CounterValues
from .ids import LOCATOR_LENGTH
from .items import readable_values
from .watched import Notify
from .watched import WatchedStore

logger: logging.Logger = logging.getLogger("flask_state.session")

_CLAIM_LEASE: t.Final = 60.0
"""Seconds in which a claimed end must be delivered before somebody else may try."""

_PAGE: t.Final = 2_000
"""Sessions brought at a time while iterating."""

_HANDLE = re.compile(rf"[a-z0-5]{{{LOCATOR_LENGTH}}}")


class SessionInfo(t.NamedTuple):
    """What is known of a session without its items. Times are seconds since 1970."""

    handle: str
    owner: str | None
    created: float
    touched: float
    """When its deadline was last moved: the last use, to a tenth of its timeout."""
    expires: float
    size: int
    """Bytes of its items."""
    signed_in: float | None = None
    """When its owner was set; None where it has none."""
    browser: str = ""
    """What the browser that signed in calls itself. It may say what it likes."""
    address: str = ""
    """The network address that it signed in from."""


class Sessions:
    """The sessions of one application. Iterating goes over all that live, in no order.

    Every method raises `StoreError` where the store fails. A handle may be any text: what is
    no handle is that of no session, and the store is not asked.
    """

    def __init__(
        self, store: WatchedStore, notify: Notify, *, codec: Codec, counters: Counters
    ) -> None:
        self._store = store
        self._notify = notify
        self.codec = codec
        """Carries the values of their items."""
        self._counters = counters

    def __iter__(self) -> cabc.Iterator[SessionInfo]:
        """Every session that lives from the first step to the last; others may be among them."""
        cursor = ""
        while True:
            page, cursor = self._store.scan(cursor, _PAGE)
            for locator, facts in page:
                yield _info(locator, facts)
            if not cursor:
                return

    def find(self, owner: str) -> list[SessionInfo]:
        """The living sessions of an owner, oldest first.

        :raise TypeError: where the owner is not text.
        """
        if not isinstance(owner, str):
            raise TypeError(
                f"state.sessions.find takes the owner as str, as session.owner has it, "
                f"not {type(owner).__name__}"
            )
        found = self._store.find(str.__str__(owner))
        return [_info(locator, facts) for locator, facts in found]

    def get(self, handle: str) -> SessionInfo | None:
        """What is known of one session; None where none that lives has this handle."""
        record = self._record(handle)
        return _info(record.locator, record.facts) if record is not None else None

    def items_of(self, handle: str) -> dict[str, t.Any] | None:
        """The items of one session, for administrators; None where none has this handle.

        An item that can't be read is left out with a line in the log. It is a copy: what is
        changed in it is stored nowhere.
        """
        record = self._record(handle)
        if record is None:
            return None
        return readable_values(self.codec, record.locator, record.items)

    def end(self, handle: str) -> bool:
        """End one session, whoever uses it: it is gone with the next request, in every process.

        :param handle: `session.handle`, or that of what `find` returned.
        :return: whether it was alive.
        """
        locator = _locator(handle)
        if locator is None:
            return False
        return self._store.commit(locator, Change(end=REVOKED), None).refused is None

    def end_all(self, owner: str, keep: str | None = None) -> int:
        """End all sessions of an owner.

        :param keep: the handle of one to leave, usually the current request's.
        :return: how many were ended.
        :raise TypeError: where the owner is not text.
        """
        return sum(self.end(each.handle) for each in self.find(owner) if each.handle != keep)

    def count(self) -> int:
        """How many sessions live. May look at every record."""
        return self._store.count()

    def counters(self) -> CounterValues:
        """How many sessions live, and what happened to sessions in this process so far."""
        return self._counters.values(self.count())

    def sweep(self, limit: int = 100) -> int:
        """Claim ended sessions, send `session_ended` for each, and forget it.

        A thread does this by itself; call it from a test or a scheduled job. A session whose
        receivers raise is not forgotten, and comes again after a minute.

        :param limit: how many to claim at most.
        :return: how many were claimed; none means that there is nothing left to do.
        """
        claimed = self._store.claim(limit, _CLAIM_LEASE)
        for each in claimed:
            if each.facts.end == ADOPTED or self._deliver(each):
                self._store.forget(each.locator)
        return len(claimed)

    def _deliver(self, each: Record) -> bool:
        delivered: bool = self._notify(
            "ended",
            handle=each.locator,
            reason=each.facts.end,
            owner=each.facts.owner,
            items=each.items,
        )
        return delivered

    def _record(self, handle: str) -> Record | None:
        locator = _locator(handle)
        if locator is None:
            return None
        try:
            return self._store.inspect(locator)
        except DamagedRecord as error:
            logger.warning("Session %s can't be shown: %s", locator, error)
            return None


def _locator(handle: object) -> str | None:
    """The handle as the key of a record; None where there can be no such record."""
    if not isinstance(handle, str) or _HANDLE.fullmatch(handle) is None:
        return None
    return str.__str__(handle)


def _info(locator: str, facts: Facts) -> SessionInfo:
    return SessionInfo(
        handle=locator,
        owner=facts.owner,
        created=facts.created,
        touched=facts.touched,
        expires=facts.expires,
        size=facts.size,
        signed_in=facts.owned_since if facts.owner is not None else None,
        browser=facts.browser,
        address=facts.address,
    )
