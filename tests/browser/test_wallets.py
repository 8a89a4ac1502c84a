"""A wallet of the browser: connected, asked, refused; money in and out; an agent's key; the proof; a reload."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import Tab, tab
from tests.browser.wallet import Wallet
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import Node

expect.set_options(timeout=PATIENCE_SECONDS * 1_000)


class Owner:
    """Somebody with a wallet before the page."""

    def __init__(self, page: Page, wallet: Wallet) -> None:
        self.page = page
        self.wallet = wallet
        self.sheet = page.get_by_role("dialog", name="Who trades here")

    def open(self) -> None:
        """The sheet of who trades here."""
        if not self.sheet.is_visible():
            self.page.locator(".connect > button").click()

    def button(self, name: str) -> None:
        """A button of the sheet."""
        self.open()
        self.sheet.get_by_role("button", name=name, exact=True).click()

    def told(self, sentence: str) -> None:
        """That the page has said so."""
        expect(self.page.locator(".toasts")).to_contain_text(sentence)


@pytest.fixture
def owner(browser: Browser, venue: Node) -> Iterator[Owner]:
    """With 1,000 dollars on L1 and none on the venue, connected."""
    with tab(browser, venue.url) as found:
        owner = Owner(found.page, Wallet(found, venue.l1_url))
        venue.client.call("catenary_faucet", address=owner.wallet.address)
        found.page.goto("/")
        owner.button("Test Wallet")
        expect(owner.sheet).to_contain_text("Money")
        yield owner


def deposited(owner: Owner, dollars: int) -> None:
    owner.open()
    owner.sheet.get_by_label("Dollars").fill(str(dollars))
    owner.sheet.get_by_role("button", name=re.compile("^Deposit")).click()
    owner.told("The deposit is booked")


def whereabouts(owner: Owner, *told: tuple[str | re.Pattern[str], str | re.Pattern[str]]) -> None:
    """Where the money is, as the sheet says it."""
    rows = owner.sheet.locator(".whereabouts > div")
    for title, sum_ in told:
        row = rows.filter(has=owner.page.locator("dt").filter(has_text=title))
        expect(row.locator("dd")).to_have_text(sum_)


def test_money_goes_in_and_out(owner: Owner) -> None:
    whereabouts(owner, ("Your wallet, on L1", "100,000.00"), ("and ether, for L1's fees", re.compile(r"^[1-9]")))
    deposited(owner, 1_000)
    whereabouts(owner, ("Your wallet, on L1", "99,000.00"), (re.compile("^Account"), "1,000.00"))
    expect(owner.sheet).to_contain_text("What was checked on L1 (3)")
    owner.sheet.get_by_label("Dollars").fill("100")
    owner.button("Withdraw")
    owner.told("The withdrawal is sequenced")
    assert owner.wallet.count("eth_signTypedData_v4") == 1
    whereabouts(owner, (re.compile("^Account"), re.compile(r"^(899|900)\.")), ("To be claimed on L1", "100.00"))

    owner.page.goto("/#/rollup")
    rollup = owner.page.locator("main")
    rollup.get_by_role("button", name="Claim").click()
    owner.told("Withdrawal 0 is paid")
    expect(rollup).to_contain_text("paid")
    owner.open()
    whereabouts(owner, ("Your wallet, on L1", "99,100.00"), ("To be claimed on L1", "0.00"))
    owner.page.keyboard.press("Escape")
    rollup.get_by_role("button", name=re.compile("^Check account")).click()
    expect(rollup).to_contain_text("All 36 steps hold: L1 commits to this account.")
    rollup.get_by_placeholder("dollars").fill("50")
    rollup.get_by_role("button", name="Force a withdrawal").click()
    owner.told("Entered on L1")
    expect(rollup).to_contain_text("forced_withdraw")


def test_an_agents_key_signs_without_the_wallet(owner: Owner, venue: Node) -> None:
    deposited(owner, 500)
    owner.button("Let this browser trade")
    owner.told("Orders are signed here for a day")
    asked = owner.wallet.count("eth_signTypedData_v4")
    (account,) = venue.client.call("catenary_accounts", owner=owner.wallet.address)
    answer = owner.page.evaluate(
        """async (account) => {
          const base = document.querySelector('script[src$="/app.js"]').src.replace("app.js", "");
          const { send } = await import(base + "session.js");
          const bid = { market: 0, side: 0, size_lots: 1000, limit_price_ticks: 500000 };
          const order = await send({ kind: "order", account, ...bid });
          const cancelled = await send({ kind: "cancel_all", account });
          return [order.status, cancelled.receipt.slot];
        }""",
        account,
    )
    assert answer == ["resting", 0]
    assert owner.wallet.count("eth_signTypedData_v4") == asked

    owner.button("Dismiss it")
    owner.told("The agent is dismissed")
    assert owner.wallet.count("eth_signTypedData_v4") == asked + 1
    assert venue.client.call("catenary_account", account=account)["agents"] == [None, None]


def test_a_refusal_and_a_foreign_signature_do_nothing(owner: Owner, venue: Node) -> None:
    owner.wallet.refuses.add("eth_sendTransaction")
    owner.sheet.get_by_label("Dollars").fill("100")
    owner.button("Deposit into a new account")
    owner.told("The wallet's owner has said no: nothing was signed or sent.")
    owner.wallet.refuses.clear()
    deposited(owner, 100)

    owner.wallet.is_forging = True
    owner.sheet.get_by_label("Dollars").fill("10")
    owner.button("Withdraw")
    owner.told("it is not sent")
    (account,) = venue.client.call("catenary_accounts", owner=owner.wallet.address)
    assert venue.client.call("catenary_withdrawals", account=account) == []


def test_it_is_there_after_a_reload_and_gone_with_the_wallet(owner: Owner) -> None:
    owner.page.reload()
    expect(owner.page.locator(".connect > button")).to_contain_text("0x")
    owner.page.evaluate("window.walletSays('chainChanged', '0x1')")
    expect(owner.page.locator(".connect > button")).to_have_text("Connect")


def test_another_venue_than_the_pinned_one_is_refused_by_name(owner: Owner) -> None:
    owner.page.evaluate(
        """() => {
          const pin = JSON.parse(localStorage.getItem("catenary.venue"));
          localStorage.setItem("catenary.venue", JSON.stringify({ ...pin, genesisRoot: "0x" + "00".repeat(32) }));
        }"""
    )
    owner.page.reload()
    owner.open()
    expect(owner.sheet.get_by_role("alert")).to_contain_text("this browser is pinned to rollup 0x")
    owner.button("Pin the venue that is here now")
    owner.told("This venue is pinned now")


def test_play_money_in_one_click(opened: Tab) -> None:
    opened.page.goto("/")
    opened.page.locator(".connect > button").click()
    opened.page.get_by_role("button", name="Take 5,000 play dollars").click()
    expect(opened.page.locator(".toasts")).to_contain_text("is open")
    expect(opened.page.locator(".connect > button")).to_contain_text("play money")
