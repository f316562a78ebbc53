"""Security statements S25 and S26: requests side by side. A test's name holds the number."""

from __future__ import annotations

import collections.abc as cabc
import threading
import typing as t

import pytest

from flask_state import session
from tests.session.site import Site
from tests.session.site import dump
from tests.session.together import at_once

READS: t.Final[dict[str, cabc.Callable[[], t.Any]]] = {
    "item": lambda: session["user"],
    "get": lambda: session.get("cart"),
    "nested": lambda: session["cart"][0]["n"],
    "in": lambda: "user" in session,
    "missing": lambda: session.get("nobody"),
    "all": lambda: dict(session),
    "values": lambda: list(session.values()),
    "len": lambda: len(session),
    "at": lambda: session.at(0),
    "copy": lambda: session.copy()["cart"].append("not stored") or session["cart"].pop(),
    "repr": lambda: repr(session),
    "modified": lambda: session.modified,
    "facts": lambda: (session.new, session.handle, session.owner, session.timeout),
    "permanent": lambda: session.permanent,
    "reload": lambda: session.reload(),
    "commit": lambda: (session["user"], session.commit(), session["cart"]),
    "equal": lambda: session == {"user": "ann"},
}


# S25


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_s25_a_request_that_reads_writes_nothing(
    site: Site, url: str, read: cabc.Callable[[], t.Any]
) -> None:
    browser, _ = site.sign_in(user="ann", cart=[{"n": 1}, {1, 2}, (1, [2])])
    before = dump(site.store, url) if url == "memory://" else b""
    site.store.calls.clear()
    visit = site.visit(browser, read)
    assert set(site.store.calls) <= {"load"}
    assert visit.response.headers.getlist("Set-Cookie") == []
    if before:
        assert dump(site.store, url) == before


def test_s25_nested_values_of_every_type_are_read_without_a_write(site: Site) -> None:
    values = {
        "set": {"b", "a", "c"},
        "deep": {"a": [{"b": ({"c", "d"},)}]},
        "frozen": [frozenset("xyz")],
    }
    browser, _ = site.sign_in(**values)
    site.store.calls.clear()
    assert site.items(browser) == values
    assert site.store.calls == ["load"]


def test_s25_a_slow_reader_does_not_undo_a_write_it_overlaps(site: Site) -> None:
    browser, id = site.sign_in(user="ann", cart=[1])

    def slow() -> None:
        assert dict(session) == {"user": "ann", "cart": [1]}
        site.visit(browser, lambda: session.update(user="bob", cart=[1, 2], new=3))
        assert session["cart"] == [1], "a request sees one state of an item"

    visit = site.visit(f"session={id}", slow)
    assert visit.cookie is None
    assert site.items(browser) == {"user": "bob", "cart": [1, 2], "new": 3}
    assert site.named("session_conflict") == []


def test_s25_a_touch_writes_no_item(site: Site) -> None:
    """The deadline moves; what a slow reader read is not written back."""
    browser, id = site.sign_in(user="ann", cart=[1])
    site.clock.advance(10 * 86_400)

    def slow() -> None:
        assert dict(session)
        site.visit(browser, lambda: session.update(cart=[1, 2]))

    site.visit(f"session={id}", slow)
    assert site.items(browser) == {"user": "ann", "cart": [1, 2]}
    touch = site.store.changes[-1]
    assert (touch.items, touch.clear) == ({}, None)
    assert touch.lives


def test_s25_a_change_that_was_undone_is_no_change(site: Site) -> None:
    browser, _ = site.sign_in(cart=[1])
    site.store.calls.clear()
    site.visit(browser, lambda: (session["cart"].append(2), session["cart"].pop()))
    assert "commit" not in site.store.calls


# S26


def test_s26_requests_that_write_different_items_lose_none(site: Site) -> None:
    browser, id = site.sign_in(user="ann")

    def slow() -> None:
        session["slow"] = len(session)
        site.visit(browser, lambda: session.update(fast=1))

    site.visit(f"session={id}", slow)
    assert site.items(browser) == {"user": "ann", "fast": 1, "slow": 1}
    assert site.named("session_conflict") == []


