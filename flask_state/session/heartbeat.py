"""One thread per process that keeps the leases of long requests."""

from __future__ import annotations

import logging
import threading
import typing as t
import weakref

from ..core.forks import after_fork_in_child
from ..core.forks import fork_safe_lock

logger: logging.Logger = logging.getLogger("flask_state.session")


class Renewing(t.Protocol):
    """What the heartbeat looks after."""

    def renew(self) -> None:
        """Do what is due."""
        ...


class Heartbeat:
    """Calls `renew` of all it was shown, every `interval` seconds.

    The thread starts with the first of them, knows them weakly, and ends with the last. A
    forked child has none, and starts its own. `_lock` guards the set and the flag.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._lock = fork_safe_lock()
        self._shown: weakref.WeakSet[Renewing] = weakref.WeakSet()
        self._runs = False
        after_fork_in_child(self)

    def show(self, each: Renewing) -> None:
        """Look after this from now on, too."""
        with self._lock:
            self._shown.add(each)
            if self._runs:
                return
            self._runs = True
        try:
            threading.Thread(target=self._run, name="flask_state-heartbeat", daemon=True).start()
        except RuntimeError:  # no room for another thread, or the process is ending
            self._runs = False
            logger.warning("Leases are not renewed: no thread could be started for it.")

    def after_fork_in_child(self) -> None:
        """Forget the parent's: whoever works here will show itself."""
        self._runs = False
        self._shown = weakref.WeakSet()

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(self._interval)
            with self._lock:
                shown = list(self._shown)
                if not shown:
                    self._runs = False
                    return
            while shown:
                try:
                    shown.pop().renew()
                except Exception:
                    # One application's fault must not cost the others their leases.
                    logger.exception("Leases could not be renewed.")
