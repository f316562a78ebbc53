"""What every `SessionStore` must do for those who look at all of it: a part of its suite."""

from __future__ import annotations

import collections.abc as cabc

import pytest

from ..stores.base import REVOKED
from ..stores.base import Change
from ..stores.base import Edit
from ..stores.base import Found
from ..stores.base import SessionStore
from .items import OTHER
from .items import PROOF
from .items import ItemsContract
from .items import create
from .items import facts_of


def scan(
    store: SessionStore, limit: int, between: cabc.Callable[[], object] | None = None
) -> list[Found]:
    """All pages of a scan, with something done between each two."""
    found, cursor = store.scan("", limit)
    for _ in range(10_000):
        if not cursor:
            return found
        if between is not None:
            between()
        more, cursor = store.scan(cursor, limit)
        found += more
    raise AssertionError("the scan has no end")


class LooksContract(ItemsContract):
    """How living records are scanned and inspected, and what is known of their owners."""

    @pytest.mark.parametrize("limit", [1, 3, 20, 21, 1000])
    def test_a_scan_finds_all_that_live_once(self, store: SessionStore, limit: int) -> None:
        assert scan(store, limit) == []
        locators = {create(store, a=b"1" * 3000, b=b"2") for _ in range(20)}
        found = scan(store, limit)
        assert len(found) == 20
        assert {each.locator for each in found} == locators
        assert found[0].facts.proof == PROOF

    @pytest.mark.parametrize("limit", [1, 4, 100])
    def test_a_scan_leaves_out_what_ended_or_expired(self, store: SessionStore, limit: int) -> None:
        living = {create(store, a=b"1") for _ in range(5)}
        for _ in range(5):
            create(store, 10, a=b"1")
            store.commit(create(store, a=b"1"), Change(end=REVOKED), None)
        self.clock.advance(10)
        assert {each.locator for each in scan(store, limit)} == living

    def test_a_page_is_about_as_long_as_was_asked(self, store: SessionStore) -> None:
        for _ in range(30):
            create(store, a=b"1")
        assert len(store.scan("", 10)[0]) <= 20

    @pytest.mark.parametrize("limit", [1, 3, 7])
    def test_a_scan_finds_what_lives_all_the_time_while_others_come_and_go(
        self, store: SessionStore, limit: int
    ) -> None:
        staying = {create(store, a=b"1") for _ in range(20)}
        going = [create(store, a=b"1") for _ in range(20)]

        def come_and_go() -> None:
            create(store, a=b"1")
            if going:
                gone = going.pop()
                store.commit(gone, Change(end=REVOKED), None)
                store.forget(gone)

        found = [each.locator for each in scan(store, limit, come_and_go)]
        assert staying <= set(found)
        assert len(found) == len(set(found))

    def test_a_record_is_inspected_without_a_proof(self, store: SessionStore) -> None:
        locator = create(store, a=b"1", b=b"2" * 100_000)
        facts = facts_of(store.commit(locator, Change(proof=OTHER, owner="ann"), 1))
        record = store.inspect(locator)
        assert record is not None
        assert record.locator == locator
        assert record.facts == facts
        values = {name: item.value for name, item in record.items.items()}
        assert values == {"a": b"1", "b": b"2" * 100_000}

    def test_what_ended_expired_or_is_missing_is_not_inspected(self, store: SessionStore) -> None:
        ended, expired = create(store, a=b"1"), create(store, 10, a=b"1")
        store.commit(ended, Change(end=REVOKED), None)
        self.clock.advance(10)
        assert store.inspect(ended) is None
        assert store.inspect(expired) is None
        assert store.inspect("z" * 10) is None

    def test_inspecting_changes_nothing_and_needs_no_lease(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        leased = store.load(locator, (PROOF,), None, 10.0)
        record = store.inspect(locator)
        again = store.inspect(locator)
        assert leased is not None
        assert record is not None
        assert record == again
        assert record.facts == leased.facts

    def test_who_when_and_from_where_is_kept_with_the_owner(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        self.clock.advance(5)
        change = Change(owner="ann", browser="Firefox — é", address="2001:db8::1")
        owned = facts_of(store.commit(locator, change, 1))
        assert (owned.owned_since, owned.browser) == (self.clock.time(), "Firefox — é")
        assert owned.address == "2001:db8::1"
        self.clock.advance(5)
        for other in (
            Change(items={"a": Edit(b"2", 1, True)}, browser="Chrome", address="192.0.2.1"),
            Change(lives=5000),
            Change(proof=OTHER),
        ):
            after = facts_of(store.commit(locator, other, None))
            assert (after.owner, after.owned_since) == ("ann", owned.owned_since)
            assert (after.browser, after.address) == (owned.browser, owned.address)
        assert store.find("ann")[0].facts == after
        left = facts_of(store.commit(locator, Change(owner=None), None))
        assert (left.owner, left.browser, left.address) == (None, "", "")
