"""Whose directory it is, and what is refused."""

from __future__ import annotations

import os
import pathlib
import stat
import tempfile
import typing as t

import lmdb
import pytest

from flask_state.core.registry import open_sessions
from flask_state.errors import ConfigurationError
from flask_state.errors import StoreError
from flask_state.stores.lmdb.folder import Folder
from flask_state.stores.lmdb.sessions import LMDBSessionStore
from flask_state.testing import FakeClock
from flask_state.testing.items import create
from flask_state.testing.items import values

from .forked import fork
from .forked import status_of


def mode(path: pathlib.Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> t.Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_directory_and_files_are_for_their_user_alone(tmp_path: pathlib.Path, umask: int) -> None:
    path = tmp_path / "new" / "state"
    store = LMDBSessionStore(path)
    create(store, a=b"1")
    assert mode(path) == 0o700
    names = {each.name: mode(each) for each in path.iterdir()}
    assert {"data.mdb", "lock.mdb", "gate", "boot"} <= set(names)
    assert set(names.values()) == {0o600}
    store.close()


def test_files_that_others_can_read_are_closed_to_them(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "state"
    store = LMDBSessionStore(path)
    locator = create(store, a=b"1")
    store.close()
    for name in ("data.mdb", "lock.mdb"):
        (path / name).chmod(0o644)
    assert values(store, locator) == {"a": b"1"}
    assert {mode(path / name) for name in ("data.mdb", "lock.mdb")} == {0o600}
    store.close()


def refused(path: pathlib.Path) -> str:
    """What the store says of a directory it can't use."""
    store = LMDBSessionStore(path)
    with pytest.raises(ConfigurationError, match="STATE_URL") as caught:
        store.count()
    with pytest.raises(ConfigurationError):
        store.note("a", b"1")
    store.close()
    return str(caught.value)


@pytest.mark.parametrize("bits", [0o770, 0o707, 0o777, 0o1777])
def test_a_directory_that_others_can_write_to_is_refused(tmp_path: pathlib.Path, bits: int) -> None:
    path = tmp_path / "state"
    path.mkdir()
    path.chmod(bits)
    assert "other users" in refused(path)


def test_a_directory_that_others_can_read_is_taken(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "state"
    path.mkdir(mode=0o755)
    store = LMDBSessionStore(path)
    create(store, a=b"1")
    assert store.count() == 1
    store.close()


def test_links_and_other_files_are_refused(tmp_path: pathlib.Path) -> None:
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    link = tmp_path / "link"
    link.symlink_to(real, target_is_directory=True)
    assert "symbolic link" in refused(link)
    file = tmp_path / "file"
    file.touch()
    assert "not a directory" in refused(file)
    assert "can't be" in refused(file / "below")
    for name in ("data.mdb", "lock.mdb"):
        path = tmp_path / f"with-{name}"
        path.mkdir(mode=0o700)
        (path / name).symlink_to(file)
        assert "not a plain file" in refused(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_somebody_else_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "state"
    path.mkdir(mode=0o700)
    os.chown(path, 65534, 65534)
    assert "belongs to user 65534" in refused(path)
    path = tmp_path / "other"
    store = LMDBSessionStore(path)
    create(store, a=b"1")
    store.close()
    os.chown(path / "data.mdb", 65534, 65534)
    assert "data.mdb of user 65534" in refused(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_unwritable_place_is_refused() -> None:
    with tempfile.TemporaryDirectory() as name:
        parent = pathlib.Path(name)
        parent.chmod(0o755)
        own = parent / "own"
        own.mkdir(mode=0o500)
        os.chown(own, 65534, 65534)

        def work() -> None:
            os.setgid(65534)
            os.setuid(65534)
            assert "can't be made: Permission denied" in refused(parent / "state")
            assert "can't be written" in refused(own)

        assert status_of(fork(work)) == 0


def test_another_directory_is_made_where_one_was_removed(tmp_path: pathlib.Path) -> None:
    """Nobody should, but a process that goes on writing to what is gone helps nobody."""
    path = tmp_path / "state"
    store = LMDBSessionStore(path)
    locator = create(store, a=b"1")
    path.rename(tmp_path / "moved")
    opened = store._access.join()._opened
    assert opened is not None
    opened.look_at = 0.0
    assert values(store, locator) is None
    again = create(store, a=b"2")
    assert values(store, again) == {"a": b"2"}
    store.close()


def test_an_application_that_opens_the_data_itself_is_told(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "state"
    store = LMDBSessionStore(path)
    create(store, a=b"1")
    store.close()
    with lmdb.open(str(path)), pytest.raises(StoreError, match="by itself"):
        store.count()
    assert store.count() == 1
    store.close()


def test_less_address_space_is_taken_where_there_is_less(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []
    real = lmdb.open

    def scarce(path: str, map_size: int, **rest: t.Any) -> t.Any:
        tried.append(map_size >> 30)
        if map_size > 4 << 30:
            raise lmdb.MemoryError("no room")
        return real(path, map_size=map_size, **rest)

    monkeypatch.setattr(lmdb, "open", scarce)
    store = LMDBSessionStore(tmp_path / "state")
    create(store, a=b"1")
    assert tried == [1024, 256, 64, 16, 4]
    store.close()


def test_waiting_for_a_directory_has_an_end_and_says_why(tmp_path: pathlib.Path) -> None:
    folder = Folder(str(tmp_path / "state"))
    folder.prepare()
    says = f"process {os.getpid()} is opening"
    with folder.locked(0.1), pytest.raises(StoreError, match=says), folder.locked(0.02):
        raise AssertionError("two hold it")
    with folder.locked(0.0):
        pass


class TestURL:
    def test_it_names_an_absolute_path_and_options(self, tmp_path: pathlib.Path) -> None:
        url = f"lmdb://{tmp_path}/st%20ate?durability=disk&max_bytes=1000000"
        store = open_sessions(url, FakeClock())
        assert isinstance(store, LMDBSessionStore)
        create(store, a=b"1")
        assert (tmp_path / "st ate" / "data.mdb").exists()
        assert (store.engine, store.shared) == ("lmdb", "machine")
        store.close()

    @pytest.mark.parametrize(
        ("url", "says"),
        [
            ("lmdb://state/dir", "third slash"),
            ("lmdb://", "needs the path"),
            ("lmdb:///", "needs the path"),
            ("lmdb:///x?durability=none", "durability must be one of"),
            ("lmdb:///x?max_bytes=0", "max_bytes must be"),
            ("lmdb:///x?size=1", "no option 'size'"),
        ],
    )
    def test_mistakes_are_told_at_once(self, url: str, says: str) -> None:
        with pytest.raises(ConfigurationError, match=says):
            open_sessions(url, FakeClock())

    def test_a_store_made_by_hand_knows_two_durabilities(self) -> None:
        with pytest.raises(ConfigurationError, match="process or disk"):
            LMDBSessionStore("/nowhere", durability="none")
