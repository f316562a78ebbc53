"""`flask state`: what an administrator sees and does from a shell."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import threading
import typing as t

import click
import flask
import pytest

from flask_state import session
from flask_state import signals
from flask_state.errors import StoreError
from flask_state.testing import FakeClock
from flask_state.web import cli
from tests.source import ROOT
from tests.web.commands import good
from tests.web.commands import objects
from tests.web.commands import run
from tests.web.commands import sign_in
from tests.web.conftest import SECRET_KEY
from tests.web.conftest import Flaky
from tests.web.conftest import MakeApp
from tests.web.conftest import Visitor


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
