"""The application's secrets, as a keyring."""

from __future__ import annotations

import inspect
import typing as t
import weakref

import flask

from ..core.clock import Clock
from ..core.keyring import Keyring
from ..errors import ConfigurationError


class AppKeys:
    """The keyring of an application, made again when its secrets change.

    Applications set `SECRET_KEY` late, and may change it: so it is looked at whenever a key is
    needed. The last keyring is remembered; two threads may make it twice, to the same effect.
    """

    def __init__(self, app: flask.Flask, clock: Clock) -> None:
        self._config = app.config  # not the application, which nothing here keeps alive
        self._app = weakref.ref(app)
        own = inspect.getattr_static(type(app), "secret_key")
        self._in_config = own is inspect.getattr_static(flask.Flask, "secret_key")
        """Not where a subclass gives the key as an attribute of its own."""
        self._clock = clock
        self._last: tuple[t.Any, t.Any, Keyring] | None = None

    def __call__(self) -> Keyring:
        """The keyring.

        :raise ConfigurationError: where there is no key, or the fallbacks are not a list.
        """
        config = self._config
        secret = config["SECRET_KEY"] if self._in_config else self._attribute()
        fallbacks = config["SECRET_KEY_FALLBACKS"]
        last = self._last
        if last is not None and last[0] == secret and last[1] == fallbacks:
            return last[2]
        keyring = Keyring(_secrets(secret, fallbacks), self._clock)
        # A list may be changed in place later, so a copy is what it is compared with.
        seen = list(fallbacks) if isinstance(fallbacks, list) else fallbacks
        self._last = (secret, seen, keyring)
        return keyring

    def _attribute(self) -> t.Any:
        app = self._app()
        return app.secret_key if app is not None else None


def _secrets(secret: t.Any, fallbacks: t.Any) -> list[bytes]:
    if fallbacks is not None and not isinstance(fallbacks, list | tuple):
        raise ConfigurationError(
            "SECRET_KEY_FALLBACKS must be a list of keys; "
            f"a {type(fallbacks).__name__} would be taken apart into one-character keys"
        )
    # The newest fallback comes last in Flask's list; here it is looked at first.
    keys = [secret, *reversed(fallbacks or ())]
    if not secret or not all(isinstance(key, str | bytes) for key in keys):
        raise ConfigurationError("SECRET_KEY and its fallbacks must be str or bytes, and not empty")
    return [key.encode() if isinstance(key, str) else key for key in keys]
