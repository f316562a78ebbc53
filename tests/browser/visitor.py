"""What visitors of the shop do again and again."""

from __future__ import annotations

import re
import typing as t

from playwright.sync_api import BrowserContext
from playwright.sync_api import Page
from playwright.sync_api import expect

PASSWORD: t.Final = "correct horse"
ADDRESS: t.Final = {
    "name": "Ada Lovelace",
    "street": "12 St James's Square",
    "postcode": "SW1Y 4JH",
    "city": "London",
    "note": "Please ring twice.",
}


def press(page: Page, name: str) -> None:
    """Press a button of the page's content."""
    page.get_by_role("main").get_by_role("button", name=name).click()


def register(page: Page, name: str) -> None:
    """Make an account, and be signed in."""
    page.goto("/register")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password, once more").fill(PASSWORD)
    press(page, "Make it")
    expect(page.get_by_text(f"Welcome, {name}.")).to_be_visible()


def sign_in(page: Page, name: str, *, stay: bool = False) -> None:
    page.goto("/sign-in")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Keep me signed in").set_checked(stay)
    press(page, "Sign in")
    expect(page.get_by_text(f"Good to see you, {name}.")).to_be_visible()


def sign_out(page: Page) -> None:
    page.get_by_role("navigation", name="You").get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()


def expect_stranger(page: Page) -> None:
    """The page asks who one is."""
    expect(page).to_have_url(re.compile(r"/sign-in\?next="))
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


def add_to_cart(page: Page, number: int, copies: int = 1) -> None:
    page.goto(f"/map/{number}")
    page.get_by_label("Copies").fill(str(copies))
    press(page, "Add to the cart")
    expect(page.get_by_role("heading", level=1)).to_have_text("Your cart")


def type_address(page: Page) -> None:
    """Fill in the address, and send nothing yet."""
    for name, value in ADDRESS.items():
        page.locator(f"#{name}").fill(value)


def begin_order(page: Page, number: int = 303) -> None:
    """Fill the cart and give an address: what is left is to order."""
    add_to_cart(page, number)
    page.get_by_role("link", name="To the checkout").click()
    type_address(page)
    press(page, "On to the review")
    expect(page.get_by_role("heading", level=1)).to_have_text("Is this right?")


def expect_ordered(page: Page) -> str:
    """The order is made: its number, as the buyer reads it."""
    expect(page.get_by_role("heading", level=1)).to_have_text("Thank you")
    return page.locator(".lead strong").inner_text()


def orders_made(page: Page) -> list[str]:
    """The numbers of all orders of this user, the newest first."""
    page.goto("/account")
    return page.locator(".order strong").all_inner_texts()


def session_cookie(context: BrowserContext) -> dict[str, t.Any]:
    """The one cookie that the shop sets."""
    (cookie,) = context.cookies()
    assert cookie.get("name") == "session"
    return dict(cookie)
