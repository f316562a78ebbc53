"""A slow request never undoes, revives or takes over what another one did meanwhile.

Two requests of one browser overlap in every order there is; what became of it is told by their
responses, by the browser's next request, and by that of somebody who kept the id of before.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import time
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
from tests.rig.effort import times
from tests.rig.gunicorn import Gunicorn
from tests.torture.overlaps import CASES
from tests.torture.overlaps import FIRST
from tests.torture.overlaps import Act
from tests.torture.overlaps import Case
from tests.torture.overlaps import Foretold
from tests.torture.overlaps import Place
from tests.torture.overlaps import Request
from tests.torture.overlaps import Says
from tests.torture.overlaps import foretell

pytestmark = pytest.mark.torture

each_deployment = pytest.mark.parametrize(
    "deployment", [LMDB, MEMORY, GEVENT], ids=["lmdb", "memory", "gevent"], scope="module"
)

OFTEN: t.Final = {
    *(Act.TOUCHES_NOTHING, Act.READS, Act.WRITES_ANOTHER, Act.WRITES),
    *(Act.ABANDONS, Act.REGENERATES),
}
"""Acts whose overlaps are repeated most: what every application does."""

QUICK: t.Final = 0.05
"""Seconds after which a request asks the store before it sends an id again that it didn't touch."""


@dataclasses.dataclass
class Round:
    """One overlap, as it went."""

    browser: Browser
    thief: Browser
    """Has kept what the browser had before."""
    handle: str
    workers: tuple[int, int]
    """Those of the slow request and of the fast one. They answer what is asked later, too."""
    slow: Answer
    fast: Answer
    took: float
    """Seconds from the slow request to its answer."""

    @property
    def id(self) -> str:
        """The id of before."""
        return self.thief.cookies["session"]


def play(
    case: Case,
    foretold: Foretold,
    server: Gunicorn,
    coordinator: Coordinator,
    workers: tuple[int, int],
    *first: str,
    sweeps: bool = False,
) -> Round:
    """Let two requests overlap.

    :param workers: those of the slow request and of the fast one.
    :param first: further steps of the request that starts the session.
    :param sweeps: who ends the session sees to it that nothing is left of it, too.
    """
    browser = Browser(server)
    sets = [f"set {name} {value}" for name, value in FIRST.items()]
    (handle,) = browser.run(*sets, *first, "handle", worker=workers[1]).seen
    thief = browser.twin()
    slow_steps, fast_steps = (_in_full(steps, handle, sweeps) for steps in case.steps())
    begun = time.monotonic()
    under_way = browser.start(*slow_steps, worker=workers[0], method=case.slow.method)
    here = coordinator.wait("here")
    following = browser.start(*fast_steps, worker=workers[1], method=case.fast.method)
    if foretold.waits:
        server.wait_for_waiting(workers[1], 1)
        here.go()
        slow = under_way.result()
    # Only now: nothing on the server orders answers that leave at the same time.
    coordinator.wait("there").go()
    fast = following.result()
    if not foretold.waits:
        here.go()
        slow = under_way.result()
    assert (slow.worker, fast.worker) == workers
    return Round(browser, thief, handle, workers, slow, fast, slow.answered - begun)


def _in_full(steps: list[str], handle: str, sweeps: bool) -> cabc.Iterator[str]:
    for step in steps:
        yield step.replace("HANDLE", handle)
        if sweeps and step.split(" ")[0] in ("abandon", "revoke", "lapse"):
            yield "sweep"


def check(played: Round, foretold: Foretold) -> None:
    """Nothing was undone, revived or taken over."""
    for answer, told in ((played.slow, foretold.slow), (played.fast, foretold.fast)):
        assert answer.status == told.status
        assert answer.signals == told.signals
        assert says(played, answer.cookies) is told.says
        if answer.status == 200:
            assert answer.seen == told.seen
    check_browser(played, foretold, played.workers[1])
    if not foretold.old_id_works:
        check_thief(played)
        check_browser(played, foretold, played.workers[0])


def check_browser(played: Round, foretold: Foretold, worker: int) -> None:
    """The browser's next request sees what it should, in the session that it should."""
    (found,) = played.browser.run("look", worker=worker).seen
    assert found["items"] == foretold.items
    assert (found["handle"] == played.handle) is foretold.same


