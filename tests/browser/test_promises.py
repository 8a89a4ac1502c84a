"""What the sequencer signs for the page is kept there, and the command line holds it to L1."""

import json
import re
import time
from pathlib import Path
from typing import Final

from click.testing import CliRunner
from playwright.sync_api import Browser, Route, expect

from l1_bridge.codec import calls
from l1_bridge.hashing import keccak
from prover.cli.main import cli
from prover.stf import constants
from tests.browser.chromium import Tab, tab, until
from tests.browser.played import Played
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import Node

SEAT: Final = "0x" + calls.encode_call("seat").hex()
TAKEN: Final = "0x" + keccak(b"SeatTaken(address,uint256,string)").hex()
ANYBODY: Final = {"access-control-allow-origin": "*"}


def place(found: Tab, size: str) -> None:
    """An order that rests far below the price."""
    found.page.get_by_role("textbox", name="Size", exact=True).fill(size)
    found.page.get_by_role("textbox", name=re.compile("^Price")).fill("50000")
    found.page.locator("button.place").click()


def test_a_promise_is_kept_saved_and_held_to_l1(browser: Browser, venue: Node, tmp_path: Path) -> None:
    trader = Played(venue, 200)
    with tab(browser, venue.url) as found:
        trader.enter(found, **{"trade-table": "promises"})
        found.page.goto("/#/trade/BTC")
        tables = found.page.get_by_role("region", name="promises")
        expect(tables).to_contain_text("Nothing was signed for this browser yet")
        place(found, "0.001")
        expect(tables).to_contain_text("✓ 0x")
        with found.page.expect_download() as saved:
            found.page.get_by_role("button", name="Save them").click()
        file = tmp_path / "promises.jsonl"
        saved.value.save_as(file)
        # After a reload it is there.
        found.page.reload()
        expect(tables).to_contain_text("✓ 0x")

    (line,) = file.read_text().splitlines()
    kept = json.loads(line)
    assert (kept["given"]["tag"], kept["given"]["account"]) == (constants.ORDER, trader.account)
    environment = {
        "CATENARY_WALLET_DIR": str(tmp_path / "wallet"),
        "CATENARY_WALLET_PASSWORD": "play",
        "CATENARY_WALLET_NODE_URL": venue.url,
        "CATENARY_WALLET_L1_RPC_URL": venue.l1_url,
    }
    runner = CliRunner()
    assert runner.invoke(cli, ["wallet", "new", "--light-kdf"], env=environment).exit_code == 0
    ended = runner.invoke(cli, ["wallet", "receipts", "--also", str(file), "--json"], env=environment)
    assert ended.exit_code == 0, (ended.stdout, ended.stderr)
    assert json.loads(ended.stdout.splitlines()[-1])["acknowledgements"] == 1

    # What somebody has changed is nobody's word, and no evidence.
    until = time.monotonic() + PATIENCE_SECONDS
    while venue.client.call("catenary_status")["posted"]["batch"] == 0:
        assert time.monotonic() < until
    file.write_text(json.dumps({**kept, "given": {**kept["given"], "filled_lots": 1_000}}) + "\n")
    ended = runner.invoke(cli, ["wallet", "receipts", "--also", str(file), "--json"], env=environment)
    assert ended.exit_code == 0


class SomeL1:
    """L1 as a page finds it. `state`: away, or with an open seat and no log of who took it; empty: as it is."""

    def __init__(self, state: str) -> None:
        self.state = state
        # How often it has answered that the seat is open.
        self.opened = 0

    def answer(self, route: Route) -> None:
        """One request of the page's."""
        if self.state == "away":
            route.abort()
            return
        asked = json.loads(route.request.post_data or "{}")
        is_of_seat = asked.get("method") == "eth_call" and asked["params"][0]["data"] == SEAT
        is_of_log = asked.get("method") == "eth_getLogs" and asked["params"][0]["topics"][0] == TAKEN
        if self.state != "open" or not (is_of_seat or is_of_log):
            route.continue_()
            return
        self.opened += is_of_seat
        result = "0x" + "00" * 128 if is_of_seat else []
        route.fulfill(json={"jsonrpc": "2.0", "id": asked["id"], "result": result}, headers=ANYBODY)


def test_a_promise_is_kept_while_l1_is_away_or_its_seat_is_open(browser: Browser, venue: Node, tmp_path: Path) -> None:
    trader = Played(venue, 200)
    with tab(browser, venue.url) as found:
        found.excused = ["net::ERR_FAILED"]
        trader.enter(found, **{"trade-table": "promises"})
        page = found.page
        page.goto("/#/trade/BTC")
        tables = page.get_by_role("region", name="promises")

        def saved(name: str) -> list[str]:
            with page.expect_download() as file:
                page.get_by_role("button", name="Save them").click()
            file.value.save_as(tmp_path / name)
            return (tmp_path / name).read_text().splitlines()

        # The venue was found genuine: what is signed now is signed without L1.
        place(found, "0.001")
        expect(tables).to_contain_text("✓ 0x")
        l1 = SomeL1("away")
        page.route(f"{venue.l1_url}**", l1.answer)
        place(found, "0.002")
        expect(tables).to_contain_text("L1 has not said")
        before = saved("before.jsonl")
        page.reload()
        expect(tables).to_contain_text("L1 has not said")

        # A seat that nobody holds now says nothing of who held it then.
        l1.state = "open"
        until(page, lambda: l1.opened > 0)
        expect(tables).to_contain_text("L1 has not said")

        l1.state = ""
        expect(tables).not_to_contain_text("L1 has not said")
        expect(tables.get_by_text("✓ 0x")).to_have_count(2)
        after = saved("after.jsonl")
    assert (len(before), len(after)) == (1, 2)
    assert after[0] == before[0]
