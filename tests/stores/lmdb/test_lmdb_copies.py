"""While there are commits, a whole copy of the data is made from time to time."""

from __future__ import annotations

import os
import pathlib
import time
import typing as t

import lmdb
import pytest

from flask_state.stores.base import Change
from flask_state.stores.base import Edit
from flask_state.stores.lmdb import copies
from flask_state.stores.lmdb import verify
from flask_state.stores.lmdb.copies import Copier
from flask_state.stores.lmdb.folder import Folder
from flask_state.stores.lmdb.locks import open_side_file
from flask_state.stores.lmdb.locks import try_lock
from flask_state.stores.lmdb.sessions import LMDBSessionStore
from flask_state.testing.items import create

EVERY = 60.0
SOON = 2.0


class Machine:
    """A copier whose time and thread are turned by hand."""

    def __init__(self, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = 1_800_000_000.0
        self.content: bytes | None = b"one"
        self.threads: list[t.Callable[..., None]] = []
        self.slept: list[float] = []
        self.copies: list[bytes] = []
        self.during: t.Callable[[], None] = lambda: None
        self.folder = Folder(str(path))
        self.folder.prepare()
        pathlib.Path(self.folder.data).touch()
        monkeypatch.setattr(copies, "now", lambda: self.time)
        monkeypatch.setattr(copies, "_native", self.native)
        self.copier = Copier(self.folder, self.copy)

    def native(self, module: str, name: str) -> t.Any:
        return self.sleep if name == "sleep" else self.start

    def start(self, work: t.Callable[..., None], arguments: tuple[t.Any, ...]) -> None:
        self.threads.append(lambda: work(*arguments))

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def copy(self, descriptor: int) -> bool:
        if self.content is None:
            return False
        os.write(descriptor, self.content)
        self.copies.append(self.content)
        self.time += 1.0
        self.during()
        return True

    def run(self) -> None:
        """Let the thread that was started do its work."""
        (thread,) = self.threads
        self.threads.clear()
        thread()

    def kept(self) -> bytes:
        return pathlib.Path(self.folder.copy).read_bytes()


@pytest.fixture
def machine(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path / "state", monkeypatch)


def test_many_commits_make_one_copy_soon_after_the_first(machine: Machine) -> None:
    for _ in range(10):
        machine.copier.written()
    assert len(machine.threads) == 1
    machine.run()
    assert machine.slept == [SOON]
    assert machine.copies == [b"one"]
    assert machine.kept() == b"one"
    assert not pathlib.Path(machine.folder.new_copy).exists()


def test_a_commit_after_the_copy_makes_another_a_minute_after_it(machine: Machine) -> None:
    machine.copier.written()
    machine.run()
    assert machine.threads == []
    machine.time += 5
    machine.content = b"two"
    machine.copier.written()
    machine.run()
    assert machine.kept() == b"two"
    assert machine.slept == [SOON, EVERY - 5 - 1]


def test_commits_during_a_copy_are_in_the_next(machine: Machine) -> None:
    def meanwhile() -> None:
        machine.during = lambda: None
        machine.content = b"two"
        machine.copier.written()

    machine.during = meanwhile
    machine.copier.written()
    machine.run()
    assert machine.copies == [b"one", b"two"]
    assert machine.slept == [SOON, EVERY]
    assert machine.threads == []


def test_a_recent_copy_by_another_process_is_enough(machine: Machine) -> None:
    machine.copier.written()
    machine.content = b"theirs"
    os.close(os.open(machine.folder.copy, os.O_CREAT))
    later = machine.time + 30
    os.utime(machine.folder.copy, (later, later))
    machine.run()
    assert machine.copies == []


def test_two_copies_are_a_minute_apart_whoever_made_the_first(machine: Machine) -> None:
    os.close(os.open(machine.folder.copy, os.O_CREAT))
    machine.copier.written()
    before = machine.time - 1
    os.utime(machine.folder.copy, (before, before))
    machine.sleep = lambda seconds, real=machine.sleep: real(seconds / 2)  # type: ignore[method-assign, misc]
    machine.run()
    assert machine.copies == [b"one"]
    assert machine.time - 1 >= before + EVERY


def test_who_finds_another_making_the_copy_looks_again_later(machine: Machine) -> None:
    descriptor = open_side_file(machine.folder.new_copy)
    assert try_lock(descriptor)

    def sleep(seconds: float) -> None:
        machine.slept.append(seconds)
        machine.time += seconds
        if len(machine.slept) == 2:
            os.close(descriptor)

    machine.sleep = sleep  # type: ignore[method-assign]
    machine.copier.written()
    machine.run()
    assert machine.slept == [SOON, EVERY]
    assert machine.copies == [b"one"]


def test_a_copy_left_half_made_is_made_anew(machine: Machine) -> None:
    pathlib.Path(machine.folder.new_copy).write_bytes(b"half of something much longer")
    machine.copier.written()
    machine.run()
    assert machine.kept() == b"one"


def test_a_failed_copy_is_told_and_tried_again(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        machine.during = lambda: None
        raise OSError(28, "No space left on device")

    machine.during = fail
    machine.copier.written()
    machine.run()
    assert "No space left" in caplog.text
    assert machine.kept() == b"one"
    assert len(machine.copies) == 2


def test_a_failed_copy_leaves_no_half_of_it(machine: Machine) -> None:
    def fail() -> None:
        assert pathlib.Path(machine.folder.new_copy).exists()
        raise OSError(28, "No space left on device")

    machine.during = fail
    with pytest.raises(OSError, match="No space left"):
        machine.copier._make(machine.time)
    assert not pathlib.Path(machine.folder.new_copy).exists()


def test_a_copy_does_not_take_the_room_that_commits_need(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Folder, "size", lambda self: 1 << 60)
    with pytest.raises(OSError, match="twice the size"):
        machine.copier._make(machine.time)
    assert machine.copies == []


def test_nothing_is_copied_where_nothing_is_open(machine: Machine) -> None:
    machine.content = None
    machine.copier.written()
    machine.run()
    assert not os.path.exists(machine.folder.copy)
    assert not os.path.exists(machine.folder.new_copy)
    machine.content = b"one"
    machine.copier.written()
    machine.run()
    assert machine.kept() == b"one"


def wait_for(condition: t.Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_the_engine_makes_copies_beside_its_commits(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "EVERY", 0.02)
    path = tmp_path / "state"
    copy = path / "copy.mdb"
    store = LMDBSessionStore(path)
    locator = create(store, n=b"0")
    for number in range(1, 50):
        edit = Edit(b"%d" % number, 1 << 40)
        store.commit(locator, Change(items={"n": edit, "x": Edit(b"x" * 5000, 1 << 40)}), None)
    wait_for(lambda: copy.exists() and copy.stat().st_mtime > store._access.join()._copier._written)
    assert verify.inspect(str(copy)).sound
    assert copy.stat().st_mode & 0o777 == 0o600
    with lmdb.open(str(copy), subdir=False, readonly=True, lock=False) as env, env.begin() as txn:
        assert txn.get(b"s" + locator.encode() + b".n", b"").startswith(b"49")
    store.close()


def test_no_copies_are_made_where_commits_wait_for_the_disk(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Copier] = []
    monkeypatch.setattr(Copier, "written", told.append)
    store = LMDBSessionStore(tmp_path / "state", durability="disk")
    create(store, n=b"0")
    store.close()
    assert told == []
    assert not (tmp_path / "state" / "copy.mdb").exists()
