"""Where requests under way meet the test: it decides which of them goes on, and when.

A view that comes to a stop connects to a unix socket of the test process, says the name of the
stop, and waits for an answer. So requests of several processes are put in any order, and nobody
sleeps.
"""

from __future__ import annotations

import collections
import os
import queue
import shutil
import socket
import tempfile
import threading
import typing as t

PATIENCE: t.Final = 20.0
"""Seconds after which a test that waits for somebody gives up."""


def stop(address: str, name: str) -> None:
    """Wait at a stop until the test lets this request go on. Runs in a server process."""
    with _say(address, name) as connection:
        if not connection.recv(1):
            raise RuntimeError(f"the test went away while a request waited at {name!r}")


def announce(address: str, name: str) -> None:
    """Tell the test that something has happened here, and go on. Runs in a server process."""
    _say(address, name).close()


def _say(address: str, name: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    connection.sendall(f"{os.getpid()} {name}\n".encode())
    return connection


class Visit:
    """Somebody who came to a stop, or announced something."""

    def __init__(self, connection: socket.socket, process: int) -> None:
        self._connection = connection
        self.process = process
        """The process it came from."""

    def go(self) -> bool:
        """Let it go on.

        :return: whether it was still there.
        """
        with self._connection:
            try:
                self._connection.sendall(b".")
            except BrokenPipeError:
                return False
        return True

    def close(self) -> None:
        """Be done with it. If it still waits, its request fails."""
        self._connection.close()


class Coordinator:
    """The test's end of all stops. A context manager."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="rig-")  # a socket's path has at most 107 bytes
        self.address: t.Final = os.path.join(self._folder, "s")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.address)
        self._listener.listen(1024)
        self._lock = threading.Lock()
        self._visits: dict[str, queue.SimpleQueue[Visit]] = collections.defaultdict(
            queue.SimpleQueue
        )
        self._groups: dict[str, _Group] = {}
        self._thread = threading.Thread(target=self._listen, name="coordinator", daemon=True)

    def __enter__(self) -> Coordinator:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # closing alone would not wake the thread
        self._thread.join()
        self._listener.close()
        for visits in self._visits.values():
            while not visits.empty():
                visits.get().close()
        for group in self._groups.values():
            group.close()
        shutil.rmtree(self._folder)

    def wait(self, name: str, patience: float = PATIENCE) -> Visit:
        """The next visit under this name, as soon as it comes.

        :param patience: seconds to wait.
        :raise AssertionError: where none comes.
        """
        with self._lock:
            visits = self._visits[name]
        try:
            return visits.get(timeout=patience)
        except queue.Empty:
            raise AssertionError(f"nobody came to {name!r} in {patience} seconds") from None

    def gather(self, name: str, size: int) -> None:
        """From now on whoever comes to this stop goes on when `size` of them are there.

        No more than one process can hold at once, or they might wait for ever for one that
        queues behind them.
        """
        with self._lock:
            group = self._groups[name] = _Group(size)
            visits = self._visits.pop(name, None)
            while visits is not None and not visits.empty():
                group.add(visits.get())

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection.makefile("r") as reader:
                line = reader.readline()
            if not line:
                connection.close()  # killed before it could say why it came
                continue
            process, name = line.rstrip("\n").split(" ", 1)
            visit = Visit(connection, int(process))
            with self._lock:
                group = self._groups.get(name)
                if group is None:
                    self._visits[name].put(visit)
                else:
                    group.add(visit)


class _Group:
    """Visits that wait for each other."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: list[Visit] = []

    def add(self, visit: Visit) -> None:
        self._waiting.append(visit)
        if len(self._waiting) == self._size:
            for each in self._waiting:
                each.go()
            self._waiting = []

    def close(self) -> None:
        for each in self._waiting:
            each.close()
