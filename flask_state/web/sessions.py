"""Connects sessions to Flask: opened with the request, saved with the response."""

from __future__ import annotations

import collections.abc as cabc
import logging
import traceback
import typing as t

import flask
from flask import sessions as flask_sessions

from ..errors import StateError
from ..errors import StoreError
from ..session import access
from ..session.adoption import Foreign
from ..session.data import SessionData
from ..session.manager import Outcome
from ..session.working import OFF
from ..session.working import UNOPENED
from . import cookie_sessions
from .current import AppState
from .transport import Presented

logger: logging.Logger = logging.getLogger("flask_state.session")

_SLOW: t.Final = 0.05
"""Seconds after which a request asks the store before it sends an id again that it didn't touch:
a trip is little beside them, and for others there is hardly time to be overtaken."""

_LATE: t.Final = "_flask_state_late_sessions"
_LEASED: t.Final = "_flask_state_leased_session"

_MERGED: t.Final = (access.MERGE, True)

_MANY_MODES: t.Final = 10_000
"""Endpoints and methods whose access mode is remembered."""

_LONGEST_BROWSER: t.Final = 200
"""Characters kept of what a browser calls itself."""

_NO_KEY = (
    "no secret key was set. Set the secret_key on the application to something unique and secret"
)


class Session(SessionData, flask_sessions.SessionMixin):  # type: ignore[override]  # `new` is known
    """The session of a request: what `flask.session` stands for.

    A mapping from names to values. Changes are noticed, inside values too, and saved with the
    response; see `SessionData` for what it does beyond a dict.
    """

    __slots__ = (
        "_app",
        "_app_state",
        "_cookies",
        "_home",
        "_outlives",
        "_request",
        "_started",
        "_taken_over",
    )

    def __init__(self, app: flask.Flask, state: AppState, request: flask.Request | None) -> None:
        super().__init__()
        self._manager = state.parts.manager
        self._app = app
        self._app_state = state
        self._request = request
        self._cookies: cabc.Sequence[Presented] | None = None
        self._outlives: bool | None = None
        self._taken_over: Foreign | None = None
        try:  # `_this_context`, without a call: every request pays for it
            self._home = id(flask.g._get_current_object())
        except RuntimeError:
            self._home = 0
        self._started = state.clock.monotonic()

    @property
    def permanent(self) -> bool:
        """Whether the client keeps its id longer than the browser runs. May be set."""
        if self._outlives is not None:
            return self._outlives
        presented = self.cookies()
        if self._state == UNOPENED and not self._origin and presented:
            if self._manager.ids.parse(presented[0].text) is not None:
                return presented[0].permanent
            self._open(())  # no id of ours: what it is can't be told from its text
        if self._origin:
            if self._taken_over is not None and self._taken_over.text == self._origin:
                return self._taken_over.permanent
            for each in presented:
                if each.permanent and each.text == self._origin:
                    return True
        return False

    @permanent.setter
    def permanent(self, value: bool) -> None:
        self.accessed = True
        if self._state == OFF:
            self._write(())
        if bool(value) != self.permanent:
            self._cookie_due = True
        self._outlives = bool(value)

    def cookies(self) -> cabc.Sequence[Presented]:
        """What the request presents as ids. Read once."""
        if self._cookies is None:
            request = self._request
            transport = self._app_state.transport
            self._cookies = transport.present(self._app, request) if request is not None else ()
        return self._cookies

    def _presented(self) -> cabc.Sequence[str]:
        return [each.text for each in self.cookies()]

    def _foreign(self) -> Foreign | None:
        self._taken_over = cookie_sessions.read(self._app, self._presented())
        return self._taken_over

    def _access(self) -> tuple[str, bool]:
        """That of the view, where this is the session of the request it answers."""
        request = self._request
        try:
            if request is None or flask.request._get_current_object() is not request:  # type: ignore[attr-defined]
                return _MERGED
        except RuntimeError:
            return _MERGED
        found = self._app_state.modes.get((request.endpoint, request.method))
        if found is None:
            return self._find_access(request)
        if found[0] == access.EXCLUSIVE and not self._is_at_home():
            return access.MERGE, found[1]  # nobody knows for how long it goes on
        return found

    def _find_access(self, request: flask.Request) -> tuple[str, bool]:
        """The same for an endpoint that is seen for the first time, or has no view of its own."""
        endpoint, modes = request.endpoint, self._app_state.modes
        if endpoint is None:
            return _MERGED
        if endpoint == "static" or endpoint.endswith(".static"):
            # Hooks that run before every request do what they always did. What runs after it,
            # such as Flask-Login's look for a remember cookie, costs a static file nothing.
            return (access.OFF, True) if self._is_late() else _MERGED
        said = self._said(request, endpoint)
        if len(modes) >= _MANY_MODES:  # some rule takes any word for a method
            modes.clear()
        modes[endpoint, request.method] = said.resolved(request.method), said.keep_alive
        return self._access()

    def _is_at_home(self) -> bool:
        """Whether this is the request's own session, in its own context, before its response."""
        if self._sealed or self._home != _this_context():
            return False
        return flask.session._get_current_object() is self  # type: ignore[attr-defined]

    def _said(self, request: flask.Request, endpoint: str) -> access.Access:
        """What the view says, or its blueprints, the innermost first, or the settings."""
        said = access.said_by_view(self._app.view_functions.get(endpoint), request.method)
        if said is not None:
            return said
        for name in request.blueprints:
            said = access.said_by(self._app.blueprints.get(name))
            if said is not None:
                return said
        return self._app_state.access

    def _client(self) -> tuple[str, str]:
        request = self._request
        if request is None:
            return "", ""
        return request.user_agent.string[:_LONGEST_BROWSER], request.remote_addr or ""

    def _why_off(self) -> str:
        if self._request is not None and (self._request.endpoint or "").endswith("static"):
            return "a static file has none once it was found; use it before, or not at all"
        return super()._why_off()

    def _is_late(self) -> bool:
        """Whether Flask is finishing the response: then a failing store must not spoil it.

        Asked only where the store fails, or somebody else has the lease. So it is looked up in
        the calls under way, and no request pays for being able to tell. (An `async` hook runs in
        a thread of its own, where this can't be seen: there it is as in a view.)
        """
        finishing = flask.Flask.process_response.__code__
        return any(frame.f_code is finishing for frame, _ in traceback.walk_stack(None))

    def _reopened(self) -> None:
        if flask.has_app_context():
            self._leave_with_context(_LATE)

    def _leased(self) -> None:
        self._leave_with_context(_LEASED)

    def _leave_with_context(self, why: str) -> None:
        """Have `_leave` look after it when its context is torn down.

        Noted on `g`, so that it goes with the context whatever becomes of the teardown.
        """
        vars(flask.g._get_current_object()).setdefault(why, []).append(self)
        if not self._app_state.watches_teardown:  # no request pays for it before it must
            self._app_state.watches_teardown = True
            flask.request_tearing_down.connect(_leave, self._app)

    def _is_of_this_request(self) -> bool:
        """A request inside of another one has the same `g`."""
        return self._request is flask.request._get_current_object()  # type: ignore[attr-defined]


