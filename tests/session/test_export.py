"""The way out: a small reader gets back what was exported, value by value."""

from __future__ import annotations

import base64
import datetime as dt
import importlib
import json
import math
import typing as t
import uuid
import zoneinfo
from decimal import Decimal

import pytest
from hypothesis import given
from markupsafe import Markup

from flask_state.core.codec import Codec
from flask_state.session.export import as_json
from flask_state.session.export import as_line
from flask_state.session.export import moment
from flask_state.session.sessions import SessionInfo
from tests.core.values import Level
from tests.core.values import Mode
from tests.core.values import Right
from tests.core.values import Shop
from tests.core.values import Size
from tests.core.values import Word
from tests.core.values import shape
from tests.core.values import values


class Point(t.NamedTuple):
    """A type that a user registers."""

    x: int
    y: t.Any


CODEC: t.Final = Codec()
CODEC.register(Point, "point", dump=list, load=lambda plain: Point(*plain))


def read(text: str) -> t.Any:
    """What a program without flask_state makes of exported JSON."""
    return json.loads(text, object_pairs_hook=_object, parse_constant=_refused)


def _refused(name: str) -> t.NoReturn:
    raise ValueError(f"{name} is no JSON")


def _object(pairs: list[tuple[str, t.Any]]) -> t.Any:
    if not pairs or not pairs[0][0].startswith("$"):
        return dict(pairs)
    (tag, content), *more = pairs
    return READERS[tag](content, **dict(more))


def _moment(kind: t.Any, text: str, zone: str | None = None, fold: int = 0) -> t.Any:
    value = kind.fromisoformat(text).replace(fold=fold)
    return value.replace(tzinfo=zoneinfo.ZoneInfo(zone)) if zone else value


def _enum(content: list[t.Any]) -> t.Any:
    module, qualname, name, *value = content
    cls: t.Any = importlib.import_module(module)
    for part in qualname.split("."):
        cls = getattr(cls, part)
    return cls[name] if name is not None else cls(*value)


READERS: t.Final[dict[str, t.Any]] = {
    "$bytes": base64.b64decode,
    "$tuple": tuple,
    "$set": set,
    "$frozenset": frozenset,
    "$dict": lambda pairs: {key: value for key, value in pairs},
    "$datetime": lambda text, **more: _moment(dt.datetime, text, **more),
    "$time": lambda text, **more: _moment(dt.time, text, **more),
    "$date": dt.date.fromisoformat,
    "$timedelta": lambda parts: dt.timedelta(*parts),
    "$decimal": Decimal,
    "$uuid": uuid.UUID,
    "$markup": Markup,
    "$complex": lambda parts: complex(*parts),
    "$float": float,
    "$int": lambda text: int(text, 16),
    "$enum": _enum,
    "$type": lambda parts: {"point": lambda plain: Point(*plain)}[parts[0]](parts[1]),
    "$codec": lambda text: CODEC.loads(base64.b64decode(text)),
    "$str": str,
}

BERLIN: t.Final = zoneinfo.ZoneInfo("Europe/Berlin")

EXAMPLES: t.Final = [
    None,
    True,
    0,
    -(2**63),
    10**300,
    10**5000,
    0.1,
    -0.0,
    math.inf,
    -math.inf,
    "",
    'a "quoted"\n\N{SNOWMAN} text',
    "\ud800",
    b"",
    b"\x00\xff",
    [],
    [1, [2, (3,)]],
    (),
    (1, "a", None),
    set(),
    {1, "a", (2, 3)},
    frozenset({b"a", frozenset()}),
    {},
    {"a": {"b": 1}},
    {1: "a", (2, 3): "b", None: "c", "d": "e"},
    {"$tuple": [1]},
    {"$": 1},
    {"a": 1, "$set": 2},
    {"zone": "x", "fold": 1},
    dt.datetime(2026, 2, 3, 4, 5, 6, 7),
    dt.datetime(2026, 2, 3, tzinfo=dt.UTC),
    dt.datetime(2026, 2, 3, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=45, seconds=1))),
    dt.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN),
    dt.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
    dt.date(1, 1, 1),
    dt.time(1, 2, 3, tzinfo=dt.UTC),
    dt.time(1, 2, tzinfo=BERLIN, fold=1),
    dt.timedelta(days=-1, microseconds=1),
    dt.timedelta.max,
    Decimal("1.500"),
    Decimal("-Infinity"),
    uuid.UUID(int=7),
    Markup("<b>&amp;</b>"),
    complex(1.5, -0.0),
    complex(math.inf, 2),
    Size.SMALL,
    Size.GROSS,
    Level.HIGH,
    Word.NO,
    Right.READ | Right.RUN,
    Mode(12),
    Shop.State.SHUT,
    Point(1, (2, {3})),
    [Point(1, Point(2, b"x"))],
]


@pytest.mark.parametrize("value", EXAMPLES, ids=range(len(EXAMPLES)))
def test_a_value_comes_back_as_it_was(value: t.Any) -> None:
    text = as_json(value, CODEC)
    assert text.isascii()
    assert "\n" not in text
    assert shape(read(text)) == shape(_unnamed(value))


@given(values)
def test_every_value_that_the_codec_carries_comes_back(value: t.Any) -> None:
    carried = CODEC.loads(CODEC.dumps(value))
    assert shape(_unnamed(read(as_json(carried, CODEC)))) == shape(_unnamed(carried))


