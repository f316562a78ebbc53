"""What visitors of the shop do again and again."""

from __future__ import annotations

import re
import typing as t

import flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from demo_app import database

ADDRESS: t.Final = {"name": "Ada", "street": "12 Square", "postcode": "SW1", "city": "London"}
PASSWORD: t.Final = "correct horse"


def hidden(page: str, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'name="{name}"[^>]* value="([^"]+)"', page)
    assert found is not None, page
    return found[1]


def post(
    client: FlaskClient, path: str, form: dict[str, t.Any], follow: bool = True
) -> TestResponse:
    """Send a form, with the CSRF token of this session."""
    token = hidden(client.get("/map/101").text, "csrf_token")
    return client.post(path, data={**form, "csrf_token": token}, follow_redirects=follow)


def register(client: FlaskClient, name: str, next: str = "/") -> TestResponse:
    form = {"name": name, "password": PASSWORD, "again": PASSWORD}
    return post(client, f"/register?next={next}", form)


def sign_in(client: FlaskClient, name: str, **more: str) -> TestResponse:
    return post(client, "/sign-in", {"name": name, "password": PASSWORD, **more})


def copy_of(client: FlaskClient, app: flask.Flask | None = None) -> FlaskClient:
    """Another tab of the same browser, or the same browser at a restarted server."""
    cookie = client.get_cookie("session")
    assert cookie is not None
    other = (app or client.application).test_client()
    other.set_cookie("session", cookie.value)
    return other


def begin_order(client: FlaskClient) -> dict[str, str]:
    """Fill the cart, give an address; returns the form of the review."""
    post(client, "/cart/303/add", {"quantity": 2})
    page = post(client, "/checkout/address", ADDRESS).text
    assert "Is this right?" in page
    return {name: hidden(page, name) for name in ("csrf_token", "key", "total")}


def orders_placed(app: flask.Flask) -> int:
    with app.app_context(), database.connected() as connection:
        return int(connection.execute("SELECT count(*) FROM placed_order").fetchone()[0])
