"""Names of items and of owners: any text is one, whatever it holds; nothing else is."""

from __future__ import annotations

import functools
import pathlib
import typing as t

import pytest
from markupsafe import Markup

from flask_state import session
from flask_state.errors import SerializationError
from tests.session.site import ENGINES
from tests.session.site import Site
from tests.session.site import engine_url


class Word(str):
    """Text of a kind of its own, which shows as another text."""

    __slots__ = ()

    def __str__(self) -> str:
        return "shown otherwise"


KINDS: t.Final = {"Markup": Markup, "a subclass": Word}
OTHERS: t.Final[dict[str, t.Any]] = {
    "int": 1,
    "None": None,
    "bytes": b"user",
    "tuple": ("user",),
    "float": 1.5,
    "bool": True,
}
TEXTS: t.Final = {
    "empty": "",
    "lone surrogate": "\udc80",
    "surrogates in the wrong order": "a\udfff\ud800b",
    "10,000 characters": "x" * 10_000,
    "10,000 wide characters": "\U0001f36a" * 10_000,
    "10,000 surrogates": "\ud800" * 10_000,
    "NUL": "\0",
    "NUL at the end": "user\0",
    "NUL inside": "us\0er",
    "composed": "\u00e9",
    "decomposed": "e\u0301",
    "control characters": "\r\n\t\x1b[0m\x7f\u2028",
    "right to left": "\u202eresu",
    "no character": "\uffff",
    "as long as a key may be": "k" * 511,
    "a prefix of ours": "user:",
}


def kinds(test: t.Any) -> t.Any:
    """Run for each kind of text."""
    return pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)(test)


def others(test: t.Any) -> t.Any:
    """Run for a value of each type that is no text."""
    return pytest.mark.parametrize("name", OTHERS.values(), ids=OTHERS)(test)


def texts(test: t.Any) -> t.Any:
    """Run for each text."""
    return pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)(test)


def item(name: str) -> t.Any:
    """One item of the session."""
    return session.get(name)


class TestKindsOfText:
    """A subclass of str is the text it holds."""

    @kinds
    def test_it_finds_what_the_text_stored(self, site: Site, kind: type[str]) -> None:
        browser, _ = site.sign_in(user="ann", a=1)
        assert site.visit(browser, lambda: session[kind("user")]).value == "ann"
        assert site.visit(browser, lambda: session.get(kind("user"))).value == "ann"
        assert site.visit(browser, lambda: kind("user") in session).value is True
        assert site.visit(browser, lambda: session.setdefault(kind("user"), 1)).value == "ann"
        assert site.items(browser) == {"user": "ann", "a": 1}

    @kinds
    def test_it_finds_it_in_a_session_that_is_loaded(self, site: Site, kind: type[str]) -> None:
        def read() -> list[t.Any]:
            whole = dict(session)
            name = kind("user")
            return [whole["user"], session[name], session.get(name), name in session]

        browser, _ = site.sign_in(user="ann")
        assert site.visit(browser, read).value == ["ann", "ann", "ann", True]

    @kinds
    def test_it_is_absent_where_the_text_is(self, site: Site, kind: type[str]) -> None:
        def read() -> list[t.Any]:
            with pytest.raises(KeyError):
                session[kind("b")]
            with pytest.raises(KeyError):
                del session[kind("b")]
            with pytest.raises(KeyError):
                session.pop(kind("b"))
            name = kind("b")
            return [session.get(name, 5), name in session, session.pop(name, 6)]

        browser, _ = site.sign_in(user="ann")
        assert site.visit(browser, read).value == [5, False, 6]
        assert site.items(browser) == {"user": "ann"}

    @kinds
    def test_what_it_stores_is_found_by_the_text(self, site: Site, kind: type[str]) -> None:
        def store() -> None:
            session[kind("user")] = "ann"
            session.setdefault(kind("a"), 1)
            session.update({kind("b"): 2})
            assert [session["user"], session["a"], session["b"]] == ["ann", 1, 2]

        browser = site.browser()
        site.visit(browser, store)
        names = site.visit(browser, lambda: list(session)).value
        assert names == ["user", "a", "b"]
        assert {type(name) for name in names} == {str}

    @kinds
    def test_it_overwrites_what_the_text_stored(self, site: Site, kind: type[str]) -> None:
        browser, _ = site.sign_in(user="ann", a=1)
        site.visit(browser, lambda: session.update({kind("user"): "eve"}))
        assert list(site.items(browser).items()) == [("user", "eve"), ("a", 1)]

    @kinds
    def test_it_removes_what_the_text_stored(self, site: Site, kind: type[str]) -> None:
        browser, _ = site.sign_in(user="ann", a=1, b=2)
        site.visit(browser, lambda: session.__delitem__(kind("a")))
        assert site.items(browser) == {"user": "ann", "b": 2}
        assert site.visit(browser, lambda: session.pop(kind("b"))).value == 2
        assert site.items(browser) == {"user": "ann"}

    @kinds
    def test_a_change_inside_of_what_it_found_is_noticed(self, site: Site, kind: type[str]) -> None:
        browser, _ = site.sign_in(cart=["tea"])
        site.visit(browser, lambda: session[kind("cart")].append("milk"))
        assert site.items(browser) == {"cart": ["tea", "milk"]}
        site.visit(browser, lambda: session.setdefault(kind("cart"), []).append("jam"))
        assert site.items(browser) == {"cart": ["tea", "milk", "jam"]}

    @kinds
    def test_it_names_an_owner(self, site: Site, kind: type[str]) -> None:
        def own() -> object:
            session["user"] = "ann"
            session.owner = kind("ann")
            return type(session.owner)

        browser = site.browser()
        assert site.visit(browser, own).value is str
        assert site.visit(browser, lambda: session.owner).value == "ann"
        with site.app.app_context():
            assert [each.owner for each in site.state.sessions.find(kind("ann"))] == ["ann"]
            assert site.state.sessions.end_all(kind("ann")) == 1


