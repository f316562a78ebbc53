"""Workers that die at any moment lose nothing that a client was told is saved."""

from __future__ import annotations

import pathlib
import random
import threading
import time
import typing as t

import lmdb.verify
import pytest

from flask_state.stores.lmdb.verify import inspect
from tests.rig.browser import Browser
from tests.rig.coordinator import Coordinator
from tests.rig.deployments import LMDB
from tests.rig.gunicorn import Gunicorn

pytestmark = pytest.mark.torture

KILLS: t.Final = 200
WRITERS: t.Final = 6
REPEATS: t.Final = 4_000
"""How often the number stands in the long item: a save is worth hitting if it takes a while."""

SAVE: t.Final = 0.002
"""Seconds in which a save is done, roughly: from the end of the view to the last byte sent."""


class Writer:
    """A client that saves numbers, one after the other, and remembers which were acknowledged.

    Every save sets three items: two of its own, and between them a long one that all saves of
    this writer set. All three are there or none: so the long one tells the last of the others.
    """

    def __init__(self, name: str, browser: Browser) -> None:
        self.name = name
        self.browser = browser
        self.sent = 0
        self.acknowledged: list[int] = []
        self.failures = 0
        self.wrong = ""
        """An answer that a request must not get."""
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._write, name=f"writer {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Wait for the answer that is under way, and be done."""
        self._ends.set()
        self._thread.join()
        print(self.wrong)

    def _write(self) -> None:
        while not self._ends.is_set() and not self.wrong:
            number = self.sent
            self.sent += 1
            try:
                answer = self.browser.run(
                    f"set {self.name}-first-{number} x",
                    f"fill {self.name} {number}. {REPEATS}",
                    f"set {self.name}-second-{number} x",
                    "stop saving",
                )
            except OSError:
                self.failures += 1
                continue
            if answer.status != 200 or answer.signals:
                self.wrong = f"{answer}"
            self.acknowledged.append(number)

    def check(self, items: dict[str, str]) -> None:
        """All that was acknowledged is there, and all else is whole."""
        assert not self.wrong
        first, second = self._numbers("first", items), self._numbers("second", items)
        assert first == second
        assert set(self.acknowledged) <= first <= set(range(self.sent))
        assert items[self.name] == f"{max(first)}." * REPEATS

    def _numbers(self, which: str, items: dict[str, str]) -> set[int]:
        prefix = f"{self.name}-{which}-"
        return {int(name.removeprefix(prefix)) for name in items if name.startswith(prefix)}


def kill_workers(server: Gunicorn, coordinator: Coordinator) -> None:
    """Kill workers while they save, at any moment of it."""
    chance = random.Random(4_711)
    kills = 0
    while kills < KILLS:
        visit = coordinator.wait("saving")
        if not visit.go() or chance.random() < 0.6:
            continue
        moment = time.perf_counter() + chance.uniform(0, SAVE)
        while time.perf_counter() < moment:
            pass  # sleeping would be too coarse
        # Now and then none is left: who comes up next finds what the dead left behind.
        doomed = server.workers() if kills % 20 == 19 else [visit.process]
        for worker in doomed:
            server.kill(worker)
        for _ in doomed:
            server.next_worker()
        kills += len(doomed)


def test_200_kills_during_saves_lose_and_damage_nothing(
    coordinator: Coordinator, tmp_path: pathlib.Path
) -> None:
    with LMDB.serve(coordinator, tmp_path) as server:
        shared = Browser(server)
        shared.run("set a 1")
        writers = [Writer(f"shared{i}", shared) for i in range(2)]
        for i in range(2, WRITERS):
            browser = Browser(server)
            browser.run("set a 1")
            writers.append(Writer(f"own{i}", browser))
        for writer in writers:
            writer.start()
        try:
            kill_workers(server, coordinator)
        finally:
            coordinator.gather("saving", 1)
            for writer in writers:
                writer.stop()
        check_items(writers)
        server.restart()
        check_items(writers)
        for writer in writers:
            assert writer.browser.run("set last 1").status == 200
        server.check_log()
    assert sum(writer.failures for writer in writers) >= KILLS / 2, "hardly a request was hit"
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
