"""The work that a request costs, counted: calls, round trips, bytes. Seconds are the table's."""

from __future__ import annotations

import collections.abc as cabc
import gc
import pathlib
import sys
import tracemalloc
import types
import typing as t

import flask
import pytest

import flask_state
from flask_state import FlaskState
from flask_state.core import registry
from flask_state.core.codec import Codec
from flask_state.testing import FakeClock

from . import apps
from .wsgi import Visit

BYTES_PER_REQUEST: t.Final = 32 * 1024
FUNCTIONS_UNTOUCHED: t.Final = 12
FUNCTIONS_READ: t.Final = 60


class Call(t.NamedTuple):
    """What a store was asked, and which items it brought."""

    verb: str
    arguments: tuple[t.Any, ...]
    brought: list[str]


class Recorder:
    """A store that writes down what it is asked, and asks another one."""

    def __init__(self, store: t.Any) -> None:
        self._store = store
        self.calls: list[Call] = []

    def __getattr__(self, name: str) -> t.Any:
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def verb(*arguments: t.Any) -> t.Any:
            result = found(*arguments)
            brought = [*getattr(result, "items", ())]
            self.calls.append(Call(name, arguments, brought))
            return result

        return verb

    @property
    def verbs(self) -> list[str]:
        """What it was asked, in order."""
        return [call.verb for call in self.calls]


class OpaqueRequest(flask.Request):
    """A request whose cookies nobody may take apart."""

    @property
    def cookies(self) -> t.NoReturn:
        raise AssertionError("all cookies of the request are parsed")


@pytest.fixture(params=["memory", "lmdb"])
def store(
    request: pytest.FixtureRequest, tmp_path: pathlib.Path, clock: FakeClock
) -> cabc.Iterator[Recorder]:
    """A store of each engine."""
    url = "memory://" if request.param == "memory" else f"lmdb://{tmp_path}/state"
    store = Recorder(registry.open_sessions(url, clock))
    yield store
    store.close()


@pytest.fixture
def app(store: Recorder, clock: FakeClock) -> flask.Flask:
    """The benchmark's application and some more views, on that store."""
    app = apps.with_state(store, FlaskState(clock=clock))
    app.request_class = OpaqueRequest

    @app.get("/two")
    def two() -> str:
        return "ok" if flask.session["item0003"] and flask.session["item0001"] else "nothing"

    @app.get("/all")
    def all_items() -> str:
        return "ok" if dict(flask.session) else "nothing"

    @app.get("/nested")
    def nested() -> str:
        return "ok" if flask.session.setdefault("nested", [{"a": [1]}]) else "nothing"

    @app.get("/missing")
    def missing() -> str:
        return "nothing" if "never set" in flask.session else "ok"

    @app.get("/look")
    def look() -> str:
        return "nothing" if flask.session or flask.session.get("visits") else "ok"

    return app


@pytest.fixture
def visit(app: flask.Flask, store: Recorder) -> cabc.Callable[[str], Visit]:
    """Makes a request by a client with a session; what the store was asked before is forgotten."""

    def make(path: str, shape: apps.Shape = apps.SMALL) -> Visit:
        made = apps.filled(app, path, shape)
        store.calls.clear()
        return made

    return make


Make = cabc.Callable[..., Visit]


def test_an_untouched_request_asks_nothing_of_the_store(visit: Make, store: Recorder) -> None:
    answer = visit("/bare").answer()
    assert (answer.body, answer.headers.getlist("Set-Cookie")) == (b"ok", [])
    assert store.calls == []


