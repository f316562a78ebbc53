"""`STATE_SESSION_MAX_PER_OWNER`: the sessions that signed in first end, and no other one."""

from __future__ import annotations

import collections.abc as cabc
import os
import pathlib
import threading
import typing as t

import pytest

from flask_state import session
from flask_state.core import registry
from flask_state.core.clock import SystemClock
from flask_state.errors import StoreError
from flask_state.session.owners import OwnerCap
from flask_state.session.watched import WatchedStore
from flask_state.stores.base import Change
from flask_state.stores.base import Edit
from flask_state.stores.base import SessionStore
from flask_state.testing import FakeClock
from tests.session.site import Site
from tests.stores.lmdb.forked import fork
from tests.stores.lmdb.forked import status_of

SIGN_INS: t.Final = 8
LIMIT: t.Final = 3
LOCATORS: t.Final = [letter * 10 for letter in "hcfbgade"]


def watched(url: str, clock: t.Any) -> WatchedStore:
    """A store, as the cap sees it."""
    return WatchedStore(
        lambda: registry.open_sessions(url, clock),
        fingerprints=lambda: (b"a key",),
        notify=lambda event, **facts: True,
        on_commit=lambda: True,
        on_end=lambda reason: None,
    )


@pytest.fixture
def store(url: str, clock: FakeClock) -> cabc.Iterator[WatchedStore]:
    store = watched(url, clock)
    yield store
    store.close()


def begin(store: WatchedStore | SessionStore, locator: str, owner: str = "ann") -> None:
    """Store a session of an owner."""
    change = Change(
        create=True, proof=b"p" * 16, lives=3600.0, items={"a": Edit(b"1", 0)}, owner=owner
    )
    assert store.commit(locator, change, None).refused is None


def living(store: WatchedStore, owner: str = "ann") -> set[str]:
    """The locators of an owner's sessions."""
    return {each.locator for each in store.find(owner)}


def test_the_ones_that_signed_in_first_end(store: WatchedStore, clock: FakeClock) -> None:
    for locator in LOCATORS:
        begin(store, locator)
        OwnerCap(store, LIMIT).enforce("ann")
        clock.advance(1)
    assert living(store) == set(LOCATORS[-LIMIT:])


def test_a_later_sign_in_counts_and_not_the_beginning(
    store: WatchedStore, clock: FakeClock
) -> None:
    for locator in LOCATORS[:4]:
        begin(store, locator)
        clock.advance(1)
    store.commit(LOCATORS[0], Change(owner="ann"), None)
    OwnerCap(store, LIMIT).enforce("ann")
    assert living(store) == {LOCATORS[0], *LOCATORS[2:4]}


def test_of_the_same_moment_the_locator_decides(store: WatchedStore) -> None:
    for locator in LOCATORS:
        begin(store, locator)
    OwnerCap(store, LIMIT).enforce("ann")
    assert living(store) == set(sorted(LOCATORS)[-LIMIT:])


def test_they_end_as_revoked(store: WatchedStore, clock: FakeClock) -> None:
    for locator in LOCATORS[:2]:
        begin(store, locator)
        clock.advance(1)
    OwnerCap(store, 1).enforce("ann")
    (ended,) = store.claim(10, 60)
    assert (ended.locator, ended.facts.end) == (LOCATORS[0], "revoked")


def test_other_owners_are_left_alone(store: WatchedStore) -> None:
    for locator in LOCATORS[:2]:
        begin(store, locator)
    begin(store, LOCATORS[3], "bob")
    OwnerCap(store, 1).enforce("ann")
    assert (len(living(store)), len(living(store, "bob"))) == (1, 1)


def test_without_a_limit_the_store_is_not_asked() -> None:
    opened: list[bool] = []
    store = WatchedStore(
        lambda: t.cast(SessionStore, opened.append(True)),
        fingerprints=lambda: (b"a key",),
        notify=lambda event, **facts: True,
        on_commit=lambda: True,
        on_end=lambda reason: None,
    )
    OwnerCap(store, None).enforce("ann")
    assert opened == []


