"""Security statements S66 to S73 without S71: logs, events, bounds. A name holds the number."""

from __future__ import annotations

import collections.abc as cabc
import logging
import re
import sqlite3
import traceback
import typing as t

import pytest

from flask_state import session
from flask_state.core.registry import parse
from flask_state.session.ids import Ids
from flask_state.stores.base import Change
from flask_state.stores.base import Edit
from tests.session.site import KEY
from tests.session.site import Site

SECRET_VALUE: t.Final = "a value nobody may see"


def busy_day(site: Site) -> list[str]:
    """All that can happen to sessions; every id and every text that was presented."""
    browser, id = site.sign_in(user=SECRET_VALUE)
    ids = [id, "a" * 36, "malformed-but-long-enough-to-be-found"]
    for text in ids[1:]:
        site.visit(f"session={text}", lambda: session.get("user"))
    for grace in (10, 0):
        renewed = site.visit(browser, lambda grace=grace: session.regenerate(grace=grace)).cookie  # type: ignore[misc]
        assert renewed
        ids.append(renewed)
    for old in ids[:-1]:
        site.visit(f"session={old}", lambda: session.update(late=SECRET_VALUE))

    def overlap() -> None:
        session["user"] = 1
        site.visit(browser, lambda: session.update(user=2))

    site.visit(f"session={ids[-1]}", overlap)
    with site.store.unplugged():
        site.visit(browser, lambda: session.get("user"))
        site.visit(browser, lambda: None)
    change = Change(items={"user": Edit(b"\x01\x00\xc1", 1 << 30, True)})
    site.store.store.commit(id[:10], change, None)
    site.visit(browser, lambda: session.get("user"))
    site.clock.advance(90 * 86_400)
    site.sweep()
    other, id = site.sign_in(user=SECRET_VALUE)
    ids.append(id)
    site.visit(other, lambda: session.abandon())
    with pytest.raises(Exception, match="can't be stored"):
        site.visit(None, lambda: session.update({SECRET_VALUE[:3]: object()}))
    return ids


def traces(text: str) -> list[str]:
    """What would give an id away: its secret, whole or a good part of it."""
    return [text, text[10:], text[10:22]] if len(text) == 36 else [text]


# S66


