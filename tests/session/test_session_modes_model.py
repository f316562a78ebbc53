"""The sessions of one user, under overlapping requests in all modes, compared with a model.

Two applications share a store, as two processes would.
"""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize
from hypothesis.stateful import invariant
from hypothesis.stateful import precondition
from hypothesis.stateful import rule

from flask_state import session
from flask_state import session_access
from flask_state.errors import SessionConflict
from flask_state.errors import SessionLockTimeout
from flask_state.errors import SessionReadOnly
from tests.session.model import Machine
from tests.session.model import on_engine
from tests.session.modes_model import CAP
from tests.session.modes_model import LEASE
from tests.session.modes_model import LOST
from tests.session.modes_model import TIMEOUT
from tests.session.modes_model import Opened
from tests.session.modes_model import Stored
from tests.session.modes_model import UnderWay
from tests.session.modes_model import given_id
from tests.session.site import Site
from tests.session.together import leases_of

OWNER: t.Final = "ann"

T = t.TypeVar("T")
REQUESTS: t.Final = {
    "readonly": ("/readonly", "POST"),
    "merge": ("/", "GET"),
    "exclusive": ("/", "POST"),
}
Step = tuple[str, str, int]

names = st.sampled_from(["a", "b", "c"])
verbs = st.sampled_from(["set", "set", "remove", "regenerate", "sign in"])
some = st.integers(0, 11)
"""Which of those there are."""


def pick(among: cabc.Sequence[T], which: int) -> T:
    """One of several."""
    return among[which % len(among)]


