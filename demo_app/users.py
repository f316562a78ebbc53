"""Accounts: who may sign in. Flask-Login asks here who somebody is."""

from __future__ import annotations

import functools
import sqlite3
import typing as t

from flask_login import UserMixin
from werkzeug.security import check_password_hash
from werkzeug.security import generate_password_hash

from .database import connected


class User(UserMixin):  # type: ignore[misc]  # Flask-Login has no types
    """Somebody with an account."""

    def __init__(self, row: sqlite3.Row) -> None:
        self.id: int = row["id"]
        self.name: str = row["name"]
        self.is_admin = bool(row["admin"])


def get(user_id: str) -> User | None:
    """The user with this id."""
    row = _row("SELECT * FROM user WHERE id = ?", user_id)
    return User(row) if row is not None else None


def register(name: str, password: str) -> User | None:
    """Make an account. The first one of all is the administrator's.

    :return: the new user; None where the name is taken.
    """
    try:
        with connected() as connection:
            cursor = connection.execute(
                "INSERT INTO user (name, password, admin) "
                "VALUES (?, ?, (SELECT count(*) = 0 FROM user))",
                (name, generate_password_hash(password)),
            )
    except sqlite3.IntegrityError:
        return None
    return get(str(cursor.lastrowid))


def authenticated(name: str, password: str) -> User | None:
    """The user of this name, if the password is right.

    An unknown name takes as long as a wrong password, so that the time tells no names.
    """
    row = _row("SELECT * FROM user WHERE name = ?", name)
    right = check_password_hash(row["password"] if row is not None else _nobody(), password)
    return User(row) if row is not None and right else None


def names() -> dict[str, str]:
    """The names of all users, by id."""
    with connected() as connection:
        return {str(row["id"]): row["name"] for row in connection.execute("SELECT * FROM user")}


@functools.cache
def _nobody() -> str:
    return generate_password_hash("nobody's")


def _row(query: str, value: str) -> sqlite3.Row | None:
    with connected() as connection:
        return t.cast("sqlite3.Row | None", connection.execute(query, (value,)).fetchone())
