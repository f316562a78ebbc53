"""Sessions as JSON lines: the way out.

What JSON has is itself. Any other value is an object with one key that starts with ``$`` and
says what it is; so is a dict that could be taken for one.

================ ==================================================================
``$bytes``       base64
``$tuple``       a list, as of ``$set`` and ``$frozenset``
``$dict``        a list of pairs: a dict with keys that aren't text or start with ``$``
``$datetime``    ISO 8601, as of ``$date`` and ``$time``; with ``zone`` where it is in a
                 named one, and ``fold`` for the second of two equal moments
``$timedelta``   days, seconds, microseconds
``$decimal``     digits, as of ``$uuid`` and ``$markup`` its text
``$complex``     the real and the imaginary part
``$float``       ``nan``, ``inf`` or ``-inf``
``$int``         hexadecimal, above 4,000 digits
``$enum``        module, class and name of a member; a fourth is its value, if it has no name
``$type``        the name under which the type was registered, and what its `dump` returned
``$codec``       base64 of the codec's own bytes: nested too deeply for JSON
``$str``         a value of which nothing else is known, as text
================ ==================================================================
"""

from __future__ import annotations

import base64
import collections.abc as cabc
import datetime as dt
import enum
import json
import math
import typing as t
import uuid
import zoneinfo
from decimal import Decimal

import ormsgpack
from markupsafe import Markup

from ..core import extensions
from ..core.codec import Codec
from ..errors import SerializationError
from .sessions import SessionInfo

_PLAIN_INT_BITS: t.Final = 13_000
"""About 4,000 digits; Python refuses to read or write more than 4,300."""


def as_line(info: SessionInfo, items: cabc.Mapping[str, t.Any], codec: Codec) -> str:
    """A session as one line of JSON, in ASCII. It holds no id and no proof.

    :param items: its values by name.
    :param codec: knows the types that the user registered.
    """
    parts = {
        "handle": info.handle,
        "owner": info.owner,
        "created": moment(info.created),
        "touched": moment(info.touched),
        "expires": moment(info.expires),
        "signed_in": moment(info.signed_in) if info.signed_in is not None else None,
        "browser": info.browser,
        "address": info.address,
    }
    values = ", ".join(f"{json.dumps(k)}: {as_json(v, codec)}" for k, v in items.items())
    return f'{json.dumps(parts)[:-1]}, "items": {{{values}}}}}'


def as_json(value: object, codec: Codec) -> str:
    """A value that the codec carries, as JSON in ASCII on one line."""
    try:
        return json.dumps(_plain(value, codec), allow_nan=False)
    except RecursionError:
        return json.dumps({"$codec": _base64(codec.dumps(value))})


def moment(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601, in UTC."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="seconds")


def _plain(value: t.Any, codec: Codec) -> t.Any:
    """The value in terms of what JSON has."""
    kind = type(value)
    if value is None or kind is str or kind is bool:
        return value
    if kind is list:
        return [_plain(each, codec) for each in value]
    if kind is dict:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: _plain(each, codec) for key, each in value.items()}
        return {"$dict": [[_plain(part, codec) for part in pair] for pair in value.items()]}
    tagged = _LEAVES.get(kind)
    if tagged is not None:
        return tagged(value)
    if kind in _COLLECTIONS:
        plain = [_plain(each, codec) for each in value]
        if kind is not tuple:
            plain.sort(key=json.dumps)  # a set has no order, and equal sets shall look the same
        return {_COLLECTIONS[kind]: plain}
    return _foreign(value, codec)


def _foreign(value: t.Any, codec: Codec) -> t.Any:
    """A value of a type that isn't ours: registered with the codec, or a member of an Enum."""
    try:
        code, content = ormsgpack.unpackb(
            codec.dumps(value), ext_hook=lambda code, data: (code, codec.loads(bytes(data)))
        )
    except (SerializationError, ValueError, TypeError):
        return {"$str": str(value)}
    if code == extensions.REGISTERED:
        return {"$type": [_plain(part, codec) for part in content]}
    if isinstance(value, enum.Enum):
        return {"$enum": [_plain(part, codec) for part in content]}
    return {"$str": str(value)}


def _int(value: int) -> t.Any:
    return value if value.bit_length() < _PLAIN_INT_BITS else {"$int": hex(value)}


def _float(value: float) -> t.Any:
    return value if math.isfinite(value) else {"$float": str(value)}


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _datetime(value: dt.datetime) -> t.Any:
    return {"$datetime": value.isoformat(), **_zone(value)}


def _time(value: dt.time) -> t.Any:
    return {"$time": value.isoformat(), **_zone(value)}


def _zone(value: dt.datetime | dt.time) -> dict[str, t.Any]:
    """What ISO 8601 doesn't say."""
    zone = {"zone": value.tzinfo.key} if isinstance(value.tzinfo, zoneinfo.ZoneInfo) else {}
    return {**zone, "fold": 1} if value.fold else zone


_COLLECTIONS: t.Final[dict[type, str]] = {tuple: "$tuple", set: "$set", frozenset: "$frozenset"}

_LEAVES: t.Final[dict[type, cabc.Callable[[t.Any], t.Any]]] = {
    int: _int,
    float: _float,
    complex: lambda value: {"$complex": [_float(value.real), _float(value.imag)]},
    bytes: lambda value: {"$bytes": _base64(value)},
    dt.datetime: _datetime,
    dt.time: _time,
    dt.date: lambda value: {"$date": value.isoformat()},
    dt.timedelta: lambda value: {"$timedelta": [value.days, value.seconds, value.microseconds]},
    Decimal: lambda value: {"$decimal": str(value)},
    uuid.UUID: lambda value: {"$uuid": str(value)},
    Markup: lambda value: {"$markup": str.__str__(value)},
}
