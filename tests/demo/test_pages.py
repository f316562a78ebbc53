"""What holds for every page: whole, strict, and honest about trouble."""

from __future__ import annotations

import html
import re
import threading
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import flask
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from demo_app import __main__ as hints
from demo_app import _kept_secret
from demo_app import create_app
from demo_app import orders
from demo_app import source
from flask_state import errors
from flask_state.stores.memory.sessions import MemorySessionStore
from tests.demo.page import Page
from tests.demo.visitor import begin_order
from tests.demo.visitor import copy_of
from tests.demo.visitor import register
from tests.demo.visitor import sign_in


class TestSource:
    def test_every_file_of_the_demo_and_no_other(self, client: FlaskClient) -> None:
        index = client.get("/source").text
        for name in source.FILES:
            assert f"/source/{name}" in index
            page = client.get(f"/source/{name}")
            assert page.status_code == 200
            shown = re.sub(r"<[^>]+>", "", page.text.partition("<pre>")[2].partition("</pre>")[0])
            text = source.FILES[name].read_text(encoding="utf-8")
            assert html.unescape(shown).splitlines() == text.splitlines()
        for name in ("catalogue.csv", "..%2Fpyproject.toml", "../pyproject.toml", "shop.css", "x"):
            assert client.get(f"/source/{name}").status_code == 404
        assert client.get("/source//etc/passwd").status_code == 404

    def test_each_page_links_to_its_own(self, client: FlaskClient) -> None:
        for path, name in {
            "/": "catalogue",
            "/cart": "cart",
            "/tabs": "tabs",
            "/x": "problems",
        }.items():
            assert f'href="/source/{name}.py">Source of this page' in client.get(path).text

    def test_it_asks_for_no_session(self, client: FlaskClient) -> None:
        client.get("/map/101")
        assert "Vary" not in client.get("/source/tabs.py").headers


PAGES: t.Final = (
    *("/", "/category/Islands", "/map/102", "/search", "/search?q=star", "/search?q=zzz"),
    *("/cart", "/checkout/address", "/checkout/review", "/checkout/done"),
    *("/sign-in?next=/", "/register", "/account", "/devices"),
    *("/tabs", "/tabs/by-hand/merge", "/admin", "/source", "/source/tabs.py"),
    *("/nowhere", "/sign-out"),
)


class TestEveryPage:
    def test_is_whole_and_strict(self, app: flask.Flask, client: FlaskClient) -> None:
        register(client, "Ada <b>")
        sign_in(app.test_client(), "Ada <b>")
        client.post("/checkout/order", data=begin_order(client))
        for at in ("a full cart", "an empty cart"):
            for path in PAGES:
                answer = client.get(path, follow_redirects=True)
                assert Page(answer.text).wrong == [], (path, at)
                assert "<b>" not in answer.text.replace("Cart <b>", "")
                assert "http://" not in answer.text
            if at == "a full cart":
                begin_order(client)
        for path in [*PAGES, "/static/shop.css", "/static/maps/101.svg", "/admin/numbers"]:
            with client.get(path) as file:
                policy = file.headers["Content-Security-Policy"]
                assert policy.startswith("default-src 'self'; img-src 'self' data:;")
                assert "unsafe" not in policy
                if not path.startswith("/static"):
                    assert file.headers["Cache-Control"] == "no-store"

    def test_a_form_without_its_token_is_refused(
        self, app: flask.Flask, client: FlaskClient
    ) -> None:
        register(client, "Ada")
        forms = [rule for rule in app.url_map.iter_rules() if "POST" in (rule.methods or ())]
        assert len(forms) >= 12
        for rule in forms:
            path = re.sub("<number>", "101", re.sub("<handle>", "abc", rule.rule))
            answer = client.post(path, data={"quantity": 1, "name": "x"})
            assert answer.status_code == 400, path
            assert "That form was too old" in answer.text
        assert "Hello, Ada" in client.get("/account").text


class BrokenStore(MemorySessionStore):
    """A store that can be broken."""

    broken: t.ClassVar[set[str]] = set()

    def load(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        self._fail("load")
        return super().load(*args, **kwargs)

    def commit(self, *args: t.Any, **kwargs: t.Any) -> t.Any:
        self._fail("commit")
        return super().commit(*args, **kwargs)

    def _fail(self, operation: str) -> None:
        if operation in self.broken:
            raise errors.StoreError("out of order", engine="memory", operation=operation)


class TestTrouble:
    def check(self, answer: TestResponse) -> None:
        assert answer.status_code == 503
        assert "Please try again" in answer.text
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert answer.headers["Cache-Control"] == "no-store"
        assert Page(answer.text).wrong == []

    @pytest.mark.parametrize("operation", ["load", "commit"])
    def test_a_store_that_fails_is_a_page_of_the_shop(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str
    ) -> None:
        database = f"{tmp_path}/shop.sqlite"
        app = create_app(
            {"SECRET_KEY": "k" * 32, "STATE_URL": BrokenStore(), "SHOP_DATABASE": database}
        )
        client = app.test_client()
        client.get("/map/101")
        monkeypatch.setattr(BrokenStore, "broken", {operation})
        self.check(client.get("/map/102"))
        assert client.get("/source").status_code == 200

    def test_a_session_that_is_busy_is_a_page_of_the_shop(
        self, config: dict[str, t.Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = create_app({**config, "STATE_SESSION_LOCK_WAIT": 0.05}).test_client()
        form = begin_order(client)
        place, begun, over = orders.place, threading.Event(), threading.Event()

        def slow_place(*values: t.Any) -> int:
            begun.set()
            assert over.wait(10)
            return place(*values)

        monkeypatch.setattr(orders, "place", slow_place)
        with ThreadPoolExecutor() as browser:
            ordering = browser.submit(client.post, "/checkout/order", data=form)
            assert begun.wait(10)
            self.check(copy_of(client).post("/cart/101/add", data={**form, "quantity": 1}))
            over.set()
            assert ordering.result().location == "/checkout/done"


def test_the_key_is_made_once_and_private(tmp_path: Path) -> None:
    folder = tmp_path / "instance"
    first = _kept_secret(folder)
    assert len(first) == 64
    assert _kept_secret(folder) == first
    assert (folder / "demo_secret_key").stat().st_mode & 0o077 == 0


def test_it_says_what_to_try(capsys: pytest.CaptureFixture[str]) -> None:
    hints.main(["http://127.0.0.1:8000/"])
    assert "http://127.0.0.1:8000/tabs" in capsys.readouterr().out
