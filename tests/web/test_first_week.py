"""What a first week with the extension brings to light, said where it can be read."""

from __future__ import annotations

import logging
import pathlib
import typing as t

import flask
import pytest

import flask_state
from flask_state import FlaskState
from flask_state import session
from flask_state.core import registry
from flask_state.errors import ConfigurationError
from flask_state.errors import StateError
from flask_state.testing import FakeClock
from tests.web.conftest import SECRET_KEY
from tests.web.conftest import MakeApp
from tests.web.conftest import Visitor
from tests.web.conftest import storing

OTHER_KEY: t.Final = "a key that another worker made"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "flask_state")
    return caplog


def lines(log: pytest.LogCaptureFixture, word: str) -> list[str]:
    return [each.getMessage() for each in log.records if word in each.getMessage()]


class TestWhereSessionsLive:
    def test_the_first_commit_says_it_once(
        self, app: flask.Flask, visitor: Visitor, log: pytest.LogCaptureFixture
    ) -> None:
        visitor.run(lambda: session.get("a"))
        assert lines(log, "live in") == []
        for n in range(3):
            visitor.run(storing(a=n))
        [line] = lines(log, "live in")
        engine = app.config["STATE_URL"].partition(":")[0]
        assert f"Sessions live in {engine}" in line
        assert ("this machine" if engine == "lmdb" else "this process") in line

    def test_without_settings_it_is_a_file_in_the_instance_folder(
        self, tmp_path: pathlib.Path
    ) -> None:
        app = flask.Flask("shop", instance_path=str(tmp_path / "instance"))
        app.config.update(SECRET_KEY=SECRET_KEY, STATE_SESSION_SWEEP_INTERVAL=0)
        FlaskState(app)

        @app.get("/")
        def index() -> str:
            session["a"] = session.get("a", 0) + 1
            return str(session["a"])

        client = app.test_client()
        assert [client.get("/").text, client.get("/").text] == ["1", "2"]
        app.extensions["flask_state"].parts.store.close()
        assert (tmp_path / "instance" / "state").exists()

    def test_in_tests_it_is_memory(self, tmp_path: pathlib.Path) -> None:
        app = flask.Flask("shop", instance_path=str(tmp_path / "instance"))
        app.config.update(TESTING=True, SECRET_KEY=SECRET_KEY)
        FlaskState(app)
        with app.test_client().session_transaction() as found:
            found["a"] = 1
        assert not (tmp_path / "instance").exists()

    def test_an_unwritable_instance_folder_is_an_error_that_names_the_setting(
        self, tmp_path: pathlib.Path
    ) -> None:
        (tmp_path / "file").write_text("where the folder should be")
        app = flask.Flask("shop", instance_path=str(tmp_path / "file" / "instance"))
        app.config.update(SECRET_KEY=SECRET_KEY, PROPAGATE_EXCEPTIONS=True)
        FlaskState(app)

        @app.get("/")
        def index() -> str:
            session["a"] = 1
            return "ok"

        with pytest.raises(StateError, match="STATE_URL"):
            app.test_client().get("/")


class TestKeys:
    """Every worker with a random key of its own, or two servers with different ones."""

    @pytest.fixture
    def shared(self, engine_url: str, clock: FakeClock) -> t.Any:
        return registry.open_sessions(engine_url, clock)

    def open(self, make_app: MakeApp, shared: t.Any, **config: t.Any) -> None:
        Visitor(make_app(STATE_URL=shared, **config)).run(lambda: session.update(a=1))

    def test_a_store_opened_by_another_key_is_logged(
        self, make_app: MakeApp, shared: t.Any, log: pytest.LogCaptureFixture
    ) -> None:
        self.open(make_app, shared)
        self.open(make_app, shared)
        assert lines(log, "Another SECRET_KEY") == []
        self.open(make_app, shared, SECRET_KEY=OTHER_KEY)
        assert len(lines(log, "Another SECRET_KEY")) == 1
        assert SECRET_KEY not in log.text
        assert OTHER_KEY not in log.text

    def test_a_key_that_was_replaced_as_it_should_be_is_not(
        self, make_app: MakeApp, shared: t.Any, log: pytest.LogCaptureFixture
    ) -> None:
        self.open(make_app, shared)
        self.open(make_app, shared, SECRET_KEY=OTHER_KEY, SECRET_KEY_FALLBACKS=[SECRET_KEY])
        assert lines(log, "Another SECRET_KEY") == []

    def test_a_short_key_is_logged_and_works(
        self, make_app: MakeApp, log: pytest.LogCaptureFixture
    ) -> None:
        """S37."""
        visitor = Visitor(make_app(SECRET_KEY="dev"))
        for n in range(2):
            visitor.run(storing(a=n))
        assert visitor.value(lambda: session["a"]) == 1
        assert len(lines(log, "shorter than")) == 1
        assert "dev" not in lines(log, "shorter than")[0].split()


class TestSetUp:
    def test_the_typed_session_is_flasks_own(self) -> None:
        assert flask_state.session is flask.session

    def test_a_misspelt_setting_is_an_error_that_names_the_right_one(self) -> None:
        app = flask.Flask("shop")
        app.config["STATE_SESION_IDLE_TIMEOUT"] = 60
        with pytest.raises(ConfigurationError, match="did you mean STATE_SESSION_IDLE_TIMEOUT"):
            FlaskState(app)

    def test_a_setting_changed_too_late_is_an_error_that_says_so(
        self, app: flask.Flask, visitor: Visitor
    ) -> None:
        app.config["STATE_SESSION_MAX_BYTES"] = 10
        with pytest.raises(ConfigurationError, match=r"STATE_SESSION_MAX_BYTES.*init_app"):
            visitor.client.get("/untouched")

    def test_a_second_set_up_is_an_error(self, app: flask.Flask) -> None:
        with pytest.raises(ConfigurationError, match="already"):
            FlaskState(app)

    def test_an_app_that_was_not_set_up_is_an_error_that_says_how(self, state: FlaskState) -> None:
        app = flask.Flask("bare")
        with app.app_context(), pytest.raises(ConfigurationError, match="init_app"):
            state.sessions.count()
