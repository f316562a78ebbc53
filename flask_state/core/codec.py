"""Values to bytes and back: data only, types kept, equal values always the same bytes.

The format is MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md) with the
extension types below. Nothing here imports, calls or constructs what the bytes name, but for
members of enumerations that the process has loaded already and types the user registered.
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

import ormsgpack
from markupsafe import Markup
from ormsgpack import Ext

from ..errors import SerializationError

_BIG_INT, _TUPLE, _SET, _FROZENSET, _PAIRS, _MARKUP, _UUID = range(1, 8)
_DATETIME, _DATE, _TIME, _TIMEDELTA, _DECIMAL, _COMPLEX, _ENUM, _SURROGATES = range(8, 16)
_REGISTERED = 100

# Each type that the packer would treat as a relative of another one is handed to us instead.
_OPTIONS = (
    ormsgpack.OPT_PASSTHROUGH_BIG_INT
    | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    | ormsgpack.OPT_PASSTHROUGH_DATETIME
    | ormsgpack.OPT_PASSTHROUGH_ENUM
    | ormsgpack.OPT_PASSTHROUGH_SUBCLASS
    | ormsgpack.OPT_PASSTHROUGH_TUPLE
    | ormsgpack.OPT_PASSTHROUGH_UUID
)

_IMMUTABLE = frozenset(
    {type(None), bool, int, float, complex, str, bytes, Decimal, uuid.UUID, Markup}
    | {dt.datetime, dt.date, dt.time, dt.timedelta}
)


def is_immutable(value: object) -> bool:
    """Whether a value can't change in place, so that it needs no second look before a save."""
    return type(value) in _IMMUTABLE or isinstance(value, enum.Enum)


class Codec:
    """Turns values into bytes and back.

    Carried exactly: `None bool int float complex str bytes list tuple dict set frozenset`,
    `datetime date time timedelta` (naive, fixed offset or `zoneinfo`), `Decimal UUID Markup`,
    members of `Enum` classes, and registered types. A dict keeps its order and may have any of
    these as keys. An object with ``__html__``, such as a lazy translation, becomes `Markup`,
    as in Flask's own sessions. `bytearray` and `memoryview` inside a container come back as
    `bytes`.
    """

    def __init__(self) -> None:
        self._by_class: dict[type, tuple[str, cabc.Callable[[t.Any], t.Any]]] = {}
        self._by_name: dict[str, cabc.Callable[[t.Any], t.Any]] = {}

    def register(
        self,
        cls: type,
        name: str,
        *,
        dump: cabc.Callable[[t.Any], t.Any],
        load: cabc.Callable[[t.Any], t.Any],
    ) -> None:
        """Carry one more type.

        :param name: stands for the class in the bytes; keep it when the class moves.
        :param dump: makes a value this codec carries of an instance.
        :param load: makes an instance of what `dump` returned. It sees bytes from the store:
            it must not trust them more than any other input.
        """
        if name in self._by_name:
            raise ValueError(f"the codec knows a type named {name!r} already")
        self._by_class[cls] = (name, dump)
        self._by_name[name] = load

    def dumps(self, value: object) -> bytes:
        """The bytes of a value.

        :raise SerializationError: where the value, or something in it, can't be carried.
        """
        try:
            return ormsgpack.packb(value, default=self._pack, option=_OPTIONS)
        except (TypeError, RecursionError):
            # Dicts with other keys than str, and strings with lone surrogates, need a slower way.
            return self._dumps_slowly(value)

    def loads(self, data: bytes) -> t.Any:
        """The value of such bytes.

        :raise SerializationError: where the bytes are not of this format, or name a type this
            process doesn't know.
        """
        try:
            return ormsgpack.unpackb(data, ext_hook=self._unpack)
        except SerializationError:
            raise
        except (ValueError, TypeError, ArithmeticError, LookupError, RecursionError) as error:
            raise SerializationError("the bytes can't be decoded") from error

    def _dumps_slowly(self, value: object) -> bytes:
        try:
            return ormsgpack.packb(self._spelled_out(value), default=self._pack, option=_OPTIONS)
        except SerializationError:
            raise
        except RecursionError as error:
            raise SerializationError("the value is nested too deeply") from error
        except TypeError as error:
            cause = error.__cause__
            if isinstance(cause, SerializationError):
                raise cause from None
            raise SerializationError(f"the value can't be stored: {error}") from error

    def _spelled_out(self, value: object) -> object:
        """The value with every part that the packer refuses replaced by an extension."""
        if type(value) is dict:
            if all(type(key) is str for key in value):
                return {self._key(k): self._spelled_out(v) for k, v in value.items()}
            return self._nested(_PAIRS, [part for pair in value.items() for part in pair])
        if type(value) is list:
            return [self._spelled_out(item) for item in value]
        if type(value) is str:
            try:
                value.encode()
            except UnicodeEncodeError:
                return Ext(_SURROGATES, value.encode("utf-8", "surrogatepass"))
        return value

    def _key(self, key: str) -> str:
        try:
            key.encode()
        except UnicodeEncodeError:
            raise SerializationError(f"the key {key!a} has lone surrogates") from None
        return key

    def _nested(self, code: int, parts: list[t.Any]) -> Ext:
        return Ext(code, self.dumps(parts))

    def _pack(self, value: t.Any) -> Ext:
        kind = type(value)
        simple = _SIMPLE.get(kind)
        if simple is not None:
            code, dump = simple
            return Ext(code, dump(value))
        if kind is tuple:
            return self._nested(_TUPLE, list(value))
        if kind is set or kind is frozenset:
            # The order of a set depends on the process; that of its elements' bytes does not.
            parts = sorted(self.dumps(element) for element in value)
            return self._nested(_SET if kind is set else _FROZENSET, parts)
        if kind is dt.datetime or kind is dt.time:
            code = _DATETIME if kind is dt.datetime else _TIME
            plain = value.replace(tzinfo=None).isoformat()
            return self._nested(code, [plain, value.fold, *_zone(value.tzinfo)])
        if kind in self._by_class:
            name, dump = self._by_class[kind]
            return self._nested(_REGISTERED, [name, dump(value)])
        if isinstance(value, enum.Enum):
            return self._nested(_ENUM, _enum_parts(value))
        if hasattr(kind, "__html__"):
            return Ext(_MARKUP, str(value.__html__()).encode())
        raise SerializationError(
            f"{kind.__module__}.{kind.__qualname__} can't be stored: use plain types, "
            "such as a dict, or register the type with the codec"
        )

    def _unpack(self, code: int, data: bytes) -> t.Any:
        data = bytes(data)
        simple = _SIMPLE_LOADS.get(code)
        if simple is not None:
            return simple(data)
        parts = self.loads(data)
        if code == _TUPLE:
            return tuple(parts)
        if code == _SET:
            return {self.loads(part) for part in parts}
        if code == _FROZENSET:
            return frozenset(self.loads(part) for part in parts)
        if code == _PAIRS:
            return dict(zip(parts[::2], parts[1::2], strict=True))
        if code == _DATETIME:
            moment = dt.datetime.fromisoformat(parts[0])
            return moment.replace(fold=parts[1], tzinfo=_zone_of(parts[2:]))
        if code == _TIME:
            clock = dt.time.fromisoformat(parts[0])
            return clock.replace(fold=parts[1], tzinfo=_zone_of(parts[2:]))
        if code == _ENUM:
            return _enum_member(*parts)
        if code == _REGISTERED:
            load = self._by_name.get(parts[0])
            if load is None:
                raise SerializationError(f"no type is registered under {parts[0]!r}")
            return load(parts[1])
        raise SerializationError(f"extension type {code} is unknown")


