"""One thread per process clears away ended sessions: when it starts, what it does, how it ends."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import threading
import typing as t
import weakref

import flask
import pytest

from flask_state import FlaskState
from flask_state import session
from flask_state import signals
from flask_state.session.sweeper import Sweeper
from flask_state.testing import FakeClock
from tests.session.site import KEY
from tests.session.site import Site
from tests.source import ROOT

THREAD: t.Final = "flask_state-sweeper"
SOON: t.Final = 0.01
"""Seconds between two looks; tests wait for what they cause, however long it takes."""


def sweepers() -> list[threading.Thread]:
    """The threads that run."""
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


@pytest.fixture(autouse=True)
def _nobody_sweeps_before_or_after(caplog: pytest.LogCaptureFixture) -> t.Iterator[None]:
    assert sweepers() == []
    yield
    caplog.get_records("call").clear()  # a logged error holds the frames it went through
    for thread in sweepers():
        gc.collect()
        thread.join(10)
    assert sweepers() == []


def working(**config: t.Any) -> Site:
    """A site as in production, which sweeps often."""
    return Site(**{"TESTING": False, "STATE_SESSION_SWEEP_INTERVAL": SOON, **config})


def wait_for(found: threading.Event) -> None:
    """Until it happens; ten seconds are enough for any machine."""
    assert found.wait(10)


# When it starts


def test_it_starts_with_the_first_commit_of_a_request() -> None:
    site = working()
    site.visit(None, lambda: session.get("user"))
    assert sweepers() == []
    site.sign_in()
    assert len(sweepers()) == 1


def test_it_starts_once_per_process_and_application() -> None:
    site = working()
    for _ in range(5):
        site.sign_in()
    assert len(sweepers()) == 1
    other = working()
    other.sign_in()
    assert len(sweepers()) == 2


def test_requests_in_threads_start_one() -> None:
    site = working()
    met = threading.Barrier(8)

    def visit() -> None:
        site.visit(None, lambda: (met.wait(10), session.update(user="ann")))

    threads = [threading.Thread(target=visit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sweepers()) == 1


def test_it_does_not_start_under_testing() -> None:
    site = working(TESTING=True)
    site.sign_in()
    assert sweepers() == []


def test_it_does_not_start_where_the_interval_is_0() -> None:
    site = working(STATE_SESSION_SWEEP_INTERVAL=0)
    site.sign_in()
    assert sweepers() == []


def test_it_does_not_start_in_a_command() -> None:
    site = working()
    _, id = working(TESTING=True, STATE_SESSION_URL=site.store).sign_in()

    @site.app.cli.command("end")
    def end() -> None:
        assert site.state.sessions.end(id[:10])

    result = site.app.test_cli_runner().invoke(args=["end"])
    assert result.exit_code == 0, result.output
    assert sweepers() == []


def test_it_starts_though_the_first_commit_was_outside_of_a_request() -> None:
    site = working()
    with site.app.app_context():
        assert not site.state.sessions.end("a" * 10)
    assert sweepers() == []
    site.sign_in()
    assert len(sweepers()) == 1


def test_a_forked_worker_starts_its_own() -> None:
    """As under a server that loads the application before it forks."""
    program = (
        "import os, threading, warnings\n"
        "warnings.simplefilter('ignore', DeprecationWarning)\n"
        "from tests.session.test_sweeper import sweepers, working\n"
        "site = working()\n"
        "site.sign_in()\n"
        "assert len(sweepers()) == 1\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    alone = not sweepers()\n"
        "    site.sign_in()\n"
        "    os._exit(0 if alone and len(sweepers()) == 1 else 1)\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0\n"
        "assert len(sweepers()) == 1\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# What it does


def test_it_delivers_ends_by_itself() -> None:
    site = working()
    ended: list[dict[str, t.Any]] = []
    heard = threading.Event()

    def receiver(sender: flask.Flask, **facts: t.Any) -> None:
        ended.append(facts)
        heard.set()

    signals.session_ended.connect(receiver, site.app)
    browser, id = site.sign_in(user="ann")
    site.visit(browser, lambda: session.abandon())
    wait_for(heard)
    assert (ended[0]["handle"], ended[0]["reason"]) == (id[:10], "abandoned")


def test_it_claims_what_has_expired() -> None:
    site = working()
    heard = threading.Event()
    ended: list[tuple[str, str]] = []

    def receiver(sender: flask.Flask, handle: str, reason: str, **facts: t.Any) -> None:
        ended.append((handle, reason))
        heard.set()

    signals.session_ended.connect(receiver, site.app)
    _, id = site.sign_in(user="ann")
    site.clock.advance(90 * 86_400)
    wait_for(heard)
    assert ended == [(id[:10], "expired")]


def test_it_ends_with_the_process_and_keeps_it_for_nothing() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from tests.session.test_sweeper import working\n"
            "site = working(STATE_SESSION_SWEEP_INTERVAL=3600)\n"
            "site.sign_in()\n",
        ],
        cwd=ROOT,
        timeout=20,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_store_that_fails_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    site = working()
    cut_short, heard = threading.Event(), threading.Event()

    def receiver(sender: flask.Flask, **facts: t.Any) -> None:
        heard.set()

    def down(sender: flask.Flask, **facts: t.Any) -> None:
        cut_short.set()

    signals.session_ended.connect(receiver, site.app)
    signals.store_down.connect(down, site.app)
    browser, _ = site.sign_in(user="ann")
    with site.store.unplugged():
        wait_for(cut_short)
    assert not heard.is_set()
    site.visit(browser, lambda: session.abandon())
    wait_for(heard)
    assert heard.is_set()


class _Logged(logging.Handler):
    """Sets an event when it was logged so often."""

    def __init__(self, times: int) -> None:
        super().__init__(logging.ERROR)
        self.times = times
        self.done = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.times -= 1
        if self.times == 0:
            self.done.set()


def test_a_receiver_that_raises_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    site = working()
    logged = _Logged(times=2)

    def receiver(sender: flask.Flask, **facts: t.Any) -> None:
        raise ZeroDivisionError("mine")

    signals.session_ended.connect(receiver, site.app)
    root = logging.getLogger()
    root.addHandler(logged)  # the last one: what pytest captures was captured when it is asked
    for _ in range(2):
        browser, _ = site.sign_in(user="ann")
        site.visit(browser, lambda: session.abandon())
    wait_for(logged.done)
    root.removeHandler(logged)
    assert "ZeroDivisionError: mine" in caplog.text


# How it ends


def production_app() -> flask.Flask:
    """An application with no other owner than who asked for it."""
    app = flask.Flask("short lived")
    app.config.update(SECRET_KEY=KEY, STATE_URL="memory://", STATE_SESSION_SWEEP_INTERVAL=3600)
    app.add_url_rule("/", "index", lambda: flask.session.setdefault("user", "ann"))
    FlaskState(app)
    return app


def test_it_ends_with_its_application() -> None:
    app = production_app()
    assert app.test_client().get("/").text == "ann"
    (thread,) = sweepers()
    reference = weakref.ref(app)
    del app
    gc.collect()
    assert reference() is None
    thread.join(10)
    assert not thread.is_alive()


def test_an_application_goes_without_the_garbage_collector() -> None:
    """Nothing of ours is in a cycle with it, and no thread holds it."""
    app = flask.Flask("short lived")
    app.config.update(SECRET_KEY=KEY, STATE_URL="memory://", TESTING=True)
    FlaskState(app)
    gc.collect()
    plain = flask.Flask("plain")
    references = [weakref.ref(plain), weakref.ref(app)]
    gc.disable()
    try:
        del plain
        without_us = references[0]() is None
        del app
        assert (references[1]() is None) == without_us
    finally:
        gc.enable()


# The thread itself


class _Sessions:
    """Stands for `Sessions`: says how much it swept."""

    def __init__(self, answers: list[int | type[Exception]]) -> None:
        self.answers = answers
        self.done = threading.Event()
        self.asked: list[int] = []

    def sweep(self, limit: int = 100) -> int:
        """One batch."""
        self.asked.append(limit)
        answer = self.answers.pop(0) if self.answers else 0
        if not self.answers:
            self.done.set()
        if not isinstance(answer, int):
            raise answer("a fault")
        return answer


@pytest.mark.parametrize("first", [100, 3, ValueError], ids=["full", "not full", "a fault"])
def test_it_goes_on_batch_by_batch_until_nothing_is_left(first: int | type[Exception]) -> None:
    answers = [first, 100, 2, 0]
    sessions = _Sessions(answers.copy())
    sweeper = Sweeper(t.cast(t.Any, sessions), SOON, FakeClock())
    sweeper.start()
    sweeper.start()
    wait_for(sessions.done)
    assert set(sessions.asked) == {100}
    assert len(sessions.asked) >= len(answers)
    assert len(sweepers()) == 1
    del sessions
