"""The five rules that make the layout explain itself.

Each rule is a function from the parsed package to its offences, written ``path:line: what, why``.
Every rule is also shown sources that break it, so that we know it can fail.
"""

from __future__ import annotations

import ast
import collections.abc as cabc
import graphlib
import subprocess
import sys
import typing as t

import pytest

from tests.source import NAME
from tests.source import Module
from tests.source import package
from tests.source import parse

LAYERS: t.Final = (
    {"errors"},
    {"core"},
    {"stores"},
    {"session", "client", "cache"},
    {"output"},
    {"build", "signals"},
    {"web"},
    {"extension"},
    {"__init__"},
    {"compat"},
    {"testing"},
)
"""Rule 5: imports only go down this list, and those of one line don't know each other."""

WEB: t.Final = ("web", "compat", "extension")
"""Rule 1: who may import Flask, its extensions and Werkzeug."""

DRIVERS: t.Final = {
    "lmdb": "lmdb",
    "redis": "redis",
    "hiredis": "redis",
    "sqlalchemy": "sql",
    "sqlite3": "sql",
    "psycopg": "sql",
    "pymysql": "sql",
}
"""Rule 2: drivers, and the folder each of them is confined to."""

SETTINGS_READERS: t.Final = {"core/settings.py", "extension.py"}
CURRENT: t.Final = "web/current.py"
"""Rule 3: who reads our keys, and who looks up what belongs to the current app."""

TIME: t.Final = {
    "datetime.date.today",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.process_time",
    "time.process_time_ns",
    "time.time",
    "time.time_ns",
}
RANDOMNESS: t.Final = {
    "os.getrandom",
    "os.urandom",
    "random",
    "secrets",
    "uuid.uuid1",
    "uuid.uuid4",
}
SOURCES: t.Final = {"core/clock.py": TIME, "core/tokens.py": RANDOMNESS}
"""Rule 4: the one file for each. Sleeping and waiting are free: they tell nobody the time."""

Offences = cabc.Iterator[str]
Rule = cabc.Callable[[list[Module]], Offences]


def offence(module: Module, line: int, text: str) -> str:
    """One finding, in the form that editors jump to."""
    return f"{NAME}/{module.path}:{line}: {text}"


def part(name: str) -> str:
    """The word of `LAYERS` for a module of the package."""
    return name.split(".")[1] if "." in name else "__init__"


def code(modules: list[Module]) -> cabc.Iterator[Module]:
    """Everything but `testing`, which may import what it likes."""
    return (module for module in modules if part(module.name) != "testing")


def flask_only_in_web(modules: list[Module]) -> Offences:
    """Rule 1. An import for type checkers alone counts too: the file would speak of requests."""
    for module in code(modules):
        for found in module.imports:
            root = found.target.partition(".")[0]
            foreign = root in {"flask", "werkzeug"} or root.startswith("flask_")
            excused = part(module.name) == "errors" and found.target.startswith(
                "werkzeug.exceptions"
            )
            if foreign and root != NAME and part(module.name) not in WEB and not excused:
                text = f"imports {found.target}, allowed only in {', '.join(WEB)} (rule 1)"
                yield offence(module, found.line, text)


def drivers_in_their_folder(modules: list[Module]) -> Offences:
    """Rule 2."""
    for module in code(modules):
        for found in module.imports:
            folder = DRIVERS.get(found.target.partition(".")[0])
            if folder is not None and folder not in module.path.split("/")[:-1]:
                text = f"imports {found.target}, allowed only inside a folder {folder}/ (rule 2)"
                yield offence(module, found.line, text)


def settings_read_once(modules: list[Module]) -> Offences:
    """Rule 3, our keys."""
    for module in code(modules):
        for node in ast.walk(module.tree):
            for key in _keys_read(node):
                if key.startswith("STATE_") and module.path not in SETTINGS_READERS:
                    text = f"reads {key}; use the frozen settings (rule 3)"
                    yield offence(module, getattr(node, "lineno", 0), text)


def _keys_read(node: ast.AST) -> cabc.Iterator[str]:
    keys: list[ast.expr] = []
    if isinstance(node, ast.Subscript):
        keys = [node.slice]
    elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
        keys = [node.left]
    elif _is_lookup(node):
        keys = node.args[:1]
    for key in keys:
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield key.value


def _is_lookup(node: ast.AST) -> t.TypeGuard[ast.Call]:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"get", "get_namespace", "pop", "setdefault"}
    )


