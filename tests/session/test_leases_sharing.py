"""Who shares a lease, and who can't wait for it without waiting forever."""

from __future__ import annotations

import asyncio
import collections.abc as cabc
import threading
import typing as t

import flask
import pytest

from flask_state import session
from tests.session.site import COOKIE
from tests.session.site import Site
from tests.session.together import LONG
from tests.session.together import Held
from tests.session.together import assert_free
from tests.session.together import facts_of
from tests.session.together import is_leased
from tests.session.together import request
from tests.session.together import start


def count_up() -> int:
    """What every second request of a shop does."""
    session["n"] += 1
    value: int = session["n"]
    return value


class TestOneRequest:
    """All that belongs to a request has its lease."""

    def test_a_thread_with_a_copy_of_the_context(self, site: Site) -> None:
        _, id = site.sign_in(n=0)
        site.store.calls.clear()

        def task() -> list[t.Any]:
            seen: list[t.Any] = [count_up()]
            seen.append(start(flask.copy_current_request_context(count_up)).result(LONG))
            # The copy has ended, and the request hasn't.
            seen.append(is_leased(site, id))
            seen.append(count_up())
            return seen

        assert request(site, id, task).value == [1, 2, True, 3]
        assert site.store.calls == ["load", "commit"]
        assert site.items(f"session={id}") == {"n": 3}
        assert_free(site, id)

    def test_a_thread_that_touches_it_first(self, site: Site) -> None:
        _, id = site.sign_in(n=0)

        def task() -> int:
            copy = flask.copy_current_request_context(count_up)
            return start(copy).result(LONG) + count_up()

        assert request(site, id, task).value == 1 + 2
        assert site.items(f"session={id}") == {"n": 2}
        assert_free(site, id)

    def test_threads_that_touch_it_at_once_load_it_once(self, site: Site) -> None:
        _, id = site.sign_in(n=0)
        before = facts_of(site, id).fence
        met = threading.Barrier(4)

        def look() -> int:
            met.wait(LONG)
            return t.cast(int, session["n"])

        def task() -> list[int]:
            copies = [flask.copy_current_request_context(look) for _ in range(4)]
            return [each.result(LONG) for each in [start(copy) for copy in copies]]

        assert request(site, id, task).value == [0] * 4
        assert facts_of(site, id).fence <= before + 1
        assert_free(site, id)

    def test_an_async_view(self, site: Site) -> None:
        async def view() -> str:
            count_up()
            await asyncio.sleep(0)
            count_up()
            return str(is_leased(site, flask.request.cookies[COOKIE]))

        site.app.add_url_rule("/async", "async", view, methods=["POST"])
        _, id = site.sign_in(n=0)
        site.store.calls.clear()
        visit = request(site, id, lambda: None, "/async")
        assert visit.response.text == "True"
        assert site.store.calls == ["load", "commit"]
        assert site.items(f"session={id}") == {"n": 2}
        assert_free(site, id)

    def test_async_views_wait_for_each_other(self, site: Site) -> None:
        async def view() -> str:
            count_up()
            await asyncio.sleep(0)
            return ""

        site.app.add_url_rule("/async", "async", view, methods=["POST"])
        _, id = site.sign_in(n=0)
        others = [start(lambda: request(site, id, lambda: None, "/async")) for _ in range(8)]
        assert {other.result(LONG).response.status_code for other in others} == {200}
        assert site.items(f"session={id}") == {"n": 8}
        assert_free(site, id)

    def test_hooks_around_the_view(self, site: Site) -> None:
        site.app.before_request(lambda: session.update(n=1) if "n" in session else None)

        @site.app.after_request
        def after(response: flask.Response) -> flask.Response:
            if "n" in session:
                count_up()
            return response

        _, id = site.sign_in(n=0)
        site.store.calls.clear()
        request(site, id, count_up)
        assert site.store.calls == ["load", "commit"]
        assert_free(site, id)


class TestStreaming:
    """The lease goes with the head of the response, whatever the body does."""

    @pytest.mark.parametrize("touched", [True, False])
    def test_what_the_body_does_takes_no_lease(self, site: Site, touched: bool) -> None:
        """Nobody knows for how long it goes on. What it writes is merged when it ends."""
        _, id = site.sign_in(n=0)
        seen = []

        def body() -> cabc.Iterator[str]:
            session["streamed"] = True
            seen.append(is_leased(site, id))
            seen.append(request(site, id, count_up).value)
            yield "x"

        def task() -> flask.Response:
            if touched:
                count_up()
            return flask.Response(flask.stream_with_context(body()))

        assert request(site, id, task).response.text == "x"
        assert seen == [False, 1 + touched]
        assert site.items(f"session={id}") == {"n": 1 + touched, "streamed": True}
        assert_free(site, id)

    def test_a_body_that_nobody_reads(self, site: Site) -> None:
        _, id = site.sign_in(n=0)

        def task() -> flask.Response:
            count_up()
            return flask.Response(flask.stream_with_context(iter(["a", "b"])))

        environ = {"tests.task": task, "tests.done": lambda answer: None}
        client = site.app.test_client(use_cookies=False)
        response = client.post("/", environ_overrides=environ, headers={"Cookie": f"{COOKIE}={id}"})
        assert not is_leased(site, id)
        response.close()
        assert_free(site, id)


