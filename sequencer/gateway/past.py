"""What was, as /info tells it: candles, funding, orders and money that came or left, page by page from the node."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from sequencer.client.client import NodeClient
from sequencer.gateway import shapes
from sequencer.gateway.exact import dollars, ratio
from sequencer.gateway.refusals import Refused
from sequencer.gateway.trader import Trader
from sequencer.schema.answers import MarketView, OrderResult
from sequencer.schema.history import MOST_ORDERS, MOST_ROWS, CandleView, FundingLeg, TransferView

Question = Mapping[str, Any]
# Of an account behind a cursor, with the next one.
Since = Callable[[int, str], Awaitable[tuple[list[dict[str, Any]], str]]]

# Of a time as the node takes it, in milliseconds.
LATEST: Final = 2**48 - 2
INTERVALS: Final = {
    "1m": 60_000,
    "5m": 300_000,
    "15m": 900_000,
    "1h": 3_600_000,
    "4h": 14_400_000,
    "1d": 86_400_000,
}
# Pages of candles for one question: Hyperliquid gives 5,000.
_CANDLE_PAGES: Final = 10
_ORDER_PAGES: Final = 4
# Funding of a position is kept in 10^-9 of a micro-dollar.
_NANO_DOLLARS: Final = 10**15
_USDC_DECIMALS: Final = 12
_RATE: Final = 10**9
_RATE_DECIMALS: Final = 9
_HASH: Final = "0x" + "0" * 64
_LEDGER: Final = {"deposit": "deposit", "withdrawal": "withdraw", "transfer": "internalTransfer", "fee": "fee"}


class Past:
    """Answers for markets and for every account that is served."""

    def __init__(
        self,
        node: NodeClient,
        market: Callable[[Question], Awaitable[MarketView]],
        trader: Callable[[Question], Trader],
    ) -> None:
        """market, trader: which one a question names; Refused where there is none."""
        self._node = node
        self._market = market
        self._trader = trader

    async def candles(self, question: Question) -> Any:
        """The newest candles of a market's trades between two times, the oldest first; where none traded is none."""
        asked = question.get("req")
        asked = asked if isinstance(asked, dict) else {}
        market, interval = await self._market(asked), interval_of(asked)
        span: dict[str, Any] = between(asked)
        found: list[CandleView] = []
        older = ""
        for _ in range(_CANDLE_PAGES):
            page = await self._node.candles(market.name, interval, limit=MOST_ROWS, before=older, **span)
            found += page.candles
            older = page.older
            if not older:
                break
        return [candle_told(candle, market, interval) for candle in reversed(found)]

    async def newest_candle(self, question: Question) -> dict[str, Any] | None:
        """The one that a market's next trade changes or follows; None where nothing was traded."""
        market, interval = await self._market(question), interval_of(question)
        page = await self._node.candles(market.name, interval, limit=1)
        return candle_told(page.candles[0], market, interval) if page.candles else None

    async def funding(self, question: Question) -> Any:
        """A market's funding hour by hour, the oldest first."""
        market = await self._market(question)
        page = await self._node.funding_rates(market.name, limit=MOST_ROWS, **between(question))
        return [
            {
                "coin": market.name,
                "fundingRate": ratio(each.rate_ppb, _RATE, _RATE_DECIMALS),
                "premium": ratio(each.premium_ppb, _RATE, _RATE_DECIMALS),
                "time": each.hour_ms,
            }
            for each in reversed(page.rates)
        ]

    async def user_funding(self, question: Question) -> Any:
        """Funding that an account received, negative where it paid, by position; the oldest first."""
        trader = self._trader(question)
        page = await self._node.funding_payments(trader.account, limit=MOST_ROWS, **between(question))
        markets = {market.name: market for market in await self._node.markets()}
        return [
            {"time": payment.time_ms, "hash": _HASH, "delta": {"type": "funding", **_leg(leg, markets)}}
            for payment in reversed(page.payments)
            for leg in payment.positions
        ]

    async def paid(self, account: int, after: str) -> tuple[list[dict[str, Any]], str]:
        """What an account received since a cursor, the newest page of it for an empty one; and the next cursor."""
        page = await self._node.funding_payments(account, limit=MOST_ROWS, after=after)
        markets = {market.name: market for market in await self._node.markets()}
        payments = page.payments if after else page.payments[::-1]
        told = [{"time": each.time_ms, **_leg(leg, markets)} for each in payments for leg in each.positions]
        return told, page.newer

    async def filled(self, account: int, after: str) -> tuple[list[dict[str, Any]], str]:
        """Fills of an account, the oldest first, by cursors as `paid`."""
        page = await self._node.fills(account, limit=MOST_ROWS, after=after)
        markets = {market.name: market for market in await self._node.markets()}
        fills = page.fills if after else page.fills[::-1]
        return [shapes.own_fill(fill, markets[fill.market]) for fill in fills], page.newer

    async def ledger(self, question: Question) -> Any:
        """Money that came or left beside trades, the oldest first."""
        trader = self._trader(question)
        page = await self._node.transfers(trader.account, limit=MOST_ROWS, **between(question))
        return [_entry(each) for each in reversed(page.transfers)]

    async def orders(self, trader: Trader) -> list[OrderResult]:
        """An account's newest orders, the newest first."""
        found: list[OrderResult] = []
        older = ""
        for _ in range(_ORDER_PAGES):
            page = await self._node.order_history(trader.account, older, MOST_ORDERS)
            found += page.orders
            older = page.older
            if not older:
                break
        return found


