"""``python -m tests.benchmarks``: measure, and print the table."""

from __future__ import annotations

import argparse
import collections.abc as cabc
import contextlib
import tempfile

from . import report
from . import rounds
from . import table


def main(words: cabc.Sequence[str] | None = None) -> None:
    """Measure, and print.

    :param words: the arguments, by default those of the command.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="10 seconds instead of 60")
    parser.add_argument("--seconds", type=float, help="how long to measure")
    parser.add_argument("--markdown", action="store_true", help="print rows of Markdown")
    arguments = parser.parse_args(words)
    seconds = arguments.seconds or (10.0 if arguments.quick else 60.0)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        engines = {"memory": "memory://", "lmdb": f"lmdb://{folder}/state"}
        variants = table.variants(engines, stack)
        measured = rounds.measure(variants, seconds)
    peer = "read, Flask-Session" in variants
    found = table.results(table.rows(engines, peer=peer), measured)
    print(f"{report.versions()}.")
    print(f"{len(measured)} rounds; a session of 20 items and 2 KB unless said; medians.\n")
    print(report.ratios(found, markdown=arguments.markdown), end="\n\n")
    print(report.times(measured, markdown=arguments.markdown))


if __name__ == "__main__":
    main()
