"""What a governor announces and anybody enacts, from the wallet, on a real node that is governed."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.l1_bridge.l1_nodes import ANVIL
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import A_WHILE_SECONDS, Node
from tests.sequencer.wallet_node import Shell, running_node, trader_of

NOWHERE = Node("http://127.0.0.1:9", "http://127.0.0.1:9", bytes(20), 31_337)


class Clock:
    """The time of node and wallets: where L1's was moved on, theirs follows, as entries bring L1's time."""

    def __init__(self) -> None:
        self._ahead_ns = 0

    def time_ns(self) -> int:
        """As `time.time_ns`."""
        return time.time_ns() + self._ahead_ns

    def clock_gettime_ns(self, which: int) -> int:
        """As `time.clock_gettime_ns`: time passes, and no clock jumps."""
        return time.clock_gettime_ns(which) + self._ahead_ns

    def follow(self, node: Node) -> None:
        """Never behind L1's."""
        self._ahead_ns = max(self._ahead_ns, node.l1_time_ms() * 1_000_000 - time.time_ns())


CLOCK = Clock()


@pytest.fixture(scope="module", autouse=True)
def clock() -> Iterator[None]:
    """What both read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sequencer.client.clock.time", CLOCK)
        yield


@pytest.fixture(scope="module")
def governed(clock: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Shell]]:
    """A node, and the wallet of its governor."""
    directory: Path = tmp_path_factory.mktemp("governor")
    address = Shell(NOWHERE, directory).json("new", "--light-kdf")["address"]
    options = ("--governor", address, "--governance-delay", str(A_WHILE_SECONDS))
    with running_node(tmp_path_factory.mktemp("node"), *options) as node:
        shell = Shell(node, directory)
        shell.json("faucet")
        yield node, shell


@pytest.fixture(scope="module")
def trader(governed: tuple[Node, Shell], tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Somebody who trades there, and enacts what he reads."""
    return trader_of(governed[0], tmp_path_factory.mktemp("trader"))


def announced(shell: Shell, *arguments: str) -> str:
    """The hash of what is announced now."""
    made = shell.json("govern", *arguments)
    assert made["state"] == "waiting"
    return str(made["announcement"])


def enacted(node: Node, shell: Shell, announcement: str, rejection: str = "", exit_code: int = 14) -> None:
    """Waits until it may stand, and enacts it."""
    arguments = ("govern", "enact", "--announcement", announcement)
    deadline = time.monotonic() + PATIENCE_SECONDS
    node.pass_time(A_WHILE_SECONDS)
    CLOCK.follow(node)
    while True:
        states = {one["announcement"]: one["state"] for one in shell.json("govern", "show")["announcements"]}
        if states[announcement] == "enactable":
            break
        assert time.monotonic() < deadline, states
        time.sleep(0.1)
    if rejection:
        line, _ = shell.fails(exit_code, *arguments)
        assert rejection in line
    else:
        assert shell.json(*arguments)["code"] == 0


def once_posted(shell: Shell, *arguments: str) -> dict[str, Any]:
    """The summary of a command that has to wait until L1 holds what it is about."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (result := shell.run(*arguments, "--json")).exit_code:
        assert time.monotonic() < deadline, result.stderr
        time.sleep(0.5)
    return dict(json.loads(result.stdout.splitlines()[-1]))


def fill(shell: Shell, *arguments: str) -> None:
    """Takes what the maker quotes: after a jump of the clock it has to quote anew."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (taken := once_posted(shell, *arguments, "--time-in-force", "ioc"))["status"] != "filled":
        assert time.monotonic() < deadline, taken
        time.sleep(0.5)


def order(market: str, price: str, size: str, side: str = "buy") -> tuple[str, ...]:
    """One that rests."""
    return ("order", "--market", market, "--side", side, "--size", size, "--price", price)


