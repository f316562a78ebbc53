"""After an unclean stop the data is checked before it is used, and nothing is ever deleted."""

from __future__ import annotations

import logging
import os
import pathlib
import signal
import subprocess
import sys
import threading
import typing as t

import lmdb
import pytest

from flask_state.errors import StoreError
from flask_state.stores.base import Change
from flask_state.stores.base import DamagedRecord
from flask_state.stores.base import Edit
from flask_state.stores.lmdb import boot
from flask_state.stores.lmdb import gate as gates
from flask_state.stores.lmdb import layout
from flask_state.stores.lmdb import locks
from flask_state.stores.lmdb import recovery
from flask_state.stores.lmdb import verify
from flask_state.stores.lmdb.gate import Gate
from flask_state.stores.lmdb.sessions import LMDBSessionStore
from flask_state.testing.items import create
from flask_state.testing.items import values

from .forked import Numbers
from .forked import fork
from .forked import kill
from .forked import status_of

Damage = t.Callable[[pathlib.Path], None]


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "state"


@pytest.fixture
def checked_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check without starting an interpreter: that takes most of a second."""
    monkeypatch.setattr(verify, "inspect_apart", verify.inspect)


here = pytest.mark.usefixtures("checked_here")


def aside(path: pathlib.Path) -> list[str]:
    """Names of what was set aside beside the directory."""
    return sorted(each.name for each in path.parent.iterdir() if "damaged" in each.name)


def written(path: pathlib.Path, number: int = 300) -> list[str]:
    """Records in a directory that nobody has open."""
    store = LMDBSessionStore(path)
    locators = [create(store, n=b"%d" % each, x=b"x" * 100) for each in range(number)]
    store.close()
    return locators


def copied(path: pathlib.Path) -> None:
    """Make a copy of the data as the engine does."""
    with lmdb.open(str(path)) as env, open(path / "copy.mdb", "wb") as file:
        env.copyfd(file.fileno(), compact=True)


def another_boot(path: pathlib.Path) -> None:
    """As if the machine had stopped while the data was in use."""
    (path / "boot").write_bytes(b"of another boot")


def in_use(path: pathlib.Path) -> None:
    """As if the last process had been killed."""
    (path / "boot").write_bytes(boot.this_boot())


def readable(path: pathlib.Path, locators: list[str]) -> int:
    """How many of the records a new store finds."""
    store = LMDBSessionStore(path)
    found = sum(values(store, locator) is not None for locator in locators)
    create(store, after=b"1")
    store.close()
    return found


def shred(path: pathlib.Path) -> None:
    """Overwrite pages in the middle."""
    with open(path / "data.mdb", "r+b") as file:
        file.seek(5 * 4096)
        file.write(os.urandom(10 * 4096))


def behead(path: pathlib.Path) -> None:
    """Overwrite the first page."""
    with open(path / "data.mdb", "r+b") as file:
        file.write(bytes(4096))


def truncate(path: pathlib.Path) -> None:
    """Cut off the second half."""
    os.truncate(path / "data.mdb", (path / "data.mdb").stat().st_size // 2 // 4096 * 4096)


def empty(path: pathlib.Path) -> None:
    """Leave a file without a byte."""
    os.truncate(path / "data.mdb", 0)


def swap_values(path: pathlib.Path) -> None:
    """Damage a value and no page."""
    with lmdb.open(str(path)) as env, env.begin(write=True) as txn:
        for key, value in list(txn.cursor()):
            if key.endswith(b".n"):
                txn.put(key, value[:-1] + bytes([value[-1] ^ 1]))
                return


# After another boot


def test_damaged_data_is_found_by_a_process_of_its_own(path: pathlib.Path) -> None:
    locators = written(path)
    copied(path)
    another_boot(path)
    shred(path)
    assert readable(path, locators) == 300
    assert aside(path) == ["state.damaged-1"]


@here
@pytest.mark.parametrize("damage", [shred, behead, truncate, empty])
def test_damaged_data_is_set_aside_and_its_copy_used(path: pathlib.Path, damage: Damage) -> None:
    locators = written(path)
    copied(path)
    later = written(path, 10)
    another_boot(path)
    damage(path)
    broken = (path / "data.mdb").read_bytes()
    assert readable(path, locators) == 300
    assert readable(path, later) == 0
    assert aside(path) == ["state.damaged-1"]
    assert (path.parent / "state.damaged-1" / "data.mdb").read_bytes() == broken
    assert not (path / "suspect").exists()
    assert verify.inspect(str(path / "data.mdb")).sound


@here
@pytest.mark.parametrize("damage", [shred, behead, truncate])
def test_without_a_sound_copy_it_starts_empty(
    path: pathlib.Path, damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    for round_ in (1, 2):
        locators = written(path)
        another_boot(path)
        damage(path)
        (path / "copy.mdb").write_bytes(b"no copy")
        assert readable(path, locators) == 0
        assert aside(path) == [f"state.damaged-{n}" for n in range(1, round_ + 1)]
        assert (path.parent / f"state.damaged-{round_}" / "copy.mdb").exists()
    assert "starts empty" in caplog.text


def test_sound_data_is_checked_once_and_kept(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locators = written(path)
    copied(path)
    another_boot(path)
    checked: list[str] = []

    def inspect(at: str) -> verify.Findings:
        checked.append(at)
        return verify.inspect(at)

    monkeypatch.setattr(verify, "inspect_apart", inspect)
    assert readable(path, locators) == 300
    assert str(path / "data.mdb") in checked
    checked.clear()
    assert readable(path, locators) == 300
    assert checked == []
    assert aside(path) == []


def test_nothing_is_checked_after_an_orderly_stop(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locators = written(path)
    assert (path / "boot").read_bytes() == b"clean"
    monkeypatch.setattr(boot, "BOOT_ID", "/dev/null")
    monkeypatch.setattr(verify, "inspect_apart", lambda at: 1 / 0)
    assert readable(path, locators) == 300


def test_nothing_is_checked_after_a_kill(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed process wrote is in the machine's memory."""
    numbers = Numbers()

    def work() -> None:
        store = LMDBSessionStore(path)
        create(store, a=b"1")
        numbers.tell(1)
        signal.pause()

    pid = fork(work)
    numbers.hear()
    kill(pid)
    numbers.close()
    assert (path / "boot").read_bytes() == boot.this_boot()
    monkeypatch.setattr(verify, "inspect_apart", lambda at: 1 / 0)
    assert readable(path, []) == 0


