"""Signing in and out, seen from one browser with several tabs, and from several browsers."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser
from playwright.sync_api import BrowserContext
from playwright.sync_api import Page
from playwright.sync_api import expect

from tests.browser.conftest import Browse
from tests.browser.visitor import add_to_cart
from tests.browser.visitor import expect_stranger
from tests.browser.visitor import press
from tests.browser.visitor import register
from tests.browser.visitor import session_cookie
from tests.browser.visitor import sign_in
from tests.browser.visitor import sign_out

pytestmark = pytest.mark.browser

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604.1"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"


class TestCookie:
    def test_who_only_looks_is_given_none(self, context: BrowserContext, page: Page) -> None:
        page.goto("/")
        page.get_by_role("link", name="Skies", exact=True).first.click()
        expect(page.get_by_text("you were given no cookie")).to_be_visible()
        assert context.cookies() == []

    def test_it_is_out_of_reach_of_scripts_and_other_sites(
        self, context: BrowserContext, page: Page
    ) -> None:
        response = page.goto("/map/101")
        assert response is not None
        # Where it isn't said, the browser takes it for "Lax" all the same.
        assert "SameSite=Lax" in (response.header_value("set-cookie") or "")
        cookie = session_cookie(context)
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Lax"
        assert cookie["expires"] == -1
        assert len(cookie["value"]) == 36
        assert page.evaluate("[document.cookie, localStorage.length]") == ["", 0]

    def test_the_sign_in_changes_the_id_and_keeps_the_cart(
        self, browse: Browse, context: BrowserContext, page: Page, name: str
    ) -> None:
        register(browse().new_page(), name)
        add_to_cart(page, 101, 3)
        before = session_cookie(context)
        sign_in(page, name)
        assert session_cookie(context)["value"] != before["value"]
        expect(page.get_by_role("link", name="Cart")).to_have_text("Cart 3")
        thief = browse()
        thief.add_cookies([{**before}])  # type: ignore[typeddict-item]  # what it was when read
        stranger = thief.new_page()
        stranger.goto("/account")
        expect_stranger(stranger)

    def test_who_stays_signed_in_has_a_cookie_with_a_date(
        self, browse: Browse, context: BrowserContext, page: Page, name: str
    ) -> None:
        register(browse().new_page(), name)
        sign_in(page, name, stay=True)
        assert session_cookie(context)["expires"] > 0


class TestSignOut:
    def test_the_other_tab_is_signed_out_too(
        self, context: BrowserContext, page: Page, name: str
    ) -> None:
        register(page, name)
        other = context.new_page()
        other.goto("/account")
        sign_out(page)
        other.get_by_role("link", name="Your devices").click()
        expect_stranger(other)

    def test_back_and_reload_show_nothing_of_the_account(self, page: Page, name: str) -> None:
        register(page, name)
        page.goto("/account")
        expect(page.get_by_role("heading", level=1)).to_have_text(f"Hello, {name}")
        sign_out(page)
        page.go_back()
        expect_stranger(page)
        assert name not in page.content()
        page.reload()
        expect_stranger(page)

    def test_nor_does_a_browser_that_keeps_pages_alive(
        self, whole: Browser, browse: Browse, name: str
    ) -> None:
        """It would show such a page again without asking anybody."""
        page = browse(whole).new_page()
        register(page, name)
        page.goto("/account")
        sign_out(page)
        page.evaluate("setTimeout(() => history.back(), 0)")
        expect_stranger(page)
        assert name not in page.content()


class TestDevices:
    @pytest.fixture
    def desk(self, browse: Browse, name: str) -> Page:
        page = browse().new_page()
        register(page, name)
        return page

    def elsewhere(self, browse: Browse, name: str, agent: str) -> Page:
        """Another browser of the same user."""
        page = browse(user_agent=agent).new_page()
        sign_in(page, name)
        page.goto("/devices")
        return page

    def test_each_sees_both_and_ends_the_other(self, browse: Browse, desk: Page, name: str) -> None:
        phone = self.elsewhere(browse, name, IPHONE)
        desk.goto("/devices")
        for page in (desk, phone):
            expect(page.locator(".devices li")).to_have_count(2)
            expect(page.get_by_text("Safari on iPhone")).to_be_visible()
            expect(page.get_by_text("This device")).to_have_count(1)
        press(desk, "Sign out Safari on iPhone")
        expect(desk.get_by_text("Safari on iPhone is signed out.")).to_be_visible()
        expect(desk.locator(".devices li")).to_have_count(1)
        phone.get_by_role("link", name=name).click()
        expect_stranger(phone)

    def test_all_others_end_at_once(self, browse: Browse, desk: Page, name: str) -> None:
        others = [self.elsewhere(browse, name, agent) for agent in (IPHONE, WINDOWS)]
        desk.goto("/devices")
        press(desk, "Sign out all others")
        expect(desk.get_by_text("Signed out elsewhere: 2.")).to_be_visible()
        expect(desk.locator(".devices li")).to_have_count(1)
        for page in others:
            page.get_by_role("link", name=name).click()
            expect_stranger(page)
        desk.reload()
        expect(desk.get_by_text("This device")).to_be_visible()
