"""The codec: types come back exactly, equal values are equal bytes, foreign bytes do nothing."""

from __future__ import annotations

import collections
import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import enum
import math
import os
import pickle
import subprocess
import sys
import threading
import tracemalloc
import typing as t
import uuid
import zoneinfo
from decimal import Decimal

import ormsgpack
import pytest
from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from markupsafe import Markup
from ormsgpack import Ext

from flask_state.core.codec import Codec
from flask_state.core.extensions import is_immutable
from flask_state.errors import SerializationError
from tests.source import ROOT

CODEC: t.Final = Codec()
DATETIME, ENUM, DECIMAL, TUPLE, PAIRS, TIMEDELTA = 8, 14, 12, 2, 5, 11
"""Codes of extension types, as they stand in stored bytes for good."""


class Size(enum.Enum):
    SMALL = 1
    LARGE = "large"
    GROSS = "large"  # an alias


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Word(enum.StrEnum):
    YES = "yes"
    NO = "no"


class Right(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()
    RUN = enum.auto()


class Mode(enum.IntFlag, boundary=enum.KEEP):
    A = 1
    B = 2


class Shop:
    class State(enum.Enum):
        OPEN = ("open", 1)
        SHUT = ("shut", 0)


ZONES: t.Final = (
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "UTC",
    "Australia/Lord_Howe",
)

zones = st.one_of(
    st.none(),
    st.just(dt.UTC),
    st.sampled_from(ZONES).map(zoneinfo.ZoneInfo),
    st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23)).map(dt.timezone),
    st.builds(dt.timezone, st.timedeltas(dt.timedelta(hours=-9), dt.timedelta(hours=9)), st.text()),
)
moments = st.datetimes(allow_imaginary=True, timezones=zones)
folded = st.builds(lambda moment, fold: moment.replace(fold=fold), moments, st.integers(0, 1))
times = st.builds(
    lambda time, zone, fold: time.replace(tzinfo=zone, fold=fold),
    st.times(),
    zones,
    st.integers(0, 1),
)
texts = st.text(st.characters(codec=None)) | st.text(st.characters(categories=["Cs", "L"]))
members: st.SearchStrategy[enum.Enum] = st.one_of(
    *(st.sampled_from(list(cls)) for cls in (Size, Level, Word, Right, Mode, Shop.State)),
    st.sampled_from([Right(0), Right(3), Right(7), Mode(0), Mode(3), Mode(8), Mode(11)]),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**300), 2**300),
    st.sampled_from([2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, -1, -128, -129, 10**400]),
    st.floats(),
    texts,
    st.binary(),
    st.complex_numbers(allow_nan=True),
    st.decimals() | st.sampled_from([Decimal(each) for each in ("sNaN", "-NaN12", "-0", "-0E-9")]),
    st.sampled_from([Decimal("1E+30"), Decimal("1.0"), Decimal("1.00"), Decimal("-Infinity")]),
    st.uuids(),
    texts.map(Markup),
    st.dates(),
    folded,
    times,
    st.timedeltas(),
    members,
)
hashables = st.recursive(
    scalars.filter(lambda value: not (isinstance(value, Decimal) and value.is_snan())),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(texts, inner, max_size=4),
        st.dictionaries(hashables, inner, max_size=4),
        st.sets(hashables, max_size=4),
        st.frozensets(hashables, max_size=4),
    ),
    max_leaves=12,
)


def shape(value: t.Any) -> t.Any:
    """A value spelled out so that two of them are equal only if all types and parts are."""
    kind = type(value)
    if kind is dict:
        return kind, [(shape(key), shape(part)) for key, part in value.items()]
    if kind in (list, tuple):
        return kind, [shape(part) for part in value]
    if kind in (set, frozenset):
        return kind, sorted((shape(part) for part in value), key=repr)
    if kind is float:
        return kind, "nan" if math.isnan(value) else value.hex()
    if kind is complex:
        return kind, shape(value.real), shape(value.imag)
    if kind is Decimal:
        return kind, str(value)
    if kind in (dt.datetime, dt.time):
        return kind, value.replace(tzinfo=None).isoformat(), value.fold, _zone(value.tzinfo)
    return kind, value


