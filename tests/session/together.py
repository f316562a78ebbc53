"""Requests of one session at the same time: started in threads, and seen while they wait."""

from __future__ import annotations

import collections.abc as cabc
import concurrent.futures
import importlib
import queue
import threading
import typing as t

import flask
import pytest

from flask_state.session.leases import Leases
from flask_state.stores import rules
from flask_state.stores.base import Facts
from tests.session.site import COOKIE
from tests.session.site import Site
from tests.session.site import Task
from tests.session.site import Visit

LONG: t.Final = 10.0
"""Seconds after which a test gives up: something is stuck."""

leases_module: t.Any = importlib.import_module("flask_state.session.leases")
"""By its name, because `flask_state.session` is the session."""

T = t.TypeVar("T")


def request(
    site: Site, id: str | None, task: Task, path: str = "/", method: str = "POST", **more: t.Any
) -> Visit:
    """A request with this id that runs a task, to the end of its answer."""
    done: list[t.Any] = []
    headers = {"Cookie": f"{COOKIE}={id}"} if id else {}
    response = site.app.test_client(use_cookies=False).open(
        path,
        method=method,
        headers=headers,
        environ_overrides={"tests.task": task, "tests.done": done.append},
        buffered=True,
        **more,
    )
    return Visit(response, done[0] if done else None)


def start(job: cabc.Callable[[], T]) -> concurrent.futures.Future[T]:
    """Run a job in a thread of its own; what it returns or raises is in the future."""
    future: concurrent.futures.Future[T] = concurrent.futures.Future()

    def run() -> None:
        try:
            future.set_result(job())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def at_once(*tasks: cabc.Callable[[], object]) -> None:
    """Run tasks in threads of their own; what one of them raises is raised here."""
    for future in [start(task) for task in tasks]:
        future.result(LONG)


class Held:
    """A POST that has touched its session, and stays in its view until it is let go."""

    def __init__(self, site: Site, id: str, task: Task | None = None) -> None:
        inside, self._go = threading.Event(), threading.Event()

        def stay() -> t.Any:
            len(flask.session)
            inside.set()
            assert self._go.wait(LONG)
            return task() if task is not None else None

        self._visit = start(lambda: request(site, id, stay))
        assert inside.wait(LONG)

    def let_go(self) -> Visit:
        """Let it end, and return what came of it."""
        self._go.set()
        return self._visit.result(LONG)

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *failure: object) -> None:
        self.let_go()


class Waiters:
    """Tells when a request begins to wait for another one of its process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: queue.SimpleQueue[None] = queue.SimpleQueue()

        class Waiter(leases_module._Waiter):  # type: ignore[misc]
            def wait(self, timeout: float | None = None) -> bool:
                seen.put(None)
                return bool(super().wait(timeout))

        monkeypatch.setattr(leases_module, "_Waiter", Waiter)
        self._seen = seen

    def next(self) -> None:
        """Return when one more request waits."""
        self._seen.get(timeout=LONG)


class StoreWaiters:
    """Tells when a request begins to wait at the store, for another process."""

    def __init__(self, site: Site) -> None:
        self._seen: queue.SimpleQueue[None] = queue.SimpleQueue()
        inner = site.store.store.wait

        def wait(locator: str, fence: int, timeout: float) -> None:
            self._seen.put(None)
            inner(locator, fence, timeout)

        t.cast(t.Any, site.store).wait = wait

    def next(self) -> None:
        """Return when one more request waits."""
        self._seen.get(timeout=LONG)


def leases_of(site: Site) -> Leases:
    """The leases that an application holds."""
    leases: Leases = site.app.extensions["flask_state"].parts.manager._leases
    return leases


def facts_of(site: Site, id: str) -> Facts:
    """What the store keeps about a living session."""
    record = site.store.store.inspect(id[:10])
    assert record is not None
    return record.facts


def is_leased(site: Site, id: str) -> bool:
    """Whether somebody has the lease, as the store sees it."""
    return rules.is_leased(facts_of(site, id), site.clock.time())


def take_elsewhere(site: Site, id: str, seconds: float = 10.0) -> int:
    """Take the lease as another process would; returns its fence."""
    manager = site.app.extensions["flask_state"].parts.manager
    parsed = manager.ids.parse(id)
    with site.app.app_context():
        proofs = manager._changes.proofs(parsed)
    loaded = site.store.store.load(parsed.locator, proofs, None, seconds)
    assert loaded is not None
    assert not loaded.busy
    return loaded.facts.fence


def assert_free(site: Site, id: str) -> None:
    """Nobody has the lease, nobody is thought to have it, and the next one gets it at once."""
    assert not is_leased(site, id)
    assert leases_of(site)._lines == {}
    site.store.calls.clear()
    assert request(site, id, lambda: len(flask.session)).response.status_code == 200
    assert site.store.calls == ["load", "commit"]
    assert not is_leased(site, id)


def without_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases are renewed only where the test does so."""
    monkeypatch.setattr(leases_module._heartbeat, "show", lambda leases: None)