class TestOneself:
    """Whoever has the lease can't wait for itself: the inner one goes on without."""

    def test_session_transaction_in_a_view(self, site: Site) -> None:
        browser, id = site.sign_in(n=0)

        def task() -> None:
            count_up()
            with browser.session_transaction() as inner:
                inner["m"] = inner["n"]

        assert request(site, id, task).response.status_code == 200
        assert site.items(f"session={id}") == {"n": 1, "m": 0}
        assert_free(site, id)

    def test_session_transaction_outside_waits_for_nobody(self, site: Site) -> None:
        browser, id = site.sign_in(n=0)
        with Held(site, id, count_up), browser.session_transaction(method="POST") as inner:
            inner["m"] = inner["n"]
        assert site.items(f"session={id}") == {"n": 1, "m": 0}
        assert_free(site, id)

    @pytest.mark.parametrize("first", ["outer", "inner"])
    def test_a_nested_context(self, site: Site, first: str) -> None:
        _, id = site.sign_in(n=0)
        headers = {"Cookie": f"{COOKIE}={id}"}

        def task() -> list[t.Any]:
            seen: list[t.Any] = [count_up()] if first == "outer" else []
            with site.app.test_request_context(method="POST", headers=headers):
                seen.append(session["n"])
                seen.append(is_leased(site, id))
            seen.append(is_leased(site, id))
            seen.append(count_up())
            return seen

        seen = request(site, id, task).value
        assert seen == ([1, 0, True, True, 2] if first == "outer" else [0, True, False, 1])
        assert_free(site, id)

    def test_a_nested_request(self, site: Site) -> None:
        """The outer one goes on with what it saw, and has the lease until its end."""
        _, id = site.sign_in(n=0)

        def task() -> list[t.Any]:
            seen = [session["n"]]
            inner = request(site, id, lambda: session.update(m=session["n"] + 1))
            seen += [inner.response.status_code, is_leased(site, id)]
            count_up()
            return seen

        assert request(site, id, task).value == [0, 200, True]
        assert site.items(f"session={id}") == {"n": 1, "m": 1}
        assert site.named("session_conflict") == []
        assert_free(site, id)

    def test_a_nested_request_in_a_nested_request(self, site: Site) -> None:
        _, id = site.sign_in(n=0)

        def inner() -> None:
            len(session)
            request(site, id, lambda: session.update(deep=1))
            session["inner"] = 1

        def outer() -> None:
            count_up()
            request(site, id, inner)

        assert request(site, id, outer).response.status_code == 200
        assert site.items(f"session={id}") == {"n": 1, "deep": 1, "inner": 1}
        assert_free(site, id)

    def test_a_nested_request_that_ends_the_session(self, site: Site) -> None:
        _, id = site.sign_in(n=0)

        def task() -> None:
            count_up()
            request(site, id, lambda: session.abandon())

        assert request(site, id, task).response.status_code == 200
        assert site.items(f"session={id}") == {}
        assert [told["reason"] for told in site.named("session_conflict")] == ["gone"]

    def test_two_sessions_in_one_view(self, site: Site) -> None:
        _, one = site.sign_in(n=0)
        _, other = site.sign_in(n=0)

        def task() -> list[t.Any]:
            seen: list[t.Any] = [count_up(), request(site, other, count_up).value]
            with site.app.test_request_context(
                method="POST", headers={"Cookie": f"{COOKIE}={other}"}
            ):
                len(session)
                seen += [is_leased(site, one), is_leased(site, other)]
                seen.append(request(site, one, lambda: session["n"]).value)
                seen.append(request(site, other, count_up).value)
            seen += [is_leased(site, one), is_leased(site, other)]
            return seen

        assert request(site, one, task).value == [1, 1, True, True, 0, 2, True, False]
        assert site.items(f"session={one}") == {"n": 1}
        assert site.items(f"session={other}") == {"n": 2}
        assert_free(site, one)
        assert_free(site, other)

    def test_a_request_after_another_one_in_the_same_thread_waits_again(self, site: Site) -> None:
        """That it once had a lease gives nobody the right to pass others."""
        _, id = site.sign_in(n=0)
        for expected in (1, 2, 3):
            assert request(site, id, count_up).value == expected
        with Held(site, id) as held:
            other = start(lambda: (request(site, id, count_up), request(site, id, count_up)))
            held.let_go()
            assert [visit.value for visit in other.result(LONG)] == [4, 5]


class TestSavingManyTimes:
    """Flask-SocketIO keeps a context, and saves the session after every message."""

    def test_every_save_gives_it_back(self, site: Site) -> None:
        _, id = site.sign_in(n=0)
        interface = site.app.session_interface
        headers = {"Cookie": f"{COOKIE}={id}"}
        with site.app.test_request_context(method="POST", headers=headers):
            for expected in (1, 2, 3, 4):
                assert count_up() == expected
                own = session._get_current_object()  # type: ignore[attr-defined]
                interface.save_session(site.app, own, site.app.response_class())
                assert not is_leased(site, id)
                assert request(site, id, lambda: session["n"]).value == expected
        assert site.items(f"session={id}") == {"n": 4}
        assert_free(site, id)

    def test_saving_what_was_not_touched_takes_none(self, site: Site) -> None:
        _, id = site.sign_in(n=0)
        interface = site.app.session_interface
        site.store.calls.clear()
        with site.app.test_request_context(method="POST", headers={"Cookie": f"{COOKIE}={id}"}):
            own = session._get_current_object()  # type: ignore[attr-defined]
            for _ in range(3):
                interface.save_session(site.app, own, site.app.response_class())
        assert site.store.calls == []
