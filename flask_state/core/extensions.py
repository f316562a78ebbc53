"""The extension types of the codec: what each one's bytes hold.

Leaves are `LEAVES` and `LEAF_LOADS`; an extension that holds other values is built by
`BUILDERS` from a list of them. `parts` says which of the two a value is.
"""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import enum
import struct
import sys
import typing as t
import uuid
import zoneinfo
from decimal import Decimal

from markupsafe import Markup

from ..errors import SerializationError

BIG_INT, TUPLE, SET, FROZENSET, PAIRS, MARKUP, UUID = range(1, 8)
DATETIME, DATE, TIME, TIMEDELTA, DECIMAL, COMPLEX, ENUM, SURROGATES = range(8, 16)
REGISTERED = 100

SETS = frozenset({SET, FROZENSET})

_IMMUTABLE = frozenset(
    {type(None), bool, int, float, complex, str, bytes, Decimal, uuid.UUID, Markup}
    | {dt.datetime, dt.date, dt.time, dt.timedelta}
)


class UnknownType(SerializationError):
    """The bytes are sound, and name a type that this process doesn't know."""


def is_immutable(value: object) -> bool:
    """Whether a value can't change in place, so that it needs no second look before a save."""
    return type(value) in _IMMUTABLE or isinstance(value, enum.Enum)


def encodable(text: str) -> bool:
    """Whether a text has no lone surrogates, which UTF-8 forbids."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def surrogates(text: str) -> bytes:
    """A text as UTF-8, lone surrogates included."""
    return text.encode("utf-8", "surrogatepass")


def parts(value: t.Any) -> tuple[int, bytes | list[t.Any]] | None:
    """The type of a value's extension, and its bytes or the values it holds; None: no such type."""
    kind = type(value)
    leaf = LEAVES.get(kind)
    if leaf is not None:
        code, dump = leaf
        return code, dump(value)
    if kind is tuple:
        return TUPLE, list(value)
    if kind is set or kind is frozenset:
        return SET if kind is set else FROZENSET, list(value)
    if kind is dt.datetime or kind is dt.time:
        plain = value.replace(tzinfo=None).isoformat()
        code = DATETIME if kind is dt.datetime else TIME
        return code, [plain, value.fold, *_zone(value.tzinfo)]
    if isinstance(value, enum.Enum):
        return ENUM, _enum_parts(value)
    if hasattr(kind, "__html__"):
        return MARKUP, surrogates(str(value.__html__()))
    return None


def build(code: int, content: t.Any) -> t.Any:
    """The value that an extension holds.

    :raise SerializationError: where there is no such type, or it can't hold this.
    """
    builder = BUILDERS.get(code)
    if builder is None:
        raise UnknownType(f"extension type {code} is unknown")
    try:
        return builder(content)
    except SerializationError:
        raise
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        raise SerializationError(f"an extension of type {code} is damaged") from error


def checked(content: t.Any, least: int, most: int) -> list[t.Any]:
    """A list of so many values.

    :raise SerializationError: where it is none.
    """
    if not isinstance(content, list) or not least <= len(content) <= most:
        raise SerializationError("an extension holds the wrong number of values")
    return content


def _dump_int(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _dump_timedelta(value: dt.timedelta) -> bytes:
    return struct.pack(">iii", value.days, value.seconds, value.microseconds)


LEAVES: dict[type, tuple[int, cabc.Callable[[t.Any], bytes]]] = {
    int: (BIG_INT, _dump_int),
    Markup: (MARKUP, lambda value: surrogates(str(value))),
    uuid.UUID: (UUID, lambda value: value.bytes),
    dt.date: (DATE, lambda value: value.isoformat().encode()),
    dt.timedelta: (TIMEDELTA, _dump_timedelta),
    Decimal: (DECIMAL, lambda value: str(value).encode()),
    complex: (COMPLEX, lambda value: struct.pack(">dd", value.real, value.imag)),
}

LEAF_LOADS: dict[int, cabc.Callable[[bytes], t.Any]] = {
    BIG_INT: lambda data: int.from_bytes(data, "big", signed=True),
    MARKUP: lambda data: Markup(data.decode("utf-8", "surrogatepass")),  # noqa: S704  it was one
    UUID: lambda data: uuid.UUID(bytes=data),
    DATE: lambda data: dt.date.fromisoformat(data.decode()),
    TIMEDELTA: lambda data: dt.timedelta(*struct.unpack(">iii", data)),
    DECIMAL: lambda data: Decimal(data.decode()),
    COMPLEX: lambda data: complex(*struct.unpack(">dd", data)),
    SURROGATES: lambda data: data.decode("utf-8", "surrogatepass"),
}


def _datetime(parts: t.Any) -> dt.datetime:
    plain, fold, *zone = checked(parts, 2, 4)
    return dt.datetime.fromisoformat(plain).replace(fold=fold, tzinfo=_zone_of(zone))


def _time(parts: t.Any) -> dt.time:
    plain, fold, *zone = checked(parts, 2, 4)
    return dt.time.fromisoformat(plain).replace(fold=fold, tzinfo=_zone_of(zone))


BUILDERS: dict[int, cabc.Callable[[t.Any], t.Any]] = {
    TUPLE: tuple,
    SET: set,
    FROZENSET: frozenset,
    PAIRS: lambda parts: dict(zip(parts[::2], parts[1::2], strict=True)),
    DATETIME: _datetime,
    TIME: _time,
    ENUM: lambda parts: _enum_member(*checked(parts, 3, 4)),
}


def _zone(zone: dt.tzinfo | None) -> list[t.Any]:
    if zone is None:
        return []
    if type(zone) is dt.timezone:
        offset = zone.utcoffset(None)
        name = zone.tzname(None)
        default = dt.timezone(offset).tzname(None)
        return [offset, *([name] if name != default else [])]
    if type(zone) is zoneinfo.ZoneInfo and zone.key:
        return [zone.key]
    raise SerializationError(
        f"a time in {type(zone).__qualname__} can't be stored: use zoneinfo or a fixed offset"
    )


def _zone_of(parts: list[t.Any]) -> dt.tzinfo | None:
    if not parts:
        return None
    if isinstance(parts[0], dt.timedelta):
        return dt.timezone(*parts) if parts != [dt.timedelta(0)] else dt.UTC
    return zoneinfo.ZoneInfo(parts[0])


def _enum_parts(value: enum.Enum) -> list[t.Any]:
    cls = type(value)
    if _loaded_enum(cls.__module__, cls.__qualname__) is not cls:
        raise SerializationError(
            f"{cls.__module__}.{cls.__qualname__} can't be stored, because it could not be found "
            "again: define the Enum at the top level of a module"
        )
    name = value.name if cls.__members__.get(value.name or "") is value else None
    where = [cls.__module__, cls.__qualname__]
    return [*where, name] if name is not None else [*where, None, value.value]


def _enum_member(module: str, qualname: str, name: str | None, value: t.Any = None) -> enum.Enum:
    cls = _loaded_enum(module, qualname)
    if cls is None:
        raise UnknownType(
            f"{module}.{qualname} is not an Enum this process has loaded: "
            "import its module where the application starts"
        )
    if name is not None and name not in cls.__members__:
        raise UnknownType(f"{module}.{qualname} has no member {name!r} any more")
    return cls[name] if name is not None else cls(value)


def _loaded_enum(module: str, qualname: str) -> type[enum.Enum] | None:
    """A class that is loaded already: bytes from a store never import anything."""
    found: t.Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = vars(found).get(part) if hasattr(found, "__dict__") else None
    return found if isinstance(found, type) and issubclass(found, enum.Enum) else None
