"""What is said covers nothing and leaves when it should; the keyboard is never lost."""

import re
from collections.abc import Iterator
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import NARROW, WIDE, tab
from tests.browser.played import Played
from tests.browser.quoted import Quoted
from tests.browser.test_views import show

SAY: Final = """async ([kind, title, detail]) => {
  const base = document.querySelector('script[type=module]').src;
  (await import(base.replace('app.js', 'parts/toast.js'))).say(kind, title, detail);
}"""
LONG: Final = "The free collateral does not cover it: what is asked for is more than the account may take. " * 2
# Which of the view's parts a message lies over.
COVERS: Final = """() => {
  const boxes = [...document.querySelectorAll('.toast')].map((one) => one.getBoundingClientRect());
  return [...document.querySelectorAll('main .panel, main .sheet-bar')].filter((part) => {
    const { left, right, top, bottom } = part.getBoundingClientRect();
    return boxes.some((box) => box.left < right && box.right > left && box.top < bottom && box.bottom > top);
  }).map((part) => part.className);
}"""
NOWHERE: Final = "() => document.activeElement === document.body"


@pytest.fixture(scope="module")
def owner(still: Quoted) -> Played:
    """Somebody with 1,000 dollars."""
    return Played(still.node, 1_000)


@pytest.fixture(params=[WIDE, NARROW], ids=["wide", "narrow"])
def page(request: pytest.FixtureRequest, browser: Browser, still: Quoted, owner: Played) -> Iterator[Page]:
    """The trade view."""
    with tab(browser, still.node.url, size=request.param) as found:
        owner.enter(found)
        show(found, "trade/BTC")
        expect(found.page.locator(".connect > button")).to_contain_text("play money")
        yield found.page


def test_what_is_said_covers_nothing_and_what_went_wrong_stays(page: Page) -> None:
    region = page.get_by_role("status").and_(page.locator(".toasts"))
    before = region.element_handle()
    page.evaluate(SAY, ["wrong", "Not taken", LONG])
    page.evaluate(SAY, ["wrong", "Not taken", LONG])
    page.evaluate(SAY, ["done", "Cancelled", "buy BTC"])
    # The same is said once; nothing of the view lies below it.
    expect(page.locator(".toast")).to_have_count(2)
    assert page.evaluate(COVERS) == []

    expect(page.locator(".toast.done")).to_have_count(0)
    expect(page.locator(".toast.wrong")).to_have_count(1)
    page.get_by_role("button", name="Put away: Not taken").press("Enter")
    expect(page.locator(".toast")).to_have_count(0)
    # One region hears all of it.
    assert region.evaluate("(now, before) => now === before", before)


def test_who_points_at_a_message_keeps_it(page: Page) -> None:
    page.evaluate(SAY, ["done", "The first", ""])
    page.locator(".toast", has_text="The first").hover()
    page.evaluate(SAY, ["done", "The second", ""])
    expect(page.locator(".toast", has_text="The second")).to_have_count(0)
    expect(page.locator(".toast", has_text="The first")).to_have_count(1)
    page.mouse.move(5, 500)
    expect(page.locator(".toast")).to_have_count(0)


def test_escape_puts_a_message_away_before_it_empties_the_form(page: Page) -> None:
    if page.locator(".sheet-bar").is_visible():
        page.get_by_role("button", name="Buy BTC").click()
    size = page.get_by_role("textbox", name="Size", exact=True)
    size.fill("0.01")
    page.evaluate(SAY, ["wrong", "Not taken", LONG])
    # In a field it leaves the field alone, for the form around it.
    size.press("Escape")
    expect(page.locator(".toast")).to_have_count(1)
    expect(page.get_by_role("form", name="Order")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".toast")).to_have_count(0)
    expect(size).to_have_value("0.01")
    page.keyboard.press("Escape")
    if page.locator(".sheet-bar").is_visible():
        expect(page.locator(".sheet-bar button.buy")).to_be_focused()
    else:
        expect(size).to_have_value("")
    assert not page.evaluate(NOWHERE)


@pytest.mark.parametrize("key", ["Enter", "click"])
def test_a_sent_order_leaves_the_keyboard_where_the_next_begins(page: Page, still: Quoted, key: str) -> None:
    is_sheet = page.locator(".sheet-bar").is_visible()
    if is_sheet:
        page.get_by_role("button", name="Buy BTC").click()
    size = page.get_by_role("textbox", name="Size", exact=True)
    page.get_by_role("textbox", name=re.compile("^Price")).fill("50000")
    size.fill("0.001")
    place = page.locator("button.place")
    expect(place).to_be_enabled()
    if key == "Enter":
        size.press("Enter")
    else:
        place.press("Enter")
    expect(page.locator(".toasts")).to_contain_text("Buy BTC: resting")
    expect(page.locator(".sheet-bar button.buy") if is_sheet else size).to_be_focused()


def test_what_is_closed_gives_the_keyboard_back(page: Page) -> None:
    opener = page.locator(".connect > button")
    opener.press("Enter")
    sheet = page.get_by_role("dialog", name="Who trades here")
    expect(sheet).to_be_focused()
    # A button that goes with what it did leaves it to the sheet.
    sheet.get_by_role("button", name="Disconnect").press("Enter")
    expect(sheet.get_by_role("button", name=re.compile("^Go on with"))).to_be_visible()
    expect(sheet).to_be_focused()
    page.keyboard.press("Escape")
    expect(opener).to_be_focused()


def test_the_keys_give_the_keyboard_back(browser: Browser, still: Quoted) -> None:
    with tab(browser, still.node.url) as found:
        show_keys = found.page.get_by_role("button", name="Keys")
        found.page.goto("/#/trade/BTC")
        show_keys.press("Enter")
        expect(found.page.get_by_role("dialog", name="Keys")).to_be_focused()
        found.page.keyboard.press("Escape")
        expect(show_keys).to_be_focused()
