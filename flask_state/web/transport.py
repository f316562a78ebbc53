"""What carries a session's id between the client and us."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import flask

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
        response.set_cookie(
            hooks.get_cookie_name(app),
            text + _PERMANENT if permanent else text,
            max_age=app.permanent_session_lifetime if permanent else None,
            **self._attributes(app),
        )

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
