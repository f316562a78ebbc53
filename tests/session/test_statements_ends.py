"""Security statements S17 to S19 and S22: ends. A test's name holds the statement's number."""

from __future__ import annotations

import collections.abc as cabc
import pathlib
import subprocess
import sys
import typing as t

import pytest

from flask_state import session
from tests.session.ending import DAY
from tests.session.ending import ENDS
from tests.session.ending import End
from tests.session.ending import by_end
from tests.session.ending import count
from tests.session.ending import lengthen
from tests.session.ending import own
from tests.session.ending import owned
from tests.session.ending import persist
from tests.session.ending import read
from tests.session.ending import renew
from tests.session.ending import signed_in
from tests.session.ending import write
from tests.session.site import Site
from tests.session.site import Visit
from tests.source import ROOT


def attributes(visit: Visit) -> set[str]:
    """The attributes of the one cookie a response sets, without value and time."""
    (header,) = visit.response.headers.getlist("Set-Cookie")
    parts = [part.strip() for part in header.split(";")[1:]]
    return {part for part in parts if not part.lower().startswith(("expires", "max-age"))}


# S17


@by_end
def test_s17_the_record_and_its_index_entries_are_gone(site: Site, end: End) -> None:
    id = signed_in(site)
    assert (count(site), owned(site)) == (1, 1)
    end(site, id)
    assert (count(site), owned(site)) == (0, 0)
    site.sweep()
    assert site.store.store.claim(10, 60) == []
    assert site.items(f"session={id}") == {}


@pytest.mark.parametrize("end", ["abandon", "clear", "pop all"])
def test_s17_the_cookie_is_deleted_with_the_attributes_it_was_set_with(url: str, end: str) -> None:
    site = Site(
        url,
        SESSION_COOKIE_DOMAIN="shop.example",
        SESSION_COOKIE_PATH="/shop",
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="None",
        SESSION_COOKIE_PARTITIONED=True,
    )
    started = site.visit(None, lambda: session.update(user="ann"))
    assert started.cookie
    ended = ENDS[end](site, started.cookie)
    assert ended.cookie == ""
    assert attributes(ended) == attributes(started)
    assert attributes(ended) == {
        *("Domain=shop.example", "Path=/shop", "Secure", "HttpOnly", "SameSite=None"),
        "Partitioned",
    }
    (header,) = ended.response.headers.getlist("Set-Cookie")
    assert "Max-Age=0" in header
    assert "Expires=Thu, 01 Jan 1970" in header
    site.close()


@pytest.mark.parametrize(
    "task",
    [
        lambda: (session.abandon(), session.commit()),
        lambda: (session.clear(), session.commit()),
        lambda: (session.abandon(), session.reload(), session.commit()),
        lambda: (session.abandon(), session.reload()),
        lambda: (session.abandon(), session.get("user"), session.commit(), session.get("user")),
    ],
    ids=["abandon", "clear", "reload and commit", "reload", "read"],
)
def test_s17_the_cookie_is_deleted_though_the_request_commits_by_itself(
    site: Site, task: cabc.Callable[[], t.Any]
) -> None:
    visit = site.visit(f"session={signed_in(site)}", task)
    assert visit.cookie == ""
    assert count(site) == 0


def test_s17_it_is_over_in_the_store_though_the_request_fails_later(site: Site) -> None:
    id = signed_in(site)
    site.app.config["PROPAGATE_EXCEPTIONS"] = False

    def fail() -> None:
        session.abandon()
        raise ZeroDivisionError

    assert site.visit(f"session={id}", fail).response.status_code == 500
    assert site.items(f"session={id}") == {}
    assert count(site) == 0


def test_s17_the_request_still_reads_what_it_ended(site: Site) -> None:
    id = signed_in(site)

    def task() -> dict[str, t.Any]:
        session.abandon()
        return dict(session)

    assert site.visit(f"session={id}", task).value["user"] == "ann"


def test_s17_what_is_stored_after_the_end_begins_another_session(site: Site) -> None:
    id = signed_in(site)

    def task() -> None:
        session.abandon()
        session["notice"] = "signed out"

    visit = site.visit(f"session={id}", task)
    assert visit.cookie
    assert visit.cookie[:10] != id[:10]
    assert site.items(f"session={visit.cookie}") == {"notice": "signed out"}
    assert owned(site) == 0
    assert site.items(f"session={id}") == {}


def test_s17_ended_values_are_forgotten_when_they_were_delivered(site: Site) -> None:
    id = signed_in(site)
    ENDS["abandon"](site, id)
    assert site.sweep() == 1
    assert site.sweep() == 0
    (ended,) = site.named("session_ended")
    assert (ended["handle"], ended["reason"], ended["owner"]) == (id[:10], "abandoned", "ann")
    assert ended["items"] == {"user": "ann", "secret": "a value to forget"}


# S18