def test_s66_logs_hold_no_id(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    site = Site(url)
    ids = busy_day(site)
    formatted = caplog.text + "".join(
        "".join(traceback.format_exception(*record.exc_info))
        for record in caplog.records
        if record.exc_info
    )
    assert "is damaged" in formatted, "nothing was logged: this looks at the wrong place"
    for id in ids:
        for trace in traces(id):
            assert trace not in formatted
    site.close()


def test_s66_logs_hold_no_value_and_no_key(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    site = Site(url)
    busy_day(site)
    assert SECRET_VALUE not in caplog.text
    assert KEY not in caplog.text
    site.close()


def test_s66_signals_hold_no_id(site: Site) -> None:
    ids = busy_day(site)
    sent = repr([(event.name, event.facts) for event in site.events])
    for id in ids:
        for trace in traces(id):
            assert trace not in sent


# S67


def test_s67_every_event_of_a_life_is_sent(site: Site) -> None:
    busy_day(site)
    names = {event.name for event in site.events}
    assert names == {
        *("session_started", "session_renewed", "session_conflict", "session_rejected"),
        *("session_damaged", "session_ended", "store_down", "store_up"),
    }


Doing = cabc.Callable[[Site, str], t.Any]


def _in_app(run: cabc.Callable[[Site, str], t.Any]) -> Doing:
    def do(site: Site, id: str) -> None:
        with site.app.app_context():
            run(site, id)

    return do


EVENTS: t.Final[dict[str, tuple[Doing, str, dict[str, t.Any]]]] = {
    "created": (lambda site, id: site.sign_in(), "session_started", {}),
    "renewed": (
        lambda site, id: site.visit(f"session={id}", lambda: session.regenerate()),
        "session_renewed",
        {},
    ),
    "logout": (
        lambda site, id: site.visit(f"session={id}", lambda: session.abandon()),
        "session_ended",
        {"reason": "abandoned"},
    ),
    "emptied": (
        lambda site, id: site.visit(f"session={id}", lambda: session.clear()),
        "session_ended",
        {"reason": "abandoned"},
    ),
    "expired": (
        lambda site, id: site.clock.advance(90 * 86_400),
        "session_ended",
        {"reason": "expired"},
    ),
    "revoked": (
        _in_app(lambda site, id: site.state.sessions.end(id[:10])),
        "session_ended",
        {"reason": "revoked"},
    ),
    "unknown id": (
        lambda site, id: site.items(f"session={'a' * 36}"),
        "session_rejected",
        {"reason": "unknown"},
    ),
    "malformed id": (
        lambda site, id: site.items("session=x"),
        "session_rejected",
        {"reason": "malformed"},
    ),
}


@pytest.mark.parametrize(("do", "name", "facts"), EVENTS.values(), ids=EVENTS)
def test_s67_an_event_is_sent_once_with_its_facts(
    site: Site, do: Doing, name: str, facts: dict[str, t.Any]
) -> None:
    _, id = site.sign_in(user="ann")
    site.events.clear()
    do(site, id)
    site.sweep()
    (event,) = site.events
    assert event.name == name
    assert {key: event.facts[key] for key in facts} == facts
    if name not in ("session_rejected", "session_started"):
        assert event.facts["handle"] == id[:10]


# S69


def test_s69_visitors_that_store_nothing_leave_no_record(site: Site) -> None:
    ids = Ids()
    for n in range(50):
        header = [None, f"session={ids.new().text}", "session=x"][n % 3]
        site.visit(header, lambda: (session.get("a"), session.pop("b", None), session.clear()))
    with site.app.app_context():
        assert site.state.sessions.count() == 0
    assert site.sweep() == 0
    assert "commit" not in site.store.calls


@pytest.fixture
def full() -> t.Iterator[tuple[Site, str]]:
    """A site whose memory is full, and the id of a session in it."""
    site = Site("memory://?max_bytes=50000")
    _, id = site.sign_in(user="ann", ballast="x" * 45_000)
    yield site, id
    site.close()


def test_s69_memory_is_bounded_and_living_sessions_are_never_evicted(
    full: tuple[Site, str],
) -> None:
    site, id = full
    visit = site.visit(None, lambda: session.update(more="y" * 10_000))
    assert visit.response.status_code == 503
    assert visit.response.headers["Retry-After"]
    assert visit.cookie is None
    assert site.visit(f"session={id}", lambda: session["user"]).value == "ann"
    assert site.visit(f"session={id}", lambda: session.update(ballast="")).cookie == id
    assert site.visit(None, lambda: session.update(more="y" * 10_000)).response.status_code == 200


def test_s69_a_signal_tells_the_operator(full: tuple[Site, str]) -> None:
    site, _ = full
    site.visit(None, lambda: session.update(more="y" * 10_000))
    (down,) = site.named("store_down")
    assert (down["engine"], down["operation"]) == ("memory", "commit")
    assert "max_bytes" in str(down["error"])


# S72


def test_s72_saving_a_session_leaves_the_transaction_of_the_application_alone(site: Site) -> None:
    database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    database.execute("create table orders (id)")
    browser, _ = site.sign_in(user="ann")

    def order() -> None:
        database.execute("begin")
        database.execute("insert into orders values (1)")
        session["ordered"] = True
        session.commit()
        session["more"] = 1

    site.visit(browser, order)
    assert database.in_transaction, "neither committed nor rolled back"
    database.execute("rollback")
    assert database.execute("select count(*) from orders").fetchone() == (0,)
    assert site.items(browser) == {"user": "ann", "ordered": True, "more": 1}
    database.close()


# S73


def test_s73_the_text_of_a_session_shows_neither_values_nor_id(site: Site) -> None:
    _, id = site.sign_in(user=SECRET_VALUE)

    def look() -> list[str]:
        texts = [repr(session), str(session), f"{session}"]
        assert session["user"] == SECRET_VALUE
        session["more"] = SECRET_VALUE
        texts += [repr(session), str(session), f"{session!r:>10}"]
        session.abandon()
        return [*texts, repr(session)]

    for text in site.visit(f"session={id}", look).value:
        assert SECRET_VALUE not in text
        assert id[10:] not in text
        assert re.match(r" *<Session ", text)


def test_s73_the_text_of_an_id_shows_its_locator_only() -> None:
    id = Ids().new()
    for text in (repr(id), str(id), f"{id}", repr([id]), repr({"id": id})):
        assert id.text not in text
        assert id.text[10:] not in text
        assert id.locator in text


def test_s73_the_parts_of_an_application_show_no_secret(site: Site) -> None:
    site.sign_in(user=SECRET_VALUE)
    url = parse("redis://user:hunter2@host/0")
    shown = repr([site.app.extensions, site.state, site.app.session_interface, url])
    for secret in (SECRET_VALUE, KEY, "hunter2"):
        assert secret not in shown


def test_s73_errors_of_items_show_names_and_no_values(site: Site) -> None:
    with pytest.raises(Exception, match=r"session\['card'\]") as caught:
        site.visit(None, lambda: session.update(card=[SECRET_VALUE, object()]))
    assert SECRET_VALUE not in str(caught.value)
