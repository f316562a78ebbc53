"""Ends are told at least once to every receiver, by processes that sweep together, and die."""

from __future__ import annotations

import collections.abc as cabc
import math
import pathlib
import random
import signal
import statistics
import threading
import time
import typing as t

import pytest

from flask_state.core.clock import SystemClock
from flask_state.core.tokens import random_text
from flask_state.session.sweeper import Sweeper
from flask_state.stores.base import Change
from flask_state.stores.base import Edit
from flask_state.stores.lmdb import expiry
from flask_state.stores.lmdb import records
from flask_state.stores.lmdb.sharing import Access
from tests.stores.lmdb.forked import fork
from tests.stores.lmdb.forked import status_of
from tests.torture.ends import EXPIRY
from tests.torture.ends import LEASE
from tests.torture.ends import PROCESSES
from tests.torture.ends import EndingSite
from tests.torture.ends import Fate
from tests.torture.ends import Receiver
from tests.torture.ends import assert_once_per_lease
from tests.torture.ends import assert_right
from tests.torture.ends import ending_site

pytestmark = [pytest.mark.torture, pytest.mark.timeout(600)]

MANY: t.Final = 2_000
SOME: t.Final = 400
ROUNDS: t.Final = 15
EXPIRED: t.Final = 100_000


@pytest.fixture
def site(tmp_path: pathlib.Path) -> cabc.Iterator[EndingSite]:
    """A site over an empty store."""
    with ending_site(tmp_path / "state") as site:
        yield site


def receivers(folder: pathlib.Path, *moods: cabc.Callable[[], bool]) -> list[Receiver]:
    """One receiver for each mood."""
    return [Receiver(folder / f"told-{n}", mood) for n, mood in enumerate(moods)]


def never() -> bool:
    """The mood of one that always returns."""
    return False


def sometimes() -> bool:
    """The mood of one that raises at random."""
    return random.random() < 0.3


class TestNothingFails:
    def test_every_end_is_told_once_to_every_receiver(
        self, site: EndingSite, tmp_path: pathlib.Path
    ) -> None:
        """By four processes that sweep the same store at the same time."""
        told = receivers(tmp_path, never, never, never)
        site.connect(*told)
        expected = site.end_many(MANY)
        assert site.sweep_in_processes() == [0] * PROCESSES
        for receiver in told:
            assert_right(receiver, expected)
            assert len(receiver.calls()) == MANY
        site.assert_nothing_left()

    def test_without_receivers_ends_are_dropped_at_the_first_sweep(
        self, site: EndingSite, tmp_path: pathlib.Path
    ) -> None:
        """Whoever connects later is not told of what was before."""
        site.end_many(SOME)
        assert site.sweep_in_processes() == [0] * PROCESSES
        (late,) = receivers(tmp_path, never)
        site.connect(late)
        site.assert_nothing_left()
        assert late.calls() == []


class TestReceiversThatRaise:
    def test_every_receiver_is_told_at_least_once(
        self, site: EndingSite, tmp_path: pathlib.Path
    ) -> None:
        """One that raised is told again when the lease of the claim is over, and not before."""
        told = receivers(tmp_path, never, sometimes, sometimes)
        site.connect(*told)
        expected = site.end_many(SOME)
        began = site.clock.time()
        rounds = 0
        while True:
            before = [len(receiver.calls()) for receiver in told]
            assert site.sweep_in_processes() == [0] * PROCESSES
            if [len(receiver.calls()) for receiver in told] == before:
                break
            rounds += 1
            site.clock.advance(LEASE + 1)
        for receiver in told:
            assert_right(receiver, expected)
            assert_once_per_lease(receiver)
            first = [call for call in receiver.calls() if call.time == began]
            assert len(first) == SOME, "one that raises keeps no other one from hearing"
        assert {call.good for call in told[1].calls() + told[2].calls()} == {True, False}
        assert rounds > 2
        site.assert_nothing_left()

    def test_one_that_always_raises_is_told_for_as_long_as_it_does(
        self, site: EndingSite, tmp_path: pathlib.Path
    ) -> None:
        """Nothing is lost by a receiver that was broken for an hour, once it is mended."""
        broken = [True]
        steady, other = receivers(tmp_path, never, lambda: broken[0])
        site.connect(steady, other)
        expected = site.end_many(40)
        for _ in range(60):
            site.sweep()
            site.clock.advance(LEASE)
        assert {call.handle for call in other.calls()} == set(expected)
        assert not [call for call in other.calls() if call.good]
        broken[0] = False
        assert site.sweep_in_processes() == [0] * PROCESSES
        for receiver in (steady, other):
            assert_right(receiver, expected)
            assert_once_per_lease(receiver)
        site.assert_nothing_left()


