"""Records are shared by the processes of the machine, through forks and kills."""

from __future__ import annotations

import os
import pathlib
import random
import subprocess
import sys
import threading
import typing as t

import pytest

from flask_state.core.tokens import random_text
from flask_state.errors import ConfigurationError
from flask_state.errors import StoreError
from flask_state.stores.base import ABANDONED
from flask_state.stores.base import Change
from flask_state.stores.base import Edit
from flask_state.stores.lmdb import environment as environments
from flask_state.stores.lmdb import verify
from flask_state.stores.lmdb.sessions import LMDBSessionStore
from flask_state.testing.items import PROOF
from flask_state.testing.items import create
from flask_state.testing.items import values

from .consistent import assert_consistent
from .forked import Numbers
from .forked import fork
from .forked import kill
from .forked import status_of


@pytest.fixture
def store(path: pathlib.Path) -> t.Iterator[LMDBSessionStore]:
    store = LMDBSessionStore(path)
    yield store
    store.close()


def put(store: LMDBSessionStore, locator: str, number: int) -> None:
    """Commit a number as the item `n`, as seen by nobody else."""
    done = store.commit(locator, Change(items={"n": Edit(b"%d" % number, 1 << 40)}), None)
    assert done.refused is None


def number_in(store: LMDBSessionStore, locator: str) -> int:
    found = values(store, locator)
    assert found is not None
    return int(found["n"])


def test_nothing_is_made_before_the_first_use(path: pathlib.Path) -> None:
    store = LMDBSessionStore(path)
    assert not path.exists()
    store.close()
    assert not path.exists()
    create(store, a=b"1")
    assert path.exists()
    store.close()


def test_stores_of_one_process_share_a_directory(path: pathlib.Path) -> None:
    """Two applications may be given the same URL, spelled differently."""
    one = LMDBSessionStore(path)
    two = LMDBSessionStore(str(path.parent / "x" / ".." / "state") + "/")
    locator = create(one, n=b"1")
    assert number_in(two, locator) == 1
    one.close()
    put(two, locator, 2)
    assert number_in(one, locator) == 2
    one.close()
    two.close()


def test_a_symbolic_link_above_the_directory_leads_to_the_same(path: pathlib.Path) -> None:
    link = path.parent / "link"
    link.symlink_to(path.parent, target_is_directory=True)
    one, two = LMDBSessionStore(path), LMDBSessionStore(link / "state")
    locator = create(one, n=b"1")
    assert number_in(two, locator) == 1
    one.close()
    two.close()


def test_a_store_that_is_forgotten_leaves_too(path: pathlib.Path) -> None:
    store = LMDBSessionStore(path, durability="disk")
    create(store, n=b"1")
    del store
    other = LMDBSessionStore(path)
    create(other, n=b"2")
    assert other.count() == 2
    other.close()


def test_one_process_keeps_one_durability(path: pathlib.Path, store: LMDBSessionStore) -> None:
    create(store, a=b"1")
    durable = LMDBSessionStore(path, durability="disk")
    with pytest.raises(ConfigurationError, match="same URL"):
        durable.count()


def test_another_process_sees_what_was_committed(
    path: pathlib.Path, store: LMDBSessionStore
) -> None:
    """Without any fork: the other one is an interpreter of its own."""
    locator = create(store, n=b"1")
    code = (
        "import sys\n"
        "from flask_state.stores.base import Change, Edit\n"
        "from flask_state.stores.lmdb.sessions import LMDBSessionStore\n"
        "store = LMDBSessionStore(sys.argv[1])\n"
        "store.commit(sys.argv[2], Change(items={'n': Edit(b'2', 1, True)}), 1)\n"
    )
    subprocess.run([sys.executable, "-c", code, path, locator], check=True)
    assert number_in(store, locator) == 2


def test_parent_and_child_go_on_after_a_fork(store: LMDBSessionStore) -> None:
    locator = create(store, n=b"1")

    def child() -> None:
        assert number_in(store, locator) == 1
        put(store, locator, 2)

    assert status_of(fork(child)) == 0
    assert number_in(store, locator) == 2
    put(store, locator, 3)
    assert number_in(store, locator) == 3


def test_forks_beside_a_committing_thread_lose_nothing(store: LMDBSessionStore) -> None:
    """The thread is always about to be, or inside, a transaction when the fork comes."""
    mine = create(store, n=b"0")
    theirs = [create(store, n=b"0") for _ in range(12)]
    stop = threading.Event()
    done = [0]

    def work() -> None:
        while not stop.is_set():
            put(store, mine, done[0] + 1)
            done[0] += 1

    def child(locator: str) -> None:
        for number in range(1, 31):
            assert number_in(store, locator) == number - 1
            put(store, locator, number)

    thread = threading.Thread(target=work)
    thread.start()
    pids = []
    try:
        for locator in theirs:
            before = done[0]
            pids.append(fork(lambda locator=locator: child(locator)))  # type: ignore[misc]
            while done[0] == before:
                thread.join(0.0001)
    finally:
        stop.set()
        thread.join()
    assert [status_of(pid) for pid in pids] == [0] * len(pids)
    assert number_in(store, mine) == done[0]
    assert [number_in(store, locator) for locator in theirs] == [30] * len(theirs)


