"""A devnet's market maker: quotes around the oracle price, so that whoever comes first finds somebody to trade with."""

from typing import Final

import structlog

from prover.stf import constants
from sequencer.client.client import NodeClient
from sequencer.client.delivery import delivered
from sequencer.client.errors import ClientError
from sequencer.client.feeds import Away, Feeds, Gap
from sequencer.devnet.signing_account import SignedMessage, SigningAccount
from sequencer.schema.answers import MarketView

# A quote that is older than a tick is worth nothing: the next one takes its place.
_QUOTE_SECONDS: Final = constants.TICK_STEP / 1_000


def ladder(
    maker: SigningAccount, market: MarketView, levels: int, value_dollars: int, step_ppm: int
) -> list[SignedMessage]:
    """Post-only quotes on both sides of the oracle price, `step_ppm` apart; slots depend on market and level only."""
    quotes: list[SignedMessage] = []
    price = market.price_ticks
    if price == 0:
        return quotes
    size = max(1, value_dollars * 1_000_000 // price)
    for level in range(levels):
        away = max(1, price * step_ppm * (level + 1) // 1_000_000)
        slot = 1 + 2 * (market.index * levels + level)
        quotes.append(maker.order(market.index, constants.BUY, size, price - away, slot, post_only=True))
        quotes.append(maker.order(market.index, constants.SELL, size, price + away, slot + 1, post_only=True))
    return quotes


async def make_markets(maker: SigningAccount, node: NodeClient, levels: int = 5) -> None:
    """Quotes every market around the oracle price at each tick, for ever; a devnet's first counterparty."""
    log = structlog.get_logger("maker")
    async with Feeds(node.url, ["prices"]) as feeds:
        async for frame in feeds:
            if isinstance(frame, Away | Gap):
                log.warning("maker.waits", error=str(frame))
                continue
            for market in frame.data:
                quotes = ladder(maker, market, levels, value_dollars=2_000, step_ppm=300)
                try:
                    await delivered(node, quotes, within_seconds=_QUOTE_SECONDS)
                except ClientError as error:
                    log.warning("maker.waits", error=str(error))
