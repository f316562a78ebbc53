"""An application whose sessions have ended, and processes that sweep it and die of it."""

from __future__ import annotations

import collections
import collections.abc as cabc
import contextlib
import functools
import itertools
import json
import logging
import mmap
import multiprocessing
import os
import pathlib
import random
import signal
import struct
import typing as t

import flask

from flask_state import FlaskState
from flask_state import session
from flask_state import signals
from flask_state.stores.base import Record
from flask_state.stores.lmdb.sessions import LMDBSessionStore
from tests.stores.lmdb.forked import fork
from tests.stores.lmdb.forked import status_of

PROCESSES: t.Final = 4
LEASE: t.Final = 60.0
"""Seconds after which a claimed end that was not delivered is claimed again."""
EXPIRY: t.Final = 40 * 86_400.0

_NUMBER = struct.Struct("d")


class SharedClock:
    """A clock that stands until a test moves it, for all processes forked from it."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _NUMBER.size)
        _NUMBER.pack_into(self._memory, 0, 1_800_000_000.0)

    def time(self) -> float:
        """The moment it stands at."""
        return float(_NUMBER.unpack_from(self._memory)[0])

    def monotonic(self) -> float:
        """The same."""
        return self.time()

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`, in every process."""
        _NUMBER.pack_into(self._memory, 0, self.time() + seconds)


class Fate:
    """Where a process kills itself by `kill -9`, if at all.

    :param place: where.
    :param times: how often it comes by before.
    """

    PLACES: t.Final = ("claimed", "told", "delivered", "forgotten")
    """After a claim; after one receiver was told, before another one is; when all were told,
    before the record is forgotten; and right after that."""

    def __init__(self, place: str = "", times: int = 0) -> None:
        self._place = place
        self._times = times

    def comes_by(self, place: str) -> None:
        """Die, if this is the place."""
        if place == self._place:
            self._times -= 1
            if self._times < 0:
                os.kill(os.getpid(), signal.SIGKILL)


class MortalStore(LMDBSessionStore):
    """A store whose process dies where its fate says."""

    fate = Fate()

    def claim(self, limit: int, lease: float) -> list[Record]:
        claimed = super().claim(limit, lease)
        if claimed:
            self.fate.comes_by("claimed")
        return claimed

    def forget(self, locator: str) -> None:
        self.fate.comes_by("delivered")
        super().forget(locator)
        self.fate.comes_by("forgotten")


class Told(t.NamedTuple):
    """One call of a receiver."""

    time: float
    handle: str
    reason: str
    owner: str | None
    items: dict[str, t.Any]
    good: bool
    """Whether it returned, and did not raise."""


class Receiver:
    """A receiver of `session_ended` that writes down every call, whichever process it is in.

    :param path: its file. A line is appended at once, and whole.
    :param mood: asked at each call whether to raise.
    """

    def __init__(self, path: pathlib.Path, mood: cabc.Callable[[], bool] = lambda: False) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._mood = mood
        self.clock: SharedClock
        self.fate = Fate()

    def __call__(self, sender: flask.Flask, **facts: t.Any) -> None:
        raises = self._mood()
        fields = [facts[name] for name in ("handle", "reason", "owner", "items")]
        line = json.dumps([self.clock.time(), *fields, not raises]) + "\n"
        assert os.write(self._file, line.encode()) == len(line)
        self.fate.comes_by("told")
        if raises:
            raise ZeroDivisionError("the receiver is in no mood")

    def calls(self) -> list[Told]:
        """All calls, in every process."""
        return [Told(*json.loads(line)) for line in self._path.read_text().splitlines()]

    def close(self) -> None:
        """Close its file."""
        os.close(self._file)


Expected = dict[str, tuple[str, str, dict[str, t.Any]]]
"""What is to be told of each handle: reason, owner, last items."""


