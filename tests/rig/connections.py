"""Connections to the server, and which worker is at their other end."""

from __future__ import annotations

import collections
import http.client
import threading
import typing as t

from tests.rig.app import WORKER_HEADER
from tests.rig.coordinator import PATIENCE

_TRIES: t.Final = 1_000


class Connections:
    """Opens connections; and keeps those that are to be used again, by worker.

    Which worker takes a new connection is up to the kernel; but who took it serves it as long
    as it is kept alive. So a request can be sent to a worker of choice.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._lock = threading.Lock()
        self._idle: dict[int, list[http.client.HTTPConnection]] = collections.defaultdict(list)

    def open(self) -> http.client.HTTPConnection:
        """A new connection, to whatever worker takes it."""
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)

    def take(self, worker: int) -> http.client.HTTPConnection:
        """A connection to this worker, which must be alive.

        :raise AssertionError: where the worker never takes one.
        """
        for _ in range(_TRIES):
            with self._lock:
                idle = self._idle[worker]
                if idle:
                    return idle.pop()
            connection = self.open()
            connection.request("GET", "/worker")
            response = connection.getresponse()
            response.read()
            self.put(int(response.headers[WORKER_HEADER]), connection)
        raise AssertionError(f"worker {worker} took none of {_TRIES} connections")

    def put(self, worker: int, connection: http.client.HTTPConnection) -> None:
        """Keep a connection that is idle."""
        with self._lock:
            self._idle[worker].append(connection)

    def close(self) -> None:
        """Close all that are idle."""
        with self._lock:
            for connections in self._idle.values():
                for connection in connections:
                    connection.close()
            self._idle.clear()