class TestOtherTypes:
    """They are in no session."""

    @others
    @pytest.mark.parametrize("loaded", [False, True], ids=["unloaded", "loaded"])
    def test_nothing_is_found_under_them(self, site: Site, name: t.Any, loaded: bool) -> None:
        def read() -> list[t.Any]:
            if loaded:
                dict(session)
            with pytest.raises(KeyError):
                session[name]
            return [name in session, session.get(name), session.get(name, "default")]

        browser, _ = site.sign_in(user="ann", **{"1": 1, "None": 2, "True": 3})
        assert site.visit(browser, read).value == [False, None, "default"]

    @others
    def test_they_can_not_be_removed(self, site: Site, name: t.Any) -> None:
        def remove() -> t.Any:
            with pytest.raises(KeyError):
                del session[name]
            with pytest.raises(KeyError):
                session.pop(name)
            return session.pop(name, "default")

        browser, _ = site.sign_in(user="ann")
        assert site.visit(browser, remove).value == "default"
        assert site.items(browser) == {"user": "ann"}

    @others
    def test_they_can_not_be_set(self, site: Site, name: t.Any) -> None:
        def store() -> str | None:
            for set_it in (
                lambda: session.__setitem__(name, 1),
                lambda: session.setdefault(name, 1),
                lambda: session.update({name: 1}),
            ):
                with pytest.raises(SerializationError) as caught:
                    set_it()
            return caught.value.key

        browser, _ = site.sign_in(user="ann")
        assert site.visit(browser, store).value == repr(name)
        assert site.items(browser) == {"user": "ann"}

    @pytest.mark.parametrize("owner", [1, b"ann", ("ann",), True], ids=repr)
    def test_they_own_nothing(self, site: Site, owner: t.Any) -> None:
        def own() -> None:
            with pytest.raises(SerializationError):
                session.owner = owner

        browser, _ = site.sign_in(user="ann")
        site.visit(browser, own)
        assert site.visit(browser, lambda: session.owner).value is None

    def test_what_can_not_be_hashed_is_refused_as_by_a_dict(self, site: Site) -> None:
        def read() -> None:
            with pytest.raises((KeyError, TypeError)):
                session[t.cast(t.Any, ["user"])]

        browser, _ = site.sign_in(user="ann")
        site.visit(browser, read)
        assert site.items(browser) == {"user": "ann"}


class TestAnyText:
    @texts
    def test_it_may_name_an_item(self, site: Site, text: str) -> None:
        browser = site.browser()
        site.visit(browser, lambda: session.update({"before": 1, text: ["tea"], "after": 2}))
        assert site.visit(browser, lambda: text in session).value is True
        site.visit(browser, lambda: session[text].append("milk"))
        assert list(site.items(browser).items()) == [
            ("before", 1),
            (text, ["tea", "milk"]),
            ("after", 2),
        ]
        assert site.visit(browser, lambda: session.pop(text)).value == ["tea", "milk"]
        assert site.items(browser) == {"before": 1, "after": 2}

    def test_all_of_them_fit_into_one_session(self, site: Site) -> None:
        """None of them is taken for another one: no normal form, no end at a NUL."""
        browser = site.browser()
        items = {text: number for number, text in enumerate(TEXTS.values())}
        site.visit(browser, lambda: session.update(items))
        assert site.items(browser) == items
        for text, number in items.items():
            assert site.visit(browser, functools.partial(item, text)).value == number

    @texts
    def test_it_may_be_an_owner(self, site: Site, text: str) -> None:
        browser, id = site.sign_in(user="ann")
        other, _ = site.sign_in(user="eve")
        site.visit(browser, lambda: setattr(session, "owner", text))
        site.visit(other, lambda: setattr(session, "owner", "eve"))
        assert site.visit(browser, lambda: session.owner).value == text
        with site.app.app_context():
            found = site.state.sessions.find(text)
            assert [(each.handle, each.owner) for each in found] == [(id[:10], text)]
            assert site.state.sessions.end_all(text) == 1
            assert site.state.sessions.find(text) == []
        assert site.items(browser) == {}
        assert site.items(other) == {"user": "eve"}
        site.sweep()
        (ended,) = site.named("session_ended")
        assert (ended["owner"], ended["items"]) == (text, {"user": "ann"})

    @texts
    def test_it_may_be_asked_for(self, site: Site, text: str) -> None:
        """Whatever a request or an administrator looks for, the answer is that there is none."""
        site.sign_in(user="ann")
        with site.app.app_context():
            assert site.state.sessions.find(text) == []
            assert site.state.sessions.end_all(text) == 0
            assert site.state.sessions.end(text) is False

    @pytest.mark.parametrize("engine", [each for each in ENGINES if each != "memory"])
    def test_it_outlives_a_restart(self, engine: str, tmp_path: pathlib.Path) -> None:
        url = engine_url(engine, tmp_path)
        items = {text: number for number, text in enumerate(TEXTS.values())}
        cookies: dict[str, str] = {}

        def store(owner: str) -> None:
            session.update(items)
            session.owner = owner

        before = Site(url)
        for text in TEXTS.values():
            cookie = before.visit(None, functools.partial(store, text)).cookie
            assert cookie
            cookies[text] = cookie
        before.close()

        after = Site(url, clock=before.clock)
        for text, cookie in cookies.items():
            assert after.items(f"session={cookie}") == items
            with after.app.app_context():
                (found,) = after.state.sessions.find(text)
            assert found.handle == cookie[:10]
        after.close()
