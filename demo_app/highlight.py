"""Source text as HTML, with comments, strings and keywords in colour."""

from __future__ import annotations

import io
import keyword
import tokenize

from markupsafe import Markup

_KINDS = {tokenize.COMMENT: "c", tokenize.STRING: "s", tokenize.NUMBER: "n"}


def highlighted(name: str, text: str) -> list[Markup]:
    """The lines of a file, each whole HTML by itself. Only Python has colours."""
    spans = _python_spans(text) if name.endswith(".py") else []
    return [_marked(line, row, spans) for row, line in enumerate(text.splitlines(), 1)]


Span = tuple[tuple[int, int], tuple[int, int], str]
"""From where to where (row, column), and the class of what is there."""


def _python_spans(text: str) -> list[Span]:
    found: list[Span] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = _KINDS.get(token.type)
        if token.type == tokenize.NAME and keyword.iskeyword(token.string):
            kind = "k"
        elif tokenize.tok_name[token.type].startswith("FSTRING"):  # since Python 3.12
            kind = "s"
        if kind is not None:
            found.append((token.start, token.end, kind))
    return found


def _marked(line: str, row: int, spans: list[Span]) -> Markup:
    parts, at = [], 0
    for (first, left), (last, right), kind in spans:
        if not first <= row <= last:
            continue
        start = left if row == first else 0
        end = right if row == last else len(line)
        parts += [Markup.escape(line[at:start]), _span(kind, line[start:end])]
        at = end
    return Markup("").join([*parts, Markup.escape(line[at:])])


def _span(kind: str, text: str) -> Markup:
    return Markup('<span class="{}">{}</span>').format(kind, text) if text else Markup("")
