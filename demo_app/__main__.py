"""Says what to try: `python -m demo_app [URL]`. The server is started by somebody else."""

from __future__ import annotations

import sys

HINTS = """\
Isoline, a small shop of maps, at {url}

  Fill the cart, begin to order, stop the server, start it again, and go on.
  Register (the first to do so runs the shop), sign in with a second browser,
  and end it from {url}/devices.
  See six requests of one session at once: {url}/tabs
  Watch the sessions come and go: {url}/admin
"""


def main(arguments: list[str]) -> None:
    """Print the hints."""
    url = arguments[0].rstrip("/") if arguments else "http://127.0.0.1:5000"
    print(HINTS.format(url=url))


if __name__ == "__main__":
    main(sys.argv[1:])
