"""The demo, used as a visitor uses it."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import flask
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from demo_app import create_app


@pytest.fixture
def app(tmp_path: Path) -> flask.Flask:
    return create_app({"SECRET_KEY": "k" * 32, "STATE_URL": f"lmdb://{tmp_path}/state"})


@pytest.fixture
def client(app: flask.Flask) -> FlaskClient:
    return app.test_client()


def post(client: FlaskClient, path: str, **form: t.Any) -> TestResponse:
    """Send the form of the page, with its CSRF token."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/").text)
    assert token is not None
    data = {**form, "csrf_token": token[1]}
    return client.post(path, data=data, follow_redirects=True)


def test_a_visitor_signs_in_keeps_a_list_and_signs_out(client: FlaskClient) -> None:
    assert "Hello, visitor" in client.get("/").text
    before = client.get_cookie("session")
    page = post(client, "/sign-in", name="Ann <b>")
    assert "Hello, Ann &lt;b&gt;" in page.text
    after = client.get_cookie("session")
    assert before is not None
    assert after is not None
    assert before.value != after.value
    post(client, "/notes", note="milk")
    page = post(client, "/notes", note="bread")
    assert "<span>milk</span>" in page.text
    assert "<span>bread</span>" in page.text
    page = post(client, "/notes/0/remove")
    assert "<span>milk</span>" not in page.text
    assert "<span>bread</span>" in page.text
    page = post(client, "/sign-out")
    assert "Hello, visitor" in page.text
    assert "bread" not in page.text


def test_the_old_id_opens_nothing_after_the_sign_out(app: flask.Flask, client: FlaskClient) -> None:
    post(client, "/sign-in", name="Ann")
    cookie = client.get_cookie("session")
    assert cookie is not None
    post(client, "/sign-out")
    other = app.test_client()
    other.set_cookie("session", cookie.value)
    assert "Hello, visitor" in other.get("/").text


def test_a_session_survives_a_restart(app: flask.Flask, client: FlaskClient) -> None:
    post(client, "/sign-in", name="Ann")
    cookie = client.get_cookie("session")
    assert cookie is not None
    again = create_app({key: app.config[key] for key in ("SECRET_KEY", "STATE_URL")}).test_client()
    again.set_cookie("session", cookie.value)
    assert "Hello, Ann" in again.get("/").text


def test_the_page_says_where_it_is_kept_and_loads_nothing_from_elsewhere(
    client: FlaskClient, tmp_path: Path
) -> None:
    response = client.get("/")
    assert f"lmdb://{tmp_path}/state" in response.text
    assert "default-src 'self'" in response.headers["Content-Security-Policy"]
    assert "http://" not in response.text
    with client.get("/static/demo.css") as style:
        assert style.status_code == 200


@pytest.mark.parametrize("path", ["/sign-in", "/notes", "/notes/0/remove", "/sign-out"])
def test_a_form_without_its_token_is_refused(client: FlaskClient, path: str) -> None:
    assert client.post(path, data={"name": "x", "note": "x"}).status_code == 400


def test_odd_input_is_answered(client: FlaskClient) -> None:
    assert "Please say" in post(client, "/sign-in", name="  ").text
    assert post(client, "/notes", note="").status_code == 200
    assert post(client, "/notes/99/remove").status_code == 200
    assert post(client, "/notes", note="x" * 70_000).status_code == 413


def test_the_key_is_made_once_and_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from demo_app import _kept_secret

    folder = tmp_path / "instance"
    first = _kept_secret(folder)
    assert len(first) == 64
    assert _kept_secret(folder) == first
    assert (folder / "demo_secret_key").stat().st_mode & 0o077 == 0
