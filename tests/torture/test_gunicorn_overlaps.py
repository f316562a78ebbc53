"""A slow request never undoes, revives or takes over what another one did meanwhile.

Two requests of one browser overlap in every order there is; what became of it is told by their
responses, by the browser's next request, and by that of somebody who kept the id of before.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import itertools

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
from tests.torture.overlaps import CASES
from tests.torture.overlaps import FIRST
from tests.torture.overlaps import Act
from tests.torture.overlaps import Case
from tests.torture.overlaps import Foretold
from tests.torture.overlaps import Place
from tests.torture.overlaps import Says
from tests.torture.overlaps import foretell

pytestmark = pytest.mark.torture

each_deployment = pytest.mark.parametrize(
    "deployment", [LMDB, MEMORY, GEVENT], ids=["lmdb", "memory", "gevent"], scope="module"
)


@dataclasses.dataclass
class Round:
    """One overlap, as it went."""

    browser: Browser
    thief: Browser
    """Has kept what the browser had before."""
    handle: str
    slow: Answer
    fast: Answer

    @property
    def id(self) -> str:
        """The id of before."""
        return self.thief.cookies["session"]


def play(
    case: Case, server: Gunicorn, coordinator: Coordinator, workers: tuple[int, int], *first: str
) -> Round:
    """Let two requests overlap.

    :param workers: those of the slow request and of the fast one.
    :param first: further steps of the request that starts the session.
    """
    browser = Browser(server)
    sets = [f"set {name} {value}" for name, value in FIRST.items()]
    (handle,) = browser.run(*sets, *first, "handle").seen
    thief = browser.twin()
    slow_steps, fast_steps = case.steps()
    under_way = browser.start(*slow_steps, worker=workers[0])
    visit = coordinator.wait("here")
    fast = browser.run(*fast_steps, worker=workers[1])
    visit.go()
    slow = under_way.result()
    assert (slow.worker, fast.worker) == workers
    assert slow.status == fast.status == 200
    return Round(browser, thief, handle, slow, fast)


def check(played: Round, foretold: Foretold) -> None:
    """Nothing was undone, revived or taken over."""
    assert played.slow.signals == foretold.slow.signals
    assert played.fast.signals == foretold.fast.signals
    assert says(played, played.slow.cookies) is foretold.slow.says
    assert says(played, played.fast.cookies) is foretold.fast.says
    check_browser(played, foretold)
    if not foretold.old_id_works:
        check_thief(played)
        check_browser(played, foretold)


def check_browser(played: Round, foretold: Foretold) -> None:
    """The browser's next request sees what it should, in the session that it should."""
    (found,) = played.browser.run("look").seen
    assert found["items"] == foretold.items
    assert (found["handle"] == played.handle) is foretold.same


def check_thief(played: Round) -> None:
    """Who has kept the id of before sees nothing, and what he stores is nobody else's."""
    answer = played.thief.twin().run("look", "set a thief", "look")
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


def pairs(server: Gunicorn, deployment: Deployment) -> cabc.Iterator[tuple[int, int]]:
    """For each round the workers of the two requests: every pair of them in turn."""
    workers = server.workers()
    every = itertools.cycle([(slow, fast) for slow in workers for fast in workers])
    return itertools.islice(every, deployment.rounds)


@each_deployment
@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_overlap_undoes_revives_and_takes_over_nothing(
    case: Case, server: Gunicorn, coordinator: Coordinator, deployment: Deployment
) -> None:
    """S10, S11, S17, S18, S26, S27: in one worker, and in two."""
    for workers in pairs(server, deployment):
        check(play(case, server, coordinator, workers), foretell(case))


@each_deployment
@pytest.mark.parametrize("fast", [Act.ABANDONS, Act.REGENERATES], ids=lambda act: act.name)
def test_a_slow_reader_of_a_permanent_session_does_not_send_its_old_id_again(
    fast: Act, server: Gunicorn, coordinator: Coordinator, deployment: Deployment
) -> None:
    """S11, S18: though `SESSION_REFRESH_EACH_REQUEST` is on, and would have the cookie sent."""
    for place in (Place.BEFORE_IT_READS, Place.AFTER_IT_READ):
        case = Case(Act.READS, place, fast)
        for workers in pairs(server, deployment):
            played = play(case, server, coordinator, workers, "permanent")
            assert played.id.endswith(".p")
            check(played, foretell(case))


@each_deployment
@pytest.mark.parametrize("fast", [Act.ABANDONS, Act.REGENERATES], ids=lambda act: act.name)
def test_an_old_id_that_is_sent_again_unread_opens_nothing(
    fast: Act, server: Gunicorn, coordinator: Coordinator, deployment: Deployment
) -> None:
    """The exception: who touches nothing asks nobody whether a permanent id is still good."""
    case = Case(Act.TOUCHES_NOTHING, Place.BEFORE_IT_READS, fast)
    for workers in pairs(server, deployment):
        played = play(case, server, coordinator, workers, "permanent")
        assert says(played, played.slow.cookies) is Says.SAME
        check_thief(played)
