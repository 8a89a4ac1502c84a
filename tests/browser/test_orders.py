"""What an order is, until when it lives, and how it ended is said in words, before and after."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.chromium import Tab, tab
from tests.browser.played import Played
from tests.browser.quoted import Quoted
from tests.browser.test_shown import told
from tests.sequencer.node_process import PRICES

INJECTED: Final = Path(__file__).parent / "injected"
DAY_MS: Final = 86_400_000


@pytest.fixture
def found(browser: Browser, still: Quoted) -> Iterator[Tab]:
    """Somebody with 1,000 dollars, at the form for BTC."""
    still.around(0)
    with tab(browser, still.node.url) as found:
        Played(still.node, 1_000).enter(found)
        yield found


def begin(found: Tab) -> Page:
    """The trade view, its owner in."""
    found.page.goto("/#/trade/BTC")
    expect(found.page.locator(".connect > button")).to_contain_text("play money")
    return found.page


def fill(page: Page, **fields: str) -> None:
    """The order form, and its button."""
    form = page.get_by_role("form", name="Order")
    for name, text in fields.items():
        if name == "side":
            form.get_by_role("button", name=text, exact=True).click()
        elif name == "kind":
            form.locator("#order-kind").select_option(text)
        else:
            form.locator(f"#order-{name}").fill(text)
    place = page.locator("button.place")
    expect(place).to_be_enabled()
    place.click()
    expect(page.get_by_role("textbox", name="Size", exact=True)).to_have_value("")


def stop(page: Page) -> None:
    """A position, and a stop behind it."""
    fill(page, side="Buy", kind="market", size="0.01")
    fill(page, side="Sell", kind="stop", trigger="59000", size="0.01")


def account(page: Page) -> int:
    return int(page.evaluate("JSON.parse(localStorage.getItem('catenary.account'))"))


def table(page: Page, name: str) -> Locator:
    page.get_by_role("tab", name=re.compile(f"^{name}")).click()
    return page.get_by_role("region", name=name.lower())


def days(page: Page, still: Quoted) -> float:
    """How long the one open order lives from now on."""
    (order,) = still.node.client.call("catenary_openOrders", account=account(page))
    left: float = (order["expires_at_ms"] - still.node.client.call("catenary_status")["now_ms"]) / DAY_MS
    return left


def test_a_stop_lives_as_long_as_the_law_lets_it_and_says_until_when(found: Tab, still: Quoted) -> None:
    page = begin(found)
    ends = page.locator(".order-form .ends")
    expect(ends).to_have_text(re.compile(r"^Waits until \w+ \d+, \d\d:\d\d\.$"))
    page.locator("#order-kind").select_option("stop")
    expect(ends).to_have_text(re.compile(r"^Guards until \w+ \d+, \d\d:\d\d\.$"))
    stop(page)
    assert 29 < days(page, still) < 30
    row = table(page, "Open orders").locator("tbody tr")
    expect(row).to_contain_text("stop, reduce-only")
    expect(row.locator("td[data-label=Ends]")).to_have_text(re.compile(r"^\w+ \d+, \d\d:\d\d, in 30 d$"))
    expect(row.locator(".warning")).to_have_count(0)


def test_a_stop_whose_end_is_near_is_said_to_end(found: Tab) -> None:
    found.page.add_init_script(path=INJECTED / "wire.js")
    page = begin(found)
    stop(page)
    table(page, "Open orders")
    expect(page.get_by_role("region", name="open orders").locator("tbody")).to_contain_text("stop")
    seen = page.evaluate(
        """async (account) => {
          const base = document.querySelector("script[type=module]").src;
          const { api } = await import(base.replace("app.js", "feeds.js"));
          return api.call("catenary_account", { account });
        }""",
        account(page),
    )
    (order,) = seen["open_orders"]
    now = page.evaluate("Date.now()")
    near = {**order, "sequence": now - 3_600_000, "expires_at_ms": now + 600_000}
    told(page, f"(seen) => Object.assign(seen, {{ open_orders: [{json.dumps(near)}] }})")
    warned = page.locator(".toast.wrong")
    expect(warned).to_contain_text(re.compile(r"A stop in BTC ends in (9|10) min"))
    expect(page.locator("td[data-label=Ends] .warning")).to_have_count(1)


def ended(found: Tab, page: Page, change: dict[str, Any], untold: int = 0) -> None:
    """The stop leaves while the page is shut; what the page is told of its end is the test's, at first nothing."""
    stop(page)
    expect(table(page, "Open orders").locator("tbody")).to_contain_text("stop")
    page.wait_for_function("() => Object.values(JSON.parse(localStorage.getItem('catenary.guards'))).length > 0")
    known = page.evaluate("localStorage.getItem('catenary.guards')")
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.get_by_role("region", name="open orders").locator("tbody")).to_contain_text("No open orders")
    # A place without the page, and without a picture of its own.
    found.excused = ["404"]
    page.goto("/openrpc.json")
    page.evaluate("(known) => localStorage.setItem('catenary.guards', known)", known)
    found.page.add_init_script(path=INJECTED / "lied.js")
    found.page.add_init_script(
        f"""let left = {untold};
        lied.about.catenary_orderHistory = (page) => left-- > 0 ? {{}} : ({{ ...page, orders: page.orders.map((one) =>
          one.status !== "cancelled" ? one : {{ ...one, ...{json.dumps(change)},
            events: one.events.map((step) => ({{ ...step, reason: step.reason && "{change["reason"]}" }})) }}) }});"""
    )
    begin(found)


