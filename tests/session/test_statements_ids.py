"""Security statements S1 to S8: identifiers. A test's name holds the statement's number."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import re
import secrets
import typing as t

import flask
import pytest
from flask.sessions import SecureCookieSessionInterface

from flask_state import session
from flask_state.core.tokens import ALPHABET
from flask_state.session.ids import LOCATOR_LENGTH
from flask_state.session.ids import SECRET_LENGTH
from flask_state.session.ids import Ids
from tests.session.site import Site
from tests.session.site import dump

UNKNOWN: t.Final = "a" * 36
MALFORMED: t.Final = {
    "empty": "",
    "short": "a" * 35,
    "long": "a" * 37,
    "over-long": "a" * 4000,
    "upper case": "A" * 36,
    "digit out of the alphabet": "6" * 36,
    "number": "0" * 35 + "9",
    "space": "a" * 17 + " " + "a" * 18,
    "quoted space": '"' + "a" * 17 + " " + "a" * 18 + '"',
    "latin-1": "\xe9" * 36,
    "utf-8": "é".encode().decode("latin-1") * 18,
    "full-width digits": "".join(chr(0xFF10)).encode().decode("latin-1") * 12,
    "percent": "%61" * 12,
    "path": "../" * 12,
    "null": "a" * 35 + "\0",
    "tab": "a" * 35 + "\t" + "a",
    "markup": "<script>alert(1)</script>aaaaaaaaaaaa",
    "only the marker": ".p",
    "marker twice": "a" * 36 + ".p.p",
    "other marker": "a" * 36 + ".q",
    "uuid": "6a2f41a3-c54c-4fce-82d2-0324e1c32e22",
    "json": '{"user":"ann"}',
    "vertical tab": "a" * 18 + "\x0b" + "a" * 17,
}


def read() -> dict[str, t.Any]:
    """All that is in the session."""
    return dict(flask.session)


def store_something() -> None:
    """Begin a session."""
    flask.session["fresh"] = True


def assert_nothing_came_of(site: Site, text: str) -> None:
    """S3: a presented text that is no id reads as empty, sets nothing, and is never adopted."""
    header = f"session={text}"
    reading = site.visit(header, read)
    assert reading.response.status_code == 200
    assert reading.value == {}
    assert reading.cookie is None
    writing = site.visit(header, store_something)
    assert writing.response.status_code == 200
    assert writing.cookie
    assert not text or text[:LOCATOR_LENGTH] not in writing.cookie
    assert site.items(f"session={writing.cookie}") == {"fresh": True}
    assert site.items(header) == {}


# S1, S2: what an id is


def test_s01_ids_carry_130_random_bits_and_have_one_form() -> None:
    assert SECRET_LENGTH * 5 >= 128
    assert len(ALPHABET) == 2**5
    form = re.compile(r"[a-z0-5]{36}")
    ids = Ids()
    texts = {ids.new().text for _ in range(100_000)}
    assert len(texts) == 100_000
    assert all(form.fullmatch(text) for text in texts)


def test_s01_a_new_secret_has_as_many() -> None:
    ids = Ids()
    first = ids.new()
    renewed = {ids.renewed(first).text for _ in range(10_000)}
    assert len(renewed) == 10_000
    assert {text[:LOCATOR_LENGTH] for text in renewed} == {first.locator}


def test_s02_an_id_is_made_of_randomness_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same randomness, other users at other times get the same id."""
    monkeypatch.setattr(secrets, "token_bytes", lambda length: bytes(range(length)))
    found = set()
    for days, user in enumerate(["ann", "bob", "eve"]):
        site = Site()
        site.clock.advance(days * 86_400)
        found.add(site.sign_in(user=user)[1])
    assert len(found) == 1


# S3, S4: what is no id


def test_s03_an_unknown_id_is_never_adopted(site: Site) -> None:
    assert_nothing_came_of(site, UNKNOWN)
    assert site.named("session_rejected") == [{"reason": "unknown"}] * 3


def test_s03_an_id_with_the_locator_of_a_session_and_another_secret_is_unknown(site: Site) -> None:
    browser, id = site.sign_in(user="ann")
    for text in (id[:10] + "a" * 26, id[:-1] + ("a" if id[-1] != "a" else "b")):
        assert site.items(f"session={text}") == {}
        writing = site.visit(f"session={text}", store_something)
        assert writing.cookie
        assert writing.cookie[:10] != id[:10]
    assert site.items(browser) == {"user": "ann"}


def test_s03_an_expired_id_is_never_adopted(site: Site) -> None:
    _, id = site.sign_in(user="ann")
    site.clock.advance(dt.timedelta(days=60).total_seconds())
    assert_nothing_came_of(site, id)
    site.sweep()
    assert_nothing_came_of(site, id)


