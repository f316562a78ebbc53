"""Leases: who may be the only writer of a session, and who comes next.

In one process a queue per session hands the lease on, in order of arrival and at once. Only the
first of the queue asks the store, and waits there for other processes. A lease is owned by a
session object: neither by a thread, because an async view changes threads, nor by a context,
because copies of one share the session.
"""

from __future__ import annotations

import collections
import collections.abc as cabc
import contextvars
import functools
import logging
import threading
import time
import typing as t
import weakref

from ..core.clock import SystemClock
from ..core.forks import after_fork_in_child
from ..core.forks import fork_safe_lock
from ..core.settings import Settings
from ..errors import SessionLockTimeout
from ..errors import StoreError
from ..stores.base import Change
from ..stores.base import Facts
from ..stores.base import Loaded
from .counters import Counters
from .heartbeat import Heartbeat
from .watched import WatchedStore

logger: logging.Logger = logging.getLogger("flask_state.session")

LEASE_SECONDS: t.Final = 10.0
"""How long a lease lasts that nobody renews."""
_RENEW_EVERY: t.Final = LEASE_SECONDS / 4
_OWN_TURN: t.Final = 0.02
"""Seconds for which a process hands the lease on among its own while others want it."""
_LET_OTHERS: t.Final = 0.01
"""Seconds that it then waits, longer than anybody pauses who waits at the store."""

_heartbeat = Heartbeat(_RENEW_EVERY)
_mine: contextvars.ContextVar[tuple[weakref.ref[Lease], ...]] = contextvars.ContextVar(
    "leases", default=()
)
"""The leases that were taken by this chain of calls: waiting for them would never end."""

monotonic: t.Callable[[], float] = SystemClock.monotonic


class Lease:
    """The right of one session object to be the only one with a lease on its record."""

    __slots__ = ("__weakref__", "fence", "held", "locator", "renewed", "taken")

    def __init__(self, locator: str, fence: int) -> None:
        self.locator: str = locator
        self.fence: int = fence
        self.held: bool = True
        self.taken: float = monotonic()
        self.renewed: float = self.taken


class _Line:
    """Those of this process who want the lease of one session.

    It exists while somebody is at its front: has the lease, or asks the store for it.
    """

    __slots__ = ("began", "fence", "lease", "waiting")

    def __init__(self) -> None:
        self.lease: weakref.ref[Lease] | None = None
        self.fence = 0
        self.waiting: collections.deque[_Waiter] = collections.deque()
        self.began = 0.0
        """When this process took the lease from outside; 0 while it hasn't."""


class _Waiter(threading.Event):
    """One request that waits for its turn."""

    def __init__(self, began: float) -> None:
        super().__init__()
        self.began = began
        self.pauses = False
        """It is to let other processes go first."""


Load = cabc.Callable[..., Loaded | None]
"""`SessionStore.load` of one record: with the seconds of a lease, or with nothing."""