def test_a_stop_that_has_ended_is_told_also_while_nobody_looked(found: Tab) -> None:
    page = begin(found)
    ended(found, page, {"status": "expired", "reason": "expired"})
    expect(page.locator(".toast.wrong")).to_contain_text("A stop in BTC has ended, unfilled")
    expect(page.locator(".toast.wrong")).to_contain_text("Its time was over.")


def test_an_end_that_the_node_does_not_tell_at_once_is_asked_for_again(found: Tab) -> None:
    page = begin(found)
    ended(found, page, {"status": "expired", "reason": "expired"}, untold=1)
    expect(page.locator(".toast.wrong")).to_contain_text("A stop in BTC has ended, unfilled")
    page.wait_for_function("() => Object.values(JSON.parse(localStorage.getItem('catenary.guards')))"
                           ".every((of) => Object.keys(of).length === 0)")  # fmt: skip


def test_an_end_that_its_owner_wished_is_not_told(found: Tab) -> None:
    page = begin(found)
    ended(found, page, {"status": "cancelled", "reason": "cancelled"})
    row = table(page, "Order history").locator("tbody tr").first
    expect(row).to_contain_text("You cancelled it.")
    expect(page.locator(".toast.wrong")).to_have_count(0)


def open_orders(page: Page, still: Quoted) -> dict[str, Any]:
    """What is open, by its trigger's price; 0 is of what has none."""
    found = still.node.client.call("catenary_openOrders", account=account(page))
    return {one["trigger_price_ticks"]: one for one in found}


def change(page: Page, row: str, **fields: str) -> None:
    """An open order by its row's words, changed."""
    table(page, "Open orders").locator("tbody tr", has_text=row).get_by_role("button", name="Change").click()
    expect(page.locator(".order-form")).to_contain_text("Changes the order in slot")
    fill(page, **fields)


