"""The table in print: as text for a terminal, or as rows of Markdown."""

from __future__ import annotations

import collections.abc as cabc
import importlib.metadata
import os
import platform

from .rounds import Round
from .rounds import spread
from .table import BARE
from .table import Result

_PACKAGES = (
    "flask-statekit",
    "Flask",
    "Werkzeug",
    "itsdangerous",
    "ormsgpack",
    "lmdb",
    "Flask-Session",
    "cachelib",
)


def versions() -> str:
    """Who took part, and on what machine."""
    found = [f"Python {platform.python_version()}"]
    for name in _PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return f"{', '.join(found)}; {platform.system()}, {os.cpu_count()} x {_processor()}"


def times(rounds: list[Round], *, markdown: bool) -> str:
    """How long one request of each variant takes, and how much of it is over the bare view."""
    lines = []
    for name in rounds[0]:
        whole = spread(each[name] for each in rounds)
        over = spread(each[name] - each[BARE] for each in rounds)
        lines.append(
            (name, f"{whole.median * 1e6:.1f}", f"{over.median * 1e6:.1f}", _range(over, 1e6))
        )
    return _layout(("request", "us", "over bare", "half of the rounds"), lines, markdown=markdown)


def ratios(results: list[Result], *, markdown: bool) -> str:
    """What each row came to, beside what it is to reach."""
    lines = []
    for row, ratio in results:
        reach = "" if row.to_reach is None else f"{row.to_reach:.2f}"
        missed = "" if Result(row, ratio).reached is not False else "missed"
        pair = f"{row.ours} / {row.reference}"
        over = "over bare" if row.over_bare else "whole call"
        lines.append((row.job, pair, over, f"{ratio.median:.3f}", _range(ratio, 1), reach, missed))
    heads = ("job", "ours / reference", "of", "ratio", "half of the rounds", "to reach", "")
    return _layout(heads, lines, markdown=markdown)


def _range(values: tuple[float, float, float], scale: float) -> str:
    digits = 1 if scale > 1 else 3
    return f"{values[0] * scale:.{digits}f} to {values[2] * scale:.{digits}f}"


def _layout(
    heads: tuple[str, ...], lines: cabc.Sequence[tuple[str, ...]], *, markdown: bool
) -> str:
    if markdown:
        rule = "|".join("---" for _ in heads)
        body = [f"| {' | '.join(line)} |" for line in (heads, *lines)]
        return "\n".join([body[0], f"|{rule}|", *body[1:]])
    widths = [max(len(line[column]) for line in (heads, *lines)) for column in range(len(heads))]
    printed = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (heads, *lines)
    ]
    return "\n".join([printed[0], "-" * len(printed[0]), *printed[1:]])


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as table:
            for line in table:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
