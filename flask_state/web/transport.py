"""What carries a session's id between the client and us."""

from __future__ import annotations

import collections.abc as cabc
import functools
import re
import typing as t

import flask
from werkzeug.http import dump_cookie

from ..core.clock import SystemClock

time: t.Callable[[], float] = SystemClock.time

_PLAIN = re.compile(r"[\w.-]*", re.ASCII)
"""Values that stand in a header as they are. All ids that we make do."""

_PERMANENT = ".p"
"""Ends the value of a cookie that outlives the browser, so that this is known unloaded."""


class Presented(t.NamedTuple):
    """An id as a client presents it. Whether it is one is not known yet."""

    text: str
    permanent: bool


class Transport(t.Protocol):
    """Carries ids. Hand an instance of your own to `FlaskState`."""

    def present(self, app: flask.Flask, request: flask.Request) -> cabc.Sequence[Presented]:
        """What the request presents, best first. Asks no store."""
        ...

    def may_outlive(self, request: flask.Request) -> bool:
        """Whether the request might present a permanent id. Cheap: asked for every request."""
        ...

    def carry(self, app: flask.Flask, response: flask.Response, text: str, permanent: bool) -> None:
        """Give the client an id."""
        ...

    def drop(self, app: flask.Flask, response: flask.Response) -> None:
        """Tell the client that its id is no more."""
        ...


class CookieTransport:
    """Carries ids in the session cookie, whose name and attributes are Flask's settings."""

    def present(self, app: flask.Flask, request: flask.Request) -> cabc.Sequence[Presented]:
        """Every value under the cookie's name, in the order sent.

        Browsers send the cookie of the longest path first; another one of the same name, set
        by a neighbour or an attacker on a parent domain, must not hide it. The header is read
        here and not through `request.cookies`, which parses all of them into a dict: for ids,
        which are never quoted, the values are the same, at a tenth of the time.
        """
        header = request.environ.get("HTTP_COOKIE")
        if not header:
            return ()
        name = app.session_interface.get_cookie_name(app) + "="
        if name not in header:
            return ()
        found = []
        for pair in header.split(";"):
            pair = pair.strip()
            if pair.startswith(name):
                text = pair[len(name) :].strip('"')
                permanent = text.endswith(_PERMANENT)
                found.append(Presented(text.removesuffix(_PERMANENT), permanent))
        return found

    def may_outlive(self, request: flask.Request) -> bool:
        """Whether any cookie looks like it."""
        return _PERMANENT in request.environ.get("HTTP_COOKIE", "")

    def carry(self, app: flask.Flask, response: flask.Response, text: str, permanent: bool) -> None:
        """Set the cookie."""
        hooks = app.session_interface
        name, attributes = hooks.get_cookie_name(app), self._attributes(app)
        if permanent:
            attributes["max_age"] = app.permanent_session_lifetime
            text += _PERMANENT
        if _PLAIN.fullmatch(text) is None:
            response.set_cookie(name, text, **attributes)
            return
        before, after = _around_value(name, int(time()) if permanent else 0, **attributes)
        response.headers.add("Set-Cookie", f"{before}={text}{after}")

    def drop(self, app: flask.Flask, response: flask.Response) -> None:
        """Delete the cookie, with the attributes it was set with."""
        response.delete_cookie(app.session_interface.get_cookie_name(app), **self._attributes(app))

    def _attributes(self, app: flask.Flask) -> dict[str, t.Any]:
        hooks = app.session_interface
        return {
            "domain": hooks.get_cookie_domain(app),
            "path": hooks.get_cookie_path(app),
            "secure": hooks.get_cookie_secure(app),
            "partitioned": hooks.get_cookie_partitioned(app),
            "samesite": hooks.get_cookie_samesite(app),
            "httponly": hooks.get_cookie_httponly(app),
        }


@functools.lru_cache(maxsize=64)
def _around_value(name: str, second: int, **attributes: t.Any) -> tuple[str, str]:
    """What stands before and after the value in a cookie's header.

    It is the same for all clients, and takes longer to write than all else that is done to
    send an id. Where it names the moment of its end, it is good for this second.
    """
    before, _, after = dump_cookie(name, "", **attributes).partition("=")
    return before, after