def test_a_stop_that_is_changed_keeps_its_link_to_the_target(found: Tab, still: Quoted) -> None:
    page = begin(found)
    fill(page, side="Buy", kind="market", size="0.02")
    page.locator("details.more summary").click()
    fill(page, side="Sell", kind="both", trigger="59000", target="65000", slippage="1", size="0.01")
    expect(table(page, "Open orders").locator("tbody tr")).to_have_count(2)
    before = open_orders(page, still)
    change(page, "59,000", trigger="59400")
    expect(table(page, "Open orders")).to_contain_text("59,400")
    now = open_orders(page, still)
    assert set(now) == {594_000, 650_000}
    assert now[594_000]["group"] == now[650_000]["group"] == before[590_000]["group"] > 0
    assert now[594_000]["slot"] == before[590_000]["slot"]
    # A percent of the new trigger, as it was of the old one.
    assert (before[590_000]["limit_price_ticks"], now[594_000]["limit_price_ticks"]) == (584_100, 588_060)
    # Half of the position stays: nothing but the link ends the target.
    still.prices[0] = 594_000
    expect(table(page, "Open orders").locator("tbody")).to_contain_text("No open orders")
    (position,) = still.account(account(page))["positions"]
    assert position["size_lots"] == 1_000
    still.prices[0] = PRICES[0]


def test_what_waits_for_an_entry_still_does_once_it_is_changed(found: Tab, still: Quoted) -> None:
    page = begin(found)
    page.get_by_role("form", name="Order").get_by_label("With stop and target").check()
    fill(page, side="Buy", kind="limit", price="59000", size="0.01", guardStop="58000", guardTarget="65000")
    expect(table(page, "Open orders").locator("tbody tr")).to_have_count(3)
    group = open_orders(page, still)[580_000]["group"]
    change(page, "58,000", trigger="58500")
    expect(table(page, "Open orders")).to_contain_text("58,500")
    now = open_orders(page, still)
    entry = now[0]["order_id"]
    assert {(one["after"], one["group"], one["status"]) for at, one in now.items() if at} == {(entry, group, "dormant")}
    change(page, "59,000", price="59100")
    expect(table(page, "Open orders")).to_contain_text("59,100")
    now = open_orders(page, still)
    assert now[0]["order_id"] != entry
    assert {(one["after"], one["status"]) for at, one in now.items() if at} == {(now[0]["order_id"], "dormant")}


def test_the_history_says_what_an_order_was_and_why_it_ended(found: Tab, still: Quoted) -> None:
    page = begin(found)
    fill(page, side="Buy", kind="limit", price="60006", size="0.02")
    page.locator("details.more summary").click()
    page.locator("#order-force").select_option("ioc")
    fill(page, side="Buy", kind="limit", price="60000", size="0.03")
    stop(page)
    rows = table(page, "Order history").locator("tbody tr")
    expect(rows).to_have_count(4)

    def cells(at: int) -> list[str]:
        return [rows.nth(at).locator(f'td[data-label="{title}"]').inner_text() for title in TITLES]

    # The newest first: the stop, the market order before it, what met nobody, and what was filled.
    assert cells(0)[:5] == ["stop, reduce-only", "0.01", "53,100.0", "≤ 59,000.0", "0"]
    assert cells(0)[5].startswith("Lives until")
    assert cells(2) == [
        *("limit, IOC", "0.03", "60,000.0", "", "0"),
        "Nothing more stood within its limit. UNCROSSED",
    ]
    assert cells(3) == ["limit", "0.02", "60,006.0", "", "0.02", "Filled whole."]
    expect(rows.nth(3).locator('td[data-label="At"]')).to_have_text("60,006.0")


TITLES: Final = ("Type", "Size", "Price", "Trigger", "Filled", "What became of it")


def test_a_refusal_is_a_sentence_with_its_code_beside_it(found: Tab) -> None:
    page = begin(found)
    page.locator(".connect > button").click()
    sheet = page.get_by_role("dialog", name="Who trades here")
    sheet.get_by_label("Dollars").fill("5000")
    expect(sheet).to_contain_text("It is more than has settled, or nothing may leave")
    expect(sheet.locator("code.code")).to_have_text("COLLATERAL")
    page.keyboard.press("Escape")

    page.goto("/#/pool")
    page.get_by_label("Size, BTC").fill("0.001")
    page.get_by_label("Dollars at stake").fill("5000")
    way = page.locator(".way", has=page.get_by_role("button", name="Open it"))
    expect(way).to_contain_text("Not now: It is more than has settled")
    expect(way.locator("code.code")).to_have_text("COLLATERAL")
