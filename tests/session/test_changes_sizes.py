"""How large a session may become, and what can't be stored at all."""

from __future__ import annotations

import typing as t

import pytest

from flask_state.errors import SerializationError
from tests.session.script import STORED
from tests.session.script import Work
from tests.session.script import encoded

# Sizes


def sized(limit: int, items: dict[str, t.Any] | None = None) -> Work:
    """A request of a session that may take so many bytes."""
    return Work(items, session_max_bytes=limit)


def test_a_session_that_fits_exactly_is_stored() -> None:
    size = len("user") + len(encoded("x" * 100))
    work = sized(size)
    work.user["user"] = "x" * 100
    assert work.change() is not None
    work = sized(size - 1)
    work.user["user"] = "x" * 100
    with pytest.raises(SerializationError):
        work.change()


def test_the_error_names_the_largest_items_with_their_sizes() -> None:
    work = sized(1000)
    work.user.update({"small": 1, "huge": "h" * 3000, "big": "b" * 2000, "mid": "m" * 500})
    with pytest.raises(SerializationError) as caught:
        work.change()
    message = str(caught.value)
    assert caught.value.key == "huge"
    order = [message.index(repr(name)) for name in ("huge", "big", "mid")]
    assert order == sorted(order)
    assert "small" not in message
    assert f"{len(encoded('h' * 3000)):,}" in message
    assert "1,000" in message
    assert "STATE_SESSION_MAX_BYTES" in message


def test_stored_items_are_named_too() -> None:
    work = sized(1000, {"old": "o" * 900, "user": "ann"})
    assert dict(work.user)
    work.user["new"] = "n" * 200
    with pytest.raises(SerializationError) as caught:
        work.change()
    assert "'old'" in str(caught.value)
    assert caught.value.key == "old"


def test_an_item_that_replaces_another_counts_once() -> None:
    for read in (True, False):
        work = sized(1000, {"blob": "o" * 900, "user": "ann"})
        assert not read or work.user["blob"]
        assert work.user["user"] == "ann"
        work.user["blob"] = "n" * 900
        assert work.change() is not None


def test_items_that_were_not_looked_at_count() -> None:
    work = sized(1000, {"blob": "o" * 900, "user": "ann"})
    work.user["more"] = "n" * 200
    with pytest.raises(SerializationError):
        work.change()


def test_what_grows_inside_counts() -> None:
    work = sized(1000, {"cart": ["x" * 900]})
    work.user["cart"].append("y" * 200)
    with pytest.raises(SerializationError, match="'cart'"):
        work.change()


def test_a_session_that_shrinks_is_never_refused() -> None:
    work = sized(100, {"blob": "o" * 900, "user": "ann"})
    work.user["blob"] = "n" * 800
    assert work.change() is not None
    work = sized(100, {"blob": "o" * 900, "user": "ann"})
    del work.user["user"]
    assert work.change() is not None


def test_clearing_makes_room() -> None:
    work = sized(1000, {"blob": "o" * 900})
    work.user.clear()
    work.user["new"] = "n" * 900
    assert work.change() is not None


def test_removing_makes_room() -> None:
    work = sized(1000, {"blob": "o" * 900, "user": "ann"})
    work.user["new"] = "n" * 900
    del work.user["blob"]
    assert work.change() is not None


@pytest.mark.parametrize("value", [object(), {"a": [object()]}, lambda: 0])
def test_what_cannot_be_stored_is_named_and_nothing_is_sent(value: t.Any) -> None:
    work = Work(STORED)
    work.user["good"] = 1
    work.user["bad"] = value
    with pytest.raises(SerializationError, match=r"session\['bad'\]") as caught:
        work.change()
    assert caught.value.key == "bad"
    assert work.script.sent == []


@pytest.mark.parametrize("name", [1, None, b"a", ("a",), 1.5])
def test_names_are_text(name: t.Any) -> None:
    work = Work()
    with pytest.raises(SerializationError, match="of type str"):
        work.user[name] = 1
