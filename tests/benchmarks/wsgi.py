"""Requests as a WSGI server makes them, with nothing of a test client around them."""

from __future__ import annotations

import collections.abc as cabc
import time
import typing as t
from http.cookies import SimpleCookie

import flask
from werkzeug.datastructures import Headers
from werkzeug.test import create_environ

_BROWSER: t.Final = {
    "Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
    "Accept-Encoding": "gzip, deflate, br",
    "Accept-Language": "en-GB,en;q=0.5",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
}


class Answer(t.NamedTuple):
    """What came back."""

    status: str
    headers: Headers
    body: bytes

    def cookie(self) -> str:
        """The cookies it sets, as the client sends them back."""
        parsed = SimpleCookie("; ".join(self.headers.getlist("Set-Cookie")))
        return "; ".join(f"{name}={morsel.value}" for name, morsel in parsed.items())


class Visit:
    """One request to an application, made again and again.

    :param cookie: the ``Cookie`` header, with every request the same.
    """

    def __init__(self, app: flask.Flask, path: str, cookie: str = "") -> None:
        self.cookie = cookie
        self._app = app.wsgi_app
        headers = {**_BROWSER, "Cookie": cookie} if cookie else _BROWSER
        self._environ = create_environ(path, headers=headers)

    def environ(self) -> dict[str, t.Any]:
        """The request, as a server hands it over."""
        return self._environ.copy()

    def answer(self) -> Answer:
        """Make the request and look at what comes back."""
        seen: list[t.Any] = []

        def start(status: str, headers: list[tuple[str, str]], error: object = None) -> t.Any:
            seen.extend([status, Headers(headers)])

        body = self._app(self._environ.copy(), start)
        content = b"".join(body)
        _close(body)
        return Answer(seen[0], seen[1], content)

    def __call__(self, calls: int = 1) -> float:
        """Make the request so many times; return the seconds that one of them took."""
        app, environ = self._app, self._environ
        started = time.perf_counter()
        for _ in range(calls):
            body = app(environ.copy(), _start)
            for _ in body:
                pass
            body.close()  # type: ignore[attr-defined]  # a Werkzeug response has it
        return (time.perf_counter() - started) / calls


def _start(status: str, headers: list[tuple[str, str]], error: object = None) -> t.Any:
    """A server's `start_response` that sends nothing."""


def _close(body: cabc.Iterable[bytes]) -> None:
    close = getattr(body, "close", None)
    if close is not None:
        close()
