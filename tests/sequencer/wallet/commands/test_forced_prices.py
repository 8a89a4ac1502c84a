"""Prices and rescues that come by L1's queue alone: a venue without an oracle, moved by anybody with signed ticks."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from prover.stf import constants
from sequencer.devnet.prices import DEVNET_QUORUM, devnet_signer_keys
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import PRICES, Client, Node, report
from tests.sequencer.node_world import signed_tick
from tests.sequencer.wallet_node import Shell, running_node, trader_of

LONG_BTC = "3.3"


class Clock:
    """The time of node and wallets, ahead of L1's, whose entries bring theirs: it moves with readings and ticks.

    By less than the inclusion time: a node that knows nothing of L1 for so long serves the queue alone.
    """

    def __init__(self) -> None:
        self.ms = time.time_ns() // 1_000_000 + 900_000

    def time_ns(self) -> int:
        """As `time.time_ns`."""
        self.ms += 1
        return self.ms * 1_000_000

    def clock_gettime_ns(self, which: int) -> int:
        """As `time.clock_gettime_ns`: time passes, and no clock jumps."""
        return self.ms * 1_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What both read."""
    clock = Clock()
    monkeypatch.setattr("sequencer.client.clock.time", clock)
    return clock


@pytest.fixture
def node(clock: Clock, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One that simulates no prices."""
    with running_node(tmp_path_factory.mktemp("node"), "--no-oracle") as running:
        yield running


class Prices:
    """Signs ticks in a row from now on, one price of BTC each."""

    def __init__(self, node: Node, clock: Clock) -> None:
        self._domain = node.domain
        self._clock = clock
        self._next = clock.ms // constants.TICK_STEP * constants.TICK_STEP

    def _due(self) -> int:
        """The next grid time, which has just come."""
        self._next += constants.TICK_STEP
        self._clock.ms = max(self._clock.ms, self._next)
        return self._next

    def tick(self, btc: int, quorum: int = DEVNET_QUORUM) -> str:
        """The next one, in hex."""
        keys, due = devnet_signer_keys()[:quorum], self._due()
        return signed_tick(self._domain, keys, due, [btc, *PRICES[1:]], [0, 0, 0]).hex()

    def report(self, client: Client, btc: int) -> None:
        """The next one to the node itself, as signers do: past whatever waits in the queue."""
        assert report(client, self._domain, self._due(), [btc, *PRICES[1:]]) == "tick"


def position(shell: Shell) -> dict[str, Any]:
    """The only position of a wallet's only account."""
    (held,) = shell.json("positions")["accounts"][0]["positions"]
    return dict(held)


def lots_and_cost(client: Client, shell: Shell) -> tuple[int, int]:
    """The same, as the node has it."""
    account = int(shell.environment["CATENARY_WALLET_ACCOUNT"] or 0)
    (held,) = client.call("catenary_account", account=account)["positions"]
    return int(held["size_lots"]), int(held["cost_micros"])


def entry_of(client: Client, index: int, is_done: bool = False) -> dict[str, Any]:
    """What the node makes of an entry, once it does: while its clock leads L1's, no batch is posted."""
    ends_at = time.monotonic() + PATIENCE_SECONDS
    while not (told := client.call("catenary_queue", index=index)["entries"]) or (is_done and not told[0]["done"]):
        assert time.monotonic() < ends_at, told
        time.sleep(0.1)
    return dict(told[0])


def closing(client: Client, shell: Shell, *size: str) -> dict[str, Any]:
    """The entry of a forced close of BTC."""
    entered = shell.json("force", "close", "--market", "BTC", *size, "--timeout", "0")
    return entry_of(client, entered["queue_index"])


def quoted_around(node: Node, price_ticks: int) -> None:
    """Waits until the devnet's maker bids near this oracle price of BTC: it looks once a second."""
    ends_at = time.monotonic() + PATIENCE_SECONDS
    with Client(node.url) as client:
        while not (bids := client.call("catenary_book", market=0)["bids"]) or bids[0][0] >= price_ticks:
            assert time.monotonic() < ends_at, bids
            time.sleep(0.1)


def test_prices_and_rescues_come_by_l1_alone(
    node: Node, clock: Clock, tmp_path_factory: pytest.TempPathFactory
) -> None:
    loser = trader_of(node, tmp_path_factory.mktemp("loser"))
    winner = trader_of(node, tmp_path_factory.mktemp("winner"))
    prices = Prices(node, clock)
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
    for _ in range(2):
        assert winner.json("force", "tick", "--tick", prices.tick(591_000))["code"] == 0
    quoted_around(node, 591_000)
    assert winner.json("force", "tick", "--tick", prices.tick(591_000))["code"] == 0
    lots = position(loser)["size_lots"]
    assert {told["kind"] for told in loser.json("post-mortem")["rescues"]} == {"liquidation"}
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


def test_a_part_of_a_position_is_closed_at_three_prices_in_a_row(
    node: Node, clock: Clock, tmp_path_factory: pytest.TempPathFactory
) -> None:
    owner = trader_of(node, tmp_path_factory.mktemp("owner"))
    opposite = trader_of(node, tmp_path_factory.mktemp("opposite"))
    prices = Prices(node, clock)
    with Client(node.url) as client:
        prices.report(client, PRICES[0])
        order = ("order", "--market", "BTC", "--size", "0.01", "--price", "60000")
        opposite.json(*order, "--side", "sell")
        owner.json(*order, "--side", "buy", "--time-in-force", "ioc")
        assert lots_and_cost(client, owner) == (1_000, 600_000_000)

        # One price is not steady: the entry is taken, and its position stays as it is.
        entry = closing(client, owner, "--size", "0.004")
        assert (entry["name"], entry["done"]) == ("OK", False)
        assert lots_and_cost(client, owner) == (1_000, 600_000_000)

        for _ in range(2):
            prices.report(client, PRICES[0])
        assert entry_of(client, entry["index"], is_done=True)["name"] == "OK"
        # One percent of 240 dollars is money that is gone, to the fund that takes the lots: nobody opposite is asked.
        assert lots_and_cost(client, owner) == (600, 360_000_000)
        assert lots_and_cost(client, opposite) == (-1_000, -600_000_000)
    (closed,) = owner.json("post-mortem")["rescues"]
    assert (closed["kind"], closed["lots"]) == ("forced_close", 400)
    assert closed["counterparty"] == 1

    # At steady prices the rest goes in one entry.
    with Client(node.url) as client:
        entry = closing(client, owner)
        assert (entry["operation"], entry["name"]) == ("forced_close", "OK")
        entry_of(client, entry["index"], is_done=True)
    assert owner.json("positions")["accounts"][0]["positions"] == []
    assert position(opposite)["size_lots"] == "-1000"
