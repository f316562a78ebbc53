"""Waiting for what another process does, for engines that can't be told."""

from __future__ import annotations

import collections.abc as cabc
import time
import typing as t

from ..core.clock import SystemClock
from ..core.tokens import random_bytes

_FIRST_PAUSE: t.Final = 0.5e-3
_LONGEST_PAUSE: t.Final = 8e-3
"""With a fifth more or less, so that those who wait don't look in step."""

monotonic: t.Callable[[], float] = SystemClock.monotonic


def until(over: cabc.Callable[[], bool], timeout: float) -> bool:
    """Look every few milliseconds until something is over, and say whether it is.

    :param over: quick, and asked about 125 times a second.
    :param timeout: seconds after which nobody looks any more.
    """
    end = monotonic() + timeout
    stretch = 0.8 + random_bytes(1)[0] / 640
    pause = _FIRST_PAUSE
    while not over():
        left = end - monotonic()
        if left <= 0:
            return False
        # By its module, so that gevent may have put its own in place.
        time.sleep(min(left, pause * stretch))
        pause = min(pause * 1.5, _LONGEST_PAUSE)
    return True