class EndingSite:
    """An application over LMDB, for this process and those it forks."""

    def __init__(self, path: pathlib.Path) -> None:
        self.clock = SharedClock()
        self.store = MortalStore(path, clock=self.clock)
        self.app = flask.Flask("ends", static_folder=None)
        self.app.config.update(
            TESTING=True, SECRET_KEY="a secret key of the ends", STATE_SESSION_URL=self.store
        )
        self.app.add_url_rule("/begin/<int:number>", view_func=_begin)
        self.app.add_url_rule("/abandon", view_func=lambda: session.abandon() or "")
        self.state = FlaskState(self.app, clock=self.clock)
        self.receivers: list[Receiver] = []

    def connect(self, *receivers: Receiver) -> None:
        """Have these told of ends, here and in the processes forked from now on."""
        for receiver in receivers:
            receiver.clock = self.clock
            signals.session_ended.connect(receiver, self.app)
            self.receivers.append(receiver)

    def close(self) -> None:
        """Be told nothing more."""
        for receiver in self.receivers:
            signals.session_ended.disconnect(receiver, self.app)
            receiver.close()
        self.store.close()

    def end_many(self, number: int) -> Expected:
        """End so many sessions, half of them by letting them expire."""
        expected: Expected = {}
        for each in range(number):
            client = self.app.test_client()
            handle = client.get(f"/begin/{each}").text
            reason = "expired"
            if each % 4 == 0:
                client.get("/abandon")
                reason = "abandoned"
            elif each % 4 == 1:
                with self.app.app_context():
                    assert self.state.sessions.end(handle)
                reason = "revoked"
            expected[handle] = (reason, f"owner-{each % 7}", {"n": each, "cart": ["tea", each]})
        self.clock.advance(EXPIRY)
        return expected

    def sweep(self, limit: int = 25) -> int:
        """Sweep, here, until nothing is left to do; how many were claimed."""
        total = 0
        with self.app.app_context():
            while claimed := self.state.sessions.sweep(limit):
                total += claimed
        return total

    def sweep_in_processes(self, fates: cabc.Sequence[Fate] = (Fate(),) * PROCESSES) -> list[int]:
        """Sweep in processes that begin together, one for each fate; the status of each."""
        met = multiprocessing.get_context("fork").Barrier(len(fates))

        def work(fate: Fate) -> None:
            logging.disable()  # what a receiver raises is logged, and is of no interest
            random.seed()
            self.store.fate = fate
            for receiver in self.receivers:
                receiver.fate = fate
            met.wait(60)
            self.sweep()

        children = [fork(functools.partial(work, fate)) for fate in fates]
        return [status_of(child) for child in children]

    def assert_nothing_left(self) -> None:
        """Whenever somebody sweeps, there is nothing to be told of."""
        told = [len(receiver.calls()) for receiver in self.receivers]
        self.clock.advance(10 * EXPIRY)
        with self.app.app_context():
            assert self.state.sessions.count() == 0
        assert self.sweep() == 0
        assert [len(receiver.calls()) for receiver in self.receivers] == told


def _begin(number: int) -> str:
    session["n"] = number
    session["cart"] = ["tea"]
    session["cart"].append(number)
    session.owner = f"owner-{number % 7}"
    handle = session.handle
    assert handle is not None
    return handle


def assert_right(receiver: Receiver, expected: Expected) -> None:
    """Every end was told, each with its reason, owner and last items, and none that was not."""
    calls = receiver.calls()
    for call in calls:
        assert (call.reason, call.owner, call.items) == expected[call.handle]
    assert {call.handle for call in calls if call.good} == set(expected)


def assert_once_per_lease(receiver: Receiver) -> None:
    """While one process may still be at it, no other one tells the same."""
    times: dict[str, list[float]] = collections.defaultdict(list)
    for call in receiver.calls():
        times[call.handle].append(call.time)
    for each in times.values():
        each.sort()
        assert all(after - before >= LEASE for before, after in itertools.pairwise(each))


@contextlib.contextmanager
def ending_site(path: pathlib.Path) -> cabc.Iterator[EndingSite]:
    """A site over an empty store, closed in the end."""
    site = EndingSite(path)
    try:
        yield site
    finally:
        site.close()
