"""What the codec refuses to store, and what it says."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import datetime as dt
import enum
import sys
import threading
import typing as t

import pytest

from flask_state.core.codec import Codec
from flask_state.errors import SerializationError
from tests.core.values import CODEC
from tests.core.values import Size
from tests.core.values import shape


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
