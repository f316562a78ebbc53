"""URLs to engines. An engine is imported when it is first chosen."""

from __future__ import annotations

import dataclasses
import importlib
import re
import typing as t
from urllib.parse import parse_qsl
from urllib.parse import unquote
from urllib.parse import urlsplit

from ..errors import ConfigurationError
from .clock import Clock

SESSION_ENGINES: dict[str, str] = {
    "memory": "flask_state.stores.memory:open_sessions",
    "lmdb": "flask_state.stores.lmdb:open_sessions",
}
"""Schemes, and the function that makes a `SessionStore` of an `EngineURL` and a `Clock`."""

_ADAPTER: t.Final = "flask_state.stores.adapter:ByteSessionStore"
_IMPORT_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*\Z")


@dataclasses.dataclass(frozen=True, slots=True)
class EngineURL:
    """A parsed URL. Its text may hold a password and is never shown."""

    scheme: str
    host: str
    path: str
    options: dict[str, str]
    text: str = dataclasses.field(repr=False)

    def only(self, *known: str) -> None:
        """Refuse options that the engine doesn't have.

        :raise ConfigurationError: naming the option and those there are.
        """
        for name in self.options:
            if name not in known:
                offered = ", ".join(known) or "none"
                raise ConfigurationError(
                    f"{self.scheme}:// has no option {name!r}; its options are: {offered}"
                )

    def number(self, name: str, default: int) -> int:
        """An option that is a whole number above 0."""
        text = self.options.get(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or int(text) < 1:
            raise ConfigurationError(
                f"{self.scheme}://: {name} must be a whole number above 0, not {text!r}"
            )
        return int(text)

    def choice(self, name: str, *words: str) -> str:
        """An option that is one of these words, the first by default."""
        word = self.options.get(name, words[0])
        if word not in words:
            raise ConfigurationError(
                f"{self.scheme}://: {name} must be one of {', '.join(words)}, not {word!r}"
            )
        return word


def parse(url: str) -> EngineURL:
    """Take a URL apart.

    :raise ConfigurationError: where it has no scheme or names an option twice.
    """
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ConfigurationError("the URL of a store can't be parsed") from None
    if not parts.scheme:
        raise ConfigurationError("the URL of a store starts with a scheme, such as lmdb://")
    options = dict(pairs)
    if len(options) != len(pairs):
        raise ConfigurationError(f"the URL of {parts.scheme}:// names an option twice")
    host = parts.netloc.rpartition("@")[2]
    return EngineURL(parts.scheme, host, unquote(parts.path), options, url)


def open_sessions(url: t.Any, clock: Clock) -> t.Any:
    """Make the store that a URL chooses.

    :param url: a URL, an import path such as ``"package.module:factory"`` of something that
        is called with the clock, or a store, which is returned as it is.
    :raise ConfigurationError: where there is no such engine or its driver is not installed.
    """
    if not isinstance(url, str):
        return _as_session_store(url, clock)
    if _IMPORT_PATH.match(url):
        return _as_session_store(_imported(url)(clock), clock)
    parsed = parse(url)
    target = SESSION_ENGINES.get(parsed.scheme)
    if target is None:
        known = ", ".join(f"{scheme}://" for scheme in SESSION_ENGINES)
        raise ConfigurationError(
            f"no engine is called {parsed.scheme}://; there are {known} "
            "and import paths such as package.module:factory"
        )
    return _imported(target)(parsed, clock)


def _as_session_store(store: t.Any, clock: Clock) -> t.Any:
    """The store as it is, or the adapter around one that only keeps bytes."""
    if hasattr(store, "commit"):
        return store
    if hasattr(store, "get") and hasattr(store, "put"):
        return _imported(_ADAPTER)(store, clock=clock)
    raise ConfigurationError(
        f"a {type(store).__name__} is neither a SessionStore nor a ByteStore: "
        "see flask_state.stores.base for what they have to offer"
    )


def _imported(target: str) -> t.Any:
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{target} can't be imported: {error}") from error
