"""What every `SessionStore` must do with leases: a part of its suite."""

from __future__ import annotations

import threading
import typing as t

from ..stores.base import ABANDONED
from ..stores.base import GONE
from ..stores.base import LOST
from ..stores.base import PASSED
from ..stores.base import REVOKED
from ..stores.base import Change
from ..stores.base import Edit
from ..stores.base import Facts
from ..stores.base import Loaded
from ..stores.base import SessionStore
from .items import OTHER
from .items import PROOF
from .items import ItemsContract
from .items import create
from .items import facts_of
from .items import values
from .threads import run_threads

LEASE: t.Final = 10.0


def lease(store: SessionStore, locator: str, proof: bytes = PROOF) -> Loaded:
    """Load a record and take its lease, which must be free."""
    loaded = store.load(locator, (proof,), None, LEASE)
    assert loaded is not None
    assert not loaded.busy
    return loaded


def release(store: SessionStore, locator: str, fence: int) -> Facts:
    """Give a lease back; the facts afterwards."""
    return facts_of(store.commit(locator, Change(lease=0), fence))


def put(value: bytes, **others: t.Any) -> Change:
    """A change of the item `a`."""
    return Change(items={"a": Edit(value, 1, True)}, **others)


def is_busy(store: SessionStore, locator: str) -> bool:
    """Whether the lease is taken. Where it was free, it is taken now."""
    loaded = store.load(locator, (PROOF,), None, LEASE)
    assert loaded is not None
    return loaded.busy


def facts_in(store: SessionStore, locator: str, proof: bytes = PROOF) -> Facts:
    """The facts of a living record."""
    loaded = store.load(locator, (proof,), ())
    assert loaded is not None
    return loaded.facts


