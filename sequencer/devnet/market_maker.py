"""A devnet's market maker: quotes around the oracle price, so that whoever comes first finds somebody to trade with."""

import structlog
import trio

from l1_bridge.client.errors import L1Error
from prover.stf import constants
from sequencer.client.client import NodeClient
from sequencer.client.errors import ClientError
from sequencer.devnet.signing_account import SignedMessage, SigningAccount
from sequencer.schema.answers import MarketView


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
    """Quotes every market around the oracle price for ever; a devnet's first counterparty."""
    log = structlog.get_logger("maker")
    quoted_at = 0
    while True:
        try:
            markets = await node.markets()
            if markets[0].tick_time_ms != quoted_at:
                quoted_at = markets[0].tick_time_ms
                for market in markets:
                    await node.orders(ladder(maker, market, levels, value_dollars=2_000, step_ppm=300))
        except (ClientError, L1Error) as error:
            log.warning("maker.waits", error=str(error))
        await trio.sleep(1.0)
