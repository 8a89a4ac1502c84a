"""The pool in a browser: seen, explained, shocked, called, and helped in one click."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import Tab
from tests.sequencer.node_process import Node

# What a page's own modules do, by their names: play money, and an order without the form.
MODULE = "const of = (name) => import(document.querySelector('script[type=module]').src.replace('app.js', name));"
PLAY = f"async (micros) => {{ {MODULE} return (await of('play.js')).playMoney(BigInt(micros)); }}"
# The maker may just be quoting anew: what the book does not hold is bought from its next state.
BUY = f"""async ([account, lots]) => {{
    {MODULE}
    const [{{ send }}, {{ api, join }}] = [await of('session.js'), await of('feeds.js')];
    const [{{ state }}, leave] = join('book_deltas:BTC');
    let left = lots;
    while (left > 0) {{
        const seen = state.peek();
        const market = (await api.call('catenary_markets', {{}})).find((one) => one.name === 'BTC');
        const [index, worst] = [market.index, Math.round(market.price_ticks * 1.01)];
        const order = {{ kind: 'order', account, market: index, side: 0, size_lots: left, limit_price_ticks: worst }};
        const asks = seen?.asks.filter(([price]) => price <= worst) ?? [];
        if (asks.length > 0) left -= (await send({{ ...order, time_in_force: 1 }})).filled_lots;
        if (left > 0) await new Promise((passed) => {{
            const end = state.subscribe((now) => now !== seen && (passed(), queueMicrotask(() => end())));
        }});
    }}
    leave();
    return lots - left;
}}"""


# Tones and notifications are counted; a browser without a person before it allows what is asked.
HEARD = """
window.told = [];
window.tones = 0;
window.Notification = class {
    static permission = "default";
    static async requestPermission() { return (this.permission = "granted"); }
    constructor(title) { window.told.push(title); }
};
const start = OscillatorNode.prototype.start;
OscillatorNode.prototype.start = function (...when) {
    window.tones += 1;
    return start.apply(this, when);
};
"""


@pytest.fixture
def heard(opened: Tab) -> None:
    """Before the page loads."""
    opened.page.add_init_script(HEARD)


@pytest.fixture
def trader(opened: Tab, venue: Node) -> Page:
    """A page with 200 play dollars in an account of its own, at its pool."""
    page = opened.page
    page.goto("/#/pool")
    expect(page.get_by_role("main")).to_contain_text("No account yet")
    page.evaluate(PLAY, 200_000_000)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Pool of account")
    return page


def account(page: Page) -> int:
    return int(page.evaluate("JSON.parse(localStorage.getItem('catenary.account'))"))


def test_a_number_opens_its_formula_and_gives_the_focus_back(trader: Page) -> None:
    equity = trader.locator(".totals [data-explain=equity]")
    equity.focus()
    trader.keyboard.press("Enter")

    found = trader.get_by_role("dialog", name="Where equity comes from")
    expect(found).to_contain_text("collateral + sum(unrealised)")
    found.get_by_role("button", name="collateral", exact=True).click()
    expect(trader.get_by_role("dialog", name="Where collateral comes from")).to_contain_text("settled + older")
    trader.keyboard.press("Escape")
    expect(trader.get_by_role("dialog")).to_have_count(0)
    expect(equity).to_be_focused()


def test_a_call_is_seen_and_what_helps_is_one_click_away(trader: Page) -> None:
    assert trader.get_by_role("alert").count() == 0
    # 0.15 BTC need a little under 200 dollars to be opened, and more than half of them to stay.
    assert trader.evaluate(BUY, [account(trader), 15_500]) == 15_500

    expect(trader.get_by_role("alert")).to_contain_text(re.compile("Margin call at (50|70)%"))
    halve = trader.locator(".way", has=trader.get_by_role("button", name="Halve BTC"))
    expect(halve.locator(".will").first).to_be_visible()
    trader.get_by_role("button", name="Halve BTC").hover()
    expect(trader.locator(".pool-picture .outline").first).to_be_attached()
    trader.get_by_role("button", name="Halve BTC").click()
    expect(trader.locator(".margin-call")).to_have_count(0)
    expect(trader.locator(".pool-numbers tbody")).to_contain_text("+0.0775")

    # A shock of all prices: what would be closed is told, and drawn over the pool.
    slider = trader.get_by_label("Move", exact=False).and_(trader.locator("input[type=range]"))
    slider.fill("-2500")
    expect(trader.locator(".shock-outcome ol")).to_contain_text("BTC")
    expect(trader.locator(".pool-way")).to_contain_text("at the shock")
    trader.get_by_role("button", name="back to now").click()
    expect(trader.locator(".shock-outcome")).to_contain_text("Move the slider")


@pytest.mark.parametrize("is_asked", [True, False])
def test_a_call_is_heard_and_notified_where_that_was_asked_for(heard: None, trader: Page, is_asked: bool) -> None:
    if is_asked:
        trader.get_by_role("button", name="sound").click()
        trader.get_by_role("button", name="notification").click()
        expect(trader.get_by_role("button", name="notification")).to_have_attribute("aria-pressed", "true")
    before = trader.evaluate("[window.tones, window.told.length]")
    assert before == [int(is_asked), 0]
    assert trader.evaluate(BUY, [account(trader), 15_500]) == 15_500
    expect(trader.get_by_role("alert")).to_contain_text(re.compile("Margin call at (50|70)%"))
    if not is_asked:
        assert trader.evaluate("[window.tones, window.told.length]") == [0, 0]
        return
    trader.wait_for_function("window.told.length > 0 && window.tones > 2")
    said = trader.evaluate("window.told[0]")
    assert re.fullmatch(rf"Account {account(trader)}: margin call at (50|70)%", said), said


def test_a_position_of_its_own_is_opened_and_closed(trader: Page) -> None:
    trader.get_by_label("Size, BTC").fill("0.001")
    trader.get_by_label("Dollars at stake").fill("50")
    open_it = trader.get_by_role("button", name="Open it")
    expect(open_it).to_be_enabled()
    open_it.click()
    trader.get_by_role("button", name="Move or close").click()
    own = trader.locator(".account:not(.here)")
    expect(own).to_contain_text("BTC +0.001")

    trader.get_by_role("button", name="Close and move back").click()
    expect(own).to_contain_text("no position")
    expect(own).to_contain_text("0.00")
