"""Security statements S20 and S21: limits. A test's name holds the statement's number."""

from __future__ import annotations

import typing as t

import pytest

from flask_state import session
from tests.session.ending import ENDS
from tests.session.ending import count
from tests.session.ending import lengthen
from tests.session.ending import owned
from tests.session.ending import read
from tests.session.ending import renew
from tests.session.ending import signed_in
from tests.session.ending import write
from tests.session.site import Site

# S20, S21: limits


def limited(url: str, idle: float = 1000, absolute: float | None = None, **more: t.Any) -> Site:
    """A site with these timeouts."""
    return Site(
        url, STATE_SESSION_IDLE_TIMEOUT=idle, STATE_SESSION_ABSOLUTE_TIMEOUT=absolute, **more
    )


def test_s20_the_idle_limit_is_kept(url: str) -> None:
    site = limited(url)
    id = signed_in(site)
    site.clock.advance(999)
    assert site.items(f"session={id}")["user"] == "ann"
    site.clock.advance(1100)
    assert site.items(f"session={id}") == {}
    site.close()


def test_s20_the_absolute_limit_is_kept_however_busy_the_session(url: str) -> None:
    site = limited(url, idle=1000, absolute=5000)
    id = signed_in(site)
    for step in range(49):
        site.clock.advance(100)
        task = write if step % 2 else read
        site.visit(f"session={id}", task)
        with site.app.app_context():
            (info,) = site.state.sessions.find("ann")
        assert info.expires <= info.created + 5000
    assert site.items(f"session={id}")
    site.clock.advance(99.9)
    assert site.items(f"session={id}")
    site.clock.advance(0.1)
    assert site.items(f"session={id}") == {}
    assert count(site) == 0
    site.close()


def test_s20_a_timeout_of_its_own_does_not_pass_the_absolute_limit(url: str) -> None:
    site = limited(url, idle=1000, absolute=5000)
    id = signed_in(site)
    site.visit(f"session={id}", lengthen)
    site.clock.advance(4999)
    assert site.items(f"session={id}")
    site.clock.advance(1)
    assert site.items(f"session={id}") == {}
    site.close()


def test_s20_regeneration_does_not_start_the_absolute_limit_again(url: str) -> None:
    site = limited(url, idle=4000, absolute=5000)
    id = signed_in(site)
    for _ in range(4):
        site.clock.advance(1200)
        renewed = site.visit(f"session={id}", renew).cookie
        assert renewed
        id = renewed
    site.clock.advance(200)
    assert site.items(f"session={id}") == {}
    site.close()


@pytest.mark.parametrize(
    ("idle", "absolute"), [(100, None), (10_000, 150), (100, 150)], ids=["idle", "absolute", "both"]
)
def test_s20_tightened_settings_hold_for_sessions_stored_before(
    url: str, idle: float, absolute: float | None
) -> None:
    before = limited(url, idle=10_000)
    id = signed_in(before)
    before.clock.advance(200)
    after = limited(before.store, idle, absolute, clock=before.clock)  # type: ignore[arg-type]
    assert after.items(f"session={id}") == {}
    assert before.items(f"session={id}") == {}, "it is over, for good"
    after.sweep()
    assert [each["reason"] for each in after.named("session_ended")] == ["expired"]
    before.close()


def test_s20_loosened_settings_hold_from_the_next_use(url: str) -> None:
    before = limited(url, idle=100)
    id = signed_in(before)
    after = limited(before.store, idle=10_000, clock=before.clock)  # type: ignore[arg-type]
    before.clock.advance(90)
    assert after.items(f"session={id}")
    before.clock.advance(9_999)
    assert after.items(f"session={id}")
    before.close()


def test_s20_what_the_client_says_of_times_counts_nothing(url: str) -> None:
    site = limited(url, idle=100)
    visit = site.visit(
        None, lambda: (session.update(user="ann"), setattr(session, "permanent", True))
    )
    assert visit.cookie
    assert visit.cookie.endswith(".p")
    site.clock.advance(111)
    assert site.items(f"session={visit.cookie}; Max-Age=99999999; Expires=never") == {}
    site.close()


@pytest.mark.parametrize("swept", [False, True], ids=["not swept", "swept"])
def test_s21_an_expired_record_is_never_returned(url: str, swept: bool) -> None:
    site = limited(url)
    id = signed_in(site)
    site.clock.advance(1100)
    if swept:
        site.sweep()
    for task in (lambda: dict(session), lambda: session.get("user"), lambda: "user" in session):
        assert not site.visit(f"session={id}", task).value
    for end in ("end", "end all"):
        assert not ENDS[end](site, id)
    assert (count(site), owned(site)) == (0, 0)
    assert site.visit(f"session={id}", write).cookie
    assert site.items(f"session={id}") == {}
    site.close()


def test_s21_a_record_that_expires_under_a_request_is_not_lengthened_by_it(url: str) -> None:
    site = limited(url)
    id = signed_in(site)

    def slow() -> None:
        assert session["user"] == "ann"
        site.clock.advance(1100)
        write()

    visit = site.visit(f"session={id}", slow)
    assert visit.response.headers.getlist("Set-Cookie") == []
    assert count(site) == 0
    site.close()


def test_s21_an_expired_session_is_delivered_as_such(url: str) -> None:
    site = limited(url)
    id = signed_in(site)
    site.clock.advance(1100)
    site.sweep()
    (ended,) = site.named("session_ended")
    assert (ended["handle"], ended["reason"], ended["owner"]) == (id[:10], "expired", "ann")
    site.close()
