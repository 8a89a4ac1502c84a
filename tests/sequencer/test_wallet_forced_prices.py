"""Prices and rescues that come by L1's queue alone: a venue without an oracle, moved by anybody with signed ticks."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from prover import operations
from prover.stf import constants
from sequencer.oracle import DEVNET_QUORUM, devnet_signer_keys, signed_tick
from tests.sequencer.wallet_node import RunningNode, Shell, running_node, trader_of

CHAIN_ID = 31_337
# BTC in ticks of ten cents, then ETH and SOL.
PRICES = [600_000, 300_000, 1_500_000]
LONG_BTC = "3.3"


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """One that simulates no prices."""
    with running_node(tmp_path_factory.mktemp("node"), "--no-oracle") as running:
        yield running


class Prices:
    """Signs ticks in a row from now on, one price of BTC each."""

    def __init__(self, node: RunningNode) -> None:
        self._domain = operations.domain_separator(CHAIN_ID, bytes.fromhex(node.rollup.removeprefix("0x")))
        self._next = int(time.time() * 1_000) // constants.TICK_STEP * constants.TICK_STEP

    def tick(self, btc: int, quorum: int = DEVNET_QUORUM) -> str:
        """The next one, in hex, as early as the law's tolerance lets it."""
        ahead = self._next - int(time.time() * 1_000) - constants.CLOCK_TOLERANCE * 8 // 10
        time.sleep(max(0, ahead) / 1_000)
        keys = devnet_signer_keys()[:quorum]
        told = signed_tick(self._domain, keys, self._next, [btc, *PRICES[1:]], [0, 0, 0], len(PRICES))
        self._next += constants.TICK_STEP
        return told.hex()


def position(shell: Shell) -> dict[str, Any]:
    """The only position of a wallet's only account."""
    (held,) = shell.json("positions")["accounts"][0]["positions"]
    return dict(held)


def test_prices_and_rescues_come_by_l1_alone(node: RunningNode, tmp_path_factory: pytest.TempPathFactory) -> None:
    loser = trader_of(node, tmp_path_factory.mktemp("loser"))
    winner = trader_of(node, tmp_path_factory.mktemp("winner"))
    prices = Prices(node)
    first = prices.tick(PRICES[0])
    done = winner.json("force", "tick", "--tick", first)
    assert (done["operation"], done["code"]) == ("forced_tick", 0)
    line, _ = winner.fails(14, "force", "tick", "--tick", first)
    assert "OLD_TICK" in line
    line, _ = winner.fails(14, "force", "tick", "--tick", prices.tick(PRICES[0], DEVNET_QUORUM - 1))
    assert "QUORUM" in line

    order = ("order", "--market", "BTC", "--size", LONG_BTC, "--price", "60000")
    winner.json(*order, "--side", "sell")
    loser.json(*order, "--side", "buy", "--time-in-force", "ioc")
    account = loser.environment["CATENARY_WALLET_ACCOUNT"]
    assert account is not None
    # 1.5 percent of 198,000 dollars: below maintenance, above close-out. The devnet's maker bids for a little of it.
    for _ in range(3):
        assert winner.json("force", "tick", "--tick", prices.tick(591_000))["code"] == 0
    lots = position(loser)["size_lots"]
    assert {told["kind"] for told in loser.json("post-mortem")["rescues"]} == {"liquidation"}
    line, _ = winner.fails(14, "force", "rescue", "--target", account, "--market", "BTC")
    assert "FUND_LIMIT" in line
    line, _ = winner.fails(2, "deposit", "--account", "1", "--amount", "50000")
    assert "--insurance" in line
    assert winner.json("deposit", "--insurance", "BTC", "--amount", "50000", "--faucet")["account"] == 1
    done = winner.json("force", "rescue", "--target", account, "--market", "BTC")
    assert (done["operation"], done["code"]) == ("forced_rescue", 0)
    left = int(position(loser)["size_lots"])
    assert 0 < left < int(lots)
    (told,) = loser.json("post-mortem", "--limit", "1")["rescues"]
    assert (told["kind"], told["lots"], told["counterparty"]) == ("forced_rescue", int(lots) - left, 1)
    assert int(told["equity_before_micros"]) < int(told["maintenance_before_micros"])
    assert int(told["one_lot_less_equity_micros"]) < int(told["one_lot_less_initial_micros"])
    assert int(told["quote_micros"]) <= told["lots"] * told["price_ticks"] < int(told["quote_micros"]) + told["lots"]
    assert told["price"] == f"{told['price_ticks'] / 10:g}"
    assert told["zero_price_ticks"] < told["price_ticks"]
    shown = loser.run("post-mortem").stdout
    assert "forced rescue of" in shown
    assert "with one lot less" in shown
    assert "both rounded for the account" in shown
    line, _ = winner.fails(14, "force", "rescue", "--target", account, "--market", "BTC")
    assert "HEALTHY" in line
