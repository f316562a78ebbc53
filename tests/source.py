"""The package's source as the tests of its layout see it: files, what they import, who is who."""

from __future__ import annotations

import ast
import collections.abc as cabc
import dataclasses
import pathlib
import typing as t

NAME: t.Final = "flask_state"
ROOT: t.Final = pathlib.Path(__file__).parent.parent

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclasses.dataclass(frozen=True)
class Import:
    """One name brought in by one import statement."""

    target: str
    """The module of the package that it needs, or the full dotted name of something foreign."""
    line: int
    typing_only: bool
    """Whether it stands under `if TYPE_CHECKING`."""
    deferred: bool
    """Whether it waits for a function to be called."""


class Module:
    """One parsed file.

    :param path: relative to the package's folder, such as ``"stores/base.py"``.
    :param modules: the dotted names of all modules of the package, to tell them from values.
    """

    def __init__(self, path: str, text: str, modules: cabc.Collection[str]) -> None:
        self.path = path
        self.name = dotted(path)
        self.lines = text.count("\n")
        self.tree = ast.parse(text, path)
        self._modules = modules
        self.imports = tuple(self._find(self.tree, typing_only=False, deferred=False))

    @property
    def folder(self) -> str:
        """The dotted name of the package that relative imports start from."""
        return self.name if self.path.endswith("__init__.py") else self.name.rpartition(".")[0]

    def aliases(self) -> dict[str, str]:
        """What the imported names stand for: ``{"dt": "datetime"}``."""
        names = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    root = alias.name.partition(".")[0]
                    names[alias.asname or root] = alias.name if alias.asname else root
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    names[alias.asname or alias.name] = f"{self._base(node)}.{alias.name}"
        return names

    def functions(self) -> cabc.Iterator[Function]:
        """All functions and methods, nested ones included."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                yield node

    def _find(self, node: ast.AST, *, typing_only: bool, deferred: bool) -> cabc.Iterator[Import]:
        for target in self._targets(node):
            line = getattr(node, "lineno", 0)
            yield Import(target, line, typing_only, deferred)
        for child in ast.iter_child_nodes(node):
            guarded = isinstance(node, ast.If) and child in node.body and _is_guard(node.test)
            yield from self._find(
                child,
                typing_only=typing_only or guarded,
                deferred=deferred or isinstance(node, Function | ast.Lambda),
            )

    def _targets(self, node: ast.AST) -> cabc.Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = self._base(node)
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                ours = base == NAME or base.startswith(f"{NAME}.")
                yield base if ours and whole not in self._modules else whole
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in {"importlib.import_module", "import_module", "__import__"} and node.args:
                argument = node.args[0]
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield argument.value

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.folder.split(".")
        above = parts[: len(parts) - node.level + 1]
        return ".".join([*above, node.module] if node.module else above)


def dotted(path: str) -> str:
    """The module in a file: ``"stores/base.py"`` is ``"flask_state.stores.base"``."""
    parts = path.removesuffix(".py").split("/")
    return ".".join([NAME, *(part for part in parts if part != "__init__")])


def parse(files: cabc.Mapping[str, str]) -> list[Module]:
    """Parse sources given as texts under paths relative to the package."""
    names = {dotted(path) for path in files}
    return [Module(path, text, names) for path, text in sorted(files.items())]


def package() -> list[Module]:
    """The package as it is on disk."""
    folder = ROOT / NAME
    return parse(
        {
            path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
            for path in folder.rglob("*.py")
        }
    )


def _is_guard(test: ast.expr) -> bool:
    return ast.unparse(test).rpartition(".")[2] == "TYPE_CHECKING"
