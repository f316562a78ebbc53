"""Bytes that are not ours: refused, and nothing executed, imported or instantiated."""

from __future__ import annotations

import dataclasses
import os
import pickle
import sys
import tracemalloc
import typing as t

import ormsgpack
import pytest
from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from ormsgpack import Ext

from flask_state.errors import SerializationError
from tests.core import values as values_module
from tests.core.values import CODEC
from tests.core.values import DATETIME
from tests.core.values import DECIMAL
from tests.core.values import ENUM
from tests.core.values import PAIRS
from tests.core.values import TIMEDELTA
from tests.core.values import TUPLE
from tests.core.values import packed
from tests.core.values import values

ENUMS: t.Final = values_module.__name__
"""The module of the Enum classes."""


@dataclasses.dataclass
class Record:
    """No Enum."""

    x: int


def assert_carried_or_refused(data: bytes) -> None:
    """What comes out of any bytes is a value that the codec carries, or one error of ours."""
    try:
        value = CODEC.loads(data)
    except SerializationError:
        return
    assert CODEC.dumps(CODEC.loads(CODEC.dumps(value))) == CODEC.dumps(value)


@settings(max_examples=600)
@given(st.binary(max_size=60))
@example(b"\xd6\xff\0\0\0\0")
def test_random_bytes_decode_or_are_refused(data: bytes) -> None:
    assert_carried_or_refused(data)


@settings(max_examples=250)
@given(st.integers(-3, 20) | st.just(100), values, st.booleans())
def test_any_parts_in_any_extension_decode_or_are_refused(
    code: int, parts: t.Any, raw: bool
) -> None:
    """A forger knows our types and fills them with what doesn't belong there."""
    inner = parts if raw and isinstance(parts, bytes) else CODEC.dumps(parts)
    head = b"\xc8" + len(inner).to_bytes(2, "big") + bytes([code & 255])
    if len(inner) >= 1 << 16:
        return
    assert_carried_or_refused(head + inner)


@settings(max_examples=100)
@given(values, st.data())
def test_cut_bytes_are_refused(value: t.Any, data: st.DataObject) -> None:
    whole = CODEC.dumps(value)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(SerializationError):
        CODEC.loads(whole[:cut])


