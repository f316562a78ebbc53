"""The errors: one tree, statuses where they are answers, evidence in attributes."""

from __future__ import annotations

import inspect
import pickle
import re
import typing as t

import flask
import pytest
from werkzeug.exceptions import BadRequest
from werkzeug.exceptions import Conflict
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import ServiceUnavailable

from flask_state import errors
from flask_state.errors import BadState
from flask_state.errors import ConfigurationError
from flask_state.errors import SerializationError
from flask_state.errors import SessionConflict
from flask_state.errors import SessionLockTimeout
from flask_state.errors import SessionReadOnly
from flask_state.errors import StateError
from flask_state.errors import StoreError
from flask_state.errors import TamperedState

CLASSES: t.Final = {
    name: value
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, StateError) and name[0] != "_"
}
EVIDENCE: t.Final = "what the operator reads"


def one_of_each() -> list[StateError]:
    """An instance of every error."""
    return [
        StateError(EVIDENCE),
        ConfigurationError(EVIDENCE),
        SerializationError(EVIDENCE, key="cart"),
        SessionReadOnly(EVIDENCE),
        StoreError(EVIDENCE, engine="lmdb", operation="commit"),
        SessionLockTimeout(EVIDENCE, handle="a" * 10),
        SessionConflict(EVIDENCE, items=["cart"]),
        BadState(EVIDENCE),
        TamperedState(EVIDENCE),
    ]


BY_NAME: t.Final = pytest.mark.parametrize("error", one_of_each(), ids=lambda e: type(e).__name__)


def test_there_are_no_others() -> None:
    assert set(CLASSES.values()) == {type(error) for error in one_of_each()}


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """Names, indented by how deep they stand."""
    drawn = re.findall(r"^    ((?:[│ ]*[├└]── )?)(\w+)", errors.__doc__ or "", re.MULTILINE)
    depths = {name: len(lead) // 4 for lead, name in drawn}
    assert set(depths) == set(CLASSES)
    for name, cls in CLASSES.items():
        above = [base.__name__ for base in cls.__mro__[1:] if base.__name__ in CLASSES]
        assert depths[name] == len(above), name


@BY_NAME
def test_the_message_is_what_was_said(error: StateError) -> None:
    assert EVIDENCE in str(error)
    assert error.args == (EVIDENCE,)


@pytest.mark.parametrize(
    ("error", "status", "base"),
    [
        (StoreError("x", engine="lmdb", operation="load"), 503, ServiceUnavailable),
        (SessionLockTimeout("x", handle="a"), 503, ServiceUnavailable),
        (SessionConflict("x"), 409, Conflict),
        (BadState("x"), 400, BadRequest),
        (TamperedState("x"), 400, BadRequest),
    ],
    ids=lambda part: getattr(type(part), "__name__", ""),
)
def test_those_with_a_status_are_werkzeugs_too(
    error: StateError, status: int, base: type[HTTPException]
) -> None:
    assert isinstance(error, base)
    assert error.code == status


@pytest.mark.parametrize(
    "cls", [StateError, ConfigurationError, SerializationError, SessionReadOnly]
)
def test_the_others_are_faults_of_the_program(cls: type[StateError]) -> None:
    assert not issubclass(cls, HTTPException)


def test_a_write_to_a_session_that_is_off_is_flasks_runtime_error_too() -> None:
    assert issubclass(SessionReadOnly, RuntimeError)


def test_evidence_is_in_attributes() -> None:
    store = StoreError("no space", engine="lmdb", operation="commit", retry_after=7)
    assert (store.engine, store.operation, store.retry_after) == ("lmdb", "commit", 7)
    assert str(store) == "lmdb could not commit: no space"
    assert StoreError("x", engine="lmdb", operation="load").retry_after == 5
    waited = SessionLockTimeout("x", handle="abc", retry_after=3)
    assert (waited.handle, waited.retry_after) == ("abc", 3)
    assert SessionConflict("x", items=["a", "b"]).items == ("a", "b")
    assert SessionConflict("x").items == ()
    assert SerializationError("x", key="cart").key == "cart"
    assert SerializationError("x").key is None


@BY_NAME
def test_the_cause_is_kept(error: StateError) -> None:
    cause = OSError("disk")
    with pytest.raises(type(error)) as caught:
        raise error from cause
    assert caught.value.__cause__ is cause


@pytest.mark.parametrize(
    "error", [e for e in one_of_each() if isinstance(e, HTTPException)], ids=lambda e: e.name
)
def test_what_the_client_sees_holds_no_evidence(error: HTTPException) -> None:
    app = flask.Flask("errors")
    app.testing = True

    @app.get("/")
    def fail() -> str:
        raise error

    response = app.test_client().get("/")
    assert response.status_code == error.code
    whole = response.text + str(response.headers)
    for part in (EVIDENCE, "lmdb", "commit", "cart"):
        assert part not in whole


def test_a_store_error_says_when_to_try_again() -> None:
    app = flask.Flask("errors")

    @app.get("/")
    def fail() -> str:
        raise StoreError("x", engine="lmdb", operation="load", retry_after=7)

    assert app.test_client().get("/").headers["Retry-After"] == "7"


@BY_NAME
def test_a_users_handler_catches_it_and_reads_the_evidence(error: StateError) -> None:
    app = flask.Flask("errors")
    app.testing = True

    @app.get("/")
    def fail() -> str:
        raise error

    @app.errorhandler(StateError)
    def handle(caught: StateError) -> tuple[str, int]:
        return f"{type(caught).__name__}: {caught}", 418

    response = app.test_client().get("/")
    assert response.status_code == 418
    assert response.text == f"{type(error).__name__}: {error}"


@BY_NAME
def test_it_survives_another_process(error: StateError) -> None:
    """A task queue sends it back as a pickle."""
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    for name in ("engine", "operation", "retry_after", "items", "key", "code"):
        assert getattr(again, name, None) == getattr(error, name, None)
