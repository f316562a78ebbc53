"""The extension: wires the parts to an application, and nothing else."""

from __future__ import annotations

import collections.abc as cabc
import functools
import os
import typing as t
import weakref
from urllib.parse import quote

import flask

from .build import build
from .core import settings as settings_table
from .core.clock import Clock
from .core.clock import SystemClock
from .core.codec import Codec
from .core.settings import Settings
from .errors import ConfigurationError
from .session.access import Access
from .session.ids import Ids
from .session.sessions import Sessions
from .web import cli
from .web import login
from .web import signals
from .web.current import AppState
from .web.current import app_state
from .web.current import register
from .web.keys import AppKeys
from .web.sessions import StateSessionInterface
from .web.transport import CookieTransport
from .web.transport import Transport


class FlaskState:
    """Server-side sessions for a Flask application.

    Make one, call `init_app` on each application::

        state = FlaskState()
        state.init_app(app)

    :param app: an application to set up at once.
    :param codec: carries values; register types of your own with it.
    :param ids: makes and recognizes session ids.
    :param transport: carries ids between the client and the application.
    :param clock: tells the time; a `flask_state.testing.FakeClock` in tests.
    """

    session_interface_class: type[StateSessionInterface] = StateSessionInterface
    """Derive from it to choose cookie names and attributes per request, as with Flask's own."""

    def __init__(
        self,
        app: flask.Flask | None = None,
        *,
        codec: Codec | None = None,
        ids: Ids | None = None,
        transport: Transport | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.codec: Codec = codec or Codec()
        self._ids = ids or Ids()
        self._transport = transport or CookieTransport()
        self._clock = clock or SystemClock()
        if app is not None:
            self.init_app(app)

    @property
    def sessions(self) -> Sessions:
        """All sessions of the current application: find, count and end them."""
        return app_state().parts.sessions

    def init_app(self, app: flask.Flask) -> None:
        """Set up an application: its `session_interface`, from its `STATE_*` settings.

        The settings are read here, once; the parsed values are written back to `app.config`.
        They are listed, with defaults, in `flask_state.core.settings.Settings`. Nothing is
        opened before the first session is used.

        :raise ConfigurationError: where a setting is wrong or misspelt, or the application was
            set up before.
        """
        settings = settings_table.read(app.config)
        state = self._state_of(app, settings)
        register(app, state)
        app.config.update(state.written)
        check = functools.partial(_first_request, state=state)
        app.session_interface = self.session_interface_class(state, check)
        app.cli.add_command(cli.group)

    def _state_of(self, app: flask.Flask, settings: Settings) -> AppState:
        codec, reference = self.codec, weakref.ref(app)
        keys = AppKeys(app, self._clock)
        written = settings_table.as_config(settings)

        def living_app() -> flask.Flask:
            found = reference()
            if found is None:
                raise ConfigurationError("the application is gone")
            return found

        def notify(event: str, **facts: t.Any) -> bool:
            found = reference()
            return found is None or signals.send(found, codec, event, **facts)

        parts = build(
            settings,
            codec=codec,
            ids=self._ids,
            clock=self._clock,
            keyring=keys,
            idle_timeout=_idle_timeout(app.config, settings),
            session_url=lambda: _session_url(living_app(), settings, written),
            sweeps=lambda: not living_app().testing and flask.has_request_context(),
            notify=notify,
        )
        access = Access(settings.session_access)
        return AppState(settings, parts, self._transport, self._clock, written, access)


def _idle_timeout(config: flask.Config, settings: Settings) -> cabc.Callable[[], float]:
    """Asked for every session that is opened. Flask's setting is read when used, as Flask does."""
    if settings.session_idle_timeout is not None:
        fixed = settings.session_idle_timeout
        return lambda: fixed

    def idle_timeout() -> float:
        lifetime = config["PERMANENT_SESSION_LIFETIME"]
        number = isinstance(lifetime, int | float)
        return float(lifetime if number else lifetime.total_seconds())

    return idle_timeout


def _session_url(app: flask.Flask, settings: Settings, written: dict[str, t.Any]) -> t.Any:
    """Where sessions are kept. Asked at their first use, because TESTING may be set late."""
    url = settings.session_url if settings.session_url is not None else settings.url
    if url == "auto":
        path = os.path.join(os.path.abspath(app.instance_path), "state")
        url = "memory://" if app.testing else f"lmdb://{quote(path)}"
        key = "STATE_URL" if settings.session_url is None else "STATE_SESSION_URL"
        app.config[key] = written[key] = url
    return url


def _first_request(app: flask.Flask, *, state: AppState) -> None:
    """Compare the settings once more, and listen to what was imported since `init_app`.

    :raise ConfigurationError: where a key was changed since it was read.
    """
    for key, value in state.written.items():
        if app.config.get(key) != value:
            raise ConfigurationError(
                f"{key} was changed after init_app, which reads it once: "
                "set it before FlaskState.init_app(app) is called"
            )
    state.checked = True
    if state.settings.session_renew_at_login:
        login.connect(app)
