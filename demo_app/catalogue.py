"""The shelves: all maps by category, one map, search."""

from __future__ import annotations

from flask import Blueprint
from flask import abort
from flask import render_template
from flask import request

from flask_state import session

from . import basket
from .products import CATEGORIES
from .products import PRODUCTS
from .products import in_category
from .products import known
from .products import matching

bp = Blueprint("catalogue", __name__)

RECENT = 4
"""How many of the maps looked at are remembered."""

LONGEST_SEARCH = 60


@bp.get("/")
def index() -> str:
    """Everything there is, by category."""
    shelves = [(category, in_category(category)) for category in CATEGORIES]
    return _page("index.html", shelves=shelves)


@bp.get("/category/<name>")
def category(name: str) -> str:
    """One category."""
    products = in_category(name)
    if not products:
        abort(404)
    return _page("index.html", shelves=[(name, products)], current=name)


@bp.get("/map/<number>")
def product(number: str) -> str:
    """One map. It is remembered as the last one looked at."""
    found = PRODUCTS.get(number)
    if found is None:
        abort(404)
    seen = known(each for each in session.get("recent", []) if each != number)
    session["recent"] = [number, *(each.number for each in seen)][: RECENT + 1]
    return _page("product.html", product=found, most=basket.MOST, looked_at=seen[:RECENT])


@bp.get("/search")
def search() -> str:
    """The maps in which all words occur; without words, the last search once more."""
    words = request.args.get("q", session.get("last_search", ""))
    words = " ".join(words[:LONGEST_SEARCH].split())
    if words and words != session.get("last_search"):
        session["last_search"] = words
    return _page("search.html", words=words, found=matching(words) if words else [])


def _page(template: str, **values: object) -> str:
    values.setdefault("looked_at", known(session.get("recent", []))[:RECENT])
    return render_template(f"catalogue/{template}", **values)
