"""The settings: parsed once, told about when wrong, written back."""

from __future__ import annotations

import datetime as dt
import typing as t

import flask
import pytest

from flask_state import FlaskState
from flask_state.core import settings as module
from flask_state.core.settings import Settings
from flask_state.core.settings import as_config
from flask_state.core.settings import read
from flask_state.core.settings import settings_table
from flask_state.errors import ConfigurationError

KEYS: t.Final = [row.key for row in settings_table()]


def app_with(**config: t.Any) -> flask.Flask:
    """An application that is not set up yet."""
    app = flask.Flask("settings")
    app.config.update({"TESTING": True, "SECRET_KEY": "a key that is long enough", **config})
    app.add_url_rule("/", "index", lambda: str(len(flask.session)))
    return app


# Values

_SECONDS: t.Final = [
    (20, 20.0),
    (0.5, 0.5),
    ("1200", 1200.0),
    (" 3.5 ", 3.5),
    (dt.timedelta(minutes=20), 1200.0),
    (dt.timedelta(microseconds=1), 1e-6),
]
_NOT_NUMBERS: t.Final = ["soon", "", "nan", "inf", "-inf", float("nan"), float("inf"), [], {}]
GOOD: t.Final[dict[str, list[tuple[t.Any, t.Any]]]] = {
    "URL": [
        ("memory://", "memory://"),
        ("auto", "auto"),
        ("lmdb:///var/lib/app/state", "lmdb:///var/lib/app/state"),
        ("shop.stores:make", "shop.stores:make"),
    ],
    "SESSION_URL": [("memory://", "memory://"), (None, None), ("auto", "auto")],
    "SESSION_IDLE_TIMEOUT": [*_SECONDS, (None, None)],
    "SESSION_ABSOLUTE_TIMEOUT": [*_SECONDS, (None, None)],
    "SESSION_RENEW_AFTER": [*_SECONDS, (None, None)],
    "SESSION_RENEW_GRACE": [*_SECONDS, (0, 0.0), ("0", 0.0), (dt.timedelta(0), 0.0), (None, 10.0)],
    "SESSION_RENEW_AT_LOGIN": [
        *((each, True) for each in (True, 1, "1", "true", "True", "YES", None)),
        *((each, False) for each in (False, 0, "0", "false", "FALSE", "no")),
    ],
    "SESSION_MAX_BYTES": [(1, 1), (4096, 4096), ("4096", 4096), (2e6, 2_000_000), (None, 1 << 20)],
    "SESSION_ON_CONFLICT": [("signal", "signal"), ("error", "error"), (None, "signal")],
    "SESSION_ON_OUTAGE": [("error", "error"), ("empty", "empty"), (None, "error")],
    "SESSION_SAVE_ON_ERROR": [(True, True), ("false", False), (None, False)],
    "SESSION_ACCESS": [
        *((each, each) for each in ("auto", "exclusive", "merge", "readonly", "off")),
        (None, "auto"),
    ],
    "SESSION_LOCK_WAIT": [*_SECONDS, (None, 10.0)],
    "SESSION_LOCK_QUEUE": [(1, 1), ("64", 64), (2.0, 2), (None, 32)],
    "SESSION_LOCK_MAX": [*_SECONDS, (None, 600.0)],
    "SESSION_MAX_PER_OWNER": [(1, 1), ("5", 5), (None, None)],
    "SESSION_PROBE_LIMIT": [(1, 1), ("100", 100), (None, 20)],
    "SESSION_ADOPT_COOKIES": [(False, False), ("yes", True), (None, True)],
    "SESSION_SWEEP_INTERVAL": [*_SECONDS, (0, 0.0), (None, 60.0)],
}
BAD: t.Final[dict[str, list[t.Any]]] = {
    "URL": ["memory", "", "redis"],
    "SESSION_URL": ["memory", ""],
    "SESSION_IDLE_TIMEOUT": [*_NOT_NUMBERS, 0, -1, "0", True, 10**400, dt.timedelta(0)],
    "SESSION_ABSOLUTE_TIMEOUT": [*_NOT_NUMBERS, 0, -1, dt.timedelta(-1), False],
    "SESSION_RENEW_AFTER": [*_NOT_NUMBERS, 0, -1, True],
    "SESSION_RENEW_GRACE": [*_NOT_NUMBERS, -1, "-0.1", dt.timedelta(-1), True],
    "SESSION_RENEW_AT_LOGIN": ["maybe", "", 2, 0.5, [], "on!"],
    "SESSION_MAX_BYTES": [*_NOT_NUMBERS, 0, -1, 1.5, "1.5", True, "1 MiB"],
    "SESSION_ON_CONFLICT": ["", "raise", "Error", True, ["error"], {}],
    "SESSION_ON_OUTAGE": ["", "ignore", 1, []],
    "SESSION_SAVE_ON_ERROR": ["maybe", 7],
    "SESSION_ACCESS": ["", "write", True, ["merge"], 1],
    "SESSION_LOCK_WAIT": [*_NOT_NUMBERS, 0, -1, True],
    "SESSION_LOCK_QUEUE": [*_NOT_NUMBERS, 0, -1, 1.5, True],
    "SESSION_LOCK_MAX": [*_NOT_NUMBERS, 0, -1, True],
    "SESSION_MAX_PER_OWNER": [*_NOT_NUMBERS, 0, -1, 2.5, True],
    "SESSION_PROBE_LIMIT": [*_NOT_NUMBERS, 0, -1, 0.5, True],
    "SESSION_ADOPT_COOKIES": ["", "perhaps"],
    "SESSION_SWEEP_INTERVAL": [*_NOT_NUMBERS, -1, True],
}


