"""What is shown is read without a doubt: one sign of loss, words over what is drawn, no empty bands in a thin book."""

from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, expect

from prover.stf.constants import BUY, SELL
from tests.browser.chromium import NARROW, WIDE, tab
from tests.browser.played import Played
from tests.browser.test_views import VIEWS, show
from tests.sequencer.node_process import Node

INJECTED: Final = Path(__file__).parent / "injected"
# Every text and title of the page that holds such a sign before a number.
SIGNED: Final = """(sign) => {
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walk.nextNode()) found.push(walk.currentNode.textContent);
  for (const one of document.querySelectorAll("[title]")) found.push(one.title);
  return found.filter((text) => new RegExp(`(^|[\\\\s(\\\\[])${sign}[$\\\\d]`).test(text));
}"""
# The words of a picture: what lies over the middle of each, and which of them overlap.
COVERED: Final = """(picture) => {
  const words = [...picture.querySelectorAll("text")];
  const boxes = words.map((one) => one.getBoundingClientRect());
  const over = words.filter((one, at) => {
    const { x, y, width, height } = boxes[at];
    return document.elementFromPoint(x + width / 2, y + height / 2) !== one;
  });
  const cross = words.filter((_, a) => boxes.some((other, b) => a < b && boxes[a].left < other.right
    && boxes[a].right > other.left && boxes[a].top < other.bottom && boxes[a].bottom > other.top));
  return { words: words.map((one) => one.textContent), covered: [...over, ...cross].map((one) => one.textContent) };
}"""


@pytest.fixture(scope="module")
def trader(venue: Node) -> Played:
    """Two positions, one pool."""
    found = Played(venue, 200)
    found.take(0, BUY, 500_000)
    found.take(1, SELL, 400_000)
    return found


def test_what_is_below_zero_has_one_sign_everywhere(browser: Browser, venue: Node, trader: Played) -> None:
    with tab(browser, venue.url) as found:
        trader.enter(found)
        signed: list[str] = []
        for view in VIEWS:
            show(found, view)
            # The spread that was paid is a loss from the first moment on.
            expect(found.page.locator("body")).to_contain_text("account")
            signed += found.page.evaluate(SIGNED, "−")
            assert found.page.evaluate(SIGNED, "-") == [], view
        assert signed


def told(page: Page, change: str) -> None:
    """The account as a test has it, from here on."""
    page.evaluate("() => wire.opened('account:')")
    page.evaluate(
        f"""async () => {{
          wire.takeOver();
          const channel = [...wire.channels.keys()].find((name) => name.startsWith("account:"));
          const seen = structuredClone(wire.channels.get(channel).snapshot);
          ({change})(seen);
          wire.tell(channel, seen);
          await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
        }}"""
    )


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_the_pools_words_stand_over_what_is_drawn(
    browser: Browser, venue: Node, trader: Played, size: tuple[int, int]
) -> None:
    with tab(browser, venue.url, size=size) as found:
        trader.enter(found)
        found.page.add_init_script(path=INJECTED / "wire.js")
        show(found, "pool")
        # A loss that eats a gain whole, and a part of the collateral.
        told(
            found.page,
            """(seen) => {
              Object.assign(seen, { collateral_micros: "200000000", equity_micros: "140000000" });
              const [btc, eth] = seen.positions;
              [btc.unrealised_micros, eth.unrealised_micros] = ["-110000000", "50000000"];
            }""",
        )
        picture = found.page.locator(".area-pool .pool-picture")
        expect(picture.locator("text", has_text="−110")).to_be_visible()
        shown: dict[str, Any] = picture.evaluate(COVERED)
        assert len(shown["words"]) >= 5
        assert shown["covered"] == []


def test_a_call_that_has_eased_says_so(browser: Browser, venue: Node, trader: Played) -> None:
    with tab(browser, venue.url) as found:
        trader.enter(found)
        found.page.add_init_script(path=INJECTED / "wire.js")
        show(found, "pool")
        told(found.page, "(seen) => Object.assign(seen, { margin_ratio_ppm: 775000, margin_call_percent: 80 })")
        expect(found.page.get_by_role("alert")).to_contain_text(
            "Margin call at 80%. What has to stay was 80% of this account's equity, and has eased to 77.5%. "
            "The call ends below 75%"
        )


def test_a_thin_book_has_no_empty_bands(browser: Browser, venue: Node) -> None:
    with tab(browser, venue.url) as found:
        show(found, "trade/BTC")
        # The maker's five a side.
        expect(found.page.locator(".depth tbody:not(.middle) tr:not(.empty)")).to_have_count(10)
        expect(found.page.locator(".depth tr.empty")).to_have_count(0)
