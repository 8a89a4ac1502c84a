"""The books of a venue: what effects come to, row by row, in the lists of accounts and markets."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from prover.stf import constants, containers, markets
from sequencer.engine.effects import AnyEffect, Filled, Moved, Rescued, Settled, Ticked
from sequencer.engine.records import Fill
from sequencer.history.lists import Lists
from sequencer.history.records import (
    CANDLES,
    FILLS,
    HOUR,
    INTERVALS,
    MOVEMENTS,
    OF_ORACLE,
    OF_TRADES,
    PAYMENTS,
    RATES,
    TRADES,
    Candle,
    Movement,
    OwnFill,
    Payment,
    Rate,
    Trade,
    series_of,
)

_LENGTHS: Final = tuple(enumerate(INTERVALS.values()))
# Whoever is liquidated against an order has none.
_LIQUIDATED: Final = "liquidation"
_SETTLED: Final = "settlement"


# What is booked; of other effects there is nothing to book.
BOOKED: Final = (Filled, Settled, Moved, Ticked, Rescued)


class Seen(msgspec.Struct, frozen=True):
    """What effects are booked by: the chunk, its clock, ms, the globals behind them, and clients' names of orders."""

    chunk: int
    time: int
    globals: containers.Globals
    clients: Mapping[str, str] = {}


class Books:
    """The lists, and who writes into them."""

    def __init__(self, lists: Lists) -> None:
        self.lists = lists

    def book(self, effects: Sequence[AnyEffect], seen: Seen) -> None:
        """Books what an input, or a chunk of L1, came to."""
        for effect in effects:
            if isinstance(effect, Filled):
                self._filled(effect, seen)
            elif isinstance(effect, Settled):
                self._settled(effect, seen)
            elif isinstance(effect, Moved):
                self._moved(effect, seen)
            elif isinstance(effect, Ticked):
                self._ticked(effect, seen)
            elif isinstance(effect, Rescued):
                self._rescued(effect, seen)

    def _filled(self, effect: Filled, seen: Seen) -> None:
        fill = effect.fill
        self.lists.append(TRADES, fill.market, Trade(fill.time, effect.sequence, fill.chunk, fill))
        self._traded(fill)
        bought = fill.size if fill.maker_side == constants.BUY else -fill.size
        sides = (
            (fill.maker, "maker", bought, effect.maker_fee, fill.maker_order, effect.maker, fill.taker),
            (fill.taker, "taker", -bought, effect.taker_fee, fill.taker_order, effect.taker, fill.maker),
        )
        for account, role, lots, fee, order, behind, other in sides:
            own = OwnFill(
                time=fill.time,
                mark=effect.sequence,
                chunk=fill.chunk,
                market=fill.market,
                role=role if order else _LIQUIDATED,
                lots=lots,
                price=fill.price,
                fee=fee,
                order=order,
                client=seen.clients.get(order, ""),
                position=behind.lots,
                realised=behind.realised,
                collateral=behind.collateral,
                other=other,
                operation=fill.operation,
            )
            self.lists.append(FILLS, account, own)

    def _traded(self, fill: Fill) -> None:
        for place, length in _LENGTHS:
            self.candle(series_of(fill.market, OF_TRADES, place), length, fill.time, fill.price).add(fill)

    def candle(self, series: int, length: int, time: int, price: int) -> Candle:
        """The candle of a series that a price belongs to, with that price in it."""
        start = time - time % length
        candle: Candle | None = self.lists.go_on(CANDLES, series, start)
        if candle is None:
            candle = Candle(start, start, 0, price, price, price, price)
            self.lists.begin(CANDLES, series, candle)
        candle.high, candle.low = max(candle.high, price), min(candle.low, price)
        candle.close = price
        return candle

    def _rescued(self, effect: Rescued, seen: Seen) -> None:
        """What was taken over, deleveraged or closed without an order: both sides have it among their fills."""
        record, sides = effect.record, effect.sides
        if record is None:
            return
        if sides is None:
            # The fill stands there already; what the rescue itself has cost is known now.
            own: OwnFill = self.lists.last(FILLS, record.account)
            own.fee += record.fee_micros
            return
        both = (
            (record.account, sides.bought, record.fee_micros, sides.rescued, record.counterparty),
            (record.counterparty, -sides.bought, 0, sides.other, record.account),
        )
        for account, own_lots, fee, left, other in both:
            own = OwnFill(
                time=seen.time,
                mark=effect.sequence,
                chunk=record.chunk,
                market=record.market,
                role=record.kind,
                lots=own_lots,
                price=record.price_ticks,
                fee=fee,
                order="",
                client="",
                position=left.lots,
                realised=left.realised,
                collateral=left.collateral,
                other=other,
                operation=record.operation,
            )
            self.lists.append(FILLS, account, own)

    def _settled(self, effect: Settled, seen: Seen) -> None:
        touch = effect.touch
        if touch.funding:
            payment = Payment(seen.time, effect.sequence, seen.chunk, touch.paid, touch.collateral, touch.funding)
            self.lists.append(PAYMENTS, effect.account, payment)
        for place, leg in enumerate(touch.folded):
            own = OwnFill(
                time=seen.time,
                mark=effect.sequence + place,
                chunk=seen.chunk,
                market=leg.market,
                role=_SETTLED,
                lots=-leg.lots,
                price=seen.globals.risk.price[leg.market],
                fee=0,
                order="",
                client="",
                position=0,
                realised=leg.realised,
                collateral=touch.collateral,
                other=constants.FEE_ACCOUNT,
                operation=0,
            )
            self.lists.append(FILLS, effect.account, own)

    def _moved(self, effect: Moved, seen: Seen) -> None:
        movement = Movement(
            time=seen.time,
            mark=effect.sequence,
            chunk=seen.chunk,
            kind=effect.kind,
            amount=effect.amount,
            fee=effect.fee,
            other=effect.other,
            withdrawal=effect.withdrawal,
            collateral=effect.collateral,
        )
        self.lists.append(MOVEMENTS, effect.account, movement)

    def _ticked(self, effect: Ticked, seen: Seen) -> None:
        for market, price in enumerate(effect.prices[: effect.markets]):
            if not price:
                continue
            for place, length in _LENGTHS:
                series = series_of(market, OF_ORACLE, place)
                last: Candle | None = self.lists.last(CANDLES, series)
                # Behind a re-sequencing a tick may be older than what was said before it, which stays said.
                if last is None or effect.time_ms >= last.time:
                    self.candle(series, length, effect.time_ms, price)
            self._accrued(market, effect.time_ms, seen.globals)

    def _accrued(self, market: int, time: int, globals: containers.Globals) -> None:
        listed, index = globals.markets[market], globals.risk.funding_index[market]
        hour = time - time % HOUR
        row: Rate | None = self.lists.go_on(RATES, market, hour)
        if row is None:
            last: Rate | None = self.lists.last(RATES, market)
            row = Rate(hour, hour, 0, index if last is None else last.index, index, 0, 0, 0)
            self.lists.begin(RATES, market, row)
        row.index, row.premium, row.price = index, listed.premium_ppb, globals.risk.price[market]
        row.rate = markets.funding_rate(listed.funding_terms, listed.premium_ppb)