def _zone(zone: dt.tzinfo | None) -> object:
    if isinstance(zone, zoneinfo.ZoneInfo):
        return zoneinfo.ZoneInfo, zone.key
    return type(zone), zone and (zone.utcoffset(None), zone.tzname(None))


def packed(code: int, parts: t.Any) -> bytes:
    """The bytes of an extension that holds these parts, as a forger would write them."""
    data = parts if isinstance(parts, bytes) else ormsgpack.packb(parts)
    return ormsgpack.packb(Ext(code, data))


# Round trips


@settings(max_examples=300)
@given(values)
def test_every_value_comes_back_with_its_exact_types(value: t.Any) -> None:
    assert shape(CODEC.loads(CODEC.dumps(value))) == shape(value)


@settings(max_examples=100)
@given(values)
def test_what_came_back_has_the_same_bytes(value: t.Any) -> None:
    """Otherwise a session would be written again by every request that reads it."""
    data = CODEC.dumps(value)
    assert CODEC.dumps(CODEC.loads(data)) == data


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        -0.0,
        float("-inf"),
        5e-324,
        -(2**63) - 1,
        2**64,
        -(10**1000),
        "\ud800 alone",
        Markup("<b>\udfff</b>"),
        {"\ud800": 1},
        {"\ud800": 1, 2: "\udc00"},
        {1: "int", "1": "str", b"1": "bytes", 1.5: "float", None: 0, (1,): 2, False: 3},
        {Level.LOW: 1, Word.YES: 2, Markup("m"): 3, Decimal("1.50"): 4},
        {dt.date(2026, 1, 1): {uuid.UUID(int=7): {frozenset({1, (2,)})}}},
        Decimal("sNaN"),
        Decimal("-0E+5"),
        dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=5, seconds=7), "odd")),
        dt.time(1, 2, 3, 4, fold=1),
        dt.timedelta.min,
        dt.timedelta.max,
        complex(-0.0, float("nan")),
        Right.READ | Right.RUN,
        Mode(9),
        Size.GROSS,
        Shop.State.SHUT,
        [[], {}, set(), (), frozenset(), "", b""],
        [(1, [2, {3: ({4}, [5])}])] * 3,
    ],
    ids=repr,
)
def test_the_hard_ones_come_back(value: t.Any) -> None:
    assert shape(CODEC.loads(CODEC.dumps(value))) == shape(value)


def test_utc_is_the_one_of_the_standard_library() -> None:
    assert CODEC.loads(CODEC.dumps(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))).tzinfo is dt.UTC


def test_buffers_come_back_as_bytes() -> None:
    assert shape(CODEC.loads(CODEC.dumps([bytearray(b"a"), memoryview(b"b")]))) == shape(
        [b"a", b"b"]
    )


def test_what_renders_itself_as_html_comes_back_as_markup() -> None:
    class Lazy:
        def __html__(self) -> str:
            return "<i>later</i>"

    assert shape(CODEC.loads(CODEC.dumps(Lazy()))) == shape(Markup("<i>later</i>"))


@given(st.lists(texts, unique=True))
def test_a_dict_keeps_its_order(names: list[str]) -> None:
    assert list(CODEC.loads(CODEC.dumps(dict.fromkeys(names)))) == names
    numbers = {(name, 1): None for name in names}
    assert list(CODEC.loads(CODEC.dumps(numbers))) == list(numbers)


@given(scalars)
def test_what_is_called_immutable_can_be_hashed(value: t.Any) -> None:
    assert is_immutable(value)
    if not (isinstance(value, Decimal) and value.is_snan()):
        hash(value)


