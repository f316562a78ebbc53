"""The errors of flask_state.

::

    StateError
    ├── ConfigurationError        a setting or a URL is wrong
    ├── SerializationError        a value can't be stored (key)
    ├── SessionReadOnly           a write where the session is off or readonly (also RuntimeError)
    ├── StoreError                the place where bytes are kept failed: 503 (engine, operation)
    ├── SessionLockTimeout        other requests of the session took too long: 503 (handle)
    ├── SessionConflict           another request was there first: 409 (items)
    └── BadState                  what the client sent back is no good: 400
        └── TamperedState         its signature or seal doesn't hold

Evidence is in attributes; the message is for people. An error with a status is a werkzeug
exception too: raised in a view it becomes that response, and `@app.errorhandler` can catch it.
What the client sees never holds the evidence.
"""

from __future__ import annotations

import typing as t

from werkzeug.exceptions import BadRequest
from werkzeug.exceptions import Conflict
from werkzeug.exceptions import ServiceUnavailable


class StateError(Exception):
    """The base of all errors raised by flask_state."""


class ConfigurationError(StateError):
    """A setting or a URL is wrong, or came too late. The message says which and what to do."""


class SerializationError(StateError):
    """A value can't be stored.

    :param key: the name of the item, or None where the value stands alone.
    """

    def __init__(self, message: str, key: str | None = None) -> None:
        super().__init__(message)
        self.key = key


class SessionReadOnly(StateError, RuntimeError):
    """A write to a session that this request may not change. The message says why."""


class _HTTPStateError(StateError):
    """Keeps the message for people out of the response, whose text is werkzeug's own."""

    message: str

    def _explain(self, message: str) -> None:
        self.message = message
        Exception.__init__(self, message)

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[t.Any, ...]:
        """As it is, attributes and all: a process pool or a task queue may send it back."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(
    cls: type[_HTTPStateError], args: tuple[t.Any, ...], attributes: dict[str, t.Any]
) -> _HTTPStateError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(attributes)
    return error


class StoreError(_HTTPStateError, ServiceUnavailable):
    """The place where bytes are kept failed; the response is 503 with `Retry-After`.

    :param engine: the engine's name, such as ``"lmdb"``.
    :param operation: what was being done, such as ``"commit"``.
    :param retry_after: seconds after which trying again makes sense.
    """

    def __init__(self, message: str, *, engine: str, operation: str, retry_after: int = 5) -> None:
        ServiceUnavailable.__init__(self, retry_after=retry_after)
        self._explain(message)
        self.engine = engine
        self.operation = operation

    def __str__(self) -> str:
        return f"{self.engine} could not {self.operation}: {self.message}"


class SessionLockTimeout(_HTTPStateError, ServiceUnavailable):
    """Other requests of the same session took too long, or too many wait: 503 with `Retry-After`.

    :param handle: the session's public name.
    :param retry_after: seconds after which trying again makes sense.
    """

    def __init__(self, message: str, *, handle: str, retry_after: int = 2) -> None:
        ServiceUnavailable.__init__(self, retry_after=retry_after)
        self._explain(message)
        self.handle = handle


class SessionConflict(_HTTPStateError, Conflict):
    """Another request changed or ended the session first; the response is 409.

    :param items: the items both had changed; empty where the session itself
        was ended or renewed, or its lease lost.
    """

    def __init__(self, message: str, items: t.Sequence[str] = ()) -> None:
        Conflict.__init__(self)
        self._explain(message)
        self.items: tuple[str, ...] = tuple(items)


class BadState(_HTTPStateError, BadRequest):
    """What the client sent back is no good; the response is 400 and doesn't say why."""

    def __init__(self, message: str) -> None:
        BadRequest.__init__(self)
        self._explain(message)


class TamperedState(BadState):
    """The signature or the seal doesn't hold: changed, cut, or made under an unknown key."""
