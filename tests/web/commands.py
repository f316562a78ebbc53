"""The commands of `flask state`, run as a test runs them."""

from __future__ import annotations

import json
import typing as t

import flask
from click.testing import Result

from flask_state import session
from tests.web.conftest import Visitor

SAFE: t.Final = {
    "MAX_CONTENT_LENGTH": 1_000_000,
    "SESSION_COOKIE_SECURE": True,
    "SESSION_COOKIE_SAMESITE": "Lax",
}
"""Settings with which `check` finds nothing on a shared engine."""


def run(app: flask.Flask, *words: str, **options: t.Any) -> Result:
    """Run `flask state` with these words; a traceback fails the test."""
    result = app.test_cli_runner().invoke(args=["state", *words], **options)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def good(app: flask.Flask, *words: str, **options: t.Any) -> str:
    """The output of a command that must go well."""
    result = run(app, *words, **options)
    assert result.exit_code == 0, result.output
    return result.stdout


def objects(text: str) -> list[dict[str, t.Any]]:
    """What JSON lines say."""
    return [json.loads(line) for line in text.splitlines()]


def sign_in(app: flask.Flask, owner: str = "ann", **items: t.Any) -> str:
    """A new session, as its handle."""

    def body() -> str | None:
        session.update(items or {"user": owner})
        session.owner = owner
        return session.handle

    handle: str = Visitor(app).value(body, headers={"User-Agent": "Browser/1.0"})
    return handle
