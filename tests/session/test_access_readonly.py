"""Readonly requests see one moment, wait for nobody and change nothing; `off` sees nothing."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import flask
import pytest

from flask_state import session
from flask_state import session_access
from flask_state.errors import SessionReadOnly
from tests.session.site import Site
from tests.session.together import Held
from tests.session.together import assert_free
from tests.session.together import facts_of
from tests.session.together import request
from tests.session.together import take_elsewhere

HOUR: t.Final = 3600

WRITES: t.Final[dict[str, cabc.Callable[[], t.Any]]] = {
    "assignment": lambda: session.__setitem__("user", "bob"),
    "a new item": lambda: session.__setitem__("new", 1),
    "del": lambda: session.__delitem__("user"),
    "del of nothing": lambda: session.__delitem__("nothing"),
    "pop": lambda: session.pop("user"),
    "pop of nothing": lambda: session.pop("nothing", None),
    "popitem": lambda: session.popitem(),
    "setdefault": lambda: session.setdefault("new", 1),
    "setdefault of what is there": lambda: session.setdefault("user", "bob"),
    "update": lambda: session.update(user="bob"),
    "update with nothing": lambda: session.update(),
    "clear": lambda: session.clear(),
    "owner": lambda: setattr(session, "owner", "ann"),
    "no owner": lambda: setattr(session, "owner", None),
    "timeout": lambda: setattr(session, "timeout", 5),
    "regenerate": lambda: session.regenerate(),
    "regenerate with grace": lambda: session.regenerate(grace=60),
    "abandon": lambda: session.abandon(),
    "flash": lambda: flask.flash("hello"),
}


def site_with_views(url: str, **config: t.Any) -> Site:
    """A site that has its view in each mode, with and without keeping sessions alive."""
    site = Site(url, **config)
    run: t.Any = site.app.view_functions["task"]
    for mode in ("readonly", "merge", "exclusive"):
        for alive in (True, False):
            name = mode if alive else f"poll-{mode}"
            view = session_access(mode, keep_alive=alive)(lambda: run())
            site.app.add_url_rule(f"/{name}", name, view, methods=["GET", "POST"])
    return site


@pytest.fixture
def site(url: str) -> cabc.Iterator[Site]:
    """A site on each engine, where a session lives for an hour."""
    site = site_with_views(url, PERMANENT_SESSION_LIFETIME=HOUR)
    yield site
    site.close()


@pytest.fixture(params=["GET", "POST"])
def method(request: pytest.FixtureRequest) -> str:
    """Readonly is what the view says, whatever the method."""
    return str(request.param)


class TestOneMoment:
    """What a readonly request reads is the last committed state as one consistent whole."""

    @pytest.mark.parametrize("count", [2, 3000], ids=["small", "large"])
    def test_items_read_later_come_from_the_same_moment(
        self, site: Site, method: str, count: int
    ) -> None:
        names = [f"item {n}" for n in range(count)]
        _, id = site.sign_in(**{name: [0] for name in names})

        def look() -> bool:
            assert session[names[0]] == [0]
            change = {name: [1] for name in [*names, "new"]}
            assert request(site, id, lambda: session.update(change)).response.status_code == 200
            last, more = session[names[-1]], "new" in session
            return last == [0] and not more and all(value == [0] for value in session.values())

        assert request(site, id, look, "/readonly", method).value is True
        assert set(map(str, site.items(f"session={id}").values())) == {"[1]"}

    @pytest.mark.parametrize("touch", ["handle", "len", "absent"])
    def test_the_moment_is_that_of_the_first_touch(self, site: Site, touch: str) -> None:
        """Whatever was touched."""
        _, id = site.sign_in(a=0)
        first: dict[str, cabc.Callable[[], t.Any]] = {
            "handle": lambda: session.handle,
            "len": lambda: len(session),
            "absent": lambda: session.get("absent"),
        }

        def look() -> dict[str, t.Any]:
            first[touch]()
            request(site, id, lambda: session.update(a=1, absent=1))
            return dict(session)

        assert request(site, id, look, "/readonly").value == {"a": 0}

    @pytest.mark.parametrize("ends", ["abandon", "regenerate"])
    def test_that_it_ended_or_was_renewed_meanwhile_takes_nothing_away(
        self, site: Site, ends: str
    ) -> None:
        _, id = site.sign_in(a=0, b={"x": 1})

        def look() -> dict[str, t.Any]:
            assert session["a"] == 0
            request(site, id, lambda: getattr(session, ends)())
            return dict(session)

        visit = request(site, id, look, "/readonly")
        assert (visit.value, visit.cookie) == ({"a": 0, "b": {"x": 1}}, None)
        assert site.named("session_conflict") == []

    def test_reload_is_the_next_moment(self, site: Site) -> None:
        _, id = site.sign_in(a=0, b=0)

        def look() -> list[t.Any]:
            before = session["a"]
            request(site, id, lambda: session.update(a=1, b=1))
            session.reload()
            return [before, session["b"]]

        assert request(site, id, look, "/readonly").value == [0, 1]


class TestNobodyWaits:
    """It takes no lease and waits for none."""

    def test_it_takes_none(self, site: Site, method: str) -> None:
        _, id = site.sign_in(a=0)
        before = facts_of(site, id)
        site.store.calls.clear()

        def look() -> None:
            assert dict(session)
            assert facts_of(site, id) == before

        request(site, id, look, "/readonly", method)
        assert site.store.calls == ["load"]

    def test_it_waits_for_none_in_its_process(self, site: Site, method: str) -> None:
        _, id = site.sign_in(a=0)
        with Held(site, id, lambda: session.update(a=1)):
            site.store.calls.clear()
            visit = request(site, id, lambda: session["a"], "/readonly", method)
            assert visit.value == 0
            assert site.store.calls == ["load"]
        assert request(site, id, lambda: session["a"], "/readonly", method).value == 1

    def test_it_waits_for_none_of_another_process(self, site: Site, method: str) -> None:
        _, id = site.sign_in(a=0)
        take_elsewhere(site, id)
        before = facts_of(site, id)
        assert request(site, id, lambda: session["a"], "/readonly", method).value == 0
        assert facts_of(site, id) == before, "nor does it ask for the lease"

    def test_a_post_goes_on_beside_it(self, site: Site) -> None:
        _, id = site.sign_in(a=0)
        with Held(site, id):
            pass

        def look() -> None:
            len(session)
            assert request(site, id, lambda: session.update(a=1)).response.status_code == 200

        request(site, id, look, "/readonly", "POST")
        assert_free(site, id)


class TestWriting:
    """It raises, and nothing is stored."""

    @pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
    def test_every_write_raises_and_says_why(
        self, site: Site, method: str, write: cabc.Callable[[], t.Any]
    ) -> None:
        _, id = site.sign_in(user="ann", cart=[1])
        before = site.store.store.inspect(id[:10])
        site.store.calls.clear()

        def task() -> t.Any:
            with pytest.raises(SessionReadOnly, match="readonly"):
                write()
            return dict(session)

        visit = request(site, id, task, "/readonly", method)
        assert visit.response.status_code == 200
        assert visit.value == {"user": "ann", "cart": [1]}
        assert visit.cookie is None
        assert site.store.calls == ["load"]
        assert site.store.store.inspect(id[:10]) == before

    @pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
    def test_for_a_new_visitor_too(self, site: Site, write: cabc.Callable[[], t.Any]) -> None:
        site.store.calls.clear()

        def task() -> None:
            assert session.new
            assert dict(session) == {}
            with pytest.raises(SessionReadOnly, match="readonly"):
                write()

        visit = request(site, None, task, "/readonly")
        assert (visit.response.status_code, visit.cookie) == (200, None)
        assert site.store.calls == []

    def test_uncaught_it_is_an_error_of_the_view(self, site: Site) -> None:
        _, id = site.sign_in(user="ann")
        with pytest.raises(SessionReadOnly):
            request(site, id, lambda: session.update(user="bob"), "/readonly")
        assert site.items(f"session={id}") == {"user": "ann"}

    def test_messages_can_not_be_taken_out_either(self, site: Site) -> None:
        """To show them is to remove them."""
        _, id = site.sign_in(user="ann")
        assert request(site, id, flask.get_flashed_messages, "/readonly").value == []
        request(site, id, lambda: flask.flash("hello"))
        with pytest.raises(SessionReadOnly):
            request(site, id, flask.get_flashed_messages, "/readonly")
        assert request(site, id, flask.get_flashed_messages).value == ["hello"]

    def test_a_change_inside_a_value_raises_when_it_would_be_saved(self, url: str) -> None:
        site = site_with_views(url, PROPAGATE_EXCEPTIONS=False)
        _, id = site.sign_in(user="ann", cart=[1])
        visit = request(site, id, lambda: session["cart"].append(2), "/readonly")
        assert (visit.response.status_code, visit.cookie) == (500, None)
        assert site.items(f"session={id}") == {"user": "ann", "cart": [1]}
        site.close()

    def test_and_names_the_item_where_it_propagates(self, site: Site) -> None:
        _, id = site.sign_in(user="ann", cart=[1])
        with pytest.raises(SessionReadOnly, match="'cart'"):
            request(site, id, lambda: session["cart"].append(2), "/readonly")
        assert site.items(f"session={id}") == {"user": "ann", "cart": [1]}

    def test_and_early_where_the_view_commits(self, site: Site) -> None:
        _, id = site.sign_in(cart=[1])

        def task() -> None:
            session["cart"].append(2)
            with pytest.raises(SessionReadOnly, match="'cart'"):
                session.commit()
            session.reload()

        assert request(site, id, task, "/readonly").response.status_code == 200
        assert site.items(f"session={id}") == {"cart": [1]}

    def test_a_handler_of_the_application_answers_for_it(self, site: Site) -> None:
        @site.app.errorhandler(SessionReadOnly)
        def handle(error: SessionReadOnly) -> tuple[str, int]:
            return "not here", 403

        _, id = site.sign_in(cart=[1])
        visit = request(site, id, lambda: session["cart"].append(2), "/readonly")
        assert (visit.response.status_code, visit.response.text) == (403, "not here")
        assert site.items(f"session={id}") == {"cart": [1]}

    def test_what_was_undone_is_no_change(self, site: Site) -> None:
        _, id = site.sign_in(cart=[1])
        visit = request(
            site, id, lambda: (session["cart"].append(2), session["cart"].pop()), "/readonly"
        )
        assert visit.response.status_code == 200

    def test_a_change_of_a_copy_is_no_change(self, site: Site) -> None:
        _, id = site.sign_in(user="ann")
        visit = request(site, id, lambda: session.copy().update(user="bob"), "/readonly")
        assert visit.response.status_code == 200


class TestKeepingAlive:
    """Whether a use counts toward the idle timeout."""

    @pytest.mark.parametrize("mode", ["readonly", "merge", "exclusive"])
    def test_a_poller_does_not_move_the_deadline(self, site: Site, mode: str) -> None:
        _, id = site.sign_in(user="ann")
        before = facts_of(site, id).expires
        for _ in range(10):
            site.clock.advance(HOUR / 10)
            visit = request(site, id, lambda: session["user"], f"/poll-{mode}")
            assert (visit.value, visit.cookie) == ("ann", None)
            assert facts_of(site, id).expires == before
        site.clock.advance(HOUR / 5)
        assert site.items(f"session={id}") == {}

    @pytest.mark.parametrize("mode", ["readonly", "merge", "exclusive"])
    def test_any_other_view_does(self, site: Site, mode: str) -> None:
        _, id = site.sign_in(user="ann")
        for _ in range(30):
            site.clock.advance(HOUR / 10)
            assert request(site, id, lambda: session["user"], f"/{mode}").value == "ann"
        assert facts_of(site, id).expires > site.clock.time() + HOUR

    @pytest.mark.parametrize("mode", ["readonly", "merge", "exclusive"])
    def test_a_poller_does_not_send_a_permanent_cookie_again(self, site: Site, mode: str) -> None:
        _, id = site.sign_in(user="ann")
        lasting = request(site, id, lambda: setattr(session, "permanent", True)).cookie
        assert lasting == f"{id}.p"
        for task in (lambda: session["user"], lambda: None):
            assert request(site, lasting, task, f"/poll-{mode}").cookie is None
            assert request(site, lasting, task, f"/{mode}").cookie == lasting

    @pytest.mark.parametrize("mode", ["merge", "exclusive"])
    def test_what_a_poller_writes_is_stored_and_moves_no_deadline(
        self, site: Site, mode: str
    ) -> None:
        _, id = site.sign_in(n=0)
        before = facts_of(site, id).expires
        site.clock.advance(HOUR / 2)
        visit = request(site, id, lambda: session.update(n=1), f"/poll-{mode}")
        assert visit.response.status_code == 200
        assert facts_of(site, id).expires == before
        assert site.items(f"session={id}") == {"n": 1}

    def test_a_touch_of_a_readonly_view_writes_no_item(self, site: Site) -> None:
        _, id = site.sign_in(user="ann", cart=[1])
        site.clock.advance(HOUR / 2)
        request(site, id, lambda: session["cart"], "/readonly")
        touch = site.store.changes[-1]
        assert (dict(touch.items), touch.clear, touch.lease) == ({}, None, None)
        assert touch.lives


class TestOff:
    """It reads as empty and costs nothing."""

    def test_it_reads_as_empty_and_asks_no_store(self, site: Site) -> None:
        _, id = site.sign_in(user="ann")
        site.store.calls.clear()
        visit = site.visit(f"session={id}", lambda: (dict(session), session.handle), "/off")
        assert visit.value == ({}, None)
        assert (site.store.calls, visit.cookie) == ([], None)
        assert site.items(f"session={id}") == {"user": "ann"}

    @pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
    def test_every_write_says_why_not(self, site: Site, write: cabc.Callable[[], t.Any]) -> None:
        _, id = site.sign_in(user="ann")

        def task() -> None:
            with pytest.raises(SessionReadOnly, match=r'@session_access\("off"\)'):
                write()

        assert site.visit(f"session={id}", task, "/off").response.status_code == 200
        assert site.items(f"session={id}") == {"user": "ann"}

    def test_it_waits_for_nobody(self, site: Site) -> None:
        _, id = site.sign_in(user="ann")
        with Held(site, id):
            assert site.visit(f"session={id}", lambda: dict(session), "/off").value == {}
