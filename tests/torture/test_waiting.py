"""Requests of one session that wait for each other: in order, for free, and never for long."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import pathlib
import random
import statistics
import time
import typing as t

import pytest

from tests.rig.browser import Answer
from tests.rig.browser import Browser
from tests.rig.coordinator import Coordinator
from tests.rig.deployments import GEVENT
from tests.rig.deployments import LMDB
from tests.rig.deployments import MEMORY
from tests.rig.deployments import Deployment
from tests.rig.effort import times
from tests.rig.gunicorn import Gunicorn

pytestmark = pytest.mark.torture

# Room for all that wait, for whoever has the lease, and for whoever asks how many wait.
ROOM: t.Final = {"FLASK_STATE_SESSION_LOCK_QUEUE": "64"}
WIDE: t.Final = dataclasses.replace(LMDB, threads=32, environment=ROOM)

each_deployment = pytest.mark.parametrize(
    "deployment", [WIDE, MEMORY, GEVENT], ids=["lmdb", "memory", "gevent"], scope="module"
)
two_processes = pytest.mark.parametrize(
    "deployment", [WIDE, GEVENT], ids=["lmdb", "gevent"], scope="module"
)

SAMPLES: t.Final = times(60)
SOON: t.Final = 0.1
"""Seconds that nobody needs who doesn't have to wait for somebody."""


def started(server: Gunicorn, *steps: str) -> Browser:
    """A browser that has a session."""
    browser = Browser(server)
    assert browser.run("set a first", *steps).status == 200
    return browser


def spread(workers: cabc.Sequence[int], count: int) -> list[int]:
    """Who is to answer each of so many requests."""
    return [workers[i % len(workers)] for i in range(count)]


@each_deployment
def test_six_slow_gets_of_one_session_overlap(server: Gunicorn, coordinator: Coordinator) -> None:
    """All have read the session, and are inside their views at the same time."""
    browser = started(server)
    under_way = [
        browser.start("read a", "stop inside", "read a", worker=worker)
        for worker in spread(server.workers(), 6)
    ]
    visits = [coordinator.wait("inside") for _ in under_way]
    for visit in visits:
        visit.go()
    assert [each.result().seen for each in under_way] == [["first", "first"]] * 6


@each_deployment
def test_posts_of_one_process_queue_in_order_of_arrival(
    server: Gunicorn, coordinator: Coordinator
) -> None:
    """S28: and each sees what the one before it has saved."""
    worker = server.workers()[0]
    browser = started(server)
    under_way = []
    for i in range(6):
        steps = [*(["read a", "stop first"] if i == 0 else []), f"append order {i}", "read order"]
        under_way.append(browser.start(*steps, worker=worker, method="POST"))
        if i == 0:
            first = coordinator.wait("first")
        else:
            server.wait_for_waiting(worker, i)
    first.go()
    answers = [each.result() for each in under_way]
    order = [str(i) for i in range(6)]
    assert [answer.seen[-1] for answer in answers] == [order[: i + 1] for i in range(6)]
    assert [answer.signals for answer in answers] == [[]] * 6


@two_processes
def test_posts_of_two_processes_all_get_through(server: Gunicorn, coordinator: Coordinator) -> None:
    """S28: in some order, and in that order each sees what all before it have saved."""
    workers = server.workers()
    browser = started(server)
    held = browser.start("read a", "stop held", worker=workers[0], method="POST")
    visit = coordinator.wait("held")
    under_way = [
        browser.start(f"append order {i}", "read order", worker=worker, method="POST")
        for i, worker in enumerate(spread(workers, 12))
    ]
    for worker in workers:
        server.wait_for_waiting(worker, 6)
    visit.go()
    held.result()
    saw = [each.result().seen[0] for each in under_way]
    (order,) = browser.run("read order").seen
    assert sorted(order) == sorted(str(i) for i in range(12))
    assert saw == [order[: order.index(str(i)) + 1] for i in range(12)]


