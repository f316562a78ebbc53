"""What gunicorn does for the rig, read as its configuration: `gunicorn -c python:tests.rig.hooks`.

Runs in the server's processes, never in the test's.
"""

from __future__ import annotations

import ctypes
import os
import signal
import typing as t

from tests.rig import coordinator

_PR_SET_PDEATHSIG: t.Final = 1  # from <linux/prctl.h>

control_socket_disable = True
"""It would be a file in the user's home. Older versions don't have it, and pass over this."""


def _die_with_parent() -> None:
    """A test that is killed can't stop its servers: the kernel does."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def post_fork(server: object, worker: object) -> None:
    """In every worker, before anything else."""
    _die_with_parent()


def post_worker_init(worker: object) -> None:
    """In every worker, when it is about to answer requests."""
    coordinator.announce(os.environ["RIG_COORDINATOR"], "worker started")


_die_with_parent()
