"""A slow request never undoes, revives or takes over what another one did meanwhile.

Two requests of one browser overlap in every order there is; what became of it is told by the
browser's next request, and by that of somebody who kept the id of before.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import enum
import itertools
import typing as t

import pytest

from tests.rig.browser import Answer
from tests.rig.browser import Browser
from tests.rig.browser import SetCookie
from tests.rig.coordinator import Coordinator
from tests.rig.deployments import GEVENT
from tests.rig.deployments import LMDB
from tests.rig.deployments import MEMORY
from tests.rig.deployments import Deployment
from tests.rig.gunicorn import Gunicorn

pytestmark = pytest.mark.torture

each_deployment = pytest.mark.parametrize(
    "deployment", [LMDB, MEMORY, GEVENT], ids=["lmdb", "memory", "gevent"], scope="module"
)

Items = dict[str, str]

FIRST: t.Final[Items] = {"a": "first", "b": "first"}
"""What every session starts with."""


class Slow(enum.Enum):
    """What the slow request reads, and what it stores."""

    TOUCHES_NOTHING = ((), Items())
    READS = (("read a",), Items())
    WRITES_ANOTHER_ITEM = (("read a",), {"b": "slow"})
    WRITES_THE_SAME_ITEM = (("read a",), {"a": "slow"})

    def __init__(self, reads: tuple[str, ...], writes: Items) -> None:
        self.reads = reads
        self.writes = writes
        self.sets = tuple(f"set {name} {value}" for name, value in writes.items())


class Event(enum.Enum):
    """What the other request does."""

    WRITE = ("set a event",)
    ABANDON = ("abandon",)
    REGENERATE = ("set a event", "regenerate")


class Order(enum.Enum):
    """Who waits, and where, while the other one runs from its start to its end."""

    SLOW_WAITS_BEFORE_IT_READS = "slow waits before it reads"
    SLOW_WAITS_AFTER_IT_READ = "slow waits after it read"
    SLOW_WAITS_BEFORE_IT_SAVES = "slow waits before it saves"
    EVENT_WAITS_AFTER_IT_READ = "event waits after it read"
    EVENT_WAITS_BEFORE_IT_SAVES = "event waits before it saves"

    @property
    def slow_waits(self) -> bool:
        return self.value.startswith("slow")


class Case(t.NamedTuple):
    """An overlap."""

    event: Event
    slow: Slow
    order: Order

    def __str__(self) -> str:
        return f"{self.event.name}, {self.slow.name}, {self.order.value}".lower().replace("_", " ")

    @property
    def differs(self) -> bool:
        """Whether it is not the same as another one: who reads nothing can't wait after it."""
        if self.slow is Slow.TOUCHES_NOTHING:
            return self.order not in (
                Order.SLOW_WAITS_AFTER_IT_READ,
                Order.SLOW_WAITS_BEFORE_IT_SAVES,
            )
        return self.slow is not Slow.READS or self.order is not Order.SLOW_WAITS_BEFORE_IT_SAVES

    @property
    def knew(self) -> bool:
        """Whether the slow request had read the session before the event happened to it."""
        if self.order is Order.EVENT_WAITS_BEFORE_IT_SAVES:
            return self.event is not Event.ABANDON  # which happens when it is called
        return self.order is not Order.SLOW_WAITS_BEFORE_IT_READS

    @property
    def saved(self) -> bool:
        """Whether the slow request had saved the session before the event happened to it."""
        return self.knew and not self.order.slow_waits

    @property
    def begins_another(self) -> bool:
        """Whether the slow request met an ended session, and stored something: in a new one."""
        return self.event is Event.ABANDON and not self.knew and bool(self.slow.writes)

    @property
    def same_item(self) -> bool:
        return self.slow is Slow.WRITES_THE_SAME_ITEM


CASES = [case for parts in itertools.product(Event, Slow, Order) if (case := Case(*parts)).differs]


@dataclasses.dataclass
class Round:
    """One overlap, as it went."""

    case: Case
    browser: Browser
    thief: Browser
    """Has kept what the browser had before."""
    handle: str
    slow: Answer
    event: Answer

    @property
    def id(self) -> str:
        """The id of before."""
        return self.thief.cookies["session"]


def play(
    case: Case,
    server: Gunicorn,
    coordinator: Coordinator,
    workers: tuple[int, int],
    *first: str,
) -> Round:
    """Let two requests overlap.

    :param workers: those of the slow request and of the event.
    :param first: further steps of the request that starts the session.
    """
    browser = Browser(server)
    (handle,) = browser.run(*(f"set {n} {v}" for n, v in FIRST.items()), *first, "handle").seen
    thief = browser.twin()
    slow, event = steps(case)
    if case.order.slow_waits:
        under_way = browser.start(*slow, worker=workers[0])
        visit = coordinator.wait("here")
        fast = browser.run(*event, worker=workers[1])
    else:
        under_way = browser.start(*event, worker=workers[1])
        visit = coordinator.wait("here")
        fast = browser.run(*slow, worker=workers[0])
    visit.go()
    waited = under_way.result()
    answers = (waited, fast) if case.order.slow_waits else (fast, waited)
    assert (answers[0].worker, answers[1].worker) == workers
    assert answers[0].status == answers[1].status == 200
    return Round(case, browser, thief, handle, *answers)


