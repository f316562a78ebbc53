"""From events to signals, with the application as their sender."""

from __future__ import annotations

import logging
import typing as t

import flask

from .. import signals
from ..core.codec import Codec
from ..session.items import readable_values

logger: logging.Logger = logging.getLogger("flask_state.session")

_SIGNALS: t.Final = {
    "started": signals.session_started,
    "ended": signals.session_ended,
    "renewed": signals.session_renewed,
    "conflict": signals.session_conflict,
    "rejected": signals.session_rejected,
    "probed": signals.session_probed,
    "damaged": signals.session_damaged,
    "store_down": signals.store_down,
    "store_up": signals.store_up,
}


def send(app: flask.Flask, codec: Codec, event: str, **facts: t.Any) -> bool:
    """Send the signal of an event. What a receiver raises is raised here, but for ends.

    :return: whether every receiver returned.
    """
    signal = _SIGNALS[event]
    if not signal.has_receivers_for(app):
        return True
    if event != "ended":
        signal.send(app, _async_wrapper=app.ensure_sync, **facts)
        return True
    return _send_end(app, codec, facts)


def _send_end(app: flask.Flask, codec: Codec, facts: dict[str, t.Any]) -> bool:
    """Tell every receiver by itself: one that raises keeps nobody else from hearing."""
    items = facts.pop("items")
    good = True
    for receiver in signals.session_ended.receivers_for(app):
        try:
            with app.app_context():
                values = readable_values(codec, facts["handle"], items)
                app.ensure_sync(receiver)(app, items=values, **facts)
        except Exception:
            good = False
            logger.exception("A receiver of session_ended failed; it will be told again.")
    return good
