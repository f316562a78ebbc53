"""What should become of sessions that several requests use in several modes: plain values.

Items are small numbers; what becomes of values of all kinds is in the models beside this one.
"""

from __future__ import annotations

import contextvars
import itertools
import typing as t

import flask

from tests.session.site import COOKIE
from tests.session.site import Site

T = t.TypeVar("T")

TIMEOUT: t.Final = 1000
LIFE: t.Final = TIMEOUT * 1.1
"""Seconds from a touch to the end."""
TOUCH: t.Final = TIMEOUT * 0.1
"""A touch is written where it gains so many seconds."""
LEASE: t.Final = 10
CAP: t.Final = 2
"""Sessions that one owner may have."""

GONE: t.Final = "gone"
PASSED: t.Final = "passed"
LOST: t.Final = "lost"

_numbers = itertools.count(1)


class Stored:
    """What should be stored of one session."""

    def __init__(self, id: str, items: dict[str, int], now: float) -> None:
        self.id = id
        self.handle = id[:10]
        self.items = items
        self.number = next(_numbers)
        """Sessions in the order in which they began."""
        self.signed_in = now
        self.expires = now + LIFE
        self.fence = self.floor = 1
        self.ended: str | None = None
        self.delivered = False
        self.lease: Opened | None = None
        self.leased_until = 0.0

    def lives(self, now: float) -> bool:
        """Whether anybody can see it."""
        return self.ended is None and now < self.expires

    def is_leased(self, now: float) -> bool:
        """Whether somebody has its lease."""
        return self.lease is not None and now < self.leased_until

    def end(self, reason: str) -> None:
        """It is over: nothing that was loaded before is stored any more."""
        self.ended = reason
        self.fence += 1
        self.floor = self.fence


class Opened:
    """One request under way, and what it did."""

    def __init__(self, stored: Stored, mode: str, process: int) -> None:
        self.stored = stored
        self.mode = mode
        self.process = process
        self.id = stored.id
        self.committed = False
        """It has stored something before its end."""

    def load(self, now: float) -> None:
        """It touches the session, or touches it again after an early commit."""
        stored = self.stored
        self.base = dict(stored.items)
        self.view = dict(stored.items)
        self.edits: dict[str, int | None] = {}
        self.renews = self.signs_in = False
        self.touches = now + LIFE - stored.expires >= TOUCH
        self.leased = self.mode == "exclusive"
        if self.leased:
            stored.fence += 1
            stored.lease, stored.leased_until = self, now + LEASE
        self.fence = stored.fence

    def set(self, name: str, value: int) -> None:
        """An item is set."""
        self.view[name] = self.edits[name] = value

    def remove(self, name: str) -> int | None:
        """An item is removed; what this request itself had begun leaves nothing to store."""
        if name in self.view:
            self.edits[name] = None
            if name not in self.base:
                del self.edits[name]
        return self.view.pop(name, None)

    def drop_changes(self) -> None:
        """What it did is not to be stored."""
        self.edits = {}
        self.renews = self.signs_in = self.touches = False

    def refused(self, now: float) -> str | None:
        """Why the store would take nothing from it."""
        if not self.stored.lives(now):
            return GONE
        if self.fence < self.stored.floor:
            return PASSED
        if self.leased and self.fence < self.stored.fence:
            return LOST
        return None

    def save(self, now: float) -> str | None:
        """What a commit makes of it, or why it is refused. The lease is given back."""
        refused = self.refused(now)
        if refused is None:
            self._apply(now)
        self.leased = False
        has_something = self.edits or self.renews or self.signs_in or self.touches
        return refused if has_something else None

    def _apply(self, now: float) -> None:
        stored = self.stored
        if self.leased or self.renews:
            stored.lease = None
        if self.touches:
            stored.expires = max(stored.expires, now + LIFE)
        if self.signs_in:
            stored.signed_in = now
        if self.renews:
            stored.fence += 1
            stored.floor = stored.fence
        for name, value in self.edits.items():
            stored.items.pop(name, None) if value is None else stored.items.update({name: value})
        if not stored.items:
            stored.end("abandoned")


class UnderWay:
    """A request that lasts for as long as the machine likes, in a context of its own."""

    def __init__(self, site: Site, id: str, path: str, method: str) -> None:
        self._app = site.app
        self._context = contextvars.copy_context()
        headers = {"Cookie": f"{COOKIE}={id}"} if id else {}
        self._flask = site.app.test_request_context(path, method=method, headers=headers)
        self.run(self._flask.push)

    def run(self, do: t.Callable[[], T]) -> T:
        """Do something in this request."""
        return self._context.run(do)

    def answer(self, status: int = 200) -> flask.Response:
        """The view returns, and the session is saved."""
        response = flask.Response(status=status)
        try:
            return self.run(lambda: self._app.process_response(response))
        finally:
            self.break_off()

    def break_off(self) -> None:
        """The context ends, with or without an answer."""
        self.run(lambda: self._flask.pop(None))


def given_id(response: flask.Response) -> str | None:
    """The id that a response sets; empty where it deletes it, None where it says nothing."""
    for header in response.headers.getlist("Set-Cookie"):
        return header.partition(";")[0].partition("=")[2]
    return None
