"""Values to bytes and back: data only, types kept, equal values always the same bytes.

The format is MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md) with the
types of `extensions`. Nothing here imports, calls or constructs what the bytes name, but for
members of enumerations that the process has loaded already and types the user registered.
"""

from __future__ import annotations

import collections.abc as cabc
import functools
import struct
import typing as t

import ormsgpack
from ormsgpack import Ext

from ..errors import SerializationError
from . import extensions
from .tokens import random_bytes

MAX_NESTED: t.Final = 64
"""How deep extensions, such as tuples in tuples, may be nested. Lists and dicts in between don't
count; the packer itself bounds those."""

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

_NATIVE = frozenset({type(None), bool, int, float, bytes, bytearray, memoryview})

# Bytes are read as the first of two values, the second of which is known: so that nothing may
# follow the first.
_PAIR = b"\x92"
_AFTER = random_bytes(8)
_END = ormsgpack.packb(_AFTER)


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
        # One hook per level of nesting, so that depth is bounded without counting it.
        levels = range(MAX_NESTED + 1)
        self._packers = [functools.partial(self._pack, level) for level in levels]
        self._unpackers = [functools.partial(self._unpack, level) for level in levels]
        self._hook = self._unpackers[0]

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
        :raise ValueError: where the name is taken.
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
            return ormsgpack.packb(value, default=self._packers[0], option=_OPTIONS)
        except (TypeError, RecursionError):
            pass
        # Either something needs spelling out, or there is an error, whose text the packer hides.
        try:
            return ormsgpack.packb(self._spelled_out(value, 0), option=_OPTIONS)
        except RecursionError:
            raise SerializationError("the value is nested too deeply, or holds itself") from None
        except TypeError as error:
            if "ecursion" in str(error):
                raise SerializationError("the value is nested too deeply") from None
            raise SerializationError(f"the value can't be stored: {error}") from error

    def loads(self, data: bytes) -> t.Any:
        """The value of such bytes.

        :raise SerializationError: where the bytes are not of this format, or name a type this
            process doesn't know.
        """
        try:
            value, end = ormsgpack.unpackb(_PAIR + data + _END, ext_hook=self._hook)
            if end == _AFTER:
                return value
        except (ValueError, RecursionError):
            pass
        # The unpacker hides what went wrong: once more, to learn it.
        try:
            raw = _only(data, _Raw)
        except (ValueError, RecursionError) as error:
            raise SerializationError("the bytes can't be decoded") from error
        try:
            return self._resolved(raw, 0)
        except RecursionError:
            raise SerializationError("the bytes are nested too deeply") from None

    # Packing. `_pack` is called by the packer, for what it doesn't know; `_spelled_out` goes
    # through the whole value itself, and says what is wrong.

    def _pack(self, level: int, value: t.Any) -> Ext:
        code, content = self._parts(value)
        if isinstance(content, bytes):
            return Ext(code, content)
        if level == MAX_NESTED:
            raise RecursionError
        hook = self._packers[level + 1]
        if code in extensions.SETS:
            # The order of a set depends on the process; that of its elements' bytes does not.
            content = sorted(ormsgpack.packb(e, default=hook, option=_OPTIONS) for e in content)
        return Ext(code, ormsgpack.packb(content, default=hook, option=_OPTIONS))

    def _spelled_out(self, value: t.Any, level: int) -> t.Any:
        """The value with everything the packer doesn't know replaced by an extension."""
        kind = type(value)
        if kind is str:
            if extensions.encodable(value):
                return value
            return Ext(extensions.SURROGATES, extensions.surrogates(value))
        if kind is list:
            return [self._spelled_out(item, level) for item in value]
        if kind is dict:
            if all(type(key) is str and extensions.encodable(key) for key in value):
                return {key: self._spelled_out(item, level) for key, item in value.items()}
            content = [part for pair in value.items() for part in pair]
            return self._spelled_ext(extensions.PAIRS, content, level)
        if kind in _NATIVE and not (kind is int and not -(1 << 63) <= value < 1 << 64):
            return value
        return self._spelled_ext(*self._parts(value), level)

    def _spelled_ext(self, code: int, content: bytes | list[t.Any], level: int) -> Ext:
        if isinstance(content, bytes):
            return Ext(code, content)
        if level == MAX_NESTED:
            raise RecursionError
        spelled = [self._spelled_out(part, level + 1) for part in content]
        if code in extensions.SETS:
            spelled = sorted(ormsgpack.packb(part, option=_OPTIONS) for part in spelled)
        return Ext(code, ormsgpack.packb(spelled, option=_OPTIONS))

    def _parts(self, value: t.Any) -> tuple[int, bytes | list[t.Any]]:
        registered = self._by_class.get(type(value))
        if registered is not None:
            name, dump = registered
            return extensions.REGISTERED, [name, dump(value)]
        parts = extensions.parts(value)
        if parts is None:
            kind = type(value)
            raise SerializationError(
                f"{kind.__module__}.{kind.__qualname__} can't be stored: use plain types, "
                "such as a dict, or register the type with the codec"
            )
        return parts

    # Unpacking: `_unpack` is called by the unpacker; `_resolved` does the same in Python.

    def _unpack(self, level: int, code: int, data: bytes) -> t.Any:
        leaf = extensions.LEAF_LOADS.get(code)
        if leaf is not None:
            return leaf(bytes(data))
        if level == MAX_NESTED:
            raise RecursionError
        hook = self._unpackers[level + 1]
        content = _only(bytes(data), hook)
        if code in extensions.SETS:
            content = [_only(part, hook) for part in content]
        return self._build(code, content)

    def _resolved(self, value: t.Any, level: int) -> t.Any:
        if type(value) is list:
            return [self._resolved(item, level) for item in value]
        if type(value) is dict:
            return {key: self._resolved(item, level) for key, item in value.items()}
        if not isinstance(value, _Raw):
            return value
        if level == MAX_NESTED:
            raise RecursionError
        try:
            leaf = extensions.LEAF_LOADS.get(value.code)
            if leaf is not None:
                return leaf(bytes(value.data))
            content = _only(bytes(value.data), _Raw)
            if value.code in extensions.SETS:
                content = [_only(part, _Raw) for part in content]
        except (ValueError, TypeError, ArithmeticError, struct.error) as error:
            raise SerializationError(f"an extension of type {value.code} is damaged") from error
        return self._build(value.code, self._resolved(content, level + 1))

    def _build(self, code: int, content: t.Any) -> t.Any:
        if code != extensions.REGISTERED:
            return extensions.build(code, content)
        name, plain = extensions.checked(content, 2, 2)
        load = self._by_name.get(name) if isinstance(name, str) else None
        if load is None:
            raise extensions.UnknownType(f"no type is registered under {name!r}")
        return load(plain)


class _Raw(t.NamedTuple):
    """An extension that is not resolved yet."""

    code: int
    data: bytes


def _only(data: bytes, hook: cabc.Callable[[int, bytes], t.Any]) -> t.Any:
    """The one value of these bytes. The unpacker itself would ignore what follows it."""
    value, end = ormsgpack.unpackb(_PAIR + data + _END, ext_hook=hook)
    if end != _AFTER:
        raise ValueError("bytes follow the value")
    return value
