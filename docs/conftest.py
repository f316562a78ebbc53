"""Every example of these pages is run: one namespace and one temporary folder per page."""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
import tempfile
import types
import typing as t

from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser
from sybil.parsers.myst import SkipParser


def enter_page(namespace: dict[str, t.Any]) -> None:
    """Make a page's examples a program of their own: `__main__`, in an empty folder."""
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())).resolve()
        stack.enter_context(contextlib.chdir(folder))
        program = types.ModuleType("__main__")
        program.__file__ = os.fspath(folder / "app.py")
        before = sys.modules["__main__"]
        sys.modules["__main__"] = program
        stack.callback(sys.modules.__setitem__, "__main__", before)
        namespace["__name__"] = "__main__"
        namespace["__file__"] = program.__file__
        namespace["_leave"] = stack.pop_all().close


def leave_page(namespace: dict[str, t.Any]) -> None:
    """Back to where the tests are."""
    namespace["_leave"]()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["*.md"],
    excludes=["_build/**"],
    setup=enter_page,
    teardown=leave_page,
).pytest()
