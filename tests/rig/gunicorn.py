"""A gunicorn that serves an application, for as long as a test needs it."""

from __future__ import annotations

import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import time
import typing as t

from tests.rig.connections import Connections
from tests.rig.coordinator import PATIENCE
from tests.rig.coordinator import Coordinator
from tests.source import ROOT


class Gunicorn:
    """A gunicorn on a port of this machine, stopped at the end. A context manager.

    The test process opens the port, and keeps it when the server is restarted.

    :param url: where sessions are kept.
    :param folder: where its log goes, one for all restarts.
    :param threads: of each worker; gevent workers have none, and do as many requests as come.
    :param environment: what else the application is told, see `tests.rig.app`.
    :param application: what is served, as gunicorn names it. Of another one than the rig's no
        worker can be chosen: `waiting` and what `connections` keeps are not for it.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        folder: pathlib.Path,
        url: str,
        *,
        workers: int = 2,
        threads: int = 4,
        worker_class: str = "gthread",
        environment: dict[str, str] | None = None,
        application: str = "tests.rig.app:create_app()",
    ) -> None:
        self.coordinator: t.Final = coordinator
        self._log = folder / "gunicorn.log"
        self._log.touch()
        self._told = 0
        self._count = workers
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.set_inheritable(True)
        self.port: t.Final = int(self._socket.getsockname()[1])
        self.connections: t.Final = Connections(self.port)
        self._command = [
            *(sys.executable, "-m", "gunicorn", application, "--preload"),
            *("-c", "python:tests.rig.hooks", "-b", f"fd://{self._socket.fileno()}"),
            *("-w", str(workers), "--threads", str(threads), "-k", worker_class),
            *("--keep-alive", "3600", "--graceful-timeout", "5"),
            *("--limit-request-field_size", "65536"),  # what a header holds is the tests' affair
        ]
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("FLASK_")},
            **{"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            **{"RIG_COORDINATOR": coordinator.address, "FLASK_STATE_URL": url},
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Gunicorn:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self.stop()
        finally:
            self._socket.close()
            print(self.news())  # pytest shows it where the test failed

    def news(self) -> str:
        """What it has logged since this was last asked."""
        with self._log.open() as log:
            log.seek(self._told)
            text = log.read()
            self._told = log.tell()
        return text

    def check_log(self) -> None:
        """Show what it has logged since, and fail if an exception is among it."""
        news = self.news()
        print(news)
        assert "Traceback" not in news, news

    def start(self) -> None:
        """Start it, and wait until every worker answers.

        To be called in the main thread: the kernel ends the server with the thread it is of.
        """
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                pass_fds=[self._socket.fileno()],
                start_new_session=True,
            )
        for _ in range(self._count):
            self.next_worker()

    def stop(self) -> None:
        """Stop it, and see to it that none of its processes is left."""
        process, self._process = self._process, None
        self.connections.close()
        if process is None:
            return
        process.terminate()
        try:
            process.wait(PATIENCE)
            left = _living(process.pid)
            assert not left, f"gunicorn left processes behind: {left}"
        finally:
            if process.poll() is None or _living(process.pid):
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def restart(self) -> None:
        """Stop all of it, and start it again on the same port."""
        self.stop()
        self.start()

    def next_worker(self) -> int:
        """Wait for the next worker to come up: its process.

        :raise AssertionError: where none does; the log is in the message.
        """
        assert self._process is not None
        given_up = time.monotonic() + PATIENCE
        while True:
            code = self._process.poll()
            try:
                visit = self.coordinator.wait("worker started", patience=0.2)
            except AssertionError:
                if code is None and time.monotonic() < given_up:
                    continue
                state = "runs" if code is None else f"ended with {code}"
                raise AssertionError(
                    f"no worker came up; gunicorn {state}:\n{self.news()}"
                ) from None
            visit.close()
            return visit.process

    def workers(self) -> list[int]:
        """The processes of its workers."""
        assert self._process is not None
        children = pathlib.Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return sorted(pid for text in children.read_text().split() if _lives(pid := int(text)))

    def kill(self, worker: int) -> None:
        """End a worker at once, whatever it is doing, and wait until it is dead."""
        handle = os.pidfd_open(worker)
        try:
            os.kill(worker, signal.SIGKILL)
            assert select.select([handle], [], [], PATIENCE)[0], f"worker {worker} survived"
        finally:
            os.close(handle)

    def suspend(self, worker: int) -> None:
        """Stop a worker at once, whatever it is doing, until it is to go on."""
        os.kill(worker, signal.SIGSTOP)
        given_up = time.monotonic() + PATIENCE
        while (_stat(worker) or "?")[0] != "T":
            assert time.monotonic() < given_up, f"worker {worker} did not stop"

    def resume(self, worker: int) -> None:
        """Let a worker that was stopped go on."""
        os.kill(worker, signal.SIGCONT)

    def waiting(self, worker: int) -> int:
        """How many requests of a worker wait for the lease of a session now."""
        connection = self.connections.take(worker)
        connection.request("GET", "/waiting")
        (count,) = json.load(connection.getresponse())["seen"]
        self.connections.put(worker, connection)
        return int(count)

    def wait_for_waiting(self, worker: int, count: int) -> None:
        """Wait until so many do.

        :raise AssertionError: where it comes to another number.
        """
        given_up = time.monotonic() + PATIENCE
        while (found := self.waiting(worker)) != count:
            assert time.monotonic() < given_up, f"{found} requests wait, not {count}"

    def cpu_seconds(self, worker: int) -> float:
        """How long the processor has worked for a worker so far."""
        times = pathlib.Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[11:13]
        return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def _stat(process: int) -> tuple[str, int] | None:
    """The state of a process and its group, or None where it is gone."""
    try:
        text = pathlib.Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, _, group = text.rpartition(")")[2].split()[:3]
    return state, int(group)


def _lives(process: int) -> bool:
    found = _stat(process)
    return found is not None and found[0] not in "ZX"


def _living(group: int) -> list[int]:
    """The processes of a group that live. Dead ones may wait long for somebody to bury them."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        stat = _stat(int(path.name))
        if stat is not None and stat[1] == group and stat[0] not in "ZX":
            found.append(int(path.name))
    return found
