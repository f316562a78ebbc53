"""Security statements S40 and S45: headers. A test's name holds the statement's number."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import flask
import pytest

from flask_state import session
from tests.session.site import Site
from tests.session.site import Visit


def varies(visit: Visit) -> bool:
    """Whether the response says that it depends on the cookie."""
    return "cookie" in visit.response.vary


TOUCHES: t.Final[dict[str, cabc.Callable[[], t.Any]]] = {
    "item": lambda: session["user"],
    "get": lambda: session.get("nobody"),
    "in": lambda: "user" in session,
    "len": lambda: len(session),
    "iteration": lambda: [name for name in session],
    "reversed": lambda: list(reversed(session)),
    "keys": lambda: list(session.keys()),
    "values": lambda: list(session.values()),
    "items": lambda: list(session.items()),
    "bool": lambda: bool(session),
    "if": lambda: 1 if session else 2,
    "repr": lambda: repr(session),
    "str": lambda: str(session),
    "equal": lambda: session == {},
    "at": lambda: session.at(0),
    "copy": lambda: session.copy(),
    "dict": lambda: dict(session),
    "new": lambda: session.new,
    "modified": lambda: session.modified,
    "permanent": lambda: session.permanent,
    "handle": lambda: session.handle,
    "owner": lambda: session.owner,
    "timeout": lambda: session.timeout,
    "reload": lambda: session.reload(),
    "commit": lambda: session.commit(),
    "template": lambda: flask.render_template_string("{{ session.user }}"),
    "flashes": lambda: flask.get_flashed_messages(),
    "object": lambda: session._get_current_object(),  # type: ignore[attr-defined]
    "set": lambda: session.update(a=1),
    "pop": lambda: session.pop("user"),
    "clear": lambda: session.clear(),
    "setdefault": lambda: session.setdefault("user", 1),
    "set permanent": lambda: setattr(session, "permanent", True),
    "set modified": lambda: setattr(session, "modified", True),
    "set owner": lambda: setattr(session, "owner", "ann"),
    "set timeout": lambda: setattr(session, "timeout", 60),
    "regenerate": lambda: session.regenerate(),
    "abandon": lambda: session.abandon(),
    "flash": lambda: flask.flash("hello"),
}


@pytest.mark.parametrize("touch", TOUCHES.values(), ids=TOUCHES)
@pytest.mark.parametrize("sort", ["stored", "permanent", "unknown", "none"])
def test_s40_whatever_touches_the_session_varies_by_cookie(
    touch: cabc.Callable[[], t.Any], sort: str
) -> None:
    site = Site()
    started = site.visit(
        None, lambda: (session.update(user="ann"), setattr(session, "permanent", sort[0] == "p"))
    )
    headers = {"unknown": f"session={'a' * 36}", "none": None}
    header = headers.get(sort, f"session={started.cookie}")

    def task() -> None:
        try:
            touch()
        except (KeyError, IndexError):
            assert sort in ("unknown", "none")

    assert varies(site.visit(header, task))


@pytest.mark.parametrize("sort", ["stored", "unknown", "none", "malformed"])
def test_s40_what_ignores_the_session_does_not_vary(site: Site, sort: str) -> None:
    _, id = site.sign_in()
    texts = {"stored": id, "unknown": "a" * 36, "malformed": "x"}
    visit = site.visit(f"session={texts[sort]}" if sort in texts else None, lambda: None)
    assert not varies(visit)
    assert visit.cookie is None


def test_s40_a_cookie_that_is_sent_again_varies(site: Site) -> None:
    """CVE-2023-30861: nobody touched the session, and its cookie is refreshed all the same."""
    started = site.visit(
        None, lambda: (session.update(user="ann"), setattr(session, "permanent", True))
    )
    visit = site.visit(f"session={started.cookie}", lambda: None)
    assert visit.cookie == started.cookie
    assert varies(visit)


def test_s40_without_the_refresh_it_is_neither_sent_nor_varied(url: str) -> None:
    site = Site(url, SESSION_REFRESH_EACH_REQUEST=False)
    started = site.visit(
        None, lambda: (session.update(user="ann"), setattr(session, "permanent", True))
    )
    visit = site.visit(f"session={started.cookie}", lambda: None)
    assert visit.cookie is None
    assert not varies(visit)
    site.close()


@pytest.mark.parametrize(
    "task",
    [
        lambda: session.abandon(),
        lambda: session.clear(),
        lambda: flask.Response(status=500, response=repr(session.get("user"))),
        lambda: flask.abort(404, len(session)),
        lambda: flask.redirect("/", 302, flask.Response) if session else None,
    ],
    ids=["abandoned", "cleared", "500", "404", "redirect"],
)
def test_s40_it_holds_for_every_kind_of_answer(site: Site, task: cabc.Callable[[], t.Any]) -> None:
    browser, _ = site.sign_in(user="ann")
    assert varies(site.visit(browser, task))


def test_s40_what_the_view_says_of_vary_stays(site: Site) -> None:
    browser, _ = site.sign_in(user="ann")
    for given, expected in [
        ("Accept-Encoding", {"accept-encoding", "cookie"}),
        ("cookie", {"cookie"}),
        ("Accept, Cookie", {"accept", "cookie"}),
        ("*", {"*", "cookie"}),
    ]:

        def task(given: str = given) -> flask.Response:
            assert session["user"] == "ann"
            return flask.Response("", headers={"Vary": given})

        response = site.visit(browser, task).response
        assert {name.lower() for name in response.vary} == expected
        assert len([each for each in response.vary if each.lower() == "cookie"]) <= 1


def test_s40_a_hook_that_looks_is_a_look(site: Site) -> None:
    @site.app.after_request
    def look(response: flask.Response) -> flask.Response:
        response.headers["X-Signed-In"] = str("user" in session)
        return response

    assert varies(site.visit(None, lambda: None))


def test_s40_a_view_without_a_session_does_not_vary(site: Site) -> None:
    browser, _ = site.sign_in(user="ann")
    visit = site.visit(browser, lambda: session.get("user"), "/off")
    assert visit.value is None
    assert "Vary" not in visit.response.headers
    assert visit.cookie is None


# S45


@pytest.mark.parametrize(
    "text",
    [
        "a\r\nSet-Cookie: evil=1",
        "a" * 36 + "\r\nX-Evil: 1",
        "a" * 36 + "%0d%0aX-Evil: 1",
        '"a\\015\\012X-Evil: 1"',
        "a" * 36 + "; Domain=evil.example",
        "\n",
        "a\0b",
    ],
    ids=repr,
)
def test_s45_nothing_a_client_presents_reaches_a_header(site: Site, text: str) -> None:
    for task in (
        lambda: None,
        lambda: session.get("user"),
        lambda: session.update(user="ann"),
        lambda: setattr(session, "permanent", True),
    ):
        environ = {"HTTP_COOKIE": f"session={text}"}
        client = site.app.test_client(use_cookies=False)
        done: list[t.Any] = []
        environ_all: dict[str, t.Any] = {
            **environ,
            "tests.task": task,
            "tests.done": done.append,
        }
        response = client.get("/", environ_overrides=environ_all)
        assert response.status_code == 200
        whole = str(response.headers).lower()
        assert "evil" not in whole
        assert "\0" not in whole
        assert len(response.headers.getlist("Set-Cookie")) <= 1


def test_s45_a_session_cookie_needs_no_quotes(site: Site) -> None:
    visit = site.visit(
        None, lambda: (session.update(user='a"; Domain=evil\r\n'), setattr(session, "permanent", 1))
    )
    assert visit.cookie
    assert visit.cookie.removesuffix(".p").isalnum()
    assert "evil" not in str(visit.response.headers)
