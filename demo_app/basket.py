"""What is in the cart: a dict of numbers and quantities, inside the session."""

from __future__ import annotations

import typing as t

from flask_state import session

from .products import PRODUCTS
from .products import Product

MOST: t.Final = 20
"""Copies of one map in one order."""


class Line(t.NamedTuple):
    """One product in the cart."""

    product: Product
    quantity: int

    @property
    def cents(self) -> int:
        """What it costs, all copies together."""
        return self.product.cents * self.quantity


def lines() -> list[Line]:
    """What is in the cart, in the order in which it was put there."""
    cart = session.get("cart", {})
    return [Line(PRODUCTS[number], many) for number, many in cart.items() if number in PRODUCTS]


def total() -> int:
    """What it costs, in cents."""
    return sum(line.cents for line in lines())


def size() -> int:
    """How many things are in the cart."""
    return sum(line.quantity for line in lines())


def add(number: str, quantity: int) -> int:
    """Put so many more of a product into the cart, to `MOST` of them.

    The dict is inside the session, and changing it is all: nothing has to be marked.

    :return: how many there are now.
    """
    cart = session.setdefault("cart", {})
    cart[number] = min(MOST, cart.get(number, 0) + quantity)
    return int(cart[number])


def change(number: str, quantity: int) -> None:
    """Have so many of a product in the cart, or none of it. What isn't there stays away."""
    cart = session.get("cart", {})
    if quantity and number in cart:
        cart[number] = quantity
    else:
        cart.pop(number, None)
