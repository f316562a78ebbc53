"""Security statements S14, S15 and S23: what a sign-in does to sessions, over Flask-Login."""

from __future__ import annotations

import functools
import threading
import typing as t

import flask
import flask_login
import pytest
from werkzeug.test import TestResponse

from flask_state import FlaskState
from flask_state import session
from flask_state import signals
from flask_state.session.ids import LOCATOR_LENGTH
from flask_state.testing import FakeClock
from tests.session.together import at_once
from tests.web.conftest import MakeApp
from tests.web.test_flask_login import FIREFOX
from tests.web.test_flask_login import Person
from tests.web.test_flask_login import User
from tests.web.test_flask_login import with_login

# Flask-Login 0.6 dates its cookie with a function that Python 3.12 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

PARALLEL: t.Final = 8
CAP: t.Final = 3
METHODS: t.Final = ("GET", "POST")
"""By default the first overlaps other requests of its session, and the second queues."""


@pytest.fixture
def login_app(app: flask.Flask) -> flask.Flask:
    return with_login(app)


@pytest.fixture
def victim(login_app: flask.Flask) -> Person:
    return Person(login_app)


@pytest.fixture
def attacker(login_app: flask.Flask) -> Person:
    return Person(login_app)


def plant(attacker: Person, victim: Person) -> str:
    """Have the victim's browser use a session that the attacker knows; its id."""
    attacker.run(lambda: session.update(planted=True))
    assert attacker.cookie is not None
    victim.cookie = attacker.cookie
    return attacker.cookie


def assert_anonymous(attacker: Person, planted: str) -> None:
    """The planted id, and whatever else the attacker was given, opens nothing of the victim's."""
    for cookie in (planted, attacker.cookie):
        attacker.cookie = cookie
        assert attacker.name() is None
        assert "_user_id" not in attacker.value(lambda: dict(session), headers=FIREFOX)


class TestS14:
    """S14: a login through Flask-Login changes the id, without a line in the application."""

    def test_s14_a_login_changes_the_secret_and_keeps_the_session(self, victim: Person) -> None:
        """S14: the id before is dead, and what it held is under the new one."""
        victim.run(lambda: session.update(cart=["tea"]))
        before = victim.cookie
        victim.sign_in()
        after = victim.cookie
        assert before is not None
        assert after is not None
        assert after[:LOCATOR_LENGTH] == before[:LOCATOR_LENGTH]
        assert after[LOCATOR_LENGTH:] != before[LOCATOR_LENGTH:]
        assert victim.value(lambda: session["cart"], headers=FIREFOX) == ["tea"]
        victim.cookie = before
        assert victim.value(lambda: dict(session), headers=FIREFOX) == {}

    def test_s14_every_login_gives_another_id(self, victim: Person) -> None:
        """S14: also the second one of the same user."""
        seen = set()
        for _ in range(5):
            victim.sign_in()
            seen.add(victim.cookie)
        assert len(seen) == 5

    def test_s14_the_first_cookie_of_all_may_be_that_of_the_login(self, victim: Person) -> None:
        """S14: where there was no session, nobody can know the id that the login makes."""
        assert victim.client.get_cookie("session") is None
        victim.sign_in()
        assert victim.cookie is not None
        assert victim.name() == "ann"

    def test_s14_a_login_by_post_changes_it_too(self, victim: Person) -> None:
        """S14: under an exclusive session as well."""
        victim.run(lambda: session.update(cart=["tea"]))
        before = victim.cookie
        victim.sign_in(method="POST")
        assert victim.cookie != before
        assert victim.name() == "ann"

    def test_s14_a_login_that_commits_early_changes_it(self, victim: Person) -> None:
        """S14: the id changes with the commit that stores who signed in."""
        victim.run(lambda: session.update(cart=["tea"]))
        before = victim.cookie

        def view() -> None:
            flask_login.login_user(User("ann"))
            session.commit()
            session["later"] = True

        victim.run(view, headers=FIREFOX)
        assert victim.cookie != before
        assert victim.name() == "ann"
        victim.cookie = before
        assert victim.name() is None