@pytest.mark.parametrize("value", [[], {}, set(), ([],), frozenset({1}), object()])
def test_what_may_hold_something_that_changes_gets_a_second_look(value: object) -> None:
    assert not is_immutable(value)


# Canonical

_CANONICAL = """
import sys
sys.path.insert(0, "")
from tests.core.test_codec import CANON, CODEC
print(CODEC.dumps(CANON).hex())
"""
CANON: t.Final = {
    "set": {"a", "b", "c", 1, 2.5, None, (1, "x"), frozenset({"p", "q", "r"})},
    "frozen": frozenset({f"item {n}" for n in range(50)}),
    "dict": {"z": 1, "a": {b"k": {Word.NO, Word.YES}}},
    "enum": {Level.LOW, Level.HIGH, Right.READ | Right.WRITE},
    "odd": {uuid.UUID(int=n) for n in range(9)} | {dt.date(2026, 1, n) for n in range(1, 9)},
}


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_equal_values_are_equal_bytes_in_every_process(seed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _CANONICAL],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == CODEC.dumps(CANON).hex()


@settings(max_examples=100)
@given(st.lists(hashables, max_size=8))
def test_the_bytes_of_a_set_do_not_depend_on_how_it_was_made(parts: list[t.Any]) -> None:
    grown: set[t.Any] = set()
    for part in reversed(parts):
        grown.add(part)
    one, other = set(parts), grown
    if shape(one) == shape(other):  # 1 and True are equal: which of them stays depends on the order
        assert CODEC.dumps(one) == CODEC.dumps(other)


FROZEN: t.Final[list[tuple[t.Any, str]]] = [
    (
        [None, True, False, -7, 300, 2**64, -(2**70), 1.5],
        "98c0c3c2f9cd012cc70901010000000000000000c70901c00000000000000000cb3ff8000000000000",
    ),
    (["text", b"bytes", {"b": 1, "a": []}], "93a474657874c405627974657382a16201a16190"),
    ((1, ("a",)), "d7029201c7030291a161"),
    ({1: "int", "a": None}, "c709059401a3696e74a161c0"),
    ({3, 1, 2}, "c70a0393c40101c40102c40103"),
    (frozenset({"b", "a"}), "c7090492c402a161c402a162"),
    (Markup("<b>"), "c703063c623e"),
    (uuid.UUID(int=7), "d80700000000000000000000000000000007"),
    (Decimal("-1.50"), "c7050c2d312e3530"),
    (complex(1, -0.0), "d80d3ff00000000000008000000000000000"),
    ("\ud800", "c7030feda080"),
    (dt.date(2026, 11, 21), "c70a09323032362d31312d3231"),
    (dt.timedelta(days=-1, microseconds=5), "c70c0bffffffff0000000000000005"),
    (
        dt.datetime(2026, 11, 21, 1, 2, 3, 4),
        "c71d0892ba323032362d31312d32315430313a30323a30332e30303030303400",
    ),
    (
        dt.datetime(2026, 11, 21, tzinfo=dt.UTC),
        "c7250893b3323032362d31312d32315430303a30303a303000c70c0b000000000000000000000000",
    ),
    (
        dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        "c7240893b3323032362d31302d32355430323a33303a303001ad4575726f70652f4265726c696e",
    ),
    (
        dt.time(1, 2, tzinfo=dt.timezone(dt.timedelta(hours=1), "odd")),
        "c71e0a94a830313a30323a303000c70c0b0000000000000e1000000000a36f6464",
    ),
    (
        Right.READ,
        "c7220e93b574657374732e636f72652e746573745f636f646563a55269676874a452454144",
    ),
    (
        Right.READ | Right.WRITE,
        "c71f0e94b574657374732e636f72652e746573745f636f646563a55269676874c003",
    ),
]


