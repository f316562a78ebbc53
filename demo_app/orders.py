"""Orders: what was bought, kept for good."""

from __future__ import annotations

import collections.abc as cabc
import json
import time
import typing as t

from .basket import Line
from .database import connected


class Order(t.NamedTuple):
    """An order, as its buyer sees it."""

    number: int
    placed: float
    total: int
    lines: list[dict[str, t.Any]]

    @property
    def label(self) -> str:
        """The number, as people write it."""
        return f"ISO-{self.number:05}"


def place(key: str, user_id: str | None, address: cabc.Mapping[str, str], lines: list[Line]) -> int:
    """Order these products.

    :param key: made once per checkout. The same key again is the same order, not a second one:
        that is for a server that is killed between the order and the save of the session.
    :return: the number of the order.
    """
    bought = [
        {"name": line.product.name, "quantity": line.quantity, "cents": line.cents}
        for line in lines
    ]
    total = sum(line.cents for line in lines)
    values = (key, user_id, time.time(), json.dumps(dict(address)), json.dumps(bought), total)
    with connected() as connection:
        connection.execute(
            "INSERT INTO placed_order (key, user_id, placed, address, lines, total) "
            "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
            values,
        )
        row = connection.execute("SELECT number FROM placed_order WHERE key = ?", (key,)).fetchone()
    return int(row["number"])


def get(number: int) -> Order | None:
    """One order; None where there is none."""
    with connected() as connection:
        row = connection.execute(
            "SELECT number, placed, total, lines FROM placed_order WHERE number = ?", (number,)
        ).fetchone()
    return _order(row) if row is not None else None


def of_user(user_id: str) -> list[Order]:
    """What somebody has ordered, the newest first."""
    with connected() as connection:
        rows = connection.execute(
            "SELECT number, placed, total, lines FROM placed_order WHERE user_id = ? "
            "ORDER BY number DESC LIMIT 50",
            (user_id,),
        ).fetchall()
    return [_order(row) for row in rows]


def _order(row: cabc.Mapping[str, t.Any]) -> Order:
    return Order(row["number"], row["placed"], row["total"], json.loads(row["lines"]))
