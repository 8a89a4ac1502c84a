"""A node that goes away and comes back: the page says so, keeps what is typed, and finds out what happened."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from playwright.sync_api import Browser, expect

from tests.browser.chromium import tab
from tests.browser.played import Played
from tests.browser.quoted import Quoted
from tests.sequencer.node_process import running

INJECTED: Final = Path(__file__).parent / "injected"
CARET: Final = "(field) => [field.value, field.selectionStart, document.activeElement === field]"


def test_a_restart_is_said_and_lived_through(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path / "data") as first:
        played = Played(first, 1_000)
        ports = ("--port", str(urlsplit(first.url).port), "--l1-port", str(urlsplit(first.l1_url).port))
        with tab(browser, first.url) as found:
            # The browser's own words for a port where nobody is.
            found.excused = ["WebSocket connection to", "net::ERR_CONNECTION_REFUSED"]
            page = found.page
            played.enter(found)
            page.goto("/#/trade/BTC")
            fresh, strip = page.locator("header .fresh"), page.locator(".pool-strip")
            expect(fresh).to_contain_text("posted")
            size = page.get_by_role("textbox", name="Size", exact=True)
            size.press_sequentially("0.0123")
            size.press("ArrowLeft")
            before = size.evaluate(CARET)

            first.kill_with_l1()
            expect(fresh).to_contain_text("node away")
            expect(strip).to_have_class("pool-strip stale")
            assert size.evaluate(CARET) == before == ["0.0123", 5, True]

            with running(tmp_path / "data", *ports) as second:
                played.moved_to(second)
                played.rest(0, slot=30)
                expect(fresh).to_contain_text("posted")
                expect(strip).not_to_have_class("pool-strip stale")
                page.get_by_role("tab", name="Open orders").click()
                expect(page.get_by_role("table", name="open orders")).to_contain_text("0.001")
                assert size.input_value() == "0.0123"


def test_an_order_whose_answer_is_lost_is_told_and_not_sent_twice(browser: Browser, still: Quoted) -> None:
    with tab(browser, still.node.url) as found:
        page, played = found.page, Played(still.node, 1_000)
        played.enter(found)
        page.add_init_script(path=INJECTED / "cut.js")
        page.goto("/#/trade/BTC")
        form = page.get_by_role("form", name="Order")
        form.locator("#order-price").fill("59000")
        form.locator("#order-size").fill("0.01")
        page.evaluate("() => { cut.isDue = true; }")
        page.locator("button.place").click()

        expect(page.locator(".toasts")).to_contain_text("Buy BTC: resting")
        sent = page.evaluate("() => cut.orders")
        assert len(sent) > 1
        assert len(set(sent)) == 1, "what is signed is sent again, and nothing is signed anew"
        (order,) = still.account(played.account)["open_orders"]
        assert order["remaining_lots"] == 1_000
