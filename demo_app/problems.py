"""What visitors see when something is wrong.

These pages touch no session: it may be the very thing that doesn't answer.
"""

from __future__ import annotations

from flask import Blueprint
from flask import Response
from flask import render_template
from werkzeug.exceptions import HTTPException

from .templating import secured

bp = Blueprint("problems", __name__)

TEXTS = {
    400: ("That form was too old", "Please go back, load the page again and send it once more."),
    403: ("This is not for you", "Only the administrator sees this page."),
    404: ("Not on any of our maps", "There is no such page. It may have moved, or never been."),
    405: ("Not that way", "This address is for a form, and can't be opened like a page."),
    409: ("Somebody was faster", "Another of your tabs, most likely. Please look again."),
    413: ("That was too much", "What you sent is larger than anything we ask for."),
    500: ("We lost our way", "Something is wrong on our side. Nothing you had was changed."),
    503: ("Please try again", "The shop is busy. Nothing is lost: wait a moment."),
}


@bp.app_errorhandler(HTTPException)
def page(error: HTTPException) -> Response:
    """Any error with a status, in the shop's look.

    `SessionLockTimeout` (another request of this session takes too long) and `StoreError` (the
    place where sessions are kept doesn't answer) are such errors, with status 503 and
    `Retry-After`. Where saving the session fails, this answer replaces one that was finished
    already: hence the headers, which it would otherwise be given on its way out.
    """
    response = Response(status=error.code, headers=error.get_headers())
    title, text = TEXTS.get(error.code or 500, (error.name, error.description or ""))
    response.set_data(render_template("problem.html", code=error.code, title=title, text=text))
    response.content_type = "text/html; charset=utf-8"
    return secured(response)
