"""S68: many ids of one address that are none, within a minute, are told."""

from __future__ import annotations

import secrets
import threading
import typing as t

import pytest

from flask_state import session
from flask_state import signals
from flask_state.session.probes import MAX_ADDRESSES
from flask_state.session.probes import Probes
from flask_state.testing import FakeClock
from tests.session.site import Site

LIMIT: t.Final = 5
HERE: t.Final = "192.0.2.1"
THERE: t.Final = "198.51.100.7"


@pytest.fixture
def probes(clock: FakeClock) -> Probes:
    return Probes(LIMIT, clock)


def guess(probes: Probes, address: str = HERE, number: int = 1) -> list[int | None]:
    """Present so many ids that nobody made, one per request; what was answered."""
    return [probes.rejected(address, [secrets.token_hex(18)]) for _ in range(number)]


class TestCounting:
    def test_the_limit_is_told_once(self, probes: Probes) -> None:
        assert guess(probes, number=LIMIT) == [None] * (LIMIT - 1) + [LIMIT]
        assert guess(probes, number=100) == [None] * 100

    def test_a_limit_of_one_is_told_at_once(self, clock: FakeClock) -> None:
        assert guess(Probes(1, clock), number=3) == [1, None, None]

    def test_each_address_has_a_count_of_its_own(self, probes: Probes) -> None:
        guess(probes, HERE, LIMIT - 1)
        assert guess(probes, THERE) == [None]
        assert guess(probes, HERE) == [LIMIT]
        assert guess(probes, THERE, LIMIT - 1)[-1] == LIMIT

    def test_the_same_dead_id_again_and_again_is_no_probe(self, probes: Probes) -> None:
        """As from a browser whose session has ended: it presents it with every request."""
        assert [probes.rejected(HERE, ["a" * 36]) for _ in range(100)] == [None] * 100
        assert guess(probes, number=LIMIT - 1)[-1] == LIMIT

    def test_several_ids_of_one_request_count_each(self, probes: Probes) -> None:
        assert probes.rejected(HERE, [str(n) for n in range(LIMIT - 1)]) is None
        assert probes.rejected(HERE, ["0", "new"]) == LIMIT

    def test_a_request_with_more_ids_than_the_limit_is_a_probe(self, probes: Probes) -> None:
        assert probes.rejected(HERE, [str(n) for n in range(100 * LIMIT)]) == LIMIT


class TestTime:
    def test_the_minute_slides(self, probes: Probes, clock: FakeClock) -> None:
        """No edge of a minute lets twice as many through."""
        clock.advance(59)
        assert guess(probes, number=LIMIT - 1)[-1] is None
        clock.advance(59.9)
        assert guess(probes) == [LIMIT]

    def test_what_is_a_minute_old_does_not_count(self, probes: Probes, clock: FakeClock) -> None:
        guess(probes, number=LIMIT - 1)
        clock.advance(60)
        assert guess(probes, number=LIMIT - 1)[-1] is None

    def test_slow_guesses_are_never_told(self, probes: Probes, clock: FakeClock) -> None:
        for _ in range(200):
            clock.advance(60 / (LIMIT - 1))
            assert guess(probes) == [None]

    def test_who_goes_on_is_told_once_per_minute(self, probes: Probes, clock: FakeClock) -> None:
        told = []
        for second in range(240):
            if guess(probes) != [None]:
                told.append(second)
            clock.advance(1)
        assert told == [4, 64, 124, 184]

    def test_who_stops_is_forgotten(self, probes: Probes, clock: FakeClock) -> None:
        guess(probes, THERE, LIMIT)
        clock.advance(60)
        guess(probes, HERE)
        assert list(probes._addresses) == [HERE]


class TestBounds:
    def test_many_addresses_do_not_fill_the_memory(self, probes: Probes) -> None:
        for number in range(3 * MAX_ADDRESSES):
            guess(probes, f"2001:db8::{number:x}")
        assert len(probes._addresses) == MAX_ADDRESSES

    def test_the_address_heard_of_longest_ago_goes_first(self, probes: Probes) -> None:
        guess(probes, HERE, LIMIT - 1)
        for number in range(MAX_ADDRESSES - 1):
            guess(probes, f"2001:db8::{number:x}")
        assert guess(probes, HERE) == [LIMIT], "the oldest of all, and full: it is still known"
        guess(probes, THERE)
        assert HERE in probes._addresses
        assert "2001:db8::0" not in probes._addresses

    def test_one_address_fills_no_memory_either(self, probes: Probes) -> None:
        guess(probes, number=1_000)
        assert len(probes._addresses[HERE].seen) == LIMIT

    def test_nothing_is_kept_of_the_ids(self, probes: Probes) -> None:
        """S66: a dump of the memory shows no id, not even one that will be one day."""
        probes.rejected(HERE, ["b" * 36])
        assert "b" * 36 not in repr([each.seen for each in probes._addresses.values()])

    def test_threads_lose_no_count(self, clock: FakeClock) -> None:
        probes = Probes(8 * 200, clock)
        answers: list[int | None] = []
        met = threading.Barrier(8)

        def run() -> None:
            met.wait(10)
            answers.extend(guess(probes, number=200))

        threads = [threading.Thread(target=run) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [answer for answer in answers if answer is not None] == [8 * 200]


class TestThroughAnApplication:
    @pytest.fixture
    def probed(self, url: str) -> t.Iterator[Site]:
        site = Site(url, STATE_SESSION_PROBE_LIMIT=LIMIT)
        yield site
        site.close()

    def guess(self, site: Site, id: str | None = None, address: str = HERE) -> None:
        """Request the session with an id that is none."""
        cookie = f"session={id or secrets.token_hex(18)}"
        environ = {"REMOTE_ADDR": address}
        assert site.visit(cookie, lambda: dict(session), environ_base=environ).value == {}

    def test_s68_many_ids_that_are_none_send_a_signal(self, probed: Site) -> None:
        for _ in range(LIMIT - 1):
            self.guess(probed)
            self.guess(probed, address=THERE)
        assert probed.named("session_probed") == []
        for _ in range(20):
            self.guess(probed)
        assert probed.named("session_probed") == [{"address": HERE, "count": LIMIT}]
        assert len(probed.named("session_rejected")) == 2 * (LIMIT - 1) + 20

    def test_s68_ids_that_are_well_formed_count_as_well(self, probed: Site) -> None:
        for letter in "abcde":
            self.guess(probed, letter * 36)
        assert probed.named("session_probed") == [{"address": HERE, "count": LIMIT}]

    def test_s68_the_sender_is_the_application(self, probed: Site) -> None:
        senders = []

        def receiver(sender: object, **facts: t.Any) -> None:
            senders.append(sender)

        with signals.session_probed.connected_to(receiver):
            for _ in range(LIMIT):
                self.guess(probed)
        assert senders == [probed.app]

    def test_s68_a_browser_with_a_dead_session_is_no_probe(self, probed: Site) -> None:
        for _ in range(5 * LIMIT):
            self.guess(probed, "a" * 36)
        assert probed.named("session_probed") == []

    def test_s68_who_has_a_session_is_no_probe(self, probed: Site) -> None:
        browser, _ = probed.sign_in()
        for _ in range(5 * LIMIT):
            assert probed.items(browser)
        assert probed.named("session_probed") == []
