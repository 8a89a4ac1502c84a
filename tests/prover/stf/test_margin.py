"""Margin, funding and fees by examples that a person can follow, and by what must always hold."""

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prover.stf import codes as c
from prover.stf import constants, containers, custody, encoding, margin, markets, trading
from tests.twins import venue
from tests.twins.venue import DOLLAR, KEYS, NOW, OWNERS, account, build_state, order, position

# One bitcoin is 100,000 lots; a tick is ten cents: 60,000 dollars.
BITCOIN: Final = 100_000
BTC: Final = 600_000
RISK: Final = venue.globals_of().risk
CLOCK: Final = containers.Clock(now=NOW, priced=True, grace=False, steady=False)

SIZES: Final = st.integers(1 - constants.SIZE_BOUND, constants.SIZE_BOUND - 1)
COSTS: Final = st.integers(1 - constants.COST_BOUND, constants.COST_BOUND - 1)
LIES: Final = st.integers(1, 2**48 - 1)
INDICES: Final = st.integers(1 - constants.FUNDING_BOUND, constants.FUNDING_BOUND - 1)


def traded_of(row: containers.Account, size: int, price: int, fee: int) -> containers.Traded:
    """One side of a fill in the first market, without open-interest scaling."""
    return trading.trade(RISK, CLOCK, row, containers.Leg(0, size, price, fee, RISK.initial_ppm[0]))


class TestRequirement:
    def test_two_percent_of_a_bitcoin(self) -> None:
        assert margin.requirement(BTC, BITCOIN, 20_000) == 1_200 * DOLLAR
        assert margin.requirement(BTC, -BITCOIN, 20_000) == 1_200 * DOLLAR

    def test_it_rounds_against_the_account(self) -> None:
        assert margin.requirement(1, 1, 20_000) == 1
        assert margin.requirement(3, 17, 20_000) == 2
        assert margin.requirement(BTC, 0, 20_000) == 0


class TestSums:
    def test_a_long_that_gained_and_a_short_that_lost(self) -> None:
        row = account(
            positions={
                0: position(BITCOIN, 59_000 * DOLLAR),
                # Ten ether short from 2,900; the price is 3,000 (a tick is a cent, 100,000 lots are ten).
                1: position(-100_000, -29_000 * DOLLAR),
            }
        )
        every = margin.sums(RISK, row, constants.MARKETS)

        assert every.value == 1_000 * DOLLAR - 1_000 * DOLLAR
        assert every.notional == 60_000 * DOLLAR + 30_000 * DOLLAR
        assert every.initial == 1_200 * DOLLAR + 600 * DOLLAR
        assert every.maintenance == 720 * DOLLAR + 360 * DOLLAR

    def test_leaving_a_market_out_is_the_difference_of_one_leg(self) -> None:
        row = account(positions={0: position(BITCOIN, 0), 2: position(-7, 5)})
        every, others = margin.sums(RISK, row, constants.MARKETS), margin.sums(RISK, row, 0)

        assert every.value - others.value == BITCOIN * BTC
        assert every.initial - others.initial == margin.requirement(BTC, BITCOIN, RISK.initial_ppm[0])


