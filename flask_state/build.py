"""From settings to the parts of one application. Reads no configuration and knows no request."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import typing as t

from .core import registry
from .core.clock import Clock
from .core.codec import Codec
from .core.keyring import Keyring
from .core.settings import Settings
from .session.adoption import Adoption
from .session.changes import ChangeMaker
from .session.counters import Counters
from .session.ids import Ids
from .session.leases import Leases
from .session.lifetime import Lifetime
from .session.manager import SessionManager
from .session.owners import OwnerCap
from .session.probes import Probes
from .session.sessions import Sessions
from .session.sweeper import Sweeper
from .session.watched import Notify
from .session.watched import WatchedStore


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """What an application has of flask_state."""

    store: WatchedStore
    manager: SessionManager
    sessions: Sessions


def build(
    settings: Settings,
    *,
    codec: Codec,
    ids: Ids,
    clock: Clock,
    keyring: cabc.Callable[[], Keyring],
    idle_timeout: cabc.Callable[[], float],
    session_url: cabc.Callable[[], t.Any],
    sweeps: cabc.Callable[[], bool],
    notify: Notify,
) -> Parts:
    """Make the parts. Nothing is opened yet.

    :param keyring: asked at each use for the keys.
    :param idle_timeout: asked at each use for the default idle timeout in seconds.
    :param session_url: asked at the first use of a session for the URL of their store.
    :param sweeps: asked after a commit whether this process may start a sweeper.
    :param notify: told of events.
    """
    counters = Counters()
    notify = counters.around(notify)
    lifetime = Lifetime(idle_timeout, settings.session_absolute_timeout)

    def on_commit() -> bool:
        if not sweeps():
            return False
        sweeper.start()
        return True

    store = WatchedStore(
        lambda: registry.open_sessions(session_url(), clock),
        fingerprints=lambda: keyring().fingerprints,
        notify=notify,
        on_commit=on_commit,
        on_end=counters.marked,
    )
    sessions = Sessions(store, notify, codec=codec, counters=counters)
    sweeper = Sweeper(sessions, settings.session_sweep_interval, clock)
    changes = ChangeMaker(settings=settings, keyring=keyring, ids=ids, lifetime=lifetime)
    adoption = Adoption(store=store, changes=changes, keyring=keyring, ids=ids, lifetime=lifetime)
    manager = SessionManager(
        store=store,
        changes=changes,
        adoption=adoption,
        settings=settings,
        codec=codec,
        lifetime=lifetime,
        ids=ids,
        leases=Leases(store=store, settings=settings, counters=counters),
        owner_cap=OwnerCap(store, settings.session_max_per_owner),
        probes=Probes(settings.session_probe_limit, clock),
        notify=notify,
    )
    return Parts(store, manager, sessions)
