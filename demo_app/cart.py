"""The cart: add, change the quantity, remove.

Every change is a POST, and a POST has the session to itself until it is saved (the access mode
`auto`): of two tabs that add something at the same moment, neither loses its map.
"""

from __future__ import annotations

import typing as t

from flask import Blueprint
from flask import abort
from flask import flash
from flask import redirect
from flask import render_template
from flask import url_for
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response
from wtforms import IntegerField
from wtforms.validators import InputRequired
from wtforms.validators import NumberRange

from . import basket
from .products import PRODUCTS
from .products import Product

bp = Blueprint("cart", __name__)


class QuantityForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    """How many. Zero takes a line out of the cart."""

    quantity = IntegerField(validators=[InputRequired(), NumberRange(0, basket.MOST)])


@bp.get("/cart")
def index() -> str:
    """What is in the cart."""
    return render_template(
        "cart/index.html", lines=basket.lines(), total=basket.total(), most=basket.MOST
    )


@bp.post("/cart/<number>/add")
def add(number: str) -> Response:
    """Put a product into the cart, or more of it."""
    product = _product(number)
    quantity = _quantity()
    if not quantity:
        return redirect(url_for("catalogue.product", number=number))
    if basket.add(number, quantity) == basket.MOST:
        flash(f"“{product.name}” is in your cart. {basket.MOST} copies are the most we sell.")
    else:
        flash(f"“{product.name}” is in your cart.")
    return redirect(url_for(".index"))


@bp.post("/cart/<number>/change")
def change(number: str) -> Response:
    """Have so many of it."""
    _product(number)
    quantity = _quantity()
    if quantity is not None:
        basket.change(number, quantity)
    return redirect(url_for(".index"))


@bp.post("/cart/<number>/remove")
def remove(number: str) -> Response:
    """Take it out of the cart. Twice is as good as once."""
    basket.change(number, 0)
    flash(f"“{_product(number).name}” was taken out of your cart.")
    return redirect(url_for(".index"))


def _product(number: str) -> Product:
    return PRODUCTS.get(number) or abort(404)


def _quantity() -> int | None:
    """The quantity of the form; None where it is no number that we sell, which is then said."""
    form = QuantityForm()
    if form.validate_on_submit():
        return t.cast(int, form.quantity.data)
    flash(f"Please choose a quantity between 1 and {basket.MOST}.")
    return None
