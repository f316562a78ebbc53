"""However a request ends, its lease does not stay."""

from __future__ import annotations

import collections.abc as cabc
import threading
import typing as t

import flask
import pytest

from flask_state import session
from flask_state.errors import SerializationError
from tests.session.site import Site
from tests.session.together import LONG
from tests.session.together import Held
from tests.session.together import Waiters
from tests.session.together import assert_free
from tests.session.together import is_leased
from tests.session.together import leases_of
from tests.session.together import request
from tests.session.together import start


class Fault(Exception):
    """What views raise here."""


def count_up() -> int:
    """What every second request of a shop does."""
    session["n"] += 1
    value: int = session["n"]
    return value


@pytest.fixture
def quiet(url: str) -> cabc.Iterator[Site]:
    """A site that answers errors with 500, as in production."""
    site = Site(url, PROPAGATE_EXCEPTIONS=False)
    yield site
    site.close()


def assert_nothing_stored(site: Site, id: str) -> None:
    """The change was dropped, and the lease given back."""
    assert site.items(f"session={id}") == {"n": 0}
    assert_free(site, id)


def and_raise() -> None:
    """A view that fails after its change."""
    count_up()
    raise Fault


class TestErrors:
    """In the view, around it, and in saving."""

    def test_an_error_that_propagates(self, site: Site) -> None:
        _, id = site.sign_in(n=0)
        with pytest.raises(Fault):
            request(site, id, and_raise)
        assert_nothing_stored(site, id)

    def test_an_error_that_becomes_a_500(self, quiet: Site) -> None:
        _, id = quiet.sign_in(n=0)
        assert request(quiet, id, and_raise).response.status_code == 500
        assert_nothing_stored(quiet, id)

    def test_an_error_that_is_handled(self, site: Site) -> None:
        """What the handler's answer keeps is stored: it is no error any more."""
        site.app.register_error_handler(Fault, lambda error: "sorry")
        _, id = site.sign_in(n=0)
        assert request(site, id, and_raise).response.text == "sorry"
        assert site.items(f"session={id}") == {"n": 1}
        assert_free(site, id)

    @pytest.mark.parametrize("status", [500, 503])
    def test_an_answer_that_is_an_error(self, site: Site, status: int) -> None:
        _, id = site.sign_in(n=0)
        visit = request(site, id, lambda: (count_up(), flask.Response(status=status))[1])
        assert visit.response.status_code == status
        assert_nothing_stored(site, id)

    @pytest.mark.parametrize(("status", "stored"), [(404, 1), (401, 1), (500, 0)])
    def test_abort(self, site: Site, status: int, stored: int) -> None:
        _, id = site.sign_in(n=0)
        visit = request(site, id, lambda: (count_up(), flask.abort(status)))
        assert visit.response.status_code == status
        assert site.items(f"session={id}") == {"n": stored}
        assert_free(site, id)

    def test_a_handler_that_fails_itself(self, site: Site) -> None:
        def handle(error: Fault) -> str:
            raise LookupError

        site.app.register_error_handler(Fault, handle)
        _, id = site.sign_in(n=0)
        with pytest.raises(LookupError):
            request(site, id, and_raise)
        assert_nothing_stored(site, id)

    def test_after_request_that_fails(self, quiet: Site) -> None:
        """Flask saves no session then."""

        @quiet.app.after_request
        def fail(response: flask.Response) -> flask.Response:
            if flask.request.method == "POST" and "fails" in flask.request.args:
                raise Fault
            return response

        _, id = quiet.sign_in(n=0)
        assert request(quiet, id, count_up, "/?fails").response.status_code == 500
        assert_nothing_stored(quiet, id)

    def test_teardown_that_fails_after_the_save(self, site: Site) -> None:
        @site.app.teardown_request
        def fail(error: BaseException | None) -> None:
            if "fails" in flask.request.args:
                raise Fault

        _, id = site.sign_in(n=0)
        with pytest.raises(Fault):
            request(site, id, count_up, "/?fails")
        assert site.items(f"session={id}") == {"n": 1}
        assert_free(site, id)

    def test_a_value_that_can_not_be_stored(self, site: Site) -> None:
        _, id = site.sign_in(n=0)
        with pytest.raises(SerializationError):
            request(site, id, lambda: session.update(n=object()))
        assert_nothing_stored(site, id)

    @pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
    def test_an_error_that_ends_a_worker(self, site: Site, error: type[BaseException]) -> None:
        """gevent's and gunicorn's are of this kind, too."""
        _, id = site.sign_in(n=0)

        def task() -> None:
            count_up()
            raise error

        with pytest.raises(error):
            request(site, id, task)
        assert_nothing_stored(site, id)

    def test_those_behind_go_on_at_once(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        _, id = site.sign_in(n=0)
        waiters = Waiters(monkeypatch)
        first = Held(site, id, and_raise)
        other = start(lambda: request(site, id, count_up))
        waiters.next()
        with pytest.raises(Fault):
            first.let_go()
        assert other.result(LONG).value == 1
        assert_free(site, id)


class TestWithoutAnAnswer:
    """Contexts that end without a response: Flask saves no session."""

    def headers(self, id: str) -> dict[str, str]:
        return {"Cookie": f"session={id}"}

    def test_a_context_that_is_left(self, site: Site) -> None:
        _, id = site.sign_in(n=0)
        with site.app.test_request_context(method="POST", headers=self.headers(id)):
            assert count_up() == 1
            assert is_leased(site, id)
        assert_nothing_stored(site, id)

    def test_a_context_that_is_left_by_an_error(self, site: Site) -> None:
        _, id = site.sign_in(n=0)
        with (
            pytest.raises(Fault),
            site.app.test_request_context(method="POST", headers=self.headers(id)),
        ):
            and_raise()
        assert_nothing_stored(site, id)

    def test_a_context_in_another_thread(self, site: Site) -> None:
        _, id = site.sign_in(n=0)

        def work() -> int:
            with site.app.test_request_context(method="POST", headers=self.headers(id)):
                return count_up()

        assert start(work).result(LONG) == 1
        assert_nothing_stored(site, id)

    def test_a_client_that_keeps_the_context_after_the_answer(self, site: Site) -> None:
        """The lease went with the answer; what is read then takes none."""
        browser, id = site.sign_in(n=0)
        environ = {"tests.task": count_up, "tests.done": lambda answer: None}
        with browser:
            browser.post("/", environ_overrides=environ)
            assert not is_leased(site, id)
            assert flask.session["n"] == 1
            assert not is_leased(site, id)
        assert_free(site, id)


class TestEarly:
    """A request may be done with the session before it is done."""

    def test_commit_gives_it_back_and_the_next_touch_takes_it_again(self, site: Site) -> None:
        _, id = site.sign_in(n=0)

        def task() -> list[t.Any]:
            seen: list[t.Any] = [count_up()]
            session.commit()
            seen.append(is_leased(site, id))
            seen.append(request(site, id, count_up).value)
            seen.append(count_up())
            seen.append(is_leased(site, id))
            return seen

        assert request(site, id, task).value == [1, False, 2, 3, True]
        assert site.items(f"session={id}") == {"n": 3}
        assert site.named("session_conflict") == []
        assert_free(site, id)

    def test_commit_of_no_change_gives_it_back(self, site: Site) -> None:
        _, id = site.sign_in(n=0)
        visit = request(site, id, lambda: (session["n"], session.commit(), is_leased(site, id))[-1])
        assert visit.value is False
        assert_free(site, id)

    def test_after_commit_others_go_on_while_the_view_does(
        self, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waiters, committed, go = Waiters(monkeypatch), threading.Event(), threading.Event()
        _, id = site.sign_in(n=0)

        def slow() -> None:
            count_up()
            session.commit()
            committed.set()
            assert go.wait(LONG)

        first = start(lambda: request(site, id, slow))
        assert committed.wait(LONG)
        assert request(site, id, count_up).value == 2
        go.set()
        first.result(LONG)
        assert waiters._seen.empty()
        assert_free(site, id)

    def test_commit_that_fails_gives_it_back(self, site: Site) -> None:
        _, id = site.sign_in(n=0)

        def task() -> bool:
            session["bad"] = object()
            with pytest.raises(SerializationError):
                session.commit()
            leased = is_leased(site, id)
            session.reload()
            return leased

        assert request(site, id, task).value is False
        assert_nothing_stored(site, id)

    def test_abandon_gives_it_back(self, site: Site) -> None:
        _, id = site.sign_in(n=0)
        seen = []

        def task() -> None:
            count_up()
            session.abandon()
            seen.append(dict(leases_of(site)._lines))

        visit = request(site, id, task)
        assert seen == [{}]
        assert visit.cookie == ""
        assert site.items(f"session={id}") == {}

    def test_what_begins_after_abandon_is_another_session(self, site: Site) -> None:
        _, id = site.sign_in(n=0)
        visit = request(site, id, lambda: (count_up(), session.abandon(), session.update(n=7)))
        assert visit.cookie
        assert site.items(f"session={visit.cookie}") == {"n": 7}
        assert_free(site, visit.cookie)

    def test_regenerate_gives_it_back_with_the_save(self, site: Site) -> None:
        _, id = site.sign_in(n=0)
        visit = request(site, id, lambda: (count_up(), session.regenerate()))
        assert visit.cookie not in (None, "", id)
        assert site.items(f"session={visit.cookie}") == {"n": 1}
        assert_free(site, visit.cookie)

    def test_clear_that_ends_the_session_gives_it_back(self, site: Site) -> None:
        _, id = site.sign_in(n=0)
        assert request(site, id, lambda: session.clear()).cookie == ""
        assert leases_of(site)._lines == {}

    def test_reload_keeps_it(self, site: Site) -> None:
        _, id = site.sign_in(n=0)

        def task() -> None:
            count_up()
            request(site, id, lambda: session.update(m=1), method="GET")
            site.store.changes.clear()
            session.reload()
            assert is_leased(site, id)
            assert session["n"] == 0
            count_up()

        request(site, id, task)
        assert [change.lease for change in site.store.changes] == [0.0]
        assert site.items(f"session={id}") == {"n": 1, "m": 1}
        assert site.named("session_conflict") == []
        assert_free(site, id)

    def test_a_session_that_was_revoked_meanwhile_leaves_nothing(self, site: Site) -> None:
        _, id = site.sign_in(n=0)

        def task() -> None:
            count_up()
            assert site.state.sessions.end(id[:10])

        visit = request(site, id, task)
        assert (visit.response.status_code, visit.cookie) == (200, None)
        assert leases_of(site)._lines == {}
        (told,) = site.named("session_conflict")
        assert told["reason"] == "gone"
