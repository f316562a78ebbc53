"""Many clients that count at once in one session count right, whatever happens to its workers."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import pathlib
import random
import statistics
import threading
import time
import typing as t

import pytest

from tests.rig.browser import Browser
from tests.rig.browser import exchange
from tests.rig.browser import target
from tests.rig.coordinator import Coordinator
from tests.rig.deployments import GEVENT
from tests.rig.deployments import LMDB
from tests.rig.deployments import MEMORY
from tests.rig.deployments import Deployment
from tests.rig.effort import times
from tests.rig.gunicorn import Gunicorn

pytestmark = pytest.mark.torture

CLIENTS: t.Final = 16
INCREMENTS: t.Final = times(500)
"""Of each client."""

LEASE: t.Final = 10.0
"""Seconds for which a lease lasts that nobody renews."""

FOUR_PROCESSES: t.Final = dataclasses.replace(LMDB, workers=4, threads=4)
ONE_PROCESS: t.Final = dataclasses.replace(MEMORY, workers=1, threads=16)


class Clicker:
    """A client that increments the counter, one time after the other, over one connection.

    :param worker: the one to begin with. When it dies, the next to take the connection follows.
    :param count: how many increments are to be acknowledged.
    """

    def __init__(self, server: Gunicorn, cookie: bytes, worker: int, count: int) -> None:
        self.acknowledged = 0
        self.unanswered = 0
        """Requests of which nobody knows what became."""
        self.waits: list[float] = []
        """Seconds until each answer."""
        self.wrong = ""
        """An answer that a request must not get."""
        self._cookie = cookie
        self._count = count
        self._connection = server.connections.take(worker)
        self._thread = threading.Thread(target=self._click, name="clicker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """Whether there is more to do."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Wait until all is done."""
        self._thread.join()
        self._connection.close()

    def _click(self) -> None:
        path, last = target("add n"), 0
        while self.acknowledged < self._count and not self.wrong:
            begun = time.monotonic()
            try:
                answer = exchange(self._connection, path, self._cookie, method="POST")
            except OSError:
                self.unanswered += 1
                continue
            self.waits.append(time.monotonic() - begun)
            if answer.status != 200 or answer.signals or answer.seen[0] <= last:
                self.wrong = f"after {last}: {answer}"
                return
            (last,) = answer.seen
            self.acknowledged += 1


@contextlib.contextmanager
def clicking(
    server: Gunicorn, browser: Browser, workers: cabc.Sequence[int], clients: int, count: int
) -> cabc.Iterator[list[Clicker]]:
    """Clients that click meanwhile, as many at each worker; at the end all are done and right."""
    clickers = [
        Clicker(server, browser.header, workers[i % len(workers)], count) for i in range(clients)
    ]
    begun = time.monotonic()
    for clicker in clickers:
        clicker.start()
    try:
        yield clickers
    finally:
        for clicker in clickers:
            clicker.stop()
    took = time.monotonic() - begun
    assert [clicker.wrong for clicker in clickers] == [""] * clients
    waits = sorted(wait for clicker in clickers for wait in clicker.waits)
    print(
        f"{len(waits)} increments in {took:.1f} s, {len(waits) / took:.0f} a second; wait: "
        f"median {statistics.median(waits) * 1000:.1f} ms, "
        f"p99 {waits[len(waits) * 99 // 100] * 1000:.1f} ms, longest {waits[-1] * 1000:.0f} ms; "
        f"{sum(clicker.unanswered for clicker in clickers)} requests without an answer"
    )


def longest(clickers: cabc.Iterable[Clicker]) -> float:
    """Seconds that somebody waited for an answer."""
    return max(wait for clicker in clickers for wait in clicker.waits)


def started(server: Gunicorn) -> Browser:
    """A browser with a session that has nothing but the counter."""
    browser = Browser(server)
    assert browser.run("add n").seen == [1]
    return browser