def extensions_read_in_one_place(modules: list[Module]) -> Offences:
    """Rule 3, the app's parts. The extension writes them, `web/current.py` alone reads them."""
    for module in code(modules):
        written = {
            node.value
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store)
        }
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and node.attr == "extensions":
                writes = module.path == "extension.py" and node in written
                if module.path != CURRENT and not writes:
                    text = f"uses {ast.unparse(node)}, allowed only in {CURRENT} (rule 3)"
                    yield offence(module, node.lineno, text)


def one_source_of_time_and_randomness(modules: list[Module]) -> Offences:
    """Rule 4."""
    for module in code(modules):
        for home, names in SOURCES.items():
            if module.path != home:
                for line, name in sorted(set(_foreign_names(module))):
                    if any(name == known or name.startswith(f"{known}.") for known in names):
                        text = f"uses {name}, allowed only in {home} (rule 4)"
                        yield offence(module, line, text)


def _foreign_names(module: Module) -> cabc.Iterator[tuple[int, str]]:
    aliases = module.aliases()
    for found in module.imports:
        yield found.line, found.target
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute):
            root, _, rest = ast.unparse(node).partition(".")
            if root in aliases:
                yield node.lineno, f"{aliases[root]}.{rest}"


def imports_go_down(modules: list[Module]) -> Offences:
    """Rule 5. An import inside a function is an import; one for type checkers alone is not."""
    rank = {word: index for index, layer in enumerate(LAYERS) for word in layer}
    for module in modules:
        own = part(module.name)
        if own not in rank:
            yield offence(module, 1, f"{own} has no place in the table of layers (rule 5)")
            continue
        for found in module.imports:
            if found.typing_only or found.target.partition(".")[0] != NAME:
                continue
            other = part(found.target)
            if other != own and rank.get(other, len(LAYERS)) >= rank[own]:
                text = f"{own} imports {found.target}, which is not below it (rule 5)"
                yield offence(module, found.line, text)


def no_cycles(modules: list[Module]) -> Offences:
    """No module needs, while it is imported, one that needs it."""
    by_name = {module.name: module for module in modules}
    edges = {
        module.name: {
            found.target: found.line
            for found in module.imports
            if found.target in by_name
            and found.target != module.name
            and not found.typing_only
            and not found.deferred
        }
        for module in modules
    }
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as error:
        circle = list(reversed(error.args[1]))
        line = edges[circle[0]][circle[1]]
        yield offence(by_name[circle[0]], line, f"imports in a circle: {' -> '.join(circle)}")


RULES: tuple[Rule, ...] = (
    flask_only_in_web,
    drivers_in_their_folder,
    settings_read_once,
    extensions_read_in_one_place,
    one_source_of_time_and_randomness,
    imports_go_down,
    no_cycles,
)


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    return package()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule: Rule, modules: list[Module]) -> None:
    offences = list(rule(modules))
    assert not offences, "\n" + "\n".join(offences)


def test_the_package_was_found(modules: list[Module]) -> None:
    """A rule over no files would always hold."""
    assert {"errors.py", "core/clock.py", "stores/base.py"} <= {module.path for module in modules}


def test_importing_the_package_imports_no_driver() -> None:
    """Rule 2: a driver waits until its engine is chosen."""
    program = f"import sys, {NAME}; print(*(set({sorted(DRIVERS)}) & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == []


