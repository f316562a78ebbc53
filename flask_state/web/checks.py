"""What `flask state check` finds out about an application."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import os
import typing as t

import flask

from ..core.keyring import MIN_SECRET_BYTES
from ..errors import ConfigurationError
from .current import AppState
from .keys import AppKeys

_WORKER_TIMEOUT: t.Final = 30.0
"""Seconds after which gunicorn kills a worker that doesn't answer; others are much alike."""
_LONGEST_LIFETIME: t.Final = dt.timedelta(days=31)

_REACH: t.Final = {
    "machine": "all workers of this machine share them; a second machine would have its own",
    "network": "all workers of all machines that reach it share them",
}


class Finding(t.NamedTuple):
    """One thing that was looked at."""

    good: bool
    about: str
    """A key of the configuration, or the part that was looked at."""
    text: str
    """How it is; where that is not good, what to do."""


Findings = cabc.Iterator[Finding]


def findings(app: flask.Flask, state: AppState) -> Findings:
    """All findings, in the order in which they should be read."""
    yield from _keys(app, state)
    yield from _cookie(app.config)
    yield from _limits(app, state)
    yield from _store(state)


def _either(good: object, about: str, text: str, otherwise: str) -> Finding:
    return Finding(bool(good), about, text if good else otherwise)


def _keys(app: flask.Flask, state: AppState) -> Findings:
    if not app.secret_key:
        yield Finding(
            False,
            "SECRET_KEY",
            "missing: sessions are off. Set it to the output of: "
            "python -c 'import secrets; print(secrets.token_hex())'",
        )
        return
    try:
        fingerprints = AppKeys(app, state.clock)().fingerprints
    except ConfigurationError as error:
        yield Finding(False, "SECRET_KEY", str(error))
        return
    # In the order of the keyring, which looks at the newest fallback first.
    fallbacks = list(reversed(app.config["SECRET_KEY_FALLBACKS"] or ()))
    for index, (key, fingerprint) in enumerate(
        zip([app.secret_key, *fallbacks], fingerprints, strict=True)
    ):
        about = "SECRET_KEY" if index == 0 else f"SECRET_KEY_FALLBACKS[{len(fallbacks) - index}]"
        named = f"its fingerprint is {fingerprint.hex()}; every server must show the same"
        yield _either(
            len(key.encode() if isinstance(key, str) else key) >= MIN_SECRET_BYTES,
            about,
            named,
            f"shorter than {MIN_SECRET_BYTES} bytes: make a longer one; {named}",
        )


def _cookie(config: flask.Config) -> Findings:
    same_site, domain = config["SESSION_COOKIE_SAMESITE"], config["SESSION_COOKIE_DOMAIN"]
    yield _either(
        config["SESSION_COOKIE_SECURE"],
        "SESSION_COOKIE_SECURE",
        "the cookie is sent over TLS alone",
        "the cookie is sent without TLS too, for all to read: set it to True where you serve https",
    )
    yield _either(
        config["SESSION_COOKIE_HTTPONLY"],
        "SESSION_COOKIE_HTTPONLY",
        "scripts can't read the cookie",
        "any script in a page can read the cookie: leave it True",
    )
    yield _either(
        str(same_site).lower() in ("lax", "strict"),
        "SESSION_COOKIE_SAMESITE",
        f"{same_site}: forms of other sites are sent without the cookie",
        f"{same_site}: forms of other sites may be sent with the cookie: set it to 'Lax'",
    )
    yield _either(
        not domain,
        "SESSION_COOKIE_DOMAIN",
        "not set: this host alone gets the cookie",
        f"{domain}: every host below it gets the cookie and can set it: leave it unset unless "
        "they must share sessions",
    )


def _limits(app: flask.Flask, state: AppState) -> Findings:
    length, lifetime = app.config["MAX_CONTENT_LENGTH"], app.permanent_session_lifetime
    yield _either(
        length is not None,
        "MAX_CONTENT_LENGTH",
        f"{length} bytes",
        "not set: a request may be as large as it likes; set it to the largest upload you expect, "
        "in bytes",
    )
    yield _either(
        lifetime <= _LONGEST_LIFETIME,
        "PERMANENT_SESSION_LIFETIME",
        f"{lifetime}",
        f"{lifetime}: a stolen cookie is good for as long; set {_LONGEST_LIFETIME.days} days or "
        "less",
    )
    wait = state.settings.session_lock_wait
    yield _either(
        wait <= _WORKER_TIMEOUT,
        "STATE_SESSION_LOCK_WAIT",
        f"{wait:g} seconds",
        f"{wait:g} seconds: many servers kill a worker after {_WORKER_TIMEOUT:g}, before it could "
        "answer with 503; set less than your server's timeout",
    )
    yield _either(
        not app.debug,
        "DEBUG",
        "off",
        "on: whoever sees an error page can run code; turn it off where others can reach it",
    )


def _store(state: AppState) -> Findings:
    """Opens the store, and looks for a session without noting anything."""
    try:
        store = state.parts.store.store
        store.scan("", 1)
    except Exception as error:
        # Whatever a driver raises is what the command is asked to find out.
        yield Finding(False, "store", f"make it answer, or change STATE_URL: {error}")
        return
    yield Finding(True, "store", f"sessions live in {store.engine}, and it answers")
    reach = _REACH.get(store.shared)
    if reach is not None:
        yield Finding(True, "workers", reach)
        return
    workers = os.environ.get("WEB_CONCURRENCY", "")
    said = f" WEB_CONCURRENCY says {workers}." if workers.isdecimal() and int(workers) > 1 else ""
    yield Finding(
        False,
        "workers",
        f"each worker has sessions of its own, and they end with it.{said} Serve with one worker, "
        "or set STATE_URL to an engine that they share, such as lmdb:///path",
    )
