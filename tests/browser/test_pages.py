"""Every page, in a wide window and in a narrow one."""

from __future__ import annotations

import typing as t

import pytest
from playwright.sync_api import Browser
from playwright.sync_api import Page
from playwright.sync_api import Response
from playwright.sync_api import StorageState
from playwright.sync_api import expect

from tests.browser.conftest import Browse
from tests.browser.faults import SIZES
from tests.browser.faults import faults
from tests.browser.visitor import add_to_cart
from tests.browser.visitor import begin_order
from tests.browser.visitor import expect_ordered
from tests.browser.visitor import press
from tests.browser.visitor import register
from tests.browser.visitor import sign_in
from tests.browser.watch import Watch
from tests.rig.gunicorn import Gunicorn

pytestmark = pytest.mark.browser

LONG_NAME: t.Final = "Wolfeschlegelsteinhausenbergerdorff-Ada"
LONG_WORD: t.Final = "Donaudampfschifffahrtsgesellschaftskapitaensmuetzen"

SHOWN_TO_A_STRANGER: t.Final = {
    "/": 200,
    "/cart": 200,
    "/checkout/address": 200,  # leads to the cart, and says why
    "/search": 200,
    "/sign-in?next=/account": 200,
    "/register": 200,
    "/nowhere": 404,
    "/sign-out": 405,
}

SHOWN_TO_A_CUSTOMER: t.Final = (
    *("/", "/category/Skies", "/map/102", "/search?q=the", f"/search?q={LONG_WORD}"),
    *("/cart", "/checkout/address", "/checkout/review", "/checkout/done"),
    *("/account", "/devices", "/admin", "/tabs", "/tabs/by-hand/exclusive?tab=two"),
    *("/source", "/source/checkout.py", "/source/tabs.js"),
)


@pytest.fixture(scope="module")
def customer(chromium: Browser, running: Gunicorn) -> StorageState:
    """Somebody with a long name who has everything: orders, a cart, a second device, the shop."""
    with chromium.new_context(base_url=f"http://127.0.0.1:{running.port}") as context:
        page = context.new_page()
        register(page, LONG_NAME)
        begin_order(page)
        press(page, "Order for")
        expect_ordered(page)
        for number in (101, 201, 301, 401):
            add_to_cart(page, number, 20)
        begin_order(page, 102)
        state = context.storage_state()
    with chromium.new_context(base_url=f"http://127.0.0.1:{running.port}") as context:
        sign_in(context.new_page(), LONG_NAME)
    return state


def check(page: Page, response: Response | None, status: int = 200) -> None:
    """Strict, and without fault."""
    assert response is not None
    assert response.status == status
    policy = response.header_value("content-security-policy") or ""
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert "*" not in policy
    assert response.header_value("cache-control") == "no-store"
    assert page.title().endswith(" · Isoline")
    assert faults(page) == []


@pytest.mark.parametrize("path", SHOWN_TO_A_STRANGER)
def test_a_stranger_sees_a_page_without_fault(
    browse: Browse, path: str, forgiven: list[str]
) -> None:
    status = SHOWN_TO_A_STRANGER[path]
    if status != 200:
        forgiven.append(f"the server responded with a status of {status}")
    for size in SIZES.values():
        page = browse(viewport=size).new_page()
        check(page, page.goto(path), status)


@pytest.mark.parametrize("path", SHOWN_TO_A_CUSTOMER)
def test_a_customer_sees_a_page_without_fault(
    browse: Browse, customer: StorageState, path: str
) -> None:
    for size in SIZES.values():
        page = browse(viewport=size, storage_state=customer).new_page()
        check(page, page.goto(path))
        if "/source" not in path:
            expect(page.get_by_role("navigation", name="You")).to_contain_text(LONG_NAME)


def test_who_is_not_the_administrator_sees_a_page_without_fault(
    browse: Browse, customer: StorageState, name: str, forgiven: list[str]
) -> None:
    forgiven.append("the server responded with a status of 403")
    for number, size in enumerate(SIZES.values()):
        page = browse(viewport=size).new_page()
        register(page, f"{name} {number}")
        check(page, page.goto("/admin"), 403)


@pytest.mark.parametrize("size", SIZES)
def test_a_form_that_is_wrong_says_so_without_fault(browse: Browse, size: str) -> None:
    page = browse(viewport=SIZES[size]).new_page()
    add_to_cart(page, 102)
    for path, button, wrong in (
        ("/checkout/address", "On to the review", 4),
        ("/sign-in", "Sign in", 2),
        ("/register", "Make it", 2),
    ):
        page.goto(path)
        with page.expect_navigation() as navigation:
            press(page, button)
        check(page, navigation.value)
        expect(page.locator("[aria-invalid=true]")).to_have_count(wrong)
        expect(page.locator(".wrong")).to_have_count(wrong)


def test_faults_are_found(page: Page) -> None:
    """What the tests above look for would be seen."""
    page.set_content(
        '<title> </title><h1>One</h1><h1>Two</h1><input name="q"><img src="data:,">'
        '<div style="width: 3000px">wide</div>'
    )
    wide, *others = faults(page)
    assert wide.endswith("pixels too wide")
    assert others == ["no title", "2 h1", "no label: q", "broken image: data:,"]


def test_complaints_are_heard(chromium: Browser) -> None:
    """A page that calls for help, fails and is blocked would be noticed."""
    body = "<script>console.error('help'); setTimeout(() => {throw new Error('failed')})</script>"
    with chromium.new_context() as context:
        watch = Watch(context)
        context.route(
            "http://shop.test/",
            lambda route: route.fulfill(
                body=f"{body}<img src=/x.png>",
                content_type="text/html",
                headers={"Content-Security-Policy": "img-src 'none'"},
            ),
        )
        with context.expect_event("weberror"):
            context.new_page().goto("http://shop.test/")
    assert "error: help" in watch.complaints
    assert "violation: img-src http://shop.test/x.png" in watch.complaints
    (uncaught,) = watch.without(["error:", "violation:"])
    assert uncaught.startswith("uncaught:")
    assert "failed" in uncaught
