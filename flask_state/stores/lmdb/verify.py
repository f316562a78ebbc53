"""Looks a data file through: ``python -m flask_state.stores.lmdb.verify FILE``.

The engine trusts its file. It can abort the process over a damaged one, and after a power cut
a quarter of the damaged files open and read without an error, full of old data. So the pages
are looked through first by a reader that can't crash, and only then, where they are sound, the
values are read by the engine and held against their checksums.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import typing as t

import lmdb
import lmdb.verify

from ..base import DamagedRecord
from . import layout
from .failures import ERRORS

_EXAMPLES = 5


class Findings(t.NamedTuple):
    """What is wrong with a data file."""

    pages: list[str]
    """Some of the faults in the structure; after one of them nothing in the file can be trusted."""
    values: int
    """How many values fail their checksum."""

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.pages and not self.values


def inspect(path: str) -> Findings:
    """Look through a data file that nobody writes to meanwhile.

    :param path: the file itself.
    """
    faults = _faulty_pages(path)
    if faults:
        return Findings(faults, 0)
    try:
        return Findings([], _damaged_values(path))
    except ERRORS as error:
        return Findings([str(error)], 0)


def inspect_apart(path: str) -> Findings:
    """The same in a process of its own, which may crash over the file.

    Where no interpreter can be started, the pages alone are looked through in this process.
    """
    paths = os.pathsep.join(each for each in sys.path if each)
    command = [_interpreter(), "-P", "-m", __name__, path]
    try:
        child = subprocess.run(  # noqa: S603 - our own module, and no shell
            command,
            capture_output=True,
            check=False,
            env={**os.environ, "PYTHONPATH": paths},
        )
    except OSError:
        return Findings(_faulty_pages(path), 0)
    try:
        pages, values = json.loads(child.stdout)
    except ValueError:
        return _unanswered(path, child)
    return Findings(pages, values)


def _interpreter() -> str:
    """Python itself, also where it is embedded in a server."""
    if "python" in os.path.basename(sys.executable or ""):
        return sys.executable
    return os.path.join(sys.exec_prefix, "bin", f"python3.{sys.version_info.minor}")


def _faulty_pages(path: str) -> list[str]:
    """Some faults in the structure, found without the engine."""
    try:
        faults = lmdb.verify.verify(path, subdir=False)  # type: ignore[no-untyped-call]
    except (lmdb.verify.VerifyError, OSError, ValueError, struct.error) as error:
        faults = [error]
    return [str(fault) for fault in faults[:_EXAMPLES]]


def _unanswered(path: str, child: subprocess.CompletedProcess[bytes]) -> Findings:
    """What to think of a file whose inspection said nothing."""
    if child.returncode in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT):
        raise OSError(f"the check of {path} was ended by signal {-child.returncode}")
    if child.returncode < 0:
        return Findings([f"the engine died of signal {-child.returncode}"], 0)
    return Findings(_faulty_pages(path), 0)


def _damaged_values(path: str) -> int:
    """How many values fail their checksum.

    :raise lmdb.Error: the engine finds the file damaged after all.
    """
    damaged = 0
    with lmdb.open(path, subdir=False, readonly=True, lock=False, create=False) as environment:
        pages = environment.info()["last_pgno"] + 1
        if os.stat(path).st_size < pages * environment.stat()["psize"]:
            raise lmdb.CorruptedError("the file is shorter than its pages")
        with environment.begin() as txn:
            for key, value in txn.cursor():
                try:
                    layout.unframe(key, value)
                except DamagedRecord:
                    damaged += 1
    return damaged


def main(arguments: list[str]) -> int:
    """Write what `inspect` finds as JSON; 0 if the file is sound."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m flask_state.stores.lmdb.verify FILE\n")
        return 2
    findings = inspect(arguments[0])
    sys.stdout.write(json.dumps(findings) + "\n")
    return 0 if findings.sound else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
