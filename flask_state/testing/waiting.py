"""What every `SessionStore` must do for those who wait for a lease: a part of its suite."""

from __future__ import annotations

import threading
import typing as t

from ..core.clock import SystemClock
from ..stores.base import REVOKED
from ..stores.base import Change
from ..stores.base import SessionStore
from .items import ItemsContract
from .items import create
from .leases import LEASE
from .leases import lease
from .leases import put
from .leases import release

_AT_ONCE = 0.5
"""Seconds within which a waiter must be back on the slowest machine; 10 ms is the aim."""
_A_WHILE = 0.1
_LONG = 20.0

monotonic: t.Callable[[], float] = SystemClock.monotonic


class WaitingContract(ItemsContract):
    """When those who wait for a lease are back."""

    def test_waiting_for_a_lease_that_is_over_returns_at_once(self, store: SessionStore) -> None:
        locator, ended = create(store, a=b"1"), create(store, a=b"1")
        fence = lease(store, locator).facts.fence
        store.commit(ended, Change(end=REVOKED), 1)
        begun = monotonic()
        store.wait("z" * 10, 1, _LONG)
        store.wait(ended, 1, _LONG)
        store.wait(locator, fence - 1, _LONG)
        release(store, locator, fence)
        store.wait(locator, fence, _LONG)
        fence = lease(store, locator).facts.fence
        self.clock.advance(LEASE)
        store.wait(locator, fence, _LONG)
        assert monotonic() - begun < _LONG / 2

    def test_waiting_lasts_while_the_lease_does(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        fence = lease(store, locator).facts.fence
        begun = monotonic()
        store.wait(locator, fence, _A_WHILE)
        assert _A_WHILE <= monotonic() - begun < _A_WHILE + _LONG / 2

    def test_a_waiter_is_back_when_the_lease_is_given_back(self, store: SessionStore) -> None:
        self._assert_wakes(store, lambda locator, fence: release(store, locator, fence))

    def test_a_waiter_is_back_when_the_lease_runs_out(self, store: SessionStore) -> None:
        self._assert_wakes(store, lambda locator, fence: self.clock.advance(LEASE))

    def test_a_waiter_is_back_when_the_record_ends(self, store: SessionStore) -> None:
        change = Change(end=REVOKED)
        self._assert_wakes(store, lambda locator, fence: store.commit(locator, change, None))

    def test_a_waiter_is_back_when_the_record_expires(self, store: SessionStore) -> None:
        self._assert_wakes(store, lambda locator, fence: self.clock.advance(6), lives=5)

    def test_a_waiter_is_back_when_somebody_else_has_the_lease(self, store: SessionStore) -> None:
        def take(locator: str, fence: int) -> None:
            self.clock.advance(LEASE)
            lease(store, locator)

        self._assert_wakes(store, take)

    def test_a_waiter_stays_while_others_change_the_record(self, store: SessionStore) -> None:
        locator = create(store, a=b"1")
        fence = lease(store, locator).facts.fence
        waiting = _Waiting(store, locator, fence)
        for number in range(10):
            store.commit(locator, put(b"%d" % number), 1)
            store.commit(locator, Change(lease=LEASE), fence)
        assert not waiting.is_over(_A_WHILE)
        release(store, locator, fence)
        assert waiting.is_over(_LONG)

    def _assert_wakes(
        self, store: SessionStore, act: t.Callable[[str, int], object], lives: float = 1000
    ) -> None:
        """A waiter waits until something is done, and returns then; measured at its best."""
        took = []
        for _ in range(3):
            locator = create(store, lives, a=b"1")
            fence = lease(store, locator).facts.fence
            waiting = _Waiting(store, locator, fence)
            assert not waiting.is_over(_A_WHILE / 3)
            done = monotonic()
            act(locator, fence)
            assert waiting.is_over(_LONG)
            took.append(waiting.ended - done)
        assert min(took) < _AT_ONCE


class _Waiting:
    """A thread that waits for a lease."""

    def __init__(self, store: SessionStore, locator: str, fence: int) -> None:
        self.ended = 0.0
        begun = threading.Event()

        def wait() -> None:
            begun.set()
            store.wait(locator, fence, _LONG)
            self.ended = monotonic()

        self._thread = threading.Thread(target=wait)
        self._thread.start()
        begun.wait()

    def is_over(self, timeout: float) -> bool:
        """Whether it returns within so many seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()
