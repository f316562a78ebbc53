"""Sessions in any byte store."""

from __future__ import annotations

import collections
import collections.abc as cabc
import pathlib
import threading
import typing as t

import pytest
from flask import Flask
from flask import session
from hypothesis import given
from hypothesis import strategies as st

from flask_state import FlaskState
from flask_state.core import registry
from flask_state.core.clock import Clock
from flask_state.core.sentinels import MISSING
from flask_state.errors import StoreError
from flask_state.stores.adapter import ByteSessionStore
from flask_state.stores.base import ABANDONED
from flask_state.stores.base import ADOPTED
from flask_state.stores.base import EXISTS
from flask_state.stores.base import GONE
from flask_state.stores.base import REVOKED
from flask_state.stores.base import Change
from flask_state.stores.base import Edit
from flask_state.stores.base import Record
from flask_state.stores.base import SessionStore
from flask_state.stores.lmdb.bytes import LMDBByteStore
from flask_state.stores.memory.bytes import MemoryByteStore
from flask_state.stores.memory.sessions import MemorySessionStore
from flask_state.testing import FakeClock
from flask_state.testing import SessionStoreContract
from flask_state.testing.items import OTHER
from flask_state.testing.items import PROOF
from flask_state.testing.items import create
from flask_state.testing.items import values
from flask_state.testing.threads import run_threads

LOCATOR = "abcdefghij"


class TestContract(SessionStoreContract):
    def make_store(self, clock: Clock) -> ByteSessionStore:
        return ByteSessionStore(MemoryByteStore(clock=clock), clock=clock)


class TestContractOnDisk(SessionStoreContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: pathlib.Path) -> None:
        self.path = tmp_path / "state"

    def make_store(self, clock: Clock) -> ByteSessionStore:
        return ByteSessionStore(LMDBByteStore(self.path, clock=clock), clock=clock)


class WatchedBytes(MemoryByteStore):
    """A byte store in memory that counts what it does, and can be interfered with."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.trips: collections.Counter[str] = collections.Counter()
        self.before_put: dict[str, cabc.Callable[[], t.Any]] = {}
        """By the first letter of a key: what happens just before its next put, once."""

    def get(self, key: str) -> tuple[bytes, int] | None:
        self.trips["get"] += 1
        return super().get(key)

    def put(
        self, key: str, value: bytes, ttl: float | None, if_version: t.Any = MISSING
    ) -> int | None:
        self.trips["put"] += 1
        happen = self.before_put.pop(key[0], None)
        if happen is not None:
            happen()
        return super().put(key, value, ttl, if_version)

    def delete(self, key: str, if_version: t.Any = MISSING) -> bool:
        self.trips["delete"] += 1
        return super().delete(key, if_version)


@pytest.fixture
def kept(clock: FakeClock) -> WatchedBytes:
    return WatchedBytes(clock)


@pytest.fixture
def store(kept: WatchedBytes, clock: FakeClock) -> ByteSessionStore:
    return ByteSessionStore(kept, clock=clock)


def begin(store: SessionStore, lives: float = 100.0, owner: str | None = None) -> None:
    """A record under `LOCATOR`."""
    edits = {"a": Edit(b"1", 0)}
    change = Change(create=True, proof=PROOF, lives=lives, owner=owner, items=edits)
    assert store.commit(LOCATOR, change, None).refused is None


def set_item(name: str, value: bytes = b"2", **more: t.Any) -> Change:
    """A change of one item that the request saw in the record's first version."""
    return Change(items={name: Edit(value, 1, name == "a")}, **more)


def claim_all(store: SessionStore) -> list[Record]:
    """Claim until nothing comes any more."""
    claimed: list[Record] = []
    while batch := store.claim(10, 60):
        claimed += batch
    return claimed


# What it is


def test_it_goes_by_the_name_of_the_byte_store(tmp_path: pathlib.Path) -> None:
    memory = ByteSessionStore(MemoryByteStore())
    assert (memory.engine, memory.shared) == ("memory", "process")
    on_disk = ByteSessionStore(LMDBByteStore(tmp_path / "state"))
    assert (on_disk.engine, on_disk.shared) == ("lmdb", "machine")


def test_a_byte_store_given_as_url_is_adapted(clock: FakeClock) -> None:
    opened = registry.open_sessions(MemoryByteStore(clock=clock), clock)
    assert isinstance(opened, ByteSessionStore)
    assert registry.open_sessions(opened, clock) is opened


def test_an_application_keeps_sessions_in_a_byte_store(kept: WatchedBytes) -> None:
    app = Flask(__name__)
    app.config.update(TESTING=True, SECRET_KEY="s" * 40, STATE_URL=kept)
    state = FlaskState(app)

    @app.get("/")
    def count() -> str:
        session["n"] = session.get("n", 0) + 1
        return str(session["n"])

    client = app.test_client()
    assert [client.get("/").text for _ in range(3)] == ["1", "2", "3"]
    with app.app_context():
        assert state.sessions.count() == 1
    assert kept.trips["put"] >= 3


