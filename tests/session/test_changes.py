"""What a request did, as a `Change`: without HTTP, and without a store.

The store here is a script: it answers with the record it was given and keeps what it was sent.
"""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import pytest

from flask_state.build import Parts
from flask_state.build import build
from flask_state.core.codec import Codec
from flask_state.core.keyring import Keyring
from flask_state.core.sentinels import MISSING
from flask_state.core.settings import Settings
from flask_state.errors import SerializationError
from flask_state.session.data import SessionData
from flask_state.session.ids import Id
from flask_state.session.ids import Ids
from flask_state.stores.base import Change
from flask_state.stores.base import Committed
from flask_state.stores.base import Edit
from flask_state.stores.base import Facts
from flask_state.stores.base import Item
from flask_state.stores.base import Loaded
from flask_state.testing import FakeClock

NOW: t.Final = 1_800_000_000.0
ID: t.Final = Ids().new()
KEYS: t.Final = Keyring([b"the current secret of the tests"])
IDLE: t.Final = 1000.0


def encoded(value: t.Any) -> bytes:
    """An item's bytes."""
    return b"\x01\x00" + Codec().dumps(value)


class Script:
    """Stands for a store: holds one record, applies nothing."""

    engine = "script"
    shared = "process"

    def __init__(self, facts: Facts, items: dict[str, t.Any]) -> None:
        self.facts = facts
        self.items = {
            name: Item(encoded(value), version=3, position=index)
            for index, (name, value) in enumerate(items.items())
        }
        self.sent: list[tuple[str, Change, int | None]] = []
        self.asked: list[tuple[str, ...] | None] = []

    def load(self, locator: str, proofs: t.Any, names: t.Any) -> Loaded | None:
        """The record, or the named part of it."""
        self.asked.append(names)
        items = (
            self.items if names is None else {n: self.items[n] for n in names if n in self.items}
        )
        complete = len(items) == len(self.items)
        return Loaded(self.facts, dict(items), complete, 0, False, NOW)

    def commit(self, locator: str, change: Change, fence: int | None) -> Committed:
        """Keep the change."""
        self.sent.append((locator, change, fence))
        facts = self.facts._replace(proof=change.proof or self.facts.proof)
        return Committed(None, (), facts)

    def note(self, name: str, value: bytes) -> None:
        """Nothing was kept before."""


class Work:
    """One request's session over a script.

    :param items: what is stored; None for a visitor without a session.
    """

    def __init__(self, items: dict[str, t.Any] | None = None, **more: t.Any) -> None:
        own = {name: more.pop(name) for name in list(more) if name in Facts._fields}
        size = sum(len(name) + len(encoded(value)) for name, value in (items or {}).items())
        facts = Facts(
            proof=KEYS.proofs("session-id", ID.text)[0],
            created=NOW - 50,
            touched=NOW - 50,
            expires=NOW - 50 + 1.1 * IDLE,
            renewed=NOW - 50,
            version=5,
            fence=7,
            size=size,
        )
        self.script = Script(facts._replace(**own), items or {})
        self.parts = parts(self.script, Settings(**more))
        self.user = _Data(self.parts, ID if items is not None else None)

    def change(self) -> Change | None:
        """What the request's save sends; at most one thing."""
        self.parts.manager.save(self.user, discard=False, refresh=False)
        assert len(self.script.sent) <= 1
        return self.script.sent[0][1] if self.script.sent else None


class _Data(SessionData):
    def __init__(self, parts: Parts, id: Id | None) -> None:
        super().__init__()
        self._manager = parts.manager
        self._text = id

    def _presented(self) -> cabc.Sequence[str]:
        return [self._text.text] if self._text is not None else []


def parts(script: Script, settings: Settings) -> Parts:
    """The parts of an application, over a script."""
    return build(
        settings,
        codec=Codec(),
        ids=Ids(),
        clock=FakeClock(NOW),
        keyring=lambda: KEYS,
        idle_timeout=lambda: IDLE,
        session_url=lambda: script,
        sweeps=lambda: False,
        notify=lambda event, **facts: True,
    )


STORED: t.Final = {"user": "ann", "cart": [1, {"n": 2}], "seen": 7}

Doing = cabc.Callable[[SessionData], t.Any]


# Nothing to say


@pytest.mark.parametrize(
    "do",
    [
        lambda user: None,
        lambda user: user["user"],
        lambda user: dict(user),
        lambda user: (user["cart"].append(3), user["cart"].pop()),
        lambda user: user["cart"][1].update(n=2),
        lambda user: user.get("nobody"),
        lambda user: user.pop("nobody", None),
        lambda user: (user.handle, user.owner, user.timeout, user.new, user.modified),
        lambda user: setattr(user, "modified", True),
        lambda user: user.update(),
        lambda user: user.setdefault("user", "bob"),
    ],
)
def test_who_changes_nothing_sends_nothing(do: Doing) -> None:
    work = Work(STORED)
    do(work.user)
    assert work.change() is None


