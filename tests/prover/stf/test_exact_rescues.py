"""As `test_rescue_corners.py`, at even numbers: a lot is worth so much, and requires so much, to the micro-dollar.

Each market of a chunk is a stage of its own: a fund, whoever is rescued there, and at most one more on the other side.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import pytest

from prover.signing import operations
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, containers, encoding, margin
from tests.twins import venue
from tests.twins.venue import DOLLAR, EPOCH, KEYS, NOW, OWNERS, account, position

PRICE: Final = 300_000
# Of a lot.
INITIAL: Final = 15_000
MAINTENANCE: Final = 9_000
MAKER: Final = venue.FIRST
MUCH: Final = 2**60
Rows = dict[int, containers.Account]


def even(**changes: Any) -> containers.Globals:
    """Globals of sixteen equal markets without fees, after steady ticks."""
    values = {"posting_fee": 0, "market_count": constants.MARKETS, "streak": constants.STEADY_TICKS}
    globals = venue.globals_of(**(values | changes))
    for market in range(constants.MARKETS):
        globals.markets[market] = msgspec.structs.replace(
            globals.markets[0],
            maker_fee_ppm=0,
            taker_fee_ppm=0,
            band_ppm=constants.MOST_BAND_PPM,
            unwind_band_ppm=1_000,
            interest_lower=2**100,
            interest_upper=2**101,
            minimum_notional=1,
        )
        priced(globals, market, PRICE)
        fractions(globals, market, 50_000, 30_000)
    return globals


def priced(globals: containers.Globals, market: int, price: int) -> None:
    """The price of a market, now and at the tick before."""
    globals.risk.price[market] = globals.markets[market].previous_price = price


def fractions(globals: containers.Globals, market: int, initial: int, maintenance: int) -> None:
    """The fractions of a market, ppm."""
    globals.risk.initial_ppm[market], globals.risk.maintenance_ppm[market] = initial, maintenance


def holder(
    globals: containers.Globals, market: int, lots: int, equity: int, cost: int | None = None, **fields: Any
) -> containers.Account:
    """Somebody with one position and so much equity; its cost is its worth, unless it is given."""
    price = globals.risk.price[market]
    paid = lots * price if cost is None else cost
    index = globals.risk.funding_index[market]
    held = {market: position(lots, paid, index)} if lots else None
    return account(OWNERS[2], equity - lots * price + paid, held, **fields)


def rescue(tag: int, market: int, index: int, lots: int, other: int = 0) -> bytes:
    """A rescue in a market; by an order where the tag is of one, whose place stands where the market does."""
    asked = containers.Rescue(maker=market, market=market, account=index, other=other, lots=lots)
    return operations.rescue_bytes(tag, asked)


class Stages:
    """A state, and what is played on it: each operation with the code that it has to come to."""

    def __init__(self, globals: containers.Globals) -> None:
        self.globals = globals
        self.rows: Rows = {MAKER: account(OWNERS[1], MUCH)}
        self.orders: list[bytes] = []
        self.rescues: list[tuple[bytes, int]] = []

    def fund(self, market: int, equity: int, lots: int = 0, cost: int | None = None) -> None:
        """The insurance account of a market."""
        self.rows[constants.insurance_account(market)] = holder(self.globals, market, lots, equity, cost)

    def who(self, row: containers.Account) -> int:
        """A row, and its index."""
        index = max(self.rows) + 1
        self.rows[index] = row
        return index

    def held(self, market: int, lots: int, equity: int, cost: int | None = None, **fields: Any) -> int:
        """Somebody with one position, and the index."""
        return self.who(holder(self.globals, market, lots, equity, cost, **fields))

    def add(self, code: int, tag: int, market: int, index: int, lots: int, other: int = 0) -> None:
        """A rescue and its code."""
        self.rescues.append((rescue(tag, market, index, lots, other), code))

    def by_order(self, code: int, tag: int, market: int, index: int, lots: int, **order: Any) -> None:
        """A rescue against an order of its own, which buys at the price unless it is said otherwise, and its code."""
        values = {"account": MAKER, "limit_price": self.globals.risk.price[market], "size": 1_000} | order
        message = venue.order(market=market, slot=len(self.orders) + 1, account_index=values.pop("account"), **values)
        self.rescues.append((rescue(tag, len(self.orders), index, lots), code))
        self.orders.append(venue.signed_order(message, KEYS[1]))

    def state(self, **fields: Any) -> State:
        """The state before."""
        return venue.build_state(self.globals, self.rows, **fields)

    def run(self) -> State:
        """Both twins, and the codes; the state afterwards."""
        expected = [c.OK] * len(self.orders) + [code for _, code in self.rescues]
        state = self.state()
        codes = venue.run(state, *self.orders, *(each for each, _ in self.rescues)).codes
        assert list(codes) == expected
        return state


TAKE: Final = constants.TAKE_OVER


@pytest.mark.parametrize("sign", [1, -1])
def test_a_fund_takes_over_up_to_exactly_what_it_may(sign: int) -> None:
    globals = even()
    stages = Stages(globals)
    # What it took before, and ten lots: ten times its equity, and a micro-dollar more.
    for market, more in ((0, 0), (1, 1)):
        globals.markets[market].turned_over = 1_000_000 + more + 7 * constants.UNWOUND
        stages.fund(market, 400_000)
        stages.add(c.FUND_LIMIT if more else c.OK, TAKE, market, stages.held(market, sign * 10, 0), 10)
    # What it paid before, and what this one owes: a quarter of its equity.
    globals.markets[2].paid_out = 999_000
    stages.fund(2, 4_000_000)
    for owed, code in ((1_001, c.FUND_LIMIT), (1_000, c.OK)):
        stages.add(code, TAKE, 2, stages.held(2, sign * 10, -owed), 10)
    # Its own initial requirement of ten lots.
    for market, less in ((3, 0), (4, 1)):
        fractions(globals, market, 200_000, 30_000)
        stages.fund(market, 600_000 - less)
        stages.add(c.FUND_LIMIT if less else c.OK, TAKE, market, stages.held(market, sign * 10, 0), 10)
    # What makes its own position smaller needs nothing, unless it pays.
    stages.fund(5, 1, -sign * 100)
    stages.add(c.OK, TAKE, 5, stages.held(5, sign * 10, 0), 10)
    stages.fund(6, 3, -sign * 100)
    stages.add(c.FUND_LIMIT, TAKE, 6, stages.held(6, sign * 10, -1), 10)
    # One lot of one tick, beside eleven.
    priced(globals, 7, 1)
    stages.fund(7, 1, sign * 11)
    stages.add(c.FUND_LIMIT, TAKE, 7, stages.held(7, sign, 0), 1)
    # Its cost, up to its bound.
    for market, more in ((8, 0), (9, 1)):
        stages.fund(market, constants.COST_BOUND // 2, sign, -sign * (constants.COST_BOUND - 1 + more - 3_000_000))
        stages.add(c.OUT_OF_BOUNDS if more else c.OK, TAKE, market, stages.held(market, -sign * 10, 0), 10)
    stages.run()


def test_the_least_positions_are_judged_like_all_others() -> None:
    globals = even()
    stages = Stages(globals)
    for market in range(9):
        stages.fund(market, DOLLAR)
    # One lot that was worth more at the tick before.
    globals.markets[0].previous_price += 10_000
    stages.add(c.HEALTHY, TAKE, 0, stages.held(0, 1, 0), 1)
    # One lot of one tick, in any market but the first, and owing as little as may be owed.
    for market in (1, 2, 3, 4):
        priced(globals, market, 1)
    stages.add(c.OK, TAKE, 1, stages.held(1, 1, 0), 1)
    stages.add(c.OK, TAKE, 2, stages.held(2, 1, -1), 1)
    # What requires half as much as the largest may be named, and nothing that requires less.
    both = holder(globals, 5, 10_000, 0)
    both.positions[6] = position(-4_999, -4_999 * PRICE)
    twice = stages.who(both)
    stages.add(c.NOT_LARGEST, TAKE, 6, twice, 10)
    both = holder(globals, 5, 10_000, 0)
    both.positions[6] = position(-5_000, -5_000 * PRICE)
    stages.add(c.OK, TAKE, 6, stages.who(both), 10)
    # One of two lots leaves the requirement as it is, and so all of the debt.
    opposite = stages.held(3, -1, DOLLAR)
    stages.add(c.OK, constants.DELEVERAGE, 3, stages.held(3, 2, -1), 1, opposite)
    # Whoever is below zero is not asked where he holds most.
    stages.by_order(c.INSOLVENT, constants.LIQUIDATE, 7, stages.who(low(globals, 7, 8)), 1)
    # No account that is reserved is rescued, a fund by its own market's deleveraging alone.
    stages.add(c.RESERVED, constants.DELEVERAGE, 7, constants.insurance_account(8), 1, opposite)
    stages.add(c.RESERVED, constants.DELEVERAGE, 7, constants.FEE_ACCOUNT, 1, opposite)
    stages.add(c.RESERVED, TAKE, 7, constants.insurance_account(7), 1)
    stages.run()


def low(globals: containers.Globals, market: int, most: int) -> containers.Account:
    """Somebody below zero who holds more in another market."""
    row = holder(globals, market, 1, -1)
    row.positions[most] = position(2, 2 * PRICE)
    return row


@pytest.mark.parametrize(
    ("price", "age", "grace", "code"), [(0, 1, 1, c.NO_MARKET), (PRICE, 1, 1, c.STALE), (PRICE, 0, 1, c.GRACE)]
)
def test_the_first_of_two_reasons_not_to_rescue_now_is_said(price: int, age: int, grace: int, code: int) -> None:
    globals = even(tick_time=NOW - constants.MAX_PRICE_AGE - age, grace_until=NOW + grace, streak=1)
    stages = Stages(globals)
    victim = stages.held(0, 10, 0)
    priced(globals, 0, price)
    stages.add(code, TAKE, 0, victim, 1)
    stages.run()


@pytest.mark.parametrize("sign", [1, -1])
def test_the_fee_that_one_lot_less_would_pay_keeps_what_maintenance_says(sign: int) -> None:
    globals = even()
    # 12,000,000 of maintenance and 18,000,000 initially; 201 lots need 3,618,000 of it. Below it after the fee of 799
    # lots, 958,800, and not after one that would leave as much of the equity as is left of the initial requirement.
    fractions(globals, 0, 60_000, 40_000)
    stages = Stages(globals)
    stages.fund(0, DOLLAR)
    order = {"limit_price": PRICE - sign * 4_656, "side": constants.BUY if sign > 0 else constants.SELL}
    stages.by_order(c.OK, constants.LIQUIDATE, 0, stages.held(0, sign * 1_000, 7_800_000), 800, **order)
    stages.run()


def test_a_liquidation_may_cost_exactly_so_much() -> None:
    globals = even()
    stages = Stages(globals)
    liquidate = constants.LIQUIDATE
    for market in range(8):
        stages.fund(market, DOLLAR)
    # All at the zero price: nothing is left, and no fee.
    stages.by_order(c.OK, liquidate, 0, stages.held(0, 100, 500), 100, limit_price=PRICE - 5)
    # Three halves of the maintenance fraction, of what is missing of it: 3,000 where 2,000 of 9,000 a lot are.
    for code, away in ((c.LIQUIDATION_PRICE, 3_001), (c.OK, 3_000)):
        stages.by_order(code, liquidate, 1, stages.held(1, 100, 700_000), 1, limit_price=PRICE - away)
    # What is less than an order goes with the rest: two lots, or three. 46,700 or 47,600 are left before the last.
    for market, more, code in ((2, 0, c.TOO_MANY_LOTS), (3, 1, c.OK)):
        globals.markets[market].minimum_notional = 3 * PRICE + more
        stages.by_order(code, liquidate, market, stages.held(market, 20, 62_000), 20)
    # Where a lot is an order, none goes with the rest.
    priced(globals, 4, 1)
    fractions(globals, 4, constants.PPM, 750_000)
    stages.by_order(c.TOO_MANY_LOTS, liquidate, 4, stages.held(4, 3, 1), 3)
    # As much as the maker allows, and no more.
    globals.markets[5].maker_fee_ppm = 100
    for code, fee in ((c.FEE_ABOVE_MAXIMUM, 99), (c.OK, 100)):
        stages.by_order(code, liquidate, 5, stages.held(5, 100, 700_000), 1, max_fee_ppm=fee)
    stages.run()


def test_the_maker_of_a_rescue_needs_what_open_interest_with_its_lots_asks_for() -> None:
    globals = even()
    listed = globals.markets[0]
    listed.interest_lower, listed.interest_upper, listed.open_interest = 12 * PRICE, 40 * PRICE, 20
    stages = Stages(globals)
    stages.fund(0, MUCH)
    globals.markets[0].fund = MUCH
    ppm = margin.scaled_ppm(listed, PRICE, 20 + 5, globals.risk.initial_ppm[0])
    needed = margin.requirement(PRICE, 5, ppm)
    for less, code in ((1, c.MAKER_MARGIN), (0, c.OK)):
        maker = stages.who(account(OWNERS[1], needed - less))
        stages.by_order(code, constants.LIQUIDATE, 0, stages.held(0, 100, 700_000), 5, account=maker)
    stages.run()


@pytest.mark.parametrize("sign", [1, -1])
def test_a_fund_unwinds_up_to_exactly_what_it_may(sign: int) -> None:
    globals = even()
    stages = Stages(globals)
    unwind, side = constants.UNWIND, {"side": constants.BUY if sign > 0 else constants.SELL}
    # All of it, and all is one lot.
    stages.fund(0, DOLLAR, sign)
    stages.by_order(c.OK, unwind, 0, 0, 1, **side)
    # One tick away, where a thousandth is less.
    priced(globals, 1, 10)
    stages.fund(1, DOLLAR, sign * 1_000)
    stages.by_order(c.OK, unwind, 1, 0, 7, limit_price=10 - sign, **side)
    # What it unwound before, and ten lots: ten times its equity, and a micro-dollar more.
    for market, more in ((2, 0), (3, 1)):
        globals.markets[market].turned_over = 7 + (1_000_000 + more) * constants.UNWOUND
        stages.fund(market, 400_000, sign * 20)
        stages.by_order(c.FUND_LIMIT if more else c.OK, unwind, market, 0, 10, **side)
    # Nothing of nothing.
    priced(globals, 4, 1)
    stages.fund(4, 0, sign * 5)
    stages.by_order(c.FUND_LIMIT, unwind, 4, 0, 1, **side)
    stages.run()


DELEVERAGE: Final = constants.DELEVERAGE


@pytest.mark.parametrize("sign", [1, -1])
def test_who_is_deleveraged_bears_exactly_what_he_may(sign: int) -> None:
    globals = even()
    stages = Stages(globals)
    left: dict[int, int] = {}

    def lever(code: int, market: int, owed: int, other: tuple[int, int | None], bears: int = 0) -> None:
        """Somebody owes, and the other has 20 lots, so much equity, and this cost; and what he bears."""
        equity, cost = other
        opposite = stages.held(market, -sign * 20, equity, cost)
        stages.add(code, DELEVERAGE, market, stages.held(market, sign, -owed), 1, opposite)
        left[opposite] = equity - bears

    def hedge(gained: int, bears: int) -> None:
        """As much has settled as the other has but for so much, since he has lost in another market."""
        loss = position(sign * 20, sign * 20 * PRICE + 20 * 12_000 - gained)
        row = account(OWNERS[2], DOLLAR, {2: position(-sign * 20, won(12_000)), 3: loss})
        opposite = stages.who(row)
        stages.add(c.OK, DELEVERAGE, 2, stages.held(2, sign, -20_000), 1, opposite)
        left[opposite] = DOLLAR + gained - bears

    def won(a_lot: int) -> int:
        return -sign * 20 * PRICE - 20 * a_lot

    for market in range(4):
        stages.fund(market, 0)
    # What the other has left is what the rest requires, 171,000, and not a micro-dollar less.
    lever(c.OK, 0, 10_000, (181_000, won(12_000)), 10_000)
    lever(c.OK, 0, 10_000, (180_999, won(12_000)), 9_999)
    # Who is below already bears a twentieth of what he has, rounded down, as one lot of twenty requires it.
    lever(c.OK, 1, 1_000, (90_000, won(12_000)), 1_000)
    lever(c.OK, 1, 9_000, (90_019, won(12_000)), 4_500)
    lever(c.OK, 1, 9_000, (90_020, won(12_000)), 4_501)
    lever(c.OK, 1, 1_000, (90_000, -sign * 20 * PRICE - 20 * PRICE * 2 + (5 if sign < 0 else -5)), 1_000)
    lever(c.OK, 1, 1, (1, won(12_000)))
    # What the lot has won, less what has settled of all that he has.
    for gained in (20_000, 12_000, 11_999, 1, 0, -1):
        hedge(gained, max(min(gained, 12_000), 0))
    state = stages.run()
    assert {index: margin.equity(state.globals.risk, state.account(index)) for index in left} == left


@pytest.mark.parametrize("sign", [1, -1])
def test_the_fund_pays_first_exactly_what_it_may(sign: int) -> None:
    globals = even()
    stages = Stages(globals)
    left: dict[int, int] = {}

    def lever(code: int, market: int, owed: int, equity: int, cost: int | None, bears: int = 0) -> None:
        opposite = stages.held(market, -sign * 20, equity, cost)
        stages.add(code, DELEVERAGE, market, stages.held(market, sign, -owed), 1, opposite)
        left[opposite] = equity - bears

    won = -sign * 20 * PRICE - 20 * 90_000
    # A fund that pays all: the other may have nothing.
    stages.fund(4, 4_000_000)
    lever(c.OK, 4, 1_000, 0, None)
    lever(c.INDEBTED, 4, 1_000, -1, None)
    # What the fund pays of 30,000: what it has beyond its own requirement; then a quarter of its equity.
    stages.fund(5, 160_000, sign * 10, sign * 10 * PRICE + 777)
    lever(c.OK, 5, 30_000, DOLLAR, won, 20_000)
    stages.fund(6, 160_000, sign, sign * PRICE + 777)
    lever(c.OK, 6, 60_000, DOLLAR, won, 20_000)
    state = stages.run()
    assert {index: margin.equity(state.globals.risk, state.account(index)) for index in left} == left


def test_each_rounding_of_funding_is_dust_whoever_pays_it() -> None:
    globals = even()
    stages = Stages(globals)
    stages.fund(0, 160_000, 10)
    victim, other = stages.held(0, 20, -30_000), stages.held(0, -20, DOLLAR, -20 * PRICE - DOLLAR)
    globals.risk.funding_index[0] = 7
    stages.add(c.OK, DELEVERAGE, 0, victim, 20, other)
    # One of the smallest unit is owed, and rounded up.
    stages.fund(1, DOLLAR)
    owing = stages.held(1, 1, 0)
    globals.risk.funding_index[1] = 1
    stages.add(c.OK, TAKE, 1, owing, 1)
    stages.run()


@pytest.mark.parametrize("sign", [1, -1])
def test_a_fund_is_reduced_by_exactly_what_it_lacks(sign: int) -> None:
    globals = even()
    stages = Stages(globals)
    # Five lots require all that it has. Costs may be anything.
    stages.fund(0, 5 * INITIAL, sign * 10, -sign * 7)
    opposite = stages.held(0, -sign * 20, DOLLAR, sign * 5)
    fund = constants.insurance_account(0)
    for code, lots in ((c.OVERFILLED, 11), (c.TOO_MANY_LOTS, 6), (c.OK, 5)):
        stages.add(code, DELEVERAGE, 0, fund, lots, opposite)
    stages.fund(1, 5 * INITIAL, sign * 10)
    stages.add(c.OVERFILLED, DELEVERAGE, 1, constants.insurance_account(1), 11, opposite)
    # All of it, of a fund that owes.
    stages.fund(2, -1_000, sign * 10)
    stages.add(c.OK, DELEVERAGE, 2, constants.insurance_account(2), 10, stages.held(2, -sign * 20, DOLLAR))
    stages.run()


def closing(
    globals: containers.Globals, rows: Mapping[int, containers.Account], *steps: tuple[int, int, int], **head: Any
) -> State:
    """Steps of the head in the first market: other, lots, code; the state that they leave."""
    values = {"head_account": MAKER, "head_market": 0, "head_lots": 1_000, "head_time": NOW - 1} | head
    for name, value in values.items():
        setattr(globals, name, value)
    state = venue.build_state(globals, {1: account(OWNERS[3], 0), **rows}, begun=1)
    chunk = [rescue(constants.CLOSE_STEP, 0, 0, lots, other) for other, lots, _ in steps]

    assert venue.run(state, *chunk).codes == tuple(code for _, _, code in steps)
    return state


FUND: Final = constants.insurance_account(0)
FIRST, SECOND, THIRD, FOURTH = range(MAKER + 1, MAKER + 5)


@pytest.mark.parametrize(("late", "code"), [(0, c.OK), (1, c.UNSTEADY)])
def test_a_tick_of_the_queue_is_young_for_half_an_hour(late: int, code: int) -> None:
    globals = even(tick_time=NOW - constants.HEAD_PATIENCE - late, tick_queued=1)
    rows = {MAKER: holder(globals, 0, 20, DOLLAR), FUND: holder(globals, 0, -100, 1)}

    closing(globals, rows, (FUND, 5, code), head_time=NOW - constants.HEAD_PATIENCE - 2)


OLD: Final = NOW - constants.HEAD_PATIENCE - 1


def legs(globals: containers.Globals, equity: int, *lots: int) -> containers.Account:
    """Positions in the first markets, each worth what it cost, and so much beside."""
    index = globals.risk.funding_index
    held = {market: position(size, size * PRICE, index[market]) for market, size in enumerate(lots) if size}
    return account(OWNERS[2], equity, held)


# Ten lots of each of two markets. What a leg moved by in the last tick; equity; the code once the head has waited, and
# before: above zero at both ticks, at the last alone, at the one before alone, at neither.
TICKED: Final = (
    ((5, -5), 0, c.OK, c.UNSTEADY),
    ((5, -5), -1, c.INSOLVENT, c.UNSTEADY),
    ((5, -4), 0, c.UNSTEADY, c.UNSTEADY),
    ((5, -4), 9, c.UNSTEADY, c.UNSTEADY),
    ((5, -4), 10, c.OK, c.UNSTEADY),
    ((4, -5), -1, c.UNSTEADY, c.UNSTEADY),
    ((4, -5), -10, c.UNSTEADY, c.UNSTEADY),
    ((4, -5), -11, c.INSOLVENT, c.UNSTEADY),
    ((5, -5), -51, c.INSOLVENT, c.INSOLVENT),
    ((5, -5), 50, c.OK, c.OK),
)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("moved", "equity", "waited", "not_waited"), TICKED)
def test_once_a_head_has_waited_each_tick_is_judged_as_a_whole(
    sign: int, moved: tuple[int, int], equity: int, waited: int, not_waited: int
) -> None:
    for head_time, code in ((OLD, waited), (OLD + 1, not_waited)):
        globals = even(tick_queued=1)
        for market, move in enumerate(moved):
            globals.markets[market].previous_price = PRICE - sign * move
        rows = {
            MAKER: legs(globals, equity, sign * 10, sign * 10),
            FIRST: holder(globals, 0, -sign * 20, 10 * DOLLAR),
        }
        closing(globals, rows, (FIRST, 10, code), head_time=head_time)


def test_a_market_without_a_tick_before_is_judged_at_its_only_one() -> None:
    globals = even(tick_queued=1)
    globals.markets[0].previous_price = PRICE - 5
    globals.markets[1].previous_price = PRICE + 5
    globals.markets[2].previous_price = 0
    rows = {MAKER: legs(globals, 0, 10, 10, 10), FIRST: holder(globals, 0, -20, 10 * DOLLAR)}

    closing(globals, rows, (FIRST, 10, c.OK), head_time=OLD)


@pytest.mark.parametrize(("equity", "waited"), [(-10, c.UNSTEADY), (-11, c.OK), (-1, c.UNSTEADY), (0, c.OK)])
def test_a_debtor_opposite_is_judged_in_the_same_way(equity: int, waited: int) -> None:
    # Ten more at the tick before.
    for head_time, code in ((OLD, waited), (OLD + 1, c.OK if equity >= 0 else c.UNSTEADY)):
        globals = even(tick_queued=1)
        globals.markets[0].previous_price = PRICE + 4
        globals.markets[1].previous_price = PRICE + 5
        rows = {MAKER: holder(globals, 0, 10, 10 * DOLLAR), FIRST: legs(globals, equity, -10, 10)}
        closing(globals, rows, (FIRST, 10, code), head_time=head_time)


@pytest.mark.parametrize(
    ("money", "won", "lost", "left", "costs"),
    [
        # Settled, older and fresh; what the closed leg has won; what the others have lost; then all of them again.
        ((50, 0, 0), 30, (30, 0), (50, 0, 0), (0, 0)),
        ((50, 0, 0), 30, (31, 0), (50, 0, 0), (1, 0)),
        ((50, 0, 0), 30, (29, 0), (50, 0, 1), (0, 0)),
        ((50, 0, 0), 30, (20, 20), (50, 0, 0), (0, 10)),
        ((50, 0, 0), 30, (-10, 20), (50, 0, 20), (-10, 10)),
        ((50, 7, 3), 30, (45, 0), (50, 0, 0), (5, 0)),
        ((50, 7, 3), 30, (35, 0), (50, 5, 0), (0, 0)),
        ((50, 7, 3), 0, (5, 0), (50, 5, 0), (0, 0)),
        ((50, 7, 3), -20, (5, 0), (40, 0, 0), (5, 0)),
        ((50, 0, 0), 30, (-5, 5), (50, 0, 30), (-5, 5)),
        # It has lost, and the others have won; what has not settled pays first, and settled money never grows.
        ((50, 0, 0), -20, (-30, 0), (50, 0, 0), (-10, 0)),
        ((50, 0, 0), -20, (-20, 0), (50, 0, 0), (0, 0)),
        ((50, 0, 0), -20, (-19, 0), (49, 0, 0), (0, 0)),
        ((50, 7, 3), -20, (-30, 0), (50, 0, 0), (-20, 0)),
        ((50, 7, 3), -10, (-30, 0), (50, 0, 0), (-30, 0)),
        ((50, 0, 0), -20, (-12, -30), (50, 0, 0), (0, -22)),
        ((50, 0, 0), -20, (-30, 15), (45, 0, 0), (-15, 15)),
        ((50, 0, 0), -20, (-30, 30), (30, 0, 0), (-30, 30)),
    ],
)
def test_what_a_closed_leg_has_won_or_lost_and_what_others_have_make_each_other_good(
    money: tuple[int, int, int],
    won: int,
    lost: tuple[int, int],
    left: tuple[int, int, int],
    costs: tuple[int, int],
) -> None:
    globals = even(pool=containers.Pool(EPOCH, money[1] * DOLLAR, money[2] * DOLLAR, 0, 0))
    index = globals.risk.funding_index
    held = {0: position(-20, -20 * PRICE - won * DOLLAR, index[0])}
    for market, loss in enumerate(lost, start=1):
        held[market] = position(10, 10 * PRICE + loss * DOLLAR, index[market])
    settled, older, fresh = (part * DOLLAR for part in money)
    rows = {
        MAKER: holder(globals, 0, 20, 100 * DOLLAR),
        FIRST: account(OWNERS[2], settled, held, older=older, fresh=fresh),
    }
    # At the price of the last tick, without a penalty that would be a gain.
    state = closing(globals, rows | {MAKER: holder(globals, 0, 20, 0)}, (FIRST, 20, c.OK))
    row = state.account(FIRST)
    assert (row.settled, row.older, row.fresh) == tuple(part * DOLLAR for part in left)
    found = [encoding.unpack(row.positions[market]).cost - 10 * PRICE for market in (1, 2)]
    assert found == [cost * DOLLAR for cost in costs]


def test_a_price_as_old_as_the_entry_is_no_price_for_it() -> None:
    globals = even()
    rows = {MAKER: holder(globals, 0, 20, DOLLAR), FUND: holder(globals, 0, -100, 1)}

    closing(globals, rows, (FUND, 5, c.UNSTEADY), head_time=NOW)


def test_a_step_of_nothing_left_ends_the_head_of_one_market() -> None:
    globals = even()

    closing(globals, {MAKER: holder(globals, 1, 20, DOLLAR)}, (FUND, 5, c.OK))


def test_where_there_is_no_price_none_is_waited_for() -> None:
    globals = even()
    rows = {MAKER: holder(globals, 0, 20, DOLLAR)}
    priced(globals, 0, 0)

    closing(globals, rows, (FUND, 0, c.OVERFILLED), (FUND, 5, c.NO_MARKET), head_time=NOW)


@pytest.mark.parametrize("cost", [0, 5])
@pytest.mark.parametrize("sign", [1, -1])
def test_what_a_position_has_cost_says_nothing_of_its_lots(sign: int, cost: int) -> None:
    globals = even()
    rows = {
        MAKER: holder(globals, 0, sign * 20, 10 * DOLLAR, sign * cost),
        FUND: holder(globals, 0, sign * 20, 0),
        FIRST: holder(globals, 0, -sign * 20, DOLLAR, sign * 5),
    }

    closing(globals, rows, (FIRST, 10, c.OK))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_debtor_is_closed_at_what_his_lots_have_won(sign: int) -> None:
    globals = even()
    rows = {
        # Fifty thousand a lot were won.
        MAKER: holder(globals, 0, sign * 20, 2 * DOLLAR, sign * 20 * (PRICE - sign * 50_000)),
        FIRST: holder(globals, 0, -sign * 20, -2 * DOLLAR),
        SECOND: holder(globals, 0, -sign * 20, -DOLLAR // 10),
        THIRD: holder(globals, 0, -sign * 20, 0),
    }

    closing(globals, rows, (FIRST, 10, c.OK), (SECOND, 4, c.OK), (THIRD, 1, c.OK))


@pytest.mark.parametrize("unsettled", [10**9, 7])
@pytest.mark.parametrize("cost", [0, 5])
@pytest.mark.parametrize("sign", [1, -1])
def test_what_a_debtor_lacks_is_paid_to_the_micro_dollar(sign: int, cost: int, unsettled: int) -> None:
    globals = even()
    penalty = PRICE // 100
    # It has taken all that it may, and may pay a quarter of ten.
    globals.markets[0].turned_over = constants.UNWOUND - 1
    globals.pool = containers.Pool(EPOCH, 0, unsettled, 0, 0)
    both = holder(globals, 0, -sign, -2 * penalty - 40, -sign * cost)
    both.positions[1] = position(sign, sign * PRICE)
    rows = {
        MAKER: holder(globals, 0, sign * 20, 10 * DOLLAR),
        FUND: holder(globals, 0, 0, 10),
        # What the penalty gives him is all that he lacks; a micro-dollar more; as much as the fund may; and more.
        FIRST: holder(globals, 0, -sign, -penalty),
        SECOND: holder(globals, 0, -sign, -penalty - 1),
        THIRD: holder(globals, 0, -sign, -penalty - 4),
        FOURTH: both,
    }
    steps = [(other, 1, c.OK) for other in (FIRST, SECOND, THIRD, FOURTH)]

    state = closing(globals, rows, *steps)

    assert (state.account(FUND).settled, state.globals.markets[0].paid_out) == (8, 2)
    lacked = 1 + 4 + 20 - 2
    pool = state.globals.pool
    assert (pool.receivable + pool.owed, pool.owed > 0) == (lacked, unsettled == 7)
    assert [margin.equity(state.globals.risk, state.account(index)) for index in (FIRST, SECOND, THIRD)] == [0, 0, 0]
    left = margin.settle(state.globals.risk, state.account(FOURTH), NOW)[0]
    assert margin.equity(state.globals.risk, left) == -penalty - 20


@pytest.mark.parametrize("sign", [1, -1])
def test_what_the_leaver_bears_of_it_the_fund_does_not_pay_again(sign: int) -> None:
    globals = even()
    penalty = PRICE // 100
    globals.markets[0].turned_over = constants.UNWOUND - 1
    fund = holder(globals, 0, sign, 40_000, fresh=5, epoch=EPOCH - 1)
    # Something is due: so it is told whether anybody touches it.
    index = globals.risk.funding_index[0] - sign * 7
    fund.positions[0] = msgspec.structs.replace(fund.positions[0], funding=index)
    rows = {
        # A hundred more than the penalty were won with each lot.
        MAKER: holder(globals, 0, sign * 20, 10 * DOLLAR, 20 * (sign * PRICE - penalty - 100)),
        FUND: fund,
        FIRST: holder(globals, 0, -sign, -penalty - 100),
        SECOND: holder(globals, 0, -sign, -penalty - 150),
        THIRD: holder(globals, 0, -sign, 1),
    }

    state = closing(globals, rows, (FIRST, 1, c.OK), (THIRD, 1, c.OK))
    assert (state.account(FUND).fresh, state.globals.funding_dust) == (5, 0)
    state = closing(globals, rows, (FIRST, 1, c.OK), (SECOND, 1, c.OK))
    assert state.globals.markets[0].paid_out == 50
    assert (state.account(FUND).epoch, state.globals.funding_dust) == (EPOCH, constants.FUNDING_SCALE - 7)


def settled_market(globals: containers.Globals, market: int) -> None:
    """A market that is over."""
    fractions(globals, market, 0, 0)
    globals.markets[market].status = constants.MARKET_SETTLED


def test_a_fund_goes_home_with_its_last_micro_dollar_and_from_a_settled_market_alone() -> None:
    globals = even(market_count=6)
    for market in (2, 3, 4):
        settled_market(globals, market)
    fractions(globals, 7, 0, 0)
    priced(globals, 7, 0)
    rows = {market + 1: account(containers.NOBODY, money) for market, money in enumerate((9, 9, 0, 1, 7, 0, 0, 5))}

    def sent(source: int, home: int) -> bytes:
        payload = operations.forced_rescue_payload(home, constants.insurance_account(source), 1)
        return venue.entry(constants.FORCED_RESCUE, payload, venue.DEPOSITOR)

    moves = [
        (sent(1, 0), c.NO_MARKET),
        (sent(7, 0), c.NO_MARKET),
        (sent(0, 0), c.HEALTHY),
        (sent(2, 1), c.NO_MARKET),
        (sent(2, 0), c.COLLATERAL),
        (sent(3, 0), c.OK),
        (sent(4, 0), c.OK),
    ]
    state = venue.build_state(globals, rows)

    assert venue.run(state, *(each for each, _ in moves)).codes == tuple(code for _, code in moves)


# Equity at the last tick of ten lots that were worth fifty more at the one before, at which they required 90,002.
DISPUTES: Final = [
    (90_002, c.HEALTHY, c.HEALTHY),
    (90_001, c.HEALTHY, c.UNSTEADY),
    (89_952, c.HEALTHY, c.UNSTEADY),
    (89_951, c.OK, c.OK),
    (0, c.OK, c.OK),
    (-1, c.OK, c.UNSTEADY),
    (-50, c.OK, c.UNSTEADY),
    (-51, c.OK, c.OK),
]
DISPUTED_FUNDS: Final = [(0, c.HEALTHY, c.HEALTHY), (-50, c.HEALTHY, c.UNSTEADY), (-51, c.OK, c.OK)]


def forced_by(index: int, equity: int, **changes: Any) -> int:
    """The code of a forced rescue of whoever has ten lots and so much at the last tick."""
    globals = even(**({"tick_time": NOW - constants.FORCED_PRICE_AGE - 1} | changes))
    globals.markets[0].previous_price = PRICE + 5
    fund = {FUND: holder(globals, 0, 0, 10**6 * DOLLAR)}
    state = venue.balanced(
        globals, fund | {MAKER: holder(globals, 0, -10, MUCH), index: holder(globals, 0, 10, equity)}
    )
    entry = venue.entry(
        constants.FORCED_RESCUE,
        operations.forced_rescue_payload(0, index, 10),
        time=globals.tick_time + constants.FORCED_PRICE_AGE,
    )
    return venue.run(state, entry).codes[0]


@pytest.mark.parametrize(
    ("index", "equity", "steady", "gap"),
    [(FIRST, *case) for case in DISPUTES] + [(FUND, *case) for case in DISPUTED_FUNDS],
)
def test_an_entry_waits_where_the_older_of_two_ticks_with_a_gap_alone_says_that_nothing_is_to_be_done(
    index: int, equity: int, steady: int, gap: int
) -> None:
    assert forced_by(index, equity) == steady
    assert forced_by(index, equity, streak=constants.STEADY_TICKS - 1) == gap


@pytest.mark.parametrize("index", [FIRST, FUND])
def test_where_no_tick_came_for_three_days_it_waits_for_none(index: int) -> None:
    equity = -1 if index == FUND else 90_001
    gone = NOW - constants.PRICES_GONE
    assert forced_by(index, equity, streak=1, tick_time=gone) == c.UNSTEADY
    assert forced_by(index, equity, streak=1, tick_time=gone - 1) == c.HEALTHY