def test_trips_are_few(store: ByteSessionStore, kept: WatchedBytes) -> None:
    """A load is one; a commit two; one that changes nothing, or is refused, writes nothing."""
    begin(store)
    kept.trips.clear()
    assert store.load(LOCATOR, (PROOF,), ["a"]) is not None
    assert kept.trips == {"get": 1}
    store.commit(LOCATOR, set_item("b", lives=500), 1)
    assert kept.trips == {"get": 2, "put": 1}
    store.commit(LOCATOR, Change(lives=10), 1)
    store.commit(LOCATOR, Change(proof=OTHER), 0)
    store.commit(LOCATOR, set_item("b", b"3", strict=True), 1)
    begun_again = Change(create=True, proof=PROOF, lives=9, end=ADOPTED)
    assert store.commit(LOCATOR, begun_again, None).refused == EXISTS
    assert kept.trips == {"get": 6, "put": 1}


@pytest.mark.parametrize("locator", ["", "a b", "é", "x" * 500, "\ud800", "a.b", "a/b", "\0"])
def test_any_text_is_a_locator(store: ByteSessionStore, locator: str) -> None:
    """A handle comes from people, so nothing about it may break the rules of keys."""
    assert store.load(locator, (PROOF,), None) is None
    assert store.commit(locator, Change(end=REVOKED), None).refused == GONE
    edits = {"\ud800": Edit(b"1", 0)}
    change = Change(create=True, proof=PROOF, lives=100, owner="\udfff", items=edits)
    assert store.commit(locator, change, None).refused is None
    assert values(store, locator) == {"\ud800": b"1"}
    assert [found.locator for found in store.find("\udfff")] == [locator]
    store.commit(locator, Change(end=REVOKED), None)
    assert [each.locator for each in claim_all(store)] == [locator]


# The same as the engine in memory, whatever is done

_locators = st.sampled_from(["aaaaaaaaaa", "bbbbbbbbbb"])
_edits = st.builds(
    Edit, st.sampled_from([None, b"1", b"2"]), st.integers(0, 4), st.booleans(), st.booleans()
)
_options = st.fixed_dictionaries(
    {"items": st.dictionaries(st.sampled_from("abc"), _edits, max_size=2)},
    optional={
        "clear": st.integers(0, 4),
        "proof": st.sampled_from([PROOF, OTHER]),
        "grace": st.sampled_from([0.0, 20.0]),
        "lives": st.sampled_from([5.0, 100.0, 4000.0]),
        "owner": st.sampled_from([None, "ann", "bob"]),
        "strict": st.booleans(),
        "timeout": st.sampled_from([None, 30.0]),
        "end": st.sampled_from([ABANDONED, REVOKED]),
    },
)


def _changed(locator: str, options: dict[str, t.Any], fence: int | None) -> tuple[t.Any, ...]:
    return ("commit", locator, Change(**options), fence)


def _created(locator: str, options: dict[str, t.Any]) -> tuple[t.Any, ...]:
    given = {"proof": PROOF, "lives": 100.0, **options, "create": True}
    return ("commit", locator, Change(**given), None)


_operations = st.one_of(
    st.builds(_created, _locators, _options),
    st.builds(_changed, _locators, _options, st.sampled_from([None, 1, 2, 3])),
    st.builds(_changed, _locators, _options, st.just(None)),
    st.tuples(st.just("load"), _locators, st.just((OTHER, PROOF)), st.just(None)),
    st.tuples(st.just("advance"), st.sampled_from([1.0, 10.0, 61.0, 400.0])),
    st.tuples(st.just("claim"), st.just(10), st.just(60.0)),
    st.tuples(st.just("forget"), _locators),
    st.tuples(st.just("find"), st.sampled_from(["ann", "bob"])),
    st.tuples(st.just("count")),
)


@given(st.lists(_operations, max_size=40))
def test_it_answers_as_the_engine_in_memory_does(operations: list[tuple[t.Any, ...]]) -> None:
    clock = FakeClock()
    model = MemorySessionStore(clock=clock)
    store = ByteSessionStore(MemoryByteStore(clock=clock), clock=clock)
    for verb, *arguments in operations:
        if verb == "advance":
            clock.advance(*arguments)
            continue
        expected, answer = (getattr(each, verb)(*arguments) for each in (model, store))
        if isinstance(expected, list):
            expected, answer = sorted(expected), sorted(answer)
        assert answer == expected, (verb, arguments)


# Races


