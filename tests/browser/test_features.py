"""The pages with scripts of their own, and those without a mouse."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser
from playwright.sync_api import BrowserContext
from playwright.sync_api import Page
from playwright.sync_api import expect

from tests.browser.conftest import Browse
from tests.browser.faults import SIZES
from tests.browser.faults import faults
from tests.browser.visitor import press
from tests.browser.visitor import register
from tests.browser.visitor import sign_in
from tests.rig.gunicorn import Gunicorn

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def administrator(chromium: Browser, running: Gunicorn) -> str:
    """The name of the first account of this file's shop."""
    with chromium.new_context(base_url=f"http://127.0.0.1:{running.port}") as context:
        register(context.new_page(), "Grace")
    return "Grace"


class TestTwoTabs:
    @pytest.mark.parametrize(
        ("mode", "kind", "said"),
        [
            ("readonly", "", r"stayed at 0\. Each was refused"),
            ("merge", "bad", r"from 0 to \d; 6 was to be expected\. \d of 6 counts were lost"),
            ("exclusive", "good", r"from 0 to 6; 6 was to be expected\. None was lost"),
        ],
    )
    def test_each_mode_shows_what_it_does(
        self, browse: Browse, mode: str, kind: str, said: str
    ) -> None:
        page = browse(viewport=SIZES["phone"]).new_page()
        page.goto("/tabs")
        run = page.locator(f"[data-mode={mode}]")
        run.get_by_role("button").click()
        outcome = run.locator(".outcome")
        expect(outcome).to_have_text(re.compile(said))
        assert (outcome.get_attribute("class") or "").split() == ["outcome", *kind.split()]
        expect(run.locator(".track-row")).to_have_count(6)
        if mode == "exclusive":
            found = run.locator(".read").all_inner_texts()
            assert found == [f"{count} → {count + 1}" for count in range(6)]
        assert faults(page) == []

    def test_by_hand_the_second_tab_waits_for_the_first(
        self, context: BrowserContext, page: Page
    ) -> None:
        page.goto("/tabs")
        with context.expect_page() as opened:
            page.locator("a[href*='exclusive?tab=one']").click()
        first = opened.value
        with context.expect_page() as opened:
            page.locator("a[href*='exclusive?tab=two']").click()
        second = opened.value
        for tab in (first, second):
            tab.get_by_role("button", name="Read, work").click(no_wait_after=True)
        found = []
        for tab in (first, second):
            title = tab.get_by_role("heading", level=1)
            expect(title).to_contain_text("from")
            found.append(title.inner_text())
        assert sorted(text.partition(": ")[2] for text in found) == ["from 0 to 1", "from 1 to 2"]


class TestAdmin:
    @pytest.fixture
    def admin(self, administrator: str, page: Page) -> Page:
        """The page of numbers, whose clock stands."""
        sign_in(page, administrator)
        page.clock.install()
        page.goto("/admin")
        return page

    def test_the_numbers_refresh_themselves(self, browse: Browse, admin: Page) -> None:
        expect(admin.get_by_text("Refreshed every five seconds")).to_be_visible()
        active = admin.locator("[data-number=active]")
        count = int(active.inner_text())
        for _ in range(2):
            browse().new_page().goto("/map/101")
            count += 1
            admin.clock.run_for(5_000)
            expect(active).to_have_text(str(count))

    def test_they_stop_where_the_session_was_ended(
        self, browse: Browse, admin: Page, administrator: str
    ) -> None:
        other = browse().new_page()
        sign_in(other, administrator)
        other.goto("/devices")
        press(other, "Sign out all others")
        expect(other.get_by_text("Signed out elsewhere")).to_be_visible()
        admin.clock.run_for(5_000)
        expect(admin.get_by_text("No longer refreshed")).to_be_visible()


class TestKeyboard:
    FOCUS = """() => {
      const it = document.activeElement;
      const ring = (each) => each && getComputedStyle(each).outlineStyle !== "none";
      return [it.id || it.textContent.trim(), ring(it) || ring(it.closest(".card"))];
    }"""

    def tab_to(self, page: Page, wanted: str, most: int) -> list[str]:
        """Go on with the tab key alone; all that has the focus on the way can be seen to have it.

        :return: what was passed.
        """
        passed: list[str] = []
        for _ in range(most):
            page.keyboard.press("Tab")
            text, visible = page.evaluate(self.FOCUS)
            assert visible, f"the focus is nowhere to be seen: {text}"
            if text == wanted:
                return passed
            passed.append(text)
        raise AssertionError(f"{wanted} isn't among {passed}")

    def test_search_product_and_button_are_reached_in_order(self, page: Page) -> None:
        page.goto("/")
        passed = self.tab_to(page, "q", 5)
        assert passed == ["Skip to the content", "Isoline"]
        passed = self.tab_to(page, "Hethery and the Calf", 20)
        assert passed[0] == "Search"
        assert passed.index("Cart 0") < passed.index("Islands")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Hethery and the Calf")
        self.tab_to(page, "quantity", 20)
        page.keyboard.type("3")
        assert self.tab_to(page, "Add to the cart", 1) == []
        page.keyboard.press("Enter")
        expect(page.get_by_role("link", name="Cart")).to_have_text("Cart 3")

    def test_the_first_link_skips_to_the_content(self, page: Page) -> None:
        page.goto("/category/Islands")
        assert self.tab_to(page, "Skip to the content", 1) == []
        expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
        page.keyboard.press("Enter")
        assert self.tab_to(page, "Hethery and the Calf", 1) == []
