"""What users may import, and that all of it is explained."""

from __future__ import annotations

import collections.abc as cabc
import functools
import importlib
import inspect
import pkgutil
import types
import typing as t

import flask
import pytest

import flask_state
from tests.source import ROOT

NAMES: t.Final = ["FlaskState", "Session", "session", "session_access"]
"""The names of a first day. A name that is added here is a promise."""

MODULES: t.Final = ["errors", "signals", "testing"]
"""Modules that are public as a whole."""

CONTRACTS: t.Final = ["session.data", "stores.base", "web.sessions"]
"""Modules that hold what the names above return, and what is read to write a store."""

FACE: t.Final = ROOT / "flask_state" / "__init__.py"
LINES: t.Final = 60


def test_the_package_offers_these_names_and_no_other() -> None:
    assert set(flask_state.__all__) - set(MODULES) == set(NAMES)
    offered = {
        name
        for name, value in vars(flask_state).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert offered - {"annotations"} == set(NAMES), "an import without an underscore?"


def test_session_is_the_proxy_of_flask_and_not_the_folder_of_that_name() -> None:
    importlib.import_module("flask_state.session.data")
    assert flask_state.session is flask.session


def test_the_face_of_the_package_is_short() -> None:
    assert len(FACE.read_text(encoding="utf-8").splitlines()) < LINES


@pytest.mark.parametrize("name", [*MODULES, *CONTRACTS])
def test_a_public_module_can_be_imported_and_is_explained(name: str) -> None:
    module = importlib.import_module(f"flask_state.{name}")
    assert (module.__doc__ or "").strip()


@pytest.mark.parametrize("name", ["", *MODULES, *CONTRACTS])
def test_everything_public_has_a_docstring(name: str) -> None:
    silent = sorted(
        {where for module in public_modules(name) for where in undocumented(module)},
    )
    assert not silent, "\n" + "\n".join(silent)


def test_what_is_undocumented_would_be_found() -> None:
    class Noisy:
        """Explained."""

        def method(self) -> None: ...

        @property
        def value(self) -> int:
            return 1

        @functools.cached_property
        def late(self) -> int:
            return 1

        @staticmethod
        def plain() -> None: ...

        def _private(self) -> None: ...

    class Heir(Noisy):
        """Explained too; what it inherits counts once."""

    def silent() -> None: ...

    module = types.ModuleType("flask_state.planted")
    for made in (Noisy, Heir, silent):
        made.__module__ = module.__name__
        setattr(module, made.__name__, made)
    module.__dict__["foreign"] = flask.Flask
    assert sorted(undocumented(module)) == [
        "flask_state.planted.Noisy.late",
        "flask_state.planted.Noisy.method",
        "flask_state.planted.Noisy.plain",
        "flask_state.planted.Noisy.value",
        "flask_state.planted.silent",
    ]


def public_modules(name: str) -> cabc.Iterator[types.ModuleType]:
    """The module of that name, and those inside it if it is a folder other than the package."""
    module = importlib.import_module(f"flask_state.{name}".rstrip("."))
    yield module
    if name and hasattr(module, "__path__"):
        for found in pkgutil.walk_packages(module.__path__, f"{module.__name__}."):
            if not found.name.rpartition(".")[2].startswith("_"):
                yield importlib.import_module(found.name)


def undocumented(module: types.ModuleType) -> cabc.Iterator[str]:
    """Public classes, functions and methods of ours that a module offers without a docstring."""
    for name, value in vars(module).items():
        ours = str(getattr(value, "__module__", "")).startswith("flask_state")
        if name.startswith("_") or not ours:
            continue
        if inspect.isclass(value):
            yield from _undocumented_members(value)
        elif inspect.isfunction(value) and not inspect.getdoc(value):
            yield f"{value.__module__}.{value.__qualname__.rpartition('.')[2]}"


def _undocumented_members(owner: type) -> cabc.Iterator[str]:
    where = f"{owner.__module__}.{owner.__name__}"
    if not owner.__doc__:
        yield where
    for name, member in vars(owner).items():
        if name.startswith(("_", "test_")) or not _is_code(member):
            continue
        # An override may rely on what the class above says; a test's name is its explanation.
        if not inspect.getdoc(getattr(owner, name)) and not inspect.getdoc(member):
            yield f"{where}.{name}"


def _is_code(member: object) -> bool:
    kinds = (property, functools.cached_property, classmethod, staticmethod)
    return inspect.isfunction(member) or isinstance(member, kinds)
