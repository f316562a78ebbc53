"""The source of this shop, one file at a time."""

from __future__ import annotations

import typing as t
from pathlib import Path

from flask import Blueprint
from flask import abort
from flask import render_template

from flask_state import session_access

from .highlight import highlighted

bp = Blueprint("source", __name__, url_prefix="/source")
session_access("off")(bp)  # the source is the same for everybody

_HERE = Path(__file__).parent

FILES: t.Final = {
    path.name: path for path in [*sorted(_HERE.glob("*.py")), *sorted(_HERE.glob("static/*.js"))]
}
"""All there is to be seen, by name. What comes in a URL is looked up here and nowhere else."""


@bp.get("")
def index() -> str:
    """All files, with what they say of themselves."""
    found = [(name, _first_sentence(path)) for name, path in FILES.items()]
    return render_template("source/index.html", files=found)


@bp.get("/<name>")
def show(name: str) -> str:
    """One file."""
    path = FILES.get(name)
    if path is None:
        abort(404)
    text = path.read_text(encoding="utf-8")
    return render_template("source/show.html", name=name, lines=highlighted(name, text))


def _first_sentence(path: Path) -> str:
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.strip('"/ ').replace("`", "")
