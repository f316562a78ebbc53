"""What happened to the sessions of an application in this process, as numbers."""

from __future__ import annotations

import typing as t

from ..core.forks import after_fork_in_child
from ..core.forks import fork_safe_lock
from ..stores.base import ABANDONED
from ..stores.base import EXPIRED
from ..stores.base import REVOKED
from .watched import Notify


class CounterValues(t.NamedTuple):
    """The counters at one moment.

    `active` is asked of the store, for all processes. All others count what this process did
    since it began: a forked child starts at zero, and the numbers of an application are the
    sums over its processes.
    """

    active: int
    """Sessions that live."""
    started: int
    """Sessions stored for the first time, taken-over cookies included."""
    abandoned: int
    """Sessions that this process ended by `session.abandon()`, or by saving them empty."""
    expired: int
    """Expired sessions that this process swept. One whose receivers fail counts when all of
    them have returned, so that it counts once, whoever claims it and how often."""
    revoked: int
    """Sessions that this process ended by `state.sessions`, the CLI or the cap per owner."""
    damaged: int
    """Sessions found to be unreadable."""
    renewed: int
    """New ids for sessions that went on."""
    rejected: int
    """Requests that presented an id that is none."""
    conflicts: int
    """Signals `session_conflict`: a save that met another one. Those that raised at once, as
    `STATE_SESSION_ON_CONFLICT` may have it, are the view's business."""
    lease_waits: int
    """Requests that waited for another one of their session, however that ended."""
    lease_wait_seconds: float
    """How long they waited, in seconds, all together."""
    lease_timeouts: int
    """Requests that gave up waiting, or that found too many waiting already: each a 503."""
    outages: int
    """Times that the store stopped answering."""


_EVENTS: t.Final = {
    "started": "started",
    "renewed": "renewed",
    "rejected": "rejected",
    "conflict": "conflicts",
    "damaged": "damaged",
    "store_down": "outages",
}
"""The events that are counted when they happen, whoever hears of them."""

_MARKED: t.Final = {ABANDONED: "abandoned", REVOKED: "revoked"}
"""The ends that are counted when they are marked: this process does that, and once, because a
commit to an ended record is refused."""


class Counters:
    """Counts. May be called from any thread.

    `_lock` guards the numbers, for the time of an addition.
    """

    def __init__(self) -> None:
        self._lock = fork_safe_lock()
        self._numbers = _zeros()
        self._wait_seconds = 0.0
        after_fork_in_child(self)

    def after_fork_in_child(self) -> None:
        """Start at zero: what the parent did, the parent counts."""
        self._numbers = _zeros()
        self._wait_seconds = 0.0

    def around(self, notify: Notify) -> Notify:
        """The same `notify`, whose events are counted. Receivers see no difference."""

        def counted(event: str, **facts: t.Any) -> bool:
            name = _EVENTS.get(event)
            if name is not None:
                self._add(name)
            returned = notify(event, **facts)
            if returned and event == "ended" and facts["reason"] == EXPIRED:
                self._add("expired")
            return returned

        return counted

    def marked(self, reason: str) -> None:
        """A session was ended in the store, for this reason."""
        name = _MARKED.get(reason)
        if name is not None:
            self._add(name)

    def waited(self, seconds: float) -> None:
        """A request waited so long for another one of its session."""
        with self._lock:
            self._numbers["lease_waits"] += 1
            self._wait_seconds += seconds

    def lock_timeout(self) -> None:
        """A request was not let in."""
        self._add("lease_timeouts")

    def values(self, active: int) -> CounterValues:
        """All counters at this moment.

        :param active: how many sessions live, which only the store knows.
        """
        with self._lock:
            numbers, seconds = dict(self._numbers), self._wait_seconds
        return CounterValues(active=active, lease_wait_seconds=seconds, **numbers)

    def _add(self, name: str) -> None:
        with self._lock:
            self._numbers[name] += 1


def _zeros() -> dict[str, int]:
    elsewhere = {"active", "lease_wait_seconds"}
    return dict.fromkeys((name for name in CounterValues._fields if name not in elsewhere), 0)