def steps(case: Case) -> tuple[list[str], list[str]]:
    """What the slow request does, and what the event's does."""
    slow: Slow = case.slow
    event: list[str] = [*case.event.value]
    parts = [slow.reads, slow.sets]
    place = {
        Order.SLOW_WAITS_BEFORE_IT_READS: 0,
        Order.SLOW_WAITS_AFTER_IT_READ: 1,
        Order.SLOW_WAITS_BEFORE_IT_SAVES: 2,
    }
    if case.order.slow_waits:
        parts.insert(place[case.order], ("stop here",))
    elif case.order is Order.EVENT_WAITS_AFTER_IT_READ:
        event = ["read a", "stop here", *event]
    else:
        event = [*event, "stop here"]
    return [step for part in parts for step in part], event


def expected_items(case: Case) -> Items:
    """What the browser's next request finds."""
    wrote = case.slow.writes
    match case.event:
        case Event.ABANDON:
            # The event's response comes last where it waited, and deletes any cookie.
            return dict(wrote) if case.begins_another and case.order.slow_waits else {}
        case Event.WRITE if not case.saved:
            return FIRST | {"a": "event"} | wrote
        case Event.REGENERATE if not case.saved:
            return FIRST | {"a": "event"}
    return FIRST | wrote | {"a": "event"}


def expected_signals(case: Case) -> tuple[list[list[str]], list[list[str]]]:
    """What the slow request signals, and what the event's does."""
    if not case.slow.writes:
        return [], []
    changed = [["conflict", "changed", "a"]] if case.same_item else []
    match case.event:
        case Event.WRITE:
            return ([], changed) if case.saved else (changed if case.knew else [], [])
        case Event.REGENERATE:
            return ([], changed) if case.saved else ([["conflict", "passed"]], [])
        case Event.ABANDON:
            return ([["conflict", "gone"]] if case.knew and not case.saved else []), []


def check(played: Round) -> None:
    """Nothing was undone, revived or taken over."""
    case = played.case
    assert (played.slow.signals, played.event.signals) == expected_signals(case)
    check_cookies(played, played.slow.cookies)
    check_browser(played)
    if case.event is not Event.WRITE:
        check_thief(played)
        check_browser(played)


def check_browser(played: Round) -> None:
    """The browser's next request sees what it should, in the session that it should."""
    (found,) = played.browser.run("look").seen
    assert found["items"] == expected_items(played.case)
    assert (found["handle"] == played.handle) is (played.case.event is not Event.ABANDON)


def check_cookies(played: Round, cookies: list[SetCookie]) -> None:
    """The slow response says nothing of the session, unless it had stored something in it."""
    case = played.case
    stored = bool(case.slow.writes) and (case.event is Event.WRITE or case.saved)
    if stored:
        assert cookies == [SetCookie("session", played.id, False)]
    elif case.begins_another:
        (cookie,) = cookies
        assert not cookie.deletes
        assert not cookie.value.startswith(played.handle)
    else:
        assert cookies == []


def check_thief(played: Round) -> None:
    """Who has kept the id of before sees nothing, and what he stores is nobody else's."""
    answer = played.thief.twin().run("look", "set a thief", "look")
    before, after = answer.seen
    assert before == {"items": {}, "handle": None}
    assert after["items"] == {"a": "thief"}
    assert all(not cookie.value.startswith(played.handle) for cookie in answer.cookies)


def pairs(server: Gunicorn, deployment: Deployment) -> cabc.Iterator[tuple[int, int]]:
    """For each round the workers of the two requests: every pair of them in turn."""
    workers = server.workers()
    every = itertools.cycle([(slow, event) for slow in workers for event in workers])
    return itertools.islice(every, deployment.rounds)


@each_deployment
@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_overlap_undoes_revives_and_takes_over_nothing(
    case: Case, server: Gunicorn, coordinator: Coordinator, deployment: Deployment
) -> None:
    """S10, S11, S18, S26, S27: in one worker, and in two."""
    for workers in pairs(server, deployment):
        check(play(case, server, coordinator, workers))


@each_deployment
@pytest.mark.parametrize("event", [Event.ABANDON, Event.REGENERATE], ids=lambda event: event.name)
def test_a_slow_reader_of_a_permanent_session_does_not_send_its_old_id_again(
    event: Event, server: Gunicorn, coordinator: Coordinator, deployment: Deployment
) -> None:
    """S11, S18: though `SESSION_REFRESH_EACH_REQUEST` is on, and would have the cookie sent."""
    for order in (Order.SLOW_WAITS_BEFORE_IT_READS, Order.SLOW_WAITS_AFTER_IT_READ):
        case = Case(event, Slow.READS, order)
        for workers in pairs(server, deployment):
            played = play(case, server, coordinator, workers, "permanent")
            assert played.id.endswith(".p")
            check(played)


@each_deployment
@pytest.mark.parametrize("event", [Event.ABANDON, Event.REGENERATE], ids=lambda event: event.name)
def test_an_old_id_sent_again_unread_opens_nothing(
    event: Event, server: Gunicorn, coordinator: Coordinator, deployment: Deployment
) -> None:
    """The exception: who touches nothing asks nobody whether a permanent id is still good."""
    case = Case(event, Slow.TOUCHES_NOTHING, Order.SLOW_WAITS_BEFORE_IT_READS)
    for workers in pairs(server, deployment):
        played = play(case, server, coordinator, workers, "permanent")
        assert played.slow.cookies == [SetCookie("session", played.id, False)]
        check_thief(played)
