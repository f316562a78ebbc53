"""Sessions are one and the same in all workers, whatever happens to those."""

from __future__ import annotations

import itertools
import pathlib

import pytest

from tests.rig.browser import Browser
from tests.rig.coordinator import Coordinator
from tests.rig.deployments import GEVENT
from tests.rig.deployments import LMDB
from tests.rig.deployments import MEMORY
from tests.rig.gunicorn import Gunicorn

pytestmark = pytest.mark.torture

each_deployment = pytest.mark.parametrize(
    "deployment", [LMDB, MEMORY, GEVENT], ids=["lmdb", "memory", "gevent"], scope="module"
)

TOGETHER = 4
"""Requests that meet inside their views: as many as one worker has threads for."""


@each_deployment
def test_200_parallel_requests_of_one_session_lose_no_item(
    server: Gunicorn, coordinator: Coordinator
) -> None:
    """S26: all have read the session before any of those they meet has written it."""
    browser = Browser(server)
    browser.run("set seed 0")
    before = browser.cookies
    coordinator.gather("together", TOGETHER)
    under_way = [
        browser.start("read seed", "stop together", f"set item-{i} {i}") for i in range(200)
    ]
    answers = [each.result() for each in under_way]
    assert [answer.seen for answer in answers] == [["0"]] * 200
    assert [answer.signals for answer in answers] == [[]] * 200
    assert browser.cookies == before
    (found,) = browser.run("look").seen
    assert found["items"] == {"seed": "0", **{f"item-{i}": str(i) for i in range(200)}}


@each_deployment
def test_200_parallel_requests_of_one_session_mutate_items_of_their_own(
    server: Gunicorn, coordinator: Coordinator
) -> None:
    """S26: the same inside nested values, where nobody assigns anything."""
    browser = Browser(server)
    browser.run(*(f"append list-{i} first" for i in range(20)))
    coordinator.gather("together", TOGETHER)
    for start in range(0, 200, 20):
        under_way = [
            browser.start(f"read list-{i}", "stop together", f"append list-{i} {start}")
            for i in range(20)
        ]
        assert [each.result().signals for each in under_way] == [[]] * 20
    (found,) = browser.run("look").seen
    assert found["items"] == {
        f"list-{i}": ["first", *map(str, range(0, 200, 20))] for i in range(20)
    }


def test_every_worker_sees_what_any_worker_stored(server: Gunicorn) -> None:
    workers = server.workers()
    assert len(workers) == LMDB.workers
    for writer, reader in itertools.product(workers, repeat=2):
        browser = Browser(server)
        assert browser.run("set a 1", worker=writer).worker == writer
        answer = browser.run("look", worker=reader)
        assert answer.worker == reader
        assert answer.seen[0]["items"] == {"a": "1"}
        browser.run("set a 2", worker=reader)
        assert browser.run("read a", worker=writer).seen == ["2"]


def test_sessions_survive_a_full_restart(server: Gunicorn) -> None:
    browsers = [Browser(server) for _ in range(20)]
    for number, browser in enumerate(browsers):
        browser.run(f"set number {number}", "append list x")
    browsers[0].run("abandon")
    before = set(server.workers())
    server.restart()
    assert before.isdisjoint(server.workers())
    assert browsers[0].run("look").seen[0]["items"] == {}
    for number, browser in enumerate(browsers[1:], 1):
        cookies = browser.cookies
        (found,) = browser.run("look").seen
        assert found["items"] == {"number": str(number), "list": ["x"]}
        browser.run("append list y")
        assert browser.run("read list").seen == [["x", "y"]]
        assert browser.cookies == cookies


@pytest.mark.parametrize("worker_class", ["gthread", "gevent"])
def test_workers_forked_from_a_master_that_used_a_session_work(
    coordinator: Coordinator, tmp_path: pathlib.Path, worker_class: str
) -> None:
    """The master sweeps all the time, so its store is in use when it forks; and it forks often."""
    used = tmp_path / "cookie"
    server = Gunicorn(
        coordinator,
        tmp_path,
        f"lmdb://{tmp_path / 'state'}",
        worker_class=worker_class,
        environment={"RIG_USED_AT_IMPORT": str(used), "FLASK_STATE_SESSION_SWEEP_INTERVAL": ".001"},
    )
    expected = {"maker": "master"}
    with server:
        browser = Browser(server, {"session": used.read_text()})
        for number in range(10):
            for worker in server.workers():
                (found,) = browser.run("look", worker=worker).seen
                assert found["items"] == expected
                name = f"item-{number}-{worker}"
                browser.run(f"set {name} {worker}", worker=worker)
                expected[name] = str(worker)
            server.kill(server.workers()[number % 2])
            server.next_worker()
        server.check_log()