class TestSpendable:
    def test_a_tenth_of_the_notional_stays(self) -> None:
        row = account(collateral=10_000 * DOLLAR, positions={0: position(BITCOIN, 60_000 * DOLLAR)})

        assert margin.spendable(RISK, row, constants.WITHDRAWAL_FLOOR_PPM) == 4_000 * DOLLAR

    def test_profit_that_is_not_realised_counts_but_only_collateral_leaves(self) -> None:
        rich = account(collateral=100 * DOLLAR, positions={0: position(BITCOIN, 40_000 * DOLLAR)})
        state = build_state(accounts={17: rich})
        request = venue.request(17, amount=100 * DOLLAR + 1, recipient=venue.RECIPIENT)

        assert (
            margin.spendable(RISK, rich, constants.WITHDRAWAL_FLOOR_PPM)
            == 100 * DOLLAR + 20_000 * DOLLAR - 6_000 * DOLLAR
        )
        assert venue.run(state, venue.signed_request(constants.WITHDRAW, request, KEYS[1])).codes == (c.COLLATERAL,)

    def test_the_last_micro_dollar(self) -> None:
        row = account(collateral=10_000 * DOLLAR, positions={0: position(BITCOIN, 60_000 * DOLLAR)})
        for amount, code in ((4_000 * DOLLAR + 1, c.MARGIN), (4_000 * DOLLAR, c.OK)):
            request = venue.request(17, amount=amount, recipient=venue.RECIPIENT)
            signed = venue.signed_request(constants.WITHDRAW, request, KEYS[1])
            assert venue.run(build_state(venue.free_of_charge(), {17: row}), signed).codes == (code,)

    def test_pending_funding_is_paid_before_money_leaves(self) -> None:
        globals = venue.free_of_charge()
        # A dollar a bitcoin: 10 micro-dollars a lot, in units of 10^-9.
        globals.risk.funding_index[0] = 10 * constants.FUNDING_SCALE
        row = account(collateral=10_000 * DOLLAR, positions={0: position(BITCOIN, 60_000 * DOLLAR)})
        for amount, code in ((3_999 * DOLLAR + 1, c.MARGIN), (3_999 * DOLLAR, c.OK)):
            state = build_state(globals, {17: row})
            request = venue.request(17, amount=amount, recipient=venue.RECIPIENT)
            outcome = venue.run(state, venue.signed_request(constants.WITHDRAW, request, KEYS[1]))
            assert outcome.codes == (code,)
        assert margin.collateral(state.account(17)) == 6_000 * DOLLAR
        assert state.account(17).positions[0].funding == 10 * constants.FUNDING_SCALE


class TestSettle:
    def test_longs_pay_when_the_index_rises(self) -> None:
        risk = venue.globals_of().risk
        risk.funding_index[0] = 3 * constants.FUNDING_SCALE
        for size, expected in ((5, -15), (-5, 15)):
            settled, dust = margin.settle(risk, account(collateral=0, positions={0: position(size, 0)}), NOW)
            assert margin.collateral(settled) == expected
            assert dust == 0

    def test_one_rounding_for_all_positions_against_the_account(self) -> None:
        risk = venue.globals_of().risk
        risk.funding_index[:3] = [1, 1, -1]
        row = account(collateral=0, positions={0: position(1, 0), 1: position(1, 0), 2: position(1, 0)})
        settled, dust = margin.settle(risk, row, NOW)

        assert margin.collateral(settled) == -1
        assert dust == constants.FUNDING_SCALE - 1

    def test_nothing_due_leaves_the_account_itself(self) -> None:
        row = account(positions={0: position(1, 0)})

        assert margin.settle(RISK, row, NOW) == (row, 0)
        assert margin.settle(RISK, row, NOW)[0] is row

    @settings(max_examples=200)
    @given(st.lists(st.tuples(SIZES, COSTS, INDICES, INDICES), max_size=16))
    def test_nothing_is_made_and_less_than_a_micro_dollar_stays_behind(
        self, rows: list[tuple[int, int, int, int]]
    ) -> None:
        risk = venue.globals_of().risk
        risk.initial_ppm = [20_000] * constants.MARKETS
        for market, (_, _, _, now) in enumerate(rows):
            risk.funding_index[market] = now
        row = account(
            collateral=0, positions={m: position(size, cost, then) for m, (size, cost, then, _) in enumerate(rows)}
        )
        settled, dust = margin.settle(risk, row, NOW)
        owed = sum(size * (now - then) for size, _, then, now in rows)

        assert margin.collateral(settled) * constants.FUNDING_SCALE + dust == -owed or settled is row
        assert 0 <= dust < constants.FUNDING_SCALE
        assert [each.cost for each in settled.positions] == [each.cost for each in row.positions]
        assert margin.settle(risk, settled, NOW) == (settled, 0)