class LeasesContract(ItemsContract):
    """How leases are granted, given back and lost."""

    # Granted and busy

    def test_a_granted_lease_raises_the_fence_and_brings_the_items(
        self, store: SessionStore
    ) -> None:
        locator = create(store, a=b"1", b=b"2")
        before = facts_in(store, locator)
        loaded = lease(store, locator)
        assert {name: item.value for name, item in loaded.items.items()} == {"a": b"1", "b": b"2"}
        assert loaded.complete
        assert loaded.facts.fence == before.fence + 1
        assert loaded.facts.holder
        assert loaded.facts.leased_until == self.clock.time() + LEASE
        assert loaded.facts == facts_in(store, locator)

    def test_a_lease_keeps_everybody_else_from_having_one(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        mine = lease(store, locator)
        loaded = store.load(locator, (PROOF,), None, LEASE)
        assert loaded is not None
        assert loaded.busy
        assert loaded.items == {}
        assert not loaded.complete
        assert loaded.facts.fence == mine.facts.fence
        assert loaded.facts.leased_until == mine.facts.leased_until
        assert not facts_of(store.commit(locator, Change(lease=0), mine.facts.fence)).holder

    def test_a_lease_keeps_nobody_from_reading(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        lease(store, locator)
        assert values(store, locator) == {"a": b"1"}
        assert facts_in(store, locator).wanted is False

    def test_a_lease_is_wanted_from_the_first_refusal_to_the_next_grant(
        self, store: SessionStore
    ) -> None:
        locator = create(store, a=b"1")
        mine = lease(store, locator)
        assert not mine.facts.wanted
        assert is_busy(store, locator)
        assert is_busy(store, locator)
        assert facts_in(store, locator).wanted
        assert release(store, locator, mine.facts.fence).wanted
        assert not lease(store, locator).facts.wanted

    def test_a_lease_concerns_one_record(self, store: SessionStore) -> None:
        one, two = create(store, a=b"1"), create(store, a=b"1")
        lease(store, one)
        lease(store, two)

    def test_a_wrong_proof_gets_no_lease_and_disturbs_nothing(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        before = facts_in(store, locator)
        assert store.load(locator, (OTHER,), None, LEASE) is None
        assert store.load("z" * 10, (PROOF,), None, LEASE) is None
        assert facts_in(store, locator) == before
        lease(store, locator)
        held = facts_in(store, locator)
        assert store.load(locator, (OTHER,), None, LEASE) is None
        assert facts_in(store, locator) == held

    def test_a_superseded_proof_gets_no_lease(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        facts = facts_of(store.commit(locator, Change(proof=OTHER), 1))
        loaded = store.load(locator, (PROOF,), None, LEASE)
        assert loaded is not None
        assert loaded.superseded
        assert not loaded.busy
        assert facts_in(store, locator, OTHER) == facts
        lease(store, locator, OTHER)

    def test_a_previous_proof_in_its_grace_gets_the_lease(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        store.commit(locator, Change(proof=OTHER, grace=10), 1)
        loaded = lease(store, locator)
        assert loaded.previous
        done = store.commit(locator, put(b"2", lease=0), loaded.facts.fence)
        assert done.refused is None
        assert values(store, locator, OTHER) == {"a": b"2"}

    # Given back

    def test_a_lease_is_given_back_alone(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        mine = lease(store, locator)
        after = release(store, locator, mine.facts.fence)
        assert after == mine.facts._replace(holder=b"", leased_until=0.0)
        again = lease(store, locator)
        assert again.facts.fence == mine.facts.fence + 1

    def test_a_lease_is_given_back_together_with_items(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        mine = lease(store, locator)
        assert store.commit(locator, put(b"2", lease=0), mine.facts.fence).refused is None
        assert lease(store, locator).items["a"].value == b"2"

    def test_a_lease_is_given_back_together_with_a_regeneration(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        mine = lease(store, locator)
        done = store.commit(locator, Change(proof=OTHER, lease=0), mine.facts.fence)
        assert done.refused is None
        lease(store, locator, OTHER)

    def test_a_lease_outlasts_a_regeneration_that_renews_it(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        mine = lease(store, locator)
        after = facts_of(store.commit(locator, Change(proof=OTHER, lease=LEASE), mine.facts.fence))
        assert after.holder == mine.facts.holder
        busy = store.load(locator, (OTHER,), None, LEASE)
        assert busy is not None
        assert busy.busy
        assert not release(store, locator, after.fence).holder

    def test_an_end_under_a_lease_ends(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        mine = lease(store, locator)
        done = store.commit(locator, Change(end=ABANDONED, lease=0), mine.facts.fence)
        assert facts_of(done).end == ABANDONED
        assert store.load(locator, (PROOF,), None, LEASE) is None

    def test_a_lease_that_was_given_back_is_not_renewed(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        mine = lease(store, locator)
        release(store, locator, mine.facts.fence)
        store.commit(locator, Change(lease=LEASE), mine.facts.fence)
        lease(store, locator)

    # Running out, and lost

    def test_a_lease_runs_out(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        mine = lease(store, locator)
        self.clock.advance(LEASE - 0.1)
        assert is_busy(store, locator)
        self.clock.advance(0.1)
        assert lease(store, locator).facts.fence == mine.facts.fence + 1

    def test_a_renewed_lease_lasts_from_then_on(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        mine = lease(store, locator)
        self.clock.advance(LEASE - 1)
        after = facts_of(store.commit(locator, Change(lease=LEASE), mine.facts.fence))
        assert after == mine.facts._replace(leased_until=self.clock.time() + LEASE)
        self.clock.advance(LEASE - 1)
        assert is_busy(store, locator)

    def test_a_lease_that_ran_out_untaken_is_as_good_as_ever(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        mine = lease(store, locator)
        self.clock.advance(LEASE + 5)
        done = store.commit(locator, put(b"2", lease=LEASE), mine.facts.fence)
        assert done.refused is None
        assert is_busy(store, locator)
        self.clock.advance(LEASE + 5)
        assert store.commit(locator, put(b"3", lease=0), mine.facts.fence).refused is None
        assert values(store, locator) == {"a": b"3"}

    def test_who_lost_the_lease_changes_nothing(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        late = lease(store, locator)
        self.clock.advance(LEASE)
        mine = lease(store, locator)
        for change in (
            put(b"2", lease=0),
            Change(lease=LEASE),
            Change(lease=0),
            Change(end=REVOKED, lease=0),
            Change(proof=OTHER, lease=0),
            Change(owner="ann", lives=5000, lease=LEASE),
        ):
            assert store.commit(locator, change, late.facts.fence).refused == LOST
        assert facts_in(store, locator) == mine.facts
        assert values(store, locator) == {"a": b"1"}
        release(store, locator, mine.facts.fence)
        assert store.commit(locator, put(b"2", lease=0), late.facts.fence).refused == LOST

    # Beside commits without a lease

    def test_commits_without_a_lease_go_through_beside_one(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        merging = facts_in(store, locator)
        mine = lease(store, locator)
        change = Change(items={"b": Edit(b"2", 1)})
        assert store.commit(locator, change, merging.fence).refused is None
        after = facts_in(store, locator)
        assert (after.holder, after.leased_until) == (mine.facts.holder, mine.facts.leased_until)
        assert is_busy(store, locator)
        assert store.commit(locator, put(b"3", lease=0), mine.facts.fence).refused is None
        assert values(store, locator) == {"a": b"3", "b": b"2"}

    def test_a_regeneration_without_a_lease_passes_the_one_that_is_out(
        self, store: SessionStore
    ) -> None:
        """Nothing the holder sends is accepted any more, so nobody need wait for it either."""
        locator = create(store, a=b"1")
        mine = lease(store, locator)
        assert store.commit(locator, Change(proof=OTHER), mine.facts.fence - 1).refused is None
        assert store.commit(locator, put(b"2", lease=0), mine.facts.fence).refused == PASSED
        assert lease(store, locator, OTHER).items["a"].value == b"1"

    def test_a_regeneration_with_a_grace_leaves_the_lease(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        mine = lease(store, locator)
        store.commit(locator, Change(proof=OTHER, grace=10), mine.facts.fence - 1)
        assert is_busy(store, locator)
        assert store.commit(locator, put(b"2", lease=0), mine.facts.fence).refused is None

    def test_an_end_without_a_lease_ends_for_the_holder_too(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        mine = lease(store, locator)
        assert store.commit(locator, Change(end=REVOKED), None).refused is None
        assert store.commit(locator, put(b"2", lease=0), mine.facts.fence).refused == GONE

    def test_threads_that_read_and_write_under_a_lease_lose_nothing(
        self, store: SessionStore
    ) -> None:
        locator = create(store, n=b"0")
        barrier = threading.Barrier(8)

        def work(_: int) -> None:
            barrier.wait()
            for _ in range(25):
                loaded = _wait_for_lease(store, locator)
                item = loaded.items["n"]
                edit = Edit(b"%d" % (int(item.value) + 1), item.version, True)
                change = Change(items={"n": edit}, lease=0)
                done = store.commit(locator, change, loaded.facts.fence)
                assert (done.refused, done.conflicts) == (None, ())

        run_threads([(work, number) for number in range(8)])
        assert values(store, locator) == {"n": b"200"}


def _wait_for_lease(store: SessionStore, locator: str) -> Loaded:
    while True:
        loaded = store.load(locator, (PROOF,), None, LEASE)
        assert loaded is not None
        if not loaded.busy:
            return loaded
        store.wait(locator, loaded.facts.fence, 5.0)