def between(question: Question) -> dict[str, int]:
    """From startTime to endTime, both included, as a page is asked for."""
    since, until = _time(question, "startTime", 0), _time(question, "endTime", LATEST)
    return {"from_ms": min(max(since, 0), LATEST), "to_ms": min(max(until, 0), LATEST) + 1}


def _time(question: Question, name: str, default: int) -> int:
    value = question.get(name)
    if value is None:
        return default
    if type(value) is not int:
        raise Refused(f"{name} is a time in milliseconds")
    return value


def interval_of(question: Question) -> str:
    """The length of candles that a question names; Refused for one that there is not."""
    interval = question.get("interval")
    if not isinstance(interval, str) or interval not in INTERVALS:
        raise Refused(f"interval {str(interval)[:16]!r} is none of {', '.join(INTERVALS)}")
    return interval


def candle_told(candle: CandleView, market: MarketView, interval: str) -> dict[str, Any]:
    """One candle."""
    return {
        "t": candle.start_ms,
        "T": candle.start_ms + INTERVALS[interval] - 1,
        "s": market.name,
        "i": interval,
        "o": shapes.price(market, candle.open_ticks),
        "c": shapes.price(market, candle.close_ticks),
        "h": shapes.price(market, candle.high_ticks),
        "l": shapes.price(market, candle.low_ticks),
        "v": shapes.size(market, candle.volume_lots),
        "n": candle.trades,
    }


def _leg(leg: FundingLeg, markets: Mapping[str, MarketView]) -> dict[str, Any]:
    return {
        "coin": leg.market,
        "usdc": ratio(-leg.owed_nanos, _NANO_DOLLARS, _USDC_DECIMALS),
        "szi": shapes.size(markets[leg.market], leg.size_lots),
        "fundingRate": None,
        "nSamples": None,
    }


def _entry(moved: TransferView) -> dict[str, Any]:
    kind = _LEDGER.get(moved.kind, moved.kind)
    # A withdrawal is told without a sign, what else left with one.
    amount = abs(moved.amount_micros) if kind == "withdraw" else moved.amount_micros
    delta: dict[str, Any] = {"type": kind, "usdc": dollars(amount), "fee": dollars(moved.fee_micros)}
    if kind == "withdraw":
        delta["nonce"] = moved.time_ms
    return {"time": moved.time_ms, "hash": _HASH, "delta": delta}
