"""The ways in which the application is served for tests."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import pathlib
import typing as t

from tests.rig.coordinator import Coordinator
from tests.rig.gunicorn import Gunicorn


@dataclasses.dataclass(frozen=True)
class Deployment:
    """A way to serve the application, and how often tests repeat themselves on it."""

    engine: str
    workers: int
    threads: int
    """Of each worker. A gevent worker has one, and as many greenlets as there are requests."""
    worker_class: str
    rounds: int
    few: int
    """How often where there are very many cases."""
    environment: cabc.Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)
    """What else the application is told, see `tests.rig.app`."""

    def serve(self, coordinator: Coordinator, folder: pathlib.Path, **environment: str) -> Gunicorn:
        """A gunicorn to enter, which keeps log and sessions in the folder."""
        return Gunicorn(
            coordinator,
            folder,
            "memory://" if self.engine == "memory" else f"{self.engine}://{folder / 'state'}",
            workers=self.workers,
            threads=self.threads,
            worker_class=self.worker_class,
            environment={**self.environment, **environment},
        )


LMDB: t.Final = Deployment("lmdb", 2, 4, "gthread", 50, 2)
MEMORY: t.Final = Deployment("memory", 1, 8, "gthread", 4, 2)
GEVENT: t.Final = Deployment("lmdb", 2, 1, "gevent", 4, 2)
