"""What open orders reserve of an account's margin, by one function for orders, previews and accounts as they are told.

Per market the worse of two counts: every buy filled, or every sell. A side that can only shrink the position reserves
nothing, nor does a reduce-only order. What an order's limit is worse than the price at which it may be filled counts
in full: the oracle price, or the trigger price of an order that waits for it. What it is better by takes nothing off.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from prover.stf import constants, containers, encoding, margin


class Sums(msgspec.Struct, frozen=True):
    """Open orders of an account in one market: lots of each side, and what their limits are worse; micro-dollars."""

    buy_lots: int = 0
    sell_lots: int = 0
    buy_worse: int = 0
    sell_worse: int = 0

    def plus(self, order: containers.Order, lots: int, worse: int) -> "Sums":
        """With so many lots more of an order's side, or less."""
        if order.side == constants.BUY:
            return Sums(self.buy_lots + lots, self.sell_lots, self.buy_worse + worse, self.sell_worse)
        return Sums(self.buy_lots, self.sell_lots + lots, self.buy_worse, self.sell_worse + worse)


NOTHING: Final = Sums()
Open = Mapping[int, Sums]


def worse_by(order: containers.Order, is_armed: bool, price: int) -> int:
    """What one lot at an order's limit is worse than at the price at which it may be filled, in ticks."""
    measure = order.trigger_price if is_armed else price
    worse = order.limit_price - measure if order.side == constants.BUY else measure - order.limit_price
    return worse if worse > 0 else 0


def with_lots(open: Open, order: containers.Order, lots: int, is_armed: bool, price: int) -> dict[int, Sums]:
    """As if so many lots of an order were open as well, or, below zero, were not; reduce-only ones reserve nothing."""
    found = dict(open)
    if order.reduce_only == 0 and lots != 0:
        sums = found.get(order.market, NOTHING).plus(order, lots, lots * worse_by(order, is_armed, price))
        found[order.market] = sums
        if sums == NOTHING:
            del found[order.market]
    return found


class Cover(msgspec.Struct, frozen=True):
    """A settled account beside its open orders; micro-dollars."""

    equity: int
    required: int

    @property
    def free(self) -> int:
        """What neither positions nor open orders need; below zero where they need more than there is."""
        return self.equity - self.required


def cover(risk: containers.Risk, settled: containers.Account, open: Open) -> Cover:
    """The initial requirement of every market with all that may grow it."""
    value = required = 0
    for market in range(constants.MARKETS):
        packed, sums = settled.positions[market], open.get(market)
        if packed == containers.EMPTY and sums is None:
            continue
        held = encoding.unpack(packed)
        value += held.size * risk.price[market] - held.cost
        required += of_market(risk, settled, market, held.size, sums or NOTHING)
    return Cover(margin.collateral(settled) + value, required)


def of_market(risk: containers.Risk, settled: containers.Account, market: int, held: int, sums: Sums) -> int:
    """The initial requirement of a position of so many lots with the open orders of its market."""
    bought = if_filled(risk, settled, market, held, sums.buy_lots, sums.buy_worse)
    sold = if_filled(risk, settled, market, held, -sums.sell_lots, sums.sell_worse)
    return max(_requirement(risk, settled, market, held), bought, sold)


def if_filled(risk: containers.Risk, settled: containers.Account, market: int, held: int, lots: int, worse: int) -> int:
    """What a market needs where all signed lots of one side are filled; 0 where that only shrinks the position."""
    size = held + lots
    if abs(size) <= abs(held) and size * held >= 0:
        return 0
    return _requirement(risk, settled, market, size) + worse


def _requirement(risk: containers.Risk, settled: containers.Account, market: int, size: int) -> int:
    return margin.requirement(risk.price[market], size, max(risk.initial_ppm[market], settled.initial_ppm))


