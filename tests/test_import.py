"""What an import of the package costs, beside what Flask itself does."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import typing as t

import pytest

from tests.source import NAME
from tests.source import ROOT

LIMIT: t.Final = 1.3
"""Times what importing Flask takes."""

SAMPLES: t.Final = 7
ROUNDS: t.Final = 3

FOREIGN: t.Final = frozenset({"_cffi_backend", "_openssl", "cryptography", "ormsgpack"})
"""Packages that come with the package's import and not with Flask's."""

SECONDS: t.Final = """
import time
before = time.process_time()
import {name}
print(time.process_time() - before)
"""

NEW_MODULES: t.Final = """
import sys
import flask
before = set(sys.modules)
import {name}
print(*(set(sys.modules) - before))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Compiled modules are kept, as they are of what is installed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment["PYTHONPYCACHEPREFIX"] = str(tmp_path_factory.mktemp("compiled"))
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def run(program: str, name: str, environment: dict[str, str]) -> str:
    """What a program prints in an interpreter of its own."""
    command = [sys.executable, "-c", program.format(name=name)]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_it_brings_nothing_that_is_not_used_at_once(environment: dict[str, str]) -> None:
    """No driver, no extension of Flask's; and of its own engines not one."""
    modules = run(NEW_MODULES, NAME, environment).split()
    foreign = {module.partition(".")[0] for module in modules} - {NAME}
    assert foreign - sys.stdlib_module_names <= {*FOREIGN, *standard(foreign)}
    assert [each for each in modules if each.startswith(f"{NAME}.stores.lmdb")] == []
    assert f"{NAME}.testing" not in modules


def standard(modules: set[str]) -> set[str]:
    """Those whose names depend on the machine, and so aren't in the list of standard modules."""
    return {module for module in modules if module.startswith("_sysconfigdata_")}


def test_it_takes_little_longer_than_flask(environment: dict[str, str]) -> None:
    """Processor time, so that a busy machine matters little; and the best of many.

    More rounds can only bring both closer to what they take when nothing else runs.
    """
    best = {"flask": float("inf"), NAME: float("inf")}
    for name in best:
        run(SECONDS, name, environment)  # compiles
    ratio = 0.0
    for _ in range(ROUNDS):
        for _ in range(SAMPLES):
            for name in best:
                best[name] = min(best[name], float(run(SECONDS, name, environment)))
        ratio = best[NAME] / best["flask"]
        print({name: f"{1000 * value:.0f} ms" for name, value in best.items()}, f"{ratio:.2f}")
        if ratio <= LIMIT:
            break
    assert ratio <= LIMIT


def test_the_time_is_of_this_package(environment: dict[str, str]) -> None:
    """What is measured is the folder under test."""
    program = "import {name}; print({name}.__file__)"
    found = pathlib.Path(run(program, NAME, environment).strip())
    assert found == ROOT / NAME / "__init__.py"