def _this_context() -> int:
    """A name of the context around the caller. Copies of a context have a `g` of their own."""
    try:
        return id(flask.g._get_current_object())
    except RuntimeError:
        return 0


def _leave(app: flask.Flask, exc: BaseException | None = None, **extra: t.Any) -> None:
    """When a context ends: see that nothing is left behind, whether a response was made or not."""
    noted = vars(flask.g._get_current_object())
    for session in noted.pop(_LEASED, ()):
        if session._lease is not None:  # no response gave it back
            if session._is_of_this_request():
                session._manager.leave(session)
            else:
                noted.setdefault(_LEASED, []).append(session)
    if _LATE in noted:
        _save_late(noted, discard=exc is not None)


def _save_late(noted: dict[str, t.Any], discard: bool) -> None:
    """Save what was changed after the response had left."""
    for session in noted.pop(_LATE):
        if not session._is_of_this_request():
            noted.setdefault(_LATE, []).append(session)
            continue
        try:
            session._manager.save(session, discard=discard, refresh=False)
        except Exception:
            # The response has left: there is nobody to answer any more.
            logger.exception("Changes to a session after its response could not be saved.")


session: Session = t.cast(Session, flask.session)
"""`flask.session` itself, with the type it has here."""


class StateSessionInterface(flask_sessions.SessionInterface):
    """Flask's session interface over the stores. `init_app` sets it on the application."""

    def __init__(self, state: AppState, check: cabc.Callable[[flask.Flask], None]) -> None:
        self._state = state
        self._check = check

    def open_session(self, app: flask.Flask, request: flask.Request) -> Session | None:
        """A session that loads at its first touch. No I/O, no parsing: runs for every request."""
        state = self._state
        if not state.checked:
            self._check(app)
        if not app.secret_key:
            return None
        return Session(app, state, request)

    def make_null_session(self, app: flask.Flask) -> Session:  # type: ignore[override]
        """What reads as empty and can't be written: there is no secret key."""
        session = Session(app, self._state, None)
        session._turn_off(_NO_KEY)
        return session

    def is_null_session(self, obj: object) -> bool:
        """Whether there is nothing to save: no key, or the view wants no session."""
        return getattr(obj, "_state", None) == OFF and not getattr(obj, "_failed", False)

    def save_session(
        self, app: flask.Flask, session: flask_sessions.SessionMixin, response: flask.Response
    ) -> None:
        """Commit what the request changed, and tell the client what follows."""
        if not isinstance(session, Session):
            raise StateError(
                f"flask.session was replaced by a {type(session).__name__}, which can't be saved"
            )
        refresh = app.config["SESSION_REFRESH_EACH_REQUEST"]
        if session._state == UNOPENED and not (
            session._cookie_due or session._held is not None or session._ended
        ):
            if session.accessed:
                _vary(response)
            if refresh and not session._sealed:
                self._refresh_unopened(app, session, response)
            session._sealed = True
        elif not (session._sealed and session._failed):
            self._save(app, session, response, refresh)

    def _refresh_unopened(
        self, app: flask.Flask, session: Session, response: flask.Response
    ) -> None:
        """Send a permanent id again, as Flask does, though nothing of it was touched.

        Its text alone says that it is one. But while a slow request was under way, a sign-in
        may have given the client another id, which this one must not push out of the browser.
        """
        request = session._request
        if request is None or not self._state.transport.may_outlive(request):
            return
        if not session._access()[1]:
            return
        manager, transport = self._state.parts.manager, self._state.transport
        slow = self._state.clock.monotonic() - session._started > _SLOW
        for each in session.cookies():
            if each.permanent and manager.ids.parse(each.text) is not None:
                try:
                    current = not slow or manager.is_current(each.text)
                except StoreError:
                    return
                if current:
                    transport.carry(app, response, each.text, True)
                    _vary(response)
                    return

    def _save(
        self, app: flask.Flask, session: Session, response: flask.Response, refresh: bool
    ) -> None:
        discard = response.status_code >= 500 and not self._state.settings.session_save_on_error
        try:
            if session._state == UNOPENED and session._held is None and not session._ended:
                session._open(())
            outcome = self._state.parts.manager.save(
                session,
                discard=discard,
                refresh=refresh and session._keeps_alive and session.permanent,
            )
        except Exception as error:
            session._turn_off("saving it failed", failed=True)
            session._sealed = True
            _pour(app.make_response(app.handle_user_exception(error)), response)
        else:
            session._sealed = True
            if outcome is Outcome.SET and session._held is not None:
                self._state.transport.carry(app, response, session._held.text, session.permanent)
            elif outcome is Outcome.DELETE:
                self._state.transport.drop(app, response)
        _vary(response)


def _vary(response: flask.Response) -> None:
    """Say that the answer depends on the cookie: `response.vary` parses, this mostly needn't."""
    for name, _ in response.headers:
        if name.lower() == "vary":
            response.vary.add("Cookie")
            return
    response.headers.add("Vary", "Cookie")


def _pour(answer: flask.Response, response: flask.Response) -> None:
    """Make a response that was given away say what another one says."""
    response.status = answer.status
    response.headers.clear()
    response.headers.extend(answer.headers)
    response.response = answer.response
    response.direct_passthrough = answer.direct_passthrough
