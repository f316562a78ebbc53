"""Sessions compared with plain dicts: whole requests of two browsers, one after the other."""

from __future__ import annotations

import typing as t

import flask
from hypothesis import strategies as st
from hypothesis.stateful import invariant
from hypothesis.stateful import rule

from flask_state import session
from tests.core.values import shape
from tests.session.model import Machine
from tests.session.model import Model
from tests.session.model import Step
from tests.session.model import names
from tests.session.model import on_engine
from tests.session.model import steps
from tests.session.model import take
from tests.session.site import COOKIE


class Visitors(Machine):
    """Two browsers, request after request."""

    def __init__(self) -> None:
        super().__init__()
        self.browsers = [self.site.browser(), self.site.browser()]
        self.stored: list[dict[str, t.Any] | None] = [None, None]
        self.to_deliver = 0

    def cookie(self, who: int) -> str | None:
        """The id a browser holds."""
        cookie = self.browsers[who].get_cookie(COOKIE)
        return cookie.value if cookie is not None else None

    @rule(
        who=st.integers(0, 1),
        todo=st.lists(steps(), max_size=7),
        status=st.sampled_from([200, 200, 200, 404, 500]),
    )
    def request(self, who: int, todo: list[Step], status: int) -> None:
        """Some steps in one request; one with status 500 keeps what was committed before."""
        model = Model(self.stored[who])
        before = self.cookie(who)

        def task() -> flask.Response:
            user = session._get_current_object()  # type: ignore[attr-defined]
            for step in todo:
                take(step, user, model)
            return flask.Response(status=status)

        visit = self.site.visit(self.browsers[who], task)
        assert visit.response.status_code == status
        model.discard() if status == 500 else model.save()
        self.stored[who] = model.stored
        self.to_deliver += len(model.handed_over)
        self.check_cookie(who, before, model)

    def check_cookie(self, who: int, before: str | None, model: Model) -> None:
        """The browser holds an id if there is a session, and a new one where it has to be."""
        after = self.cookie(who)
        assert (after is None) == (model.stored is None)
        if before and after and not model.handed_over:
            assert before[:10] == after[:10]
            assert (before != after) == model.renewed
        if before and after and model.handed_over:
            assert before[:10] != after[:10]

    @rule(who=st.integers(0, 1))
    def look(self, who: int) -> None:
        """A request that reads everything, and writes nothing."""
        self.site.store.calls.clear()
        found = self.site.items(self.browsers[who])
        assert shape(found) == shape(self.stored[who] or {})
        assert set(self.site.store.calls) <= {"load"}

    @rule(who=st.integers(0, 1), name=names)
    def look_at_one(self, who: int, name: str) -> None:
        """A request that reads one item."""
        found = self.site.visit(self.browsers[who], lambda: session.get(name, "no")).value
        assert shape(found) == shape((self.stored[who] or {}).get(name, "no"))

    @rule(who=st.integers(0, 1))
    def revoke(self, who: int) -> None:
        """The session is ended from outside; the browser keeps its cookie and finds nothing."""
        id = self.cookie(who)
        with self.site.app.app_context():
            assert self.site.state.sessions.end(id[:10] if id else "a" * 10) == (id is not None)
        self.forget(who)

    @rule()
    def expire(self) -> None:
        """Everybody stays away for too long."""
        self.site.clock.advance(60 * 86_400)
        for who in (0, 1):
            self.forget(who)

    def forget(self, who: int) -> None:
        """The session of a browser is over."""
        if self.stored[who] is not None:
            self.to_deliver += 1
            assert self.site.items(self.browsers[who]) == {}
        self.stored[who] = None
        self.browsers[who].delete_cookie(COOKIE)

    @rule(who=st.integers(0, 1))
    def forge(self, who: int) -> None:
        """Somebody who knows the name of a session and not its secret."""
        id = self.cookie(who) or "a" * 36
        assert self.site.items(f"{COOKIE}={id[:10]}{'b' * 26}") == {}

    @rule()
    def sweep(self) -> None:
        """Every end is delivered, once."""
        self.site.events.clear()
        self.site.sweep()
        assert len(self.site.named("session_ended")) == self.to_deliver
        self.to_deliver = 0

    @invariant()
    def as_many_sessions_live_as_there_should(self) -> None:
        with self.site.app.app_context():
            living = self.site.state.sessions.count()
        assert living == sum(stored is not None for stored in self.stored)


TestVisitorsOnMemory = on_engine(Visitors, "memory", 40)
TestVisitorsOnLmdb = on_engine(Visitors, "lmdb", 15)
