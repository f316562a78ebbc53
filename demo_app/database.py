"""The one SQLite file: who has an account, and what was ordered.

What a visitor is in the middle of (cart, checkout, last search) is in the session, not here.
"""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import os
import sqlite3

from flask import current_app

SCHEMA = """
CREATE TABLE IF NOT EXISTS user (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    password TEXT NOT NULL,
    admin INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS placed_order (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    user_id INTEGER REFERENCES user,
    placed REAL NOT NULL,
    address TEXT NOT NULL,
    lines TEXT NOT NULL,
    total INTEGER NOT NULL
);
"""


def create(path: str) -> None:
    """Make the file and its tables where they are missing."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with _opened(path) as connection:
        connection.executescript(SCHEMA)


def connected() -> contextlib.AbstractContextManager[sqlite3.Connection]:
    """A connection to the current application's file: committed, or undone by an error."""
    return _opened(current_app.config["SHOP_DATABASE"])


@contextlib.contextmanager
def _opened(path: str) -> cabc.Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, timeout=10)
    connection.row_factory = sqlite3.Row
    try:
        with connection:
            yield connection
    finally:
        connection.close()