def test_these_are_all_settings_there_are() -> None:
    assert [f"STATE_{name}" for name in GOOD] == KEYS == [f"STATE_{name}" for name in BAD]


@pytest.mark.parametrize(
    ("name", "given", "parsed"),
    [(name, given, parsed) for name, pairs in GOOD.items() for given, parsed in pairs],
    ids=lambda part: repr(part)[:30],
)
def test_a_good_value_is_parsed(name: str, given: t.Any, parsed: t.Any) -> None:
    value = getattr(read({f"STATE_{name}": given}), name.lower())
    assert (value, type(value)) == (parsed, type(parsed))


@pytest.mark.parametrize(
    ("name", "given"),
    [(name, given) for name, values in BAD.items() for given in values],
    ids=lambda part: repr(part)[:30],
)
def test_a_bad_value_is_an_error_that_names_the_key(name: str, given: t.Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read({f"STATE_{name}": given})
    message = str(caught.value)
    assert message.startswith(f"STATE_{name} must be ")
    assert "could not" not in message
    assert "cannot" not in message


def test_an_error_shows_no_text_that_was_given() -> None:
    """It may be a password that landed in the wrong variable."""
    for key in KEYS:
        if key.endswith(("IDLE_TIMEOUT", "MAX_BYTES", "ON_CONFLICT", "ADOPT_COOKIES", "URL")):
            with pytest.raises(ConfigurationError) as caught:
                read({key: "hunter2"})
            assert "hunter2" not in str(caught.value)


def test_a_store_of_ones_own_is_taken_as_it_is() -> None:
    store = object()
    assert read({"STATE_URL": store, "STATE_SESSION_URL": store}).session_url is store


def test_what_is_not_set_has_its_default() -> None:
    assert read({}) == Settings()
    assert {row.key: row.default for row in settings_table()} == as_config(Settings())


def test_every_setting_is_explained() -> None:
    for row in settings_table():
        assert row.help.endswith(".")
        assert len(row.help) > 30


def test_s73_the_text_of_settings_hides_the_url() -> None:
    """S73: it may hold a password."""
    settings = read({"STATE_URL": "redis://:hunter2@host/", "STATE_SESSION_URL": "x://:hunter2@h"})
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings)


# Keys


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("STATE_SESSION_IDLE_TIMOUT", "STATE_SESSION_IDLE_TIMEOUT"),
        ("STATE_SESSION_IDLETIMEOUT", "STATE_SESSION_IDLE_TIMEOUT"),
        ("STATE_SESSIONS_URL", "STATE_SESSION_URL"),
        ("STATE_SESSION_MAXBYTES", "STATE_SESSION_MAX_BYTES"),
        ("STATE_SESION_MAX_BYTE", "STATE_SESSION_MAX_BYTES"),
        ("STATE_URI", "STATE_URL"),
        ("STATE_URLS", "STATE_URL"),
        ("STATE_SESSION_ON_CONFLICTS", "STATE_SESSION_ON_CONFLICT"),
    ],
)
def test_a_misspelt_key_is_an_error_that_names_the_right_one(key: str, meant: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read({key: "x"})
    assert str(caught.value) == f"{key} is not a setting; did you mean {meant}?"


@pytest.mark.parametrize(
    "key", ["STATE_MACHINE_NAME", "STATE_OF_THE_UNION", "ESTATE_URL", "state_url", "STATE", "URL"]
)
def test_strangers_are_left_alone(key: str) -> None:
    app = app_with(**{key: "mine"})
    FlaskState(app)
    assert app.config[key] == "mine"


def test_keys_that_are_no_text_are_left_alone() -> None:
    assert read(t.cast("dict[str, t.Any]", {7: 1, None: 2})) == Settings()


def test_settings_are_never_so_alike_that_one_looks_like_another_misspelt() -> None:
    for one in KEYS:
        for other in KEYS:
            assert one == other or module._distance(one, other) > 2


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ("", "", 0),
        ("abc", "abc", 0),
        ("abc", "abd", 1),
        ("abc", "ac", 1),
        ("ab", "cab", 1),
        ("kitten", "sitting", 3),
        ("", "abc", 3),
        ("abc", "cab", 2),
    ],
)
def test_the_distance_is_levenshteins(one: str, other: str, distance: int) -> None:
    assert module._distance(one, other) == module._distance(other, one) == distance


