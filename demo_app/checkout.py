"""The way to an order in three steps: address, review, done.

What was typed is in the session. So the server may be restarted between two steps, and a cart
filled before the sign-in can be paid after it.
"""

from __future__ import annotations

import secrets
import typing as t

from flask import Blueprint
from flask import flash
from flask import redirect
from flask import render_template
from flask import request
from flask import url_for
from flask_login import current_user
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response
from wtforms import StringField
from wtforms import TextAreaField
from wtforms.validators import DataRequired
from wtforms.validators import Length

from flask_state import session

from . import basket
from . import orders

bp = Blueprint("checkout", __name__, url_prefix="/checkout")

STEPS = ("Address", "Review", "Done")


class AddressForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    """Where the parcel goes."""

    name = StringField("Name", [DataRequired(), Length(max=80)])
    street = StringField("Street and number", [DataRequired(), Length(max=120)])
    postcode = StringField("Postcode", [DataRequired(), Length(max=12)])
    city = StringField("City", [DataRequired(), Length(max=80)])
    note = TextAreaField("A word to the packer (optional)", [Length(max=300)])


@bp.route("/address", methods=["GET", "POST"])
def address() -> str | Response:
    """Step one: where to send it."""
    if not basket.lines():
        return _nothing_to_buy()
    started = session.get("checkout", {})
    form = AddressForm(data=started.get("address"))
    if form.validate_on_submit():
        fields = {name: form[name].data.strip() for name in ("name", "street", "postcode", "city")}
        fields["note"] = (form.note.data or "").strip()
        session["checkout"] = {
            "key": started.get("key") or secrets.token_hex(16),
            "address": fields,
        }
        return redirect(url_for(".review"))
    return _step(0, "address.html", form=form)


@bp.get("/review")
def review() -> str | Response:
    """Step two: look at all of it."""
    if not basket.lines():
        return _nothing_to_buy()
    if "checkout" not in session:
        return redirect(url_for(".address"))
    return _step(1, "review.html", **session["checkout"])


@bp.post("/order")
def order() -> Response:
    """Order, once.

    A POST has the session to itself from its first touch to its save. So the second half of a
    double click waits for the first, finds the cart empty and its key among what was ordered,
    and shows the same order.
    """
    key = request.form.get("key", "")
    if session.get("order", {}).get("key") == key:
        return redirect(url_for(".done"))
    started, lines = session.get("checkout"), basket.lines()
    if not lines:
        return _nothing_to_buy()
    if started is None or started["key"] != key:
        return redirect(url_for(".address"))
    if request.form.get("total") != str(basket.total()):
        flash("Your cart has changed since you looked at it. Please look once more.")
        return redirect(url_for(".review"))
    user_id = current_user.get_id() if current_user.is_authenticated else None
    number = orders.place(key, user_id, started["address"], lines)
    session["order"] = {"key": key, "number": number}
    del session["cart"], session["checkout"]
    return redirect(url_for(".done"))


@bp.get("/done")
def done() -> str | Response:
    """Step three: the number of the order."""
    placed = orders.get(session["order"]["number"]) if "order" in session else None
    if placed is None:
        return redirect(url_for("cart.index"))
    return _step(2, "done.html", order=placed)


def _step(number: int, template: str, **values: t.Any) -> str:
    return render_template(
        f"checkout/{template}",
        steps=STEPS,
        step=number,
        lines=basket.lines(),
        total=basket.total(),
        **values,
    )


def _nothing_to_buy() -> Response:
    flash("Your cart is empty: there is nothing to order yet.")
    return redirect(url_for("cart.index"))