def test_s03_an_ended_id_is_never_adopted(site: Site) -> None:
    browser, id = site.sign_in(user="ann")
    site.visit(browser, lambda: flask.session.abandon())  # type: ignore[attr-defined]
    assert_nothing_came_of(site, id)


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_s03_a_malformed_id_is_never_adopted(site: Site, text: str) -> None:
    assert_nothing_came_of(site, text)
    assert site.named("session_rejected") == [{"reason": "malformed"}] * 3


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_s03_a_malformed_id_is_never_echoed(site: Site, text: str) -> None:
    """Neither in a header nor in the store."""
    for task in (read, store_something, lambda: flask.session.setdefault("a", [])):
        response = site.visit(f"session={text}", task).response
        for name, value in response.headers.items():
            assert len(text) < 4 or text not in value, name


def test_s03_a_response_to_an_unknown_id_never_deletes_a_cookie(site: Site) -> None:
    """Nothing was stored: the client keeps whatever it holds."""
    for task in (
        read,
        lambda: flask.session.clear(),
        lambda: flask.session.pop("a", None),
        lambda: flask.session.get("a"),
        lambda: (flask.session.update(a=1), flask.session.clear()),
        lambda: setattr(flask.session, "permanent", True),
    ):
        for text in (UNKNOWN, "malformed", "malformed.p"):
            assert site.visit(f"session={text}", task).response.headers.getlist("Set-Cookie") == []
    with site.app.app_context():
        assert site.state.sessions.count() == 0


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_s04_a_malformed_id_causes_no_store_call(site: Site, text: str) -> None:
    for task in (read, lambda: "a" in flask.session, lambda: flask.session.clear()):
        site.visit(f"session={text}", task)
    site.visit(f"session={text}", lambda: None)
    assert site.store.calls == []


def test_s04_a_request_that_ignores_the_session_causes_no_store_call(site: Site) -> None:
    browser, id = site.sign_in()
    site.store.calls.clear()
    site.visit(browser, lambda: None)
    site.visit(f"session={id}.p", lambda: None)
    site.visit(f"session={UNKNOWN}", lambda: None)
    assert site.store.calls == []


def test_s04_a_visitor_without_a_cookie_causes_no_store_call(site: Site) -> None:
    assert site.visit(None, read).cookie is None
    site.visit(None, lambda: (flask.session.update(a=1), flask.session.pop("a")))
    assert site.store.calls == []


# S5, S6: what the store knows


def _sign_in_somehow(site: Site) -> tuple[str, list[str]]:
    """A session with a history; its id now, and all ids it ever had."""
    browser, id = site.sign_in(user="ann")
    ids = [id]
    for grace in (10, 0):
        visit = site.visit(browser, lambda grace=grace: session.regenerate(grace=grace))  # type: ignore[misc]
        assert visit.cookie
        ids.append(visit.cookie)
    return ids[-1], ids


def test_s05_the_store_holds_no_secret_of_an_id(site: Site, url: str) -> None:
    _, ids = _sign_in_somehow(site)
    kept = dump(site.store, url)
    assert ids[0][:10].encode() in kept, "this looks at the wrong place"
    for id in ids:
        secret = id[10:].encode()
        for trace in (secret, id.encode(), secret.hex().encode(), hashlib.sha256(secret).digest()):
            assert trace not in kept
        assert hashlib.sha256(id.encode()).digest() not in kept
        assert hashlib.sha256(id.encode()).hexdigest().encode() not in kept


def test_s05_nobody_can_sign_in_with_what_the_store_holds(site: Site, url: str) -> None:
    id, _ = _sign_in_somehow(site)
    kept = dump(site.store, url)
    texts = {run.decode() for run in re.findall(rb"[a-z0-5]{10,}", kept)}
    locator = id[:10]
    tries = {text for text in texts if len(text) == 36}
    tries |= {(locator + text)[:36].ljust(36, "a") for text in texts}
    for index in range(len(kept) - 26) if len(kept) < 5_000 else ():
        window = kept[index : index + 26]
        tries.add(locator + window.decode("latin-1").translate(_LETTERS))
    for text in tries:
        assert site.items(f"session={text}") == {}
    assert site.items(f"session={id}") == {"user": "ann"}


_LETTERS: t.Final = {code: ALPHABET[code & 31] for code in range(256)}


def test_s05_another_server_key_opens_nothing(site: Site) -> None:
    """The proof is keyed: who can write to the store can't make an id either without the key."""
    id, _ = _sign_in_somehow(site)
    other = Site(site.store, clock=site.clock, SECRET_KEY="another key of the tests, as long")
    assert other.items(f"session={id}") == {}
    assert site.items(f"session={id}") == {"user": "ann"}