def test_bytes_after_the_value_are_refused() -> None:
    for value in (1, "a", [1], {"a": 1}, (1,), None):
        with pytest.raises(SerializationError):
            CODEC.loads(CODEC.dumps(value) + b"\x01")
    with pytest.raises(SerializationError):
        CODEC.loads(packed(TUPLE, b"\x91\x01\x01"))
    after: list[t.Any] = [b"end", "end", 0, None, [], (1,)]
    for following in after:
        for rest in (b"", b"junk"):
            with pytest.raises(SerializationError):
                CODEC.loads(CODEC.dumps(1) + CODEC.dumps(following) + rest)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_are_refused(protocol: int) -> None:
    """S32: nothing is executed, and nothing half-read is taken for a value."""
    ran: list[str] = []
    bomb = type("Bomb", (), {"__reduce__": lambda self: (ran.append, ("executed",))})()
    for value in ({"a": 1}, [1], os.system):
        with pytest.raises(SerializationError):
            CODEC.loads(pickle.dumps(value, protocol))
    with pytest.raises(SerializationError):
        CODEC.loads(b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    assert bomb
    assert ran == []


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "data",
    [
        b"\x91" * 200_000 + b"\xc0",
        b"\x81\xa1a" * 200_000 + b"\xc0",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xffabc",
        b"\xc6\xff\xff\xff\xffabc",
        b"\xc9\xff\xff\xff\xff\x01abc",
        b"\xdd\x00\x7f\xff\xff" + b"\xdd\x00\x7f\xff\xff" * 100,
    ],
    ids=["lists", "maps", "array", "map", "str", "bin", "ext", "arrays"],
)
def test_bombs_are_refused_without_taking_memory(data: bytes) -> None:
    """S36: neither a depth nor a length that is only claimed costs anything."""
    tracemalloc.start()
    try:
        with pytest.raises(SerializationError):
            CODEC.loads(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


@pytest.mark.timeout(20)
@pytest.mark.parametrize("code", [TUPLE, PAIRS, 3, 4, ENUM, DATETIME, 100])
def test_extensions_inside_extensions_without_end_are_refused(code: int) -> None:
    data = ormsgpack.packb([1])
    for _ in range(3_000):
        data = ormsgpack.packb([Ext(code, data)])
    with pytest.raises(SerializationError):
        CODEC.loads(data)


@pytest.mark.parametrize("code", [-1, -128, 0, 16, 99, 101, 127])
def test_an_extension_of_somebody_else_is_refused(code: int) -> None:
    with pytest.raises(SerializationError):
        CODEC.loads(bytes([0xD6, code & 255, 0, 0, 0, 0]))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\xa1\xff", b"\x81\x01\x01", b"\x81\xc0\x01"])
def test_malformed_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(SerializationError):
        CODEC.loads(data)


_WRONG_PARTS: t.Final[list[tuple[int, t.Any]]] = [
    (TIMEDELTA, b"short"),
    (13, b"short"),
    (7, b"short"),
    (9, b"someday"),
    (DECIMAL, b"many"),
    (DECIMAL, b"1E99999999999999999999"),
    (10, ["25:00", 0]),
    (DATETIME, ["2026-01-01T00:00:00", 7]),
    (DATETIME, ["2026-01-01T00:00:00", 0, "../../../etc/passwd"]),
    (DATETIME, ["2026-01-01T00:00:00", 0, "/etc/passwd"]),
    (DATETIME, ["2026-01-01T00:00:00", 0, "America"]),
    (DATETIME, ["2026-01-01T00:00:00", 0, "a" * 5000]),
    (DATETIME, ["2026-01-01T00:00:00", 0, "\0"]),
    (DATETIME, ["2026-01-01T00:00:00", 0, 7]),
    (PAIRS, [1, 2, 3]),
    (PAIRS, [[], 1]),
    (PAIRS, {"a": 1}),
    (3, [1]),
    (3, "ab"),
    (TUPLE, 7),
    (100, []),
    (100, [[1], 1]),
    (100, {"a": 1}),
    (ENUM, None),
    (ENUM, []),
    (ENUM, [[], "A", "B"]),
    (ENUM, ["enum", 7, "A"]),
    (ENUM, ["enum", "Enum", None, "made"]),
    (ENUM, [ENUMS, "Size", "HUGE"]),
    (ENUM, [ENUMS, "Size", None, "huge"]),
    (ENUM, [ENUMS, "Size", None, "a", "b"]),
]


@pytest.mark.parametrize(("code", "parts"), _WRONG_PARTS, ids=lambda part: repr(part)[:40])
def test_wrong_parts_are_refused(code: int, parts: t.Any) -> None:
    with pytest.raises(SerializationError):
        CODEC.loads(packed(code, parts))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (__name__, "Record"),
        (ENUMS, "CODEC"),
        (ENUMS, "CODEC.loads"),
        (__name__, "test_wrong_parts_are_refused"),
        ("os", "system"),
        ("os", "environ"),
        ("builtins", "eval"),
        ("builtins", "list"),
        ("subprocess", "Popen"),
        ("sys", "modules"),
    ],
)
@pytest.mark.parametrize("member", [["A"], [None, "true"], [None, ["true"]]])
def test_only_members_of_enums_are_looked_up(module: str, name: str, member: list[t.Any]) -> None:
    """S32: no other class is instantiated, no function called."""
    with pytest.raises(SerializationError):
        CODEC.loads(packed(ENUM, [module, name, *member]))


def test_bytes_import_nothing() -> None:
    """S32: a module that is not loaded stays so, though it exists and holds an Enum."""
    module = "tests.core.never_imported"
    assert module not in sys.modules
    absent = "this"  # prints a poem when imported
    sys.modules.pop(absent, None)
    before = set(sys.modules)
    for name in (module, absent, "turtledemo.clock", ".".join(["x"] * 50)):
        with pytest.raises(SerializationError):
            CODEC.loads(packed(ENUM, [name, "Size", "SMALL"]))
    assert set(sys.modules) == before


def test_the_error_names_the_enum_that_is_not_loaded() -> None:
    with pytest.raises(SerializationError) as caught:
        CODEC.loads(packed(ENUM, ["shop.models", "Size", "SMALL"]))
    assert "shop.models.Size" in str(caught.value)
    assert "import" in str(caught.value)


def test_a_member_that_is_no_more_is_named() -> None:
    with pytest.raises(SerializationError, match="HUGE"):
        CODEC.loads(packed(ENUM, [ENUMS, "Size", "HUGE"]))