def test_the_data_is_clean_when_the_last_process_left(path: pathlib.Path) -> None:
    store = LMDBSessionStore(path)
    create(store, a=b"1")

    def child() -> None:
        store.count()
        store.close()

    assert status_of(fork(child)) == 0
    store.count()
    assert status_of(fork(child)) == 0
    assert (path / "boot").read_bytes() == b"clean"
    store.count()
    assert (path / "boot").read_bytes() == boot.this_boot()
    pids = Numbers()

    def stay() -> None:
        store.count()
        pids.tell(1)
        signal.pause()

    pid = fork(stay)
    pids.hear()
    store.close()
    assert (path / "boot").read_bytes() == boot.this_boot()
    kill(pid)
    pids.close()


def test_data_that_waits_for_the_disk_is_always_clean(path: pathlib.Path) -> None:
    written(path)
    copied(path)
    in_use(path)
    store = LMDBSessionStore(path, durability="disk")
    create(store, a=b"1")
    assert (path / "boot").read_bytes() == b"clean"
    assert not (path / "copy.mdb").exists()  # it would be older every day
    store.close()


@here
def test_data_of_unknown_origin_is_checked(path: pathlib.Path) -> None:
    """Somebody put a file back, or took one that is no environment."""
    locators = written(path)
    (path / "boot").unlink()
    shred(path)
    assert readable(path, locators) == 0
    assert aside(path) == ["state.damaged-1"]


@here
def test_damaged_values_alone_cost_a_record_and_not_all(path: pathlib.Path) -> None:
    locators = written(path)
    swap_values(path)
    another_boot(path)
    store = LMDBSessionStore(path)
    lost = 0
    for locator in locators:
        try:
            values(store, locator)
        except DamagedRecord:
            lost += 1
    assert lost == 1
    assert aside(path) == []
    store.close()


@here
def test_damaged_values_alone_give_way_to_a_sound_copy(path: pathlib.Path) -> None:
    locators = written(path)
    copied(path)
    swap_values(path)
    another_boot(path)
    assert readable(path, locators) == 300
    assert aside(path) == ["state.damaged-1"]


