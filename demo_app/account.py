"""Accounts: registration, sign-in, sign-out.

There is nothing about sessions to do at the sign-in: the session has a new id by itself, and
keeps the cart. Whoever knew the old id is left outside.
"""

from __future__ import annotations

from flask import Blueprint
from flask import flash
from flask import redirect
from flask import render_template
from flask import request
from flask import url_for
from flask_login import current_user
from flask_login import login_required
from flask_login import login_user
from flask_login import logout_user
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response
from wtforms import BooleanField
from wtforms import PasswordField
from wtforms import StringField
from wtforms.validators import DataRequired
from wtforms.validators import EqualTo
from wtforms.validators import Length

from flask_state import session

from . import orders
from . import users
from .extensions import login_manager

bp = Blueprint("account", __name__)

login_manager.user_loader(users.get)


class SignInForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    """Who somebody says to be."""

    name = StringField("Name", [DataRequired(), Length(max=40)])
    password = PasswordField("Password", [DataRequired(), Length(max=200)])
    stay = BooleanField("Keep me signed in when I close the browser")


class RegistrationForm(FlaskForm):  # type: ignore[misc]
    """A new account."""

    name = StringField("Name", [DataRequired(), Length(2, 40)])
    password = PasswordField("Password", [DataRequired(), Length(8, 200)])
    again = PasswordField("Password, once more", [EqualTo("password", "It isn't the same.")])


@bp.route("/register", methods=["GET", "POST"])
def register() -> str | Response:
    """Make an account, and sign in with it."""
    form = RegistrationForm()
    if form.validate_on_submit():
        user = users.register(*_typed(form))
        if user is not None:
            login_user(user)
            flash(f"Welcome, {user.name}." + (" You run this shop." if user.is_admin else ""))
            return redirect(own_path(request.args.get("next", "")))
        form.name.errors = ["Somebody else has this name."]
    return render_template("account/register.html", form=form)


@bp.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> str | Response:
    """Sign in, and go where one was going."""
    form = SignInForm()
    if form.validate_on_submit():
        user = users.authenticated(*_typed(form))
        if user is not None:
            login_user(user)
            session.permanent = form.stay.data
            flash(f"Good to see you, {user.name}. Your session has a new id, and all you had.")
            return redirect(own_path(request.args.get("next", "")))
        form.password.errors = ["There is no such name with this password."]
    return render_template("account/sign_in.html", form=form)


@bp.post("/sign-out")
def sign_out() -> Response:
    """End the session: what was in it is gone at once, whatever is still under way.

    The message begins a new one, under an id that has nothing to do with the old.
    """
    logout_user()
    session.abandon()
    flash("You are signed out. The old session is over, on the server too.")
    return redirect(url_for("catalogue.index"))


@bp.get("/account")
@login_required  # type: ignore[untyped-decorator]
def index() -> str:
    """What somebody has ordered."""
    return render_template("account/index.html", orders=orders.of_user(current_user.get_id()))


@login_manager.unauthorized_handler  # type: ignore[untyped-decorator]
def ask_to_sign_in() -> Response:
    """Instead of a page that needs an account. It flashes nothing: the page may be readonly."""
    wanted = request.full_path.rstrip("?") if request.method == "GET" else None
    return redirect(url_for("account.sign_in", next=wanted))


def _typed(form: RegistrationForm | SignInForm) -> tuple[str, str]:
    """The name, without spaces that nobody sees, and the password."""
    return " ".join((form.name.data or "").split()), form.password.data or ""


def own_path(wanted: str) -> str:
    """Where to go next: a path of this shop, or the catalogue where it leads elsewhere.

    Browsers read `\\` as `/` and drop tabs and line breaks, so that `/\\evil` is another site.
    """
    own = wanted.startswith("/") and not wanted.startswith("//")
    if own and wanted.isprintable() and "\\" not in wanted:
        return wanted
    return url_for("catalogue.index")
