"""Servers for these tests: started once for the tests of a file, their logs shown on failure."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import pathlib
import typing as t

import pytest

from tests.rig.coordinator import Coordinator
from tests.rig.gunicorn import Gunicorn


@dataclasses.dataclass(frozen=True)
class Deployment:
    """A way to serve the application, and how often the tests repeat themselves on it."""

    engine: str
    workers: int
    threads: int
    worker_class: str
    rounds: int

    def serve(self, coordinator: Coordinator, folder: pathlib.Path, **environment: str) -> Gunicorn:
        """A gunicorn to enter."""
        return Gunicorn(
            coordinator,
            folder,
            "memory://" if self.engine == "memory" else f"{self.engine}://{folder / 'state'}",
            workers=self.workers,
            threads=self.threads,
            worker_class=self.worker_class,
            environment=environment,
        )


LMDB: t.Final = Deployment("lmdb", 2, 4, "gthread", 50)
MEMORY: t.Final = Deployment("memory", 1, 8, "gthread", 4)
GEVENT: t.Final = Deployment("lmdb", 2, 1, "gevent", 4)

each_deployment = pytest.mark.parametrize(
    "deployment", [LMDB, MEMORY, GEVENT], ids=["lmdb", "memory", "gevent"], scope="module"
)


@pytest.fixture(scope="module")
def coordinator() -> cabc.Iterator[Coordinator]:
    """Lets a test decide which request goes on."""
    with Coordinator() as coordinator:
        yield coordinator


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    """How the application is served, where a test doesn't say otherwise."""
    return LMDB


@pytest.fixture(scope="module")
def _running(
    coordinator: Coordinator, deployment: Deployment, tmp_path_factory: pytest.TempPathFactory
) -> cabc.Iterator[Gunicorn]:
    with deployment.serve(coordinator, tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def server(_running: Gunicorn) -> cabc.Iterator[Gunicorn]:
    """A server that other tests of the file use too. It must not log an error."""
    _running.news()
    yield _running
    check_log(_running)


def check_log(server: Gunicorn) -> None:
    """Show what was logged, if the test failed; and fail it if an exception was."""
    news = server.news()
    print(news)
    assert "Traceback" not in news, news
