"""``python -m tests.benchmarks``: measure, and print the table."""

from __future__ import annotations

import argparse
import tempfile

from flask_state.core import registry

from . import report
from . import rounds
from . import table


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="10 seconds instead of 60")
    parser.add_argument("--seconds", type=float, help="how long to measure")
    parser.add_argument("--markdown", action="store_true", help="print rows of Markdown")
    arguments = parser.parse_args()
    seconds = arguments.seconds or (10.0 if arguments.quick else 60.0)
    with tempfile.TemporaryDirectory() as folder:
        urls = {"memory": "memory://", "lmdb": f"lmdb://{folder}/state"}
        engines = {name: urls[name] for name in registry.SESSION_ENGINES if name in urls}
        variants = table.variants(engines)
        measured = rounds.measure(variants, seconds)
    peer = "read, Flask-Session" in variants
    found = table.results(table.rows(engines, peer=peer), measured)
    print(f"{report.versions()}.")
    print(f"{len(measured)} rounds; a session of 20 items and 2 KB unless said; medians.\n")
    print(report.ratios(found, markdown=arguments.markdown), end="\n\n")
    print(report.times(measured, markdown=arguments.markdown))


if __name__ == "__main__":
    main()
