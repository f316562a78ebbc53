"""Sweeping by hand: what `state.sessions.sweep()` tells, and what it leaves."""

from __future__ import annotations

import typing as t

import flask
import pytest

from flask_state import session
from flask_state import signals
from tests.session.site import Site
from tests.session.test_sweeper import production_app

# Sweeping by hand: `state.sessions.sweep()`


def ended(site: Site, number: int = 1) -> list[str]:
    """Handles of sessions that have just ended."""
    handles = []
    for _ in range(number):
        browser, id = site.sign_in(user="ann", cart=[1, (2,)])
        site.visit(browser, lambda: session.abandon())
        handles.append(id[:10])
    return handles


def sweep_once(site: Site, *limit: int) -> int:
    """One call."""
    with site.app.app_context():
        return site.state.sessions.sweep(*limit)


def test_every_receiver_is_told_with_all_there_is_to_know(site: Site) -> None:
    handles = ended(site)
    assert site.sweep() == 1
    (facts,) = site.named("session_ended")
    assert facts == {
        "handle": handles[0],
        "reason": "abandoned",
        "owner": None,
        "items": {"user": "ann", "cart": [1, (2,)]},
    }


def test_a_receiver_that_raises_keeps_nobody_else_from_hearing(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []

    def bad(sender: flask.Flask, **facts: t.Any) -> None:
        told.append("bad")
        raise ZeroDivisionError("mine")

    def good(sender: flask.Flask, **facts: t.Any) -> None:
        told.append("good")

    for receiver in (bad, good):
        signals.session_ended.connect(receiver, site.app)
    ended(site)
    assert sweep_once(site) == 1
    assert sorted(told) == ["bad", "good"]
    assert "ZeroDivisionError: mine" in caplog.text


def test_what_could_not_be_delivered_comes_again(site: Site) -> None:
    failing = True

    def receiver(sender: flask.Flask, **facts: t.Any) -> None:
        if failing:
            raise ZeroDivisionError

    signals.session_ended.connect(receiver, site.app)
    handles = ended(site)
    assert sweep_once(site) == 1
    assert sweep_once(site) == 0, "not at once: somebody may be at it"
    site.clock.advance(61)
    failing = False
    assert sweep_once(site) == 1
    site.clock.advance(61)
    assert sweep_once(site) == 0
    assert [facts["handle"] for facts in site.named("session_ended")] == handles * 2


def test_where_a_sweep_dies_another_one_delivers(site: Site) -> None:
    """The claim is a lease: whoever took it and fell over holds nothing for ever."""
    handles = ended(site)
    assert [each.locator for each in site.store.store.claim(10, 60)] == handles
    assert sweep_once(site) == 0
    site.clock.advance(61)
    assert sweep_once(site) == 1
    assert len(site.named("session_ended")) == 1


def test_no_more_are_claimed_than_asked_for(site: Site) -> None:
    ended(site, 5)
    assert [sweep_once(site, 2) for _ in range(4)] == [2, 2, 1, 0]
    assert len(site.named("session_ended")) == 5


def test_living_sessions_are_left_alone(site: Site) -> None:
    browser, _ = site.sign_in(user="ann")
    ended(site, 3)
    assert site.sweep() == 3
    assert site.items(browser) == {"user": "ann"}


def test_receivers_run_in_an_application_context(site: Site) -> None:
    seen: list[str] = []

    def receiver(sender: flask.Flask, **facts: t.Any) -> None:
        seen.append(flask.current_app.name)
        assert not flask.has_request_context()

    signals.session_ended.connect(receiver, site.app)
    ended(site)
    site.sweep()
    assert seen == ["site"]


def test_without_receivers_ends_are_forgotten() -> None:
    app = production_app()
    app.testing = True
    client = app.test_client()
    client.get("/")
    with app.app_context():
        state = app.extensions["flask_state"]
        (locator,) = state.parts.store.store._records
        assert state.parts.sessions.end(locator)
        assert state.parts.sessions.sweep() == 1
        assert state.parts.sessions.sweep() == 0


def test_an_adopted_cookie_is_no_end(site: Site) -> None:
    """The mark that it was taken over is forgotten in silence."""
    from flask.sessions import SecureCookieSessionInterface

    serializer = SecureCookieSessionInterface().get_signing_serializer(site.app)
    assert serializer is not None
    assert site.items(f"session={serializer.dumps({'user': 'ann'})}") == {"user": "ann"}
    site.clock.advance(40 * 86_400)
    site.sweep()
    assert [facts["reason"] for facts in site.named("session_ended")] == ["expired"]
