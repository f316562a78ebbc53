"""What users download: a wheel with the package and nothing else, an sdist with everything."""

from __future__ import annotations

import pathlib
import shutil
import tarfile
import tomllib
import typing as t
import zipfile

import pytest
from flit_core import buildapi

from tests.source import NAME
from tests.source import ROOT

METADATA: t.Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
STEM: t.Final = f"{METADATA['name'].replace('-', '_')}-{METADATA['version']}"

FOLDERS: t.Final = (NAME, "tests", "docs", "demo_app")
FILES: t.Final = (
    "CHANGES.md",
    "CONTRIBUTING.md",
    "LICENSE.txt",
    "Makefile",
    "README.md",
    "SECURITY.md",
    "constraints.txt",
    "pyproject.toml",
)
GENERATED: t.Final = ("__pycache__", "_build")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A copy of the project after some work in it; building leaves no trace in the original."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns(*GENERATED))
    for name in FILES:
        shutil.copy(ROOT / name, copy / name)
    for trace in (f"{NAME}/__pycache__/a.pyc", "tests/__pycache__/a.pyc", "docs/_build/a.html"):
        (copy / trace).parent.mkdir()
        (copy / trace).touch()
    return copy


@pytest.fixture
def _in_checkout(checkout: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Build backends are called in the folder of the project."""
    monkeypatch.chdir(checkout)


@pytest.fixture
def wheel(_in_checkout: None, tmp_path: pathlib.Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(tmp_path / buildapi.build_wheel(str(tmp_path)))


@pytest.fixture
def archive(_in_checkout: None, tmp_path: pathlib.Path) -> pathlib.Path:
    name: str = buildapi.build_sdist(str(tmp_path))
    return tmp_path / name


@pytest.fixture
def sdist(archive: pathlib.Path) -> set[str]:
    with tarfile.open(archive) as opened:
        return {name.removeprefix(f"{STEM}/") for name in opened.getnames()}


def files(folder: pathlib.Path) -> set[str]:
    """The files somebody wrote in a folder, under paths that begin with its name."""
    found = (path.relative_to(folder.parent) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in found if not set(path.parts) & set(GENERATED)}


def test_the_wheel_holds_the_whole_package_and_nothing_else(
    wheel: zipfile.ZipFile, checkout: pathlib.Path
) -> None:
    names = set(wheel.namelist())
    assert {name for name in names if ".dist-info/" not in name} == files(checkout / NAME)
    assert f"{NAME}/py.typed" in names
    assert f"{NAME}/extension.py" in names
    assert {name.partition("/")[0] for name in names} == {NAME, f"{STEM}.dist-info"}
    assert f"{STEM}.dist-info/licenses/LICENSE.txt" in names


def test_the_wheel_says_what_it_needs(wheel: zipfile.ZipFile) -> None:
    metadata = wheel.read(f"{STEM}.dist-info/METADATA").decode()
    header = metadata.partition("\n\n")[0].splitlines()
    assert f"Requires-Python: {METADATA['requires-python']}" in header
    assert "License-Expression: BSD-3-Clause" in header
    needed = {line.partition(": ")[2].lower() for line in header if line.startswith("Requires-D")}
    assert any(line.startswith("flask>=3.1") for line in needed)


def test_nothing_is_bounded_from_above(wheel: zipfile.ZipFile) -> None:
    """An application decides how new a library may be; a library only knows how old."""
    metadata = wheel.read(f"{STEM}.dist-info/METADATA").decode()
    for line in metadata.partition("\n\n")[0].splitlines():
        if line.startswith(("Requires-Dist", "Requires-Python")):
            assert "<" not in line.partition(";")[0], line


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_sdist_holds_the_folder(folder: str, sdist: set[str], checkout: pathlib.Path) -> None:
    assert files(checkout / folder) <= sdist


@pytest.mark.parametrize(
    "kind",
    [
        *("demo_app/*.csv", "demo_app/templates/*/*.html", "demo_app/static/*.css"),
        *("demo_app/static/*.js", "demo_app/static/maps/*.svg", "docs/images/*.svg"),
        *("docs/*.md", "tests/browser/*.py"),
    ],
)
def test_the_sdist_holds_what_is_no_module(
    kind: str, sdist: set[str], checkout: pathlib.Path
) -> None:
    wanted = {path.relative_to(checkout).as_posix() for path in checkout.glob(kind)}
    assert wanted
    assert wanted <= sdist


def test_the_sdist_makes_the_same_wheel(
    wheel: zipfile.ZipFile,
    archive: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path / "unpacked", filter="data")
    again = tmp_path / "again"
    again.mkdir()
    monkeypatch.chdir(tmp_path / "unpacked" / STEM)
    with zipfile.ZipFile(again / buildapi.build_wheel(str(again))) as second:
        assert {each.filename: each.CRC for each in second.infolist()} == {
            each.filename: each.CRC for each in wheel.infolist()
        }


def test_the_sdist_holds_what_surrounds_the_code(sdist: set[str]) -> None:
    assert set(FILES) <= sdist


def test_the_sdist_holds_nothing_that_was_generated(sdist: set[str]) -> None:
    assert [name for name in sdist if set(name.split("/")) & set(GENERATED)] == []
