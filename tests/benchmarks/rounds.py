"""Times that can be compared: taken in turns, in one process, within one run.

A machine is never quiet, and its speed drifts. So all variants take turns of about a
millisecond; the best of a few turns is a round's time; ratios are made within a round, and the
median over many rounds is the result. The garbage collector runs between rounds only.
"""

from __future__ import annotations

import collections.abc as cabc
import gc
import random
import statistics
import time
import typing as t

from .wsgi import Visit

_TURN: t.Final = 0.001
"""Seconds that a turn takes, about."""
_TURNS: t.Final = 3
"""Turns of each variant in a round."""

Round = dict[str, float]
"""The best time of each variant, in seconds per request."""


class Spread(t.NamedTuple):
    """What many rounds say."""

    low: float
    """A quarter of them say less,"""
    median: float
    high: float
    """and a quarter say more."""


def measure(variants: cabc.Mapping[str, Visit], seconds: float) -> list[Round]:
    """Let all variants take turns for so many seconds, at least for three rounds."""
    calls = {name: _calls(visit) for name, visit in variants.items()}
    order = list(variants)
    shuffle = random.Random(1).shuffle
    rounds: list[Round] = []
    gc.collect()
    gc.freeze()  # what is here now stays: the collector need not look at it again
    gc.disable()
    end = time.perf_counter() + seconds
    try:
        while len(rounds) < 3 or time.perf_counter() < end:
            best = dict.fromkeys(order, float("inf"))
            for _ in range(_TURNS):
                shuffle(order)  # so that nobody always comes after the same one
                for name in order:
                    visit = variants[name]
                    visit()  # brings its code and data into the processor's caches
                    best[name] = min(best[name], visit(calls[name]))
            rounds.append(best)
            gc.collect()
    finally:
        gc.enable()
        gc.unfreeze()
    return rounds


def spread(values: cabc.Iterable[float]) -> Spread:
    """The quartiles."""
    return Spread(*statistics.quantiles(values, n=4))


def _calls(visit: Visit) -> int:
    visit(20)
    return max(3, round(_TURN / min(visit(5) for _ in range(5))))
