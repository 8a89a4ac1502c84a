"""The venue's objects in Hyperliquid's shapes. What the venue does not tell is null or left out, never made up."""

from collections.abc import Sequence
from typing import Any, Final

from prover.stf import constants
from sequencer.gateway.exact import dollars, mean_price, oid_of, ratio
from sequencer.gateway.trader import Wanted
from sequencer.schema.accounts import AccountView, OpenOrder, PositionView
from sequencer.schema.answers import Book, FillView, MarketView, OrderEvent, OrderResult
from sequencer.schema.history import OwnFillView, StatisticsView
from sequencer.wallet.units import units_text

_PPM: Final = 1_000_000
_RATE_DECIMALS: Final = 9
# Of a fraction of margin, and of a mean price of entry.
_FRACTION_DECIMALS: Final = 6
_HASH: Final = "0x" + "0" * 64
# By status, and where that says too little by the reason.
_STATUS: Final = {
    "resting": "open",
    "partially_filled": "open",
    "armed": "open",
    "dormant": "open",
    "filled": "filled",
    "refused": "rejected",
    "reduced": "reduceOnlyCanceled",
    "expired": "canceled",
    "cancelled": "canceled",
    "voided": "canceled",
}
_REASON: Final = {
    "margin": "marginCanceled",
    "self_trade": "selfTradeCanceled",
    "linked": "siblingFilledCanceled",
    "scheduled": "scheduledCancel",
    "market": "delistedCanceled",
    "unfilled": "iocCancelRejected",
}
_TIF: Final = {constants.GOOD_TILL_TIME: "Gtc", constants.IMMEDIATE_OR_CANCEL: "Ioc", constants.FILL_OR_KILL: "Fok"}


def side_letter(side: str | int) -> str:
    """B buys, A sells."""
    return "B" if side in ("buy", constants.BUY) else "A"


def price(market: MarketView, ticks: int) -> str:
    """Ticks as a decimal."""
    return units_text(ticks, market.price_decimals)


def size(market: MarketView, lots: int) -> str:
    """Lots as a decimal."""
    return units_text(lots, market.size_decimals)


def middle(market: MarketView, book: Book) -> str | None:
    """The middle of the best bid and ask; None where one of them is missing."""
    if not book.bids or not book.asks:
        return None
    return ratio(book.bids[0][0] + book.asks[0][0], 2 * 10**market.price_decimals, market.price_decimals + 1)