def check_thief(played: Round) -> None:
    """Who has kept the id of before sees nothing, and what he stores is nobody else's."""
    answer = played.thief.twin().run("look", "set a thief", "look", worker=played.workers[0])
    before, after = answer.seen
    assert before == {"items": {}, "handle": None}
    assert after["items"] == {"a": "thief"}
    assert says(played, answer.cookies) in (Says.NOTHING, Says.ANOTHER)


def says(played: Round, cookies: list[SetCookie]) -> Says:
    """What a response says of the session."""
    if not cookies:
        return Says.NOTHING
    (cookie,) = cookies
    assert cookie.name == "session"
    if cookie.deletes:
        return Says.DELETED
    if cookie.value == played.id:
        return Says.SAME
    return Says.RENEWED if cookie.value.startswith(played.handle) else Says.ANOTHER


def pairs(
    server: Gunicorn, rounds: int, offset: int = 0
) -> cabc.Iterator[tuple[int, tuple[int, int]]]:
    """The number of each round, and the workers of its requests: every pair of them in turn.

    :param offset: where in the row of rounds to begin; of two that follow an even one, one has
        a single worker and one has two, where there are two.
    """
    workers = server.workers()
    every = [(slow, fast) for slow in workers for fast in workers]
    for number in range(offset, offset + rounds):
        yield number, every[number % len(every)]


def overlap(
    case: Case, server: Gunicorn, coordinator: Coordinator, rounds: int, *first: str
) -> cabc.Iterator[Round]:
    """Let two requests overlap, again and again; check it, and return each round."""
    foretold = {same: foretell(case, same) for same in (False, True)}
    # Where rounds are few, cases that are alike take different ones.
    for number, workers in pairs(server, rounds, 2 * CASES.index(case)):
        told = foretold[workers[0] == workers[1]]
        sweeps = (number + number // 4) % 2 == 1
        played = play(case, told, server, coordinator, workers, *first, sweeps=sweeps)
        check(played, told)
        yield played


@each_deployment
@pytest.mark.parametrize("case", [case for case in CASES if case.merges], ids=str)
def test_an_overlap_undoes_revives_and_takes_over_nothing(
    case: Case, server: Gunicorn, coordinator: Coordinator, deployment: Deployment
) -> None:
    """S10, S11, S17, S18, S26, S27: in one worker, and in two."""
    acts = {case.slow.act, case.fast.act}
    rounds = deployment.rounds if acts <= OFTEN else times(deployment.few)
    assert len([*overlap(case, server, coordinator, rounds)]) == rounds


@each_deployment
@pytest.mark.parametrize("case", [case for case in CASES if not case.merges], ids=str)
def test_an_exclusive_request_waits_for_another_one_and_for_nobody_else(
    case: Case, server: Gunicorn, coordinator: Coordinator, deployment: Deployment
) -> None:
    """S10, S11, S17, S18, S27, S28, S31: in one worker, and in two."""
    rounds = times(deployment.few)
    assert len([*overlap(case, server, coordinator, rounds)]) == rounds


@each_deployment
@pytest.mark.parametrize("fast", [Act.ABANDONS, Act.REGENERATES], ids=lambda act: act.name)
def test_a_slow_reader_of_a_permanent_session_does_not_send_its_old_id_again(
    fast: Act, server: Gunicorn, coordinator: Coordinator, deployment: Deployment
) -> None:
    """S11, S18: though `SESSION_REFRESH_EACH_REQUEST` is on, and would have the cookie sent."""
    for place in (Place.BEFORE_IT_READS, Place.AFTER_IT_READ):
        case = Case(Request(Act.READS), place, Request(fast))
        for played in overlap(case, server, coordinator, deployment.rounds, "permanent"):
            assert played.id.endswith(".p")


@each_deployment
@pytest.mark.parametrize("fast", [Act.ABANDONS, Act.REGENERATES], ids=lambda act: act.name)
def test_an_old_id_that_is_sent_again_unread_opens_nothing(
    fast: Act, server: Gunicorn, coordinator: Coordinator, deployment: Deployment
) -> None:
    """The exception: who touches nothing, and is quick, asks nobody whether an id is still good."""
    case = Case(Request(Act.TOUCHES_NOTHING), Place.BEFORE_IT_READS, Request(fast))
    quick = 0
    for _, workers in pairs(server, deployment.rounds):
        foretold = foretell(case, workers[0] == workers[1])
        played = play(case, foretold, server, coordinator, workers, "permanent")
        if played.took < QUICK:
            quick += 1
            assert says(played, played.slow.cookies) is Says.SAME
        check_thief(played)
    assert quick, "this machine is too busy to be quick"
