"""Every place where a Flask application can keep state.

The names of a first day are here. Errors are in `flask_state.errors`, signals in
`flask_state.signals`, helpers for tests in `flask_state.testing`.
"""

from __future__ import annotations

from . import errors
from . import signals
from .extension import FlaskState
from .session.access import session_access
from .web.sessions import Session
from .web.sessions import session

__all__ = ["FlaskState", "Session", "errors", "session", "session_access", "signals"]
