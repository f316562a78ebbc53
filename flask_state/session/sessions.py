"""All sessions of an application, seen from outside of a request: `state.sessions`."""

from __future__ import annotations

import typing as t

from ..stores.base import ADOPTED
from ..stores.base import REVOKED
from ..stores.base import Change
from ..stores.base import Ended
from .watched import Notify
from .watched import WatchedStore

_CLAIM_LEASE: t.Final = 60.0
"""Seconds in which a claimed end must be delivered before somebody else may try."""


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


class Sessions:
    """The sessions of one application."""

    def __init__(self, store: WatchedStore, notify: Notify) -> None:
        self._store = store
        self._notify = notify

    def find(self, owner: str) -> list[SessionInfo]:
        """The living sessions of an owner, oldest first.

        :raise StoreError: where the store fails, as with all methods here.
        """
        return [
            SessionInfo(locator, owner, f.created, f.touched, f.expires, f.size)
            for locator, f in self._store.find(owner)
        ]

    def end(self, handle: str) -> bool:
        """End one session, whoever uses it: it is gone with the next request, in every process.

        :param handle: `session.handle`, or that of what `find` returned.
        :return: whether it was alive.
        """
        return self._store.commit(handle, Change(end=REVOKED), None).refused is None

    def end_all(self, owner: str, keep: str | None = None) -> int:
        """End all sessions of an owner.

        :param keep: the handle of one to leave, usually the current request's.
        :return: how many were ended.
        """
        return sum(self.end(each.handle) for each in self.find(owner) if each.handle != keep)

    def count(self) -> int:
        """How many sessions live. May look at every record."""
        return self._store.count()

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

    def _deliver(self, each: Ended) -> bool:
        delivered: bool = self._notify(
            "ended",
            handle=each.locator,
            reason=each.facts.end,
            owner=each.facts.owner,
            items=each.items,
        )
        return delivered
