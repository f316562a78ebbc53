"""After an unclean stop the data is checked before it is used, and nothing is ever deleted."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess

import pytest

from flask_state.stores.base import DamagedRecord
from flask_state.stores.lmdb import boot
from flask_state.stores.lmdb import verify
from flask_state.stores.lmdb.sessions import LMDBSessionStore
from flask_state.testing.items import create
from flask_state.testing.items import values

from .broken import Damage
from .broken import another_boot
from .broken import aside
from .broken import behead
from .broken import copied
from .broken import empty
from .broken import in_use
from .broken import readable
from .broken import shred
from .broken import swap_values
from .broken import truncate
from .broken import written
from .forked import Numbers
from .forked import fork
from .forked import kill
from .forked import status_of

here = pytest.mark.usefixtures("checked_here")


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
