"""One thread per process that clears away ended sessions."""

from __future__ import annotations

import logging
import os
import threading
import typing as t
import weakref

from ..core.clock import Clock
from ..core.tokens import random_bytes
from ..errors import StoreError
from .sessions import Sessions

logger: logging.Logger = logging.getLogger("flask_state.session")

BATCH: t.Final = 100
_PAUSE: t.Final = 2.0
"""After a batch it rests this many times as long as the batch took, so that commits get through."""


class Sweeper:
    """Sweeps every `interval` seconds, or so: processes should not do it in step.

    Started by the first commit of a process; a forked child starts its own. The thread knows
    the sessions weakly and ends with them.
    """

    def __init__(self, sessions: Sessions, interval: float, clock: Clock) -> None:
        self._sessions = weakref.ref(sessions)
        self._interval = interval
        self._clock = clock
        self._pid = 0

    def start(self) -> None:
        """Start the thread, unless this process has it or the interval is 0."""
        if self._interval == 0 or self._pid == os.getpid():
            return
        self._pid = os.getpid()
        stop = threading.Event()
        sessions = self._sessions()
        if sessions is not None:
            weakref.finalize(sessions, stop.set).atexit = False
        threading.Thread(
            target=_run,
            args=(self._sessions, self._interval, self._clock, stop),
            name="flask_state-sweeper",
            daemon=True,
        ).start()


def _run(
    reference: weakref.ref[Sessions], interval: float, clock: Clock, stop: threading.Event
) -> None:
    while not stop.wait(interval * (0.75 + random_bytes(1)[0] / 512)):
        try:
            while _sweep_once(reference, clock, stop):
                pass
        except StoreError as error:
            logger.info("A sweep was cut short: %s", error)
        except Exception:
            # A receiver's or an engine's fault must not end the sweeping of this process.
            logger.exception("A sweep failed.")


def _sweep_once(reference: weakref.ref[Sessions], clock: Clock, stop: threading.Event) -> bool:
    sessions = reference()
    if sessions is None:
        return False
    claimed, rest = sweep_batch(sessions, clock)
    del sessions
    return claimed > 0 and not stop.wait(rest)


def sweep_batch(sessions: Sessions, clock: Clock) -> tuple[int, float]:
    """Sweep a batch: how many were claimed, and for how many seconds to rest after it.

    None claimed means that nothing is left to do.
    """
    started = clock.monotonic()
    claimed = sessions.sweep(BATCH)
    return claimed, (clock.monotonic() - started) * _PAUSE
