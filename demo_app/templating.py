"""What every page needs: filters, the basket's size, and headers that keep strangers out."""

from __future__ import annotations

import typing as t
from datetime import UTC
from datetime import datetime
from urllib.parse import urlsplit

from flask import Flask
from flask import Response
from flask import current_app
from flask import request

from . import basket
from .products import CATEGORIES


def init_app(app: Flask) -> None:
    """Set up the application's templates and headers."""
    app.jinja_options = {**app.jinja_options, "trim_blocks": True, "lstrip_blocks": True}
    app.add_template_filter(money)
    app.add_template_filter(moment)
    app.context_processor(_names)
    app.after_request(secured)


def secured(response: Response) -> Response:
    """Nothing from elsewhere, nothing inline, and nothing of a visitor in anybody's cache."""
    headers = response.headers
    headers["Content-Security-Policy"] = (
        "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'; object-src 'none'"
    )
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "same-origin"
    if request.endpoint != "static":
        headers["Cache-Control"] = "no-store"
    return response


def money(cents: int) -> str:
    """An amount, as people write it."""
    return f"€\u202f{cents // 100}.{cents % 100:02}"


def moment(seconds: float) -> str:
    """A time given in seconds since 1970, for machines and for people who don't mind UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _names() -> dict[str, t.Any]:
    """Names for templates. Functions, so that a page that uses none touches no session."""
    return {
        "categories": CATEGORIES,
        "basket_size": basket.size,
        "engine_name": _engine_name,
        "source_name": f"{request.blueprint or 'problems'}.py",
    }


def _engine_name() -> str:
    """Where sessions are kept: the scheme alone, since a URL may hold a password."""
    config = current_app.config
    where = config["STATE_SESSION_URL"] or config["STATE_URL"]
    return urlsplit(where).scheme if isinstance(where, str) else type(where).__name__