class Leases:
    """The leases that one application holds in this process, and those who wait for them.

    `_lock` guards the table of lines, and who waits in them; it is held for dictionary
    operations only, never across I/O. The lease of a line, its fence and `began` are written by
    whoever is at its front, the lease last: who sees it sees its fence.
    """

    def __init__(self, *, store: WatchedStore, settings: Settings, counters: Counters) -> None:
        self._store = store
        self._counters = counters
        self._longest_wait = settings.session_lock_wait
        self._longest_queue = settings.session_lock_queue
        self._longest_lease = settings.session_lock_max
        self._lock = fork_safe_lock()
        self._lines: dict[str, _Line] = {}
        self._shown = False
        after_fork_in_child(self)

    def take(
        self,
        locator: str,
        proofs: cabc.Sequence[bytes],
        names: cabc.Sequence[str] | None,
        may_wait: cabc.Callable[[], bool],
    ) -> tuple[Loaded | None, Lease | None]:
        """`SessionStore.load` together with the lease, after those who came before.

        :param may_wait: asked where somebody else has the lease. Where the answer is no, or
            whoever has it can't go on before the caller does, the record is loaded without.
        :return: what was loaded, and the lease, None where there is none.
        :raise SessionLockTimeout: the wait took too long, or too many wait.
        """
        load = functools.partial(self._store.load, locator, proofs, names)
        with self._lock:
            line = self._lines.get(locator)
            if line is None:
                mine = self._lines[locator] = _Line()
        if line is None:
            return self._ask(locator, load, may_wait, mine, None)
        if self._is_mine(line) or not may_wait():
            return load(), None
        waiter = _Waiter(monotonic())
        line = self._stand_in_line(locator, waiter)
        return self._ask(locator, load, may_wait, line, waiter)

    def handed_back(self, lease: Lease, facts: Facts | None) -> None:
        """The store was told that the lease is given back: the next one may have it.

        :param facts: what the store said then, where it said something.
        """
        lease.held = False
        self._next(lease.locator, lease, wanted=facts is not None and facts.wanted)

    def give_back(self, lease: Lease) -> None:
        """Tell the store, too. If it doesn't answer, the lease runs out by itself."""
        facts = None
        try:
            facts = self._store.commit(lease.locator, Change(lease=0.0), lease.fence).facts
        except StoreError as error:
            logger.info("A lease could not be given back, and runs out: %s", error)
        finally:
            self.handed_back(lease, facts)

    def renew(self) -> None:
        """Renew what has been held for a while. Called by the heartbeat."""
        now = monotonic()
        with self._lock:
            lines = [(key, line.lease, line.fence) for key, line in self._lines.items()]
        for locator, reference, fence in lines:
            lease = reference() if reference is not None else None
            if lease is not None:
                if now - lease.renewed >= _RENEW_EVERY / 2:
                    self._renew(lease, now)
            elif reference is not None:
                # Its session is gone, and nobody gave it back: a teardown function raised.
                orphan = Lease(locator, fence)
                with self._lock:
                    line = self._lines.get(locator)
                    if line is None or line.lease is not reference:
                        continue
                    line.lease = weakref.ref(orphan)
                self.give_back(orphan)

    def after_fork_in_child(self) -> None:
        """What the parent holds is the parent's."""
        for line in self._lines.values():
            lease = line.lease() if line.lease is not None else None
            if lease is not None:
                lease.held = False
        self._lines = {}
        self._shown = False

    # Waiting

    def _is_mine(self, line: _Line) -> bool:
        held = _mine.get()
        return bool(held) and line.lease is not None and line.lease in held

    def _stand_in_line(self, locator: str, waiter: _Waiter) -> _Line:
        """Wait until this request is at the front, and return the line."""
        with self._lock:
            line = self._lines.get(locator)
            if line is None:
                line = self._lines[locator] = _Line()
                return line
            full = len(line.waiting) >= self._longest_queue
            if not full:
                line.waiting.append(waiter)
        if full:
            self._counters.lock_timeout()
            raise SessionLockTimeout(
                f"{self._longest_queue} requests of this session wait already "
                "(STATE_SESSION_LOCK_QUEUE)",
                handle=locator,
            )
        try:
            called = waiter.wait(self._longest_wait)
        except BaseException:  # a server that gives up on the request, say
            if not self._leaves(line, waiter):
                self._next(locator, None)
            raise
        if not called and self._leaves(line, waiter):
            raise self._timeout(locator, waiter.began)
        return line

    def _leaves(self, line: _Line, waiter: _Waiter) -> bool:
        """Leave the line; False where it was this one's turn just now."""
        with self._lock:
            if waiter not in line.waiting:
                return False
            line.waiting.remove(waiter)
            return True

    def _ask(
        self,
        locator: str,
        load: Load,
        may_wait: cabc.Callable[[], bool],
        line: _Line,
        waiter: _Waiter | None,
    ) -> tuple[Loaded | None, Lease | None]:
        """At the front of the line: take the lease from the store.

        :param waiter: how this request waited until now, if it did.
        """
        lease = None
        began = waiter.began if waiter is not None else 0.0
        try:
            if waiter is not None and waiter.pauses:
                # By its module, so that gevent may have put its own in place.
                time.sleep(_LET_OTHERS)
            loaded = load(LEASE_SECONDS)
            while loaded is not None and loaded.busy:
                if not may_wait():
                    return load(), None
                began = began or monotonic()
                line.began = 0.0
                left = began + self._longest_wait - monotonic()
                if left <= 0:
                    raise self._timeout(locator, began)
                self._store.wait(locator, loaded.facts.fence, left)
                loaded = load(LEASE_SECONDS)
            if loaded is not None and not loaded.superseded:
                lease = self._taken(locator, line, loaded.facts.fence)
        finally:
            if lease is None:
                self._next(locator, None)
        if began:
            self._counters.waited(monotonic() - began)
        return loaded, lease

    def _taken(self, locator: str, line: _Line, fence: int) -> Lease:
        lease = Lease(locator, fence)
        line.fence, line.began = fence, line.began or lease.taken
        line.lease = reference = weakref.ref(lease)
        if not self._shown:
            self._shown = True
            _heartbeat.show(self)
        held = _mine.get()
        _mine.set((*filter(_is_held, held), reference) if held else (reference,))
        return lease

    def _next(self, locator: str, lease: Lease | None, *, wanted: bool = False) -> None:
        """Whoever is at the front leaves: call the next one.

        :param lease: the one at the front, if it has one. Another one has no say.
        :param wanted: other processes wait for it, too.
        """
        with self._lock:
            line = self._lines.get(locator)
            if line is None:
                return
            if lease is not None and (line.lease is None or line.lease() is not lease):
                return
            line.lease = None
            if not line.waiting:
                del self._lines[locator]
                return
            waiter = line.waiting.popleft()
            if wanted and monotonic() - line.began > _OWN_TURN:
                waiter.pauses = True
                line.began = 0.0
        waiter.set()

    def _timeout(self, locator: str, began: float) -> SessionLockTimeout:
        self._counters.lock_timeout()
        self._counters.waited(monotonic() - began)
        return SessionLockTimeout(
            f"other requests of this session took more than {self._longest_wait:g} s "
            "(STATE_SESSION_LOCK_WAIT)",
            handle=locator,
        )

    def _renew(self, lease: Lease, now: float) -> None:
        if now - lease.taken >= self._longest_lease:
            logger.warning(
                "A request of session %s has kept others waiting for %g s "
                "(STATE_SESSION_LOCK_MAX); its lease is renewed no more.",
                lease.locator,
                self._longest_lease,
            )
        else:
            try:
                change = Change(lease=LEASE_SECONDS)
                refused = self._store.commit(lease.locator, change, lease.fence).refused
            except StoreError as error:
                logger.info("A lease could not be renewed now: %s", error)
                return
            if refused is None:
                lease.renewed = now
                return
        self._next(lease.locator, lease)


def _is_held(reference: weakref.ref[Lease]) -> bool:
    lease = reference()
    return lease is not None and lease.held