@pytest.mark.parametrize("round", range(10))
def test_of_parallel_sign_ins_exactly_the_newest_live_and_never_fewer(
    store: WatchedStore, round: int
) -> None:
    """All commit, then all look at once; each sees how many are left at every step."""
    committed, looked = threading.Barrier(SIGN_INS), threading.Barrier(SIGN_INS)
    fewest: list[int] = []
    errors: list[BaseException] = []

    def sign_in(locator: str) -> None:
        try:
            begin(store, locator)
            committed.wait(20)
            OwnerCap(store, LIMIT).enforce("ann")
            fewest.append(len(living(store)))
            looked.wait(20)
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=sign_in, args=(each,)) for each in LOCATORS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert errors == []
    assert set(fewest) == {LIMIT}
    assert living(store) == set(sorted(LOCATORS)[-LIMIT:])


@pytest.mark.parametrize("round", range(10))
def test_whoever_commits_while_others_look_makes_it_neither_fewer_nor_more(
    store: WatchedStore, round: int
) -> None:
    """Nobody waits for anybody: a sign-in may commit in the middle of what another one ends."""
    start = threading.Barrier(SIGN_INS)
    fewest: list[int] = []

    def sign_in(locator: str) -> None:
        start.wait(20)
        begin(store, locator)
        OwnerCap(store, LIMIT).enforce("ann")
        fewest.append(len(living(store)))

    threads = [threading.Thread(target=sign_in, args=(each,)) for each in LOCATORS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(fewest) == SIGN_INS
    assert living(store) == set(sorted(LOCATORS)[-LIMIT:])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_of_parallel_sign_ins_in_many_processes_the_newest_live(tmp_path: pathlib.Path) -> None:
    url = f"lmdb://{tmp_path}/state"
    ready, go = os.pipe(), os.pipe()

    def child(locator: str) -> cabc.Callable[[], None]:
        def work() -> None:
            store = watched(url, SystemClock())
            begin(store, locator)
            os.write(ready[1], b".")
            os.close(go[1])
            assert os.read(go[0], 1) == b""  # the parent closes it: all go at once
            OwnerCap(store, LIMIT).enforce("ann")
            assert len(living(store)) == LIMIT
            store.close()

        return work

    children = [fork(child(locator)) for locator in LOCATORS]
    arrived = 0
    while arrived < SIGN_INS:
        arrived += len(os.read(ready[0], SIGN_INS))
    os.close(go[1])
    assert [status_of(pid) for pid in children] == [0] * SIGN_INS
    for end in (*ready, go[0]):
        os.close(end)
    store = watched(url, SystemClock())
    kept = [(each.facts.owned_since, each.locator) for each in store.find("ann")]
    ended = [(each.facts.owned_since, each.locator) for each in store.claim(100, 60)]
    assert (len(kept), len(ended)) == (LIMIT, SIGN_INS - LIMIT)
    assert max(ended) < min(kept)
    store.close()


def test_the_setting_ends_the_oldest_at_a_sign_in(url: str) -> None:
    site = Site(url, STATE_SESSION_MAX_PER_OWNER=2)

    def sign_in() -> None:
        session["user"] = "ann"
        session.owner = "ann"

    browsers = []
    for _ in range(3):
        browsers.append(site.browser())
        site.visit(browsers[-1], sign_in)
        site.clock.advance(1)
    assert [site.items(browser) for browser in browsers] == [{}, {"user": "ann"}, {"user": "ann"}]
    with site.app.app_context():
        assert site.state.sessions.counters().revoked == 1
    site.close()


def test_a_store_that_fails_then_does_not_take_the_sign_in_back(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The session is stored, and its client is given the new id; the next sign-in makes up."""
    site = Site(url, STATE_SESSION_MAX_PER_OWNER=1)
    browsers = [site.browser(), site.browser()]

    def sign_in() -> None:
        session["user"] = session.owner = "ann"
        session.regenerate()

    site.visit(browsers[0], sign_in)
    site.clock.advance(1)
    find, site.store.find = site.store.store.find, fail  # type: ignore[attr-defined]
    second = site.visit(browsers[1], sign_in)
    assert (second.response.status_code, bool(second.cookie)) == (200, True)
    assert "until the next sign-in" in caplog.text
    assert [site.items(each) for each in browsers] == [{"user": "ann"}] * 2
    site.store.find = find  # type: ignore[attr-defined]
    site.clock.advance(1)
    site.visit(browsers[1], sign_in)
    assert [site.items(each) for each in browsers] == [{}, {"user": "ann"}]
    site.close()


def fail(owner: str) -> t.NoReturn:
    raise StoreError("it was unplugged", engine="none", operation="find")
