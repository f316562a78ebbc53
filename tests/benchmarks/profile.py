"""``python -m tests.benchmarks.profile VARIANT``: where the time of one request goes.

Two tables. The profiler's is complete and distorted: it charges every call of a Python function
about a microsecond. The parts are timed one by one, in the middle of a real request, and right.
"""

from __future__ import annotations

import argparse
import collections.abc as cabc
import cProfile
import pathlib
import pstats
import tempfile
import time
import typing as t

import flask

from . import apps
from .wsgi import Visit

CALLS = 5_000
_ROWS: t.Final = 45

Key = tuple[str, int, str]


def functions(visit: Visit, calls: int) -> str:
    """Time in each function itself, and with what it calls, in microseconds per request."""
    visit(200)
    profiler = cProfile.Profile()
    profiler.runcall(visit, calls)
    # The stubs don't know the attribute; the standard library documents it.
    stats: dict[Key, t.Any] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]
    lines = [f"{'own us':>8} {'all us':>8} {'calls':>6}"]
    slowest = sorted(stats.items(), key=lambda entry: -entry[1][2])
    for key, (_, count, own, whole, _) in slowest[:_ROWS]:
        per_call = 1e6 / calls
        lines.append(
            f"{own * per_call:8.2f} {whole * per_call:8.2f} {count / calls:6.1f}  {_label(key)}"
        )
    return "\n".join(lines)


def parts(app: flask.Flask, cookie: str) -> str:
    """The steps of a request that reads one item of a session, timed one by one."""
    lines = []
    environ = Visit(app, "/read", cookie).environ()
    with app.request_context(environ):
        interface, request = app.session_interface, flask.request._get_current_object()  # type: ignore[attr-defined]

        def opened() -> t.Any:
            return interface.open_session(app, request)

        def touched() -> t.Any:
            session = opened()
            session.accessed = True
            session["visits"]
            return session

        def changed() -> t.Any:
            session = touched()
            session["visits"] = session["visits"] + 1
            return session

        def nothing(_: t.Any) -> None:
            pass

        def save(session: t.Any) -> None:
            interface.save_session(app, session, app.response_class("ok"))

        for title, prepare, step in (
            ("open_session", lambda: None, lambda _: opened()),
            ("save_session, untouched", opened, save),
            ("first touch", opened, lambda session: session["visits"]),
            ("  ids presented by the request", opened, lambda session: session._presented()),
            ("second touch", touched, lambda session: session["visits"]),
            ("save_session, read", touched, save),
            ("one item changed", touched, lambda s: s.__setitem__("visits", s["visits"] + 1)),
            ("save_session, changed", changed, save),
            ("  a response, part of each save here", opened, lambda _: app.response_class("ok")),
        ):
            lines.append(f"{_timed(prepare, step) - _timed(prepare, nothing):8.2f}  {title}")
    return "\n".join(lines)


def _timed(prepare: cabc.Callable[[], t.Any], step: cabc.Callable[[t.Any], t.Any]) -> float:
    """The step's median time in microseconds; what prepares it is not counted."""
    taken = []
    for _ in range(CALLS):
        prepared = prepare()
        started = time.perf_counter()
        step(prepared)
        taken.append(time.perf_counter() - started)
    return sorted(taken)[len(taken) // 2] * 1e6


def _label(key: Key) -> str:
    path, line, name = key
    if path == "~":
        return name
    short = "/".join(pathlib.Path(path).parts[-3:])
    return f"{name}  {short}:{line}"


def main(words: cabc.Sequence[str] | None = None) -> None:
    """Measure, and print.

    :param words: the arguments, by default those of the command.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.profile", description=__doc__)
    parser.add_argument("variant", choices=["bare", "floor", "read", "write"])
    parser.add_argument("engine", nargs="?", default="memory", choices=["memory", "lmdb", "none"])
    arguments = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        urls = {"memory": "memory://", "lmdb": f"lmdb://{folder}/state"}
        if arguments.engine == "none":
            print(functions(Visit(apps.bare(), f"/{arguments.variant}"), CALLS))
            return
        app = apps.with_state(urls[arguments.engine])
        visit = apps.filled(app, f"/{arguments.variant}")
        print(functions(visit, CALLS), end="\n\n")
        print(parts(app, visit.cookie))
        apps.close(app)


if __name__ == "__main__":
    main()
