"""The shape that every file of the package keeps: short, and never silent about an error."""

from __future__ import annotations

import ast
import collections.abc as cabc
import typing as t

import pytest

from tests.source import NAME
from tests.source import Function
from tests.source import Module
from tests.source import package
from tests.source import parse

LINES_PER_FILE: t.Final = 400
LINES_PER_FUNCTION: t.Final = 60

Offences = cabc.Iterator[str]
Rule = cabc.Callable[[Module], Offences]


def short_files(module: Module) -> Offences:
    """One noun per file."""
    if module.lines > LINES_PER_FILE:
        yield f"{module.lines}: {module.lines} lines, more than {LINES_PER_FILE}"


def short_functions(module: Module) -> Offences:
    """A function fits a screen; what its docstring says is not counted."""
    for function in module.functions():
        length = _length(function)
        if length > LINES_PER_FUNCTION:
            text = f"{function.name} has {length} lines, more than {LINES_PER_FUNCTION}"
            yield f"{function.lineno}: {text}"


def _length(function: Function) -> int:
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def no_swallowed_errors(module: Module) -> Offences:
    """Nothing catches everything in order to do nothing about it."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler) and _catches_all(node) and _does_nothing(node):
            yield f"{node.lineno}: swallows every error"


def _catches_all(handler: ast.ExceptHandler) -> bool:
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {ast.unparse(one) if one else "BaseException" for one in caught}
    return bool(names & {"Exception", "BaseException"})


def _does_nothing(handler: ast.ExceptHandler) -> bool:
    return all(
        isinstance(statement, ast.Pass | ast.Continue)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for statement in handler.body
    )


RULES: tuple[Rule, ...] = (short_files, short_functions, no_swallowed_errors)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule: Rule) -> None:
    offences = [f"{NAME}/{module.path}:{found}" for module in package() for found in rule(module)]
    assert not offences, "\n" + "\n".join(offences)


BREAKS: tuple[tuple[Rule, str, str], ...] = (
    (short_files, "x = 1\n" * 401, "401: 401 lines"),
    (short_functions, "def f():\n" + "    x = 1\n" * 60, "1: f has 61"),
    (short_functions, "class A:\n  async def f(self):\n" + "    x = 1\n" * 60, "2: f has 61"),
    (no_swallowed_errors, "try: f()\nexcept Exception: pass", "2: swallows"),
    (no_swallowed_errors, "try: f()\nexcept: ...", "2: swallows"),
    (no_swallowed_errors, "try: f()\nexcept (OSError, Exception): pass", "2: swallows"),
)


@pytest.mark.parametrize(("rule", "text", "expected"), BREAKS)
def test_a_rule_finds_what_breaks_it(rule: Rule, text: str, expected: str) -> None:
    (offence,) = [found for module in parse({"core/a.py": text}) for found in rule(module)]
    assert offence.startswith(expected)


@pytest.mark.parametrize(
    "text",
    [
        'def f():\n    """' + "Long.\n" * 70 + '    """\n    raise KeyError\n',
        "x = 1\n" * 400,
        "try: f()\nexcept KeyError: pass",
        "try: f()\nexcept Exception: log()",
    ],
    ids=["a long docstring", "a full file", "one error", "an error logged"],
)
def test_the_rules_allow(text: str) -> None:
    assert [
        found for module in parse({"core/a.py": text}) for rule in RULES for found in rule(module)
    ] == []
