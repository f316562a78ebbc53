"""Security statements S32 to S38: stored bytes. A test's name holds the statement's number.

What concerns the codec and the keyring alone is with their tests; here it is seen through a site.
"""

from __future__ import annotations

import logging
import pathlib
import pickle
import typing as t

import ormsgpack
import pytest
from ormsgpack import Ext

from flask_state import session
from flask_state.core import envelope
from flask_state.core.codec import Codec
from flask_state.core.keyring import Keyring
from flask_state.errors import ConfigurationError
from flask_state.errors import SerializationError
from flask_state.stores.base import Change
from flask_state.stores.base import Edit
from tests.session.site import KEY
from tests.session.site import Site

OLD_KEY: t.Final = "an old key of the tests, long enough"
NEW_KEY: t.Final = "a new key of the tests, long enough!"

ran: list[str] = []


class Bomb:
    """Unpickled, it says so."""

    def __reduce__(self) -> tuple[t.Any, ...]:
        return ran.append, ("executed",)


def _ext(code: int, parts: t.Any) -> bytes:
    return envelope.PLAIN + ormsgpack.packb(Ext(code, ormsgpack.packb(parts)))


FOREIGN: t.Final[dict[str, bytes]] = {
    "nothing": b"",
    "text": b"garbage",
    "json": b'{"user": "ann"}',
    "newer version": b"\x02\x00" + Codec().dumps("ann"),
    "unknown flag": b"\x01\x80" + Codec().dumps("ann"),
    "sealed": Keyring([KEY.encode()]).seal("session", Codec().dumps("ann")),
    "cut": envelope.PLAIN + Codec().dumps("a long text")[:-3],
    "more": envelope.PLAIN + Codec().dumps("ann") + b"\x01",
    "envelope alone": envelope.PLAIN,
    "unknown type": _ext(77, ["a"]),
    "unregistered type": _ext(100, ["money", 1]),
    "enum not loaded": _ext(14, ["shop.models", "Size", "SMALL"]),
    "function": _ext(14, ["os", "system", None, "true"]),
    "pickle": pickle.dumps(Bomb()),
    "pickle in an envelope": envelope.PLAIN + pickle.dumps(Bomb()),
    "deep": envelope.PLAIN + b"\x91" * 50_000 + b"\xc0",
    "huge": envelope.PLAIN + b"\xdd\xff\xff\xff\xff",
}


def plant(site: Site, id: str, data: bytes, name: str = "user") -> None:
    """Put bytes in an item's place, as whoever can write to the store could."""
    change = Change(items={name: Edit(data, 1 << 30, True)})
    assert site.store.store.commit(id[:10], change, None).refused is None


# S32, S33


@pytest.mark.parametrize("data", FOREIGN.values(), ids=FOREIGN)
def test_s33_bytes_that_are_not_ours_are_an_empty_session_and_no_error(
    site: Site, data: bytes
) -> None:
    browser, id = site.sign_in(user="ann", other=1)
    plant(site, id, data)
    first = site.visit(browser, lambda: session.get("user"))
    assert (first.response.status_code, first.value) == (200, None)
    second = site.visit(browser, lambda: session.get("user"))
    assert (second.response.status_code, second.value) == (200, None)
    assert ran == []


@pytest.mark.parametrize("data", FOREIGN.values(), ids=FOREIGN)
def test_s33_the_client_can_go_on(site: Site, data: bytes) -> None:
    """No loop of errors: what is stored next works."""
    browser, id = site.sign_in(user="ann", other=1)
    plant(site, id, data)
    site.visit(browser, lambda: session.get("user"))
    visit = site.visit(browser, lambda: (session.get("user"), session.update(user="bob")))
    assert visit.response.status_code == 200
    assert site.items(browser)["user"] == "bob"


@pytest.mark.parametrize("data", FOREIGN.values(), ids=FOREIGN)
def test_s33_no_other_value_of_a_damaged_session_is_trusted(site: Site, data: bytes) -> None:
    browser, id = site.sign_in(user="ann", role="admin")
    plant(site, id, data)
    visit = site.visit(browser, lambda: (session.get("user"), dict(session), session.get("role")))
    assert visit.value == (None, {}, None)


