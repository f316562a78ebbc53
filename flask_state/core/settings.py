"""The settings of flask_state: one table of keys, defaults, parsers and help."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import math
import typing as t

from ..errors import ConfigurationError

PREFIX: t.Final = "STATE_"

T = t.TypeVar("T")


def seconds(value: t.Any) -> float:
    """A positive number of seconds, from a number, a numeric string or a `timedelta`."""
    number = value.total_seconds() if isinstance(value, dt.timedelta) else _number(value)
    if number <= 0:
        raise ValueError("a number of seconds above 0, or None")
    return number


def not_negative(value: t.Any) -> float:
    """Seconds, or 0 for never."""
    number = value.total_seconds() if isinstance(value, dt.timedelta) else _number(value)
    if number < 0:
        raise ValueError("a number of seconds, or 0")
    return number


def byte_count(value: t.Any) -> int:
    """A positive number of bytes."""
    number = _number(value)
    if number < 1 or number != int(number):
        raise ValueError("a whole number of bytes above 0")
    return int(number)


def count(value: t.Any) -> int:
    """A whole number above 0."""
    number = _number(value)
    if number < 1 or number != int(number):
        raise ValueError("a whole number above 0")
    return int(number)


def boolean(value: t.Any) -> bool:
    """True or False, also as the words an environment variable holds."""
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if isinstance(value, bool):
        return value
    if str(value).lower() in words:
        return words[str(value).lower()]
    raise ValueError("true or false")


def choice(*words: str) -> cabc.Callable[[t.Any], str]:
    """A parser that takes one of these words."""

    def parse(value: t.Any) -> str:
        if value in words:
            return str(value)
        raise ValueError(f"one of {', '.join(map(repr, words))}")

    return parse


def engine(value: t.Any) -> t.Any:
    """A URL, or a store made by the application."""
    if isinstance(value, str) and ":" not in value and value != "auto":
        raise ValueError("a URL such as 'lmdb:///var/lib/app/state', or 'auto'")
    return value


def _number(value: t.Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("a number")
    return number


def _row(default: T, parser: cabc.Callable[[t.Any], T], help: str, *, secret: bool = False) -> T:
    """A field of the table; a secret one may hold a password, and stays out of `repr`."""
    metadata = {"parser": parser, "help": help}
    return dataclasses.field(default=default, metadata=metadata, repr=not secret)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is set, parsed. A field `x` is the key ``STATE_X`` of `app.config`."""

    url: t.Any = _row(
        "auto",
        engine,
        "Where state is kept: a URL whose scheme chooses the engine, or a store of your own. "
        "'auto' is an LMDB file in the instance folder, or memory where TESTING is set.",
        secret=True,
    )
    session_url: t.Any = _row(
        None, engine, "The same for sessions alone. None means STATE_URL.", secret=True
    )
    session_idle_timeout: float | None = _row(
        None,
        seconds,
        "Seconds without a request after which a session ends. "
        "None means Flask's PERMANENT_SESSION_LIFETIME.",
    )
    session_absolute_timeout: float | None = _row(
        None, seconds, "Seconds after its start when a session ends in any case. None means never."
    )
    session_renew_after: float | None = _row(
        None, seconds, "Seconds after which a session gets a new id by itself. None means never."
    )
    session_renew_grace: float = _row(
        10.0,
        not_negative,
        "Seconds for which the id before such a renewal stays good, for requests under way.",
    )
    session_renew_at_login: bool = _row(
        True, boolean, "Give the session a new id when Flask-Login signs a user in."
    )
    session_max_bytes: int = _row(
        1024 * 1024, byte_count, "How large all items of a session may be together, in bytes."
    )
    session_on_conflict: str = _row(
        "signal",
        choice("signal", "error"),
        "When two requests changed the same item: 'signal' lets the later one win and sends "
        "session_conflict, 'error' refuses it with SessionConflict.",
    )
    session_on_outage: str = _row(
        "error",
        choice("error", "empty"),
        "When the store fails: 'error' answers 503 where a request uses the session, "
        "'empty' goes on with an empty session that is not saved.",
    )
    session_save_on_error: bool = _row(
        False, boolean, "Keep a request's changes though its response has a status of 500 or above."
    )
    session_access: str = _row(
        "auto",
        choice("auto", "exclusive", "merge", "readonly", "off"),
        "How views use the session that don't say so by @session_access. 'auto' is 'exclusive' "
        "for POST, PUT, PATCH and DELETE, and 'merge' for the rest.",
    )
    session_lock_wait: float = _row(
        10.0,
        seconds,
        "Seconds for which an exclusive request waits for another one of its session at most; "
        "then it is answered with 503.",
    )
    session_lock_queue: int = _row(
        32,
        count,
        "How many requests of one session may wait in one process; one more is answered with "
        "503 at once.",
    )
    session_lock_max: float = _row(
        600.0,
        seconds,
        "Seconds for which one request may keep others of its session waiting, however long "
        "it runs.",
    )
    session_max_per_owner: int | None = _row(
        None,
        count,
        "How many sessions of one owner may live; one more ends the one that signed in first. "
        "None means any number.",
    )
    session_probe_limit: int = _row(
        20,
        count,
        "How many different ids that are none one address may present within a minute before "
        "session_probed is sent.",
    )
    session_adopt_cookies: bool = _row(
        True, boolean, "Take over, once, what a session cookie of Flask's own kind holds."
    )
    session_sweep_interval: float = _row(
        60.0,
        not_negative,
        "Seconds between two looks for ended sessions, by one thread per process. 0 means never.",
    )


class Row(t.NamedTuple):
    """One setting, for people."""

    key: str
    default: t.Any
    help: str


def settings_table() -> list[Row]:
    """Every setting, in the order of the table."""
    return [
        Row(PREFIX + field.name.upper(), field.default, field.metadata["help"])
        for field in dataclasses.fields(Settings)
    ]


def read(config: cabc.Mapping[str, t.Any]) -> Settings:
    """Parse the `STATE_*` keys of a configuration.

    :raise ConfigurationError: where a value can't be parsed, or a key looks like a misspelt one.
    """
    _refuse_misspelt(config)
    values = {}
    for field in dataclasses.fields(Settings):
        key = PREFIX + field.name.upper()
        value = config.get(key, field.default)
        if value is None:
            value = field.default
        if value is not None:
            try:
                value = field.metadata["parser"](value)
            except (ValueError, TypeError) as error:
                shown = value if isinstance(value, bool | int | float) else type(value).__name__
                raise ConfigurationError(f"{key} must be {error}, not {shown}") from None
        values[field.name] = value
    return Settings(**values)


def as_config(settings: Settings) -> dict[str, t.Any]:
    """The settings as keys and values of `app.config`."""
    return {
        PREFIX + field.name.upper(): getattr(settings, field.name)
        for field in dataclasses.fields(settings)
    }


def _refuse_misspelt(config: cabc.Mapping[str, t.Any]) -> None:
    known = [row.key for row in settings_table()]
    for key in config:
        if isinstance(key, str) and key.startswith(PREFIX) and key not in known:
            for candidate in known:
                if _distance(key, candidate) <= 2:
                    raise ConfigurationError(f"{key} is not a setting; did you mean {candidate}?")


def _distance(one: str, other: str) -> int:
    """Levenshtein's distance: how many letters to add, drop or change."""
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        before, row[0] = row[0], i
        for j, right in enumerate(other, 1):
            before, row[j] = (
                row[j],
                min(row[j] + 1, row[j - 1] + 1, before + (left != right)),
            )
    return row[-1]
