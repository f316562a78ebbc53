"""Nothing is left out of the documentation, nothing in it leads nowhere, and all of it runs."""

from __future__ import annotations

import collections.abc as cabc
import importlib
import inspect
import pathlib
import re
import typing as t

import click
import pytest
from blinker import NamedSignal
from sybil import Sybil
from sybil.parsers.myst import PythonCodeBlockParser

import flask_state
from flask_state import errors
from flask_state.core.settings import settings_table
from flask_state.web import cli
from tests.source import ROOT

DOCS: t.Final = ROOT / "docs"
PAGES: t.Final = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
TEXTS: t.Final = [*sorted(ROOT.glob("*.md")), *PAGES]

LANGUAGES: t.Final = {
    "console",
    "html",
    "ini",
    "jinja",
    "json",
    "python",
    "text",
    "toml",
    "yaml",
}
"""Of these, Python is run. Another name for it, such as py or pycon, would not be, in silence."""


class Fence(t.NamedTuple):
    """A block between fences."""

    line: int
    info: str
    """What stands after the opening fence: a language or a directive."""


def read(path: pathlib.Path) -> str:
    return path.read_text(encoding="utf-8")


def fences(text: str) -> tuple[list[Fence], str]:
    """The outermost blocks of a page, and the page without what is in them."""
    found = []
    prose = []
    closing: re.Pattern[str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if closing is not None:
            closing = None if closing.match(line) else closing
        elif opening := re.match(r"\s*(?:[-*>]\s+)?(`{3,}|~{3,})(.*)", line):
            mark, info = opening.groups()
            closing = re.compile(rf"\s*{mark[0]}{{{len(mark)},}}\s*$")
            found.append(Fence(number, info.strip()))
        else:
            prose.append(line)
    return found, "\n".join(prose)


def unknown_fences(text: str) -> list[Fence]:
    """Blocks of a language that is not listed. Directives are Sphinx's business."""

    def is_known(info: str) -> bool:
        code = re.match(r"\{code(?:-block)?\}\s*(\S*)", info)
        language = code.group(1) if code else info
        return language in LANGUAGES or (not code and info.startswith("{"))

    return [fence for fence in fences(text)[0] if not is_known(fence.info)]


def dead_links(path: pathlib.Path, text: str) -> cabc.Iterator[str]:
    """Relative links of a page to files or headings that aren't there."""
    prose = re.sub(r"`+[^`]*`+", "", fences(text)[1])
    for link in re.findall(r"\]\(\s*<?([^)\s>]+)", prose):
        file, _, anchor = link.partition("#")
        if re.match(r"[a-z][a-z0-9+.-]*:", link) or not (file or anchor):
            continue
        target = (path.parent / file).resolve() if file else path
        if not target.exists():
            yield link
        elif anchor and target.suffix == ".md":
            known = anchors(text if target == path else read(target))
            if anchor not in known:
                yield link


def anchors(text: str) -> set[str]:
    """The names under which the headings of a page are linked."""
    prose = fences(text)[1]
    headings = re.findall(r"^#{1,6}\s+(.*)$", prose, re.MULTILINE)
    named = set(re.findall(r"^\(([^)]+)\)=", prose, re.MULTILINE))
    return named | {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in headings}


def unmentioned(names: cabc.Iterable[str], text: str) -> list[str]:
    """The names that stand nowhere in a text as a word of their own."""
    return [name for name in names if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)]


@pytest.fixture(scope="module")
def documentation() -> str:
    return "\n".join(read(page) for page in PAGES)


def test_every_setting_is_mentioned(documentation: str) -> None:
    """In some text, that is: the generated table alone says what a key does and not what for."""
    assert unmentioned((row.key for row in settings_table()), documentation) == []


def test_every_setting_is_explained() -> None:
    unexplained = [
        row.key for row in settings_table() if len(row.help) < 20 or row.help[-1] not in ".!"
    ]
    assert unexplained == []
    assert "```{settings-table}" in read(DOCS / "configuration.md")


def test_every_signal_is_mentioned(documentation: str) -> None:
    module = importlib.import_module("flask_state.signals")
    names = [name for name, value in vars(module).items() if isinstance(value, NamedSignal)]
    assert names
    assert unmentioned(names, documentation) == []


def test_every_error_is_mentioned(documentation: str) -> None:
    names = [
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value)
        and value.__module__ == errors.__name__
        and not name.startswith("_")
    ]
    assert names
    assert unmentioned(names, documentation) == []


def test_every_command_is_explained() -> None:
    names = list(commands(click.Group("flask", commands=[cli.group])))
    assert "flask state sessions list" in names
    headings = set(re.findall(r"^#+ `([^`]+)`$", read(DOCS / "cli.md"), re.MULTILINE))
    assert sorted(names) == sorted(headings)


def commands(group: click.Group) -> cabc.Iterator[str]:
    """All that can be typed, without options and arguments."""
    for command in group.commands.values():
        inner = commands(command) if isinstance(command, click.Group) else [command.name]
        yield from (f"{group.name} {words}" for words in inner)


def test_every_public_name_is_mentioned(documentation: str) -> None:
    assert unmentioned(flask_state.__all__, documentation) == []


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(path: pathlib.Path) -> None:
    assert list(dead_links(path, read(path))) == []


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_block_names_a_language_that_is_known(path: pathlib.Path) -> None:
    assert unknown_fences(read(path)) == []


def test_the_readme_holds_an_example_and_it_runs(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pages of `docs/` are run where they are; the README is run here."""
    monkeypatch.chdir(tmp_path)
    document = Sybil([PythonCodeBlockParser()]).parse(ROOT / "README.md")
    document.namespace["__name__"] = "readme"
    examples = list(document.examples())
    assert examples
    for example in examples:
        example.evaluate()


PLANTED: t.Final = """\
# One heading

[here](#one-heading) and [there](page.md), but [not there](missing.md) and not
[that](#two-headings); `[code](is-no-link)` and [the web](https://example.org/x) are let be.

```py
[a](link-in-code.md)
```

- ```
  no language
  ```

````text
```pycon
````

```{note}
```

```{code-block} python3
```
"""


def test_what_is_wrong_with_a_page_would_be_found(tmp_path: pathlib.Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PLANTED, encoding="utf-8")
    assert list(dead_links(page, PLANTED)) == ["missing.md", "#two-headings"]
    assert [fence.info for fence in unknown_fences(PLANTED)] == [
        "py",
        "",
        "{code-block} python3",
    ]
    assert unmentioned(["heading", "head", "STATE_URL"], PLANTED) == ["head", "STATE_URL"]
