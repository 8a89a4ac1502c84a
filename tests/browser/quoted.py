"""A venue whose prices stand still and whose book changes when a test says so: what is read twice is the same."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import trio

from prover.stf.constants import BUY, SELL
from sequencer.client.clock import wall_clock_ms
from sequencer.devnet.signing_account import SigningAccount
from tests.sequencer.node_process import PRICES, Node, funded, node_inside, some_l1, still_prices

STILL: Final = ("--no-maker", "--no-oracle", "--window", "3", "--seal-seconds", "0.2", "--post-interval", "0.5")
# Half a spread, in ticks of each market; whatever a test asks for is there at one price.
AWAY: Final = (60, 30, 150)
LOTS: Final = (200_000, 200_000, 200_000)
_DOLLARS: Final = 100_000


class Quoted:
    """The venue and its one maker. `prices`: oracle prices from the next tick on, in ticks."""

    def __init__(self, node: Node, prices: list[int]) -> None:
        self.node = node
        self.prices = prices
        self._maker = SigningAccount(secrets.token_bytes(32), node.domain, wall_clock_ms)
        trio.run(funded, node, [self._maker], _DOLLARS * 10**6)

    def quote(self, market: int, side: int, lots: int, ticks: int, slot: int) -> None:
        """One order that rests, in place of the one in its slot."""
        order, signature = self._maker.order(market, side, lots, ticks, slot)
        self.node.client.call("catenary_order", order=order, signature="0x" + signature.hex())

    def around(self, market: int) -> None:
        """The usual quotes of a market, anew."""
        self.quote(market, BUY, LOTS[market], self.prices[market] - AWAY[market], 1 + 2 * market)
        self.quote(market, SELL, LOTS[market], self.prices[market] + AWAY[market], 2 + 2 * market)

    def account(self, number: int) -> dict[str, Any]:
        """As the node tells it."""
        found: dict[str, Any] = self.node.client.call("catenary_account", account=number)
        return found


@contextmanager
def quoted(directory: Path) -> Iterator[Quoted]:
    """A devnet's node on an L1 that its page may ask."""
    prices = list(PRICES)
    with (
        some_l1(directory / "l1") as l1,
        node_inside(
            directory / "node", "--l1-rpc-url", l1.url, "--deploy", "--page-l1-url", l1.url, usual=STILL
        ) as node,
        still_prices(node.url, node.domain, prices),
    ):
        found = Quoted(node, prices)
        for market in range(len(prices)):
            found.around(market)
        yield found
