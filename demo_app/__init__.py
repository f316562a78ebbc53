"""A page that remembers its visitor: the smallest tour of server-side sessions."""

from __future__ import annotations

import os
import secrets
import typing as t
from pathlib import Path

from flask import Flask
from flask_wtf.csrf import CSRFProtect

from flask_state import FlaskState

from . import pages

state = FlaskState()
csrf = CSRFProtect()


def create_app(config: dict[str, t.Any] | None = None) -> Flask:
    """Make the application. It needs no configuration; `config` overrides what it has."""
    app = Flask(__name__)
    app.config.update(SESSION_COOKIE_SAMESITE="Lax", MAX_CONTENT_LENGTH=64 * 1024)
    app.config.from_prefixed_env()
    app.config.update(config or {})
    if not app.config["SECRET_KEY"]:
        app.config["SECRET_KEY"] = _kept_secret(Path(app.instance_path))
    state.init_app(app)
    csrf.init_app(app)
    app.register_blueprint(pages.bp)
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
