"""What a request did, as a `Change`."""

from __future__ import annotations

import typing as t

import pytest

from flask_state.core.sentinels import MISSING
from flask_state.stores.base import Change
from flask_state.stores.base import Edit
from flask_state.stores.base import Item
from tests.session.script import ID
from tests.session.script import IDLE
from tests.session.script import NOW
from tests.session.script import STORED
from tests.session.script import Doing
from tests.session.script import Work
from tests.session.script import encoded

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
