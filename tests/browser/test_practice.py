"""Practice from end to end: six buttons, and what each is there to show."""

import re
from collections.abc import Iterator
from decimal import Decimal

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.chromium import NARROW, WIDE, tab
from tests.sequencer.node_process import Node


def exact(card: Locator, title: str) -> list[Decimal]:
    """The dollars beside a title to the last digit, as they stand behind each number: cents are rounded."""
    numbers = card.locator("dl > div", has=card.page.get_by_text(title, exact=True)).locator("dd .number[title]")
    numbers.first.wait_for()
    told = [one.get_attribute("title") or "" for one in numbers.all()]
    return [Decimal(text.removesuffix(" dollars").replace(",", "").replace("−", "-")) for text in told]


@pytest.fixture(params=[WIDE, NARROW], ids=["1440", "390"])
def page(request: pytest.FixtureRequest, browser: Browser, venue: Node) -> Iterator[Page]:
    """A first visitor's, on a desk and on a phone."""
    with tab(browser, venue.url, size=request.param) as found:
        yield found.page


def test_six_buttons_lead_from_nothing_to_the_exit(page: Page) -> None:
    page.goto("/#/learn")
    told: list[str] = []
    button = page.locator(".practice-step.current button.main")
    while (step := page.locator(".practice-step.current h3")).count():
        title = step.inner_text()
        if title.startswith("2."):
            # Each of its two orders is drawn over the pool before it is sent.
            for what in ("with BTC bought", "with ETH sold"):
                expect(page.locator(".pool-strip")).to_contain_text(what)
                expect(page.locator(".practice-pool .outline").first).to_be_attached()
                expect(button).to_be_focused()
                button.click()
        else:
            button.click()
        expect(page.locator(".practice-told").first).to_be_visible()
        told += page.locator(".practice-told").all_inner_texts()
        expect(button).to_be_focused()
        # Also on a phone, below the margin call that has come in above it.
        expect(button).to_be_in_viewport(ratio=1)
        button.click()
        expect(step.filter(has_text=title)).to_have_count(0)

    # Who pressed the last button reads on where it was.
    expect(page.locator(".practice-end")).to_be_focused()
    for sentence in (
        r"Account \d+ is yours",
        r"BTC bought, worth \$[\d,.]+; \$[\d,.]+ of the pool has to stay",
        r"BTC −[\d.]+, ETH \+[\d.]+",
        r"Margin call at \d+%",
        r"[\d.]+ BTC closed at [\d,.]+",
        r"[\d.]+% of the equity before it is still there",
        r"\$[\d.]+ are back at your address on L1",
    ):
        assert [one for one in told if re.search(sentence, one)], (sentence, told)

    # What the exit has cost stands beside what there was and what was left.
    page.goto("/#/pool")
    card = page.get_by_role("article", name=re.compile("^forced close")).first
    before, left = exact(card, "Equity before, and left")
    assert exact(card, "What it cost, the price of asking nobody") == [before - left]