class TestProcessesThatDie:
    @pytest.mark.parametrize("place", Fate.PLACES)
    def test_what_a_dead_process_had_claimed_is_told_by_another(
        self, site: EndingSite, tmp_path: pathlib.Path, place: str
    ) -> None:
        """Not before the lease of its claim is over, and then all of it."""
        told = receivers(tmp_path, never, never)
        site.connect(*told)
        expected = site.end_many(20)
        assert site.sweep_in_processes([Fate(place)]) == [-signal.SIGKILL]
        assert site.sweep_in_processes() == [0] * PROCESSES, "somebody else may not know"
        untold = [handle for handle in expected if handle not in heard(told)]
        assert untold, "it died with work to do"
        site.clock.advance(LEASE + 1)
        assert site.sweep_in_processes() == [0] * PROCESSES
        for receiver in told:
            assert_right(receiver, expected)
            assert_once_per_lease(receiver)
        site.assert_nothing_left()

    def test_kills_over_and_over_lose_no_end(
        self, site: EndingSite, tmp_path: pathlib.Path
    ) -> None:
        """At every place between claim and forgetting, while others sweep beside."""
        told = receivers(tmp_path, never, sometimes, never)
        site.connect(*told)
        expected = site.end_many(2 * SOME)
        killed = 0
        for _ in range(ROUNDS):
            fates = [
                Fate(random.choice(Fate.PLACES), random.randrange(4)) for _ in range(PROCESSES)
            ]
            statuses = site.sweep_in_processes(fates)
            assert set(statuses) <= {0, -signal.SIGKILL}
            killed += statuses.count(-signal.SIGKILL)
            site.clock.advance(LEASE + 1)
        assert killed > 2 * ROUNDS
        while site.sweep():
            site.clock.advance(LEASE + 1)
        for receiver in told:
            assert_right(receiver, expected)
            assert_once_per_lease(receiver)
        again = sum(len(receiver.calls()) for receiver in told) / len(told) / len(expected)
        print(f"\n{killed} processes killed; each end was told {again:.2f} times")
        site.assert_nothing_left()


def heard(told: list[Receiver]) -> set[str]:
    """The handles that every receiver was told of."""
    return set.intersection(*({call.handle for call in each.calls()} for each in told))


class TestRequestsMeanwhile:
    def test_a_large_sweep_lets_commits_through(
        self, site: EndingSite, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """100,000 expired sessions are swept in small transactions, with pauses in between."""
        for _ in range(EXPIRED):
            change = Change(create=True, proof=b"p" * 16, lives=60.0, items={"n": Edit(b"1", 0)})
            assert site.store.commit(random_text(10), change, None).refused is None
        site.clock.advance(EXPIRY)
        locator = random_text(10)
        change = Change(create=True, proof=b"p" * 16, lives=60.0, items={"n": Edit(b"1", 0)})
        assert site.store.commit(locator, change, None).refused is None

        alone, during = Commits(site, locator), Commits(site, locator)
        alone.make(2_000)
        child = fork(lambda: sweep_as_in_production(site, monkeypatch))
        statuses: list[int] = []

        def wait() -> None:
            statuses.append(status_of(child))
            during.enough.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        during.make()
        waiting.join()
        print(f"\ncommits alone: {alone}\nduring the sweep: {during}")
        assert statuses == [0]
        assert site.sweep() == 0
        assert statistics.median(during.times) < 10 * statistics.median(alone.times)


class Commits:
    """Commits to one session, about a thousand in a second, and how long each of them took."""

    def __init__(self, site: EndingSite, locator: str) -> None:
        self._site = site
        self._locator = locator
        self.times: list[float] = []
        self.enough = threading.Event()

    def make(self, number: float = math.inf) -> None:
        """Make so many, or as many as there is time for before it is enough."""
        while len(self.times) < number and not self.enough.wait(0.001):
            change = Change(items={"n": Edit(b"%d" % len(self.times), 1 << 40)})
            begun = time.perf_counter()
            assert self._site.store.commit(self._locator, change, None).refused is None
            self.times.append(time.perf_counter() - begun)

    def __str__(self) -> str:
        ordered = sorted(self.times)
        p50, p99 = (ordered[int(len(ordered) * part)] * 1e6 for part in (0.5, 0.99))
        worst = ordered[-1] * 1e3
        return f"p50 {p50:.0f} us, p99 {p99:.0f} us, worst {worst:.1f} ms of {len(ordered)}"


class Transactions:
    """How many records each write transaction of a process took up and removed, at most."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.largest = {"looked at": 0, "removed": 0}
        self._now = dict.fromkeys(self.largest, 0)
        self._count(monkeypatch, expiry, "_claim_one", "looked at")
        self._count(monkeypatch, records, "remove", "removed")
        write = Access.write

        def watched(access: Access, *args: t.Any) -> t.Any:
            self._now = dict.fromkeys(self.largest, 0)
            answer = write(access, *args)
            for what, number in self._now.items():
                self.largest[what] = max(number, self.largest[what])
            return answer

        monkeypatch.setattr(Access, "write", watched)

    def _count(self, monkeypatch: pytest.MonkeyPatch, module: t.Any, name: str, what: str) -> None:
        function = getattr(module, name)

        def counted(*args: t.Any, **kwargs: t.Any) -> t.Any:
            self._now[what] += 1
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, counted)


class Sweeping:
    """Stands for the sessions of an application: sweeps them, and says when nothing is left."""

    def __init__(self, site: EndingSite) -> None:
        self._site = site
        self.total = 0
        self.done = threading.Event()

    def sweep(self, limit: int = 100) -> int:
        """One batch."""
        with self._site.app.app_context():
            claimed = self._site.state.sessions.sweep(limit)
        self.total += claimed
        if not claimed:
            self.done.set()
        return claimed


def sweep_as_in_production(site: EndingSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the sweeper's own thread until nothing is left; in a process of its own."""
    transactions = Transactions(monkeypatch)
    sweeping = Sweeping(site)
    begun = time.perf_counter()
    Sweeper(t.cast(t.Any, sweeping), 0.001, SystemClock()).start()
    assert sweeping.done.wait(500)
    print(f"\n{sweeping.total:,} swept in {time.perf_counter() - begun:.1f} s", flush=True)
    print(f"records per transaction at most: {transactions.largest}", flush=True)
    assert sweeping.total == EXPIRED
    assert 0 < transactions.largest["looked at"] <= expiry.BATCH
    assert 0 < transactions.largest["removed"] <= expiry.BATCH
