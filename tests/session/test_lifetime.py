"""How long sessions live: exact to the second, and written down once per tenth of the timeout."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import typing as t

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from flask_state import session
from flask_state.session.lifetime import Lifetime
from flask_state.stores import rules
from flask_state.stores.base import Change
from flask_state.stores.base import Facts
from tests.session.site import Site

START: t.Final = 1_800_000_000.0


class Life:
    """The facts of one session, moved by the rules every store applies."""

    def __init__(self, lifetime: Lifetime, own: float | None = None) -> None:
        self.lifetime = lifetime
        self.now = START
        self.touches: list[float] = []
        create = Change(create=True, proof=b"p", lives=lifetime.at_start(own), timeout=own)
        self.facts = rules.advance(None, create, self.now, size=1, empty=False)

    def visit(self) -> bool:
        """A request that reads; whether it found the session."""
        if not rules.lives(self.facts, self.now):
            return False
        lives = self.lifetime.touch(self.facts, self.now)
        if lives is not None and lives <= 0:
            return False
        if lives is not None:
            self.touches.append(self.now - START)
            change = Change(lives=lives)
            self.facts = rules.advance(self.facts, change, self.now, size=1, empty=False)
        return True


def lifetime(idle: float, absolute: float | None = None) -> Lifetime:
    """Timeouts that stay as they are."""
    return Lifetime(lambda: idle, absolute)


# The arithmetic


def test_a_session_starts_with_its_timeout_and_a_tenth() -> None:
    assert lifetime(1000).at_start(None) == 1100
    assert lifetime(1000).at_start(50) == pytest.approx(55)
    assert lifetime(1000, absolute=600).at_start(None) == 600


def test_a_touch_is_written_exactly_once_per_tenth() -> None:
    life = Life(lifetime(1000))
    for _ in range(2000):
        life.now += 1
        assert life.visit()
    assert life.touches == [float(second) for second in range(100, 2001, 100)]


def test_many_requests_in_one_second_write_one_touch() -> None:
    life = Life(lifetime(1000))
    life.now += 100
    for _ in range(50):
        assert life.visit()
    assert len(life.touches) == 1


@pytest.mark.parametrize("idle", [1, 7, 1200, 31 * 86_400])
def test_nobody_is_signed_out_early_and_nobody_more_than_a_tenth_late(idle: int) -> None:
    for last_visit in range(0, 20):
        life = Life(lifetime(idle))
        life.now += last_visit * idle / 100
        assert life.visit()
        seen = life.now
        life.now = seen + idle - 0.001
        assert rules.lives(life.facts, life.now)
        life.now = seen + idle * 1.1 + 0.001
        assert not rules.lives(life.facts, life.now)


@settings(max_examples=150)
@given(
    st.integers(1, 1000),
    st.lists(st.integers(0, 130), min_size=1, max_size=60),
    st.none() | st.integers(50, 2000),
)
def test_whatever_the_pauses(hundredth: int, pauses: list[int], absolute: int | None) -> None:
    """Alive within the timeout, gone after it and a tenth, and never past the absolute limit.

    All in hundredths of the idle timeout, which are whole seconds.
    """
    idle = 100 * hundredth
    limit = None if absolute is None else absolute * hundredth
    life = Life(lifetime(idle, limit))
    seen = life.now
    for pause in pauses:
        life.now += pause * hundredth
        age, quiet = life.now - START, life.now - seen
        found = life.visit()
        if limit is not None and age >= limit:
            assert not found
        elif quiet < idle:
            assert found
        elif quiet > idle * 1.1:
            assert not found
        if not found:
            break
        seen = life.now
        if limit is not None:
            assert life.facts.expires <= START + limit
    assert len(life.touches) <= (life.now - START) / (idle / 10) + 1


def test_the_absolute_limit_is_written_once_and_not_again() -> None:
    life = Life(lifetime(1000, absolute=5000))
    for _ in range(4999):
        life.now += 1
        assert life.visit()
    assert life.touches[-1] <= 4000
    assert life.facts.expires == START + 5000
    life.now += 1
    assert not life.visit()


def test_an_absolute_limit_below_the_idle_one_needs_no_touch() -> None:
    life = Life(lifetime(1000, absolute=300))
    for _ in range(299):
        life.now += 1
        assert life.visit()
    assert life.touches == []
    life.now += 1
    assert not life.visit()


def test_a_shorter_limit_of_today_ends_what_was_stored_under_a_longer_one() -> None:
    facts = Life(lifetime(10_000)).facts
    for stricter, over_at in [(lifetime(100), 110), (lifetime(10_000, absolute=150), 150)]:
        assert stricter.touch(facts, START + over_at - 1) != 0
        over = stricter.touch(facts, START + over_at)
        assert over is not None
        assert over <= 0


def test_a_longer_limit_of_today_is_written_at_the_next_visit() -> None:
    facts = Life(lifetime(100)).facts
    assert lifetime(1000).touch(facts, START + 1) == pytest.approx(1100)


def test_the_default_is_asked_for_at_each_use() -> None:
    idle = [100.0]
    changing = Lifetime(lambda: idle[0], None)
    assert changing.timeout(None) == 100
    idle[0] = 200.0
    assert changing.timeout(None) == 200
    assert changing.timeout(7) == 7


def test_the_functions_do_not_depend_on_what_the_facts_hold_beside_times() -> None:
    facts = Facts(b"p", START, START, START + 1100, START, owner="ann", size=9, version=4)
    assert lifetime(1000).touch(facts, START + 99) is None
    assert lifetime(1000).touch(facts, START + 100) == pytest.approx(1100)


# Through a site


@pytest.fixture
def short(url: str) -> t.Iterator[Site]:
    """A site whose sessions end after 1000 seconds."""
    site = Site(url, STATE_SESSION_IDLE_TIMEOUT=1000)
    yield site
    site.close()


def alive(site: Site, id: str) -> bool:
    """Whether an id leads to a session, found without touching it."""
    with site.app.app_context():
        return any(info.handle == id[:10] for info in site.state.sessions.find("ann"))


def begin(site: Site, task: cabc.Callable[[], object] = lambda: None) -> str:
    """The id of a session of ann's, in which a task ran."""
    visit = site.visit(
        None, lambda: (session.update(user="ann"), setattr(session, "owner", "ann"), task())
    )
    assert visit.cookie
    return visit.cookie.removesuffix(".p")


