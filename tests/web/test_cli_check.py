"""`flask state settings` and `flask state check`: how an application is set up."""

from __future__ import annotations

import datetime as dt
import pathlib
import typing as t

import flask
import pytest

from flask_state import FlaskState
from flask_state import signals
from flask_state.core.settings import settings_table
from flask_state.errors import StoreError
from flask_state.testing import FakeClock
from tests.web.commands import SAFE
from tests.web.commands import good
from tests.web.commands import objects
from tests.web.commands import run
from tests.web.conftest import SECRET_KEY
from tests.web.conftest import Flaky
from tests.web.conftest import MakeApp


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