BREAKS: tuple[tuple[Rule, dict[str, str], str], ...] = (
    (flask_only_in_web, {"session/a.py": "from flask import g"}, "session/a.py:1: imports flask.g"),
    (flask_only_in_web, {"cache/a.py": "import flask_wtf.csrf"}, "flask_wtf.csrf"),
    (flask_only_in_web, {"errors.py": "import werkzeug.routing"}, "errors.py:1"),
    (
        flask_only_in_web,
        {"core/a.py": "import typing as t\nif t.TYPE_CHECKING:\n    from flask import Flask"},
        "core/a.py:3: imports flask.Flask",
    ),
    (
        flask_only_in_web,
        {"build.py": "def f():\n    import importlib\n    importlib.import_module('flask')"},
        "build.py:3: imports flask",
    ),
    (drivers_in_their_folder, {"build.py": "import lmdb"}, "build.py:1: imports lmdb"),
    (drivers_in_their_folder, {"stores/lmdb.py": "import lmdb"}, "stores/lmdb.py:1"),
    (drivers_in_their_folder, {"stores/lmdb/a.py": "from redis import Redis"}, "redis/ (rule 2)"),
    (settings_read_once, {"web/a.py": "x = app.config['STATE_URL']"}, "reads STATE_URL"),
    (settings_read_once, {"web/a.py": "\nx = config.get('STATE_URL', '')"}, "web/a.py:2"),
    (settings_read_once, {"build.py": "x = 'STATE_URL' in config"}, "build.py:1"),
    (settings_read_once, {"build.py": "config.get_namespace('STATE_')"}, "build.py:1"),
    (extensions_read_in_one_place, {"web/a.py": "app.extensions['flask_state']"}, "web/a.py:1"),
    (extensions_read_in_one_place, {"web/a.py": "app.extensions['x'] = 1"}, "web/a.py:1"),
    (extensions_read_in_one_place, {"extension.py": "x = app.extensions['x']"}, "extension.py:1"),
    (one_source_of_time_and_randomness, {"web/a.py": "import time\ntime.time()"}, "a.py:2: uses"),
    (one_source_of_time_and_randomness, {"web/a.py": "from time import monotonic"}, "a.py:1"),
    (one_source_of_time_and_randomness, {"web/a.py": "import time as t\nx = t.time_ns"}, "a.py:2"),
    (
        one_source_of_time_and_randomness,
        {"web/a.py": "import datetime as dt\nx = dt.datetime.now(dt.UTC)"},
        "uses datetime.datetime.now, allowed only in core/clock.py",
    ),
    (
        one_source_of_time_and_randomness,
        {"web/a.py": "from datetime import datetime\nx = datetime.utcnow()"},
        "a.py:2",
    ),
    (one_source_of_time_and_randomness, {"core/clock.py": "import secrets"}, "core/tokens.py"),
    (one_source_of_time_and_randomness, {"core/tokens.py": "import time\ntime.time()"}, "s.py:2"),
    (one_source_of_time_and_randomness, {"web/a.py": "import os\nos.urandom(3)"}, "os.urandom"),
    (one_source_of_time_and_randomness, {"web/a.py": "from uuid import uuid4"}, "uuid.uuid4"),
    (
        imports_go_down,
        {"core/a.py": "from ..stores import base", "stores/base.py": ""},
        "core/a.py:1: core imports flask_state.stores.base",
    ),
    (imports_go_down, {"session/a.py": "from ..cache.b import c", "cache/b.py": ""}, "(rule 5)"),
    (
        imports_go_down,
        {"stores/lmdb/a.py": "def f():\n    from ...build import x", "build.py": ""},
        "stores/lmdb/a.py:2",
    ),
    (imports_go_down, {"web/a.py": "import flask_state"}, "web/a.py:1"),
    (imports_go_down, {"web/a.py": "from .. import x", "__init__.py": "x = 1"}, "web/a.py:1"),
    (imports_go_down, {"extension.py": "from .testing import FakeClock"}, "extension.py:1"),
    (imports_go_down, {"helpers/a.py": ""}, "helpers has no place in the table"),
    (
        no_cycles,
        {"core/a.py": "from .b import x", "core/b.py": "\nfrom . import a"},
        "imports in a circle: flask_state.core.",
    ),
)


@pytest.mark.parametrize(("rule", "files", "expected"), BREAKS)
def test_a_rule_finds_what_breaks_it(rule: Rule, files: dict[str, str], expected: str) -> None:
    offences = list(rule(parse(files)))
    assert len(offences) == 1
    assert expected in offences[0]


def test_every_rule_is_shown_to_fail() -> None:
    assert {rule for rule, _, _ in BREAKS} == set(RULES)


def test_the_rules_allow_what_the_layout_needs() -> None:
    """Nothing here may be reported, or the rules would be in the way."""
    files = {
        "__init__.py": "from .web.current import session\nfrom .extension import FlaskState",
        "errors.py": "from werkzeug.exceptions import Conflict",
        "extension.py": "from flask import Flask\nFlask('x').extensions['flask_state'] = 1",
        "core/clock.py": "import time\ntime.time()",
        "core/tokens.py": "import secrets",
        "core/settings.py": "def read(config): return config['STATE_URL']",
        "session/data.py": (
            "import typing as t\nimport time\nimport datetime as dt\ntime.sleep(1)\n"
            "if t.TYPE_CHECKING:\n    from ..web.current import Parts\n"
            "def f(clock): return clock.time(), dt.datetime.fromtimestamp(0, dt.UTC)\n"
        ),
        "stores/lmdb/sessions.py": "import lmdb\nfrom .. import rules\nfrom ..base import Change",
        "stores/rules.py": "from .base import Change",
        "stores/base.py": "",
        "testing/clock.py": "import flask_state\nimport lmdb\nimport random\nimport flask",
        "web/current.py": (
            "from flask import current_app\nfrom ..session.data import x\n"
            "x = current_app.extensions['flask_state']\n"
            "raise LookupError('set STATE_URL')"
        ),
    }
    parsed = parse(files)
    assert [found for rule in RULES for found in rule(parsed)] == []