@pytest.mark.parametrize(("value", "data"), FROZEN, ids=[data[:20] for _, data in FROZEN])
def test_the_bytes_of_each_type_stay_what_they_were(value: t.Any, data: str) -> None:
    """Sessions outlive a release: whoever changes one of these loses what is stored."""
    assert CODEC.dumps(value).hex() == data
    assert shape(CODEC.loads(bytes.fromhex(data))) == shape(value)


# What can't be carried


class Point(t.NamedTuple):
    x: int


@dataclasses.dataclass
class Record:
    x: int


class Text(str):
    __slots__ = ()


UNCARRIED: t.Final[dict[str, t.Any]] = {
    "namedtuple": Point(1),
    "dataclass": Record(1),
    "OrderedDict": collections.OrderedDict(a=1),
    "defaultdict": collections.defaultdict(list, a=[1]),
    "object": object(),
    "lambda": lambda: 0,
    "class": Record,
    "Enum class": Size,
    "module": enum,
    "file": sys.stderr,
    "generator": (each for each in "ab"),
    "range": range(3),
    "deque": collections.deque([1]),
    "lock": threading.Lock(),
    "str subclass": Text("a"),
    "exception": ValueError("a"),
    "array": __import__("array").array("i", [1]),
    "own tzinfo": dt.datetime(2026, 1, 1, tzinfo=type("Zone", (dt.tzinfo,), {})()),
}


@pytest.mark.parametrize("value", UNCARRIED.values(), ids=UNCARRIED)
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: (v, {1: v})])
def test_what_cannot_be_carried_is_an_error(
    value: t.Any, wrap: cabc.Callable[[t.Any], t.Any]
) -> None:
    with pytest.raises(SerializationError) as caught:
        CODEC.dumps(wrap(value))
    assert "can't be stored" in str(caught.value)


@pytest.mark.parametrize("place", [lambda v: v, lambda v: [v], lambda v: ({1: v},)])
def test_the_error_says_what_to_do(place: cabc.Callable[[t.Any], t.Any]) -> None:
    with pytest.raises(SerializationError) as caught:
        CODEC.dumps(place(Point(1)))
    message = str(caught.value)
    assert "Point can't be stored" in message
    assert "use plain types" in message
    assert "register" in message


def test_the_error_for_a_time_zone_of_ones_own_says_what_to_use() -> None:
    with pytest.raises(SerializationError, match="zoneinfo"):
        CODEC.dumps(UNCARRIED["own tzinfo"])


def test_an_enum_that_cannot_be_found_again_is_refused() -> None:
    """It would be lost at the next request, and the session with it."""

    class Local(enum.Enum):
        A = 1

    with pytest.raises(SerializationError, match="Local"):
        CODEC.dumps(Local.A)


def _nested(depth: int, wrap: cabc.Callable[[t.Any], t.Any]) -> t.Any:
    value: t.Any = 0
    for _ in range(depth):
        value = wrap(value)
    return value


