"""Values of every type that the codec carries, and how to compare them exactly."""

from __future__ import annotations

import datetime as dt
import enum
import math
import typing as t
import zoneinfo
from decimal import Decimal

import ormsgpack
from hypothesis import strategies as st
from markupsafe import Markup
from ormsgpack import Ext

from flask_state.core.codec import Codec

CODEC: t.Final = Codec()
"""A codec that nobody registers a type with."""
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
