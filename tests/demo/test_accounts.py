"""Accounts, the devices somebody is signed in on, and the administrator."""

from __future__ import annotations

import re

import flask
import pytest
from flask.testing import FlaskClient

from demo_app.useragents import browser_name
from tests.demo.visitor import PASSWORD
from tests.demo.visitor import begin_order
from tests.demo.visitor import copy_of
from tests.demo.visitor import hidden
from tests.demo.visitor import post
from tests.demo.visitor import register
from tests.demo.visitor import sign_in


class TestAccount:
    def test_the_sign_in_gives_a_new_id_and_keeps_the_cart(
        self, app: flask.Flask, client: FlaskClient
    ) -> None:
        register(app.test_client(), "Ada")
        post(client, "/cart/101/add", {"quantity": 3})
        before = copy_of(client)
        assert "Good to see you, Ada" in sign_in(client, " ada ", stay="y").text
        assert "Hethery" in client.get("/cart").text
        assert "There is nothing in it yet" in before.get("/cart").text
        assert before.get("/account").status_code == 302
        cookie = client.get_cookie("session")
        assert cookie is not None
        assert cookie.expires is not None  # it was asked to stay

    def test_sign_out_ends_the_session(self, client: FlaskClient) -> None:
        register(client, "Ada")
        post(client, "/cart/101/add", {"quantity": 3})
        before = copy_of(client)
        assert "You are signed out" in post(client, "/sign-out", {}).text
        for each in (client, before):
            assert each.get("/account").status_code == 302
            assert "There is nothing in it yet" in each.get("/cart").text

    def test_wrong_input_is_answered(self, client: FlaskClient) -> None:
        register(client, "Ada")
        post(client, "/sign-out", {})
        form = {"name": "Ada", "password": "wrong"}
        assert "no such name" in post(client, "/sign-in", form).text
        assert "no such name" in post(client, "/sign-in", {**form, "name": "Bob"}).text
        assert "required" in post(client, "/sign-in", {}).text
        assert "Somebody else has this name" in register(client, "ADA").text
        short = {"name": "Eve", "password": "short", "again": "else"}
        page = post(client, "/register", short).text
        assert "It isn&#39;t the same" in page
        assert "between 8 and 200" in page
        assert register(client, "x" * 100).status_code == 200
        assert client.get("/account").status_code == 302

    @pytest.mark.parametrize(
        "next",
        ["//evil", "https://evil", "/\\evil", "/\t/evil", "\\\\evil", "javascript:x", "evil", ""],
    )
    def test_the_sign_in_leads_nowhere_else(self, client: FlaskClient, next: str) -> None:
        form = {"name": "Ada", "password": PASSWORD, "again": PASSWORD}
        form["csrf_token"] = hidden(client.get("/register").text, "csrf_token")
        answer = client.post("/register", query_string={"next": next}, data=form)
        assert answer.location == "/"

    def test_the_sign_in_leads_where_one_was_going(self, client: FlaskClient) -> None:
        assert client.get("/devices").location == "/sign-in?next=/devices"
        assert "Your devices" in register(client, "Ada", next="/devices").text

    def test_orders_are_listed_for_their_owner_alone(
        self, app: flask.Flask, client: FlaskClient
    ) -> None:
        register(client, "Ada")
        client.post("/checkout/order", data=begin_order(client))
        assert "<li>Ringhaven" in client.get("/account").text
        other = app.test_client()
        assert "Ringhaven" not in register(other, "Bob", next="/account").text


class TestDevices:
    def test_one_and_all_others_can_be_ended(self, app: flask.Flask, client: FlaskClient) -> None:
        register(client, "Ada")
        phones = [app.test_client() for _ in range(3)]
        for phone in phones:
            sign_in(phone, "Ada")
        page = client.get("/devices").text
        assert page.count("A test client") >= 4
        assert page.count("This device") == 1
        handles = re.findall(r'action="/devices/(\w+)/end"', page)
        assert "is signed out" in post(client, f"/devices/{handles[0]}/end", {}).text
        assert [phone.get("/devices").status_code for phone in phones].count(302) == 1
        assert "Signed out elsewhere: 2" in post(client, "/devices/end-others", {}).text
        assert {phone.get("/devices").status_code for phone in phones} == {302}
        assert "No other device" in post(client, "/devices/end-others", {}).text

    def test_this_one_and_other_peoples_can_not(
        self, app: flask.Flask, client: FlaskClient
    ) -> None:
        register(client, "Ada")
        mallory = app.test_client()
        register(mallory, "Mallory")
        found = re.search(r"<code>(\w{10})</code>", client.get("/devices").text)
        assert found is not None
        handle = found[1]
        assert post(mallory, f"/devices/{handle}/end", {}).status_code == 404
        assert post(mallory, "/devices/no-handle/end", {}).status_code == 404
        assert post(mallory, "/devices/end-others", {}).status_code == 200
        assert "That is this device" in post(client, f"/devices/{handle}/end", {}).text
        assert client.get("/devices").status_code == 200

    @pytest.mark.parametrize(
        ("said", "short"),
        [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0", "Firefox on Linux"),
            ("Mozilla/5.0 (Windows NT 10.0) Chrome/140 Safari/537.36 Edg/140", "Edge on Windows"),
            ("Mozilla/5.0 (iPhone; like Mac OS X) Version/19 Safari/604.1", "Safari on iPhone"),
            ("<script>", "An unknown browser"),
            ("", "An unknown browser"),
        ],
    )
    def test_browsers_have_short_names(self, said: str, short: str) -> None:
        assert browser_name(said) == short


class TestAdmin:
    def test_the_first_who_registers_and_nobody_else(
        self, app: flask.Flask, client: FlaskClient
    ) -> None:
        assert client.get("/admin").location == "/sign-in?next=/admin"
        page = register(client, "Ada", next="/admin").text  # with a message that has to wait
        assert "The newest" in page
        assert "You run this shop" in client.get("/").text
        numbers = client.get("/admin/numbers").json
        assert numbers is not None
        assert numbers["active"] == 1
        assert numbers["renewed"] == 1
        other = app.test_client()
        register(other, "Bob")
        for path in ("/admin", "/admin/numbers"):
            assert other.get(path).status_code == 403
            assert app.test_client().get(path).status_code == 302
        assert "Bob" in client.get("/admin").text
