"""The first page of the handbook, followed word by word with nothing but a wheel."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys
import time
import tomllib
import typing as t

import pytest

from tests.source import ROOT
from tests.torture.newcomer import Folder
from tests.torture.newcomer import Recipe
from tests.torture.newcomer import Visitor

pytestmark = [pytest.mark.torture, pytest.mark.timeout(400)]

PROMISED: t.Final = 120.0
"""Seconds from the first command to a session that four processes share."""

WORKERS: t.Final = 4

BUILD: t.Final = "import sys; from flit_core import buildapi; buildapi.build_wheel(sys.argv[1])"

UNREACHABLE: t.Final = "after connection broken by"
"""What pip says where there is nobody to be asked."""


@pytest.fixture
def wheel(tmp_path: pathlib.Path) -> pathlib.Path:
    target = tmp_path / "dist"
    target.mkdir()
    subprocess.run([sys.executable, "-c", BUILD, str(target)], cwd=ROOT, check=True)
    (wheel,) = target.glob("*.whl")
    return wheel


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> Folder:
    path = tmp_path / "hello"
    path.mkdir()
    subprocess.run([sys.executable, "-m", "venv", str(path / ".venv")], check=True)
    return Folder(path)


def install(folder: Folder, *wanted: str) -> None:
    """Install with pip as it is; without a package index there is nothing to be tested."""
    options = ["--disable-pip-version-check", "--no-input", "-c", str(ROOT / "constraints.txt")]
    done = folder.run("pip", "install", *options, *wanted)
    if done.returncode and UNREACHABLE in done.stderr:
        pytest.skip("the package index can't be reached")
    assert done.returncode == 0, done.stderr


def workers_seen(folder: Folder) -> set[str]:
    """The processes that have answered, by the log of requests."""
    return set(re.findall(r"^answered by <(\d+)>$", folder.log(), re.MULTILINE))


def test_from_nothing_to_a_session_that_four_processes_share(
    wheel: pathlib.Path, folder: Folder
) -> None:
    recipe = Recipe((ROOT / "docs" / "start.md").read_text())
    began = time.monotonic()

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
    assert recipe.command("pip") == ["pip", "install", project]
    install(folder, str(wheel))
    installed = time.monotonic()
    (folder.path / "app.py").write_text(recipe.programs[0])

    visitor = Visitor()
    with folder.serve(*recipe.command("flask"), "--port", "0") as url:
        assert visitor.get(url) == {"name": None, "visits": 1, "notes": []}
        assert visitor.post(f"{url}/sign-in", name="Ada")["name"] == "Ada"
        visitor.post(f"{url}/notes", text="buy tea")
    visits = 3
    kept = {"name": "Ada", "notes": ["buy tea"]}

    install(folder, "gunicorn")
    serve = ("gunicorn", "--workers", str(WORKERS), "--bind", "127.0.0.1:0", "--access-logfile")
    log = ("-", "--access-logformat", "answered by %(p)s", "--no-control-socket")
    with folder.serve(*serve, *log, "app:app") as url:
        while len(workers_seen(folder)) < WORKERS:
            visits += 1
            assert visitor.get(url) == {**kept, "visits": visits}
            assert visits < 1_000, "one process is never asked"
    with folder.serve(*serve, *log, "app:app") as url:
        assert visitor.get(url) == {**kept, "visits": visits + 1}
        assert visitor.post(f"{url}/sign-out") == {"name": None, "visits": 1, "notes": []}

    took = time.monotonic() - began
    print(f"\n{took:.0f} s, of which pip took {installed - began:.0f} s at first")
    assert took < PROMISED


def test_every_example_of_the_page_needs_only_what_the_wheel_brings(
    wheel: pathlib.Path, folder: Folder
) -> None:
    recipe = Recipe((ROOT / "docs" / "start.md").read_text())
    install(folder, str(wheel))
    (folder.path / "page.py").write_text("\n".join(recipe.programs))
    done = folder.run("python", "page.py")
    assert done.returncode == 0, done.stderr
    key = folder.run(*recipe.command("python"))
    assert len(key.stdout.strip()) == 64