@here
def test_a_copy_is_used_where_the_data_is_missing(path: pathlib.Path) -> None:
    """A process was killed when it had moved the data and not yet the copy."""
    locators = written(path)
    copied(path)
    (path / "suspect").touch()
    (path / "data.mdb").rename(path / "elsewhere")
    (path / "lock.mdb").unlink()
    assert readable(path, locators) == 300


def test_a_replacement_is_found_where_the_directory_is_missing(path: pathlib.Path) -> None:
    """A process was killed between the two renames."""
    locators = written(path)
    path.rename(path.parent / "state.new")
    assert readable(path, locators) == 300


@here
def test_a_directory_that_cannot_be_renamed_keeps_the_damaged_files(tmp_path: pathlib.Path) -> None:
    """A mount point, as containers have them."""
    path = tmp_path / "state"
    path.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m,mode=700", "none", str(path)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no mount point can be made here")
    try:
        locators = written(path)
        copied(path)
        another_boot(path)
        shred(path)
        assert readable(path, locators) == 300
        assert (path / "damaged-1" / "data.mdb").exists()
        assert os.listdir(tmp_path) == ["state"]
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


# While processes run


@here
@pytest.mark.parametrize("damage", [behead, truncate])
def test_data_damaged_in_this_boot_is_noticed_at_opening(
    path: pathlib.Path, damage: Damage
) -> None:
    locators = written(path)
    copied(path)
    in_use(path)
    damage(path)
    assert readable(path, locators) == 300
    assert aside(path) == ["state.damaged-1"]


