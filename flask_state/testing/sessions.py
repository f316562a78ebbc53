"""What every `SessionStore` must do, as a test suite.

Derive a class whose name starts with ``Test``, give it `make_store`, and let pytest collect it::

    class TestMyStore(SessionStoreContract):
        def make_store(self, clock):
            return MyStore(clock=clock)
"""

from __future__ import annotations

import threading
import typing as t

from ..core.tokens import random_text
from ..stores.base import ABANDONED
from ..stores.base import ADOPTED
from ..stores.base import EXISTS
from ..stores.base import EXPIRED
from ..stores.base import GONE
from ..stores.base import PASSED
from ..stores.base import REVOKED
from ..stores.base import SUPERSEDED_FOR
from ..stores.base import Change
from ..stores.base import Edit
from ..stores.base import SessionStore
from .items import OTHER
from .items import PROOF
from .items import THIRD
from .items import create
from .items import facts_of
from .items import values
from .leases import LeasesContract
from .looks import LooksContract
from .threads import run_threads
from .waiting import WaitingContract


class SessionStoreContract(LeasesContract, WaitingContract, LooksContract):
    """The suite: items, leases, waiting, looks, ends, expiry, regeneration, owners, claims."""

    # Creation and ends

    def test_creating_twice_is_refused(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        again = Change(create=True, proof=OTHER, lives=10, items={"a": Edit(b"2", 0)})
        assert store.commit(locator, again, None).refused == EXISTS
        assert values(store, locator) == {"a": b"1"}

    def test_a_missing_record_is_never_made_by_an_update(self, store: SessionStore) -> None:
        change = Change(items={"a": Edit(b"1", 0)}, lives=100)
        assert store.commit("a" * 10, change, 1).refused == GONE
        assert store.count() == 0

    def test_an_ended_record_is_invisible_and_takes_no_commit(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        ended = facts_of(store.commit(locator, Change(end=ABANDONED), 1))
        assert ended.end == ABANDONED
        assert store.load(locator, (PROOF,), None) is None
        for fence in (1, ended.fence, None):
            late = Change(items={"a": Edit(b"2", 1, True)}, lives=500)
            assert store.commit(locator, late, fence).refused == GONE
        recreate = Change(create=True, proof=PROOF, lives=10, items={"a": Edit(b"1", 0)})
        assert store.commit(locator, recreate, None).refused == EXISTS
        assert store.load(locator, (PROOF,), None) is None
        assert store.count() == 0

    def test_a_commit_that_leaves_no_item_ends_the_record(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        done = store.commit(locator, Change(items={"a": Edit(None, 1, True)}), 1)
        assert facts_of(done).end == ABANDONED
        assert store.load(locator, (PROOF,), None) is None

    def test_clear_alone_ends_the_record(self, store: SessionStore) -> None:
        locator = create(store, a=b"1", b=b"2")
        assert facts_of(store.commit(locator, Change(clear=1), 1)).end == ABANDONED
        assert store.load(locator, (PROOF,), None) is None

    # Expiry

    def test_an_expired_record_is_never_returned(self, store: SessionStore) -> None:
        locator = create(store, 100, a=b"1")
        self.clock.advance(99.9)
        assert values(store, locator) == {"a": b"1"}
        self.clock.advance(0.1)
        assert store.load(locator, (PROOF,), None) is None
        late = Change(items={"a": Edit(b"2", 1, True)}, lives=500)
        assert store.commit(locator, late, 1).refused == GONE
        assert store.count() == 0

    def test_a_touch_lengthens_a_life_and_never_shortens_it(self, store: SessionStore) -> None:
        locator = create(store, 100, a=b"1")
        self.clock.advance(50)
        facts = facts_of(store.commit(locator, Change(lives=100), 1))
        assert facts.expires == facts.touched + 100 == self.clock.time() + 100
        assert facts_of(store.commit(locator, Change(lives=10), 1)).expires == facts.expires
        assert facts.version == 1
        self.clock.advance(99)
        assert values(store, locator) == {"a": b"1"}

    def test_a_timeout_of_its_own_may_shorten_a_life(self, store: SessionStore) -> None:
        locator = create(store, 100, a=b"1")
        facts = facts_of(store.commit(locator, Change(lives=10, timeout=10.0), 1))
        assert facts.timeout == 10.0
        assert facts.expires == self.clock.time() + 10
        cleared = facts_of(store.commit(locator, Change(lives=10, timeout=None), 1))
        assert cleared.timeout is None

    # Regeneration and fences

    def test_regeneration_replaces_the_proof_and_keeps_the_rest(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        facts = facts_of(store.commit(locator, Change(proof=OTHER), 1))
        assert values(store, locator) is None
        assert values(store, locator, OTHER) == {"a": b"1"}
        assert facts.floor == facts.fence == 2

    def test_the_holder_of_a_replaced_proof_is_known_for_a_while(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        store.commit(locator, Change(proof=OTHER), 1)
        held = store.load(locator, (THIRD, PROOF), None)
        assert held is not None
        assert held.superseded
        assert held.items == {}
        assert store.load(locator, (THIRD,), None) is None
        self.clock.advance(SUPERSEDED_FOR)
        assert store.load(locator, (PROOF,), None) is None
        assert values(store, locator, OTHER) == {"a": b"1"}

    def test_a_commit_below_the_floor_is_refused(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        facts = facts_of(store.commit(locator, Change(proof=OTHER), 1))
        late = Change(items={"a": Edit(b"2", 1, True)}, lives=5000, owner="x")
        assert store.commit(locator, late, 1).refused == PASSED
        assert store.commit(locator, Change(proof=THIRD), 1).refused == PASSED
        assert values(store, locator, OTHER) == {"a": b"1"}
        assert store.commit(locator, late, facts.fence).refused is None
        assert store.commit(locator, Change(end=REVOKED), None).refused is None

    def test_a_grace_keeps_the_old_proof_for_a_while(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        facts = facts_of(store.commit(locator, Change(proof=OTHER, grace=10), 1))
        assert facts.floor == 1
        loaded = store.load(locator, (PROOF,), None)
        assert loaded is not None
        assert loaded.previous
        late = Change(items={"a": Edit(b"2", 1, True)})
        assert store.commit(locator, late, 1).refused is None
        self.clock.advance(10)
        assert values(store, locator) is None
        assert values(store, locator, OTHER) == {"a": b"2"}

    def test_a_renewal_that_was_done_already_changes_nothing(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        renewal = Change(proof=OTHER, grace=10)
        first = facts_of(store.commit(locator, renewal, 1))
        self.clock.advance(5)
        assert facts_of(store.commit(locator, renewal, 1)) == first
        loaded = store.load(locator, (PROOF,), None)
        assert loaded is not None
        assert loaded.previous

    def test_regeneration_without_grace_ends_an_earlier_grace(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        store.commit(locator, Change(proof=OTHER, grace=10), 1)
        store.commit(locator, Change(proof=THIRD), 1)
        assert store.load(locator, (PROOF,), None) is None
        assert values(store, locator, OTHER) is None
        assert values(store, locator, THIRD) == {"a": b"1"}

    # Owners

    def test_an_owners_living_records_are_found(self, store: SessionStore) -> None:
        first = create(store, a=b"1")
        self.clock.advance(1)
        second = create(store, a=b"1")
        other = create(store, a=b"1")
        for locator, owner in ((second, "ann"), (first, "ann"), (other, "ännä")):
            store.commit(locator, Change(owner=owner), 1)
        assert [found.locator for found in store.find("ann")] == [first, second]
        assert store.find("ann")[0].facts.owner == "ann"
        assert [found.locator for found in store.find("ännä")] == [other]
        assert store.find("nobody") == []

    def test_an_owner_changes_and_ends(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        store.commit(locator, Change(owner="ann"), 1)
        store.commit(locator, Change(owner="bob"), 1)
        assert store.find("ann") == []
        assert len(store.find("bob")) == 1
        store.commit(locator, Change(end=REVOKED), None)
        assert store.find("bob") == []

    def test_an_expired_record_has_no_owner(self, store: SessionStore) -> None:
        locator = create(store, 10, a=b"1")
        store.commit(locator, Change(owner="ann"), 1)
        self.clock.advance(10)
        assert store.find("ann") == []

    # Ends: claimed, delivered, forgotten

    def test_ended_and_expired_records_are_claimed_with_reason_and_items(
        self, store: SessionStore
    ) -> None:
        ended = create(store, a=b"1")
        expired = create(store, 10, b=b"2")
        create(store, c=b"3")
        store.commit(ended, Change(end=REVOKED), 1)
        self.clock.advance(3600)
        create(store, d=b"4")
        claimed = {each.locator: each for each in self._claim_all(store)}
        assert claimed[ended].facts.end == REVOKED
        assert claimed[ended].items["a"].value == b"1"
        assert claimed[expired].facts.end == EXPIRED
        assert claimed[expired].items["b"].value == b"2"
        assert len(claimed) == 3
        assert store.count() == 1

    def test_what_is_claimed_comes_again_only_after_its_lease(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        store.commit(locator, Change(end=ABANDONED), 1)
        assert [each.locator for each in store.claim(10, 60)] == [locator]
        assert store.claim(10, 60) == []
        self.clock.advance(3600)
        again = store.claim(10, 60)
        assert [each.locator for each in again] == [locator]
        assert again[0].facts.end == ABANDONED

    def test_what_is_forgotten_is_gone(self, store: SessionStore) -> None:
        locator = create(store, a=b"1" * 100_000)
        store.commit(locator, Change(end=ABANDONED, owner="ann"), 1)
        assert len(store.claim(10, 60)) == 1
        store.forget(locator)
        store.forget(locator)
        store.forget("z" * 10)
        self.clock.advance(3600)
        assert store.claim(10, 60) == []
        again = Change(create=True, proof=PROOF, lives=10, items={"b": Edit(b"2", 0)})
        assert store.commit(locator, again, None).refused is None
        assert values(store, locator) == {"b": b"2"}

    def test_a_living_record_is_not_forgotten(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        store.forget(locator)
        assert values(store, locator) == {"a": b"1"}

    def test_a_touched_record_is_not_claimed_at_its_old_deadline(self, store: SessionStore) -> None:
        locator = create(store, 100, a=b"1")
        self.clock.advance(90)
        store.commit(locator, Change(lives=7200), 1)
        self.clock.advance(3600)
        assert self._claim_all(store) == []
        assert values(store, locator) == {"a": b"1"}
        self.clock.advance(7200)
        assert len(self._claim_all(store)) == 1

    def test_an_ended_record_may_be_kept(self, store: SessionStore) -> None:
        locator = random_text(10)
        marker = Change(create=True, proof=PROOF, end=ADOPTED, lives=7200)
        assert facts_of(store.commit(locator, marker, None)).end == ADOPTED
        self.clock.advance(3600)
        assert self._claim_all(store) == []
        assert store.commit(locator, marker, None).refused == EXISTS
        assert store.load(locator, (PROOF,), None) is None
        assert store.count() == 0
        self.clock.advance(7200)
        assert [each.facts.end for each in self._claim_all(store)] == [ADOPTED]

    def test_claims_are_bounded(self, store: SessionStore) -> None:
        for _ in range(30):
            create(store, 10, a=b"1")
        self.clock.advance(3600)
        seen: list[str] = []
        for _ in range(100):
            batch = store.claim(7, 60)
            assert len(batch) <= 7
            seen += [each.locator for each in batch]
        assert len(seen) == len(set(seen)) == 30

    # The rest

    def test_count_counts_the_living(self, store: SessionStore) -> None:
        assert store.count() == 0
        for _ in range(3):
            create(store, a=b"1")
        assert store.count() == 3

    def test_notes_are_exchanged(self, store: SessionStore) -> None:
        assert store.note("key", b"one") is None
        assert store.note("key", b"two") == b"one"
        assert store.note("other", b"x") is None
        assert store.note("key", b"two") == b"two"

    def test_a_closed_store_opens_again(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        store.close()
        assert values(store, locator) in ({"a": b"1"}, None)
        create(store, a=b"1")

    def test_threads_that_change_different_items_lose_none(self, store: SessionStore) -> None:
        locator = create(store, start=b"0")
        barrier = threading.Barrier(8)

        def work(number: int) -> None:
            barrier.wait()
            for step in range(25):
                edit = Edit(str(step).encode(), 0)
                store.commit(locator, Change(items={f"{number}-{step}": edit}), 1)

        run_threads([(work, number) for number in range(8)])
        found = values(store, locator)
        assert found is not None
        assert len(found) == 8 * 25 + 1

    def test_threads_that_create_one_record_make_one(self, store: SessionStore) -> None:
        barrier = threading.Barrier(8)
        results: list[str | None] = []

        def work(number: int) -> None:
            edits = {"who": Edit(str(number).encode(), 0)}
            change = Change(create=True, proof=PROOF, lives=100, items=edits)
            barrier.wait()
            results.append(store.commit("b" * 10, change, None).refused)

        run_threads([(work, number) for number in range(8)])
        assert sorted(results, key=str) == [None] + [EXISTS] * 7

    def _claim_all(self, store: SessionStore) -> list[t.Any]:
        claimed: list[t.Any] = []
        for _ in range(20):
            claimed += store.claim(10, 60)
        return claimed
