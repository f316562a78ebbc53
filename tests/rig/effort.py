"""How long tests of chance go on: `STATE_TEST_EFFORT=10` makes them ten times as thorough."""

from __future__ import annotations

import os


def times(count: int) -> int:
    """How often to do what is done `count` times where nobody asks for more."""
    return count * int(os.environ.get("STATE_TEST_EFFORT", "1"))