def test_an_untouched_request_looks_at_no_id(
    visit: Make, app: flask.Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even for the permanent ones, which are sent again: no cookie here has their mark."""
    request = visit("/bare")
    transport = app.extensions["flask_state"].transport
    looked_at = []

    def present(app: flask.Flask, request: flask.Request) -> tuple[()]:
        looked_at.append(request)
        return ()

    monkeypatch.setattr(transport, "present", present)
    assert request.answer().body == b"ok"
    assert looked_at == []


def test_a_path_that_is_nowhere_asks_nothing_of_the_store(
    visit: Make, app: flask.Flask, store: Recorder
) -> None:
    known = visit("/bare")
    assert Visit(app, "/nowhere", known.cookie).answer().status == "404 NOT FOUND"
    assert store.calls == []


def test_a_visitor_without_a_cookie_who_looks_asks_nothing_of_the_store(
    app: flask.Flask, store: Recorder
) -> None:
    answer = Visit(app, "/look").answer()
    assert (answer.body, answer.headers.getlist("Set-Cookie")) == (b"ok", [])
    assert store.calls == []


def test_a_read_is_one_load(visit: Make, store: Recorder) -> None:
    visit("/read").answer()
    assert store.verbs == ["load"]


def test_a_look_for_what_is_not_there_is_one_load(visit: Make, store: Recorder) -> None:
    """Extensions look before every page whether somebody left them something."""
    visit("/missing").answer()
    assert store.verbs == ["load"]


def test_a_write_is_one_load_and_one_commit(visit: Make, store: Recorder) -> None:
    request = visit("/write")
    request.answer()
    assert store.verbs == ["load", "commit"]
    assert list(store.calls[1].arguments[1].items) == ["visits"]


def test_a_load_brings_only_what_is_named(visit: Make, store: Recorder) -> None:
    visit("/two").answer()
    assert store.verbs == ["load", "load"]
    assert [call.arguments[2] for call in store.calls] == [("item0003",), ("item0001",)]
    assert [call.brought for call in store.calls] == [["item0003"], ["item0001"]]


@pytest.mark.parametrize(("path", "decoded"), [("/bare", 0), ("/read", 1), ("/two", 2)])
def test_only_what_is_read_is_decoded(
    visit: Make, path: str, decoded: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = visit(path)
    seen = []

    def loads(codec: Codec, data: bytes) -> t.Any:
        seen.append(data)
        return plain(codec, data)

    plain = Codec.loads
    monkeypatch.setattr(Codec, "loads", loads)
    assert request.answer().body == b"ok"
    assert len(seen) == decoded


def test_all_items_come_with_one_load(visit: Make, store: Recorder) -> None:
    visit("/all").answer()
    assert store.verbs == ["load"]


def test_reading_everything_commits_nothing(visit: Make, store: Recorder) -> None:
    """Nor does reading a value that could have changed."""
    for path in ("/all", "/nested"):
        request = visit(path)
        request.answer()
        store.calls.clear()
        answer = request.answer()
        assert store.verbs == ["load"]
        assert answer.headers.getlist("Set-Cookie") == []


@pytest.mark.parametrize("path", ["/read", "/write"])
@pytest.mark.parametrize("shape", [apps.LONG_ITEMS, apps.MANY_ITEMS])
def test_a_page_that_needs_one_item_pays_for_one(visit: Make, path: str, shape: apps.Shape) -> None:
    """What it allocates does not depend on what else the session holds: 200 KB here."""
    small, large = _allocated(visit(path)), _allocated(visit(path, shape))
    assert small < BYTES_PER_REQUEST
    assert large < small + 1024


@pytest.mark.parametrize("path", ["/read", "/write"])
def test_more_items_make_no_more_calls(visit: Make, path: str) -> None:
    small, large = _functions(visit(path)), _functions(visit(path, apps.MANY_ITEMS))
    assert len(large) == len(small)


@pytest.mark.parametrize("path", ["/bare", "/read", "/write"])
def test_a_session_is_no_cycle(visit: Make, path: str) -> None:
    """It goes with its request, and leaves the garbage collector no more than Flask does."""
    assert _cycles(visit(path)) <= _cycles(Visit(apps.bare(), "/bare"))


def test_few_functions_run_for_a_request(visit: Make) -> None:
    """The bounds leave room for other Pythons; what is above them is a design gone wrong."""
    assert len(_functions(visit("/bare"))) <= FUNCTIONS_UNTOUCHED
    assert len(_functions(visit("/read"))) <= FUNCTIONS_READ


def _allocated(visit: Visit) -> int:
    """The bytes that a request holds at its worst moment; the least of a few, because threads of
    other tests may still be at work."""
    visit(5)
    peaks = []
    for _ in range(5):
        gc.collect()
        tracemalloc.start()
        try:
            visit()
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    return min(peaks)


def _cycles(visit: Visit) -> int:
    """How many objects each request leaves to the garbage collector."""
    visit(5)
    gc.collect()
    gc.disable()
    try:
        visit(100)
        return gc.collect() // 100
    finally:
        gc.enable()


def _functions(visit: Visit) -> list[str]:
    """The functions of the package that run for a request, each time that they do."""
    package = str(pathlib.Path(flask_state.__file__).parent)
    found: list[str] = []

    def note(frame: types.FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(package):
            found.append(frame.f_code.co_qualname)

    visit(5)
    sys.setprofile(note)
    try:
        visit()
    finally:
        sys.setprofile(None)
    return found
