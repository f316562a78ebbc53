"""What the shop sells: read from `catalogue.csv`, never changed while it runs."""

from __future__ import annotations

import csv
import typing as t
from pathlib import Path


class Product(t.NamedTuple):
    """One map."""

    number: str
    name: str
    cents: int
    category: str
    description: str

    @property
    def picture(self) -> str:
        """Its picture, below `static`."""
        return f"maps/{self.number}.svg"


def _read() -> dict[str, Product]:
    path = Path(__file__).with_name("catalogue.csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {row["number"]: Product(**{**row, "cents": int(row["cents"])}) for row in rows}  # type: ignore[arg-type]


PRODUCTS: t.Final = _read()
"""By number, in the order of the file."""

CATEGORIES: t.Final = tuple(dict.fromkeys(each.category for each in PRODUCTS.values()))


def in_category(category: str) -> list[Product]:
    """The products of a category; none where there is no such category."""
    return [each for each in PRODUCTS.values() if each.category == category]


def matching(words: str) -> list[Product]:
    """The products in whose name, category or description every word occurs."""
    wanted = words.casefold().split()
    return [each for each in PRODUCTS.values() if all(word in _text(each) for word in wanted)]


def known(numbers: t.Iterable[str]) -> list[Product]:
    """The products with these numbers, without those that there aren't (any more)."""
    return [PRODUCTS[number] for number in numbers if number in PRODUCTS]


def _text(product: Product) -> str:
    return f"{product.name} {product.category} {product.description}".casefold()
