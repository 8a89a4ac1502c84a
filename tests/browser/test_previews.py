"""What a preview shows as new is what the page shows afterwards, and what the node says, exactly."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import tab, until
from tests.browser.played import Played
from tests.browser.quoted import Quoted

INJECTED: Final = Path(__file__).parent / "injected"
# Of each row of the order form's outlook: what it becomes, or what it is where it stays. The fee is the order's alone.
BECOMES: Final = """() => Object.fromEntries([...document.querySelectorAll(".outlook dl > div")]
    .map((row) => [row.querySelector("dt"), row.querySelector(".will") ?? row.querySelector(".number, dd")])
    .map(([title, text]) => [title.innerText, text.innerText])
    .filter(([title]) => title !== "Fees"))"""
# The last answer about an operation that has these fields, as the page has heard it.
HEARD: Final = """(fields) => held.questions.findLast((one) =>
    one.result && Object.entries(fields).every(([name, value]) => one.operation[name] == value))?.result"""
# Once the page has heard the state that the node told just now.
SEEN: Final = """async ([account, equity, free]) => {
  const { join } = await import(document.querySelector("script[type=module]").src.replace("app.js", "feeds.js"));
  const [{ state }, leave] = join(`account:${account}`);
  await new Promise((passed) => {
    const isTold = (now) => now?.equity_micros == equity && now.free_collateral_micros == free;
    const end = state.subscribe((now) => isTold(now) && (passed(), queueMicrotask(() => end())));
  });
  await new Promise((passed) => requestAnimationFrame(() => requestAnimationFrame(passed)));
  leave();
}"""


class Trader:
    """Somebody with a page."""

    def __init__(self, page: Page, still: Quoted, account: int) -> None:
        self.page = page
        self.still = still
        self.account = account
        self.outlook = page.locator(".outlook")

    def heard(self, **fields: str | int) -> dict[str, Any]:
        """The last preview of an operation of which so much is known."""
        found: dict[str, Any] = self.page.evaluate(HEARD, fields)
        return found

    def seen(self, account: int | None = None) -> dict[str, Any]:
        """An account as the node tells it, once the page has heard the same."""
        number = self.account if account is None else account
        view = self.still.account(number)
        self.page.evaluate(SEEN, [number, view["equity_micros"], view["free_collateral_micros"]])
        return view

    def wait_for_a_call(self) -> None:
        """Until a tick has told one."""
        until(self.page, lambda: bool(self.seen()["margin_call_percent"]))

    def fill(self, **fields: str) -> None:
        """The order form, field by field."""
        form = self.page.get_by_role("form", name="Order")
        for name, text in fields.items():
            if name == "kind":
                form.locator("#order-kind").select_option(text)
            elif name == "side":
                form.get_by_role("button", name=text, exact=True).click()
            else:
                form.locator(f"#order-{name}").fill(text)

    def send(self) -> tuple[dict[str, str], dict[str, Any]]:
        """Sends what the form says, once its preview is there; what the preview showed as new, and the preview."""
        place = self.page.locator("button.place")
        expect(self.outlook).to_have_attribute("aria-busy", "false")
        expect(self.outlook.locator(".fate > p").first).to_be_attached()
        expect(place).to_be_enabled()
        new: dict[str, str] = self.page.evaluate(BECOMES)
        # Not the last one: until the form is empty it is asked what a second order would come to.
        foreseen = self.heard(kind="order")
        place.click()
        expect(self.page.get_by_role("textbox", name="Size", exact=True)).to_have_value("")
        return new, foreseen


@pytest.fixture
def trader(browser: Browser, still: Quoted) -> Iterator[Trader]:
    """With 1,000 dollars and the form for BTC."""
    for market in range(len(still.prices)):
        still.around(market)
    with tab(browser, still.node.url) as found:
        played = Played(still.node, 1_000)
        played.enter(found)
        found.page.add_init_script(path=INJECTED / "held.js")
        found.page.goto("/#/trade/BTC")
        expect(found.page.locator(".connect > button")).to_contain_text("play money")
        yield Trader(found.page, still, played.account)


def same(foreseen: dict[str, Any], view: dict[str, Any]) -> None:
    """Every number of the account is as it was foreseen."""
    assert {name: value for name, value in foreseen.items() if name not in CHANGING} == {
        name: view[name] for name in foreseen if name not in CHANGING
    }


# Which batch holds it moves on by itself, and a call is told by the next tick.
CHANGING: Final = frozenset({"finality", "margin_call_percent"})
ORDERS: Final[dict[str, dict[str, str]]] = {
    "a market order grows": {"side": "Buy", "kind": "market", "size": "0.05"},
    "a limit order rests": {"side": "Buy", "kind": "limit", "price": "59000", "size": "0.02"},
    "a limit order takes": {"side": "Buy", "kind": "limit", "price": "60006", "size": "0.013"},
    "a market order reduces": {"side": "Sell", "kind": "market", "size": "0.03"},
    "a position turns": {"side": "Sell", "kind": "market", "size": "0.1"},
    "a stop waits": {"side": "Buy", "kind": "stop", "trigger": "61000", "size": "0.02"},
    "a limit order reduces": {"side": "Buy", "kind": "limit", "price": "60010", "size": "0.01"},
    "all of the buying power": {"side": "Sell", "kind": "market", "size": "0.3"},
}


def test_an_order_comes_to_what_its_preview_said(trader: Trader) -> None:
    wrong = {}
    for what, fields in ORDERS.items():
        trader.fill(**fields)
        new, foreseen = trader.send()
        same(foreseen["after"], trader.seen())
        shown = trader.page.evaluate(BECOMES)
        if shown != new:
            wrong[what] = (new, shown)
    assert wrong == {}


def test_a_position_is_closed_as_its_preview_said(trader: Trader) -> None:
    trader.fill(side="Buy", kind="market", size="0.05")
    trader.send()
    trader.seen()
    # Half of it by the table, reduce-only, then the rest.
    for action in ("Reduce", "Close"):
        trader.page.get_by_role("button", name=action, exact=True).click()
        new, foreseen = trader.send()
        assert foreseen["operation"]["reduce_only"] is True
        same(foreseen["after"], trader.seen())
        assert trader.page.evaluate(BECOMES) == new
    assert trader.seen()["positions"] == []


def test_a_bound_of_leverage_comes_to_what_its_preview_said(trader: Trader) -> None:
    trader.fill(side="Buy", kind="market", size="0.05")
    trader.send()
    trader.seen()
    trader.page.get_by_role("button", name="Leverage: no bound").click()
    bound = trader.page.get_by_role("form", name="Bound of leverage")
    bound.get_by_role("textbox").fill("5")
    new = bound.locator(".will").inner_text()
    bound.get_by_role("button", name="Set").click()
    expect(trader.page.get_by_role("button", name="Leverage: at most 5×")).to_be_visible()

    same(trader.heard(kind="set_leverage")["after"], trader.seen())
    assert trader.page.evaluate(BECOMES)["Free collateral"] == new


def test_a_withdrawal_leaves_what_its_preview_said(trader: Trader) -> None:
    trader.page.locator(".connect > button").click()
    sheet = trader.page.get_by_role("dialog", name="Who trades here")
    sheet.get_by_label("Dollars").fill("1001")
    expect(sheet).to_contain_text("It cannot leave now: 1,000.00 dollars can.")
    sheet.get_by_label("Dollars").fill("100")
    leaving = sheet.locator(".leaving .will")
    expect(leaving).to_have_count(2)
    promised = leaving.all_inner_texts()
    sheet.get_by_role("button", name="Withdraw").click()
    expect(trader.page.locator(".toasts")).to_contain_text("The withdrawal is sequenced")

    same(trader.heard(kind="withdraw", amount_micros=100_000_000)["after"], trader.seen())
    shown = trader.page.evaluate(BECOMES)
    assert [shown["Equity"], shown["Free collateral"]] == promised


def test_a_deposit_brings_what_its_preview_said(trader: Trader) -> None:
    page = trader.page
    trader.fill(side="Buy", kind="market", size="0.05")
    trader.send()
    trader.seen()
    trader.still.node.client.call("catenary_faucet", address=trader.still.account(trader.account)["owner"])
    page.goto("/#/pool")
    page.locator(".connect > button").click()
    sheet = page.get_by_role("dialog", name="Who trades here")
    sheet.get_by_label("Dollars").fill("100")
    coming = sheet.locator(".coming .will")
    expect(coming).to_have_count(3)
    expect(page.locator(".pool-way")).to_contain_text("As it would be with this deposit")
    equity, free, ratio = coming.all_inner_texts()
    # The picture and the strip tell the same.
    totals = page.locator(".totals > div")
    for title, value in (("Equity", equity), ("Free", free), ("Margin ratio", ratio)):
        row = totals.filter(has=page.get_by_text(title, exact=True))
        expect(row.locator(".will")).to_have_text(value)
    sheet.get_by_role("button", name="Deposit", exact=True).click()
    expect(page.locator(".toasts")).to_contain_text("The deposit is booked")
    expect(page.locator(".pool-way")).not_to_contain_text("As it would be")
    for title, value in (("Equity", equity), ("Free", free), ("Margin ratio", ratio)):
        row = totals.filter(has=page.get_by_text(title, exact=True))
        expect(row.locator(".number").first).to_have_text(value)


COMES: Final = """(way) => [...way.querySelectorAll(".becomes")]
    .map((one) => (one.querySelector(".will") ?? one.querySelector(".number")).innerText)"""


def done(trader: Trader, title: str, **operation: str | int) -> tuple[list[str], dict[str, Any]]:
    """Does one thing that is offered; the ratio and the free collateral that it showed, and the preview behind them."""
    way = trader.page.locator(".way", has=trader.page.get_by_role("button", name=title, exact=True))
    expect(way.get_by_role("button")).to_be_enabled()
    expect(way.locator(".becomes")).to_have_count(2)
    expect(way.locator(".becomes.old")).to_have_count(0)
    shown: list[str] = way.evaluate(COMES)
    foreseen = trader.heard(**operation)
    way.get_by_role("button").click()
    expect(trader.page.locator(".toasts")).to_contain_text(title)
    return shown, foreseen


def test_money_beside_the_pool_moves_as_its_preview_said(trader: Trader) -> None:
    page = trader.page
    page.goto("/#/pool")
    page.get_by_label("Size, BTC").fill("0.005")
    page.get_by_label("Dollars at stake").fill("100")
    _, foreseen = done(trader, "Open it", kind="order", size_lots=500)
    row = page.locator(".account:not(.here)")
    row.get_by_role("button", name="Move or close").click()
    opened = int(row.get_attribute("data-account") or "")
    same(foreseen["after"], trader.seen(opened))

    top_up = row.locator(".way", has=page.get_by_role("button", name="Top up", exact=True))
    for title, giver in (("Top up", trader.account), ("Take back", opened)):
        row.get_by_label("Dollars").fill("30")
        shown, foreseen = done(trader, title, kind="transfer", account=giver)
        taker = opened if giver == trader.account else trader.account
        same(foreseen["after"], trader.seen(giver))
        same(foreseen["other_after"], trader.seen(taker))
        expect(top_up.locator(".becomes > :first-child")).to_have_text(shown)

    before = int(trader.seen()["collateral_micros"])
    _, foreseen = done(trader, "Close and move back", kind="order", account=opened)
    moved = int(foreseen["after"]["collateral_micros"]) - 500
    assert int(trader.seen()["collateral_micros"]) - before == moved
    assert trader.seen(opened)["collateral_micros"] == "0"


def test_a_position_taken_out_of_the_pool_stands_as_its_preview_said(trader: Trader) -> None:
    page = trader.page
    trader.fill(side="Buy", kind="market", size="0.02")
    trader.send()
    held = trader.seen()
    page.goto("/#/pool")
    page.get_by_role("group", name="Open an isolated position").get_by_role("button", name="BTC").click()
    form = page.get_by_role("group", name="Take BTC out of the pool")
    # What it is cannot be changed, what stands behind it can.
    expect(form.get_by_label("Size, BTC")).to_be_disabled()
    expect(form.get_by_label("Size, BTC")).to_have_value("0.02000")
    form.get_by_label("Dollars at stake").fill("100")
    shown, foreseen = done(trader, "Take it out", kind="order", size_lots=2_000)
    opened = page.locator(".account:not(.here)")
    expect(opened).to_contain_text("BTC +0.02")
    number = int(opened.get_attribute("data-account") or "")

    # The new account is what was foreseen; the pool lost the position, the dollars at stake, and what closing costs.
    same(foreseen["after"], trader.seen(number))
    assert shown[1] == f"{int(trader.seen(number)['free_collateral_micros']) / 1e6:.2f}"
    pool = trader.seen()
    assert pool["positions"] == []
    lost = int(held["equity_micros"]) - int(pool["equity_micros"]) - 100 * 10**6
    assert 0 < lost < 5 * 10**6


@pytest.fixture
def called(trader: Trader) -> Trader:
    """So much at stake that the first margin call is told; beside it another account that could give."""
    page = trader.page
    page.goto("/#/pool")
    page.get_by_label("Size, BTC").fill("0.001")
    page.get_by_label("Dollars at stake").fill("300")
    done(trader, "Open it")
    page.goto("/#/trade/BTC")
    trader.fill(side="Buy", kind="market", size="0.5")
    trader.send()
    # A tick tells the call, which the numbers have shown before.
    expect(page.locator(".margin-call")).to_contain_text("Margin call at 50%")
    trader.wait_for_a_call()
    return trader


@pytest.mark.parametrize(
    ("way", "operation"),
    [
        ("Halve BTC", {"kind": "order", "size_lots": 25_000}),
        ("Close BTC", {"kind": "order", "size_lots": 50_000}),
        ("Move", {"kind": "transfer"}),
    ],
)
def test_what_helps_comes_to_what_its_preview_said(called: Trader, way: str, operation: dict[str, str | int]) -> None:
    button = called.page.get_by_role("button", name=way).first
    _, foreseen = done(called, button.inner_text(), **operation)
    after = foreseen["after" if way != "Move" else "other_after"]
    same(after, called.seen())
    assert after["margin_call_percent"] == 0
    expect(called.page.locator(".margin-call")).to_have_count(0)
