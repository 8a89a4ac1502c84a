"""What an operator reads of the rollup: who is deleveraged before whom, as of now, and what batches cost together."""

import re
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, expect

from prover.stf.constants import BUY
from tests.browser.chromium import tab
from tests.browser.played import Played
from tests.browser.quoted import Quoted
from tests.sequencer.node_process import Node
from tests.sequencer.node_world import ETH

INJECTED: Final = Path(__file__).parent / "injected"


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


# A node that has taken back some of what it had acknowledged.
_VOIDED: Final = """
  window.WebSocket = class extends WebSocket {
    set onmessage(take) {
      const changed = (text) => text.replaceAll('"has_voided":false', '"has_voided":true');
      super.onmessage = take && (({ data }) => take({ data: changed(data) }));
    }
  };
  const day = 86_400_000;
  const [then, until] = [Date.now() - 3 * day, Date.now() + day];
  const gone = { chunk: 3, slot: 5, order_id: null, expires_at_ms: until, voided_at_ms: then };
  lied.about.catenary_voided = () => [
    { ...gone, operation: "order", order_id: "0x0000120500000000abcdef", sequence: 7, send_again: "sign_anew" },
    { ...gone, operation: "withdraw", sequence: 8, send_again: "as_signed" },
    { ...gone, operation: "transfer", sequence: 9, send_again: "as_signed", expires_at_ms: 1 },
  ];
"""


def test_what_is_void_of_the_own_account_is_told_with_what_can_be_sent_again(browser: Browser, still: Quoted) -> None:
    own = Played(still.node, 100)
    with tab(browser, still.node.url) as found:
        own.enter(found)
        found.page.goto("/#/rollup")
        disputes = found.page.get_by_role("region", name="Disputes", exact=True)
        expect(disputes).to_contain_text("No batch of this venue has been proven wrong")
        expect(disputes.locator(".void")).to_have_count(0)
    with tab(browser, still.node.url) as found:
        own.enter(found)
        found.page.add_init_script(path=INJECTED / "lied.js")
        found.page.add_init_script(_VOIDED)
        found.page.goto("/#/rollup")
        disputes = found.page.get_by_role("region", name="Disputes", exact=True)
        expect(disputes).to_contain_text(f"Of account {own.account} this had been taken and is void")
        said = disputes.locator(".void li")
        anew = "send it anew if you still want it"
        expect(said.nth(0)).to_have_text(f"order abcdef, void 3 d ago: {anew}")
        expect(said.nth(1)).to_contain_text("withdraw, void 3 d ago: whoever has its signature may send it again until")
        expect(said.nth(2)).to_have_text(f"transfer, void 3 d ago: {anew}")


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