WRAPS: t.Final[dict[str, cabc.Callable[[t.Any], t.Any]]] = {
    "list": lambda value: [value],
    "tuple": lambda value: (value,),
    "dict": lambda value: {"a": value},
    "pairs": lambda value: {1: value},
    "mixed": lambda value: ({1: [value]}, "a"),
    "before an int key": lambda value: (value, {1: 2}),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
@pytest.mark.parametrize("depth", [400, 2000, 100_000])
def test_what_is_nested_too_deeply_is_refused_at_once(
    wrap: cabc.Callable[[t.Any], t.Any], depth: int
) -> None:
    """S36."""
    with pytest.raises(SerializationError, match="deep"):
        CODEC.dumps(_nested(depth, wrap))


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_what_is_not_refused_comes_back(wrap: cabc.Callable[[t.Any], t.Any]) -> None:
    """The two limits are one: what was stored is never found to be nested too deeply."""
    value: t.Any = 0
    refused = False
    for _ in range(300):
        value = wrap(value)
        try:
            data = CODEC.dumps(value)
        except SerializationError:
            refused = True
            continue
        assert not refused
        CODEC.loads(data)
    assert refused


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_what_is_nested_as_people_nest_comes_back(wrap: cabc.Callable[[t.Any], t.Any]) -> None:
    value = _nested(12, wrap)
    assert shape(CODEC.loads(CODEC.dumps(value))) == shape(value)


def test_the_time_to_encode_grows_with_the_value_and_not_with_its_depth() -> None:
    calls = 0

    class Counted:
        pass

    def dump(value: Counted) -> int:
        nonlocal calls
        calls += 1
        return 0

    codec = Codec()
    codec.register(Counted, "counted", dump=dump, load=lambda value: Counted())
    codec.dumps(_nested(14, lambda inner: (inner, {1: 2}, Counted())))
    assert calls <= 3 * 14


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["list", "tuple", "dict", "pairs"])
def test_a_value_that_holds_itself_is_refused(kind: str) -> None:
    cycle: list[t.Any] = []
    inner: dict[str, t.Any] = {"list": cycle, "tuple": (cycle,), "dict": {"a": cycle}}
    cycle.append({**inner, "pairs": {1: cycle}}[kind])
    with pytest.raises(SerializationError, match="deep"):
        CODEC.dumps(cycle)


# Registered types


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.cents == self.cents

    def __hash__(self) -> int:
        return hash(self.cents)


def _with_money() -> Codec:
    codec = Codec()
    codec.register(Money, "money", dump=lambda money: money.cents, load=Money)
    return codec


@given(st.integers())
def test_a_registered_type_is_carried_wherever_it_stands(cents: int) -> None:
    codec = _with_money()
    value = {"a": Money(cents), 1: [(Money(cents),), {Money(cents)}, {Money(cents): 1}]}
    assert codec.loads(codec.dumps(value)) == value


def test_a_registered_type_wins_over_html_and_enum() -> None:
    codec = Codec()
    codec.register(
        Size, "size", dump=lambda size: size.name.lower(), load=lambda n: Size[n.upper()]
    )
    assert codec.loads(codec.dumps([Size.LARGE])) == [Size.LARGE]
    assert b"size" in codec.dumps(Size.LARGE)


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="'money'"):
        _with_money().register(Record, "money", dump=str, load=str)


def test_a_type_this_process_does_not_know_is_named() -> None:
    with pytest.raises(SerializationError, match="'money'"):
        CODEC.loads(_with_money().dumps(Money(1)))


def test_what_a_registered_dump_raises_is_not_renamed() -> None:
    codec = Codec()
    codec.register(Money, "money", dump=lambda money: 1 // 0, load=Money)
    with pytest.raises(ZeroDivisionError):
        codec.dumps([Money(1)])


# Bytes that are not ours


@settings(max_examples=600)
@given(st.binary(max_size=60))
@example(b"\xd6\xff\0\0\0\0")
def test_random_bytes_decode_or_are_refused(data: bytes) -> None:
    with contextlib.suppress(SerializationError):
        CODEC.loads(data)


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
    with contextlib.suppress(SerializationError):
        CODEC.loads(head + inner)


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
    (ENUM, [__name__, "Size", "HUGE"]),
    (ENUM, [__name__, "Size", None, "huge"]),
    (ENUM, [__name__, "Size", None, "a", "b"]),
]


@pytest.mark.parametrize(("code", "parts"), _WRONG_PARTS, ids=lambda part: repr(part)[:40])
def test_wrong_parts_are_refused(code: int, parts: t.Any) -> None:
    with pytest.raises(SerializationError):
        CODEC.loads(packed(code, parts))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (__name__, "Record"),
        (__name__, "Point"),
        (__name__, "CODEC"),
        (__name__, "CODEC.loads"),
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
        CODEC.loads(packed(ENUM, [__name__, "Size", "HUGE"]))