class TestDivision:
    @settings(max_examples=300)
    @given(st.integers(-(2**200), 2**200), st.integers(1, 2**60))
    def test_floor_and_ceil(self, numerator: int, denominator: int) -> None:
        assert margin.floor_div(numerator, denominator) == numerator // denominator
        assert margin.ceil_div(numerator, denominator) == -(-numerator // denominator)


class TestOnlyReduced:
    def test_closing_at_the_oracle_price_keeps_the_equity(self) -> None:
        assert margin.only_reduced(10, 5, 100, 100, 60, 30)
        assert margin.only_reduced(-10, 0, 0, 0, 60, 0)

    def test_the_ratio_of_equity_to_maintenance_may_not_fall(self) -> None:
        assert margin.only_reduced(10, 5, 100, 50, 60, 30)
        assert not margin.only_reduced(10, 5, 100, 49, 60, 30)

    def test_growing_turning_and_a_larger_requirement_are_no_reduction(self) -> None:
        assert not margin.only_reduced(10, 11, 100, 200, 60, 60)
        assert not margin.only_reduced(10, -1, 100, 200, 60, 6)
        assert not margin.only_reduced(10, 9, 100, 200, 60, 61)

    @settings(max_examples=300)
    @given(
        st.integers(-(10**9), 10**9),
        st.integers(-(10**9), 10**9),
        st.integers(-(10**12), 10**12),
        st.integers(0, 10**12),
    )
    def test_below_zero_nothing_that_keeps_the_debt_is_a_reduction(
        self, old: int, new: int, before: int, maintenance: int
    ) -> None:
        smaller = maintenance // 2
        if before < 0 < maintenance and margin.only_reduced(old, new, before, before, maintenance, smaller):
            pytest.fail("a debt was left behind by a smaller position")


class TestMedian:
    @settings(max_examples=200)
    @given(st.sampled_from([1, 3, 5, 7]), st.data())
    def test_it_is_the_middle_one(self, count: int, data: st.DataObject) -> None:
        reports = data.draw(st.lists(st.integers(-(2**31), 2**48), min_size=count, max_size=count))

        assert markets.median(reports + [0] * (7 - count), count) == sorted(reports)[count // 2]

    @settings(max_examples=100)
    @given(
        st.lists(st.integers(590_000, 610_000), min_size=5, max_size=5), st.integers(1, 2**48), st.integers(1, 2**48)
    )
    def test_two_of_seven_liars_stay_within_the_honest_range(self, honest: list[int], one: int, two: int) -> None:
        assert min(honest) <= markets.median([one, *honest, two], 7) <= max(honest)


class TestFunding:
    def test_a_rate_of_a_hundred_ppm_for_five_seconds(self) -> None:
        # 100 ppm an hour of 600,000 ticks is 60 micro-dollars a lot; five seconds are 1/720 of it: 0.0833.
        assert markets.accrued(0, 100_000, BTC, 5_000) == 83_333_333

    def test_an_hour_of_twelve_and_a_half_ppm(self) -> None:
        index = 0
        for _ in range(720):
            index = markets.accrued(index, 12_500, BTC, 5_000)
        # 7.5 micro-dollars a lot, a little less by 720 roundings down.
        assert 7_500_000_000 - 720 <= index <= 7_500_000_000

    def test_it_accrues_over_no_gap(self) -> None:
        assert markets.accrued(0, 100, BTC, 60_001) == markets.accrued(0, 100, BTC, 60_000)

    def test_it_rounds_down_on_both_sides(self) -> None:
        assert markets.accrued(0, 1, 1, 1) == 0
        assert markets.accrued(0, -1, 1, 1) == -1

    def test_at_the_bound_the_index_stands_still(self) -> None:
        bound = constants.FUNDING_BOUND - 1
        assert markets.accrued(bound, 500, BTC, 5_000) == bound
        assert markets.accrued(-bound, -500, BTC, 5_000) == -bound
        assert markets.accrued(bound, -500_000, BTC, 5_000) < bound

    @pytest.mark.parametrize(
        ("premium", "interest", "damping", "cap", "rate"),
        [
            (77, 0, 0, 500, 77),
            (501, 0, 0, 500, 500),
            (-501, 0, 0, 500, -500),
            # Within the damping of the interest it is the interest, beyond it a damping nearer to it.
            (0, 12_500, 62_500, 500_000, 12_500),
            (75_000, 12_500, 62_500, 500_000, 12_500),
            (75_001, 12_500, 62_500, 500_000, 12_501),
            (-50_000, 12_500, 62_500, 500_000, 12_500),
            (-50_001, 12_500, 62_500, 500_000, 12_499),
            (0, -12_500, 10_000, 500_000, -10_000),
            # The cap comes last.
            (0, 12_500, 62_500, 12_499, 12_499),
            (70_000, 0, 62_500, 0, 0),
        ],
    )
    def test_the_rate(self, premium: int, interest: int, damping: int, cap: int, rate: int) -> None:
        assert markets.funding_rate(encoding.funding_terms(cap, interest, damping), premium) == rate


class TestTrade:
    def test_opening_costs_nothing_but_the_fee(self) -> None:
        traded = traded_of(account(collateral=2_000 * DOLLAR), BITCOIN, BTC, 27 * DOLLAR)

        assert traded.code == c.OK
        assert margin.collateral(traded.account) == 1_973 * DOLLAR
        assert traded.account.positions[0].cost == 60_000 * DOLLAR
        assert traded.growth == BITCOIN

    def test_the_last_micro_dollar_of_initial_margin(self) -> None:
        for collateral, code in ((1_200 * DOLLAR + 5, c.OK), (1_200 * DOLLAR + 4, c.MARGIN)):
            assert traded_of(account(collateral=collateral), BITCOIN, BTC, 5).code == code

    def test_closing_realises_the_whole_difference(self) -> None:
        long = account(collateral=DOLLAR, positions={0: position(BITCOIN, 59_000 * DOLLAR)})
        traded = traded_of(long, -BITCOIN, BTC, 0)

        assert margin.collateral(traded.account) == 1_001 * DOLLAR
        assert traded.account.positions[0].size == 0
        assert traded.growth == -BITCOIN

    def test_buying_above_the_oracle_price_is_paid_at_once(self) -> None:
        # Ten dollars above the oracle price: so much less equity.
        for collateral, code in ((1_210 * DOLLAR, c.OK), (1_210 * DOLLAR - 1, c.MARGIN)):
            assert traded_of(account(collateral=collateral), BITCOIN, BTC + 100, 0).code == code

    def test_the_posting_fee_is_the_takers(self) -> None:
        state = build_state(accounts={17: account(OWNERS[1]), 18: account(OWNERS[2])})
        sell = venue.signed_order(order(17, side=constants.SELL, size=1_000), KEYS[1])
        buy = venue.signed_order(order(18, size=1_000), KEYS[2])
        assert venue.run(state, sell, buy, venue.operations.fill_bytes(0, 1, 1)).codes[-1] == c.OK

        # ceil(600,000 * 100 / 10^6) and ceil(600,000 * 450 / 10^6) + 500.
        assert margin.collateral(state.account(17)) == 1_000 * DOLLAR - 60
        assert margin.collateral(state.account(18)) == 1_000 * DOLLAR - 270 - 500
        assert state.account(0).fresh == 60 + 270 + 500


def test_a_credited_account_differs_in_its_collateral_alone() -> None:
    row = account(positions={0: position(1, 2)}, floor=4)
    credited = custody.credited(row, -5)

    assert credited.settled == row.settled - 5
    assert (credited.owner, credited.floor, credited.positions) == (row.owner, row.floor, row.positions)
