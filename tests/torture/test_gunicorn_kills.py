"""Workers that die at any moment lose nothing that a client was told is saved."""

from __future__ import annotations

import pathlib
import random
import threading
import typing as t

import lmdb.verify
import pytest

from flask_state.stores.lmdb.verify import inspect
from tests.rig.browser import Browser
from tests.rig.coordinator import PATIENCE
from tests.rig.coordinator import Coordinator
from tests.rig.deployments import LMDB
from tests.rig.gunicorn import Gunicorn

pytestmark = pytest.mark.torture

KILLS: t.Final = 200
WRITERS: t.Final = 6
REPEATS: t.Final = 4_000
"""How often the number stands in the long item: a save is worth hitting if it takes a while."""


class Writer:
    """A client that saves numbers, one after the other, and remembers which were acknowledged.

    Every save sets two items: one of its own, short, and a long one that all saves of this
    writer set. Both are there or none: so the long one tells the last number that is there.

    :param told: notified of every answer.
    """

    def __init__(self, name: str, browser: Browser, told: threading.Condition) -> None:
        self.name = name
        self.browser = browser
        self.sent = 0
        self.acknowledged: list[int] = []
        self.failures = 0
        self.wrong = ""
        """An answer that a request must not get."""
        self._told = told
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._write, name=f"writer {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Wait for the answer that is under way, and be done."""
        self._ends.set()
        self._thread.join()

    def _write(self) -> None:
        while not self._ends.is_set() and not self.wrong:
            number = self.sent
            self.sent += 1
            item, long = f"set {self.name}-{number} x", f"fill {self.name} {number}. {REPEATS}"
            try:
                answer = self.browser.run(item, long)
            except OSError:
                self.failures += 1
                continue
            with self._told:
                if answer.status != 200 or answer.signals:
                    self.wrong = f"{answer}"
                self.acknowledged.append(number)
                self._told.notify()

    def check(self, items: dict[str, str]) -> None:
        """All that was acknowledged is there, all else is whole."""
        assert not self.wrong
        prefix = f"{self.name}-"
        found = {int(name[len(prefix) :]) for name in items if name.startswith(prefix)}
        assert set(self.acknowledged) <= found
        assert found <= set(range(self.sent))
        assert items[self.name] == f"{max(found)}." * REPEATS


def write_and_kill(server: Gunicorn, writers: list[Writer], told: threading.Condition) -> None:
    """Kill a worker whenever a few more saves were acknowledged."""
    chance = random.Random(4_711)

    enough = 0

    def have_enough() -> bool:
        return sum(len(writer.acknowledged) for writer in writers) >= enough

    for kill in range(KILLS):
        with told:
            enough = sum(len(writer.acknowledged) for writer in writers) + chance.randint(1, 8)
            assert told.wait_for(have_enough, PATIENCE), "nothing is saved any more"
        # Now and then none is left: who comes up next finds what the dead left behind.
        doomed = server.workers() if kill % 20 == 19 else [chance.choice(server.workers())]
        for worker in doomed:
            server.kill(worker)
        for _ in doomed:
            server.next_worker()


def test_200_kills_during_saves_lose_and_damage_nothing(
    coordinator: Coordinator, tmp_path: pathlib.Path
) -> None:
    told = threading.Condition()
    with LMDB.serve(coordinator, tmp_path) as server:
        shared = Browser(server)
        shared.run("set a 1")
        writers = [Writer(f"shared{i}", shared, told) for i in range(2)]
        for i in range(2, WRITERS):
            browser = Browser(server)
            browser.run("set a 1")
            writers.append(Writer(f"own{i}", browser, told))
        for writer in writers:
            writer.start()
        try:
            write_and_kill(server, writers, told)
        finally:
            for writer in writers:
                writer.stop()
        check_items(writers)
        server.restart()
        check_items(writers)
        for writer in writers:
            assert writer.browser.run("set last 1").status == 200
        server.check_log()
    assert sum(writer.failures for writer in writers) > 10, "hardly a request was hit"
    check_file(tmp_path / "state")


def check_items(writers: list[Writer]) -> None:
    """What all writers saved is there."""
    for writer in writers:
        (found,) = writer.browser.run("look").seen
        writer.check(found["items"])


def check_file(folder: pathlib.Path) -> None:
    """Every page of the file, which nobody writes any more, and every value."""
    (path,) = folder.rglob("data.mdb")
    assert lmdb.verify.verify(path, subdir=False) == []  # type: ignore[no-untyped-call]
    assert inspect(str(path)).sound
