"""Forks inside of a view that has the lease of its session, while another request waits for it.

Run by a test, with the URL of an empty store.
"""

from __future__ import annotations

import os
import queue
import sys
import traceback
import typing as t

from flask_state import session
from tests.session.site import Site
from tests.session.together import LONG
from tests.session.together import is_leased
from tests.session.together import leases_module
from tests.session.together import leases_of
from tests.session.together import request
from tests.session.together import start

waiting: queue.SimpleQueue[None] = queue.SimpleQueue()


class Waiter(leases_module._Waiter):  # type: ignore[misc]
    """Tells when it waits."""

    def wait(self, timeout: float | None = None) -> bool:
        waiting.put(None)
        return bool(super().wait(timeout))


def count_up() -> int:
    """What both requests do."""
    session["n"] += 1
    value: int = session["n"]
    return value


def in_child(site: Site) -> None:
    """What the parent holds is the parent's."""
    own: t.Any = session._get_current_object()  # type: ignore[attr-defined]
    assert leases_of(site)._lines == {}
    assert own._lease is None or not own._lease.held
    # Another session is nobody else's business, whatever the parent's threads were at.
    _, other = site.sign_in(n=0)
    assert request(site, other, count_up).value == 1
    assert leases_of(site)._lines == {}
    print("child: no lines, no lease", flush=True)


def main(url: str) -> None:
    """Fork in the middle."""
    site = Site(url)
    _, id = site.sign_in(n=0)
    others = []

    def view() -> None:
        count_up()
        others.append(start(lambda: request(site, id, count_up)))
        waiting.get(timeout=LONG)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                in_child(site)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        print("parent: leased" if is_leased(site, id) else "parent: lost it", flush=True)

    assert request(site, id, view).response.status_code == 200
    print(others[0].result(LONG).value, flush=True)
    assert leases_of(site)._lines == {}
    site.close()


if __name__ == "__main__":
    leases_module._Waiter = Waiter
    main(sys.argv[1])
