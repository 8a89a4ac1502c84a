"""The demo's oracle, played by its driver."""

from functools import partial

import msgspec
import trio

from prover.signing.reports import signed_report
from prover.signing.signatures import sign
from prover.stf import constants
from sequencer.client.client import NodeClient
from sequencer.client.clock import wall_clock_ms
from sequencer.client.errors import ClientError
from sequencer.devnet.prices import DEVNET_QUORUM, RandomWalk, devnet_signer_keys
from sequencer.schema.answers import MarketView


class PlayedOracle:
    """A devnet's signers: a seeded walk at every grid time, or a price that the driver holds."""

    def __init__(self, domain: bytes, markets: list[MarketView], seed: int) -> None:
        self._domain = domain
        labels = [(market.name, market.size_decimals) for market in markets]
        self._walk = RandomWalk(seed, labels, [market.price_ticks for market in markets])
        self._held: dict[int, int] = {}
        self._ticked = trio.Event()
        self.node: NodeClient | None = None

    def hold(self, market: int, price_ticks: int) -> None:
        """From the next grid time on, this price; the walk goes on from it once it is let go."""
        self._held[market] = price_ticks

    def let_go(self) -> None:
        """The walk again."""
        self._held.clear()

    async def next_tick(self) -> None:
        """Until the next grid time has been reported to the end."""
        await self._ticked.wait()

    async def run(self) -> None:
        """Reports at every grid time. Where the node is away, nobody hears it: that is an outage."""
        last = 0
        while True:
            now = wall_clock_ms()
            step = now - now % constants.TICK_STEP
            if step > last and self.node is not None:
                last = step
                prices, premiums = self._walk.step()
                for market, price in self._held.items():
                    self._walk.prices[market] = prices[market] = price
                await self._report(self.node, step, prices, premiums)
                done, self._ticked = self._ticked, trio.Event()
                done.set()
            await trio.sleep(
                0.05 if self.node is None else (constants.TICK_STEP - now % constants.TICK_STEP + 20) / 1e3
            )

    async def _report(self, node: NodeClient, step: int, prices: list[int], premiums: list[int]) -> None:
        for index, key in enumerate(devnet_signer_keys()[:DEVNET_QUORUM]):
            report = signed_report(self._domain, partial(sign, key), step, index, prices, premiums)
            try:
                with trio.move_on_after(2):
                    await node.report(msgspec.structs.asdict(report))
            except ClientError:
                continue
