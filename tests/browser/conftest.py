"""A Chromium, and the shop served to it by two worker processes.

Playwright keeps an event loop in this thread while it is open, in which no other can run: it is
closed before the tests of another folder begin.
"""

from __future__ import annotations

import collections.abc as cabc
import itertools
import os
import pathlib
import re
import typing as t

import pytest
from playwright.sync_api import Browser
from playwright.sync_api import BrowserContext
from playwright.sync_api import Page
from playwright.sync_api import Playwright
from playwright.sync_api import expect
from playwright.sync_api import sync_playwright

from tests.browser.faults import SIZES
from tests.browser.watch import Watch
from tests.rig.coordinator import Coordinator
from tests.rig.gunicorn import Gunicorn
from tests.source import ROOT

HEADLESS: t.Final = pathlib.Path("/usr/lib/chromium/chromium-headless-shell")
"""Debian's. The one in /usr/bin is a script that starts it, and would be all that is stopped."""

WHOLE: t.Final = pathlib.Path("/usr/bin/chromium")
"""The browser with all its caches, and everything else that the small one is without."""

KEPT: t.Final = ROOT / "test-results"
"""Where pictures and traces of failed tests go."""

PATIENCE: t.Final = 15_000
"""Milliseconds after which whatever is waited for is missing."""

Browse = cabc.Callable[..., BrowserContext]

_failed: t.Final = pytest.StashKey[bool]()
_numbers: t.Final = itertools.count(1)

expect.set_options(timeout=PATIENCE)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> cabc.Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let fixtures know whether their test failed."""
    report = yield
    item.stash[_failed] = item.stash.get(_failed, False) or report.failed
    return report


@pytest.fixture(scope="package")
def playwright() -> cabc.Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="package")
def chromium(playwright: Playwright) -> cabc.Iterator[Browser]:
    """The browser that tests use where it doesn't matter which."""
    with playwright.chromium.launch(executable_path=installed(HEADLESS)) as browser:
        yield browser


@pytest.fixture(scope="package")
def whole(playwright: Playwright) -> cabc.Iterator[Browser]:
    """The browser that keeps whole pages for "back". It looks for nothing on the internet."""
    with playwright.chromium.launch(
        executable_path=installed(WHOLE),
        ignore_default_args=["--disable-back-forward-cache"],
        args=["--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.*"],
    ) as browser:
        yield browser


def installed(program: pathlib.Path) -> pathlib.Path:
    """A program, if it is there: else the test is skipped, or fails where it is required."""
    if not program.exists():
        reason = f"Debian's {program.name} is not installed"
        if "chromium" in os.environ.get("STATE_TEST_REQUIRE", "").split(","):
            pytest.fail(f"{reason}, and STATE_TEST_REQUIRE asks for it", pytrace=False)
        pytest.skip(reason)
    return program


@pytest.fixture(scope="module")
def running(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> cabc.Iterator[Gunicorn]:
    """The shop, for the tests of a file: 2 processes of 4 threads over one LMDB file."""
    folder = tmp_path_factory.mktemp("shop")
    environment = {
        "FLASK_SECRET_KEY": "no secret at all, but long enough",
        "FLASK_SHOP_DATABASE": f"{folder}/shop.sqlite",
    }
    with (
        Coordinator() as coordinator,
        Gunicorn(
            coordinator,
            folder,
            f"lmdb://{folder}/state",
            environment=environment,
            application="demo_app:create_app()",
        ) as server,
    ):
        yield server


@pytest.fixture
def server(running: Gunicorn) -> cabc.Iterator[Gunicorn]:
    """The shop. Fails the test where its log has an exception."""
    running.news()
    yield running
    running.check_log()


@pytest.fixture
def forgiven() -> list[str]:
    """Texts that complaints of the browser may hold, to be added by a test that provokes them."""
    return []


@pytest.fixture
def browse(
    chromium: Browser, server: Gunicorn, forgiven: list[str], request: pytest.FixtureRequest
) -> cabc.Iterator[Browse]:
    """Open another browser of another person. None may have complained at the end.

    Takes the options of `Browser.new_context`, and `chromium` for another program.
    """
    opened: list[tuple[BrowserContext, Watch]] = []

    def browse(chromium: Browser = chromium, **options: t.Any) -> BrowserContext:
        context = chromium.new_context(
            **{
                "base_url": f"http://127.0.0.1:{server.port}",
                "viewport": SIZES["desktop"],
                "locale": "en-US",
                "timezone_id": "UTC",
                "reduced_motion": "reduce",
                **options,
            }
        )
        context.set_default_timeout(PATIENCE)
        context.tracing.start(screenshots=True, snapshots=True)
        opened.append((context, Watch(context)))
        return context

    yield browse
    complaints = []
    for number, (context, watch) in enumerate(opened):
        found = watch.without(forgiven)
        if found or request.node.stash.get(_failed, False):
            _keep(context, f"{request.node.nodeid}-{number}")
        context.close()
        complaints += found
    assert complaints == []


@pytest.fixture
def context(browse: Browse) -> BrowserContext:
    """One browser."""
    return browse()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """One tab of it."""
    return context.new_page()


@pytest.fixture
def name() -> str:
    """A user's name that no other test has."""
    return f"Ada {next(_numbers)}"


def _keep(context: BrowserContext, name: str) -> None:
    """Keep a picture of every tab, and the trace."""
    KEPT.mkdir(exist_ok=True)
    stem = re.sub(r"[^\w.]+", "-", name)
    for number, page in enumerate(context.pages):
        page.screenshot(path=KEPT / f"{stem}-{number}.png", full_page=True)
    context.tracing.stop(path=KEPT / f"{stem}.zip")
