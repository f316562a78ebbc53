"""The demo shop on each engine, and somebody who visits it."""

from __future__ import annotations

import typing as t
from pathlib import Path

import flask
import pytest
from flask.testing import FlaskClient

from demo_app import create_app


@pytest.fixture(params=["memory", "lmdb"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, t.Any]:
    """What an application of the test is made of."""
    urls = {"memory": "memory://", "lmdb": f"lmdb://{tmp_path}/state"}
    return {
        "TESTING": True,
        "SECRET_KEY": "k" * 32,
        "STATE_URL": urls[request.param],
        "SHOP_DATABASE": f"{tmp_path}/shop.sqlite",
    }


@pytest.fixture
def app(config: dict[str, t.Any]) -> flask.Flask:
    return create_app(config)


@pytest.fixture
def client(app: flask.Flask) -> FlaskClient:
    return app.test_client()