def _unnamed(value: t.Any) -> t.Any:
    """The value without names of fixed offsets, for which ISO 8601 has no place."""
    kind = type(value)
    if kind is dict:
        return {_unnamed(key): _unnamed(each) for key, each in value.items()}
    if kind in (list, tuple, set, frozenset):
        return kind(_unnamed(each) for each in value)
    if kind in (dt.datetime, dt.time) and isinstance(value.tzinfo, dt.timezone):
        offset = value.tzinfo.utcoffset(None)
        # `fromisoformat` of Python 3.11 reads an offset below a second as none.
        is_one = abs(offset) >= dt.timedelta(seconds=1)
        return value.replace(tzinfo=dt.timezone(offset) if is_one else dt.UTC)
    return value


def test_not_a_number_is_no_number_of_json() -> None:
    assert as_json([math.nan], CODEC) == '[{"$float": "nan"}]'
    assert math.isnan(read(as_json(math.nan, CODEC)))


def test_the_tags_are_these() -> None:
    """They are a format: programs of others read them."""
    written = {
        b"a": '{"$bytes": "YQ=="}',
        (1,): '{"$tuple": [1]}',
        frozenset({2, 1}): '{"$frozenset": [1, 2]}',
        dt.date(2026, 2, 3): '{"$date": "2026-02-03"}',
        dt.datetime(2026, 2, 3, tzinfo=dt.UTC): '{"$datetime": "2026-02-03T00:00:00+00:00"}',
        dt.time(1, 2, tzinfo=BERLIN): '{"$time": "01:02:00", "zone": "Europe/Berlin"}',
        dt.timedelta(1): '{"$timedelta": [1, 0, 0]}',
        Decimal("1.0"): '{"$decimal": "1.0"}',
        uuid.UUID(int=0): '{"$uuid": "00000000-0000-0000-0000-000000000000"}',
        Markup("<b>"): '{"$markup": "<b>"}',
        1j: '{"$complex": [0.0, 1.0]}',
        math.inf: '{"$float": "inf"}',
        10**100: "1" + "0" * 100,
        Size.SMALL: '{"$enum": ["tests.core.values", "Size", "SMALL"]}',
        Point(1, 2): '{"$type": ["point", [1, 2]]}',
    }
    assert {value: as_json(value, CODEC) for value in written} == written
    assert as_json({1: 2}, CODEC) == '{"$dict": [[1, 2]]}'
    assert as_json({3, 1}, CODEC) == '{"$set": [1, 3]}'


def test_equal_sets_look_the_same() -> None:
    one, other = set(range(100)), set(reversed(range(100)))
    assert as_json(one, CODEC) == as_json(other, CODEC)


def test_what_is_nested_too_deeply_for_json_is_in_the_codecs_own_bytes() -> None:
    value: t.Any = 1
    for depth in range(1200):
        value = (value,) if depth % 100 == 0 else [value]
    carried = CODEC.dumps(value)
    text = as_json(CODEC.loads(carried), CODEC)
    assert text.startswith('{"$codec": "')
    assert CODEC.dumps(read(text)) == carried


def test_a_value_of_which_nothing_is_known_is_text() -> None:
    class Strange:
        """No codec carries it."""

        def __str__(self) -> str:
            return "strange"

    assert as_json([Strange()], CODEC) == '[{"$str": "strange"}]'


def test_a_codec_of_the_users_own_makes_types_text() -> None:
    class Own(Codec):
        """One whose bytes are not ours."""

        def dumps(self, value: object) -> bytes:
            return b"\xc1 something else"

    assert as_json(Point(1, 2), Own()) == '{"$str": "Point(x=1, y=2)"}'


def test_a_line_says_whose_it_is_and_what_it_holds() -> None:
    info = SessionInfo("a" * 10, "ann", 0.0, 60.0, 3600.5, 7, 30.0, "Browser\n", "::1")
    line = as_line(info, {"n": 1, '"': (2,)}, CODEC)
    assert "\n" not in line
    assert json.loads(line) == {
        "handle": "a" * 10,
        "owner": "ann",
        "created": "1970-01-01T00:00:00+00:00",
        "touched": "1970-01-01T00:01:00+00:00",
        "expires": "1970-01-01T01:00:00+00:00",
        "signed_in": "1970-01-01T00:00:30+00:00",
        "browser": "Browser\n",
        "address": "::1",
        "items": {"n": 1, '"': {"$tuple": [2]}},
    }
    assert list(read(line)["items"].items()) == [("n", 1), ('"', (2,))]


def test_names_of_items_need_no_tags() -> None:
    """They stand where no value stands, so one that starts with a dollar is what it is."""
    info = SessionInfo("a" * 10, None, 0.0, 0.0, 0.0, 0)
    parsed = json.loads(as_line(info, {"$set": 1}, CODEC))
    assert parsed["items"] == {"$set": 1}
    assert (parsed["owner"], parsed["signed_in"]) == (None, None)


def test_an_empty_session_is_a_line_too() -> None:
    info = SessionInfo("a" * 10, None, 0.0, 0.0, 0.0, 0)
    assert json.loads(as_line(info, {}, CODEC))["items"] == {}


def test_moments_are_in_utc() -> None:
    assert moment(1_800_000_000.9) == "2027-01-15T08:00:00+00:00"
