"""Isoline: a small shop of maps, whose every page leans on a server-side session."""

from __future__ import annotations

import os
import secrets
import typing as t
from pathlib import Path

from flask import Flask

from . import account
from . import admin
from . import cart
from . import catalogue
from . import checkout
from . import database
from . import devices
from . import problems
from . import source
from . import tabs
from . import templating
from .extensions import csrf
from .extensions import login_manager
from .extensions import state

FEATURES = (catalogue, cart, checkout, account, devices, tabs, admin, source, problems)


def create_app(config: dict[str, t.Any] | None = None) -> Flask:
    """Make the application. It needs no configuration; `config` overrides what it has."""
    app = Flask(__name__)
    app.config.update(
        SESSION_COOKIE_SAMESITE="Lax",
        # A phone changes its address all day; and a readonly view could not take note of it.
        SESSION_PROTECTION=None,
        MAX_CONTENT_LENGTH=64 * 1024,
        SHOP_DATABASE=os.path.join(app.instance_path, "shop.sqlite"),
    )
    app.config.from_prefixed_env()
    app.config.update(config or {})
    if not app.config["SECRET_KEY"]:
        app.config["SECRET_KEY"] = _kept_secret(Path(app.instance_path))
    state.init_app(app)
    csrf.init_app(app)
    login_manager.init_app(app)
    database.create(app.config["SHOP_DATABASE"])
    templating.init_app(app)
    for feature in FEATURES:
        app.register_blueprint(feature.bp)
    return app


def _kept_secret(folder: Path) -> str:
    """A key of this installation's own, so that sessions survive a restart of the demo."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "demo_secret_key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text()
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex())
    return path.read_text()
