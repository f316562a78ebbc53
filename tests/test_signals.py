"""The signals: which there are, what they carry, who hears them."""

from __future__ import annotations

import ast
import collections.abc as cabc
import inspect
import itertools
import re
import typing as t

import flask
import pytest
from blinker import NamedSignal

from flask_state import FlaskState
from flask_state import session
from flask_state import signals
from flask_state.core.settings import Settings
from flask_state.stores.base import Change
from flask_state.stores.base import Edit
from tests.session.site import KEY
from tests.session.site import SIGNALS
from tests.session.site import Site

FACTS: t.Final[dict[str, set[str]]] = {
    "session_started": {"handle"},
    "session_ended": {"handle", "reason", "owner", "items"},
    "session_renewed": {"handle"},
    "session_conflict": {"handle", "reason", "items"},
    "session_rejected": {"reason"},
    "session_probed": {"address", "count"},
    "session_damaged": {"handle"},
    "store_down": {"engine", "operation", "error"},
    "store_up": {"engine"},
}
"""All signals, and what each carries: a promise to receivers."""


@pytest.fixture
def site() -> t.Iterator[Site]:
    site = Site()
    yield site
    site.close()


def everything(site: Site) -> None:
    """Let every signal be sent."""
    browser, id = site.sign_in(user="ann")

    def overlap() -> None:
        session["user"] = 1
        site.visit(browser, lambda: session.update(user=2))

    site.visit(f"session={id}", overlap)
    site.visit(browser, lambda: session.regenerate())
    for number in range(Settings().session_probe_limit):
        site.items(f"session=malformed{number}")
    with site.store.unplugged():
        site.visit(browser, lambda: session.get("user"))
    change = Change(items={"user": Edit(b"\x01\x00\xc1", 1 << 30, True)})
    site.store.store.commit(id[:10], change, None)
    site.items(browser)
    site.sweep()


def test_these_are_all_signals_there_are() -> None:
    names = {name for name, value in vars(signals).items() if isinstance(value, NamedSignal)}
    assert names == set(FACTS)
    for name in names:
        assert getattr(signals, name).name == name.replace("_", "-")


def test_every_signal_is_explained_with_what_it_carries() -> None:
    tree = ast.parse(inspect.getsource(signals)).body
    said = {}
    for before, after in itertools.pairwise(tree):
        target = getattr(before, "target", None)
        if isinstance(target, ast.Name) and isinstance(after, ast.Expr):
            said[target.id] = ast.literal_eval(after.value)
    assert set(said) == set(FACTS)
    for name, facts in FACTS.items():
        words = set(re.findall(r"`(\w+)`", said[name]))
        assert facts <= words, name


def test_every_signal_carries_what_it_should(site: Site) -> None:
    everything(site)
    assert {event.name for event in site.events} == set(FACTS)
    for event in site.events:
        assert set(event.facts) == FACTS[event.name], event.name


def test_the_sender_is_the_application_itself(site: Site) -> None:
    senders = []

    def receiver(sender: t.Any, **facts: t.Any) -> None:
        senders.append(sender)

    for signal in SIGNALS:
        signal.connect(receiver)
    try:
        everything(site)
    finally:
        for signal in SIGNALS:
            signal.disconnect(receiver)
    assert len(senders) == len(site.events)
    assert all(sender is site.app for sender in senders)


def test_one_application_does_not_hear_of_another() -> None:
    state = FlaskState()
    one, other = Site(state=state), Site(state=state)
    one.sign_in()
    assert len(one.named("session_started")) == 1
    assert other.events == []


def test_a_receiver_may_be_a_coroutine(site: Site) -> None:
    heard: list[str] = []

    async def receiver(sender: flask.Flask, **facts: t.Any) -> None:
        heard.append(flask.current_app.name if facts.get("reason") == "abandoned" else "started")

    signals.session_started.connect(receiver, site.app)
    signals.session_ended.connect(receiver, site.app)
    browser, _ = site.sign_in()
    site.visit(browser, lambda: session.abandon())
    site.sweep()
    assert heard == ["started", "site"]


