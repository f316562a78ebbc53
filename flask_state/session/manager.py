"""Saves sessions: the way from what a request did back to the store."""

from __future__ import annotations

import collections.abc as cabc
import enum
import logging

from ..core.sentinels import MISSING
from ..errors import SessionConflict
from ..errors import SessionReadOnly
from ..errors import StoreError
from ..stores.base import ABANDONED
from ..stores.base import EXISTS
from ..stores.base import LOST
from ..stores.base import PASSED
from ..stores.base import Change
from ..stores.base import Committed
from . import access
from .ids import Id
from .opener import SessionOpener
from .working import OPEN
from .working import UNOPENED
from .working import WorkingCopy

logger: logging.Logger = logging.getLogger("flask_state.session")


class Outcome(enum.Enum):
    """What the response has to say about the session."""

    KEEP = "keep"
    """Nothing: what the client holds stays as it is."""
    SET = "set"
    """The session's id, which the store confirmed to be its current one."""
    DELETE = "delete"
    """That the id is no more."""


class SessionManager(SessionOpener):
    """Opens and saves the sessions of one application.

    Its methods are called with the lock of the session they get, `save` excepted.
    """

    def abandon(self, data: WorkingCopy) -> None:
        """End the session in the store, now; the mapping keeps what can still be read."""
        refused: str | None = PASSED if data._superseded else None
        if data._facts is not None and data._id is not None:
            if data._names is None:
                self.fetch(data, None)
            change = Change(end=ABANDONED)
            refused = self._store.commit(data._id.locator, change, data._facts.fence).refused
            data._ended = data._ended or refused is None
            self._hand_back(data, None)
        if refused is not None:
            self._conflict(data, refused)
        data._become_ghost(self._readable(data))

    def commit(self, data: WorkingCopy) -> None:
        """Save in the middle of a request, and give the lease back.

        The session is loaded again at its next touch.

        :raise SessionConflict: where another request ended or regenerated the session, or took
            the lease, which had run out.
        """
        if data._state != OPEN:
            return
        try:
            done = self._save(data)
        finally:
            self.leave(data)
        if done is not None and done.refused is not None:
            data._superseded = data._superseded or done.refused == PASSED
            data._forget()
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
                self.leave(data)

    def leave(self, data: WorkingCopy) -> None:
        """Give the lease back if there still is one."""
        lease, data._lease = data._held_lease(), None
        if lease is not None:
            self._leases.give_back(lease)

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
        if data._mode == access.READONLY:
            self._refuse_mutations(data)
        elif data._dirty or data._mutated(self.encode):
            return self._commit(data)
        return self._commit(data) if self._is_due(data) else None

    def _refuse_mutations(self, data: WorkingCopy) -> None:
        mutated = data._mutated(self.encode)
        if mutated:
            named = ", ".join(repr(name) for name, _ in mutated)
            raise SessionReadOnly(
                f"{named} was changed inside, and this view may not change the session: "
                f"{access.WHY_READONLY}"
            )

    def _commit(self, data: WorkingCopy) -> Committed | None:
        if data._facts is None or data._id is None:
            return self._create(data)
        change, next_id = self._changes.update(
            data, data._facts, data._id, self.encode, lambda: self.fetch(data, None)
        )
        if change is None:
            return None
        data._saved = bool(change.items) or change.clear is not None or data._changes_facts()
        data._saved = data._saved or next_id != data._id
        data._cookie_due = data._cookie_due or data._saved
        fence = data._facts.fence if data._lease is None else data._lease.fence
        done = self._store.commit(data._id.locator, change, fence)
        if done.conflicts and change.strict:
            named = ", ".join(map(repr, done.conflicts))
            raise SessionConflict(f"another request changed {named} first", items=done.conflicts)
        if data._lease is not None:
            self._hand_back(data, done.facts)
        if done.refused is not None:
            if data._saved:
                self._refused(data, done.refused)
            # Nobody else's lease ends a session whose touch came too late: it goes on.
            return done if done.refused != LOST else None
        if done.conflicts:
            self._conflict(data, "changed", done.conflicts)
        if next_id != data._id:
            data._id = next_id
            self._notify("renewed", handle=next_id.locator)
        self._cap(change)
        return done

    def _refused(self, data: WorkingCopy, reason: str) -> None:
        """Say that what this request changed is dropped."""
        self._conflict(data, reason)
        if reason == LOST:
            data._drop_changes()
            data._cookie_due = data._saved = False
            raise SessionConflict(
                "the lease on this session ran out, and another request has taken it"
            )

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
                if data._owner:
                    logger.warning("A session with an owner and no items is not stored.")
                return None
            if data._superseded:
                self._conflict(data, PASSED)
                return Committed(PASSED)
            done = self._store.commit(id.locator, change, None)
            if done.refused != EXISTS:
                data._id = id
                data._cookie_due = data._saved = True
                self._notify("started", handle=id.locator)
                self._cap(change)
                return done
            data._id = None  # the locator was taken: one in 2**50 for each session there is
        raise StoreError("no free locator was found", engine=self._store.engine, operation="commit")

    def _cap(self, change: Change) -> None:
        """After a sign-in: the owner may have one session too many now."""
        if change.owner is not MISSING and change.owner is not None:
            self._owner_cap.enforce(change.owner)

    def _conflict(self, data: WorkingCopy, reason: str, items: cabc.Sequence[str] = ()) -> None:
        handle = data._id.locator if data._id is not None else None
        self._notify("conflict", handle=handle, reason=reason, items=tuple(items))