def test_reads_are_touches(short: Site) -> None:
    id = begin(short)
    for _ in range(30):
        short.clock.advance(999)
        assert short.visit(f"session={id}", lambda: session["user"]).value == "ann"


def test_a_request_that_ignores_the_session_is_no_touch(short: Site) -> None:
    id = begin(short)
    for _ in range(11):
        short.clock.advance(100)
        short.visit(f"session={id}", lambda: None)
    assert not alive(short, id)


def test_ten_reads_within_a_tenth_commit_once(short: Site) -> None:
    id = begin(short)
    short.store.changes.clear()
    for _ in range(100):
        short.clock.advance(10)
        short.visit(f"session={id}", lambda: session["user"])
    assert len(short.store.changes) == 10
    assert all(not change.items and change.lives for change in short.store.changes)


def test_a_write_moves_the_deadline_too(short: Site) -> None:
    id = begin(short)
    short.clock.advance(500)
    short.visit(f"session={id}", lambda: session.update(n=1))
    short.clock.advance(999)
    assert alive(short, id)


def test_the_default_is_flasks_lifetime(url: str) -> None:
    site = Site(url, PERMANENT_SESSION_LIFETIME=dt.timedelta(minutes=10))
    id = begin(site)
    assert site.visit(f"session={id}", lambda: session.timeout).value == 600
    site.clock.advance(599)
    assert alive(site, id)
    site.clock.advance(62)
    assert not alive(site, id)
    site.close()


def test_flasks_lifetime_is_read_when_used(url: str) -> None:
    site = Site(url)
    id = begin(site)
    site.app.permanent_session_lifetime = dt.timedelta(seconds=50)
    assert site.visit(f"session={id}", lambda: session.timeout).value == 50
    site.clock.advance(56)
    assert site.items(f"session={id}") == {}
    site.close()


@pytest.mark.parametrize("permanent", [True, False])
def test_being_permanent_does_not_change_how_long_a_session_lives(
    short: Site, permanent: bool
) -> None:
    id = begin(short, lambda: setattr(session, "permanent", permanent))
    short.clock.advance(999)
    assert alive(short, id)
    short.clock.advance(102)
    assert not alive(short, id)


@pytest.mark.parametrize("own", [60, 60.0, dt.timedelta(minutes=1)])
def test_a_session_may_have_a_shorter_timeout_of_its_own(short: Site, own: t.Any) -> None:
    id = begin(short)
    short.visit(f"session={id}", lambda: setattr(session, "timeout", own))
    assert short.visit(f"session={id}", lambda: session.timeout).value == 60
    short.clock.advance(59)
    assert alive(short, id)
    short.clock.advance(8)
    assert not alive(short, id)


def test_a_session_may_have_a_longer_timeout_of_its_own(short: Site) -> None:
    id = begin(short, lambda: setattr(session, "timeout", 5000))
    short.clock.advance(4999)
    assert short.items(f"session={id}")
    short.clock.advance(4999)
    assert alive(short, id)


def test_without_one_it_returns_to_the_configured_timeout(short: Site) -> None:
    id = begin(short, lambda: setattr(session, "timeout", 5000))
    short.visit(f"session={id}", lambda: setattr(session, "timeout", None))
    assert short.visit(f"session={id}", lambda: session.timeout).value == 1000
    short.clock.advance(1101)
    assert not alive(short, id)


@pytest.mark.parametrize("wrong", [0, -1, dt.timedelta(0), dt.timedelta(-1)])
def test_a_timeout_of_nothing_is_refused(short: Site, wrong: t.Any) -> None:
    with pytest.raises(ValueError, match="above 0"):
        short.visit(None, lambda: setattr(session, "timeout", wrong))


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), "60", "soon"])
def test_a_timeout_that_is_no_number_is_refused(short: Site, wrong: t.Any) -> None:
    id = begin(short)
    with pytest.raises((ValueError, TypeError)):
        short.visit(f"session={id}", lambda: setattr(session, "timeout", wrong))
    assert short.visit(f"session={id}", lambda: session.timeout).value == 1000


def test_renewal_does_not_move_the_absolute_deadline_but_time_of_renewal(url: str) -> None:
    site = Site(url, STATE_SESSION_RENEW_AFTER=100, STATE_SESSION_ABSOLUTE_TIMEOUT=10_000)
    browser, old = site.sign_in(user="ann")
    ids = {old}
    for _ in range(10):
        site.clock.advance(60)
        visit = site.visit(browser, lambda: session["user"])
        if visit.cookie:
            ids.add(visit.cookie)
    assert len(ids) == 6, "every second visit is more than 100 seconds after the last renewal"
    site.close()