def _dump_int(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _dump_timedelta(value: dt.timedelta) -> bytes:
    return struct.pack(">iii", value.days, value.seconds, value.microseconds)


_SIMPLE: dict[type, tuple[int, cabc.Callable[[t.Any], bytes]]] = {
    int: (_BIG_INT, _dump_int),
    Markup: (_MARKUP, lambda value: str(value).encode("utf-8", "surrogatepass")),
    uuid.UUID: (_UUID, lambda value: value.bytes),
    dt.date: (_DATE, lambda value: value.isoformat().encode()),
    dt.timedelta: (_TIMEDELTA, _dump_timedelta),
    Decimal: (_DECIMAL, lambda value: str(value).encode()),
    complex: (_COMPLEX, lambda value: struct.pack(">dd", value.real, value.imag)),
}

_SIMPLE_LOADS: dict[int, cabc.Callable[[bytes], t.Any]] = {
    _BIG_INT: lambda data: int.from_bytes(data, "big", signed=True),
    _MARKUP: lambda data: Markup(data.decode("utf-8", "surrogatepass")),  # noqa: S704  it was one
    _UUID: lambda data: uuid.UUID(bytes=data),
    _DATE: lambda data: dt.date.fromisoformat(data.decode()),
    _TIMEDELTA: lambda data: dt.timedelta(*struct.unpack(">iii", data)),
    _DECIMAL: lambda data: Decimal(data.decode()),
    _COMPLEX: lambda data: complex(*struct.unpack(">dd", data)),
    _SURROGATES: lambda data: data.decode("utf-8", "surrogatepass"),
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
    name = value.name if cls.__members__.get(value.name or "") is value else None
    where = [cls.__module__, cls.__qualname__]
    return [*where, name] if name is not None else [*where, None, value.value]


def _enum_member(module: str, qualname: str, name: str | None, value: t.Any = None) -> enum.Enum:
    """A member of a class that is loaded already: bytes from a store never import anything."""
    found: t.Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = vars(found).get(part) if found is not None else None
    if not (isinstance(found, type) and issubclass(found, enum.Enum)):
        raise SerializationError(
            f"{module}.{qualname} is not an Enum this process has loaded: "
            "import its module where the application starts"
        )
    member: enum.Enum = found[name] if name is not None else found(value)
    return member
