"""`flask state`: what an administrator sees and does from a shell."""

from __future__ import annotations

import datetime as dt
import json
import os
import pathlib
import subprocess
import sys
import threading
import typing as t

import click
import flask
import pytest
from click.testing import Result

from flask_state import FlaskState
from flask_state import session
from flask_state import signals
from flask_state.core.settings import settings_table
from flask_state.errors import StoreError
from flask_state.testing import FakeClock
from flask_state.web import cli
from tests.source import ROOT
from tests.web.conftest import SECRET_KEY
from tests.web.conftest import Flaky
from tests.web.conftest import MakeApp
from tests.web.conftest import Visitor

SAFE: t.Final = {
    "MAX_CONTENT_LENGTH": 1_000_000,
    "SESSION_COOKIE_SECURE": True,
    "SESSION_COOKIE_SAMESITE": "Lax",
}
"""Settings with which `check` finds nothing on a shared engine."""


def run(app: flask.Flask, *words: str, **options: t.Any) -> Result:
    """Run `flask state` with these words; a traceback fails the test."""
    result = app.test_cli_runner().invoke(args=["state", *words], **options)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def good(app: flask.Flask, *words: str, **options: t.Any) -> str:
    """The output of a command that must go well."""
    result = run(app, *words, **options)
    assert result.exit_code == 0, result.output
    return result.stdout


def objects(text: str) -> list[dict[str, t.Any]]:
    """What JSON lines say."""
    return [json.loads(line) for line in text.splitlines()]


def sign_in(app: flask.Flask, owner: str = "ann", **items: t.Any) -> str:
    """A new session, as its handle."""

    def body() -> str | None:
        session.update(items or {"user": owner})
        session.owner = owner
        return session.handle

    handle: str = Visitor(app).value(body, headers={"User-Agent": "Browser/1.0"})
    return handle


class TestSettings:
    def test_every_setting_is_shown_with_its_help(self, app: flask.Flask) -> None:
        shown = good(app, "settings")
        for row in settings_table():
            assert f"{row.key} = " in shown
            assert row.help in shown

    def test_what_was_set_is_told_from_defaults(self, make_app: MakeApp) -> None:
        shown = good(make_app(STATE_SESSION_RENEW_AFTER="60"), "settings")
        assert "STATE_SESSION_RENEW_AFTER = 60.0  (set)" in shown
        assert "STATE_SESSION_LOCK_WAIT = 10.0  (default)" in shown

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("redis://ann:secret@host/0", "'redis://ann:***@host/0'"),
            ("redis://:secret@host/0", "'redis://:***@host/0'"),
            ("redis://ann:s/ec:r@et@host/0", "'redis://ann:***@host/0'"),
            ("redis://host/0?password=secret&db=1", "'redis://host/0?password=***&db=1'"),
            ("lmdb:///var/lib/state", "'lmdb:///var/lib/state'"),
            ("package.module:factory", "'package.module:factory'"),
        ],
    )
    def test_passwords_are_not_shown(self, url: str, shown: str, clock: FakeClock) -> None:
        app = flask.Flask("shop")
        app.config.update(SECRET_KEY=SECRET_KEY, STATE_SESSION_URL=url)
        FlaskState(app, clock=clock)
        assert f"STATE_SESSION_URL = {shown}  (set)" in good(app, "settings")

    def test_of_a_store_its_type_is_shown(self, make_app: MakeApp, store: Flaky) -> None:
        assert "STATE_SESSION_URL = <Flaky>  (set)" in good(
            make_app(STATE_SESSION_URL=store), "settings"
        )