def test_many_lost_races_are_won_in_the_end(
    store: ByteSessionStore, kept: WatchedBytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten losses of every single put cost nothing but pauses, which stay short."""
    pauses: list[float] = []
    monkeypatch.setattr("flask_state.stores.adapter.blobs.time.sleep", pauses.append)
    lost: collections.Counter[str] = collections.Counter()

    def put(key: str, value: bytes, ttl: float | None, if_version: t.Any) -> int | None:
        lost[key] += 1
        if lost[key] % 11:
            return None
        return MemoryByteStore.put(kept, key, value, ttl, if_version)

    monkeypatch.setattr(kept, "put", put)
    begin(store, owner="ann")
    store.commit(LOCATOR, set_item("b"), 1)
    assert values(store, LOCATOR) == {"a": b"1", "b": b"2"}
    assert [found.locator for found in store.find("ann")] == [LOCATOR]
    assert len(lost) == 4
    assert len(pauses) >= 40
    assert 0 <= max(pauses) <= 0.05


def test_races_lost_without_end_are_an_error_and_change_nothing(
    store: ByteSessionStore, kept: WatchedBytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("flask_state.stores.adapter.blobs.time.sleep", pauses.append)
    begin(store)
    monkeypatch.setattr(kept, "put", lambda *_: None)
    with pytest.raises(StoreError, match="in a row") as caught:
        store.commit(LOCATOR, set_item("a"), 1)
    assert caught.value.engine == "memory"
    assert sum(pauses) < 3
    assert values(store, LOCATOR) == {"a": b"1"}


@pytest.mark.parametrize(
    ("rival", "change", "refused", "conflicts", "after"),
    [
        (set_item("b"), set_item("a"), None, (), {"a": b"2", "b": b"2"}),
        (set_item("a", b"3"), set_item("a"), None, ("a",), {"a": b"2"}),
        (set_item("a", b"3"), set_item("a", strict=True), "conflict", ("a",), {"a": b"3"}),
        (Change(proof=OTHER), set_item("a"), "passed", (), None),
        (Change(end=REVOKED), set_item("a", lives=900), "gone", (), None),
        (set_item("b"), Change(items={"a": Edit(None, 1, True)}), None, (), {"b": b"2"}),
    ],
    ids=["another item", "the same item", "strict", "a regeneration", "an end", "the last item"],
)
def test_what_came_first_is_seen_by_what_comes_second(
    store: ByteSessionStore,
    kept: WatchedBytes,
    rival: Change,
    change: Change,
    refused: str | None,
    conflicts: tuple[str, ...],
    after: dict[str, bytes] | None,
) -> None:
    """A rival commits between the get and the put of a commit, which then decides anew."""
    begin(store)
    kept.before_put["s"] = lambda: store.commit(LOCATOR, rival, 1)
    done = store.commit(LOCATOR, change, 1)
    assert (done.refused, done.conflicts) == (refused, conflicts)
    assert values(store, LOCATOR) == after


def test_a_sweep_between_an_end_and_its_entry_does_not_lose_it(
    store: ByteSessionStore, kept: WatchedBytes
) -> None:
    begin(store)
    kept.before_put["s"] = lambda: store.claim(10, 60)
    store.commit(LOCATOR, Change(end=REVOKED), 1)
    assert [each.facts.end for each in store.claim(10, 60)] == [REVOKED]


def test_a_look_between_a_login_and_its_entry_does_not_lose_it(
    store: ByteSessionStore, kept: WatchedBytes
) -> None:
    begin(store)
    kept.before_put["s"] = lambda: store.find("ann")
    store.commit(LOCATOR, Change(owner="ann"), 1)
    assert [found.locator for found in store.find("ann")] == [LOCATOR]


def test_threads_that_begin_records_of_one_minute_and_owner_lose_none(
    store: ByteSessionStore, clock: FakeClock
) -> None:
    barrier = threading.Barrier(8)

    def work(number: int) -> None:
        barrier.wait()
        for _ in range(10):
            locator = create(store, 50, a=b"1")
            store.commit(locator, Change(owner="ann"), 1)

    run_threads([(work, number) for number in range(8)])
    assert len(store.find("ann")) == store.count() == 80
    clock.advance(50)
    assert len(claim_all(store)) == 80


def test_threads_that_claim_share_the_records(store: ByteSessionStore, clock: FakeClock) -> None:
    expected = {create(store, 10, a=b"1") for _ in range(60)}
    clock.advance(3600)
    barrier = threading.Barrier(4)
    claimed: list[str] = []

    def work(_: int) -> None:
        barrier.wait()
        for _ in range(30):
            claimed.extend(each.locator for each in store.claim(5, 60))

    run_threads([(work, number) for number in range(4)])
    assert len(claimed) == 60
    assert set(claimed) == expected
