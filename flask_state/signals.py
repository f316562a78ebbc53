"""The signals of flask_state. See `flask_state.web.signals` for what each one carries."""

from __future__ import annotations

from .web.signals import session_conflict
from .web.signals import session_damaged
from .web.signals import session_ended
from .web.signals import session_rejected
from .web.signals import session_renewed
from .web.signals import session_started
from .web.signals import store_down
from .web.signals import store_up

__all__ = [
    "session_conflict",
    "session_damaged",
    "session_ended",
    "session_rejected",
    "session_renewed",
    "session_started",
    "store_down",
    "store_up",
]