class Modes(Machine):
    """Up to two living sessions, up to four requests under way, in two processes."""

    def __init__(self) -> None:
        super().__init__()
        self.sites = [self.process() for _ in range(2)]
        self.sessions: list[Stored] = []
        self.under_way: list[tuple[UnderWay, Opened]] = []

    def process(self) -> Site:
        """An application over the store."""
        site = Site(
            self.site.store,
            clock=self.site.clock,
            PERMANENT_SESSION_LIFETIME=TIMEOUT,
            STATE_SESSION_MAX_PER_OWNER=CAP,
            STATE_SESSION_LOCK_WAIT=0.001,
        )
        view = session_access("readonly")(lambda: "")
        site.app.add_url_rule("/readonly", "readonly", view, methods=["POST"])
        leases_of(site)._shown = True  # no heartbeat: leases run out when the clock is moved
        return site

    @property
    def now(self) -> float:
        """The time of the store."""
        return self.site.clock.time()

    def living(self) -> list[Stored]:
        """The sessions that should live, oldest first."""
        return [each for each in self.sessions if each.lives(self.now)]

    # Sessions come and go

    @initialize()
    def begin(self) -> None:
        """The user is signed in twice."""
        self.sign_in(0)
        self.sign_in(1)

    def sign_in(self, process: int) -> None:
        """A visitor becomes somebody: the oldest session of theirs ends if there are too many."""
        self.site.clock.advance(1)
        request = UnderWay(self.sites[process], "", *REQUESTS["exclusive"])
        request.run(lambda: (session.update(a=0), setattr(session, "owner", OWNER)))
        id = given_id(request.answer())
        assert id
        self.sessions.append(Stored(id, {"a": 0}, self.now))
        self.enforce_cap()

    def enforce_cap(self) -> None:
        """Those that signed in first end."""
        newest = sorted(self.living(), key=lambda s: (s.signed_in, s.handle), reverse=True)
        for each in newest[CAP:]:
            each.end("revoked")

    @rule(process=st.integers(0, 1), which=some, how=st.sampled_from(["sign in", "one", "all"]))
    def end(self, process: int, which: int, how: str) -> None:
        """Too many, by a handle, or all but one; what has ended can't be ended again."""
        if how == "sign in":
            self.sign_in(process)
            return
        stored = pick(self.sessions[-3:], which)
        todo = [stored] if how == "one" else [s for s in self.living() if s is not stored]
        todo = [each for each in todo if each.lives(self.now)]
        with self.sites[process].app.app_context():
            sessions = self.sites[process].state.sessions
            if how == "one":
                assert sessions.end(stored.handle) == bool(todo)
            else:
                assert sessions.end_all(OWNER, keep=stored.handle) == len(todo)
        for each in todo:
            each.end("revoked")

    @rule(seconds=st.sampled_from([5, 5, 11, 11, 11, 150, 1101]))
    def wait(self, seconds: int) -> None:
        """Leases run out after 10 s, sessions after 1,100."""
        self.site.clock.advance(seconds)

    @rule(process=st.integers(0, 1))
    def sweep(self, process: int) -> None:
        """Every end is delivered, once, with its reason and the last items."""
        site = self.sites[process]
        site.events.clear()
        site.sweep()
        told = {
            each["handle"]: (each["reason"], each["items"]) for each in site.named("session_ended")
        }
        due = [s for s in self.sessions if not s.delivered and not s.lives(self.now)]
        assert told == {s.handle: (s.ended or "expired", s.items) for s in due}
        assert len(site.named("session_ended")) == len(due)
        for each in due:
            each.delivered = True
            each.ended = each.ended or "expired"

    # Requests

    def must_wait(self, stored: Stored, process: int) -> bool:
        """Whether an exclusive request would have to."""
        in_line = any(
            other.stored is stored and other.process == process and other.leased
            for _, other in self.under_way
        )
        return in_line or stored.is_leased(self.now)

    @precondition(lambda self: len(self.under_way) < 4)
    @rule(
        process=st.integers(0, 1),
        which=some,
        mode=st.sampled_from(["readonly", "merge", "exclusive", "exclusive"]),
        todo=st.lists(st.tuples(verbs, names, st.integers(0, 9)), max_size=3),
        late=st.booleans(),
    )
    def arrive(self, process: int, which: int, mode: str, todo: list[Step], late: bool) -> None:
        """A request touches its session, and sees what was stored last; or has to wait.

        One that comes late finds that leases which nobody renewed have run out.
        """
        if not self.living():
            self.sign_in(process)
        stored = pick(self.living(), which)
        if late and stored.is_leased(self.now) and stored.expires > self.now + LEASE:
            self.site.clock.advance(LEASE)
        self.arrive_for(stored, process, mode, todo)

    def arrive_for(self, stored: Stored, process: int, mode: str, todo: list[Step]) -> None:
        """The same, of a given session."""
        request = UnderWay(self.sites[process], stored.id, *REQUESTS[mode])
        if mode == "exclusive" and self.must_wait(stored, process):
            with pytest.raises(SessionLockTimeout):
                request.run(lambda: dict(session))
            assert given_id(request.answer()) is None
            return
        opened = Opened(stored, mode, process)
        opened.load(self.now)
        assert request.run(lambda: dict(session)) == opened.view
        self.under_way.append((request, opened))
        for step in todo:
            self.take(request, opened, step)

    @precondition(lambda self: any(o.stored.lives(self.now) for _, o in self.under_way))
    @rule(process=st.integers(0, 1), which=some)
    def overtake(self, process: int, which: int) -> None:
        """A short request renews the id under another one, whoever has the lease."""
        among = [o.stored for _, o in self.under_way if o.stored.lives(self.now)]
        self.arrive_for(pick(among, which), process, "merge", [("regenerate", "a", 0)])
        self.answer(*self.under_way[-1])

    @precondition(lambda self: self.under_way)
    @rule(which=some, step=st.tuples(verbs, names, st.integers(0, 9)))
    def go_on(self, which: int, step: Step) -> None:
        """A request under way does something more."""
        self.take(*pick(self.under_way, which), step)

    def take(self, request: UnderWay, opened: Opened, step: Step) -> None:
        """Do the same to a session and to its model, if the mode lets it."""
        verb, name, value = step

        def change() -> t.Any:
            if verb == "set":
                return session.update({name: value})
            if verb == "remove":
                return session.pop(name, None)
            if verb == "regenerate":
                return session.regenerate()
            return setattr(session, "owner", OWNER)

        if opened.mode == "readonly":
            with pytest.raises(SessionReadOnly):
                request.run(change)
            return
        answer = request.run(change)
        if verb == "set":
            opened.set(name, value)
        elif verb == "remove":
            assert answer == opened.remove(name)
        opened.renews = opened.renews or verb == "regenerate"
        opened.signs_in = opened.signs_in or verb == "sign in"

    @precondition(lambda self: self.under_way)
    @rule(which=some)
    def commit(self, which: int) -> None:
        """In the middle of a request, which then sees what is stored now."""
        request, opened = pick(self.under_way, which)
        signs_in, renews, stored = opened.signs_in, opened.renews, opened.stored
        opened.committed = opened.committed or bool(opened.edits or signs_in or renews)
        if opened.save(self.now) is not None:
            with pytest.raises(SessionConflict):
                request.run(lambda: session.commit())
            self.break_off(request, opened)
            return
        request.run(lambda: session.commit())
        if signs_in:
            self.enforce_cap()
        if renews and stored.lives(self.now):
            held = request.run(lambda: session._held)
            assert held is not None
            opened.id = stored.id = held.text
        if not stored.lives(self.now) or opened.id != stored.id:
            self.break_off(request, opened)
        elif opened.mode == "exclusive" and self.must_wait(stored, opened.process):
            with pytest.raises(SessionLockTimeout):
                request.run(lambda: dict(session))
            self.break_off(request, opened)
        else:
            opened.load(self.now)
            assert request.run(lambda: dict(session)) == opened.view

    @precondition(lambda self: self.under_way)
    @rule(which=some, how=st.sampled_from(["answer"] * 3 + ["500", "no answer", "abandon"]))
    def leave(self, which: int, how: str) -> None:
        """A request ends, in one way or another."""
        request, opened = pick(self.under_way, which)
        if how == "abandon":
            self.abandon(request, opened)
        elif how == "answer":
            self.answer(request, opened)
        else:
            stored = opened.stored
            opened.drop_changes()
            opened.save(self.now)
            if how == "no answer":
                self.break_off(request, opened)
            else:
                self.under_way.remove((request, opened))
                given = given_id(request.answer(500))
                # What was committed before is told even now, as long as it is true.
                told = opened.committed and stored.lives(self.now) and opened.id == stored.id
                assert given == (stored.id if told else None)

    def answer(self, request: UnderWay, opened: Opened) -> None:
        """What it did is stored, or refused as a whole."""
        self.under_way.remove((request, opened))
        signs_in, renews, stored = opened.signs_in, opened.renews, opened.stored
        refused = opened.save(self.now)
        response = request.answer()
        assert response.status_code == (409 if refused == LOST else 200)
        given = given_id(response)
        if refused is not None:
            assert given is None
            return
        if renews and stored.ended is None:
            assert given not in (None, "", stored.id)
            stored.id = given
        assert given in (None, stored.id if stored.ended is None else "")
        if signs_in:
            self.enforce_cap()

    def abandon(self, request: UnderWay, opened: Opened) -> None:
        """The session ends at once, and with it all that others have not stored yet."""
        if opened.mode == "readonly":
            with pytest.raises(SessionReadOnly):
                request.run(lambda: session.abandon())
            return
        self.under_way.remove((request, opened))
        stored = opened.stored
        ends = stored.lives(self.now) and opened.fence >= stored.floor
        request.run(lambda: session.abandon())
        if ends:
            stored.end("abandoned")
        assert request.run(lambda: dict(session)) == opened.view
        assert given_id(request.answer()) == ("" if ends else None)

    def break_off(self, request: UnderWay, opened: Opened) -> None:
        """The context ends without an answer."""
        self.under_way.remove((request, opened))
        request.break_off()

    # After every step

    @invariant()
    def requests_see_what_they_saw(self) -> None:
        for request, opened in self.under_way:
            assert request.run(lambda: dict(session)) == opened.view

    @invariant()
    def the_store_holds_what_it_should(self) -> None:
        site, living = self.sites[0], self.living()
        with site.app.app_context():
            sessions = site.state.sessions
            assert sessions.count() == len(living)
            assert [each.handle for each in sessions.find(OWNER)] == [s.handle for s in living]
            for stored in self.sessions[-4:]:
                expected = stored.items if stored.lives(self.now) else None
                assert sessions.items_of(stored.handle) == expected

    @invariant()
    def leases_are_where_they_should_be(self) -> None:
        for stored in self.living():
            record = self.site.store.store.inspect(stored.handle)
            assert record is not None
            leased = record.facts.holder != b"" and self.now < record.facts.leased_until
            assert leased == stored.is_leased(self.now)

    def teardown(self) -> None:
        for request, _ in self.under_way:
            request.break_off()
        super().teardown()


TestModesOnMemory = on_engine(Modes, "memory", 70)
TestModesOnLmdb = on_engine(Modes, "lmdb", 30)