def test_s33_it_is_logged_and_told_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    browser, id = site.sign_in(user="ann")
    plant(site, id, FOREIGN["cut"])
    for _ in range(3):
        site.visit(browser, lambda: session.get("user"))
    assert site.named("session_damaged") == [{"handle": id[:10]}]
    (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert id[:10] in record.getMessage()
    assert "'user'" in record.getMessage()


def test_s33_what_is_wrong_is_in_the_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    browser, id = site.sign_in(user="ann")
    plant(site, id, FOREIGN["enum not loaded"])
    site.visit(browser, lambda: session.get("user"))
    assert "shop.models.Size" in caplog.text


def test_s33_a_damaged_session_ends_as_such(site: Site) -> None:
    browser, id = site.sign_in(user="ann", role="admin")
    plant(site, id, FOREIGN["cut"])
    site.visit(browser, lambda: session.get("user"))
    site.sweep()
    (ended,) = site.named("session_ended")
    assert (ended["handle"], ended["reason"]) == (id[:10], "damaged")
    assert ended["items"] == {"role": "admin"}


def test_s33_a_newer_session_is_left_for_the_newer_server(site: Site) -> None:
    """During a rolling update both kinds of server answer: the older one must not end it."""
    browser, id = site.sign_in(user="ann")
    plant(site, id, FOREIGN["newer version"])
    assert site.visit(browser, lambda: session.get("user")).value is None
    with site.app.app_context():
        assert site.state.sessions.count() == 1


def test_s32_pickles_are_neither_read_nor_imported(
    site: Site, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, id = site.sign_in(user="ann")
    trace = tmp_path / "trace"
    bomb = f"cos\nsystem\n(S'touch {trace}'\ntR.".encode()
    monkeypatch.setattr(pickle, "loads", lambda *args, **more: ran.append("loads"))
    for data in (bomb, b"\x80\x04" + bomb, envelope.PLAIN + bomb):
        plant(site, id, data)
        assert site.items(browser) == {}
        browser, id = site.sign_in(user="ann")
    assert not trace.exists()
    assert ran == []


def test_s32_an_adopted_cookie_brings_values_and_nothing_else(site: Site) -> None:
    import flask.sessions

    serializer = flask.sessions.SecureCookieSessionInterface().get_signing_serializer(site.app)
    assert serializer is not None
    cookie = serializer.dumps({"user": "ann", "__reduce__": ["os.system", "true"]})
    assert site.items(f"session={cookie}") == {"user": "ann", "__reduce__": ["os.system", "true"]}


# S36


@pytest.fixture
def small(url: str) -> t.Iterator[Site]:
    """A site whose sessions may take a kilobyte."""
    site = Site(url, STATE_SESSION_MAX_BYTES=1024)
    yield site
    site.close()


def test_s36_a_session_that_grows_too_large_is_refused(small: Site) -> None:
    browser, _ = small.sign_in(user="ann")
    with pytest.raises(SerializationError, match="STATE_SESSION_MAX_BYTES") as caught:
        small.visit(browser, lambda: session.update(big="x" * 2000, small=1))
    assert caught.value.key == "big"
    assert "'big'" in str(caught.value)
    assert "x" * 20 not in str(caught.value)
    assert small.items(browser) == {"user": "ann"}


def test_s36_many_small_items_count_together(small: Site) -> None:
    browser, _ = small.sign_in(user="ann")
    with pytest.raises(SerializationError, match="STATE_SESSION_MAX_BYTES"):
        small.visit(browser, lambda: session.update({f"item {n}": "x" * 10 for n in range(60)}))
    for n in range(20):
        small.visit(browser, lambda n=n: session.update({f"item {n}": "x" * 10}))  # type: ignore[misc]

    def fill() -> None:
        for n in range(20, 60):
            small.visit(browser, lambda n=n: session.update({f"item {n}": "x" * 10}))  # type: ignore[misc]

    with pytest.raises(SerializationError, match="STATE_SESSION_MAX_BYTES"):
        fill()


def test_s36_names_count_too(small: Site) -> None:
    with pytest.raises(SerializationError, match="STATE_SESSION_MAX_BYTES"):
        small.sign_in(**{"n" * 2000: 1})


def test_s36_a_session_that_is_too_large_can_be_made_smaller(url: str) -> None:
    """The limit was lowered since: who removes something is not refused."""
    before = Site(url)
    browser, id = before.sign_in(a="x" * 3000, b="y" * 3000)
    after = Site(before.store, clock=before.clock, STATE_SESSION_MAX_BYTES=1024)
    header = f"session={id}"
    assert after.visit(header, lambda: session.pop("a")).response.status_code == 200
    assert after.visit(header, lambda: session.update(b="y" * 2000)).response.status_code == 200
    with pytest.raises(SerializationError):
        after.visit(header, lambda: session.update(c=1))
    assert list(before.items(browser)) == ["b"]
    before.close()


def test_s36_what_is_nested_too_deeply_is_refused_by_name(site: Site) -> None:
    browser, _ = site.sign_in(user="ann")
    deep: list[t.Any] = []
    for _ in range(5_000):
        deep = [deep]
    with pytest.raises(SerializationError, match=r"session\['deep'\].*deep") as caught:
        site.visit(browser, lambda: session.update(deep=deep))
    assert caught.value.key == "deep"
    assert site.items(browser) == {"user": "ann"}


def test_s36_an_error_of_one_item_saves_none(site: Site) -> None:
    browser, _ = site.sign_in(user="ann")
    with pytest.raises(SerializationError, match=r"session\['bad'\]"):
        site.visit(browser, lambda: session.update(good=1, bad=object()))
    assert site.items(browser) == {"user": "ann"}


# S37, S38: keys change


def rotate(site: Site, current: str, *fallbacks: str) -> None:
    """Change the application's keys, as a deployment does."""
    site.app.config.update(SECRET_KEY=current, SECRET_KEY_FALLBACKS=list(fallbacks) or None)


def test_s37_a_text_in_place_of_the_list_is_an_error(site: Site) -> None:
    browser, _ = site.sign_in()
    site.app.config["SECRET_KEY_FALLBACKS"] = OLD_KEY
    with pytest.raises(ConfigurationError, match="must be a list") as caught:
        site.items(browser)
    assert OLD_KEY not in str(caught.value)


def test_s37_sessions_survive_a_change_of_keys(site: Site) -> None:
    rotate(site, OLD_KEY)
    browser, _ = site.sign_in(user="ann")
    rotate(site, NEW_KEY, OLD_KEY)
    assert site.items(browser) == {"user": "ann"}


def test_s37_without_the_old_key_they_do_not(site: Site) -> None:
    rotate(site, OLD_KEY)
    browser, _ = site.sign_in(user="ann")
    rotate(site, NEW_KEY)
    assert site.items(browser) == {}


def test_s37_new_sessions_are_made_with_the_current_key(site: Site) -> None:
    rotate(site, NEW_KEY, OLD_KEY)
    browser, _ = site.sign_in(user="ann")
    rotate(site, NEW_KEY)
    assert site.items(browser) == {"user": "ann"}
    rotate(site, OLD_KEY)
    assert site.items(browser) == {}


@pytest.mark.parametrize("reads", [True, False])
def test_s38_a_session_opened_with_an_old_key_is_issued_again(site: Site, reads: bool) -> None:
    rotate(site, OLD_KEY)
    browser, _ = site.sign_in(user="ann")
    rotate(site, NEW_KEY, "another old key in between, long", OLD_KEY)
    site.visit(browser, lambda: session.get("user") if reads else session.update(more=1))
    rotate(site, NEW_KEY)
    assert site.items(browser)["user"] == "ann"


def test_s38_it_is_issued_again_once(site: Site) -> None:
    rotate(site, OLD_KEY)
    browser, _ = site.sign_in(user="ann")
    rotate(site, NEW_KEY, OLD_KEY)
    for _ in range(3):
        assert site.visit(browser, lambda: session["user"]).response.status_code == 200
    assert len(site.store.changes) == 2
    assert site.named("session_renewed") == []


def test_s38_servers_that_still_have_the_old_key_go_on_for_a_while(site: Site) -> None:
    rotate(site, OLD_KEY)
    browser, _ = site.sign_in(user="ann")
    rotate(site, NEW_KEY, OLD_KEY)
    assert site.items(browser) == {"user": "ann"}
    rotate(site, OLD_KEY)
    assert site.items(browser) == {"user": "ann"}
    site.clock.advance(2 * 86_400)
    assert site.items(browser) == {}
    rotate(site, NEW_KEY)
    assert site.items(browser) == {"user": "ann"}


def test_s38_a_request_under_way_while_the_keys_change_is_saved(site: Site) -> None:
    rotate(site, OLD_KEY)
    browser, id = site.sign_in(user="ann")

    def slow() -> None:
        assert session["user"] == "ann"
        rotate(site, NEW_KEY, OLD_KEY)
        assert site.items(browser) == {"user": "ann"}
        session["late"] = True

    assert site.visit(f"session={id}", slow).response.status_code == 200
    assert site.items(browser) == {"user": "ann", "late": True}
    rotate(site, NEW_KEY)
    assert site.items(browser) == {"user": "ann", "late": True}


def test_s37_a_short_key_is_logged_without_it(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    rotate(site, "dev!key")
    site.sign_in()
    assert "shorter than" in caplog.text
    assert "dev!key" not in caplog.text
