"""What an application has of flask_state, and the only place that looks it up."""

from __future__ import annotations

import dataclasses
import typing as t

import flask

from ..build import Parts
from ..core.clock import Clock
from ..core.settings import Settings
from ..errors import ConfigurationError
from ..session.access import Access
from .transport import Transport

NAME: t.Final = "flask_state"


@dataclasses.dataclass(slots=True)
class AppState:
    """What one application has. It never holds the application."""

    settings: Settings
    parts: Parts
    transport: Transport
    clock: Clock
    written: dict[str, t.Any]
    """The `STATE_*` keys as they were written back to `app.config`."""
    access: Access
    """How views use the session that don't say so."""
    modes: dict[tuple[str | None, str], tuple[str, bool]] = dataclasses.field(default_factory=dict)
    """The access mode of each endpoint and method that used the session, and whether a use
    counts toward the idle timeout. Single operations on a dict: any thread may find it out."""
    watches_teardown: bool = False
    """Whether the end of requests is listened to: no request pays for it before it must be."""
    checked: bool = False
    """Whether the first request compared them with `app.config` once more."""


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
