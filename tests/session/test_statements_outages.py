"""Security statement S71: the store fails. A name holds the number."""

from __future__ import annotations

import collections.abc as cabc
import logging
import typing as t

import flask
import pytest

from flask_state import session
from flask_state.errors import StoreError
from tests.session.site import Site

# S71


@pytest.fixture
def outage(site: Site) -> t.Iterator[tuple[Site, str]]:
    """A site whose store has just failed, and the id of a session in it."""
    _, id = site.sign_in(user="ann")
    site.store.calls.clear()
    with site.store.unplugged():
        yield site, id


@pytest.mark.parametrize(
    "task",
    [
        lambda: session.get("user"),
        lambda: session.update(a=1),
        lambda: "user" in session,
        lambda: session.regenerate(),
        lambda: session.abandon(),
        lambda: len(session),
    ],
    ids=["read", "write", "in", "regenerate", "abandon", "len"],
)
def test_s71_a_request_that_needs_the_session_gets_503_after_one_try(
    outage: tuple[Site, str], task: cabc.Callable[[], t.Any]
) -> None:
    site, id = outage
    visit = site.visit(f"session={id}", task)
    assert visit.response.status_code == 503
    assert int(visit.response.headers["Retry-After"]) > 0
    assert visit.response.headers.getlist("Set-Cookie") == []
    assert len(site.store.calls) == 1


def test_s71_what_the_client_is_told_holds_no_detail(outage: tuple[Site, str]) -> None:
    site, id = outage
    text = site.visit(f"session={id}", lambda: session["user"]).response.text
    assert "unplugged" not in text
    assert site.store.engine not in text


def test_s71_other_requests_do_not_notice(outage: tuple[Site, str]) -> None:
    site, id = outage
    for header in (f"session={id}", "session=x", None):
        assert site.visit(header, lambda: None).response.status_code == 200
    assert site.visit(None, lambda: dict(session)).value == {}
    assert site.visit("session=x", lambda: session.get("a")).response.status_code == 200
    assert site.store.calls == []


def test_s71_a_view_without_a_session_does_not_notice(outage: tuple[Site, str]) -> None:
    site, id = outage

    assert site.visit(f"session={id}", lambda: session.get("user"), "/off").value is None
    client = site.app.test_client(use_cookies=False)
    assert client.get("/static/missing", headers={"Cookie": f"session={id}"}).status_code == 404
    assert site.store.calls == []


def test_s71_a_save_that_fails_is_503_and_sets_no_cookie(site: Site) -> None:
    def task() -> None:
        session["user"] = "ann"
        site.store.failing = True

    visit = site.visit(None, task)
    assert visit.response.status_code == 503
    assert visit.response.headers["Retry-After"]
    assert visit.cookie is None
    site.store.failing = False


def test_s71_a_users_error_handler_answers(site: Site) -> None:
    @site.app.errorhandler(StoreError)
    def sorry(error: StoreError) -> tuple[str, int]:
        return f"sorry: {error.engine} {error.operation}", 503

    def task() -> None:
        session["user"] = "ann"
        site.store.failing = True

    response = site.visit(None, task).response
    assert response.status_code == 503
    assert response.text == f"sorry: {site.store.engine} commit"
    site.store.failing = False


def test_s71_where_configured_the_session_is_empty_and_not_saved(url: str) -> None:
    site = Site(url, STATE_SESSION_ON_OUTAGE="empty")
    _, id = site.sign_in(user="ann")
    with site.store.unplugged():
        visit = site.visit(f"session={id}", lambda: dict(session))
        assert (visit.response.status_code, visit.value) == (200, {})
        assert visit.response.headers.getlist("Set-Cookie") == []
    assert site.items(f"session={id}") == {"user": "ann"}
    site.close()


def test_s71_an_outage_signs_nobody_out(outage: tuple[Site, str]) -> None:
    site, id = outage
    for _ in range(3):
        site.visit(f"session={id}", lambda: session.get("user"))
    site.store.failing = False
    assert site.items(f"session={id}") == {"user": "ann"}


def test_s71_an_outage_is_told_once_and_its_end_too(
    outage: tuple[Site, str], caplog: pytest.LogCaptureFixture
) -> None:
    site, id = outage
    for _ in range(2):
        site.store.failing = True
        site.events.clear()
        caplog.clear()
        for _ in range(3):
            site.visit(f"session={id}", lambda: session.get("user"))
        site.store.failing = False
        for _ in range(3):
            site.items(f"session={id}")
        assert [event.name for event in site.events] == ["store_down", "store_up"]
        levels = [record.levelno for record in caplog.records]
        assert levels == [logging.ERROR, logging.WARNING]


def test_s71_a_touch_after_the_view_fails_softly(outage: tuple[Site, str]) -> None:
    """Flask-Login looks into the session after every view."""
    site, id = outage

    def look(response: flask.Response) -> flask.Response:
        response.headers["X-Seen"] = str("_remember" in session)
        return response

    visit = site.visit(f"session={id}", lambda: flask.after_this_request(look) and None)
    assert visit.response.status_code == 200
    assert visit.response.headers["X-Seen"] == "False"
    assert visit.response.headers.getlist("Set-Cookie") == []