def most_leverage(market: MarketView) -> int:
    """The largest whole multiple that a new position may have today."""
    # -1 where nothing may grow.
    growing = market.growing_initial_ppm
    return max(1, _PPM // growing) if growing > 0 else 1


def meta(markets: Sequence[MarketView]) -> dict[str, Any]:
    """Markets by index, which is the asset's number."""
    return {
        "universe": [
            {
                "name": market.name,
                "szDecimals": market.size_decimals,
                "maxLeverage": most_leverage(market),
                "marginTableId": market.index,
                **({} if market.status == "open" else {"isDelisted": True}),
            }
            for market in markets
        ],
        "marginTables": [
            [
                market.index,
                {
                    "description": market.name,
                    "marginTiers": [{"lowerBound": "0.0", "maxLeverage": most_leverage(market)}],
                },
            ]
            for market in markets
        ],
        "collateralToken": 0,
    }


def spot_meta() -> dict[str, Any]:
    """There is no spot market; the one token is the collateral."""
    token = {
        "name": "USDC",
        "szDecimals": 8,
        "weiDecimals": 8,
        "index": 0,
        "tokenId": "0x" + "0" * 32,
        "isCanonical": True,
        "evmContract": None,
        "fullName": None,
    }
    return {"tokens": [token], "universe": []}


def context(market: MarketView, book: Book, day: StatisticsView | None) -> dict[str, Any]:
    """What is told of a market beside its rules; day: of its last 24 hours. The mark is the oracle price: the law
    knows no other."""
    oracle = price(market, market.price_ticks)
    opened = None if day is None else day.open_ticks
    return {
        "funding": ratio(market.funding_rate_ppb, 10**_RATE_DECIMALS, _RATE_DECIMALS),
        "openInterest": size(market, market.open_interest_lots),
        "premium": ratio(market.premium_ppb, 10**_RATE_DECIMALS, _RATE_DECIMALS),
        "oraclePx": oracle,
        "markPx": oracle,
        "midPx": middle(market, book),
        "impactPxs": None,
        "prevDayPx": None if opened is None else price(market, opened),
        "dayNtlVlm": None if day is None else dollars(day.volume_micros),
        "dayBaseVlm": None if day is None else size(market, day.volume_lots),
    }


def levels(market: MarketView, book: Book, time_ms: int) -> dict[str, Any]:
    """A book. n is 0: how many orders stand in a level is not told."""
    sides = [
        [{"px": price(market, ticks), "sz": size(market, lots), "n": 0} for ticks, lots in side]
        for side in (book.bids, book.asks)
    ]
    return {"coin": market.name, "time": time_ms, "levels": sides}


def bbo(market: MarketView, book: Book, time_ms: int) -> dict[str, Any]:
    """The best bid and ask; null where there is none."""
    best = [side[0] if side else None for side in levels(market, book, time_ms)["levels"]]
    return {"coin": market.name, "time": time_ms, "bbo": best}


def clearinghouse(view: AccountView, markets: dict[str, MarketView], time_ms: int) -> dict[str, Any]:
    """An account: one pool of collateral behind all positions."""
    value = sum(position.value_micros for position in view.positions)
    summary = {
        "accountValue": dollars(view.equity_micros),
        "totalNtlPos": dollars(view.notional_micros),
        "totalRawUsd": dollars(view.equity_micros - value),
        "totalMarginUsed": dollars(view.initial_micros),
    }
    return {
        "marginSummary": summary,
        "crossMarginSummary": summary,
        "crossMaintenanceMarginUsed": dollars(view.maintenance_micros),
        "withdrawable": dollars(view.withdrawable_micros),
        "assetPositions": [
            {"type": "oneWay", "position": _position(held, markets[held.market])} for held in view.positions
        ],
        "time": time_ms,
    }


def _position(held: PositionView, market: MarketView) -> dict[str, Any]:
    liquidation = held.liquidation_price_ticks
    entry = abs(held.cost_micros)
    return {
        "coin": held.market,
        "szi": size(market, held.size_lots),
        "entryPx": mean_price(entry, abs(held.size_lots), market.price_decimals),
        "positionValue": dollars(held.notional_micros),
        "unrealizedPnl": dollars(held.unrealised_micros),
        "returnOnEquity": ratio(held.unrealised_micros, held.initial_micros, _FRACTION_DECIMALS),
        "liquidationPx": None if liquidation is None else price(market, liquidation),
        "marginUsed": dollars(held.initial_micros),
        "maxLeverage": most_leverage(market),
        "leverage": {"type": "cross", "value": most_leverage(market)},
    }


def open_order(order: OpenOrder, market: MarketView) -> dict[str, Any]:
    """An open order, with what front ends show of it."""
    is_trigger = order.trigger != constants.NO_TRIGGER
    is_above = order.trigger == constants.TRIGGER_AT_OR_ABOVE
    trigger = price(market, order.trigger_price_ticks)
    tif = "Alo" if order.post_only else _TIF[order.time_in_force]
    return {
        "coin": order.market,
        "side": side_letter(order.side),
        "limitPx": price(market, order.limit_price_ticks),
        "sz": size(market, order.remaining_lots),
        "oid": oid_of(order.order_id),
        "timestamp": order.sequence,
        "origSz": size(market, order.size_lots),
        "cloid": order.client_id or None,
        "reduceOnly": order.reduce_only,
        "orderType": _order_type(is_trigger, is_above == (order.side == "buy"), tif),
        "tif": tif,
        "isTrigger": is_trigger and order.status in ("armed", "dormant"),
        "triggerPx": trigger if is_trigger else "0.0",
        "triggerCondition": f"Price {'above' if is_above else 'below'} {trigger}" if is_trigger else "N/A",
        "isPositionTpsl": False,
        "children": [],
    }


def _order_type(is_trigger: bool, is_stop: bool, tif: str) -> str:
    """A stop buys above and sells below."""
    if not is_trigger:
        return "Limit"
    return f"{'Stop' if is_stop else 'Take Profit'} {'Market' if tif == 'Ioc' else 'Limit'}"


def wanted_order(number: int, wanted: Wanted, market: MarketView, remaining: int) -> dict[str, Any]:
    """An order that left, as it was placed here."""
    terms = wanted.terms
    is_trigger = terms.trigger != constants.NO_TRIGGER
    is_above = terms.trigger == constants.TRIGGER_AT_OR_ABOVE
    tif = "Alo" if terms.post_only else _TIF[terms.time_in_force]
    return {
        "coin": market.name,
        "side": side_letter(terms.side),
        "limitPx": price(market, terms.limit_price),
        "sz": size(market, remaining),
        "oid": number,
        "timestamp": number >> 8,
        "origSz": size(market, terms.size),
        "cloid": wanted.client_id or None,
        "reduceOnly": terms.reduce_only,
        "orderType": _order_type(is_trigger, is_above == (terms.side == constants.BUY), tif),
        "tif": tif,
        "isTrigger": is_trigger,
        "triggerPx": price(market, terms.trigger_price) if is_trigger else "0.0",
        "triggerCondition": "N/A",
        "isPositionTpsl": False,
        "children": [],
    }


def told_order(result: OrderResult, market: MarketView) -> dict[str, Any]:
    """An order that left and was placed elsewhere: its limit is not told any more."""
    first = result.events[0]
    return {
        "coin": market.name,
        "side": side_letter(first.side),
        "limitPx": None,
        "sz": size(market, result.remaining_lots),
        "oid": oid_of(result.order_id),
        "timestamp": oid_of(result.order_id) >> 8,
        "origSz": size(market, first.filled_lots + first.remaining_lots),
        "cloid": result.client_id or None,
    }


def order_status(status: str, reason: str) -> str:
    """A status in Hyperliquid's words."""
    if status in ("cancelled", "expired"):
        return _REASON.get(reason, "canceled")
    return _STATUS.get(status, status)


def update(event: OrderEvent, market: MarketView, wanted: Wanted | None) -> dict[str, Any]:
    """One step of an order's life."""
    number = oid_of(event.order_id)
    if wanted is not None:
        order = wanted_order(number, wanted, market, event.remaining_lots)
    else:
        order = {
            "coin": market.name,
            "side": side_letter(event.side),
            "limitPx": None,
            "sz": size(market, event.remaining_lots),
            "oid": number,
            "timestamp": number >> 8,
            "origSz": size(market, event.filled_lots + event.remaining_lots),
            "cloid": event.client_id or None,
        }
    status = "triggered" if event.event == "triggered" else order_status(event.status, event.reason)
    return {"order": order, "status": status, "statusTimestamp": event.time_ms}


def own_fill(fill: OwnFillView, market: MarketView) -> dict[str, Any]:
    """A fill as its account has it: with its own fee, what it began with and what the law has booked."""
    is_buy = fill.side == "buy"
    began = fill.position_lots - (fill.size_lots if is_buy else -fill.size_lots)
    return {
        "coin": fill.market,
        "px": price(market, fill.price_ticks),
        "sz": size(market, fill.size_lots),
        "side": "B" if is_buy else "A",
        "time": fill.time_ms,
        "startPosition": size(market, began),
        "dir": "Buy" if is_buy else "Sell",
        "closedPnl": dollars(fill.realised_micros),
        "hash": _HASH,
        "oid": _number(fill.order_id),
        "crossed": fill.role != "maker",
        "fee": dollars(fill.fee_micros),
        "tid": _place_number(fill.chunk, fill.operation_index),
        "feeToken": "USDC",
    }


def trade(fill: FillView, market: MarketView) -> dict[str, Any]:
    """A fill as everybody sees it."""
    return {
        "coin": fill.market,
        "side": side_letter(fill.taker_side),
        "px": price(market, fill.price_ticks),
        "sz": size(market, fill.size_lots),
        "hash": _HASH,
        "time": fill.time_ms,
        "tid": _place_number(fill.chunk, fill.operation_index),
    }


def _number(order_id: str) -> int:
    return oid_of(order_id) if order_id else 0


def _place_number(chunk: int, operation: int) -> int:
    """Where a fill stands: no two share a place of a chunk."""
    return chunk << 20 | operation


def placed_status(number: int, result: OrderResult, market: MarketView) -> dict[str, Any] | None:
    """What a program that has just placed an order reads; None where nothing of it rests, waits or was filled."""
    if _STATUS.get(result.status) == "open":
        return {"resting": {"oid": number}}
    if result.filled_lots == 0:
        return None
    quote = sum(fill.price_ticks * fill.size_lots for fill in result.fills)
    told = sum(fill.size_lots for fill in result.fills)
    # Of what was filled long ago the prices are not told with it.
    mean = mean_price(quote, told, market.price_decimals) if told else None
    return {"filled": {"totalSz": size(market, result.filled_lots), "avgPx": mean, "oid": number}}
