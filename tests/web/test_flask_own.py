"""What Flask promises about `session`, shown over our interface on each engine."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import typing as t
import uuid

import flask
import pytest
from markupsafe import Markup
from werkzeug.http import parse_date

from flask_state import session
from flask_state.testing import FakeClock
from flask_state.web.sessions import Session
from tests.web.conftest import MakeApp
from tests.web.conftest import Visitor
from tests.web.conftest import set_cookies
from tests.web.conftest import steps

Verb = cabc.Callable[[t.Any], t.Any]

READS: t.Final[dict[str, Verb]] = {
    "in": lambda s: "a" in s,
    "not in": lambda s: "b" not in s,
    "len": len,
    "bool": bool,
    "iter": list,
    "reversed": lambda s: list(reversed(s)),
    "keys": lambda s: list(s.keys()),
    "values": lambda s: list(s.values()),
    "items": lambda s: list(s.items()),
    "get": lambda s: s.get("a"),
    "get with a default": lambda s: s.get("b", 7),
    "unpacking": lambda s: {**s},
    "dict": dict,
    "copy": lambda s: s.copy(),
    "equal": lambda s: s == {"a": [1]},
    "unequal": lambda s: s != {"a": [1]},
    "pop of nothing": lambda s: s.pop("b", None),
}

WRITES: t.Final[dict[str, Verb]] = {
    "assign": lambda s: s.__setitem__("b", 2),
    "assign again": lambda s: s.__setitem__("z", 2),
    "delete": lambda s: s.__delitem__("z"),
    "pop": lambda s: s.pop("z"),
    "popitem": lambda s: s.popitem(),
    "setdefault": lambda s: s.setdefault("b", []).append(2),
    "update": lambda s: s.update(b=2, z=3),
    "update from pairs": lambda s: s.update([("b", 2)]),
    "inside a value": lambda s: s["a"].append(2),
    "delete and assign": lambda s: (s.pop("z"), s.update(b=1), s.update(z=0)),
    "clear and assign": lambda s: (s.clear(), s.update(b=1)),
}

REFUSED: t.Final[dict[str, Verb]] = {
    **{name: verb for name, verb in WRITES.items() if name != "inside a value"},
    "pop with a default": lambda s: s.pop("b", None),
    "clear": lambda s: s.clear(),
    "update with nothing": lambda s: s.update(),
    "regenerate": lambda s: s.regenerate(),
    "abandon": lambda s: s.abandon(),
    "permanent": lambda s: setattr(s, "permanent", True),
    "owner": lambda s: setattr(s, "owner", "ann"),
    "timeout": lambda s: setattr(s, "timeout", 60),
    "flash": lambda s: flask.flash("saved"),
}


@pytest.fixture
def opened(app: flask.Flask, monkeypatch: pytest.MonkeyPatch) -> list[Session]:
    """The sessions that requests opened, to be looked at without touching them."""
    interface, sessions = app.session_interface, []
    open_session = interface.open_session

    def spy(app: flask.Flask, request: flask.Request) -> t.Any:
        sessions.append(open_session(app, request))
        return sessions[-1]

    monkeypatch.setattr(interface, "open_session", spy)
    return t.cast("list[Session]", sessions)


class TestMapping:
    @pytest.mark.parametrize("verb", READS)
    def test_a_read_answers_as_a_dict_does_and_varies(self, visitor: Visitor, verb: str) -> None:
        """S40: every way to look makes the response depend on the cookie, and saves nothing."""
        visitor.run(lambda: session.update(a=[1]))
        answers: list[t.Any] = []
        response = visitor.run(lambda: answers.append(READS[verb](session)))
        assert answers == [READS[verb]({"a": [1]})]
        assert response.vary.as_set() == {"cookie"}
        assert not set_cookies(response)

    @pytest.mark.parametrize("verb", READS)
    def test_a_read_of_an_empty_session_varies(self, visitor: Visitor, verb: str) -> None:
        """S40: also where there is nothing to see; and an empty session gets no cookie."""
        answers: list[t.Any] = []
        response = visitor.run(lambda: answers.append(READS[verb](session)))
        assert answers == [READS[verb]({})]
        assert response.vary.as_set() == {"cookie"}
        assert not set_cookies(response)

    @pytest.mark.parametrize("verb", WRITES)
    def test_a_write_does_what_it_does_to_a_dict(self, visitor: Visitor, verb: str) -> None:
        """S40: it is saved, in a dict's order, with the cookie and `Vary`."""
        plain: dict[str, t.Any] = {"z": 0, "a": [1]}
        visitor.run(lambda: session.update(plain))
        response = visitor.run(lambda: WRITES[verb](session))
        WRITES[verb](plain)
        assert visitor.value(lambda: list(session.items())) == list(plain.items())
        assert response.vary.as_set() == {"cookie"}
        assert len(set_cookies(response)) == 1

    @pytest.mark.parametrize("name", ["new", "permanent", "modified", "owner", "handle", "timeout"])
    def test_a_fact_read_varies_too(self, visitor: Visitor, name: str) -> None:
        """S40: facts depend on the cookie as values do."""
        response = visitor.run(lambda: str(getattr(session, name)))
        assert response.vary.as_set() == {"cookie"}
        assert not set_cookies(response)

    def test_what_is_missing_is_a_key_error(self, visitor: Visitor) -> None:
        def view() -> None:
            for verb in (session.__getitem__, session.__delitem__, session.pop):
                with pytest.raises(KeyError, match="b"):
                    verb("b")
            with pytest.raises(KeyError):
                session.popitem()

        assert not set_cookies(visitor.run(view))

    def test_special_types_come_back_as_they_were(self, visitor: Visitor) -> None:
        """What Flask's tagged JSON carries is carried, and its tags are ordinary keys."""
        values: dict[str, t.Any] = {
            "tuple": (1, 2, 3),
            "bytes": b"\xff",
            "markup": Markup("<b>"),
            "uuid": uuid.UUID("12345678123456781234567812345678"),
            "datetime": dt.datetime(2027, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
            "tag": {" t": "no tuple"},
            "escaped tag": {" t__": "no tuple"},
            "dict tag": {" di": "no dict"},
            "list": [(1, {"x": Markup("y")})],
        }
        visitor.run(lambda: session.update(values))
        found = visitor.value(lambda: dict(session))
        assert found == values
        assert {k: type(v) for k, v in found.items()} == {k: type(v) for k, v in values.items()}
        assert type(found["list"][0][1]["x"]) is Markup

    def test_a_template_reads_the_session(self, app: flask.Flask, visitor: Visitor) -> None:
        visitor.run(lambda: session.update(name="Ann"))
        page = "{{ session.name }} {{ session['name'] }} {{ session.other is defined }}"
        response = visitor.run(lambda: flask.Response(flask.render_template_string(page)))
        assert response.text == "Ann Ann False"
        assert "Cookie" in response.vary


class TestFlags:
    def test_an_untouched_session_is_neither_accessed_nor_modified(
        self, visitor: Visitor, opened: list[Session]
    ) -> None:
        visitor.run(lambda: session.update(a=1))
        response = visitor.client.get("/untouched")
        assert (opened[-1].accessed, opened[-1].modified) == (False, False)
        assert not response.vary
        assert not set_cookies(response)

    def test_a_read_session_is_accessed(self, visitor: Visitor, opened: list[Session]) -> None:
        visitor.run(lambda: session.get("a"))
        assert (opened[-1].accessed, opened[-1].modified) == (True, False)

    @pytest.mark.parametrize("verb", WRITES)
    def test_a_changed_session_is_modified_during_and_after_the_request(
        self, visitor: Visitor, opened: list[Session], verb: str
    ) -> None:
        visitor.run(lambda: session.update(z=0, a=[1]))

        def view() -> None:
            assert not session.modified
            WRITES[verb](session)
            assert session.modified

        assert visitor.run(view).status_code == 200
        assert (opened[-1].accessed, opened[-1].modified) == (True, True)

    def test_a_session_is_new_until_it_is_stored(self, visitor: Visitor) -> None:
        assert visitor.value(lambda: session.new)
        assert visitor.value(steps(lambda: session.update(a=1), lambda: session.new))
        assert not visitor.value(lambda: session.new)

    def test_modified_set_by_hand_sends_the_cookie(self, visitor: Visitor) -> None:
        visitor.run(lambda: session.update(a=1))
        assert len(set_cookies(visitor.run(lambda: setattr(session, "modified", True)))) == 1

    def test_an_equal_value_assigned_sends_the_cookie(self, visitor: Visitor) -> None:
        visitor.run(lambda: session.update(a=1))
        assert len(set_cookies(visitor.run(lambda: session.update(a=1)))) == 1

    def test_the_session_is_saved_after_all_after_request_functions(
        self, app: flask.Flask, visitor: Visitor
    ) -> None:
        @app.after_request
        def count(response: flask.Response) -> flask.Response:
            session["n"] = session.get("n", 0) + 1
            return response

        assert visitor.value(lambda: session.get("n")) is None
        assert visitor.value(lambda: session.get("n")) == 1

    def test_an_error_page_uses_the_session(self, app: flask.Flask, visitor: Visitor) -> None:
        """Also where no view was found; below 500 its changes are saved."""

        @app.errorhandler(404)
        def lost(error: Exception) -> tuple[str, int]:
            session["lost"] = session.get("lost", 0) + 1
            return str(session["lost"]), 404

        assert [visitor.client.get("/missing").text for _ in range(2)] == ["1", "2"]


class TestCookie:
    SETTINGS: t.ClassVar[dict[str, tuple[dict[str, t.Any], set[str]]]] = {
        "default": ({}, {"HttpOnly", "Path=/"}),
        "root": ({"APPLICATION_ROOT": "/shop"}, {"HttpOnly", "Path=/shop"}),
        "path": (
            {"APPLICATION_ROOT": "/shop", "SESSION_COOKIE_PATH": "/till"},
            {"HttpOnly", "Path=/till"},
        ),
        "domain": (
            {"SESSION_COOKIE_DOMAIN": "localhost"},
            {"Domain=localhost", "HttpOnly", "Path=/"},
        ),
        "secure": ({"SESSION_COOKIE_SECURE": True}, {"Secure", "HttpOnly", "Path=/"}),
        "script": ({"SESSION_COOKIE_HTTPONLY": False}, {"Path=/"}),
        "lax": ({"SESSION_COOKIE_SAMESITE": "Lax"}, {"HttpOnly", "Path=/", "SameSite=Lax"}),
        "strict": (
            {"SESSION_COOKIE_SAMESITE": "Strict"},
            {"HttpOnly", "Path=/", "SameSite=Strict"},
        ),
        "partitioned": (
            {
                "SESSION_COOKIE_SECURE": True,
                "SESSION_COOKIE_PARTITIONED": True,
                "SESSION_COOKIE_SAMESITE": "None",
            },
            {"Secure", "HttpOnly", "Path=/", "SameSite=None", "Partitioned"},
        ),
    }

    @pytest.mark.parametrize("case", SETTINGS)
    def test_it_is_set_and_deleted_with_the_attributes_of_the_settings(
        self, make_app: MakeApp, case: str
    ) -> None:
        """S17: a browser deletes a cookie only if domain, path and the rest are those it has."""
        config, expected = self.SETTINGS[case]
        visitor = Visitor(make_app(**config))
        # A client that would keep this cookie to itself where path or scheme are others.
        visitor.client = visitor.client.application.test_client(use_cookies=False)
        [header] = set_cookies(visitor.run(lambda: session.update(a=1)))
        pair, *attributes = header.split("; ")
        assert set(attributes) == expected
        response = visitor.run(lambda: session.clear(), headers={"Cookie": pair})
        [header] = set_cookies(response)
        pair, *attributes = header.split("; ")
        assert pair == "session="
        gone = {"Expires=Thu, 01 Jan 1970 00:00:00 GMT", "Max-Age=0"}
        assert set(attributes) - gone == expected
        assert set(attributes) >= gone

    def test_its_name_is_the_setting(self, make_app: MakeApp) -> None:
        visitor = Visitor(make_app(SESSION_COOKIE_NAME="sid"))
        visitor.run(lambda: session.update(a=1))
        assert visitor.cookie is None
        assert visitor.client.get_cookie("sid") is not None
        assert visitor.value(lambda: session["a"]) == 1

    def test_a_wrong_samesite_is_an_error(self, make_app: MakeApp) -> None:
        visitor = Visitor(make_app(SESSION_COOKIE_SAMESITE="invalid"))
        with pytest.raises(ValueError, match="SameSite"):
            visitor.run(lambda: session.update(a=1))

    def test_it_outlives_the_browser_where_the_session_is_permanent(
        self, app: flask.Flask, visitor: Visitor
    ) -> None:
        [header] = set_cookies(
            visitor.run(
                steps(lambda: session.update(a=1), lambda: setattr(session, "permanent", True))
            )
        )
        fields = dict(part.split("=", 1) for part in header.split("; ") if "=" in part)
        expires = parse_date(fields["Expires"])
        assert expires is not None
        expected = dt.datetime.now(dt.UTC) + app.permanent_session_lifetime
        assert abs(expires - expected) < dt.timedelta(seconds=10)
        assert fields["Max-Age"] == str(int(app.permanent_session_lifetime.total_seconds()))
        assert visitor.value(lambda: session.permanent) is True
        [header] = set_cookies(visitor.run(lambda: setattr(session, "permanent", False)))
        assert "Expires" not in header
        assert "Max-Age" not in header
        assert visitor.value(lambda: session.permanent) is False

    @pytest.mark.parametrize("permanent", [True, False])
    @pytest.mark.parametrize("refresh", [True, False])
    @pytest.mark.parametrize("path", ["/run", "/untouched"])
    def test_it_is_sent_again_where_flask_sends_it_again(
        self, make_app: MakeApp, permanent: bool, refresh: bool, path: str
    ) -> None:
        """S40: a permanent session's with every response, and `Vary` wherever it is."""
        visitor = Visitor(make_app(SESSION_REFRESH_EACH_REQUEST=refresh))
        visitor.run(
            steps(lambda: session.update(a=1), lambda: setattr(session, "permanent", permanent))
        )
        for _ in range(3):
            if path == "/run":
                response = visitor.run(lambda: session["a"])
            else:
                response = visitor.client.get(path)
            sent = permanent and refresh
            assert len(set_cookies(response)) == sent
            assert ("Cookie" in response.vary) == (sent or path == "/run")
        assert visitor.value(lambda: session["a"]) == 1

    def test_a_session_expires_with_its_lifetime(self, make_app: MakeApp, clock: FakeClock) -> None:
        """S20: by the server's clock, whatever cookie the client still has."""
        visitor = Visitor(make_app(PERMANENT_SESSION_LIFETIME=60))
        visitor.run(lambda: session.update(a=1))
        clock.advance(60)
        assert visitor.value(lambda: session.get("a")) == 1
        clock.advance(67)
        assert visitor.value(lambda: session.get("a")) is None


class TestWithoutSecretKey:
    """Flask's null session: it reads as empty, costs nothing, and the first write explains."""

    @pytest.mark.parametrize("verb", [verb for verb in READS if "pop" not in verb])
    def test_it_reads_as_empty(self, make_app: MakeApp, verb: str) -> None:
        visitor = Visitor(make_app(SECRET_KEY=None))
        visitor.cookie = "abcdefghij" + "a" * 26
        answers: list[t.Any] = []
        response = visitor.run(lambda: answers.append(READS[verb](session)))
        assert answers == [READS[verb]({})]
        assert not response.vary
        assert not set_cookies(response)

    @pytest.mark.parametrize("verb", REFUSED)
    def test_every_write_explains(self, make_app: MakeApp, verb: str) -> None:
        def view() -> None:
            with pytest.raises(RuntimeError, match=r"session is unavailable.* secret key"):
                REFUSED[verb](session)

        response = Visitor(make_app(SECRET_KEY=None)).run(view)
        assert response.status_code == 200
        assert not response.vary
        assert not set_cookies(response)
