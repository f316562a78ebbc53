"""Data damaged on purpose."""

from __future__ import annotations

import os
import pathlib
import typing as t

import lmdb

from flask_state.stores.lmdb import boot
from flask_state.stores.lmdb.sessions import LMDBSessionStore
from flask_state.testing.items import create
from flask_state.testing.items import values

Damage = t.Callable[[pathlib.Path], None]


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