class TestS15:
    """S15: an id that an attacker planted is anonymous after the victim's login."""

    def test_s15_an_id_of_a_session_of_the_attackers(
        self, attacker: Person, victim: Person
    ) -> None:
        """S15: the plain case."""
        planted = plant(attacker, victim)
        victim.sign_in()
        assert victim.name() == "ann"
        assert_anonymous(attacker, planted)

    @pytest.mark.parametrize("made_up", ["a" * 36, "a" * 36 + ".p", "not an id"])
    def test_s15_an_id_that_the_attacker_made_up(
        self, attacker: Person, victim: Person, made_up: str
    ) -> None:
        """S15: it is never taken over."""
        victim.cookie = attacker.cookie = made_up
        victim.sign_in()
        assert victim.cookie != made_up
        assert victim.name() == "ann"
        assert_anonymous(attacker, made_up)

    def test_s15_the_attacker_wrote_into_it_just_before(
        self, attacker: Person, victim: Person
    ) -> None:
        """S15: what Flask-Login wrote for the attacker is overwritten in the victim's session."""
        planted = plant(attacker, victim)
        attacker.sign_in("eve")
        victim.cookie = attacker.cookie
        victim.sign_in("ann")
        assert victim.name() == "ann"
        assert_anonymous(attacker, planted)

    @pytest.mark.parametrize("touch", ["before", "after", "never"])
    @pytest.mark.parametrize("writes", [False, True], ids=["reads", "writes"])
    def test_s15_a_request_of_the_attacker_that_overlaps_the_login(
        self, attacker: Person, victim: Person, touch: str, writes: bool
    ) -> None:
        """S15: it began before the login and ends after it, and wins neither data nor an id."""
        planted = plant(attacker, victim)
        seen: list[dict[str, t.Any]] = []

        def use() -> None:
            seen.append(dict(session))
            if writes:
                session["evil"] = True

        def view() -> None:
            if touch == "before":
                use()
            victim.sign_in()
            if touch == "after":
                use()

        response = attacker.run(view, headers=FIREFOX)
        assert response.status_code == 200
        assert all("_user_id" not in each for each in seen)
        assert response.headers.getlist("Set-Cookie") == []
        assert victim.name() == "ann"
        assert "evil" not in victim.value(lambda: dict(session), headers=FIREFOX)
        assert_anonymous(attacker, planted)

    @pytest.mark.parametrize("act", ["regenerate", "sign in", "abandon", "permanent"])
    def test_s15_whatever_the_overlapping_request_does(
        self, attacker: Person, victim: Person, act: str
    ) -> None:
        """S15: it can neither take the session along, nor end the victim's, nor sign in there."""
        planted = plant(attacker, victim)

        def view() -> None:
            session["planted"]
            victim.sign_in()
            if act == "regenerate":
                session.regenerate()
            elif act == "sign in":
                flask_login.login_user(User("eve"))
            elif act == "abandon":
                session.abandon()
            else:
                session.permanent = True

        attacker.run(view, headers=FIREFOX)
        assert victim.name() == "ann"
        for cookie in (planted, attacker.cookie):
            attacker.cookie = cookie
            assert attacker.name() != "ann"
        assert victim.name() == "ann"

    @pytest.mark.parametrize("login", METHODS)
    @pytest.mark.parametrize("request_of_the_attacker", METHODS)
    def test_s15_requests_of_the_attacker_all_around_the_login(
        self, attacker: Person, victim: Person, login: str, request_of_the_attacker: str
    ) -> None:
        """S15: in threads, each with the planted id, however they are ordered."""
        planted = plant(attacker, victim)
        met = threading.Barrier(PARALLEL)
        others = [Person(attacker.client.application) for _ in range(PARALLEL - 1)]

        def attack(other: Person) -> None:
            other.cookie = planted

            def view() -> None:
                met.wait(10)
                session["evil"] = session.get("evil", 0) + 1

            other.run(view, method=request_of_the_attacker, headers=FIREFOX)

        def view() -> None:
            met.wait(10)
            flask_login.login_user(User("ann"))

        tasks = [functools.partial(attack, other) for other in others]
        at_once(*tasks, lambda: victim.run(view, method=login, headers=FIREFOX))
        assert victim.name() == "ann"
        for other in others:
            assert_anonymous(other, planted)
        assert victim.name() == "ann"