def test_a_receiver_that_is_gone_is_not_called(site: Site) -> None:
    heard: list[str] = []

    def connect() -> None:
        def receiver(sender: flask.Flask, **facts: t.Any) -> None:
            heard.append("heard")

        signals.session_started.connect(receiver, site.app)

    connect()
    site.sign_in()
    assert heard == []


@pytest.mark.parametrize(
    ("signal", "task"),
    [
        (signals.session_started, lambda: (session.abandon(), session.update(user="bob"))),
        (signals.session_renewed, lambda: session.regenerate()),
    ],
    ids=["started", "renewed"],
)
def test_what_a_receiver_raises_reaches_the_application(
    site: Site, signal: NamedSignal, task: cabc.Callable[[], object]
) -> None:
    """It is the application's own code: its error is neither swallowed nor renamed."""
    browser, _ = site.sign_in()

    def receiver(sender: flask.Flask, **facts: t.Any) -> None:
        raise ZeroDivisionError("mine")

    signal.connect(receiver, site.app)
    with pytest.raises(ZeroDivisionError, match="mine"):
        site.visit(browser, task)


def test_a_receiver_runs_in_the_request_that_caused_it(site: Site) -> None:
    seen: list[str] = []

    def receiver(sender: flask.Flask, **facts: t.Any) -> None:
        seen.append(flask.request.path)

    signals.session_started.connect(receiver, site.app)
    site.sign_in()
    assert seen == ["/"]


def test_values_of_an_ended_session_come_in_their_order(site: Site) -> None:
    browser, _ = site.sign_in(z=1, a=[1, (2,)], m={"k": {1}})
    site.visit(browser, lambda: (session.pop("a"), session.update(a="again", b=2)))
    site.visit(browser, lambda: session.abandon())
    site.sweep()
    (facts,) = site.named("session_ended")
    assert list(facts["items"].items()) == [("z", 1), ("m", {"k": {1}}), ("a", "again"), ("b", 2)]


def test_values_that_cannot_be_read_are_left_out(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    _, id = site.sign_in(good=1, bad=2, newer=3)
    change = Change(
        items={
            "bad": Edit(b"\x01\x00\xc1", 1 << 30, True),
            "newer": Edit(b"\x02\x00\x01", 1 << 30, True),
        }
    )
    site.store.store.commit(id[:10], change, None)
    with site.app.app_context():
        site.state.sessions.end(id[:10])
    site.sweep()
    (facts,) = site.named("session_ended")
    assert facts["items"] == {"good": 1}
    assert "left out" in caplog.text


def test_every_receiver_of_an_end_gets_values_of_its_own(site: Site) -> None:
    """What one receiver does to them is not what the next one sees."""
    seen: list[dict[str, t.Any]] = []

    def receiver(sender: flask.Flask, items: dict[str, t.Any], **facts: t.Any) -> None:
        seen.append(dict(items))
        items.clear()

    def another(sender: flask.Flask, items: dict[str, t.Any], **facts: t.Any) -> None:
        seen.append(dict(items))
        items.clear()

    signals.session_ended.connect(receiver, site.app)
    signals.session_ended.connect(another, site.app)
    browser, _ = site.sign_in(user="ann")
    site.visit(browser, lambda: session.abandon())
    site.sweep()
    assert seen == [{"user": "ann"}, {"user": "ann"}]


def test_without_receivers_nothing_is_decoded() -> None:
    app = flask.Flask("quiet")
    app.config.update(SECRET_KEY=KEY, TESTING=True)
    state = FlaskState(app)
    app.add_url_rule("/", "index", lambda: flask.session.setdefault("user", "ann"))
    app.test_client().get("/")
    calls: list[bytes] = []
    real = state.codec.loads
    state.codec.loads = lambda data: calls.append(data) or real(data)  # type: ignore[method-assign]
    with app.app_context():
        store = app.extensions["flask_state"].parts.store.store
        (locator,) = store._records
        state.sessions.end(locator)
        assert state.sessions.sweep() == 1
    assert calls == []
