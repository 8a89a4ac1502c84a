"""How an account stands for an order and for a rescue: equal where prices stand still and nobody bounds himself."""

from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from prover.standing import (
    counted_by_rescue,
    judged_by_rescue,
    judged_risk,
    may_begin,
    met_by_order,
    won_where_over,
)
from prover.stf import containers, margin
from tests.twins.venue import DOLLAR, NOW, account, globals_of, position

# One bitcoin is 100,000 lots and costs 600,000 ticks: 60,000 dollars.
BITCOIN: Final = 100_000
COST: Final = 60_000 * DOLLAR
SIZES: Final = st.integers(-100 * BITCOIN, 100 * BITCOIN)


def settled_of(globals: containers.Globals, row: containers.Account) -> containers.Account:
    """The account without funding due."""
    settled, _ = margin.settle(globals.risk, row, NOW)
    return settled


@settings(max_examples=100)
@given(SIZES, SIZES, st.integers(-(10**12), 10**12), st.integers(-(10**9), 10**9))
def test_both_agree_at_equal_prices_without_an_own_bound(first: int, second: int, collateral: int, due: int) -> None:
    globals = globals_of()
    globals.risk.funding_index[0] = due
    held = {0: position(first, first * 590_000), 1: position(second, second * 310_000)}
    row = account(collateral=collateral, positions=held)

    judged = judged_by_rescue(globals, row, NOW)
    met = met_by_order(globals.risk, settled_of(globals, row))

    assert (judged.equity, judged.initial) == (met.equity, met.initial)
    assert (judged.maintenance, judged.notional) == (met.maintenance, met.notional)
    assert judged.room == met.room
    assert judged.is_below == (judged.maintenance > 0 > met.room)


def test_a_rescue_judges_at_the_better_of_two_prices_and_an_order_at_the_last() -> None:
    globals = globals_of()
    globals.risk.price[0] = 590_000
    row = account(collateral=1_000 * DOLLAR, positions={0: position(BITCOIN, COST)})

    met, judged = met_by_order(globals.risk, row), judged_by_rescue(globals, row, NOW)

    # A thousand dollars lost at the last tick, none at the one before it; maintenance 1.2 %.
    assert (met.equity, met.maintenance, met.room) == (0, 708 * DOLLAR, -708 * DOLLAR)
    assert (judged.equity, judged.maintenance, judged.is_below) == (1_000 * DOLLAR, 720 * DOLLAR, False)
    assert judged.at_risk == 1_200 * DOLLAR - 1_000 * DOLLAR
    # An owner's own close is judged at the worse one, which is the last here.
    worse = judged_risk(globals, row, kinder=False)
    assert counted_by_rescue(worse, row) == counted_by_rescue(globals.risk, row)


def test_an_owners_own_bound_binds_orders_and_no_rescue() -> None:
    globals = globals_of()
    row = account(positions={0: position(BITCOIN, COST)}, initial_ppm=100_000)

    met, judged = met_by_order(globals.risk, row), judged_by_rescue(globals, row, NOW)

    assert (met.initial, judged.initial) == (6_000 * DOLLAR, 1_200 * DOLLAR)
    assert (met.equity, met.maintenance, met.notional) == (judged.equity, judged.maintenance, judged.notional)
    assert counted_by_rescue(globals.risk, row).initial == judged.initial


def test_what_is_judged_names_the_largest_requirement() -> None:
    globals = globals_of()
    held = {0: position(BITCOIN, COST), 1: position(-3 * BITCOIN, -3 * BITCOIN * 300_000)}

    assert judged_by_rescue(globals, account(positions=held), NOW).largest == 1
    assert judged_by_rescue(globals, account(positions={0: held[0]}), NOW).largest == 0


def test_a_rescue_may_begin_with_half_the_largest_requirement_and_below_zero_with_any() -> None:
    globals = globals_of()
    # 720 dollars of maintenance in the first market, and in the second the half of it, or a trace less.
    price, ppm = globals.risk.price[1], globals.risk.maintenance_ppm[1]
    half = 360 * DOLLAR * 10**6 // (price * ppm)
    for lots, expected in ((half, [0, 1]), (half - 1, [0])):
        row = account(positions={0: position(BITCOIN, COST), 1: position(-lots, -lots * price)})
        assert may_begin(globals, row, 0) == expected
        assert may_begin(globals, row, -1) == [0, 1]
    # The largest first; without a price at the last tick none.
    row = account(positions={0: position(BITCOIN, COST), 1: position(3 * BITCOIN, 3 * BITCOIN * price)})
    assert may_begin(globals, row, 0) == [1, 0]
    globals.markets[1].previous_price = 0
    assert may_begin(globals, row, 0) == [0]
    globals.markets[0].previous_price = 0
    assert may_begin(globals, row, 0) == may_begin(globals, row, -1) == []


def test_an_account_without_positions_is_not_below_whatever_it_owes() -> None:
    judged = judged_by_rescue(globals_of(), account(collateral=-1), NOW)
    assert (judged.equity, judged.maintenance, judged.is_below) == (-1, 0, False)
    assert judged.is_left_owing
    assert not judged_by_rescue(globals_of(), account(collateral=0), NOW).is_left_owing
    held = {0: position(BITCOIN, COST)}
    assert not judged_by_rescue(globals_of(), account(collateral=-1, positions=held), NOW).is_left_owing


def test_an_account_is_below_at_the_first_micro_dollar_under_maintenance() -> None:
    held = {0: position(BITCOIN, COST)}

    assert not judged_by_rescue(globals_of(), account(collateral=720 * DOLLAR, positions=held), NOW).is_below
    assert judged_by_rescue(globals_of(), account(collateral=720 * DOLLAR - 1, positions=held), NOW).is_below


def test_an_account_is_closed_out_below_two_thirds_of_its_maintenance() -> None:
    globals = globals_of()
    for collateral, expected in ((480 * DOLLAR, False), (480 * DOLLAR - 1, True), (-1, True)):
        row = account(collateral=collateral, positions={0: position(BITCOIN, COST)})
        assert judged_by_rescue(globals, row, NOW).is_close_out == expected
    assert not judged_by_rescue(globals, account(collateral=-1), NOW).is_close_out


def test_what_is_won_where_a_market_is_over_is_no_money_yet() -> None:
    globals = globals_of()
    globals.risk.initial_ppm[1] = 0
    won = {0: position(BITCOIN, 0), 1: position(-BITCOIN, -BITCOIN * globals.risk.price[1] - 7)}
    assert won_where_over(globals.risk, account(positions=won)) == (7, 1)
    lost = {1: position(BITCOIN, BITCOIN * globals.risk.price[1])}
    assert won_where_over(globals.risk, account(positions=lost)) == (0, -1)
    assert won_where_over(globals.risk, account(positions={0: won[0]})) == (0, -1)