class TestS23:
    """S23: an owner has at most so many sessions; one more login ends the oldest."""

    @pytest.fixture
    def capped(self, make_app: MakeApp) -> flask.Flask:
        return with_login(make_app(STATE_SESSION_MAX_PER_OWNER=CAP))

    def sign_in_many(
        self, app: flask.Flask, clock: FakeClock, number: int, name: str = "ann"
    ) -> list[Person]:
        """So many browsers of a user, that signed in one second after the other."""
        people = []
        for _ in range(number):
            person = Person(app)
            person.sign_in(name)
            people.append(person)
            clock.advance(1)
        return people

    def names(self, people: list[Person]) -> list[str | None]:
        """As whom each of them is signed in."""
        return [person.name() for person in people]

    def living(self, app: flask.Flask, state: FlaskState, owner: str = "ann") -> set[str]:
        """The handles of an owner's sessions."""
        with app.app_context():
            return {each.handle for each in state.sessions.find(owner)}

    def test_s23_the_login_above_the_cap_ends_the_oldest(
        self, capped: flask.Flask, state: FlaskState, clock: FakeClock
    ) -> None:
        """S23: and no other one, from the very next request on."""
        people = self.sign_in_many(capped, clock, CAP)
        assert self.names(people) == ["ann"] * CAP
        people += self.sign_in_many(capped, clock, 1)
        assert self.names(people) == [None] + ["ann"] * CAP
        people += self.sign_in_many(capped, clock, 2)
        assert self.names(people) == [None] * 3 + ["ann"] * CAP
        assert len(self.living(capped, state)) == CAP

    def test_s23_the_oldest_is_who_signed_in_first(
        self, capped: flask.Flask, clock: FakeClock
    ) -> None:
        """S23: not who came first: a session begins long before the login."""
        early = Person(capped)
        early.run(lambda: session.update(cart=["tea"]))
        clock.advance(60)
        people = self.sign_in_many(capped, clock, CAP - 1)
        early.sign_in()
        clock.advance(1)
        people += self.sign_in_many(capped, clock, 1)
        assert early.name() == "ann"
        assert self.names(people) == [None] + ["ann"] * (CAP - 1)

    def test_s23_owners_have_a_cap_each(self, capped: flask.Flask, clock: FakeClock) -> None:
        """S23: nobody signs anybody else out."""
        eves = self.sign_in_many(capped, clock, CAP, "eve")
        anns = self.sign_in_many(capped, clock, CAP + 2)
        assert self.names(eves) == ["eve"] * CAP
        assert self.names(anns) == [None] * 2 + ["ann"] * CAP

    def test_s23_anonymous_sessions_have_none(self, capped: flask.Flask) -> None:
        """S23: they have no owner."""
        people = [Person(capped) for _ in range(CAP + 5)]
        for person in people:
            person.run(lambda: session.update(cart=["tea"]))
        assert [person.value(lambda: len(session)) for person in people] == [1] * len(people)

    def test_s23_a_second_login_of_one_session_ends_none(
        self, capped: flask.Flask, clock: FakeClock
    ) -> None:
        """S23: sessions are counted, not logins."""
        people = self.sign_in_many(capped, clock, CAP)
        for _ in range(3):
            people[-1].sign_in()
        assert self.names(people) == ["ann"] * CAP

    def test_s23_a_session_that_ended_makes_room(
        self, capped: flask.Flask, clock: FakeClock
    ) -> None:
        """S23: signed out, or ended, or expired."""
        people = self.sign_in_many(capped, clock, CAP)
        people[1].sign_out()
        people += self.sign_in_many(capped, clock, 1)
        assert self.names(people) == ["ann", None, "ann", "ann"]
        people[2].run(lambda: session.abandon(), headers=FIREFOX)
        people += self.sign_in_many(capped, clock, 1)
        assert self.names(people) == ["ann", None, None, "ann", "ann"]

    def test_s23_what_is_ended_is_told(
        self, capped: flask.Flask, state: FlaskState, clock: FakeClock
    ) -> None:
        """S23: by `session_ended`, with owner and last items."""
        told: list[dict[str, t.Any]] = []

        def receiver(sender: flask.Flask, **facts: t.Any) -> None:
            told.append(facts)

        first = Person(capped)
        first.run(lambda: session.update(cart=["tea"]))
        first.sign_in()
        handle = first.value(lambda: session.handle, headers=FIREFOX)
        clock.advance(1)
        self.sign_in_many(capped, clock, CAP)
        with signals.session_ended.connected_to(receiver, capped), capped.app_context():
            state.sessions.sweep()
        assert [(each["handle"], each["owner"]) for each in told] == [(handle, "ann")]
        assert told[0]["items"]["cart"] == ["tea"]

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("before", [0, CAP], ids=["none before", "a full house before"])
    def test_s23_parallel_logins_leave_exactly_as_many_as_the_cap(
        self, capped: flask.Flask, state: FlaskState, clock: FakeClock, method: str, before: int
    ) -> None:
        """S23: 8 at once, ten times over: never one too many, never one too few."""
        for _ in range(10):
            people = self.sign_in_many(capped, clock, before)
            clock.advance(1)
            arrived = [Person(capped) for _ in range(PARALLEL)]
            responses = sign_in_together(arrived, method)
            assert [each.status_code for each in responses] == [200] * PARALLEL
            living = self.living(capped, state)
            assert len(living) == CAP
            assert self.names(people) == [None] * before
            assert sorted(map(str, self.names(arrived))) == sorted(
                ["ann"] * CAP + ["None"] * (PARALLEL - CAP)
            )
            assert {person.cookie and person.cookie[:10] for person in arrived} >= living


def sign_in_together(people: list[Person], method: str) -> list[TestResponse]:
    """All of them sign in as one user, from views that wait for each other."""
    met = threading.Barrier(len(people))
    responses: list[TestResponse] = []

    def view() -> None:
        met.wait(10)
        flask_login.login_user(User("ann"))

    def sign_in(person: Person) -> None:
        responses.append(person.run(view, method=method, headers=FIREFOX))

    at_once(*(functools.partial(sign_in, person) for person in people))
    return responses