# In an application


def test_the_parsed_values_are_written_back() -> None:
    app = app_with(STATE_SESSION_IDLE_TIMEOUT="1200", STATE_SESSION_ADOPT_COOKIES="no")
    FlaskState(app)
    assert app.config["STATE_SESSION_IDLE_TIMEOUT"] == 1200.0
    assert app.config["STATE_SESSION_ADOPT_COOKIES"] is False
    assert app.config["STATE_SESSION_MAX_BYTES"] == 1 << 20
    assert set(KEYS) <= set(app.config)


def test_a_configuration_that_was_written_back_reads_the_same() -> None:
    settings = read({name: given for name, given in [("STATE_SESSION_RENEW_AFTER", "900")]})
    assert read(as_config(settings)) == settings


def test_the_configuration_tells_where_sessions_are_once_they_are_used() -> None:
    app = app_with()
    FlaskState(app)
    client = app.test_client(use_cookies=False)
    client.get("/", headers={"Cookie": f"session={'a' * 36}"})
    assert app.config["STATE_URL"] == "memory://"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("STATE_SESSION_IDLE_TIMEOUT", 60),
        ("STATE_URL", "lmdb:///nowhere"),
        ("STATE_SESSION_URL", "lmdb:///nowhere"),
        ("STATE_SESSION_ADOPT_COOKIES", False),
    ],
)
def test_a_key_changed_after_init_app_is_an_error_at_the_first_request(
    key: str, value: t.Any
) -> None:
    app = app_with()
    FlaskState(app)
    app.config[key] = value
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=f"{key} was changed after init_app") as caught:
            app.test_client().get("/")
        assert "before" in str(caught.value)


def test_a_key_removed_after_init_app_is_an_error_at_the_first_request() -> None:
    app = app_with(STATE_SESSION_IDLE_TIMEOUT=60)
    FlaskState(app)
    del app.config["STATE_SESSION_IDLE_TIMEOUT"]
    with pytest.raises(ConfigurationError, match="STATE_SESSION_IDLE_TIMEOUT was changed"):
        app.test_client().get("/")


def test_a_key_set_to_what_it_was_is_no_change() -> None:
    app = app_with(STATE_SESSION_IDLE_TIMEOUT=60)
    FlaskState(app)
    app.config["STATE_SESSION_IDLE_TIMEOUT"] = 60
    assert app.test_client().get("/").status_code == 200


def test_a_key_changed_after_the_first_request_is_not_looked_at() -> None:
    app = app_with()
    FlaskState(app)
    assert app.test_client().get("/").status_code == 200
    app.config["STATE_SESSION_IDLE_TIMEOUT"] = 60
    assert app.test_client().get("/").status_code == 200


def test_values_from_the_environment_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """`from_prefixed_env` makes numbers and booleans of what JSON knows, and text of the rest."""
    given = {
        "URL": "memory://",
        "SESSION_IDLE_TIMEOUT": "1200",
        "SESSION_ABSOLUTE_TIMEOUT": "null",
        "SESSION_RENEW_AT_LOGIN": "false",
        "SESSION_SAVE_ON_ERROR": "yes",
        "SESSION_ON_CONFLICT": "error",
        "SESSION_MAX_BYTES": "4096",
    }
    for name, text in given.items():
        monkeypatch.setenv(f"FLASK_STATE_{name}", text)
    app = app_with()
    app.config.from_prefixed_env()
    FlaskState(app)
    assert {name: app.config[f"STATE_{name}"] for name in given} == {
        "URL": "memory://",
        "SESSION_IDLE_TIMEOUT": 1200.0,
        "SESSION_ABSOLUTE_TIMEOUT": None,
        "SESSION_RENEW_AT_LOGIN": False,
        "SESSION_SAVE_ON_ERROR": True,
        "SESSION_ON_CONFLICT": "error",
        "SESSION_MAX_BYTES": 4096,
    }


def test_a_misspelt_variable_of_the_environment_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_STATE_SESSION_IDLE_TIMEOUTS", "1200")
    app = app_with()
    app.config.from_prefixed_env()
    with pytest.raises(ConfigurationError, match="did you mean STATE_SESSION_IDLE_TIMEOUT"):
        FlaskState(app)


def test_an_application_is_set_up_once() -> None:
    app = app_with()
    state = FlaskState(app)
    with pytest.raises(ConfigurationError, match="once per application"):
        state.init_app(app)


def test_two_applications_of_one_extension_keep_their_own_settings() -> None:
    state = FlaskState()
    one, other = app_with(STATE_SESSION_IDLE_TIMEOUT=60), app_with()
    state.init_app(one)
    state.init_app(other)
    assert one.config["STATE_SESSION_IDLE_TIMEOUT"] == 60.0
    assert other.config["STATE_SESSION_IDLE_TIMEOUT"] is None
    for app in (one, other):
        assert app.test_client().get("/").status_code == 200
