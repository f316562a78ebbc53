"""What is measured, what it is compared with, and what is to be reached."""

from __future__ import annotations

import contextlib
import typing as t

import flask

from . import apps
from .rounds import Round
from .rounds import Spread
from .rounds import spread
from .wsgi import Visit

BARE: t.Final = "bare view, no key"


class Row(t.NamedTuple):
    """One comparison."""

    job: str
    ours: str
    """A variant,"""
    reference: str
    """and the one it is divided by."""
    to_reach: float | None = None
    """The ratio; None where the row only informs."""
    over_bare: bool = True
    """Whether the time of the bare view is taken from both first."""


class Result(t.NamedTuple):
    """What came out of a row."""

    row: Row
    ratio: Spread

    @property
    def reached(self) -> bool | None:
        """Whether it is as fast as it should be; None where nothing is asked."""
        return None if self.row.to_reach is None else self.ratio.median <= self.row.to_reach


def variants(engines: dict[str, str], stack: contextlib.ExitStack) -> dict[str, Visit]:
    """Everything that takes part, by name.

    :param engines: the URL of each engine under its name.
    :param stack: closes their stores in the end.
    """
    plain, signed, peer = apps.bare(), apps.signed_cookie(), apps.flask_session()
    untouched = apps.with_state("memory://")
    stack.callback(apps.close, untouched)
    found = {
        BARE: _with_cookie_of(untouched, plain, "/bare"),
        "floor": _with_cookie_of(untouched, plain, "/floor"),
        "bare view, extension": apps.filled(untouched, "/bare"),
        # One number in it, the cheapest for Flask; with 2 KB it is nearly twice as slow.
        "bare view, signed cookie": apps.filled(signed, "/bare", apps.TINY),
        "read, signed cookie": apps.filled(signed, "/read"),
        "write, signed cookie": apps.filled(signed, "/write"),
    }
    for engine, url in engines.items():
        for verb in ("read", "write"):
            app = apps.with_state(url)
            stack.callback(apps.close, app)
            found[f"{verb}, {engine}"] = apps.filled(app, f"/{verb}")
            alone = apps.with_state(url)  # an application of its own: leases leave a receiver
            stack.callback(apps.close, alone)
            found[f"{verb}, {engine}, merging"] = apps.filled(alone, f"/{verb}")
            found[f"{verb}, {engine}, exclusive"] = apps.filled(alone, f"/{verb}-alone")
            for shape, items in _LARGE.items():
                found[f"{verb} one of {shape}, {engine}"] = apps.filled(app, f"/{verb}", items)
    if peer is not None:
        for verb in ("read", "write"):
            found[f"{verb}, Flask-Session"] = apps.filled(peer, f"/{verb}")
    return found


_LARGE: t.Final = {"20 of 10 KB": apps.LONG_ITEMS, "2,000 of 100 B": apps.MANY_ITEMS}
_REACH: t.Final = {
    ("read", "floor"): {"memory": 1.35, "lmdb": 1.45},
    ("read", "signed cookie"): {"memory": 0.40, "lmdb": 0.45},
    ("write", "signed cookie"): {"memory": 0.25, "lmdb": 0.32},
}


def rows(engines: dict[str, str], *, peer: bool) -> list[Row]:
    """The comparisons, in the order of the table."""
    untouched, signed = "bare view, extension", "bare view, signed cookie"
    table = [
        Row("bare view, cookie present", untouched, BARE, 1.04, over_bare=False),
        Row("bare view, cookie present", untouched, signed, 0.65, over_bare=False),
    ]
    for (verb, other), to_reach in _REACH.items():
        reference = other if other == "floor" else f"{verb}, {other}"
        for engine in engines:
            ours = f"{verb}, {engine}"
            table.append(Row(f"session {verb}", ours, reference, to_reach.get(engine)))
    for verb in ("write", "read"):
        for engine in engines:
            ours, reference = f"{verb}, {engine}, exclusive", f"{verb}, {engine}, merging"
            most = 1.15 if verb == "write" else None
            table.append(Row(f"exclusive {verb}", ours, reference, most, over_bare=False))
    for verb in ("read", "write"):
        for shape in _LARGE:
            for engine in engines:
                ours = f"{verb} one of {shape}, {engine}"
                table.append(Row(f"200 KB, {verb}", ours, f"{verb}, {engine}", 1.3))
    if peer:
        for verb in ("read", "write"):
            reference = f"{verb}, Flask-Session"
            table += [Row(f"session {verb}", f"{verb}, {e}", reference) for e in engines]
    return table


def results(table: list[Row], rounds: list[Round]) -> list[Result]:
    """The ratio of each row: made within every round."""
    return [Result(row, spread(_ratio(row, each) for each in rounds)) for row in table]


def _ratio(row: Row, times: Round) -> float:
    base = times[BARE] if row.over_bare else 0.0
    return (times[row.ours] - base) / (times[row.reference] - base)


def _with_cookie_of(owner: flask.Flask, app: flask.Flask, path: str) -> Visit:
    """A request with a cookie that another application set: this one doesn't know it."""
    fill = f"/fill/{apps.SMALL.items}/{apps.SMALL.length}"
    return Visit(app, path, Visit(owner, fill).answer().cookie())
