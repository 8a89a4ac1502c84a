"""A trader without a terminal: builds and signs operations for one account; the devnet's market maker is one."""

from collections.abc import Callable
from typing import Any, Final

import structlog
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error
from l1_bridge.client.keys import Signer
from l1_bridge.codec import calls
from l1_bridge.contracts.artifact import load_artifact
from prover.signing import signatures
from prover.signing.typed_data import signed_fields
from prover.stf import constants, containers
from sequencer.client.client import NodeClient
from sequencer.client.errors import ClientError
from sequencer.schema.answers import MarketView

_LIFETIME_MS: Final = 60_000
_MAX_FEE_PPM: Final = 1_000
_MAX_POSTING_FEE_MICROS: Final = 100_000
_TOKEN_GAS: Final = 200_000
_DEPOSIT_GAS: Final = 400_000

SignedOrder = tuple[dict[str, Any], bytes]


class Trader:
    """One key, one account. Sequences are the clock's, so a later order replaces an earlier one in its slot."""

    def __init__(self, private_key: bytes, domain: bytes, now_ms: Callable[[], int], account: int = 0) -> None:
        self.address = signatures.address_of(private_key)
        self.account = account
        self._private_key = private_key
        self._domain = domain
        self._now_ms = now_ms

    def order(
        self,
        market: int,
        side: int,
        size_lots: int,
        limit_price_ticks: int,
        slot: int,
        time_in_force: int = constants.GOOD_TILL_TIME,
        post_only: bool = False,
    ) -> SignedOrder:
        """Signed fields of an order, and its signature."""
        now = self._now_ms()
        is_resting = time_in_force == constants.GOOD_TILL_TIME
        order = containers.Order(
            account=self.account,
            market=market,
            side=side,
            size=size_lots,
            limit_price=limit_price_ticks,
            slot=slot,
            sequence=now,
            created_at=now,
            expires_at=now + (_LIFETIME_MS if is_resting else constants.IMMEDIATE_LIFETIME),
            time_in_force=time_in_force,
            post_only=int(post_only),
            reduce_only=0,
            trigger=constants.NO_TRIGGER,
            trigger_price=0,
            max_fee_ppm=_MAX_FEE_PPM,
            max_posting_fee=_MAX_POSTING_FEE_MICROS,
            unused=0,
        )
        signature = signatures.sign(self._private_key, signatures.order_digest(self._domain, order))
        return signed_fields(constants.ORDER, order), signature

    def withdrawal(self, amount_micros: int, recipient: bytes, slot: int) -> SignedOrder:
        """Signed fields of a withdrawal, and its signature."""
        return self._request(constants.WITHDRAW, slot, amount_micros, recipient)

    def cancel(self, slot: int) -> SignedOrder:
        """Signed fields of a cancel of whatever stands in a slot, and its signature."""
        return self._request(constants.CANCEL, slot, 0, containers.NOBODY)

    def _request(self, tag: int, slot: int, amount_micros: int, recipient: bytes) -> SignedOrder:
        now = self._now_ms()
        request = containers.Request(
            account=self.account,
            slot=slot,
            sequence=now,
            created_at=now,
            expires_at=now + constants.REQUEST_LIFETIME,
            amount=amount_micros,
            other=0,
            recipient=recipient,
        )
        digest = signatures.request_digest(self._domain, tag, request)
        return signed_fields(tag, request), signatures.sign(self._private_key, digest)


def ladder(trader: Trader, market: MarketView, levels: int, value_dollars: int, step_ppm: int) -> list[SignedOrder]:
    """Post-only quotes on both sides of the oracle price, `step_ppm` apart; slots depend on market and level only."""
    quotes: list[SignedOrder] = []
    price = market.price_ticks
    if price == 0:
        return quotes
    size = max(1, value_dollars * 1_000_000 // price)
    for level in range(levels):
        away = max(1, price * step_ppm * (level + 1) // 1_000_000)
        slot = 1 + 2 * (market.index * levels + level)
        quotes.append(trader.order(market.index, constants.BUY, size, price - away, slot, post_only=True))
        quotes.append(trader.order(market.index, constants.SELL, size, price + away, slot + 1, post_only=True))
    return quotes


async def fund(client: L1Client, payer: Signer, token: bytes, bridge: bytes, deposits: list[tuple[bytes, int]]) -> None:
    """Play dollars for `payer`, deposited into a new account of each owner. Devnets only; amounts in micro-dollars."""
    dollars = load_artifact("MockDollar")
    total = sum(amount for _, amount in deposits)
    await client.send(payer, token, dollars.encode_call("mint", payer.address, total), gas=_TOKEN_GAS)
    await client.send(payer, token, dollars.encode_call("approve", bridge, total), gas=_TOKEN_GAS)
    for owner, amount in deposits:
        data = calls.encode_deposit(owner, constants.NEW_ACCOUNT, amount)
        await client.send(payer, bridge, data, gas=_DEPOSIT_GAS)


async def make_markets(trader: Trader, node: NodeClient, levels: int = 5) -> None:
    """Quotes every market around the oracle price for ever; a devnet's first counterparty."""
    log = structlog.get_logger("maker")
    quoted_at = 0
    while True:
        try:
            markets = await node.markets()
            if markets[0].tick_time_ms != quoted_at:
                quoted_at = markets[0].tick_time_ms
                for market in markets:
                    await node.orders(ladder(trader, market, levels, value_dollars=2_000, step_ppm=300))
        except (ClientError, L1Error) as error:
            log.warning("maker.waits", error=str(error))
        await trio.sleep(1.0)
