"""A client that treats cookies as browsers do."""

from __future__ import annotations

import collections.abc as cabc
import concurrent.futures
import dataclasses
import email.utils
import http.client
import json
import threading
import time
import typing as t
import urllib.parse

from tests.rig.app import ANSWERED_HEADER
from tests.rig.app import SIGNALS_HEADER
from tests.rig.app import WORKER_HEADER
from tests.rig.gunicorn import Gunicorn


class SetCookie(t.NamedTuple):
    """One `Set-Cookie`."""

    name: str
    value: str
    deletes: bool
    """Whether its time is over already: that is how cookies are deleted."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """One response."""

    status: int
    text: str
    cookies: list[SetCookie]
    signals: list[list[str]]
    """Name, reason and items of each signal that the request sent."""
    worker: int
    """The process that made it."""
    answered: float
    """When it began, by the clock that all processes share."""
    retry_after: str
    """After how many seconds the client may try again; empty where nothing is said of it."""

    @property
    def seen(self) -> list[t.Any]:
        """What the steps of the request saw, in order."""
        assert self.status == 200, f"{self.status}: {self.text}"
        return t.cast(list[t.Any], json.loads(self.text)["seen"])


class Browser:
    """Keeps one jar of cookies for any number of requests at a time.

    A request carries what the jar holds when it leaves; a `Set-Cookie` counts when it arrives,
    whatever was sent meanwhile. There is one site and one path.
    """

    def __init__(self, server: Gunicorn, cookies: cabc.Mapping[str, str] | None = None) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._jar: dict[str, str] = dict(cookies or {})

    @property
    def cookies(self) -> dict[str, str]:
        """What the jar holds."""
        with self._lock:
            return dict(self._jar)

    @property
    def header(self) -> bytes:
        """The `Cookie` header of its next request."""
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items()).encode(
            "latin-1"
        )

    def twin(self) -> Browser:
        """Another browser that has the same cookies now: they were copied, or stolen."""
        return Browser(self._server, self.cookies)

    def run(self, *steps: str, worker: int | None = None, method: str = "GET") -> Answer:
        """One request that does these steps, see `tests.rig.steps`.

        :param worker: the one that is to answer; whoever takes it by default.
        :raise OSError: where the server is gone before it has answered.
        """
        answer = send(self._server, target(*steps), self.header, worker=worker, method=method)
        with self._lock:
            for cookie in answer.cookies:
                if cookie.deletes:
                    self._jar.pop(cookie.name, None)
                else:
                    self._jar[cookie.name] = cookie.value
        return answer

    def start(
        self, *steps: str, worker: int | None = None, method: str = "GET"
    ) -> concurrent.futures.Future[Answer]:
        """Send a request and don't wait for its answer."""
        future: concurrent.futures.Future[Answer] = concurrent.futures.Future()

        def request() -> None:
            try:
                future.set_result(self.run(*steps, worker=worker, method=method))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=request, name="browser", daemon=True).start()
        return future


def target(*steps: str) -> str:
    """The path of a request that does these steps."""
    return "/run?" + urllib.parse.urlencode([("step", step) for step in steps])


def send(
    server: Gunicorn,
    target: str,
    cookie: bytes,
    *,
    worker: int | None = None,
    method: str = "GET",
) -> Answer:
    """One request with this `Cookie` header, byte for byte.

    :raise OSError: where the server is gone before it has answered.
    """
    connections = server.connections
    connection = connections.open() if worker is None else connections.take(worker)
    answer = exchange(connection, target, cookie, method=method, last=worker is None)
    if worker is not None:
        connections.put(worker, connection)
    return answer


def exchange(
    connection: http.client.HTTPConnection,
    target: str,
    cookie: bytes,
    *,
    method: str = "GET",
    last: bool = False,
) -> Answer:
    """One request over a connection that is idle, or not open yet.

    :param last: close it then. It is closed, too, where this fails.
    :raise OSError: where the server is gone before it has answered.
    """
    try:
        connection.putrequest(method, target)
        if cookie:
            connection.putheader("Cookie", cookie)
        if method == "POST":
            connection.putheader("Content-Length", "0")
        if last:
            connection.putheader("Connection", "close")
        connection.endheaders()
        response = connection.getresponse()
        answer = _answer(response, response.read().decode())
    except http.client.HTTPException as error:
        connection.close()
        raise ConnectionError(f"no whole answer: {error!r}") from error
    except BaseException:
        connection.close()
        raise
    if last:
        connection.close()
    return answer


def _answer(response: http.client.HTTPResponse, text: str) -> Answer:
    return Answer(
        status=response.status,
        text=text,
        cookies=[_parsed(header) for header in response.headers.get_all("Set-Cookie", [])],
        signals=json.loads(response.headers.get(SIGNALS_HEADER, "[]")),
        worker=int(response.headers.get(WORKER_HEADER, "0")),
        answered=float(response.headers.get(ANSWERED_HEADER, "nan")),
        retry_after=response.headers.get("Retry-After", ""),
    )


def _parsed(header: str) -> SetCookie:
    pair, *rest = (part.strip() for part in header.split(";"))
    name, _, value = pair.partition("=")
    attributes = {key.lower(): text for key, _, text in (part.partition("=") for part in rest)}
    if "max-age" in attributes:  # goes before Expires: RFC 6265, section 5.3
        deletes = int(attributes["max-age"]) <= 0
    elif "expires" in attributes:
        deletes = email.utils.parsedate_to_datetime(attributes["expires"]).timestamp() < time.time()
    else:
        deletes = False
    return SetCookie(name, value, deletes)