@here
def test_an_error_of_the_engine_has_the_data_checked(
    path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is sound, so it is used on."""
    caplog.set_level(logging.INFO)
    store = LMDBSessionStore(path)
    locator = create(store, a=b"1")

    def fail(txn: t.Any) -> None:
        raise lmdb.CorruptedError("as if")

    for use in (store._access.read, store._access.write):
        with pytest.raises(StoreError, match="looks damaged") as caught:
            use("load", fail)
        assert caught.value.operation == "load"
        assert (path / "suspect").exists()
        assert values(store, locator) == {"a": b"1"}
        assert not (path / "suspect").exists()
        assert "is sound" in caplog.text
        caplog.clear()
    store.close()


def replaced(store: LMDBSessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the data found damaged and set aside, and open what takes its place."""
    folder = store._access.join().folder
    store.close()
    pathlib.Path(folder.suspect).touch()

    def inspect(at: str) -> verify.Findings:
        return verify.Findings(["as if"], 0) if at == folder.data else verify.inspect(at)

    monkeypatch.setattr(verify, "inspect_apart", inspect)
    store.count()
    monkeypatch.undo()


def test_a_process_that_rested_writes_to_what_replaced_the_data(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had looked at the directory just before, and is given time to look again."""
    store = LMDBSessionStore(path)
    ready, go = Numbers(), Numbers()

    def work() -> None:
        store.note("who", b"child")
        ready.tell(1)
        go.hear()
        store.note("who", b"child again")

    pid = fork(work)
    ready.hear()
    replaced(store, monkeypatch)
    go.tell(1)
    assert status_of(pid) == 0
    assert store.note("who", b"parent") == b"child again"
    store.close()
    ready.close()
    go.close()


def test_other_processes_move_to_what_replaces_damaged_data(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child writes all the time. Nothing it wrote after the exchange is lost."""
    store = LMDBSessionStore(path)
    locator = create(store, n=b"0")
    numbers, stop = Numbers(), Numbers()

    def work() -> None:
        os.set_blocking(stop._read, False)
        for number in range(1, 1 << 40):
            edits = {"n": Edit(b"%d" % number, 1 << 40)}
            assert store.commit(locator, Change(items=edits), None).refused is None
            numbers.tell(number)
            try:
                stop.hear()
            except BlockingIOError:
                continue
            return

    store.close()
    copied(path)
    pid = fork(work)
    numbers.hear()
    store.count()
    replaced(store, monkeypatch)
    for _ in range(30):
        last = numbers.hear()
    stop.tell(1)
    assert status_of(pid) == 0
    last = max([last, *numbers.rest()])
    stop.close()
    assert aside(path) == ["state.damaged-1"]
    assert values(store, locator) == {"n": b"%d" % last}
    store.close()


def test_a_writer_that_waited_looks_where_it_writes(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever held the gate may have replaced the data, so the second's pause doesn't count."""
    waiting = threading.Event()

    def pauses(timeout: float) -> t.Iterator[None]:
        waiting.set()
        return locks.pauses(timeout)

    monkeypatch.setattr(gates, "pauses", pauses)
    store = LMDBSessionStore(path)
    store.count()
    opened = store._access.join()._opened
    assert opened is not None
    opened.look_at = float("inf")
    other = Gate(str(path / "gate"))
    other.enter(1)
    thread = threading.Thread(target=store.note, args=("who", b"waited"))
    thread.start()
    waiting.wait()
    path.rename(path.parent / "elsewhere")
    other.leave()
    thread.join()
    other.close()
    assert store.note("who", b"") == b"waited"
    store.close()
    moved = LMDBSessionStore(path.parent / "elsewhere")
    assert moved.note("who", b"") is None
    moved.close()


def test_a_check_that_was_killed_is_not_a_finding(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locators = written(path)
    another_boot(path)
    ended = subprocess.CompletedProcess([], -signal.SIGKILL, b"", b"")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: ended)
    with pytest.raises(StoreError, match="ended by signal 9"):
        readable(path, locators)
    monkeypatch.undo()
    assert readable(path, locators) == 300


def test_recovery_waits_for_a_writer_and_not_for_ever(path: pathlib.Path) -> None:
    store = LMDBSessionStore(path)
    store.count()
    folder = store._access.join().folder

    def meanwhile(txn: t.Any) -> None:
        with pytest.raises(StoreError, match="has held the right to write"):
            recovery.recover(folder, 0.05)

    store._access.write("test", meanwhile)
    store.close()


# The check itself


def test_the_check_can_be_run_by_hand(path: pathlib.Path) -> None:
    written(path)
    command = [sys.executable, "-m", "flask_state.stores.lmdb.verify", str(path / "data.mdb")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[[], 0]\n")
    assert subprocess.run(command[:-1], capture_output=True).returncode == 2


def test_the_check_sees_pages_and_values(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    written(path)
    data = str(path / "data.mdb")
    assert verify.inspect(data).sound
    swap_values(path)
    assert verify.inspect(data) == verify.Findings([], 1)
    assert verify.inspect_apart(data) == verify.Findings([], 1)
    shred(path)
    assert verify.inspect_apart(data).pages
    assert verify.inspect(str(tmp_path / "nothing")).pages


def test_the_check_survives_an_engine_that_does_not(
    path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(path)
    data = str(path / "data.mdb")
    results = iter([-signal.SIGABRT, -signal.SIGBUS, 1])

    def run(*args: t.Any, **kwargs: t.Any) -> t.Any:
        return subprocess.CompletedProcess([], next(results), b"", b"")

    monkeypatch.setattr(subprocess, "run", run)
    assert "signal 6" in verify.inspect_apart(data).pages[0]
    assert "signal 7" in verify.inspect_apart(data).pages[0]
    assert verify.inspect_apart(data).sound

    def no_interpreter(*args: t.Any, **kwargs: t.Any) -> t.Any:
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", no_interpreter)
    assert verify.inspect_apart(data).sound
    behead(path)
    assert verify.inspect_apart(data).pages


def test_a_file_shorter_than_its_pages_is_damaged(path: pathlib.Path) -> None:
    """Even where only free pages are missing."""
    store = LMDBSessionStore(path)
    locator = create(store, a=b"x" * 1_000_000)
    store.commit(locator, Change(items={"a": Edit(b"1", 1, True)}), 1)
    store.close()
    os.truncate(path / "data.mdb", (path / "data.mdb").stat().st_size - 4096)
    assert verify.inspect(str(path / "data.mdb")).pages


def test_every_value_in_the_file_has_a_checksum(path: pathlib.Path) -> None:
    store = LMDBSessionStore(path)
    locator = create(store, 1000, **{"a": b"1", "n" * 1000: b"2", "large": b"x" * 200_000})
    store.commit(locator, Change(owner="ann"), 1)
    store.note("key", b"1")
    kinds = {
        key[:1]: layout.unframe(key, value)
        for key, value in store._access.read("test", lambda txn: list(txn.cursor()))
    }
    assert set(kinds) == {b"s", b"c", b"x", b"o", b"n"}
    store.close()
