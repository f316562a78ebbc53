"""The signals of flask_state. The sender is the application; receivers take ``**extra`` too."""

from __future__ import annotations

import logging
import typing as t

import flask
from blinker import Namespace

from ..core import envelope
from ..core.codec import Codec
from ..errors import SerializationError
from ..stores.base import Item

logger = logging.getLogger("flask_state.session")

_signals = Namespace()

session_started = _signals.signal("session-started")
"""A session was stored for the first time. `handle`."""

session_ended = _signals.signal("session-ended")
"""A session has ended. `handle`; `reason`: ``"abandoned"``, ``"expired"``, ``"revoked"`` or
``"damaged"``; `owner`; `items`: its last values. Sent by the sweeper, outside of any request, at
least once: if a receiver raises, all of them are told again later. Let handlers bear that."""

session_renewed = _signals.signal("session-renewed")
"""A session has a new id. `handle`."""

session_conflict = _signals.signal("session-conflict")
"""Two requests met. `handle`; `reason`: ``"changed"``: the later change of `items` won;
``"passed"`` or ``"gone"``: the session was regenerated or ended meanwhile, and what this request
changed was dropped."""

session_rejected = _signals.signal("session-rejected")
"""A client presented an id that is none. `reason`: ``"unknown"`` (forged, expired or ended) or
``"malformed"``."""

session_damaged = _signals.signal("session-damaged")
"""A stored session could not be read and reads as empty. `handle`."""

store_down = _signals.signal("store-down")
"""The store failed; sent once per outage and process. `engine`, `operation`, `error`."""

store_up = _signals.signal("store-up")
"""The store answers again. `engine`."""

SIGNALS: t.Final = {
    "started": session_started,
    "ended": session_ended,
    "renewed": session_renewed,
    "conflict": session_conflict,
    "rejected": session_rejected,
    "damaged": session_damaged,
    "store_down": store_down,
    "store_up": store_up,
}


def send(app: flask.Flask, codec: Codec, event: str, **facts: t.Any) -> bool:
    """Send the signal of an event. What a receiver raises is raised here, but for ends.

    :return: whether every receiver returned.
    """
    signal = SIGNALS[event]
    if not signal.has_receivers_for(app):
        return True
    if event != "ended":
        signal.send(app, _async_wrapper=app.ensure_sync, **facts)
        return True
    return _send_end(app, codec, facts)


def _send_end(app: flask.Flask, codec: Codec, facts: dict[str, t.Any]) -> bool:
    """Tell every receiver by itself: one that raises keeps nobody else from hearing."""
    facts["items"] = _values(codec, facts["items"])
    good = True
    for receiver in session_ended.receivers_for(app):
        try:
            with app.app_context():
                app.ensure_sync(receiver)(app, **facts)
        except Exception:
            good = False
            logger.exception("A receiver of session_ended failed; it will be told again.")
    return good


def _values(codec: Codec, items: dict[str, Item]) -> dict[str, t.Any]:
    values = {}
    for name in sorted(items, key=lambda name: items[name].position):
        payload = envelope.unwrap_plain(items[name].value)
        try:
            if payload is not None:
                values[name] = codec.loads(payload)
        except SerializationError:
            logger.warning("An item of an ended session could not be read and is left out.")
    return values
