"""Waiting for a lease of another process: how soon it is seen, and what it costs."""

from __future__ import annotations

import os
import pathlib
import statistics
import threading
import typing as t

import pytest

from flask_state.core.clock import SystemClock
from flask_state.stores.base import Change
from flask_state.stores.base import Edit
from flask_state.stores.lmdb import layout
from flask_state.stores.lmdb.leasing import Watch
from flask_state.stores.lmdb.sessions import LMDBSessionStore
from flask_state.testing.items import PROOF
from flask_state.testing.items import create
from flask_state.testing.leases import LEASE
from flask_state.testing.leases import facts_in
from flask_state.testing.leases import is_busy
from flask_state.testing.leases import lease
from flask_state.testing.leases import release

from .forked import Numbers
from .test_lmdb_gevent import run
from .test_lmdb_leases import holder

monotonic = SystemClock.monotonic


@pytest.fixture
def store(path: pathlib.Path) -> t.Iterator[LMDBSessionStore]:
    store = LMDBSessionStore(path)
    yield store
    store.close()


def test_a_release_is_seen_by_another_process(store: LMDBSessionStore) -> None:
    """Within 10 ms on a machine that has nothing else to do."""
    locator = create(store, a=b"1")
    told = Numbers()
    took = []

    def hold(fence: int) -> None:
        for _ in range(20):
            threading.Event().wait(0.02)  # until the waiter looks as seldom as it ever does
            told.tell(int(monotonic() * 1e9))
            release(store, locator, fence)
            while (again := store.load(locator, (PROOF,), None, LEASE)) is None or again.busy:
                store.wait(locator, again.facts.fence if again else 0, 1.0)
            fence = again.facts.fence
            told.tell(fence)

    with holder(store, locator, hold):
        for _ in range(20):
            fence = facts_in(store, locator).fence
            store.wait(locator, fence, 60.0)
            took.append(monotonic() - told.hear() / 1e9)
            told.hear()
    print(f"seen after {statistics.median(took) * 1e3:.2f} ms, {max(took) * 1e3:.2f} ms at most")
    assert statistics.median(took) < 0.05


def test_waiting_neither_parses_nor_writes(
    store: LMDBSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look is one read of one key; who parses it again does so because it was written."""
    locator = create(store, a=b"1")
    fence = lease(store, locator).facts.fence
    environment = store._access.join()
    parsed: list[bytes] = []
    read_head = layout.read_head

    def counted(key: bytes, value: bytes) -> layout.Head:
        parsed.append(value)
        return read_head(key, value)

    monkeypatch.setattr(layout, "read_head", counted)
    watch = Watch(environment.presence, locator, fence)
    for _ in range(100):
        assert not store._access.read("wait", watch.is_over, SystemClock.time())
    assert len(parsed) == 1
    store.commit(locator, Change(items={"a": Edit(b"2", 1, True)}), None)
    parsed.clear()
    for _ in range(100):
        assert not store._access.read("wait", watch.is_over, SystemClock.time())
    assert len(parsed) == 1
    begun = _last_transaction(store)
    store.wait(locator, fence, 0.03)
    assert _last_transaction(store) == begun
    assert store._access.read("wait", watch.is_over, SystemClock.time() + LEASE)


def test_a_refusal_is_noted_once(store: LMDBSessionStore) -> None:
    """Whoever asks again and again for a lease that is taken writes nothing."""
    locator = create(store, a=b"1")
    lease(store, locator)
    assert is_busy(store, locator)
    marked = _last_transaction(store)
    for _ in range(10):
        assert is_busy(store, locator)
    assert _last_transaction(store) == marked


def test_fifty_waiters_cost_next_to_nothing(store: LMDBSessionStore) -> None:
    """Each for a session of its own, as much as can happen; those of one session take turns."""
    locators = [create(store, a=b"1") for _ in range(50)]
    fences = [lease(store, locator).facts.fence for locator in locators]
    begun = os.times()
    waiters = [
        threading.Thread(target=store.wait, args=(locator, fence, 1.0))
        for locator, fence in zip(locators, fences, strict=True)
    ]
    for waiter in waiters:
        waiter.start()
    for waiter in waiters:
        waiter.join()
    ended = os.times()
    spent = ended.user + ended.system - begun.user - begun.system
    share = spent / (ended.elapsed - begun.elapsed)
    print(f"50 waiters take {100 * share:.1f} % of a core")
    assert share < 0.6


HELD = """
create("a" * 10, n=b"0")
proof = (b"p" * 16,)
fence = store.load("a" * 10, proof, None, 10.0).facts.fence
before, order = ticks, []
def wait():
    store.wait("a" * 10, fence, 60.0)
    order.append("back")
def give_back():
    gevent.sleep(0.3)
    order.append("given back")
    store.commit("a" * 10, Change(lease=0), fence)
gevent.joinall([gevent.spawn(wait) for _ in range(20)] + [gevent.spawn(give_back)])
during = ticks - before
counter = [0]
def work():
    for _ in range(10):
        while True:
            loaded = store.load("a" * 10, proof, None, 10.0)
            if not loaded.busy:
                break
            store.wait("a" * 10, loaded.facts.fence, 5.0)
        number = int(loaded.items["n"].value)
        gevent.sleep(0)
        edit = Edit(b"%d" % (number + 1), loaded.items["n"].version, True)
        store.commit("a" * 10, Change(items={"n": edit}, lease=0), loaded.facts.fence)
gevent.joinall([gevent.spawn(work) for _ in range(8)], raise_error=True)
print(json.dumps([during, order, load("a" * 10)]))
"""


def test_greenlets_wait_for_each_other(tmp_path: pathlib.Path) -> None:
    """20 of them wait for 0.3 s, in which a ticker would tick sixty times alone."""
    ticks, order, after = run(tmp_path / "state", HELD)
    assert ticks > 20
    assert order == ["given back", *["back"] * 20]
    assert after == {"n": "80"}


def _last_transaction(store: LMDBSessionStore) -> int:
    opened = store._access.join()._opened
    assert opened is not None
    return int(opened.env.info()["last_txnid"])
