"""docs/trading.md: its numbers are the node's own previews, and its shell lines and the README's run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from prover.stf import constants
from sequencer.wallet.units import money_text, move_text, percent_text, times_text, units_text
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.desk import Desk
from tests.sequencer.node_process import ROOT, Node
from tests.sequencer.node_world import BTC, BUY, DOLLAR, ETH, FIRST, IOC, PRICES, SELL, deposit, owner
from tests.sequencer.wallet_node import still_node

DOCUMENT: Final = (ROOT / "docs" / "trading.md").read_text()
ONE_BITCOIN: Final = 100_000
# ETH's lots are of a ten-thousandth.
FORTY_ETHER: Final = 400_000


async def previewed(desk: Desk, account: int, market: int, side: int, size: int) -> Any:
    """What an order at the oracle price would make of an account."""
    fields = {"kind": "order", "account": account, "market": market, "side": side, "size_lots": size, "slot": 9}
    order = {**fields, "limit_price_ticks": PRICES[market], "time_in_force": IOC}
    seen = await desk.ask("catenary_preview", operation=order)
    assert (seen["status"], seen["remaining_lots"]) == ("filled", 0), seen["refusal"]
    return seen["after"]


def cells(view: Any) -> list[str]:
    """Equity, what stays, ratio, leverage, what liquidates, and what is free."""
    by_market = {one["market"]: one["liquidation_price_ticks"] for one in view["positions"]}
    alone = by_market["BTC"]
    fall = view["fall_bp"]
    return [
        money_text(int(view["equity_micros"])),
        money_text(int(view["maintenance_micros"])),
        percent_text(int(view["margin_ratio_ppm"])),
        times_text(int(view["leverage_ppm"])),
        "none" if alone is None else f"${units_text(int(alone), 1)}",
        "never" if fall is None else move_text(fall, -1),
        money_text(int(view["free_collateral_micros"])),
    ]


@pytest.mark.trio
async def test_its_numbers_are_the_node_s(desk: Desk) -> None:
    await desk.order(1, SELL, PRICES[BTC], 2 * ONE_BITCOIN)
    await desk.order(1, BUY, PRICES[ETH], FORTY_ETHER, market=ETH, slot=2)
    await desk.venue.submit(deposit(owner(2), 2_000 * DOLLAR))
    isolated = (await desk.ask("catenary_accounts", owner="0x" + owner(2).hex()))[-1]
    rows = {
        "cross, $10,000": cells(await previewed(desk, FIRST, BTC, BUY, ONE_BITCOIN)),
        "isolated, $2,000": cells(await previewed(desk, isolated, BTC, BUY, ONE_BITCOIN)),
    }
    await desk.order(0, BUY, PRICES[BTC], ONE_BITCOIN, time_in_force=IOC)
    rows["cross, with 13 ETH sold"] = cells(await previewed(desk, FIRST, ETH, SELL, 130_000))
    for name, row in rows.items():
        assert f"| {name} | {' | '.join(row)} |" in DOCUMENT
    fee = f"{units_text(constants.CREATION_FEE, 6)} dollar"
    assert fee in DOCUMENT


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A venue as `make run` starts one, whose prices stand still."""
    with still_node(tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.mark.parametrize("name", ["README.md", "docs/trading.md"])
def test_a_reader_s_wallet_does_what_the_lines_say(name: str, node: Node, tmp_path: Path) -> None:
    """`make` lines start what stands already; every other line is the reader's."""
    blocks = [part.split("```")[0] for part in (ROOT / name).read_text().split("```sh\n")[1:]]
    lines = [line for block in blocks for line in block.splitlines() if not line.startswith("make ")]
    assert sum("catenary wallet" in line for line in lines) >= 3
    binaries = Path(sys.executable).parent
    script = "\n".join(lines).replace(".venv/bin/catenary", "catenary")
    ended = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{binaries}:{os.environ['PATH']}",
            "CATENARY_WALLET_NODE_URL": node.url,
            "CATENARY_WALLET_L1_RPC_URL": node.l1_url,
            "CATENARY_WALLET_DIR": str(tmp_path),
            "CATENARY_WALLET_POLL_INTERVAL": "0.1",
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, (ended.stdout[-2_000:], ended.stderr[-2_000:])
    assert "filled" in ended.stdout
