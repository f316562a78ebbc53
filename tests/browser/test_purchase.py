"""From the catalogue to an order, whatever visitor and server do in between."""

from __future__ import annotations

import re
import time
import typing as t

import pytest
from playwright.sync_api import BrowserContext
from playwright.sync_api import Page
from playwright.sync_api import expect

from tests.browser.conftest import Browse
from tests.browser.visitor import ADDRESS
from tests.browser.visitor import add_to_cart
from tests.browser.visitor import begin_order
from tests.browser.visitor import expect_ordered
from tests.browser.visitor import orders_made
from tests.browser.visitor import press
from tests.browser.visitor import register
from tests.browser.visitor import sign_in
from tests.browser.visitor import sign_out
from tests.browser.visitor import type_address
from tests.rig.gunicorn import Gunicorn

pytestmark = pytest.mark.browser

BOTH_AT_ONCE: t.Final = """async (form) => {
  const send = () => fetch(form.action, {method: "POST", body: new FormData(form)});
  const answers = await Promise.all([send(), send()]);
  return answers.map((answer) => [answer.status, new URL(answer.url).pathname]);
}"""


SUBMIT_AT: t.Final = """(moment) => {
  const form = document.querySelector("main form");
  setTimeout(() => form.requestSubmit(), moment - Date.now());
}"""

ADD_AT: t.Final = """([moment, numbers]) => {
  const body = () => new FormData(document.querySelector("form.buy"));
  const add = (number) => fetch(`/cart/${number}/add`, {method: "POST", body: body()});
  const addAll = async () => {
    await Promise.all(numbers.map(add));
    document.title = "all are added";
  };
  setTimeout(addAll, moment - Date.now());
}"""


def heading(page: Page, text: str) -> None:
    """The page has this heading."""
    expect(page.get_by_role("heading", level=1)).to_have_text(text)


def test_a_purchase_survives_a_restart_of_the_server(page: Page, server: Gunicorn) -> None:
    """All that was done before is in the session, and so is the token of the form."""
    page.goto("/")
    page.get_by_role("link", name="Ringhaven").click()
    page.get_by_label("Copies").fill("2")
    press(page, "Add to the cart")
    expect(page.get_by_text("is in your cart")).to_be_visible()
    page.get_by_role("link", name="To the checkout").click()
    heading(page, "Where shall it go?")
    type_address(page)
    server.stop()
    server.start()
    press(page, "On to the review")
    heading(page, "Is this right?")
    expect(page.locator("address")).to_contain_text(ADDRESS["street"])
    expect(page.locator("aside .summary td").nth(1)).to_have_text(re.compile("2$"))
    server.restart()
    press(page, "Order for")
    assert re.fullmatch(r"ISO-\d{5}", expect_ordered(page))
    expect(page.get_by_role("link", name="Cart")).to_have_text("Cart 0")


def test_reload_and_back_in_the_middle_lose_nothing_and_order_nothing(
    page: Page, name: str
) -> None:
    register(page, name)
    begin_order(page)
    page.reload()
    heading(page, "Is this right?")
    page.go_back()
    heading(page, "Where shall it go?")
    for field, value in ADDRESS.items():
        expect(page.locator(f"#{field}")).to_have_value(value)
    page.reload()
    expect(page.locator("#street")).to_have_value(ADDRESS["street"])
    page.locator("#street").fill("Elsewhere 1")
    press(page, "On to the review")
    expect(page.locator("address")).to_contain_text("Elsewhere 1")
    press(page, "Order for")
    number = expect_ordered(page)
    page.reload()
    assert expect_ordered(page) == number
    page.go_back()
    heading(page, "Your cart")
    expect(page.get_by_text("nothing to order")).to_be_visible()
    assert orders_made(page) == [number]


def test_a_double_click_orders_once(page: Page, name: str) -> None:
    register(page, name)
    begin_order(page)
    page.get_by_role("button", name="Order for").dblclick()
    number = expect_ordered(page)
    assert orders_made(page) == [number]


def test_the_same_form_sent_twice_at_once_orders_once(page: Page, name: str) -> None:
    """Where the browser itself holds nothing back."""
    register(page, name)
    begin_order(page)
    form = page.get_by_role("main").locator("form")
    assert form.evaluate(BOTH_AT_ONCE) == [[200, "/checkout/done"]] * 2
    assert len(orders_made(page)) == 1


def test_two_tabs_that_order_the_same_order_once(
    context: BrowserContext, page: Page, name: str
) -> None:
    register(page, name)
    begin_order(page)
    other = context.new_page()
    other.goto("/checkout/review")
    moment = 1000 * time.time() + 100
    for tab in (page, other):
        tab.evaluate(SUBMIT_AT, moment)
    number = expect_ordered(page)
    assert expect_ordered(other) == number
    assert orders_made(page) == [number]


def test_what_two_tabs_put_into_the_cart_is_all_in_it(context: BrowserContext, page: Page) -> None:
    """Three maps of each at the same moment: enough for some to overlap, whoever is quicker."""
    other = context.new_page()
    page.goto("/map/106")  # there is a session before there are two tabs of it
    wanted = {page: [101, 102, 103], other: [201, 202, 203]}
    for number in (301, 302, 303):
        for tab in wanted:
            tab.goto("/map/106")
        moment = 1000 * time.time() + 100  # in milliseconds: both at once, and both in time
        for tab, maps in wanted.items():
            tab.evaluate(ADD_AT, [moment, [*maps, number]])
        for tab in wanted:
            expect(tab).to_have_title("all are added")
    page.goto("/cart")
    inputs = page.locator(".lines input[type=number]")
    found = {each.get_attribute("id"): each.input_value() for each in inputs.all()}
    theirs = {f"many-{number}": "3" for maps in wanted.values() for number in maps}
    both = {f"many-{number}": "2" for number in (301, 302, 303)}
    assert found == {**theirs, **both}


def test_a_tab_that_is_behind_changes_only_what_it_touches(
    context: BrowserContext, page: Page
) -> None:
    add_to_cart(page, 101)
    add_to_cart(page, 201)
    behind = context.new_page()
    behind.goto("/cart")
    press(page, "Remove Hethery and the Calf")
    expect(page.locator(".lines li")).to_have_count(1)
    behind.locator("#many-201").fill("7")
    behind.locator("#many-201").press("Enter")
    expect(behind.locator(".lines li")).to_have_count(1)
    expect(behind.locator("#many-201")).to_have_value("7")


def test_a_cart_that_another_tab_has_changed_is_looked_at_once_more(
    context: BrowserContext, page: Page
) -> None:
    begin_order(page)
    add_to_cart(context.new_page(), 101)
    press(page, "Order for")
    heading(page, "Is this right?")
    expect(page.get_by_text("Your cart has changed")).to_be_visible()
    press(page, "Order for")
    expect_ordered(page)


def test_all_of_it_works_without_javascript(browse: Browse, name: str) -> None:
    """Signing in and out included."""
    page = browse(java_script_enabled=False).new_page()
    page.goto("/")
    page.get_by_role("searchbox").fill("lighthouse")
    page.get_by_role("searchbox").press("Enter")
    page.get_by_role("link", name="Isle of Lanterns").click()
    press(page, "Add to the cart")
    register(page, name)
    sign_out(page)
    sign_in(page, name)
    begin_order(page)
    press(page, "Order for")
    number = expect_ordered(page)
    assert orders_made(page) == [number]
    page.goto("/tabs")
    shown = page.get_by_role("main").inner_text()
    assert "Without JavaScript nothing can be sent" in shown
    assert "Send six requests" not in shown
