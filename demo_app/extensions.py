"""The extensions, made once and set up for each application by `create_app`."""

from __future__ import annotations

from flask_login import LoginManager
from flask_wtf.csrf import CSRFProtect

from flask_state import FlaskState

state = FlaskState()
csrf = CSRFProtect()
login_manager = LoginManager()