@pytest.mark.parametrize(
    ("deployment", "count"),
    [(FOUR_PROCESSES, INCREMENTS), (ONE_PROCESS, INCREMENTS), (GEVENT, INCREMENTS // 4)],
    ids=["lmdb", "memory", "gevent"],
)
def test_no_increment_is_lost(
    deployment: Deployment, count: int, coordinator: Coordinator, tmp_path: pathlib.Path
) -> None:
    """S28: every POST has the session to itself, from its first touch to its save."""
    with deployment.serve(coordinator, tmp_path) as server:
        browser = started(server)
        with clicking(server, browser, server.workers(), CLIENTS, count) as clickers:
            pass
        assert browser.run("read n").seen == [1 + CLIENTS * count]
        assert sum(clicker.unanswered for clicker in clickers) == 0
        assert longest(clickers) < LEASE
        server.check_log()


def test_no_increment_is_lost_though_workers_are_killed(
    coordinator: Coordinator, tmp_path: pathlib.Path
) -> None:
    """S29: about every second one dies, in the middle of whatever it does."""
    chance = random.Random(4_711)
    kills = 0
    with FOUR_PROCESSES.serve(coordinator, tmp_path) as server:
        browser = started(server)
        with clicking(server, browser, server.workers(), CLIENTS, INCREMENTS) as clickers:
            while any(clicker.is_busy for clicker in clickers):
                time.sleep(chance.uniform(0.5, 1.0))
                server.kill(chance.choice(server.workers()))
                server.next_worker()
                kills += 1
        (count,) = browser.run("read n").seen
        server.check_log()
    unanswered = sum(clicker.unanswered for clicker in clickers)
    print(f"{kills} kills; the counter stands at {count}")
    assert kills >= 3
    assert unanswered > 0, "nobody was hit"
    assert 0 <= count - 1 - CLIENTS * INCREMENTS <= unanswered
    assert longest(clickers) < LEASE + 1


def test_who_waits_for_a_holder_that_is_killed_goes_on_at_once(
    coordinator: Coordinator, tmp_path: pathlib.Path
) -> None:
    """S29: the engine sees that its process is gone, and waits for no lease to run out."""
    with LMDB.serve(coordinator, tmp_path) as server:
        killed, other = server.workers()
        browser = started(server)
        holder = browser.start("read n", "stop holding", "add n", worker=killed, method="POST")
        visit = coordinator.wait("holding")
        under_way = [browser.start("add n", "clock", worker=other, method="POST") for _ in range(3)]
        server.wait_for_waiting(other, 3)
        begun = time.monotonic()
        server.kill(killed)
        answers = [each.result() for each in under_way]
        visit.close()
        assert isinstance(holder.exception(), OSError)
        assert sorted(answer.seen[0] for answer in answers) == [2, 3, 4]
        took = max(answer.seen[1] for answer in answers) - begun
        print(f"all three have had the session {took * 1000:.1f} ms after the kill")
        assert took < 1
        server.next_worker()
        server.check_log()


def test_a_stopped_holder_holds_up_others_for_one_lease_and_saves_nothing(
    coordinator: Coordinator, tmp_path: pathlib.Path
) -> None:
    """S29: it can't be told from a slow one, until its lease has run out."""
    # By default nobody waits for longer than a lease lasts, so who came before it was granted
    # might give up a moment too early.
    patient = dataclasses.replace(LMDB, environment={"FLASK_STATE_SESSION_LOCK_WAIT": "15"})
    with patient.serve(coordinator, tmp_path) as server:
        stopped, other = server.workers()
        browsers = [started(server), started(server)]
        late = []
        for browser, last in zip(browsers, ([], ["commit"]), strict=True):
            steps = ["read n", "stop holding", "add n", *last]
            late.append(browser.start(*steps, worker=stopped, method="POST"))
        visits = [coordinator.wait("holding") for _ in late]
        server.suspend(stopped)
        try:
            with (
                clicking(server, browsers[0], [other], 2, 20) as first,
                clicking(server, browsers[1], [other], 2, 20) as second,
            ):
                pass
        finally:
            for visit in visits:
                visit.go()
            server.resume(stopped)
        for clickers in (first, second):
            assert LEASE - 1 < longest(clickers) < LEASE + 1
            assert [sum(wait > 1 for wait in each.waits) for each in clickers] == [1, 1]
        for browser, under_way in zip(browsers, late, strict=True):
            answer = under_way.result()
            assert (answer.status, answer.signals) == (409, [["conflict", "lost"]])
            assert answer.cookies == []
            # All works again, and at once, in the worker that was stopped as well.
            assert browser.run("add n", worker=stopped, method="POST").seen == [1 + 40 + 1]
        server.check_log()
