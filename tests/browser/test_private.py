"""A node that tells accounts to who shows a key: the page shows one, or says that it has to."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import Tab, tab, until
from tests.browser.conftest import USUAL
from tests.browser.wallet import Wallet
from tests.sequencer.node_process import Node, node_inside, some_l1

SHOW = re.compile(r"^Show your key")


@pytest.fixture(scope="module")
def private(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A devnet's node with private channels."""
    directory: Path = tmp_path_factory.mktemp("private")
    with some_l1(directory / "l1") as l1:
        flags = ("--l1-rpc-url", l1.url, "--deploy", "--page-l1-url", l1.url, "--private-channels")
        with node_inside(directory / "node", *flags, usual=USUAL) as node:
            yield node


def hidden(node: Node, account: int) -> bool:
    """Whether the node tells nothing of an account to who shows no key."""
    answer: dict[str, Any] = node.client.answer("catenary_account", account=account)
    return bool(answer.get("error", {}).get("data", {}).get("name") == "PRIVATE")


def pool(page: Page) -> Any:
    """What stands in the pool's view."""
    page.goto("/#/pool")
    return page.locator("main")


def test_a_burner_shows_its_key_by_itself_and_again_behind_a_cut(browser: Browser, private: Node) -> None:
    with tab(browser, private.url) as found:
        found.page.goto("/")
        found.page.locator(".connect > button").click()
        found.page.get_by_role("button", name="Take 5,000 play dollars").click()
        expect(found.page.locator(".toasts")).to_contain_text("is open")
        account = found.page.evaluate("JSON.parse(localStorage.getItem('catenary.account'))")
        assert hidden(private, account)
        expect(pool(found.page)).to_contain_text("5,000.00")
        found.page.reload()
        expect(pool(found.page)).to_contain_text("5,000.00")
        gone(found.page)


def gone(page: Page) -> None:
    """Goes out; the connection that was shown a key is told of nothing any more."""
    feeds = "document.querySelector('script[type=module]').src.replace('app.js', 'feeds.js')"
    connection = page.evaluate_handle(f"() => import({feeds})")
    page.locator(".connect > button").click()
    page.get_by_role("button", name="Disconnect").click()
    expect(page.locator("main")).to_contain_text("Connect the wallet that owns account")
    account = page.evaluate("JSON.parse(localStorage.getItem('catenary.account'))")
    ask = "({ api }, account) => api.call('catenary_account', { account }).then(() => 'told', (error) => error.name)"
    until(page, lambda: connection.evaluate("({ link }) => link.value") == "open")
    assert connection.evaluate(ask, account) == "PRIVATE"


def deposited(found: Tab, private: Node) -> tuple[Wallet, int]:
    """Somebody with a wallet and 100 dollars on the venue, and his account."""
    page, wallet = found.page, Wallet(found, private.l1_url)
    private.client.call("catenary_faucet", address=wallet.address)
    page.goto("/")
    page.locator(".connect > button").click()
    sheet = page.get_by_role("dialog", name="Who trades here")
    sheet.get_by_role("button", name="Test Wallet", exact=True).click()
    sheet.get_by_label("Dollars").fill("100")
    sheet.get_by_role("button", name=re.compile("^Deposit")).click()
    expect(page.locator(".toasts")).to_contain_text("The deposit is booked")
    (account,) = private.client.call("catenary_accounts", owner=wallet.address)
    return wallet, account


def test_a_wallet_is_asked_at_a_click_and_never_before(browser: Browser, private: Node) -> None:
    with tab(browser, private.url) as found:
        wallet, account = deposited(found, private)
        assert hidden(private, account)
        main = pool(found.page)
        expect(main).to_contain_text("Refused: this node tells of an account to who shows a key")
        assert wallet.count("eth_signTypedData_v4") == 0

        wallet.refuses.add("eth_signTypedData_v4")
        main.get_by_role("button", name=SHOW).click()
        expect(found.page.locator(".toasts")).to_contain_text("The wallet's owner has said no")
        wallet.refuses.clear()
        main.get_by_role("button", name=SHOW).click()
        expect(main).to_contain_text("May leave now")
        expect(main).to_contain_text("100.00")

        # Another connection has been shown nothing.
        found.page.reload()
        expect(main.get_by_role("button", name=SHOW)).to_be_visible()
        main.get_by_role("button", name=SHOW).click()
        expect(main).to_contain_text("May leave now")
        gone(found.page)


def test_an_agents_key_shows_without_the_wallet(browser: Browser, private: Node) -> None:
    with tab(browser, private.url) as found:
        wallet, _ = deposited(found, private)
        main = pool(found.page)
        expect(main.get_by_role("button", name=SHOW)).to_be_visible()
        # The sheet has made way for the view.
        found.page.locator(".connect > button").click()
        found.page.get_by_role("button", name="Let this browser trade").click()
        expect(found.page.locator(".toasts")).to_contain_text("Orders are signed here for a day")
        expect(main).to_contain_text("May leave now")
        # Its owner was asked to show his key, which names the slot, and for the grant.
        assert wallet.count("eth_signTypedData_v4") == 2
        found.page.reload()
        expect(main).to_contain_text("May leave now")
        assert wallet.count("eth_signTypedData_v4") == 2
        # The agent's key stays for its owner's return, and is shown to nobody until then.
        gone(found.page)
        found.page.reload()
        expect(main).to_contain_text("Connect the wallet that owns account")


def test_a_stranger_is_told_why_and_offered_nothing(browser: Browser, private: Node) -> None:
    with tab(browser, private.url) as found:
        _, account = deposited(found, private)
    with tab(browser, private.url) as stranger:
        stranger.page.add_init_script(f"localStorage.setItem('catenary.account', '{account}')")
        main = pool(stranger.page)
        expect(main).to_contain_text(f"Connect the wallet that owns account {account}")
        expect(main.get_by_role("button", name=SHOW)).to_have_count(0)
        stranger.page.goto("/#/trade/BTC")
        expect(main).to_contain_text("Refused")
        assert "May leave now" not in main.inner_text()