def test_s06_proofs_are_compared_in_constant_time(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, id = site.sign_in(user="ann")
    site.app.config["SECRET_KEY_FALLBACKS"] = ["an older key of the tests, as long"]
    compared: list[int] = []
    real = hmac.compare_digest

    def compare(one: t.Any, other: t.Any) -> bool:
        compared.append(len(one))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    assert site.items(f"session={id}") == {"user": "ann"}
    fitting, compared[:] = list(compared), []
    assert site.items(f"session={id[:-1]}{'a' if id[-1] != 'a' else 'b'}") == {}
    assert fitting[:2] == compared[:2] == [16, 16], "each proof, whether one fits or not"


# S7: tampered cookies


def test_s07_an_id_changed_in_any_letter_is_a_new_session(site: Site) -> None:
    browser, id = site.sign_in(user="ann")
    for index in range(len(id)):
        for letter in "a5Z.\xff":
            text = id[:index] + letter + id[index + 1 :]
            if text != id:
                visit = site.visit(f"session={text}", read)
                assert (visit.response.status_code, visit.value) == (200, {})
    assert site.items(browser) == {"user": "ann"}


@pytest.mark.parametrize("cookie", ["eyJhIjoxfQ.aaaa.bbbb", ".eJ.aR.x", "a.b.c.d", "..", "." * 50])
def test_s07_a_cookie_that_flask_did_not_sign_is_a_new_session(site: Site, cookie: str) -> None:
    visit = site.visit(f"session={cookie}", read)
    assert (visit.response.status_code, visit.value) == (200, {})
    assert site.store.calls == []


def test_s07_a_cookie_that_flask_signed_and_somebody_changed_is_a_new_session(site: Site) -> None:
    serializer = SecureCookieSessionInterface().get_signing_serializer(site.app)
    assert serializer is not None
    cookie = serializer.dumps({"user": "ann"})
    for index in range(0, len(cookie), 3):
        text = cookie[:index] + ("A" if cookie[index] != "A" else "B") + cookie[index + 1 :]
        if text[:-1] != cookie[:-1]:
            visit = site.visit(f"session={text}", read)
            assert (visit.response.status_code, visit.value) == (200, {})
    assert site.items(f"session={cookie}") == {"user": "ann"}


# S8: several cookies of one name


def test_s08_an_invalid_cookie_does_not_shadow_a_valid_one(site: Site) -> None:
    _, id = site.sign_in(user="ann")
    for bad in (UNKNOWN, "x", "", UNKNOWN + ".p", "eyJhIjoxfQ.aaaa.bbbb"):
        assert site.items(f"session={bad}; session={id}") == {"user": "ann"}
        assert site.items(f"session={id}; session={bad}") == {"user": "ann"}
        assert site.items(f"a=b; session={bad};session={id}; c=d") == {"user": "ann"}


def test_s08_of_two_valid_cookies_the_first_is_taken(site: Site) -> None:
    _, ann = site.sign_in(user="ann")
    _, bob = site.sign_in(user="bob")
    assert site.items(f"session={ann}; session={bob}") == {"user": "ann"}
    assert site.items(f"session={bob}; session={ann}") == {"user": "bob"}


def test_s08_changes_go_to_the_session_that_was_read(site: Site) -> None:
    _, id = site.sign_in(user="ann")
    header = f"session={UNKNOWN}; session={id}"
    visit = site.visit(header, lambda: flask.session.update(more=1))
    assert visit.cookie == id
    assert site.items(f"session={id}") == {"user": "ann", "more": 1}


def test_s08_malformed_cookies_take_no_valid_ones_place(site: Site) -> None:
    _, id = site.sign_in(user="ann")
    header = "; ".join([f"session={n}" for n in range(200)] + [f"session={id}"])
    site.store.calls.clear()
    assert site.items(header) == {"user": "ann"}
    assert site.store.calls == ["load"]


def test_s08_a_flood_of_ids_costs_a_few_loads(site: Site) -> None:
    ids = Ids()
    header = "; ".join(f"session={ids.new().text}" for _ in range(100))
    assert site.items(header) == {}
    assert len(site.store.calls) <= 4


@pytest.mark.parametrize("name", ["Session", "session2", "xsession", "sessio"])
def test_s08_a_cookie_of_another_name_is_not_looked_at(site: Site, name: str) -> None:
    _, id = site.sign_in(user="ann")
    site.store.calls.clear()
    assert site.items(f"{name}={id}") == {}
    assert site.store.calls == []


@pytest.mark.parametrize("grace", [0, 10])
def test_s08_a_replaced_id_does_not_shadow_a_valid_one(site: Site, grace: float) -> None:
    """Two cookies of one name: the first was good until a moment ago."""
    browser, old = site.sign_in(user="ann")
    visit = site.visit(browser, lambda: session.regenerate(grace=grace))
    new = (visit.cookie or "").removesuffix(".p")
    site.clock.advance(grace)
    _, other = site.sign_in(user="bob")
    assert site.items(f"session={old}; session={new}") == {"user": "ann"}
    assert site.items(f"session={old}; session={other}") == {"user": "bob"}
