"""Attacks by liquidation, and on the margin that everybody needs, each with its rule off and on.

Off: the Python law without the rule, and the loss that follows. On: both twins, their code, and a state as it was.
"""

import bisect
from typing import Any

import msgspec
import pytest

from prover.state.audit import conservation
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, containers, custody, margin, rescue, trading
from prover.stf.replay import Chunk
from tests.attacks.law_variants import python_chunk, rule_off
from tests.attacks.stage import (
    ATTACKER,
    BITCOIN,
    BTC,
    ETH,
    INITIAL_PPM,
    MAINTENANCE_PPM,
    POOL,
    PPM,
    STEP,
    VICTIM,
    ask,
    bid,
    ceil,
    debts,
    forced,
    forced_rescue,
    held,
    liquidate,
    row_of,
    size_of,
    stage,
    ticks,
    value,
)
from tests.attacks.stage import rescue as move
from tests.attacks.test_law_rules import assert_refused
from tests.twins import venue
from tests.twins.venue import DOLLAR, NOW, OWNERS, account, position


class TestC3Gentle:
    """At the zero price equity over maintenance stays as it is: without more rules a friend buys all of an account."""

    equity = 712_800_000
    maintenance = 720 * DOLLAR
    # oracle * (1 - mmf * E / MM), and oracle * (1 - 1.5 * mmf * (1 - E / MM)).
    zero_price = BTC - BTC * MAINTENANCE_PPM * 99 // 100 // PPM
    fair_price = BTC - BTC * MAINTENANCE_PPM * 3 // 2 // 100 // PPM

    def state(self, **changes: Any) -> State:
        row = account(OWNERS[1], self.equity, {0: position(BITCOIN, BITCOIN * BTC)}, **changes)
        return stage({VICTIM: row})

    def fee(self, lots: int) -> int:
        """A tenth of the maintenance margin of what is closed."""
        return lots * self.fair_price * MAINTENANCE_PPM // PPM // 10

    def most(self) -> int:
        """The most lots: the last but one still leaves equity below the initial requirement, the fee paid."""

        def is_restored(lots: int) -> bool:
            left = self.equity - lots * (BTC - self.fair_price) - self.fee(lots)
            return left >= (BITCOIN - lots) * BTC * INITIAL_PPM // PPM

        return bisect.bisect_left(range(BITCOIN), True, key=is_restored)

    def test_off_the_zero_price_takes_all_equity(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(
            monkeypatch,
            rescue,
            "    if gain * 2 * constants.PPM * every.maintenance + lots * oracle * allowance < 0:\n"
            "        return codes.LIQUIDATION_PRICE, 0\n",
        )
        chunk = python_chunk(self.state(), bid(self.zero_price), liquidate())

        assert chunk.operation_codes[-1] == c.OK
        assert value(row_of(chunk, VICTIM)) == 0
        assert value(row_of(chunk, ATTACKER)) == 10**6 * DOLLAR + self.equity

    def test_on_the_price_is_the_kinder_of_the_two(self) -> None:
        for price in (self.zero_price, self.fair_price - 1):
            for lots in (1, self.most(), BITCOIN):
                assert_refused(self.state(), bid(price), liquidate(lots), code=c.LIQUIDATION_PRICE)

    def test_off_nothing_ends_it_before_the_last_lot(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, rescue, "        return codes.TOO_MANY_LOTS, 0\n", "        pass\n")
        chunk = python_chunk(self.state(), bid(self.fair_price), liquidate())

        assert chunk.operation_codes[-1] == c.OK
        assert row_of(chunk, VICTIM).positions[0] is containers.EMPTY
        lost = BITCOIN * (BTC - self.fair_price) + self.fee(BITCOIN)
        assert value(row_of(chunk, VICTIM)) == self.equity - lost
        assert 2 * self.most() < BITCOIN

    def test_on_one_lot_too_many_is_refused_and_the_rest_is_done_once(self) -> None:
        state, lots = self.state(), self.most()
        assert (lots, lots * 100 // BITCOIN) == (43_609, 43)
        for more in (lots + 1, BITCOIN):
            assert_refused(state, bid(self.fair_price), liquidate(more), code=c.TOO_MANY_LOTS)
        assert venue.run(state, bid(self.fair_price), liquidate(lots)).codes == (c.OK, c.OK)

        left = state.account(VICTIM)
        assert size_of(left) == BITCOIN - lots
        assert value(left) == self.equity - lots * (BTC - self.fair_price) - self.fee(lots)
        assert state.account(1).fresh == self.fee(lots)
        assert conservation(state).sound
        assert_refused(state, bid(self.fair_price, sequence=2), liquidate(1), code=c.HEALTHY)

    # So little equity that nearly all must go, at a bid of the oracle price.
    thin = 40 * DOLLAR

    def test_off_the_fee_takes_it_below_maintenance_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, rescue, " - fewer_fee >= initial_before", " >= initial_before")
        state = stage({VICTIM: account(OWNERS[1], self.thin, {0: position(BITCOIN, BITCOIN * BTC)})})
        # The most before the fee: (1 - 40 / 1,200) of it.
        lots = ceil((BITCOIN * BTC * INITIAL_PPM // PPM - self.thin) * PPM, BTC * INITIAL_PPM)
        assert python_chunk(state, bid(BTC), liquidate(lots + 1)).operation_codes[-1] == c.TOO_MANY_LOTS
        chunk = python_chunk(state, bid(BTC), liquidate(lots))

        assert chunk.operation_codes[-1] == c.OK
        left = row_of(chunk, VICTIM)
        # The fee takes all that was bettered: as bad as before, and the next order is tried.
        assert value(left) == self.thin * size_of(left) // BITCOIN
        assert value(left) < size_of(left) * BTC * MAINTENANCE_PPM // PPM

    def test_on_it_stands_at_its_initial_requirement_with_the_fee_paid(self) -> None:
        state = stage({VICTIM: account(OWNERS[1], 300 * DOLLAR, {0: position(BITCOIN, BITCOIN * BTC)})})
        rest = next(
            rest
            for rest in range(BITCOIN)
            if 300 * DOLLAR - (BITCOIN - rest) * BTC * MAINTENANCE_PPM // PPM // 10 < rest * BTC * INITIAL_PPM // PPM
        )
        lots = BITCOIN - rest + 1
        assert_refused(state, bid(BTC), liquidate(lots + 1), code=c.TOO_MANY_LOTS)
        assert venue.run(state, bid(BTC), liquidate(lots)).codes == (c.OK, c.OK)
        left = state.account(VICTIM)
        assert value(left) >= size_of(left) * BTC * INITIAL_PPM // PPM
        assert_refused(state, bid(BTC, sequence=2), liquidate(1), code=c.HEALTHY)

    def remains(self, minimum: int) -> State:
        """Half a dollar behind a hundred lots: 63 must go to a liquidator, 81 to the fund."""
        row = account(OWNERS[1], 500_000, {0: position(100, 100 * BTC)})
        return stage({VICTIM: row}, fund=1_000, market={"minimum_notional": minimum})

    def test_off_what_is_left_is_too_small_for_an_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, rescue, "    if lots == abs(position.size):\n", "    if False:\n")
        state = self.remains(37 * BTC + 1)
        assert python_chunk(state, bid(BTC), liquidate(64)).operation_codes[-1] == c.TOO_MANY_LOTS
        assert python_chunk(state, bid(BTC), liquidate(100)).operation_codes[-1] == c.TOO_MANY_LOTS
        chunk = python_chunk(state, bid(BTC), liquidate(63))
        assert chunk.operation_codes[-1] == c.OK
        assert size_of(row_of(chunk, VICTIM)) * BTC < state.globals.markets[0].minimum_notional

    @pytest.mark.parametrize(
        ("minimum", "is_taken"), [(0, False), (37 * BTC, False), (37 * BTC + 1, True), (10**9, True)]
    )
    def test_on_what_would_be_too_small_goes_with_the_rest(self, minimum: int, is_taken: bool) -> None:
        for lots in (64, 99):
            assert_refused(self.remains(minimum), bid(BTC), liquidate(lots), code=c.TOO_MANY_LOTS)
        state = self.remains(minimum)
        if not is_taken:
            assert_refused(state, bid(BTC), liquidate(100), code=c.TOO_MANY_LOTS)
            return
        assert venue.run(state, bid(BTC), liquidate(100)).codes == (c.OK, c.OK)
        assert size_of(state.account(VICTIM)) == 0
        assert conservation(state).sound

    def test_off_a_forced_rescue_leaves_too_little(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(
            monkeypatch, rescue, "        return abs(size)\n    return min(found", "        pass\n    return min(found"
        )
        chunk = python_chunk(self.remains(19 * BTC + 1), forced_rescue())
        assert chunk.operation_codes == [c.OK]
        assert size_of(row_of(chunk, VICTIM)) == 19

    @pytest.mark.parametrize(("minimum", "left"), [(0, 19), (19 * BTC, 19), (19 * BTC + 1, 0), (10**9, 0)])
    def test_on_a_forced_rescue_takes_it_too(self, minimum: int, left: int) -> None:
        state = self.remains(minimum)
        assert venue.run(state, forced_rescue()).codes == (c.OK,)
        assert size_of(state.account(VICTIM)) == left
        assert conservation(state).sound
        # Whoever asks for fewer gets them.
        state = self.remains(minimum)
        assert venue.run(state, forced_rescue(lots=5)).codes == (c.OK,)
        assert size_of(state.account(VICTIM)) == 95

    def test_off_the_owners_own_bound_makes_it_larger(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, rescue, "        initial_ppm=0,\n", "        initial_ppm=account.initial_ppm,\n")
        chunk = python_chunk(self.state(initial_ppm=500_000), bid(self.fair_price), liquidate(97_000))

        assert chunk.operation_codes[-1] == c.OK
        assert size_of(row_of(chunk, VICTIM)) == 3_000

    def test_on_the_owners_own_bound_is_not_asked(self) -> None:
        state = self.state(initial_ppm=500_000)
        assert_refused(state, bid(self.fair_price), liquidate(self.most() + 1), code=c.TOO_MANY_LOTS)

    def two_legs(self) -> State:
        """A bitcoin, and a lot less than half of its maintenance margin in ether; equity is two fifths of both."""
        legs = {0: position(BITCOIN, BITCOIN * BTC), 1: position(BITCOIN - 1, (BITCOIN - 1) * ETH)}
        return stage({VICTIM: account(OWNERS[1], 480 * DOLLAR, legs), 2: account(containers.NOBODY, 0)})

    def test_off_the_order_is_a_choice(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, rescue, "    return codes.NOT_LARGEST\n", "    return codes.OK\n")
        chunk = python_chunk(self.two_legs(), bid(ETH, market=1), liquidate(BITCOIN // 2))

        assert chunk.operation_codes[-1] == c.OK
        assert [size_of(row_of(chunk, VICTIM), market) for market in (0, 1)] == [BITCOIN, BITCOIN - 1 - 50_000]

    def test_on_the_largest_position_comes_first(self) -> None:
        assert_refused(self.two_legs(), bid(ETH, market=1), liquidate(BITCOIN // 2), code=c.NOT_LARGEST)

    def test_on_below_zero_it_is_no_liquidation(self) -> None:
        state = stage({VICTIM: held(BITCOIN, -1)})
        assert_refused(state, bid(BTC), liquidate(1), code=c.INSOLVENT)


class TestC5Wick:
    """One signed price in sixty, or two that somebody picked, must not suffice to take an account."""

    WICK = 592_000
    # A thousand dollars behind a bitcoin; two hundred are left in the wick, and the zero price is 10,000 ticks lower.
    LOWEST = BTC - 10_000

    def state(self) -> State:
        return stage({VICTIM: held(BITCOIN, 1_000)}, fund=10**6)

    def attack(self, now: int) -> tuple[bytes, bytes]:
        return bid(self.LOWEST, now=now), liquidate()

    def assert_taken(self, chunk: Chunk) -> None:
        """Once the price is back where it was, the victim's thousand dollars are the attacker's."""
        assert chunk.operation_codes[-1] == c.OK
        assert value(row_of(chunk, VICTIM)) == 0
        assert value(row_of(chunk, ATTACKER)) == 10**6 * DOLLAR + 1_000 * DOLLAR

    def test_off_one_price_takes_an_account(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state = self.state()
        now = ticks(state, BTC, self.WICK)
        rule_off(monkeypatch, rescue, "            price[market] = previous[market]\n", "            pass\n")
        self.assert_taken(python_chunk(state, *self.attack(now), timestamp=now))

    def test_on_the_kinder_of_the_last_two_prices_decides(self) -> None:
        state = self.state()
        now = ticks(state, BTC, self.WICK)
        assert_refused(state, *self.attack(now), code=c.HEALTHY, timestamp=now)
        # For a short the lower one is kinder.
        short = stage({VICTIM: held(-BITCOIN, 1_000)})
        now = ticks(short, BTC, BTC + 8_000)
        assert_refused(short, ask(BTC + 8_000, now=now), liquidate(1), code=c.HEALTHY, timestamp=now)
        for tag in (constants.TAKE_OVER, constants.DELEVERAGE):
            assert_refused(short, move(tag), code=c.HEALTHY, timestamp=now)

    def test_on_a_price_that_stays_is_no_wick(self) -> None:
        state = self.state()
        now = ticks(state, self.WICK, self.WICK)
        assert venue.run(state, *self.attack(now), timestamp=now).codes == (c.OK, c.OK)
        assert conservation(state).sound

    def test_off_two_picked_ticks_take_an_account(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state = self.state()
        now = ticks(state, self.WICK, self.WICK, step=4 * STEP)
        rule_off(monkeypatch, rescue, "        return codes.UNSTEADY\n", "        pass\n")
        self.assert_taken(python_chunk(state, *self.attack(now), timestamp=now))

    @pytest.mark.parametrize("after", [0, 1])
    def test_on_three_ticks_stand_one_step_apart(self, after: int) -> None:
        state = self.state()
        ticks(state, self.WICK, self.WICK, step=4 * STEP)
        now = ticks(state, *[self.WICK] * after) if after else state.globals.tick_time
        assert state.globals.streak == 1 + after
        for rescue_ in (liquidate(), move(constants.TAKE_OVER), move(constants.DELEVERAGE)):
            assert_refused(state, bid(self.LOWEST, now=now), rescue_, code=c.UNSTEADY, timestamp=now)
        assert_refused(state, bid(BTC, now=now), move(constants.UNWIND, 1), code=c.UNSTEADY, timestamp=now)
        now = ticks(state, *[self.WICK] * (2 - after))
        assert venue.run(state, *self.attack(now), timestamp=now).codes[-1] == c.OK

    def test_off_money_leaves_at_a_price_that_has_passed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Ticks are withheld; outside, the price has fallen by fifteen percent.
        rule_off(monkeypatch, custody, "        return codes.STALE\n", "        pass\n")
        state = stage({VICTIM: held(BITCOIN, 7_000)})
        now, outside = NOW + constants.MAX_PRICE_AGE + 1, BTC * 85 // 100
        before = debts([state.account(VICTIM)], outside)
        chunk = python_chunk(state, venue.withdrawal(state, VICTIM, 1_000 * DOLLAR, now), timestamp=now)

        assert chunk.operation_codes == [c.OK]
        assert (before, debts([row_of(chunk, VICTIM)], outside)) == (2_000 * DOLLAR, 3_000 * DOLLAR)

    def test_on_an_old_price_moves_neither_money_nor_risk(self) -> None:
        state = stage({VICTIM: held(BITCOIN, 7_000), 20: account(OWNERS[1])})
        limit = NOW + constants.MAX_PRICE_AGE
        now = limit + 1
        for operations in (
            [venue.withdrawal(state, VICTIM, DOLLAR, now)],
            [venue.transfer(state, VICTIM, 20, DOLLAR, now)],
            venue.trade(state, ATTACKER, VICTIM, 1_000, now=now),
            [bid(BTC, now=now), liquidate(1)],
            [move(constants.TAKE_OVER)],
            [move(constants.DELEVERAGE)],
            [bid(BTC, now=now), move(constants.UNWIND, 1)],
        ):
            assert_refused(state, *operations, code=c.STALE, timestamp=now)
        in_time = [venue.withdrawal(state, VICTIM, DOLLAR, limit), venue.transfer(state, VICTIM, 20, DOLLAR, limit)]
        young = stage({VICTIM: held(BITCOIN, 7_000), 20: account(OWNERS[1])})
        assert venue.run(young, *in_time, timestamp=limit).codes == (c.OK, c.OK)

    def after_a_gap(self) -> tuple[State, int]:
        state = stage({VICTIM: held(BITCOIN, 7_000), 20: account(OWNERS[1])})
        now = ticks(state, BTC, step=constants.TICK_GAP + STEP)
        assert state.globals.grace_until == now + venue.globals_of().grace_period
        return state, now

    def test_off_whoever_made_the_gap_leaves_while_nobody_can_be_rescued(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state, now = self.after_a_gap()
        rule_off(monkeypatch, custody, "        return codes.GRACE\n", "        pass\n")
        leaving = [venue.withdrawal(state, VICTIM, 1_000 * DOLLAR, now), bid(BTC, now=now), liquidate(1)]
        chunk = python_chunk(state, *leaving, timestamp=now)

        assert chunk.operation_codes == [c.OK, c.OK, c.GRACE]
        assert chunk.commitment.withdrawn_total == 1_000 * DOLLAR

    def test_on_a_gap_favours_nobody(self) -> None:
        state, now = self.after_a_gap()
        last = state.globals.grace_until - 1
        for operations in (
            [venue.withdrawal(state, VICTIM, DOLLAR, last)],
            [venue.transfer(state, VICTIM, 20, DOLLAR, last)],
            venue.trade(state, ATTACKER, VICTIM, 1_000, now=last),
            [bid(BTC, now=last), liquidate(1)],
            [move(constants.TAKE_OVER)],
            [move(constants.DELEVERAGE)],
        ):
            assert_refused(state, *operations, code=c.GRACE, timestamp=last)
        # What only shrinks goes on.
        shrinking = venue.trade(state, VICTIM, POOL, 1_000, now=last)
        assert venue.run(state, *shrinking, timestamp=last).codes[-1] == c.OK
        assert now < last

    def test_off_a_limit_with_one_digit_too_many_is_filled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, trading, "        return codes.PRICE_BAND\n", "        pass\n")
        state = stage({VICTIM: account(OWNERS[1])}, fund=1_000)
        trade = venue.trade(state, ATTACKER, VICTIM, 1_000, 2 * BTC)
        chunk = python_chunk(state, *trade)

        assert chunk.operation_codes[-1] == c.OK
        assert value(row_of(chunk, VICTIM)) == 1_000 * DOLLAR - 1_000 * BTC

    @pytest.mark.parametrize("price", [2 * BTC, BTC + BTC // 20 + 1, BTC - BTC // 20 - 1, 1])
    def test_on_the_band_holds_both_ways(self, price: int) -> None:
        state = stage({VICTIM: account(OWNERS[1])})
        lots = max(1_000, ceil(venue.globals_of().markets[0].minimum_notional, price))
        seller, buyer = (ATTACKER, VICTIM) if price > BTC else (VICTIM, ATTACKER)
        assert_refused(state, *venue.trade(state, seller, buyer, lots, price), code=c.PRICE_BAND)


class TestH3Interest:
    """Interest that two washers open between themselves must not weigh on anybody's position but on what grows."""

    WASHERS = (20, 21)
    OPENED = 2 * BITCOIN
    # From a hundred to two hundred thousand dollars of interest the initial fraction grows to the whole.
    LOWER, UPPER = 100_000 * DOLLAR, 200_000 * DOLLAR
    scaled_ppm = INITIAL_PPM + (PPM - INITIAL_PPM) * (3 * BITCOIN * BTC - LOWER) // (UPPER - LOWER)
    gentle = TestC3Gentle()

    def washed(self, equity: int) -> State:
        rows = {index: account(OWNERS[index - 16], 10**6 * DOLLAR) for index in self.WASHERS}
        rows[VICTIM] = account(OWNERS[1], equity, {0: position(BITCOIN, BITCOIN * BTC)})
        state = stage(rows, fund=10**6, market={"interest_lower": self.LOWER, "interest_upper": self.UPPER})
        assert venue.run(state, *venue.trade(state, *self.WASHERS, self.OPENED)).codes[-1] == c.OK
        assert state.globals.markets[0].open_interest == 3 * BITCOIN
        return state

    def scaled_for_all(self, state: State, *operations: bytes) -> Chunk:
        """A chunk of a law whose initial fraction, scaled by open interest, is everybody's at all times."""
        chunk = state.chunk(venue.recover_fast)
        initial_ppm = [self.scaled_ppm, *chunk.globals.risk.initial_ppm[1:]]
        chunk.globals.risk = msgspec.structs.replace(chunk.globals.risk, initial_ppm=initial_ppm)
        chunk.run(venue.body_of(operations))
        return chunk

    def test_off_a_wash_makes_a_liquidation_larger(self) -> None:
        assert self.scaled_ppm == 804_000
        state, price = self.washed(self.gentle.equity), self.gentle.fair_price
        lots = 98_000
        chunk = self.scaled_for_all(state, bid(price), liquidate(lots))

        assert chunk.operation_codes[-1] == c.OK
        fee = lots * price * MAINTENANCE_PPM // PPM // 10
        assert value(row_of(chunk, VICTIM)) == self.gentle.equity - lots * (BTC - price) - fee
        assert lots > 2 * self.gentle.most()

    def test_on_a_liquidation_is_as_large_as_before(self) -> None:
        state, price = self.washed(self.gentle.equity), self.gentle.fair_price
        assert_refused(state, bid(price), liquidate(self.gentle.most() + 1), code=c.TOO_MANY_LOTS)
        assert venue.run(state, bid(price), liquidate(self.gentle.most())).codes[-1] == c.OK

    def test_off_a_wash_locks_money_in(self) -> None:
        state = self.washed(8_000 * DOLLAR)
        assert self.scaled_for_all(state, venue.withdrawal(state, VICTIM, 1)).operation_codes == [c.MARGIN]

    def test_on_money_leaves_and_positions_shrink_as_before(self) -> None:
        state = self.washed(8_000 * DOLLAR)
        # What grows needs the scaled fraction.
        assert_refused(state, *venue.trade(state, ATTACKER, VICTIM, 1_000), code=c.TAKER_MARGIN)
        assert venue.run(state, venue.withdrawal(state, VICTIM, 2_000 * DOLLAR)).codes == (c.OK,)
        assert venue.run(state, *venue.trade(state, VICTIM, POOL, 1_000)).codes[-1] == c.OK
        assert conservation(state).sound


class TestM5Floor:
    """Whoever could take out all but the initial margin would leave the next jump to the others."""

    OUTSIDE = BTC * 95 // 100

    def state(self, **changes: Any) -> State:
        return stage({VICTIM: held(BITCOIN, 6_000), 20: account(OWNERS[1], 1_200 * DOLLAR)}, **changes)

    def test_off_five_percent_make_a_hole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, margin, "max(every.initial, kept)", "every.initial")
        state = self.state()
        chunk = python_chunk(state, venue.withdrawal(state, VICTIM, 4_800 * DOLLAR))

        assert chunk.operation_codes == [c.OK]
        assert debts([row_of(chunk, VICTIM)], self.OUTSIDE) == (3_000 - 1_200) * DOLLAR

    def test_on_a_tenth_of_the_notional_stays(self) -> None:
        state = self.state()
        for payment in (venue.withdrawal(state, VICTIM, 1), venue.transfer(state, VICTIM, 20, 1)):
            assert_refused(state, payment, code=c.MARGIN)
        assert debts([state.account(VICTIM)], self.OUTSIDE) == 0
        # The last micro-dollar above it leaves, and no other.
        above = stage({VICTIM: account(OWNERS[1], 6_000 * DOLLAR + 5, {0: position(BITCOIN, BITCOIN * BTC)})})
        assert_refused(above, venue.withdrawal(above, VICTIM, 6), code=c.MARGIN)
        assert venue.run(above, venue.withdrawal(above, VICTIM, 5)).codes == (c.OK,)

    @pytest.mark.parametrize(("floor", "late"), [(100_000, 0), (250_000, constants.MAX_PRICE_AGE + 1)])
    def test_on_forced_paths_leave_it_too(self, floor: int, late: int) -> None:
        kept = BITCOIN * BTC * floor // PPM
        state = stage({VICTIM: account(OWNERS[1], kept + 7, {0: position(BITCOIN, BITCOIN * BTC)})})
        entry = forced(constants.FORCED_WITHDRAW, amount=2**64 - 1)
        assert venue.run(state, entry, timestamp=NOW + late).codes == (c.OK,)
        assert (state.commitment.withdrawn_total, state.account(VICTIM).settled) == (7, kept)

    def test_on_a_second_account_carries_it_on_less(self) -> None:
        # Known, and why maturity and fund-bound interest stand beside it: whoever hands on a position, takes the rest.
        state = self.state(fund=10_000)
        assert venue.run(state, *venue.trade(state, VICTIM, 20, BITCOIN)).codes[-1] == c.OK
        assert venue.run(state, venue.withdrawal(state, VICTIM, 6_000 * DOLLAR)).codes == (c.OK,)
        assert debts([state.account(20)], self.OUTSIDE) == 1_800 * DOLLAR


class TestM15Cost:
    """The bound of a position's cost refuses what grows; a position that stands at it can always be closed."""

    SIZE = 2**40

    def state(self) -> State:
        """A short that was sold so dear that its cost stands at the bound."""
        short = account(OWNERS[1], 2**90, {0: position(-self.SIZE, 1 - constants.COST_BOUND)})
        return venue.build_state(accounts={VICTIM: short, ATTACKER: account(OWNERS[2], 2**90)})

    def test_off_it_grows_out_of_its_field(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = "        or (growing and abs(new_cost) >= constants.COST_BOUND)\n"
        rule_off(monkeypatch, trading, rule)
        state = self.state()
        chunk = python_chunk(state, ask(BTC, index=VICTIM), bid(BTC), venue.operations.fill_bytes(0, 1, BITCOIN))

        assert chunk.operation_codes[-1] == c.OK
        assert row_of(chunk, VICTIM).positions[0].cost == 1 - constants.COST_BOUND - BITCOIN * BTC

    def test_off_a_bound_for_all_locks_it_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, trading, "growing and abs(new_cost) >= constants.COST_BOUND", "abs(new_cost) >= 2**109")
        state = self.state()
        chunk = python_chunk(state, bid(BTC, index=VICTIM), ask(BTC), venue.operations.fill_bytes(0, 1, BITCOIN))

        assert chunk.operation_codes[-1] == c.OUT_OF_BOUNDS

    def test_on_growing_is_refused_and_shrinking_never(self) -> None:
        state = self.state()
        fill = venue.operations.fill_bytes(0, 1, BITCOIN)
        assert_refused(state, ask(BTC, index=VICTIM), bid(BTC), fill, code=c.OUT_OF_BOUNDS)
        assert venue.run(state, bid(BTC, index=VICTIM), ask(BTC), fill).codes[-1] == c.OK
        assert (
            state.account(VICTIM).positions[0].cost == (1 - constants.COST_BOUND) * (self.SIZE - BITCOIN) // self.SIZE
        )
