"""The signals of flask_state. The sender is the application; receivers take ``**extra`` too."""

from __future__ import annotations

from blinker import NamedSignal
from blinker import Namespace

_signals = Namespace()

session_started: NamedSignal = _signals.signal("session-started")
"""A session was stored for the first time. `handle`."""

session_ended: NamedSignal = _signals.signal("session-ended")
"""A session has ended. `handle`; `reason`: ``"abandoned"``, ``"expired"``, ``"revoked"`` or
``"damaged"``; `owner`; `items`: its last values. Sent by the sweeper, outside of any request, at
least once: if a receiver raises, all of them are told again later. Let handlers bear that."""

session_renewed: NamedSignal = _signals.signal("session-renewed")
"""A session has a new id. `handle`."""

session_conflict: NamedSignal = _signals.signal("session-conflict")
"""Two requests met. `handle`; `reason`: ``"changed"``: the later change of `items` won;
``"passed"`` or ``"gone"``: the session was regenerated or ended meanwhile, and what this request
changed was dropped; ``"lost"``: its lease ran out and another request has it, and the answer is
`SessionConflict`."""

session_rejected: NamedSignal = _signals.signal("session-rejected")
"""A client presented an id that is none. `reason`: ``"unknown"`` (forged, expired or ended) or
``"malformed"``."""

session_probed: NamedSignal = _signals.signal("session-probed")
"""One address presented many ids that are none, `STATE_SESSION_PROBE_LIMIT` different ones within
a minute; sent once per minute and process. `address`; `count`: how many. Behind a proxy all
clients have its address, unless werkzeug's `ProxyFix` takes theirs from what the proxy says."""

session_damaged: NamedSignal = _signals.signal("session-damaged")
"""A stored session could not be read and reads as empty. `handle`."""

store_down: NamedSignal = _signals.signal("store-down")
"""The store failed; sent once per outage and process. `engine`, `operation`, `error`."""

store_up: NamedSignal = _signals.signal("store-up")
"""The store answers again. `engine`."""
