"""What an application has of flask_state, and the only place that looks it up."""

from __future__ import annotations

import dataclasses
import logging
import typing as t

import flask

from ..build import Parts
from ..core.settings import Settings
from ..errors import ConfigurationError
from .transport import Transport

if t.TYPE_CHECKING:
    from .sessions import Session

logger: logging.Logger = logging.getLogger("flask_state.session")

NAME: t.Final = "flask_state"


@dataclasses.dataclass(slots=True, weakref_slot=True, eq=False)
class AppState:
    """What one application has. It never holds the application."""

    settings: Settings
    parts: Parts
    transport: Transport
    late: dict[int, Session]
    """Sessions touched after their response left, by the identity of the context's `g`, from
    that touch to the context's teardown. Only the thread that runs a context touches its key."""
    written: dict[str, t.Any]
    """The `STATE_*` keys as they were written back to `app.config`."""
    checked: bool = False
    """Whether the first request compared them with `app.config` once more."""

    def save_late(self, app: flask.Flask, exc: BaseException | None = None, **extra: t.Any) -> None:
        """Save a session that was changed after its response left.

        Receives `request_tearing_down`, once there was such a session; before that, no request
        pays for it.
        """
        context = flask.g._get_current_object()
        session = self.late.pop(id(context), None)
        if session is None:
            return
        try:
            self.parts.manager.save(session, discard=exc is not None, refresh=False)
        except Exception:
            # The response has left: there is nobody to answer any more.
            logger.exception("Changes to a session after its response could not be saved.")


def register(app: flask.Flask, state: AppState) -> None:
    """Give an application its state.

    :raise ConfigurationError: where it has one.
    """
    if NAME in app.extensions:
        raise ConfigurationError(
            f"flask_state is set up on {app.name!r} already: call init_app once per application"
        )
    app.extensions[NAME] = state


def app_state(app: flask.Flask | None = None) -> AppState:
    """The state of an application, by default of the current one.

    :raise ConfigurationError: where `init_app` was not called on it.
    """
    found = app if app is not None else flask.current_app
    try:
        return t.cast(AppState, found.extensions[NAME])
    except KeyError:
        raise ConfigurationError(
            f"flask_state is not set up on {found.name!r}: call FlaskState().init_app(app)"
        ) from None