@pytest.mark.parametrize(
    "do",
    [
        lambda user: dict(user),
        lambda user: user.clear(),
        lambda user: (user.update(a=1), user.clear()),
        lambda user: (user.update(a=1), user.pop("a")),
        lambda user: user.regenerate(),
        lambda user: user.abandon(),
        lambda user: setattr(user, "owner", "ann"),
        lambda user: setattr(user, "timeout", 60),
        lambda user: user.handle,
    ],
)
def test_a_visitor_who_stores_nothing_sends_nothing(do: Doing) -> None:
    work = Work()
    do(work.user)
    assert work.change() is None


# A new session


def test_a_new_session_is_created_with_all_that_was_said_of_it() -> None:
    work = Work()
    work.user.update(user="ann", cart=[1])
    work.user.owner = "ann"
    work.user.timeout = 60
    handle = work.user.handle
    change = work.change()
    ((locator, _, fence),) = work.script.sent
    assert (locator, fence) == (handle, None)
    assert change == Change(
        create=True,
        proof=change.proof if change else None,
        lives=pytest.approx(66),  # type: ignore[arg-type]
        timeout=60,
        owner="ann",
        items={"user": Edit(encoded("ann"), 0), "cart": Edit(encoded([1]), 0)},
    )
    assert change is not None
    assert change.proof
    assert len(change.proof) == 16


def test_a_new_session_lives_for_its_timeout_and_a_tenth() -> None:
    work = Work()
    work.user["user"] = "ann"
    change = work.change()
    assert change is not None
    assert change.lives == pytest.approx(1.1 * IDLE)


def test_items_of_a_new_session_stand_in_the_order_they_were_set() -> None:
    work = Work()
    work.user.update(c=1, a=2, b=3)
    work.user["c"] = 4
    del work.user["a"]
    work.user["a"] = 5
    change = work.change()
    assert change is not None
    assert list(change.items) == ["c", "b", "a"]


# A stored session


def item(name: str, value: t.Any, append: bool = False) -> dict[str, Edit]:
    """The edit of a stored item that was read."""
    data = encoded(value) if value is not MISSING else None
    return {name: Edit(data, 3, True, append)}


CHANGES: t.Final[dict[str, tuple[Doing, dict[str, t.Any]]]] = {
    "set over what was read": (
        lambda user: (user["user"], user.update(user="bob")),
        {"items": item("user", "bob")},
    ),
    "set over what was not read": (
        lambda user: (user["seen"], user.__setitem__("user", "bob")),
        {"items": {"user": Edit(encoded("bob"), 5, False)}},
    ),
    "set an equal value": (
        lambda user: user.__setitem__("user", user["user"]),
        {"items": item("user", "ann")},
    ),
    "set something new": (
        lambda user: (dict(user), user.update(new=1)),
        {"items": {"new": Edit(encoded(1), 5, False)}},
    ),
    "delete": (lambda user: user.__delitem__("seen"), {"items": item("seen", MISSING)}),
    "pop": (lambda user: user.pop("seen"), {"items": item("seen", MISSING)}),
    "mutate": (lambda user: user["cart"].append(3), {"items": item("cart", [1, {"n": 2}, 3])}),
    "mutate deep inside": (
        lambda user: user["cart"][1].update(n=3),
        {"items": item("cart", [1, {"n": 3}])},
    ),
    "mutate and set": (
        lambda user: (user["cart"].append(3), user.__setitem__("cart", user["cart"])),
        {"items": item("cart", [1, {"n": 2}, 3])},
    ),
    "remove and set again": (
        lambda user: (user.pop("user"), user.update(user="bob")),
        {"items": item("user", "bob", append=True)},
    ),
    "own": (lambda user: setattr(user, "owner", "ann"), {"owner": "ann"}),
    "disown": (lambda user: setattr(user, "owner", None), {"owner": None}),
    "clear": (lambda user: user.clear(), {"clear": 5}),
    "clear and fill": (
        lambda user: (dict(user), user.clear(), user.update(user="bob")),
        {"clear": 5, "items": {"user": Edit(encoded("bob"), 5, False)}},
    ),
    "end": (lambda user: user.abandon(), {"end": "abandoned"}),
}