def test_a_market_is_listed_priced_and_traded(governed: tuple[Node, Shell], trader: Shell) -> None:
    node, governor = governed
    line, _ = trader.fails(2, *order("DOGE", "99", "1"))
    assert "there is no market DOGE" in line
    listing = ("list", "--name", "DOGE", "--size-decimals", "3", "--tier", "small", "--price", "99")
    line, _ = trader.fails(2, "govern", *listing)
    assert "is not the governor" in line
    # 9.999 dollars are 9,999 ticks of a tenth of a cent; a coin too cheap for any tick is listed by the thousand.
    for price, way in (("9.9999", "--size-decimals 2 would do"), ("0.00001234", "such as a thousand")):
        line, _ = governor.fails(2, "govern", *listing[:-1], price)
        assert "fewer than 10,000" in line
        assert way in line
    line, _ = governor.fails(2, "govern", *listing, "--initial-ppm", "4999", "--maintenance-ppm", "3000")
    assert "outside the law's ranges" in line
    line, _ = governor.fails(2, "govern", *listing, "--interest-lower-micros", "0", "--interest-upper-micros", "0")
    assert "outside the law's ranges" in line
    # Forty times, which no tier has; and other interest than its tier's.
    listing += ("--initial-ppm", "25000", "--maintenance-ppm", "15000", "--funding-interest-ppb", "-3000")
    made = announced(governor, *listing)
    said = next(one for one in governor.json("govern", "show")["announcements"] if one["announcement"] == made)
    assert said["parameters"]["price"] == 99_000
    assert [said["parameters"][f"funding_{name}_ppb"] for name in ("cap", "interest", "damping")] == [
        10**6,
        -3_000,
        62_500,
    ]
    for name in ("doge", "BTC", "7"):
        line, _ = governor.fails(
            2, "govern", "list", "--name", name, "--size-decimals", "3", "--tier", "small", "--price", "99"
        )
        assert "a name of its own" in line
    # Whoever enacts the second of two first burns it: they stand a day apart.
    line, _ = governor.fails(2, "govern", *("SHIB" if word == "DOGE" else word for word in listing))
    assert "another market was announced within a day" in line
    line, _ = trader.fails(15, "govern", "enact", "--announcement", made)
    assert "TOO_EARLY" in line
    enacted(node, trader, made)
    # Until the batch is final, its label may prove a lie: the wallet signs nothing for it, and says so by name.
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (refused := trader.run(*order("DOGE", "99", "1"))).exit_code == 2:
        assert time.monotonic() < deadline, refused.stderr
        time.sleep(0.5)
    # The embedded L1's clock moves by itself alone, and its window is short: there it may be over by now.
    if ANVIL.exists() or refused.exit_code:
        assert (refused.exit_code, "market DOGE was listed by a batch that is not final" in refused.stderr) == (
            20,
            True,
        )
    node.pass_time(A_WHILE_SECONDS)
    CLOCK.follow(node)
    # The devnet's oracle follows: the next ticks have four prices.
    once_posted(trader, *order("DOGE", "99", "1"))
    (resting,) = trader.json("positions")["accounts"][0]["open_orders"]
    assert (resting["market"], resting["size"], resting["price"]) == ("DOGE", "1", "99")
    trader.json("cancel", "--all")


def test_a_changed_fee_is_signed_for_and_changes_once_a_month(governed: tuple[Node, Shell], trader: Shell) -> None:
    node, governor = governed
    line, _ = governor.fails(2, "govern", "market", "--market", "BTC", "--initial-ppm", str(2**24))
    assert "larger than its field" in line
    line, _ = governor.fails(2, "govern", "market", "--market", "BTC", "--price", "60000")
    assert "the market has a price" in line
    enacted(node, trader, announced(governor, "market", "--market", "BTC", "--taker-fee-ppm", "550"))
    fill(trader, *order("BTC", "70000", "0.001"))
    enacted(node, trader, announced(governor, "market", "--market", "ETH", "--initial-ppm", "30000"), "STEP_LIMIT")
    # L1 itself refuses a second step within the month, and the announcement is not spent by who tries.
    again = announced(governor, "market", "--market", "BTC", "--taker-fee-ppm", "540")
    for _ in range(2):
        enacted(node, trader, again, "TOO_SOON", exit_code=15)


def test_a_market_that_reduces_takes_no_growing_order(governed: tuple[Node, Shell], trader: Shell) -> None:
    node, governor = governed
    fill(trader, *order("SOL", "200", "1"))
    enacted(node, trader, announced(governor, "market", "--market", "SOL", "--status", "reduce-only"))
    result = trader.run(*order("SOL", "200", "1"), "--time-in-force", "ioc", "--json")
    assert "MARKET_REDUCES" in result.stdout + result.stderr
    closing = order("SOL", "200", "1", "sell")
    assert "MARKET_REDUCES" in trader.fails(14, *closing)[0]
    assert once_posted(trader, *closing, "--reduce-only")["status"] == "resting"


def test_the_venue_changes_and_what_is_retracted_does_not(governed: tuple[Node, Shell], trader: Shell) -> None:
    node, governor = governed
    venue = ("venue", "--posting-fee-micros", "700", "--grace-ms", "9000")
    made = announced(governor, *venue)
    governor.json("govern", "retract", "--announcement", made)
    told: list[dict[str, Any]] = trader.json("govern", "show")["announcements"]
    assert told[-1]["state"] == "retracted"
    assert told[-1]["parameters"] == {"posting_fee": 700, "grace_period": 9_000, "signer_index": 0, "signer": None}
    line, _ = trader.fails(15, "govern", "enact", "--announcement", made)
    assert "NOT_ANNOUNCED" in line
    again = announced(governor, *venue)
    assert again == made
    enacted(node, trader, again)
    assert [one["state"] for one in trader.json("govern", "show")["announcements"]][-2:] == ["retracted", "enacted"]
    # Whoever signed for the old fee would be refused.
    fill(trader, *order("ETH", "3500", "0.01"))
    line, _ = governor.fails(2, "govern", *venue, "--signer-index", "1")
    assert "go together" in line
    for seconds in ("-1", "nan"):
        result = trader.run("govern", "enact", "--announcement", made, "--timeout", seconds)
        assert (result.exit_code, "x>=0" in result.stderr) == (2, True)
    line, _ = trader.fails(2, "govern", "enact", "--announcement", "0x12")
    assert "32 bytes" in line
