"""What the sequencer signs for the page is kept there, and the command line holds it to L1."""

import json
import re
import time
from pathlib import Path

from click.testing import CliRunner
from playwright.sync_api import Browser, expect

from prover.cli.main import cli
from prover.stf import constants
from tests.browser.chromium import tab
from tests.browser.played import Played
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import Node


def test_a_promise_is_kept_saved_and_held_to_l1(browser: Browser, venue: Node, tmp_path: Path) -> None:
    trader = Played(venue, 200)
    with tab(browser, venue.url) as found:
        trader.enter(found, **{"trade-table": "promises"})
        found.page.goto("/#/trade/BTC")
        tables = found.page.get_by_role("region", name="promises")
        expect(tables).to_contain_text("Nothing was signed for this browser yet")
        found.page.get_by_role("textbox", name="Size", exact=True).fill("0.001")
        found.page.get_by_role("textbox", name=re.compile("^Price")).fill("50000")
        found.page.locator("button.place").click()
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