@pytest.mark.parametrize(("do", "said"), CHANGES.values(), ids=CHANGES)
def test_what_was_done_is_what_is_sent(do: Doing, said: dict[str, t.Any]) -> None:
    work = Work(STORED)
    do(work.user)
    assert work.change() == Change(**said)
    ((locator, _, fence),) = work.script.sent
    assert (locator, fence) == (ID.locator, 7)


def test_several_things_are_one_change() -> None:
    work = Work(STORED)
    work.user["cart"].append(3)
    work.user["new"] = 1
    del work.user["seen"]
    work.user.owner = "ann"
    change = work.change()
    assert change is not None
    assert change.owner == "ann"
    assert set(change.items) == {"cart", "new", "seen"}


def test_a_touch_that_is_due_goes_with_it() -> None:
    work = Work(STORED, touched=NOW - 500, expires=NOW + 600)
    assert work.user["user"] == "ann"
    assert work.change() == Change(lives=pytest.approx(1100))  # type: ignore[arg-type]
    work = Work(STORED, touched=NOW - 500, expires=NOW + 600)
    work.user["seen"] = 8
    change = work.change()
    assert change is not None
    assert change.lives == pytest.approx(1100)
    assert change.items


def test_a_timeout_of_its_own_says_when_it_ends() -> None:
    work = Work(STORED)
    work.user.timeout = 60
    assert work.change() == Change(timeout=60, lives=pytest.approx(66))  # type: ignore[arg-type]
    work = Work(STORED, timeout=60.0)
    work.user.timeout = None
    assert work.change() == Change(timeout=None, lives=pytest.approx(1100))  # type: ignore[arg-type]


def test_a_regeneration_sends_a_new_proof() -> None:
    work = Work(STORED)
    work.user.regenerate()
    change = work.change()
    assert change is not None
    assert change == Change(proof=change.proof)
    assert change.proof not in (None, work.script.facts.proof)


def test_a_regeneration_with_grace_sends_both() -> None:
    work = Work(STORED)
    work.user.regenerate(grace=10)
    change = work.change()
    assert change is not None
    assert (change.grace, change.items) == (10, {})


def test_two_requests_that_renew_with_grace_send_the_same_proof() -> None:
    """So whichever is first, both clients hold the id that holds."""
    sent = []
    for _ in range(2):
        work = Work(STORED)
        work.user.regenerate(grace=10)
        sent.append(work.change())
    assert sent[0] == sent[1]


def test_two_regenerations_without_grace_do_not() -> None:
    sent = []
    for _ in range(2):
        work = Work(STORED)
        work.user.regenerate()
        change = work.change()
        assert change is not None
        sent.append(change.proof)
    assert sent[0] != sent[1]


def test_a_renewal_that_is_due_comes_by_itself() -> None:
    work = Work(STORED, session_renew_after=100.0, session_renew_grace=5.0, renewed=NOW - 99)
    assert work.user["user"] == "ann"
    assert work.change() is None
    work = Work(STORED, session_renew_after=100.0, session_renew_grace=5.0, renewed=NOW - 100)
    assert work.user["user"] == "ann"
    change = work.change()
    assert change is not None
    assert change.grace == 5.0
    assert change.proof


@pytest.mark.parametrize(("word", "strict"), [("signal", False), ("error", True)])
def test_whether_a_conflict_is_an_error_is_said(word: str, strict: bool) -> None:
    work = Work(STORED, session_on_conflict=word)
    work.user["user"] = "bob"
    change = work.change()
    assert change is not None
    assert change.strict is strict


# Loading


def test_a_named_item_is_all_that_is_asked_for() -> None:
    work = Work(STORED)
    assert work.user["seen"] == 7
    assert work.script.asked == [("seen",)]
    assert work.user["seen"] == 7
    assert work.user["user"] == "ann"
    assert work.script.asked == [("seen",), ("user",)]


def test_what_was_not_found_is_not_asked_for_twice() -> None:
    work = Work(STORED)
    for _ in range(3):
        assert work.user.get("nobody") is None
    assert len(work.script.asked) == 1


def test_all_items_come_at_once() -> None:
    work = Work(STORED)
    assert dict(work.user) == STORED
    assert len(work.user) == 3
    assert work.user.at(1) == STORED["cart"]
    assert work.script.asked == [None]


def test_what_was_read_stays_when_the_rest_comes() -> None:
    work = Work(STORED)
    work.user["cart"].append(3)
    work.script.items["cart"] = Item(encoded("changed meanwhile"), 9, 1)
    assert dict(work.user) == {"user": "ann", "cart": [1, {"n": 2}, 3], "seen": 7}


def test_a_write_needs_no_look_at_the_items() -> None:
    work = Work(STORED)
    work.user["other"] = 1
    assert work.script.asked in ([("other",)], [()])


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
