"""What `make demo` starts."""

from __future__ import annotations

import collections.abc as cabc
import os
import pathlib
import re
import subprocess
import sys
import time
import typing as t

import pytest
from playwright.sync_api import Browser
from playwright.sync_api import expect

from tests.browser.visitor import add_to_cart
from tests.rig.coordinator import PATIENCE
from tests.source import ROOT

pytestmark = pytest.mark.browser

# The kernel ends the server with the test, however the test ends.
SERVE: t.Final = 'import tests.rig.hooks, sys, flask.cli;sys.argv[0] = "flask";flask.cli.main()'


@pytest.fixture
def url(tmp_path: pathlib.Path) -> cabc.Iterator[str]:
    """Where the development server says that it is."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FLASK_")},
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "FLASK_STATE_URL": f"lmdb://{tmp_path}/state",
        "FLASK_SHOP_DATABASE": f"{tmp_path}/shop.sqlite",
        "FLASK_SECRET_KEY": "no secret at all, but long enough",
    }
    log = tmp_path / "log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-c", SERVE, "--app", "demo_app", "run", "--port", "0"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        ) as process,
    ):
        try:
            yield announced(process, log)
        finally:
            process.terminate()
            print(log.read_text())
    assert "Traceback" not in log.read_text()


def announced(process: subprocess.Popen[bytes], log: pathlib.Path) -> str:
    """The address in what the server has written, as soon as it is there."""
    given_up = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < given_up:
        found = re.search(r"Running on (http://\S+)", log.read_text())
        if found is not None:
            return found[1]
    raise AssertionError(f"no address:\n{log.read_text()}")


def test_it_serves_the_shop(chromium: Browser, url: str) -> None:
    with chromium.new_context(base_url=url) as context:
        page = context.new_page()
        add_to_cart(page, 101, 2)
        expect(page.get_by_role("link", name="Cart")).to_have_text("Cart 2")


def test_the_terminal_says_where_it_is_and_what_to_try() -> None:
    command = ["make", "--dry-run", "--no-print-directory", "demo", "PORT=8001"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    hints, served = made.splitlines()[-2:]
    assert served.endswith("flask --app demo_app run --host 127.0.0.1 --port 8001")
    arguments = hints.split()[1:]
    assert arguments == ["-m", "demo_app", "http://127.0.0.1:8001"]
    told = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "at http://127.0.0.1:8001\n" in told
    assert "http://127.0.0.1:8001/devices" in told