@by_end
@pytest.mark.parametrize("late", [write, read, renew, own, lengthen, persist])
def test_s18_nothing_that_finishes_later_revives_it(
    site: Site, end: End, late: cabc.Callable[[], None]
) -> None:
    id = signed_in(site)
    site.clock.advance(10 * DAY)

    def slow() -> None:
        assert session["user"] == "ann"
        end(site, id)
        late()

    visit = site.visit(f"session={id}", slow)
    assert visit.response.status_code == 200
    assert visit.response.headers.getlist("Set-Cookie") == []
    assert (count(site), owned(site)) == (0, 0)
    assert site.items(f"session={id}") == {}
    site.sweep()
    assert site.items(f"session={id}") == {}


@by_end
def test_s18_a_request_that_began_before_and_looks_after_finds_nothing(
    site: Site, end: End
) -> None:
    id = signed_in(site)

    def slow() -> dict[str, t.Any]:
        end(site, id)
        return dict(session)

    visit = site.visit(f"session={id}", slow)
    assert visit.value == {}
    assert visit.response.headers.getlist("Set-Cookie") == []


@by_end
def test_s18_a_late_write_is_told(site: Site, end: End) -> None:
    id = signed_in(site)

    def slow() -> None:
        assert session["user"] == "ann"
        end(site, id)
        write()

    site.visit(f"session={id}", slow)
    assert [each["reason"] for each in site.named("session_conflict")] == ["gone"]


def test_s18_a_session_ended_twice_is_ended_once(site: Site) -> None:
    id = signed_in(site)

    def slow() -> None:
        assert session["user"] == "ann"
        ENDS["abandon"](site, id)
        session.abandon()

    visit = site.visit(f"session={id}", slow)
    assert visit.response.status_code == 200
    site.sweep()
    assert len(site.named("session_ended")) == 1


def test_s18_a_swept_record_is_not_made_again_by_a_late_write(site: Site) -> None:
    id = signed_in(site)

    def slow() -> None:
        assert session["user"] == "ann"
        ENDS["abandon"](site, id)
        site.sweep()
        write()

    site.visit(f"session={id}", slow)
    assert count(site) == 0


# S19


@by_end
def test_s19_a_cookie_replayed_after_the_end_is_anonymous(site: Site, end: End) -> None:
    id = signed_in(site)
    end(site, id)
    for _ in range(2):
        assert site.items(f"session={id}") == {}
        assert site.items(f"session={id}.p") == {}
        site.sweep()
    writing = site.visit(f"session={id}", write)
    assert writing.cookie
    assert writing.cookie[:10] != id[:10]


# S22


def test_s22_revoking_all_of_a_user_holds_with_the_next_request_everywhere(url: str) -> None:
    one = Site(url)
    other = Site(one.store, clock=one.clock)
    ids = [signed_in(one), signed_in(other), signed_in(one)]
    _, foreign = one.sign_in(user="bob")
    with other.app.app_context():
        assert other.state.sessions.end_all("ann") == 3
    for site in (one, other):
        for id in ids:
            assert site.items(f"session={id}") == {}
        assert site.items(f"session={foreign}") == {"user": "bob"}
        assert owned(site) == 0
    one.sweep()
    assert {each["reason"] for each in one.named("session_ended")} == {"revoked"}
    one.close()


def test_s22_all_but_the_current_one(site: Site) -> None:
    ids = [signed_in(site) for _ in range(3)]
    with site.app.app_context():
        assert site.state.sessions.end_all("ann", keep=ids[1][:10]) == 2
    assert [bool(site.items(f"session={id}")) for id in ids] == [False, True, False]


def test_s22_a_request_under_way_loses_its_changes(site: Site) -> None:
    id = signed_in(site)

    def slow() -> None:
        assert session["user"] == "ann"
        ENDS["end all"](site, id)
        own()
        write()

    site.visit(f"session={id}", slow)
    assert (count(site), owned(site)) == (0, 0)


def test_s22_it_holds_in_every_process_of_the_machine(tmp_path: pathlib.Path) -> None:
    url = f"lmdb://{tmp_path}/state"
    site = Site(url)
    id = signed_in(site)
    assert site.items(f"session={id}")
    program = (
        "import sys\n"
        "from tests.session.site import Site\n"
        "site = Site(sys.argv[1])\n"
        "with site.app.app_context(): print(site.state.sessions.end_all('ann'))\n"
        "site.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, url], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "1"
    assert site.items(f"session={id}") == {}
    site.close()


def test_s22_a_change_of_owner_moves_the_session(site: Site) -> None:
    id = signed_in(site)
    site.visit(f"session={id}", lambda: setattr(session, "owner", "bob"))
    assert (owned(site, "ann"), owned(site, "bob")) == (0, 1)
    site.visit(f"session={id}", lambda: setattr(session, "owner", None))
    assert (owned(site, "ann"), owned(site, "bob"), count(site)) == (0, 0, 1)