def test_a_fork_inside_a_transaction_leaves_the_child_without_a_store(
    store: LMDBSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent goes on; the child says why it can't, and doesn't hang."""
    monkeypatch.setattr(environments, "FORK_WAIT", 0.05)
    locator = create(store, n=b"1")
    inside, leave = threading.Event(), threading.Event()

    def work(txn: t.Any) -> None:
        inside.set()
        leave.wait()

    def child() -> None:
        for use in (lambda: number_in(store, locator), lambda: put(store, locator, 2)):
            with pytest.raises(StoreError, match="forked"):
                use()

    environment = store._access.join()
    thread = threading.Thread(target=environment.write, args=("test", 5.0, work))
    thread.start()
    inside.wait()
    assert status_of(fork(child)) == 0
    leave.set()
    thread.join()
    put(store, locator, 3)
    assert number_in(store, locator) == 3


def test_a_fork_that_python_did_not_see_is_refused(
    store: LMDBSessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment of another process number is never used."""
    locator = create(store, n=b"1")
    monkeypatch.setattr(environments, "getpid", lambda: os.getpid() + 1)
    with pytest.raises(StoreError, match="forked"):
        number_in(store, locator)
    with pytest.raises(StoreError, match="forked"):
        put(store, locator, 2)
    monkeypatch.undo()
    assert number_in(store, locator) == 1


def test_killed_writers_lose_nothing_they_acknowledged(
    path: pathlib.Path, store: LMDBSessionStore
) -> None:
    """60 kills at any moment, three writers at a time, values of all sizes."""
    chance = random.Random(1)
    locators = [create(store, n=b"0") for _ in range(3)]
    acknowledged = dict.fromkeys(locators, 0)

    def write(locator: str, first: int, numbers: Numbers) -> None:
        for number in range(first, 1 << 40):
            filler = {"filler": Edit(b"x" * (number * 7919 % 150_000), 1 << 40)}
            edits = {"n": Edit(b"%d" % number, 1 << 40)} | (filler if number % 9 == 0 else {})
            assert store.commit(locator, Change(items=edits), None).refused is None
            numbers.tell(number)

    def start(locator: str) -> tuple[str, int, Numbers]:
        numbers = Numbers()
        first = acknowledged[locator] + 1
        return locator, fork(lambda: write(locator, first, numbers)), numbers

    running = [start(locator) for locator in locators]
    for _ in range(60):
        locator, pid, numbers = running.pop(chance.randrange(3))
        for _ in range(chance.randrange(1, 25)):
            acknowledged[locator] = numbers.hear()
        kill(pid)
        acknowledged[locator] = max([acknowledged[locator], *numbers.rest()])
        found = number_in(store, locator)
        assert found in (acknowledged[locator], acknowledged[locator] + 1)
        acknowledged[locator] = found
        running.append(start(locator))
    for _, pid, numbers in running:
        kill(pid)
        numbers.close()
    create(store, after=b"1")
    assert_consistent(store)
    store.close()
    assert verify.inspect(str(path / "data.mdb")).sound


def test_every_end_is_claimed_by_exactly_one_process(store: LMDBSessionStore) -> None:
    locators = {create(store, n=b"%d" % number) for number in range(400)}
    for locator in locators:
        store.commit(locator, Change(end=ABANDONED), None)
    results = [Numbers() for _ in range(4)]

    def claim(numbers: Numbers) -> None:
        while claimed := store.claim(7, 3600):
            for each in claimed:
                numbers.tell(int(each.items["n"].value))
                store.forget(each.locator)

    pids = [fork(lambda numbers=numbers: claim(numbers)) for numbers in results]  # type: ignore[misc]
    assert [status_of(pid) for pid in pids] == [0] * 4
    claimed = [number for numbers in results for number in numbers.rest()]
    assert sorted(claimed) == list(range(400))
    assert store.claim(10, 3600) == []


def test_threads_and_processes_create_one_record_once(store: LMDBSessionStore) -> None:
    locator = random_text(10)
    won = Numbers()

    def race(number: int) -> None:
        change = Change(create=True, proof=PROOF, lives=100, items={"n": Edit(b"%d" % number, 0)})
        if store.commit(locator, change, None).refused is None:
            won.tell(number)

    pids = [fork(lambda number=number: race(number)) for number in range(6)]  # type: ignore[misc]
    assert [status_of(pid) for pid in pids] == [0] * 6
    winners = list(won.rest())
    assert winners == [number_in(store, locator)]