class TestCheck:
    def checked(self, app: flask.Flask) -> tuple[dict[str, str], dict[str, str], int]:
        """What is good, what is not, and the exit status."""
        result = run(app, "check", "--json")
        found = objects(result.stdout)
        by_level: dict[str, dict[str, str]] = {"ok": {}, "warn": {}}
        for each in found:
            by_level[each["level"]][each["about"]] = each["text"]
        return by_level["ok"], by_level["warn"], result.exit_code

    @pytest.fixture
    def shared_url(self, tmp_path: pathlib.Path) -> str:
        """A store that all workers share."""
        return f"lmdb://{tmp_path}/shared"

    def test_where_nothing_is_weak_all_is_ok(self, make_app: MakeApp, shared_url: str) -> None:
        ok, warn, status = self.checked(make_app(STATE_URL=shared_url, **SAFE))
        assert (warn, status) == ({}, 0)
        assert ok["store"] == "sessions live in lmdb, and it answers"
        assert "a second machine would have its own" in ok["workers"]

    def test_flasks_defaults_are_weak(self, make_app: MakeApp, shared_url: str) -> None:
        _, warn, status = self.checked(make_app(STATE_URL=shared_url))
        assert status == 1
        assert set(warn) == set(SAFE)

    @pytest.mark.parametrize(
        ("key", "value", "advice"),
        [
            ("SESSION_COOKIE_SECURE", False, "set it to True"),
            ("SESSION_COOKIE_HTTPONLY", False, "leave it True"),
            ("SESSION_COOKIE_SAMESITE", None, "set it to 'Lax'"),
            ("SESSION_COOKIE_SAMESITE", "None", "set it to 'Lax'"),
            ("SESSION_COOKIE_DOMAIN", "example.org", "leave it unset"),
            ("MAX_CONTENT_LENGTH", None, "set it to the largest upload"),
            ("PERMANENT_SESSION_LIFETIME", dt.timedelta(days=32), "set 31 days"),
            ("STATE_SESSION_LOCK_WAIT", 31, "set less than your server's timeout"),
        ],
    )
    def test_each_weakness_is_found_alone(
        self, make_app: MakeApp, shared_url: str, key: str, value: t.Any, advice: str
    ) -> None:
        config = {**SAFE, "STATE_URL": shared_url, key: value}
        _, warn, status = self.checked(make_app(**config))
        assert (list(warn), status) == ([key], 1)
        assert advice in warn[key]

    def test_people_get_a_line_per_finding(
        self, make_app: MakeApp, shared_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The `flask` command sets `app.debug` to what the environment says, before ours runs."""
        monkeypatch.setenv("FLASK_DEBUG", "1")
        result = run(make_app(STATE_URL=shared_url, **SAFE), "check")
        assert result.exit_code == 1
        lines = result.stdout.splitlines()
        assert "ok    SESSION_COOKIE_HTTPONLY: scripts can't read the cookie" in lines
        assert [line[:15] for line in lines if line.startswith("warn")] == ["warn  DEBUG: on"]

    def test_a_missing_key_is_found_and_what_to_do(self, make_app: MakeApp) -> None:
        _, warn, status = self.checked(make_app(SECRET_KEY=None))
        assert status == 1
        assert "secrets.token_hex()" in warn["SECRET_KEY"]

    def test_a_key_that_is_none_is_found(self, make_app: MakeApp) -> None:
        _, warn, _ = self.checked(make_app(SECRET_KEY=SECRET_KEY, SECRET_KEY_FALLBACKS="text"))
        assert "SECRET_KEY_FALLBACKS must be a list" in warn["SECRET_KEY"]

    def test_fingerprints_name_keys_and_fallbacks(self, make_app: MakeApp) -> None:
        keys = ["the oldest key of all, long enough", "the key before, long enough", SECRET_KEY]
        names = [self.fingerprint(make_app(SECRET_KEY=key)) for key in keys]
        assert len(set(names)) == 3
        ok, _, _ = self.checked(make_app(SECRET_KEY=keys[2], SECRET_KEY_FALLBACKS=keys[:2]))
        assert names[2] in ok["SECRET_KEY"]
        assert names[0] in ok["SECRET_KEY_FALLBACKS[0]"]
        assert names[1] in ok["SECRET_KEY_FALLBACKS[1]"]

    def fingerprint(self, app: flask.Flask) -> str:
        """That of the key."""
        ok, _, _ = self.checked(app)
        return ok["SECRET_KEY"].partition("fingerprint is ")[2].partition(";")[0]

    def test_short_keys_are_found(
        self, make_app: MakeApp, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = make_app(SECRET_KEY=SECRET_KEY, SECRET_KEY_FALLBACKS=["short", b"x" * 16])
        ok, warn, _ = self.checked(app)
        assert "make a longer one" in warn["SECRET_KEY_FALLBACKS[0]"]
        assert {"SECRET_KEY", "SECRET_KEY_FALLBACKS[1]"} <= set(ok)

    @pytest.mark.parametrize("workers", [None, "1", "4"])
    def test_an_engine_of_one_process_is_found(
        self, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch, workers: str | None
    ) -> None:
        monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
        if workers is not None:
            monkeypatch.setenv("WEB_CONCURRENCY", workers)
        _, warn, _ = self.checked(make_app(STATE_URL="memory://", **SAFE))
        assert list(warn) == ["workers"]
        assert ("WEB_CONCURRENCY says 4" in warn["workers"]) == (workers == "4")

    def test_an_engine_on_the_network_serves_all(self, make_app: MakeApp, store: Flaky) -> None:
        store.shared = "network"  # type: ignore[attr-defined]
        ok, warn, _ = self.checked(make_app(STATE_URL=store, **SAFE))
        assert warn == {}
        assert "all machines" in ok["workers"]

    @pytest.mark.parametrize(
        "error", [StoreError("no disk", engine="x", operation="scan"), OSError("no disk")]
    )
    def test_a_store_that_fails_is_a_finding_and_no_outage(
        self,
        make_app: MakeApp,
        store: Flaky,
        monkeypatch: pytest.MonkeyPatch,
        error: Exception,
    ) -> None:
        def scan(cursor: str, limit: int) -> t.NoReturn:
            raise error

        monkeypatch.setattr(store, "scan", scan, raising=False)
        app = make_app(STATE_URL=store, **SAFE)
        outages: list[object] = []

        def receiver(sender: flask.Flask, **facts: t.Any) -> None:
            outages.append(facts)

        signals.store_down.connect(receiver, app)
        _, warn, status = self.checked(app)
        assert (list(warn), status, outages) == (["store"], 1, [])
        assert "no disk" in warn["store"]

    def test_a_url_that_leads_nowhere_is_a_finding(self, make_app: MakeApp) -> None:
        app = make_app(STATE_URL="nowhere://x", **SAFE)
        _, warn, status = self.checked(app)
        assert (list(warn), status) == (["store"], 1)
        assert "nowhere://" in warn["store"]
        app.extensions["flask_state"].parts.store._made = _Closed()

    def test_nothing_is_noted_in_the_store(self, make_app: MakeApp, store: Flaky) -> None:
        noted: list[str] = []
        store.note = lambda name, value: noted.append(name)  # type: ignore[attr-defined]
        self.checked(make_app(STATE_URL=store))
        assert (noted, store.calls) == ([], [])


class _Closed:
    """What is closed in the end where nothing could be opened."""

    def close(self) -> None:
        """Nothing."""


class TestSessions:
    def test_a_list_shows_who_when_and_from_where(self, app: flask.Flask, clock: FakeClock) -> None:
        handle = sign_in(app)
        (listed,) = objects(good(app, "sessions", "list", "--json"))
        assert listed.pop("size") > 0
        assert listed.pop("expires") > listed["created"]
        now = "2027-01-15T08:00:00+00:00"
        assert listed == {
            "handle": handle,
            "owner": "ann",
            "created": now,
            "touched": now,
            "signed_in": now,
            "browser": "Browser/1.0",
            "address": "127.0.0.1",
        }
        (line,) = good(app, "sessions", "list").splitlines()
        assert line.startswith(f"handle={handle}  owner=ann  created={now}")

    def test_a_list_of_nothing_is_empty(self, app: flask.Flask) -> None:
        assert good(app, "sessions", "list") == ""

    def test_a_list_can_be_that_of_one_owner(self, app: flask.Flask) -> None:
        sign_in(app, "ann")
        handle = sign_in(app, "bob")
        (listed,) = objects(good(app, "sessions", "list", "--owner", "bob", "--json"))
        assert listed["handle"] == handle

    def test_a_list_that_is_cut_says_so(self, app: flask.Flask) -> None:
        for _ in range(3):
            sign_in(app)
        result = run(app, "sessions", "list", "--limit", "2")
        assert len(result.stdout.splitlines()) == 2
        assert "more than 2" in result.stderr
        result = run(app, "sessions", "list", "--limit", "3")
        assert (len(result.stdout.splitlines()), result.stderr) == (3, "")

    def test_show_says_what_a_session_holds(self, app: flask.Flask) -> None:
        handle = sign_in(app, cart=[1, (2,)], theme="dark")
        lines = good(app, "sessions", "show", handle).splitlines()
        assert lines[0] == f"handle: {handle}"
        assert lines[-2:] == [
            'session["cart"] = [1, {"$tuple": [2]}]',
            'session["theme"] = "dark"',
        ]

    @pytest.mark.parametrize("command", ["show", "end"])
    def test_a_handle_that_nobody_has_is_said(self, app: flask.Flask, command: str) -> None:
        result = run(app, "sessions", command, "nosuchone\x1b")
        assert result.exit_code == 1
        assert "no living session has the handle nosuchone\\x1b" in result.stderr

    def test_end_ends_those_named(self, app: flask.Flask) -> None:
        first, second, third = (sign_in(app) for _ in range(3))
        assert good(app, "sessions", "end", first, third) == "2 ended\n"
        (left,) = objects(good(app, "sessions", "list", "--json"))
        assert left["handle"] == second

    def test_end_goes_on_past_one_that_is_gone(self, app: flask.Flask) -> None:
        handle = sign_in(app)
        result = run(app, "sessions", "end", "aaaaaaaaaa", handle)
        assert (result.exit_code, result.stdout) == (1, "1 ended\n")
        assert "aaaaaaaaaa" in result.stderr
        assert good(app, "sessions", "list") == ""

    def test_end_ends_those_of_an_owner(self, app: flask.Flask) -> None:
        for owner in ("ann", "bob", "ann"):
            sign_in(app, owner)
        assert good(app, "sessions", "end", "--owner", "ann") == "2 ended\n"
        assert len(objects(good(app, "sessions", "list", "--json"))) == 1

    def test_end_asks_before_it_ends_all(self, app: flask.Flask) -> None:
        for _ in range(3):
            sign_in(app)
        result = run(app, "sessions", "end", "--all", input="n\n")
        assert result.exit_code == 1
        assert "End all 3 sessions?" in result.output
        assert len(good(app, "sessions", "list").splitlines()) == 3
        assert "3 ended" in good(app, "sessions", "end", "--all", input="y\n")
        sign_in(app)
        assert good(app, "sessions", "end", "--all", "--yes") == "1 ended\n"
        assert good(app, "sessions", "list") == ""

    @pytest.mark.parametrize(
        "words", [(), ("aaaaaaaaaa", "--all"), ("--owner", "ann", "--all"), ("a", "--owner", "b")]
    )
    def test_end_wants_to_know_exactly_which(
        self, app: flask.Flask, words: tuple[str, ...]
    ) -> None:
        sign_in(app)
        assert run(app, "sessions", "end", *words, "--yes").exit_code == 2
        assert len(good(app, "sessions", "list").splitlines()) == 1

    def test_what_users_call_themselves_does_nothing_to_a_terminal(self, app: flask.Flask) -> None:
        handle = sign_in(app, "\x1b[2Jann\n\u202e")
        shown = good(app, "sessions", "list") + good(app, "sessions", "show", handle)
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        assert "owner=\\x1b[2Jann\\n\\u202e" in shown


class TestSweep:
    def test_all_that_has_ended_is_delivered(self, app: flask.Flask, clock: FakeClock) -> None:
        ended: list[str] = []

        def receiver(sender: flask.Flask, reason: str, **facts: t.Any) -> None:
            ended.append(reason)

        signals.session_ended.connect(receiver, app)
        good(app, "sessions", "end", sign_in(app))
        for _ in range(120):
            sign_in(app)
        clock.advance(90 * 86_400)
        assert good(app, "sweep") == "121 swept\n"
        assert sorted(set(ended)) == ["expired", "revoked"]
        assert good(app, "sweep") == "0 swept\n"

    def test_a_receiver_that_fails_is_not_told_for_ever(
        self, app: flask.Flask, caplog: pytest.LogCaptureFixture
    ) -> None:
        def receiver(sender: flask.Flask, **facts: t.Any) -> None:
            raise ZeroDivisionError

        signals.session_ended.connect(receiver, app)
        good(app, "sessions", "end", sign_in(app))
        assert good(app, "sweep") == "1 swept\n"


class TestExport:
    def test_every_session_is_a_line(self, app: flask.Flask) -> None:
        handles = [sign_in(app, owner, n=(1, 2)) for owner in ("ann", "bob")]
        lines = objects(good(app, "export"))
        assert sorted(each["handle"] for each in lines) == sorted(handles)
        assert [each["items"] for each in lines] == [{"n": {"$tuple": [1, 2]}}] * 2

    def test_it_can_be_that_of_one_owner(self, app: flask.Flask) -> None:
        sign_in(app, "ann")
        handle = sign_in(app, "bob")
        (line,) = objects(good(app, "export", "--owner", "bob"))
        assert (line["handle"], line["owner"]) == (handle, "bob")

    def test_ended_sessions_are_left_out(self, app: flask.Flask) -> None:
        good(app, "sessions", "end", sign_in(app))
        assert good(app, "export") == ""


class TestEverywhere:
    COMMANDS: t.Final = [
        ["settings"],
        ["check"],
        ["check", "--json"],
        ["sessions", "list"],
        ["sessions", "list", "--json"],
        ["export"],
        ["sweep"],
    ]

    def test_no_id_and_no_proof_is_ever_shown(self, make_app: MakeApp) -> None:
        app = make_app()
        visitor = Visitor(app)
        visitor.run(lambda: session.update(a=1))
        assert visitor.cookie is not None
        handle, secret = visitor.cookie[:10], visitor.cookie[10:]
        app_state = app.extensions["flask_state"]
        facts = app_state.parts.store.inspect(handle).facts
        shown = "".join(run(app, *words).output for words in self.COMMANDS)
        shown += good(app, "sessions", "show", handle)
        assert handle in shown
        for hidden in (secret, facts.proof.hex(), repr(facts.proof), SECRET_KEY):
            assert hidden not in shown

    def test_no_sweeper_starts(self, make_app: MakeApp) -> None:
        app = make_app(TESTING=False, STATE_SESSION_SWEEP_INTERVAL=0.01)
        with app.app_context():
            store = app.extensions["flask_state"].parts.store
            assert store.store is not None
        for words in self.COMMANDS:
            run(app, *words)
        good(app, "sessions", "end", "--all", "--yes")
        good(app, "sessions", "end", "--owner", "ann")
        run(app, "sessions", "end", "aaaaaaaaaa")
        assert [each.name for each in threading.enumerate() if "sweeper" in each.name] == []

    @pytest.mark.parametrize("words", [["sessions", "list"], ["sweep"], ["export"]])
    def test_a_store_that_fails_is_one_line_and_no_traceback(
        self, make_app: MakeApp, store: Flaky, monkeypatch: pytest.MonkeyPatch, words: list[str]
    ) -> None:
        def fail(*args: t.Any) -> t.NoReturn:
            raise StoreError("no disk", engine="x", operation="work")

        for verb in ("scan", "claim"):
            monkeypatch.setattr(store, verb, fail, raising=False)
        result = run(make_app(STATE_URL=store), *words)
        assert result.exit_code == 1
        assert result.stderr.splitlines()[-1] == "Error: x could not work: no disk"

    def test_without_a_secret_key_sessions_can_be_looked_at(self, make_app: MakeApp) -> None:
        app = make_app()
        handle = sign_in(app)
        app.secret_key = None
        assert handle in good(app, "sessions", "list")
        assert handle in good(app, "export")

    def test_all_commands_say_what_they_do(self, app: flask.Flask) -> None:
        for name, command in [*cli.group.commands.items(), *cli.sessions_group.commands.items()]:
            assert command.help, name
        assert isinstance(app.cli.commands["state"], click.Group)

    def test_they_are_there_with_nothing_but_a_key(self, tmp_path: pathlib.Path) -> None:
        """As everybody calls them: a process of its own, on the default engine."""
        (tmp_path / "shop.py").write_text(
            "from flask import Flask\n"
            "from flask_state import FlaskState\n"
            "app = Flask(__name__)\n"
            f"app.secret_key = {SECRET_KEY!r}\n"
            "FlaskState(app)\n"
        )
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
        command = [sys.executable, "-m", "flask", "--app", "shop", "state"]
        done = [
            subprocess.run(
                [*command, *words], cwd=tmp_path, env=environ, capture_output=True, text=True
            )
            for words in (["check"], ["sessions", "list"])
        ]
        assert [each.returncode for each in done] == [1, 0], done
        assert "warn  SESSION_COOKIE_SECURE" in done[0].stdout
        assert "ok    store: sessions live in lmdb, and it answers" in done[0].stdout
        assert [each.stderr for each in done] == ["", ""]
        assert (tmp_path / "instance" / "state").is_dir()
