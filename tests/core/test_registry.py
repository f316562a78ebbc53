"""URLs to engines."""

from __future__ import annotations

import subprocess
import sys
import typing as t

import pytest

from flask_state.core import registry
from flask_state.core.registry import EngineURL
from flask_state.core.registry import open_sessions
from flask_state.core.registry import parse
from flask_state.errors import ConfigurationError
from flask_state.stores.memory.sessions import MemorySessionStore
from flask_state.testing import FakeClock
from tests.source import ROOT

made: list[object] = []


def make_store(clock: FakeClock) -> MemorySessionStore:
    """What an import path in a URL's place names."""
    store = MemorySessionStore(clock=clock)
    made.append(store)
    return store


def fail(clock: FakeClock) -> MemorySessionStore:
    """A factory with a fault of its own."""
    raise ZeroDivisionError("mine")


class Bytes:
    """Enough of a `ByteStore` to be taken for one."""

    engine = "bytes"
    shared = "process"

    def get(self, key: str) -> None: ...

    def put(self, key: str, value: bytes, ttl: float | None, if_version: object = None) -> None: ...

    def delete(self, key: str, if_version: object = None) -> bool:
        return False

    def close(self) -> None: ...


# Parsing


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("memory://", ("memory", "", "", {})),
        ("lmdb:///var/lib/app", ("lmdb", "", "/var/lib/app", {})),
        ("lmdb:///a%20b/c%3Fd", ("lmdb", "", "/a b/c?d", {})),
        ("lmdb:///p?durability=disk", ("lmdb", "", "/p", {"durability": "disk"})),
        ("x://h:1/p?a=1&b=", ("x", "h:1", "/p", {"a": "1", "b": ""})),
        ("redis://user:hunter2@host:6379/0", ("redis", "host:6379", "/0", {})),
        ("x+y://h", ("x+y", "h", "", {})),
    ],
)
def test_a_url_is_taken_apart(text: str, parts: tuple[str, str, str, dict[str, str]]) -> None:
    parsed = parse(text)
    assert (parsed.scheme, parsed.host, parsed.path, parsed.options) == parts
    assert parsed.text == text


@pytest.mark.parametrize(
    "text",
    ["", "//host", "/var/lib", "no scheme", "http://[::1", "memory://?max_bytes", "x://?a=1&a=2"],
)
def test_what_is_no_url_is_an_error_that_does_not_repeat_it(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(text)
    assert not text or text not in str(caught.value)


def test_s73_the_text_of_a_url_hides_it() -> None:
    """S73: it may hold a password."""
    assert "hunter2" not in repr(parse("redis://user:hunter2@host/0"))


# Options


@pytest.fixture
def url() -> EngineURL:
    return parse("x://?size=12&mode=fast&bad=-1&zero=0&word=a12&arabic=%D9%A3")


def test_options_that_an_engine_does_not_have_are_refused(url: EngineURL) -> None:
    with pytest.raises(ConfigurationError, match="no option 'bad'; its options are: size, mode"):
        url.only("size", "mode")
    with pytest.raises(ConfigurationError, match="its options are: none"):
        url.only()
    url.only(*url.options)


def test_numbers_and_choices_are_read(url: EngineURL) -> None:
    assert url.number("size", 7) == 12
    assert url.number("missing", 7) == 7
    assert url.choice("mode", "slow", "fast") == "fast"
    assert url.choice("missing", "slow", "fast") == "slow"


@pytest.mark.parametrize("name", ["bad", "zero", "word", "arabic", "mode"])
def test_what_is_no_number_is_refused(url: EngineURL, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} must be a whole number above 0"):
        url.number(name, 7)


def test_what_is_no_choice_is_refused(url: EngineURL) -> None:
    with pytest.raises(ConfigurationError, match="mode must be one of slow, slower, not 'fast'"):
        url.choice("mode", "slow", "slower")


# Opening


def test_a_url_opens_its_engine(clock: FakeClock) -> None:
    assert isinstance(open_sessions("memory://", clock), MemorySessionStore)
    assert open_sessions("memory://", clock) is not open_sessions("memory://", clock)


def test_options_reach_the_engine(clock: FakeClock) -> None:
    assert open_sessions("memory://?max_bytes=5000", clock)._max_bytes == 5000
    with pytest.raises(ConfigurationError, match="max_bytes"):
        open_sessions("memory://?max_byte=5000", clock)


@pytest.mark.parametrize("text", ["lmdb://", "lmdb:///", "lmdb://host/path", "lmdb:///p?size=1"])
def test_a_url_that_the_engine_refuses_is_an_error(text: str, clock: FakeClock) -> None:
    with pytest.raises(ConfigurationError, match="lmdb"):
        open_sessions(text, clock)


def test_an_unknown_engine_is_an_error_that_names_those_there_are(clock: FakeClock) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_sessions("redsi://user:hunter2@host/0", clock)
    for part in ("redsi://", *(f"{scheme}://" for scheme in registry.SESSION_ENGINES)):
        assert part in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_an_import_path_is_called_with_the_clock(clock: FakeClock) -> None:
    store = open_sessions(f"{__name__}:make_store", clock)
    assert store._clock is clock


@pytest.mark.parametrize(
    "path", ["no_such_module:make", "tests.core.test_registry:no_such_name", "sys:nothing"]
)
def test_an_import_path_that_leads_nowhere_is_an_error(path: str, clock: FakeClock) -> None:
    with pytest.raises(ConfigurationError, match=path):
        open_sessions(path, clock)


def test_the_error_of_a_factory_is_neither_swallowed_nor_renamed(clock: FakeClock) -> None:
    with pytest.raises(ZeroDivisionError, match="mine"):
        open_sessions(f"{__name__}:fail", clock)


def test_a_store_is_taken_as_it_is(clock: FakeClock) -> None:
    store = MemorySessionStore()
    assert open_sessions(store, clock) is store


def test_a_store_of_bytes_is_adapted(clock: FakeClock) -> None:
    store = open_sessions(Bytes(), clock)
    assert store.engine == "bytes"
    assert store.load("a" * 10, (b"p",), None) is None


@pytest.mark.parametrize("thing", [None, 7, {}, object(), FakeClock])
def test_what_is_no_store_is_an_error_that_names_the_contracts(
    thing: t.Any, clock: FakeClock
) -> None:
    with pytest.raises(ConfigurationError, match=r"stores\.base"):
        open_sessions(thing, clock)


def test_a_driver_is_loaded_by_its_engine_and_not_before() -> None:
    program = (
        "import sys, flask_state; from flask_state.core import registry, clock\n"
        "assert 'lmdb' not in sys.modules\n"
        "registry.open_sessions('memory://', clock.SystemClock())\n"
        "assert 'lmdb' not in sys.modules\n"
        "assert 'flask_state.stores.lmdb' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


@pytest.mark.parametrize("scheme", registry.SESSION_ENGINES)
def test_a_missing_driver_is_an_error_that_says_what_to_install(scheme: str) -> None:
    """Simulated: the import of every driver is made to fail."""
    program = (
        "import sys\n"
        "for driver in ('lmdb', 'redis', 'sqlalchemy'): sys.modules[driver] = None\n"
        "from flask_state.core import registry, clock\n"
        "from flask_state.errors import ConfigurationError\n"
        "try: registry.open_sessions(sys.argv[1] + ':///tmp/x', clock.SystemClock())\n"
        "except ConfigurationError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, scheme],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert scheme == "memory" or "lmdb" in done.stdout