def needs_more(
    risk: containers.Risk, account: containers.Account, open: Open, order: containers.Order, lots: int, is_armed: bool
) -> bool:
    """Whether so many lots of a new order raise what its market needs: told from one position alone."""
    market = order.market
    held, sums = encoding.unpack(account.positions[market]).size, open.get(market, NOTHING)
    after = sums.plus(order, lots, lots * worse_by(order, is_armed, risk.price[market]))
    is_buy = order.side == constants.BUY
    waiting, worse = (after.buy_lots, after.buy_worse) if is_buy else (-after.sell_lots, after.sell_worse)
    needed = if_filled(risk, account, market, held, waiting, worse)
    # Of the other side nothing changes.
    return needed > 0 and needed > of_market(risk, account, market, held, sums)


def most_lots(
    risk: containers.Risk, settled: containers.Account, open: Open, order: containers.Order, is_armed: bool
) -> int:
    """The most lots of a new order that equity covers, or that need no more than is needed already."""
    return most_lots_beside(cover(risk, settled, open), risk, settled, open, order, is_armed)


def most_lots_beside(
    now: Cover,
    risk: containers.Risk,
    settled: containers.Account,
    open: Open,
    order: containers.Order,
    is_armed: bool,
) -> int:
    """The same where the account was added up beside its open orders."""
    market, price = order.market, risk.price[order.market]
    sums = open.get(market, NOTHING)
    held = encoding.unpack(settled.positions[market]).size
    others = now.required - of_market(risk, settled, market, held, sums)
    is_buy = order.side == constants.BUY
    waiting, worse = (sums.buy_lots, sums.buy_worse) if is_buy else (sums.sell_lots, sums.sell_worse)
    # In the order's direction: what its side comes to before it, below zero where that only shrinks the position.
    before = waiting + (held if is_buy else -held)
    ppm = max(risk.initial_ppm[market], settled.initial_ppm)
    room = max(now.equity, now.required) - others - worse
    # A requirement rounded up is within a whole number exactly where it is without its rounding.
    rate = price * ppm + worse_by(order, is_armed, price) * constants.PPM
    growing = (room * constants.PPM - before * price * ppm) // rate
    return max(growing, -before if before < 0 else 0, 0)


class _Kept:
    """The orders of an account in one market, each with its lots left, and their sums as of a price."""

    __slots__ = ("lots", "orders", "price", "worse")

    def __init__(self) -> None:
        self.orders: dict[int, tuple[containers.Order, int, bool]] = {}
        # By side.
        self.lots = [0, 0]
        self.worse = [0, 0]
        self.price = 0

    def put(self, order: containers.Order, lots: int, is_armed: bool) -> None:
        before = self.orders.pop(order.slot, None)
        if lots:
            self.orders[order.slot] = order, lots, is_armed
            self._add(order, lots, is_armed)
        if before is not None:
            self._add(before[0], -before[1], before[2])

    def _add(self, order: containers.Order, lots: int, is_armed: bool) -> None:
        self.lots[order.side] += lots
        self.worse[order.side] += lots * worse_by(order, is_armed, self.price)

    def at(self, price: int) -> Sums:
        if price != self.price:
            self.price, self.worse = price, [0, 0]
            for order, lots, is_armed in self.orders.values():
                self.worse[order.side] += lots * worse_by(order, is_armed, price)
        return Sums(*self.lots, *self.worse)


class Reservations:
    """Open orders that may grow a position, by account and market.

    What an account has open is added up when an order comes or goes, and again once a price at which it is asked for.
    """

    def __init__(self) -> None:
        self._accounts: dict[int, dict[int, _Kept]] = {}

    def put(self, order: containers.Order, lots: int, is_armed: bool) -> None:
        """An order has so many lots left; with none it is gone."""
        if order.reduce_only == 1:
            return
        markets = self._accounts.setdefault(order.account, {})
        kept = markets.setdefault(order.market, _Kept())
        kept.put(order, lots, is_armed)
        if not kept.orders:
            del markets[order.market]
            if not markets:
                del self._accounts[order.account]

    def of(self, account: int, prices: list[int]) -> dict[int, Sums]:
        """What an account has open, at these prices."""
        return {market: kept.at(prices[market]) for market, kept in self._accounts.get(account, {}).items()}

    def orders_of(self, account: int) -> list[containers.Order]:
        """The orders of an account that reserve margin."""
        return [entry[0] for kept in self._accounts.get(account, {}).values() for entry in kept.orders.values()]
