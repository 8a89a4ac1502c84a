"""How an account stands, asked once for everybody: as an order meets it, and as a rescue judges it.

The two answers differ on purpose. An order is met at the prices of the last tick and by the owner's own bound of
leverage; a rescue judges at the better one of the last two prices of each position, and leaves that bound aside.
"""

import msgspec

from prover.stf import codes, constants, containers, encoding, margin, rescue


class Standing(msgspec.Struct, frozen=True):
    """A settled account at some prices; micro-dollars."""

    equity: int
    initial: int
    maintenance: int
    notional: int

    @property
    def room(self) -> int:
        """What may be lost before the account is below maintenance; negative where it is."""
        return self.equity - self.maintenance


class Judged(Standing, frozen=True):
    """An account before a rescue, at judged prices. largest: the market of the largest maintenance requirement."""

    largest: int

    @property
    def is_below(self) -> bool:
        """Whether the law would have it rescued; an account without positions has nothing to be taken over."""
        return 0 < self.maintenance > self.equity

    @property
    def is_left_owing(self) -> bool:
        """Whether it is below zero and holds nothing: nobody can take it over, and unsettled money pays."""
        return self.maintenance == 0 > self.equity

    @property
    def is_close_out(self) -> bool:
        """Whether the law would have it taken over whole: below two thirds of its maintenance."""
        return self.is_below and self.equity * 3 < self.maintenance * 2

    @property
    def at_risk(self) -> int:
        """Micro-dollars that fund and pool pay for it if prices move against it by its markets' initial fractions.

        A debt counts: until a rescue books it, it matures as somebody's profit.
        """
        return self.initial - self.equity


def met_by_order(risk: containers.Risk, settled: containers.Account) -> Standing:
    """For its owner: what an order, a withdrawal and a margin call go by, the owner's own bound of leverage included.

    risk: the last tick's, or what a view asks about instead. The account owes no funding.
    """
    every = margin.sums(risk, settled, constants.MARKETS)
    return Standing(margin.collateral(settled) + every.value, every.initial, every.maintenance, every.notional)


def judged_by_rescue(globals: containers.Globals, account: containers.Account, now_ms: int) -> Judged:
    """For whoever may rescue it, liquidator or guard: settled at the last tick, then at the judged prices."""
    settled, _ = margin.settle(globals.risk, account, now_ms)
    risk = judged_risk(globals, settled)
    previous = previous_prices(globals)
    now = counted_by_rescue(risk, settled)
    return Judged(now.equity, now.initial, now.maintenance, now.notional, rescue.largest(risk, previous, settled))


def may_begin(globals: containers.Globals, settled: containers.Account, equity: int) -> list[int]:
    """The markets in which a rescue of a settled account may begin (PROTOCOL.md §7.7), the largest requirement first.

    equity: at the judged prices. A position in a market that had no price at the last tick is none of them.
    """
    risk = judged_risk(globals, settled)
    previous = previous_prices(globals)
    required: dict[int, int] = {}
    for market in range(globals.market_count):
        size = encoding.unpack(settled.positions[market]).size
        if (
            size != 0
            and previous[market] != 0
            and rescue.check_largest(risk, previous, settled, equity, market) == codes.OK
        ):
            required[market] = margin.requirement(risk.price[market], size, risk.maintenance_ppm[market])
    return sorted(required, key=lambda market: -required[market])


def counted_by_rescue(risk: containers.Risk, settled: containers.Account) -> Standing:
    """For what a rescue costs those who take part: at the given prices, without the owner's own bound of leverage."""
    return met_by_order(risk, rescue.unbounded(settled))


def won_where_over(risk: containers.Risk, account: containers.Account) -> tuple[int, int]:
    """Micro-dollars that an account has won in markets that are over, not touched since, and one of them; else 0, -1.

    It pays for no debt before it is money: whoever settles the account makes it that.
    """
    over = [market for market in range(constants.MARKETS) if risk.initial_ppm[market] == 0]
    held = [(market, encoding.unpack(account.positions[market])) for market in over]
    won = sum(leg.size * risk.price[market] - leg.cost for market, leg in held)
    return (won, next(market for market, leg in held if leg.size)) if won > 0 else (0, -1)


def previous_prices(globals: containers.Globals) -> list[int]:
    """The prices of the tick before the last, 0 where the law counts none (PROTOCOL.md §7.7)."""
    return [max(listed.previous_price, 0) for listed in globals.markets]


def judged_risk(globals: containers.Globals, settled: containers.Account, kinder: bool = True) -> containers.Risk:
    """The prices at which a rescue judges a settled account (PROTOCOL.md §7.7); a close step takes the worse ones."""
    previous = previous_prices(globals)
    return rescue.judged_at(kinder, globals.risk, previous, settled)
