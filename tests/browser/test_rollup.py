"""What an operator reads of the rollup: who is deleveraged before whom, as of now, and what batches cost together."""

import re

from playwright.sync_api import Browser, expect

from prover.stf.constants import BUY
from tests.browser.chromium import tab
from tests.browser.played import Played
from tests.browser.quoted import Quoted
from tests.sequencer.node_process import Node
from tests.sequencer.node_world import ETH


def test_ranks_are_listed_and_follow_prices_without_a_reload(browser: Browser, still: Quoted) -> None:
    own, other = Played(still.node, 1_000), Played(still.node, 1_000)
    own.take(ETH, BUY, 200_000)
    other.take(ETH, BUY, 400_000)
    price = still.prices[ETH]
    with tab(browser, still.node.url) as found:
        own.enter(found)
        found.page.goto("/#/rollup")
        places = found.page.get_by_role("region", name="Table: Insurance funds and ranks")
        ranks = found.page.get_by_role("region", name="Table: Deleveraging ranks")
        # Bought at the ask, neither has gained.
        expect(places.get_by_role("row", name="ETH")).to_contain_text("long, in no line")
        found.page.get_by_label("Market", exact=True).select_option("ETH")
        expect(found.page.locator(".area-ranks")).to_contain_text("No long position in ETH has gained")

        still.prices[ETH] = price * 101 // 100
        expect(places.get_by_role("row", name="ETH")).to_contain_text("long, place 2")
        expect(ranks.locator("tr.own")).to_contain_text(f"{own.account} · yours")
        expect(ranks.locator("tbody tr").first.locator("td").nth(1)).to_have_text(str(other.account))
        found.page.get_by_label("Side", exact=True).select_option("short")
        expect(ranks.locator("tr.own")).to_have_count(0)
        found.page.get_by_label("Side", exact=True).select_option("long")

        still.prices[ETH] = price
        expect(places.get_by_role("row", name="ETH")).to_contain_text("long, in no line")
        expect(found.page.locator(".area-ranks")).to_contain_text("No long position in ETH has gained")


def test_what_batches_cost_is_added_up(browser: Browser, venue: Node) -> None:
    trader = Played(venue, 300)
    trader.take(0, BUY, 100_000)
    with tab(browser, venue.url) as found:
        trader.enter(found)
        found.page.goto("/#/rollup")
        batches = found.page.get_by_role("region", name="Table: Batches")
        expect(batches.locator("tbody tr").nth(1).locator("td").nth(5)).to_have_text(re.compile(r"^[\d,]{5,}$"))
        found.page.get_by_role("button", name="Add up what they cost").click()
        sum_of_all = found.page.locator(".sum [role=status]")
        expect(sum_of_all).to_contain_text(re.compile(r"^0\.\d+ ether, [\d,]{5,} gas: (All|The newest) \d+ batches\."))
        expect(sum_of_all).to_contain_text("The last 24 hours: 0.")