def test_s26_one_may_remove_what_the_other_does_not_touch(site: Site) -> None:
    browser, id = site.sign_in(a=1, b=[2], c=3)

    def slow() -> None:
        session["b"].append(3)
        site.visit(browser, lambda: session.pop("a"))
        del session["c"]

    site.visit(f"session={id}", slow)
    assert site.items(browser) == {"b": [2, 3]}
    assert site.named("session_conflict") == []


def test_s26_mutations_inside_different_items_both_survive(site: Site) -> None:
    browser, id = site.sign_in(a=[], b={})

    def slow() -> None:
        session["a"].append(1)
        assert session["b"] == {}
        site.visit(browser, lambda: session["b"].update(x=1))

    site.visit(f"session={id}", slow)
    assert site.items(browser) == {"a": [1], "b": {"x": 1}}


@pytest.mark.parametrize("threads", [2, 12])
def test_s26_requests_in_threads_lose_none(site: Site, threads: int) -> None:
    """Each has read the session before any of them is saved."""
    _, id = site.sign_in(user="ann")
    met = threading.Barrier(threads)

    def visit(index: int) -> None:
        def task() -> None:
            assert session["user"] == "ann"
            met.wait(20)
            session[f"item {index}"] = index

        assert site.visit(f"session={id}", task).response.status_code == 200

    at_once(*(lambda index=index: visit(index) for index in range(threads)))
    expected = {"user": "ann", **{f"item {index}": index for index in range(threads)}}
    assert site.items(f"session={id}") == expected
    assert site.named("session_conflict") == []


def test_s26_an_item_is_never_mixed_and_what_was_lost_is_named(site: Site) -> None:
    browser, id = site.sign_in(cart=[1], other=0)

    def slow() -> None:
        session["cart"].append("slow")
        session["other"] = 1
        site.visit(browser, lambda: session["cart"].append("fast"))

    site.visit(f"session={id}", slow)
    assert site.items(browser) == {"cart": [1, "slow"], "other": 1}
    (conflict,) = site.named("session_conflict")
    assert conflict == {"handle": id[:10], "reason": "changed", "items": ("cart",)}


def test_s26_where_conflicts_are_errors_the_later_one_is_refused_whole(url: str) -> None:
    site = Site(url, STATE_SESSION_ON_CONFLICT="error")
    browser, id = site.sign_in(cart=[1], other=0)

    def slow() -> None:
        session["cart"].append("slow")
        session["other"] = 1
        site.visit(browser, lambda: session["cart"].append("fast"))

    visit = site.visit(f"session={id}", slow)
    assert visit.response.status_code == 409
    assert site.items(browser) == {"cart": [1, "fast"], "other": 0}
    site.close()


def test_s26_the_same_value_from_both_is_no_conflict(site: Site) -> None:
    browser, id = site.sign_in(cart=[1])

    def slow() -> None:
        session["cart"].append(2)
        site.visit(browser, lambda: session["cart"].append(2))

    site.visit(f"session={id}", slow)
    assert site.items(browser) == {"cart": [1, 2]}
    assert site.named("session_conflict") == []


def test_s26_clear_beside_a_write_names_what_it_removed(site: Site) -> None:
    browser, id = site.sign_in(a=1, b=2)

    def slow() -> None:
        assert len(session) == 2
        site.visit(browser, lambda: session.update(late=3))
        session.clear()
        session["c"] = 4

    site.visit(f"session={id}", slow)
    assert site.items(browser) == {"c": 4}
    (conflict,) = site.named("session_conflict")
    assert conflict["items"] == ("late",)


def test_s26_two_first_requests_of_one_visitor_begin_two_sessions(site: Site) -> None:
    """Nobody had an id yet: neither is given the other's."""
    met = threading.Barrier(2)
    cookies = []

    def visit() -> None:
        cookies.append(site.visit(None, lambda: (session.update(a=1), met.wait(20))).cookie)

    at_once(visit, visit)
    assert None not in cookies
    assert len(set(cookies)) == 2
