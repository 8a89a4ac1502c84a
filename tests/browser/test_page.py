"""The page as a first visitor finds it: nothing is complained of, and what the node tells is shown."""

from playwright.sync_api import expect

from tests.browser.chromium import Tab
from tests.sequencer.node_process import Node


def test_it_shows_the_venue_without_a_complaint(opened: Tab, venue: Node) -> None:
    opened.page.goto("/")

    expect(opened.page.locator("#page")).to_contain_text("BTC")
    for view in ("Pool", "Rollup", "Learn", "Trade"):
        link = opened.page.get_by_role("navigation").get_by_role("link", name=view, exact=True)
        link.click()
        expect(link).to_have_attribute("aria-current", "page")


def test_nothing_else_is_asked(opened: Tab, venue: Node) -> None:
    asked: set[str] = set()
    opened.page.on("request", lambda request: asked.add(request.url.split("/page/")[0].split("#")[0]))
    opened.page.goto("/")
    expect(opened.page.locator("#page")).to_contain_text("BTC")

    assert {url.rstrip("/") for url in asked} - {venue.l1_url} <= {venue.url}
