"""Looking around, filling a cart, ordering."""

from __future__ import annotations

import re
import threading
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import flask
import pytest
from flask.testing import FlaskClient

import demo_app
from demo_app import create_app
from demo_app import orders
from demo_app.products import CATEGORIES
from demo_app.products import PRODUCTS
from tests.demo.visitor import ADDRESS
from tests.demo.visitor import begin_order
from tests.demo.visitor import copy_of
from tests.demo.visitor import orders_placed
from tests.demo.visitor import post


class TestCatalogue:
    def test_there_are_24_maps_each_with_a_picture_that_runs_nothing(self) -> None:
        assert len(PRODUCTS) == 24
        assert len({each.name for each in PRODUCTS.values()}) == 24
        for each in PRODUCTS.values():
            assert each.category in CATEGORIES
            assert 0 < each.cents < 10_000
            picture = (Path(demo_app.__file__).parent / "static" / each.picture).read_text()
            assert re.findall(r"<script|<style| style=|href|\bon\w+=", picture) == []

    def test_categories_show_theirs_and_no_others(self, client: FlaskClient) -> None:
        page = client.get("/category/Skies").text
        assert "Comet Year" in page
        assert "Old Carrow" not in page
        assert client.get("/category/Oceans").status_code == 404

    def test_what_was_looked_at_is_remembered_the_last_first(self, client: FlaskClient) -> None:
        for number in ("101", "201", "101", "301"):
            client.get(f"/map/{number}")
        with client.session_transaction() as session:
            assert session["recent"] == ["301", "101", "201"]
        assert client.get("/map/999").status_code == 404
        assert "Hethery" in client.get("/map/301").text

    def test_the_last_search_is_remembered(self, client: FlaskClient) -> None:
        assert "1 map for “LIGHTHOUSES”" in client.get("/search?q=LIGHTHOUSES").text
        assert "Isle of Lanterns" in client.get("/search").text
        assert "Back to your search for “LIGHTHOUSES”" in client.get("/").text
        assert "Nothing for “&lt;b&gt;”" in client.get("/search?q=<b>").text
        assert len(client.get("/search?q=" + "x" * 5000).text) < 5000


class TestCart:
    def test_add_change_remove(self, client: FlaskClient) -> None:
        assert "There is nothing in it yet" in client.get("/cart").text
        post(client, "/cart/101/add", {"quantity": 2})
        page = post(client, "/cart/404/add", {"quantity": 1}).text
        assert "€\u202f93.00" in page
        page = post(client, "/cart/101/change", {"quantity": 5}).text
        assert "€\u202f165.00" in page
        page = post(client, "/cart/101/remove", {}).text
        assert "€\u202f165.00" not in page
        assert (
            "There is nothing in it yet" in post(client, "/cart/404/change", {"quantity": 0}).text
        )
        assert post(client, "/cart/404/change", {"quantity": 3}).status_code == 200
        assert "There is nothing in it yet" in client.get("/cart").text

    @pytest.mark.parametrize("quantity", ["-1", "1e9", "1000000000", "three", "", "1.5", "21"])
    def test_a_quantity_that_is_none_changes_nothing(
        self, client: FlaskClient, quantity: str
    ) -> None:
        post(client, "/cart/101/add", {"quantity": 2})
        for path in ("/cart/101/add", "/cart/101/change"):
            assert "Please choose a quantity" in post(client, path, {"quantity": quantity}).text
        with client.session_transaction() as session:
            assert session["cart"] == {"101": 2}

    def test_there_is_a_most(self, client: FlaskClient) -> None:
        post(client, "/cart/101/add", {"quantity": 15})
        assert "20 copies are the most" in post(client, "/cart/101/add", {"quantity": 15}).text

    @pytest.mark.parametrize("verb", ["add", "change", "remove"])
    def test_an_unknown_map_is_not_found(self, client: FlaskClient, verb: str) -> None:
        assert post(client, f"/cart/999/{verb}", {"quantity": 1}).status_code == 404


class TestCheckout:
    def test_three_steps_to_one_order(self, app: flask.Flask, client: FlaskClient) -> None:
        form = begin_order(client)
        page = client.post("/checkout/order", data=form, follow_redirects=True).text
        assert "ISO-00001" in page
        assert "€\u202f64.00" in page
        assert "There is nothing in it yet" in client.get("/cart").text
        assert "ISO-00001" in client.get("/checkout/done").text
        assert orders_placed(app) == 1

    def test_each_step_needs_the_one_before(self, client: FlaskClient) -> None:
        for path in ("/checkout/address", "/checkout/review", "/checkout/done"):
            assert client.get(path).location == "/cart"
        assert "nothing to order" in post(client, "/checkout/order", {"key": "x"}).text
        post(client, "/cart/101/add", {"quantity": 1})
        assert client.get("/checkout/review").location == "/checkout/address"
        form = {"key": "x", "total": "2400"}
        assert post(client, "/checkout/order", form, follow=False).location == "/checkout/address"

    @pytest.mark.parametrize("field", [*ADDRESS, "note"])
    def test_an_address_too_long_is_not_taken(self, client: FlaskClient, field: str) -> None:
        post(client, "/cart/101/add", {"quantity": 1})
        page = post(client, "/checkout/address", {**ADDRESS, field: "x" * 1000}).text
        assert "cannot be longer" in page
        assert client.get("/checkout/review").location == "/checkout/address"
        assert post(client, "/checkout/address", {"note": "x" * 70_000}).status_code == 413

    def test_a_cart_that_has_changed_is_shown_once_more(
        self, app: flask.Flask, client: FlaskClient
    ) -> None:
        form = begin_order(client)
        post(client, "/cart/303/add", {"quantity": 1})
        page = client.post("/checkout/order", data=form, follow_redirects=True).text
        assert "Your cart has changed" in page
        assert orders_placed(app) == 0

    def test_an_order_sent_twice_at_once_is_one_order(
        self, app: flask.Flask, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        form = begin_order(client)
        begun, placed, both_are_here = [], [], threading.Event()
        place = orders.place

        def begins(sender: flask.Flask, **extra: t.Any) -> None:
            begun.append(1)
            if len(begun) == 2:
                both_are_here.set()

        def slow_place(*values: t.Any) -> int:
            placed.append(values)
            assert both_are_here.wait(10)
            return place(*values)

        monkeypatch.setattr(orders, "place", slow_place)
        with flask.request_started.connected_to(begins, app), ThreadPoolExecutor() as browser:
            clicks = [
                browser.submit(copy_of(client).post, "/checkout/order", data=form) for _ in range(2)
            ]
            assert [click.result().location for click in clicks] == ["/checkout/done"] * 2
        assert len(placed) == orders_placed(app) == 1

    def test_a_key_is_good_for_one_order_though_the_session_was_never_saved(
        self, app: flask.Flask, client: FlaskClient
    ) -> None:
        form = begin_order(client)
        with app.app_context():
            number = orders.place(form["key"], None, ADDRESS, [])
        page = client.post("/checkout/order", data=form, follow_redirects=True).text
        assert f"ISO-{number:05}" in page
        assert orders_placed(app) == 1

    @pytest.mark.parametrize("config", ["lmdb"], indirect=True)
    def test_a_restart_in_the_middle_loses_nothing(
        self, config: dict[str, t.Any], client: FlaskClient
    ) -> None:
        form = begin_order(client)
        later = copy_of(client, create_app(config))
        assert "Ringhaven" in later.get("/checkout/review").text
        assert "12 Square" in later.get("/checkout/address").text
        assert "ISO-00001" in later.post("/checkout/order", data=form, follow_redirects=True).text
