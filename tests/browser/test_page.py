"""The page as a first visitor finds it: nothing is complained of, and what the node tells is shown."""

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.chromium import Tab, tab
from tests.sequencer.node_process import Node


def test_it_shows_the_venue_without_a_complaint(opened: Tab, venue: Node) -> None:
    opened.page.goto("/")

    expect(opened.page.locator("#page")).to_contain_text("BTC")
    for view in ("Pool", "Rollup", "Learn", "Trade"):
        link = opened.page.get_by_role("navigation").get_by_role("link", name=view, exact=True)
        link.click()
        expect(link).to_have_attribute("aria-current", "page")


def test_an_account_of_another_venue_is_said_to_be_unknown(opened: Tab) -> None:
    opened.page.add_init_script(
        "localStorage.getItem('catenary.account') ?? localStorage.setItem('catenary.account', '99999')"
    )
    opened.page.goto("/#/pool")
    main = opened.page.locator("main")
    expect(main).to_contain_text("There is no account 99999 on this venue.")
    main.get_by_role("button", name="Look at none").click()
    expect(main).to_contain_text("No account yet")


def test_nothing_else_is_asked(opened: Tab, venue: Node) -> None:
    asked: set[str] = set()
    opened.page.on("request", lambda request: asked.add(request.url.split("/page/")[0].split("#")[0]))
    opened.page.goto("/")
    expect(opened.page.locator("#page")).to_contain_text("BTC")

    assert {url.rstrip("/") for url in asked} - {venue.l1_url} <= {venue.url}


def broken(browser: Browser, venue: Node) -> None:
    """A page that says that all is well, misses a file and throws."""
    with tab(browser, venue.url) as found:
        found.page.goto("/")
        found.page.route("**/missed", lambda route: route.abort("connectionfailed"))
        found.page.evaluate(
            """async () => {
              console.info("all is well");
              await fetch("/missed").catch(() => {});
              setTimeout(() => { throw new Error("broken"); });
              await new Promise((passed) => setTimeout(passed, 1));
            }"""
        )
        assert [line.splitlines()[0] for line in found.complaints] == [
            f"failed: GET {venue.url}/missed net::ERR_CONNECTION_FAILED",
            "error: Failed to load resource: net::ERR_CONNECTION_FAILED",
            "thrown: Error: broken",
        ]
        assert "info: all is well" in found.told
        found.excused = ["CONNECTION_FAILED"]


def test_what_a_page_says_and_misses_is_remembered(browser: Browser, venue: Node) -> None:
    with pytest.raises(AssertionError, match="thrown: Error: broken") as failed:
        broken(browser, venue)
    assert "CONNECTION_FAILED" not in str(failed.value)


def test_an_l1_answer_without_a_result_is_none(opened: Tab, venue: Node) -> None:
    opened.page.route(f"{venue.l1_url}/", lambda route: route.fulfill(json={"jsonrpc": "2.0", "id": 1}))
    opened.page.goto("/")
    refused = opened.page.evaluate(
        """async () => {
          const { askL1 } = await import(document.querySelector("script[type=module]").src.replace("app.js", "l1.js"));
          return askL1("eth_getTransactionReceipt", ["0x"]).then(String, (error) => error.name);
        }"""
    )
    assert refused == "NO_RESULT"