@each_deployment
def test_who_waits_is_in_nobodys_way(server: Gunicorn, coordinator: Coordinator) -> None:
    """Neither in that of readers of the session, nor in that of writers of other sessions."""
    workers = server.workers()
    browser, other = started(server), started(server)
    held = browser.start("read a", "stop held", "set a held", worker=workers[0], method="POST")
    visit = coordinator.wait("held")
    under_way = [
        browser.start("read a", worker=worker, method="POST") for worker in spread(workers, 4)
    ]
    for worker in workers:
        server.wait_for_waiting(worker, 4 // len(workers))
    for worker in workers:
        assert browser.run("read a", "set b reader", worker=worker).seen == ["first"]
        assert other.run(f"set a {worker}", "read a", worker=worker, method="POST").seen == [
            str(worker)
        ]
    visit.go()
    held.result()
    assert [each.result().seen for each in under_way] == [["held"]] * 4
    assert browser.run("read b").seen == ["reader"]


@two_processes
def test_fifty_who_wait_cost_no_measurable_time_of_the_processor(
    server: Gunicorn, coordinator: Coordinator
) -> None:
    workers = server.workers()
    browser = started(server)
    idle = cpu_share(server, 1.0)
    held = browser.start("read a", "stop held", worker=workers[0], method="POST")
    visit = coordinator.wait("held")
    under_way = [
        browser.start("read a", worker=worker, method="POST") for worker in spread(workers, 50)
    ]
    for worker in workers:
        server.wait_for_waiting(worker, 25)
    busy = cpu_share(server, 3.0)
    visit.go()
    assert held.result().status == 200
    assert [each.result().status for each in under_way] == [200] * 50
    print(f"of one core: {busy:.1%} with 50 who wait, {idle:.1%} idle")
    assert busy - idle < 0.05


def cpu_share(server: Gunicorn, seconds: float) -> float:
    """How much of one core the workers use while nobody asks them for anything."""

    def used() -> float:
        return sum(server.cpu_seconds(worker) for worker in server.workers())

    before, begun = used(), time.monotonic()
    time.sleep(seconds)
    return (used() - before) / (time.monotonic() - begun)


@each_deployment
def test_who_waits_in_the_same_process_is_woken_at_once(
    server: Gunicorn, coordinator: Coordinator
) -> None:
    worker = server.workers()[0]
    assert median_of_waking(server, coordinator, worker, worker) < 0.01


@two_processes
def test_who_waits_in_another_process_is_woken_within_ten_milliseconds(
    server: Gunicorn, coordinator: Coordinator
) -> None:
    assert median_of_waking(server, coordinator, *server.workers()) < 0.01


def median_of_waking(server: Gunicorn, coordinator: Coordinator, holder: int, waiter: int) -> float:
    """Seconds from the holder's answer to the moment at which the next one has the session."""
    chance = random.Random(4_711)
    browser = started(server)
    took = []
    for _ in range(SAMPLES):
        held = browser.start("read a", "stop held", "set a 1", worker=holder, method="POST")
        visit = coordinator.wait("held")
        following = browser.start("read a", "clock", worker=waiter, method="POST")
        server.wait_for_waiting(waiter, 1)
        time.sleep(chance.uniform(0.03, 0.05))  # who has waited for a while looks less often
        visit.go()
        took.append(following.result().seen[1] - held.result().answered)
    took.sort()
    median = float(statistics.median(took))
    print(f"woken: p50 {median * 1000:.2f} ms, p99 {took[len(took) * 99 // 100] * 1000:.2f} ms")
    return median


class Way(t.NamedTuple):
    """What a request may do so that the lease is free."""

    status: int
    last: list[str]
    """Its last steps; where they stop, the lease is free before the request is over."""

    def __str__(self) -> str:
        return ", ".join(self.last)


WAYS: t.Final = [
    Way(500, ["raise"]),
    Way(500, ["status 500"]),
    Way(500, ["break"]),  # an `after_request` function raises
    Way(409, ["revoke HANDLE", "commit"]),
    Way(200, ["abandon", "stop left"]),
    Way(200, ["commit", "stop left"]),
]


@each_deployment
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_the_lease_is_free_at_once(way: Way, server: Gunicorn, coordinator: Coordinator) -> None:
    """S31: for whoever waits already, in that process and in another one, and who comes then."""
    workers = server.workers()
    browser = Browser(server)
    (handle,) = browser.run("set a first", "handle").seen
    other = browser.twin()
    steps = ["read a", "stop inside", "set a 1", *(s.replace("HANDLE", handle) for s in way.last)]
    slow = browser.start(*steps, worker=workers[0], method="POST")
    visit = coordinator.wait("inside")
    under_way = [other.start("read a", "clock", worker=each, method="POST") for each in workers]
    for each in workers:
        server.wait_for_waiting(each, 1)
    released = time.monotonic()
    visit.go()
    left = coordinator.wait("left") if "stop left" in way.last else None
    if left is None:
        slow.result()
    for each in workers:
        under_way.append(other.start("read a", "clock", worker=each, method="POST"))
    took = [each.result().seen[1] - released for each in under_way]
    if left is not None:
        left.go()
    assert slow.result().status == way.status
    print(f"{way}: {', '.join(f'{each * 1000:.1f} ms' for each in took)}")
    assert max(took) < SOON


def limited(deployment: Deployment, **settings: str) -> Deployment:
    """A deployment with settings of its own."""
    environment = {f"FLASK_STATE_SESSION_LOCK_{name}": value for name, value in settings.items()}
    return dataclasses.replace(deployment, threads=8, environment=environment)


each_engine = pytest.mark.parametrize("engine", [LMDB, MEMORY], ids=["lmdb", "memory"])


def check_refused(answer: Answer) -> None:
    """Somebody was told to come again."""
    assert answer.status == 503
    assert int(answer.retry_after) > 0
    assert answer.cookies == []


@each_engine
def test_one_more_than_may_wait_is_refused_at_once(
    engine: Deployment, coordinator: Coordinator, tmp_path: pathlib.Path
) -> None:
    """S30: in each process by itself."""
    with limited(engine, QUEUE="2").serve(coordinator, tmp_path) as server:
        browser = started(server)
        workers = server.workers()
        held = browser.start("read a", "stop held", "add n", worker=workers[0], method="POST")
        visit = coordinator.wait("held")
        under_way = []
        for worker in workers:
            # In another process the first is at the front of the line, where it asks the store.
            for count in range(1, 3 + (worker != workers[0])):
                under_way.append(browser.start("add n", worker=worker, method="POST"))
                server.wait_for_waiting(worker, count)
            begun = time.monotonic()
            check_refused(browser.run("add n", worker=worker, method="POST"))
            assert time.monotonic() - begun < SOON
        visit.go()
        assert held.result().seen[-1] == 1
        assert [each.result().status for each in under_way] == [200] * len(under_way)
        for worker in workers:
            browser.run("add n", worker=worker, method="POST")
        assert browser.run("read n").seen == [1 + len(under_way) + len(workers)]
        server.check_log()


@each_engine
def test_who_has_waited_for_long_enough_is_refused(
    engine: Deployment, coordinator: Coordinator, tmp_path: pathlib.Path
) -> None:
    """S30: at the front of the line and behind it, and all works as before afterwards."""
    with limited(engine, WAIT="0.5").serve(coordinator, tmp_path) as server:
        browser = started(server)
        workers = server.workers()
        held = browser.start("read a", "stop held", "add n", worker=workers[0], method="POST")
        visit = coordinator.wait("held")
        begun = time.monotonic()
        under_way = [
            browser.start("add n", worker=worker, method="POST") for worker in spread(workers, 6)
        ]
        for each in under_way:
            check_refused(each.result())
        assert 0.5 <= time.monotonic() - begun < 1.0
        assert [server.waiting(worker) for worker in workers] == [0] * len(workers)
        visit.go()
        assert held.result().seen[-1] == 1
        for worker in workers:
            browser.run("add n", worker=worker, method="POST")
        assert browser.run("read n").seen == [1 + len(workers)]
        server.check_log()
