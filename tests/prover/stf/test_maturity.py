"""Profit is fresh, older, settled, an epoch each; losses eat in that order; only settled money leaves."""

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prover.state.audit import conservation
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, containers, margin
from tests.twins import venue
from tests.twins.venue import DOLLAR, NOW, OWNERS, account, position

TRADER, OTHER, POOL = 17, 18, 19
BTC: Final = 600_000
BITCOIN: Final = 100_000
EPOCH: Final = constants.EPOCH
PARTS = tuple[int, int, int]


def parts(row: containers.Account) -> PARTS:
    return row.settled, row.older, row.fresh


def state_of(trader: containers.Account, **changes: int) -> State:
    """A trader, another account of the same owner, and a pool that takes the other side of everything."""
    held = {m: position(-each.size, -each.cost, each.funding) for m, each in enumerate(trader.positions) if each.size}
    rows = {TRADER: trader, OTHER: account(collateral=0), POOL: account(OWNERS[2], 10**9 * DOLLAR, held)}
    return venue.balanced(venue.free_of_charge(**changes), rows)


def held_money(settled: int, older: int, fresh: int, gain: int = 0) -> containers.Account:
    """A bitcoin long that has gained so many dollars, over dollars of three ages."""
    held = {0: position(BITCOIN, BITCOIN * BTC - gain * DOLLAR)}
    return account(collateral=settled * DOLLAR, positions=held, older=older * DOLLAR, fresh=fresh * DOLLAR)


def close(state: State, now: int = NOW) -> None:
    assert venue.run(state, *venue.trade(state, TRADER, POOL, BITCOIN, now=now), timestamp=now).codes[-1] == c.OK


class TestProfit:
    def test_it_is_fresh_when_a_position_is_closed(self) -> None:
        state = state_of(held_money(100, 0, 0, gain=50))
        close(state)

        assert parts(state.account(TRADER)) == (100 * DOLLAR, 0, 50 * DOLLAR)
        assert conservation(state).sound

    def test_of_an_account_that_never_settled_before_it_is_fresh_too(self) -> None:
        row = account(collateral=2_000 * DOLLAR, positions={0: position(BITCOIN, BITCOIN * BTC - DOLLAR)}, epoch=0)
        state = state_of(row)
        close(state)

        assert parts(state.account(TRADER)) == (2_000 * DOLLAR, 0, DOLLAR)
        assert state.account(TRADER).epoch == NOW // EPOCH

    def test_funding_that_is_received_is_fresh(self) -> None:
        state = state_of(account(collateral=9_000 * DOLLAR, positions={0: position(-BITCOIN, -BITCOIN * BTC)}))
        now = NOW + 5_000
        assert venue.run(state, venue.tick(now, [BTC, 300_000, 1_500_000], [500_000]), timestamp=now).codes == (c.OK,)
        # A shorts' micro-dollar moves, and with it all that is due is settled.
        assert venue.run(state, venue.withdrawal(state, TRADER, 1, now), timestamp=now).codes == (c.OK,)
        # 500 ppm an hour of 60,000 dollars for five seconds, rounded against the account.
        received = 500 * 60_000 * 5 * DOLLAR // 3_600 // constants.PPM

        assert parts(state.account(TRADER)) == (9_000 * DOLLAR - 1, 0, received)

    def test_funding_that_is_paid_eats_what_is_fresh_first(self) -> None:
        globals = venue.free_of_charge()
        globals.risk.funding_index[0] = 10 * constants.FUNDING_SCALE
        row = held_money(9_000, 5, 3)
        state = venue.balanced(globals, {TRADER: row})
        # A dollar a bitcoin.
        assert venue.run(state, venue.withdrawal(state, TRADER, DOLLAR)).codes == (c.OK,)
        assert parts(state.account(TRADER)) == (8_999 * DOLLAR, 5 * DOLLAR, 2 * DOLLAR)


class TestEpochs:
    """Fifty dollars are made at the very beginning of an epoch; how much of a hundred and fifty may leave, and when."""

    @pytest.mark.parametrize(
        ("elapsed", "leaves", "left"),
        [
            (0, 100, (0, 0, 50)),
            (EPOCH - 1, 100, (0, 0, 50)),
            (EPOCH, 100, (0, 50, 0)),
            (2 * EPOCH - 1, 100, (0, 50, 0)),
            (2 * EPOCH, 150, (0, 0, 0)),
            (3 * EPOCH, 150, (0, 0, 0)),
            (1_000 * EPOCH + 1, 150, (0, 0, 0)),
        ],
    )
    def test_only_what_is_settled_leaves(self, elapsed: int, leaves: int, left: PARTS) -> None:
        state = state_of(held_money(100, 0, 0, gain=50))
        close(state)
        now = NOW + elapsed
        if elapsed > constants.MAX_PRICE_AGE:
            at = now - now % constants.TICK_STEP - 10_000
            assert venue.later(state, at) <= now

        def payment(amount: int) -> bytes:
            return venue.withdrawal(state, TRADER, amount, now)

        assert venue.run(state, payment(leaves * DOLLAR + 1), timestamp=now).codes == (c.COLLATERAL,)
        assert venue.run(state, payment(leaves * DOLLAR), timestamp=now).codes == (c.OK,)
        assert parts(state.account(TRADER)) == tuple(dollars * DOLLAR for dollars in left)
        assert conservation(state).sound

    def test_profits_of_two_epochs_settle_one_after_the_other(self) -> None:
        row = held_money(100, 20, 30, gain=50)
        seen = [parts(margin.matured(containers.NO_DEBTS, row, NOW + epochs * EPOCH)) for epochs in range(4)]
        one = [tuple(money // DOLLAR for money in each) for each in seen]

        assert one == [(100, 20, 30), (120, 30, 0), (150, 0, 0), (150, 0, 0)]

    def test_within_an_epoch_nothing_is_copied(self) -> None:
        row = held_money(1, 2, 3)

        assert margin.matured(containers.NO_DEBTS, row, NOW) is row
        assert margin.matured(containers.NO_DEBTS, row, NOW + EPOCH - 1) is row
        assert margin.matured(containers.NO_DEBTS, row, NOW + EPOCH) is not row


class TestLosses:
    @pytest.mark.parametrize(
        ("loss", "left"),
        [
            (10, (100, 50, 10)),
            (20, (100, 50, 0)),
            (21, (100, 49, 0)),
            (70, (100, 0, 0)),
            (71, (99, 0, 0)),
            (169, (1, 0, 0)),
        ],
    )
    def test_they_eat_fresh_older_and_settled_money_in_turn(self, loss: int, left: PARTS) -> None:
        state = state_of(held_money(100, 50, 20, gain=-loss))
        close(state)

        assert parts(state.account(TRADER)) == tuple(dollars * DOLLAR for dollars in left)
        assert conservation(state).sound

    def test_fees_are_losses(self) -> None:
        rows = {TRADER: account(older=30, fresh=20), OTHER: account(collateral=0), POOL: account(OWNERS[2])}
        state = venue.balanced(venue.globals_of(), rows)
        # The maker's fee: ceil(20 lots * 600,000 * 100 ppm) = 1,200 micro-dollars.
        assert venue.run(state, *venue.trade(state, TRADER, POOL, 20)).codes[-1] == c.OK

        assert parts(state.account(TRADER)) == (1_000 * DOLLAR - 1_150, 0, 0)
        assert conservation(state).sound

    @pytest.mark.parametrize(
        ("profit", "left"), [(4, (-6, 0, 0)), (10, (0, 0, 0)), (25, (0, 0, 15))], ids=["less", "all", "more"]
    )
    def test_a_debt_of_its_own_is_paid_first(self, profit: int, left: PARTS) -> None:
        # Else money would pay for others' debts that is not there.
        row = account(collateral=-10, fresh=0)

        assert parts(margin.booked(row, profit, row.positions)) == left

    def test_a_debt_is_paid_by_what_arrives(self) -> None:
        state = state_of(account(collateral=9 * DOLLAR, older=20 * DOLLAR, fresh=5 * DOLLAR))
        row = account(collateral=-8 * DOLLAR)
        state = venue.balanced(venue.free_of_charge(), {TRADER: state.account(TRADER), OTHER: row})
        assert venue.run(state, venue.transfer(state, TRADER, OTHER, 25 * DOLLAR)).codes == (c.OK,)
        assert parts(state.account(OTHER)) == (0, 17 * DOLLAR, 0)


class TestWhatComesIn:
    def test_a_deposit_is_settled_and_leaves_at_once(self) -> None:
        state = state_of(account(collateral=0, fresh=50 * DOLLAR))
        assert venue.run(state, venue.deposit(OWNERS[1], 7 * DOLLAR, TRADER)).codes == (c.OK,)
        assert parts(state.account(TRADER)) == (7 * DOLLAR, 0, 50 * DOLLAR)
        assert venue.run(state, venue.withdrawal(state, TRADER, 7 * DOLLAR + 1)).codes == (c.COLLATERAL,)
        assert venue.run(state, venue.withdrawal(state, TRADER, 7 * DOLLAR)).codes == (c.OK,)

    @pytest.mark.parametrize(
        ("amount", "left", "received"),
        [
            (1, (9, 20, 49), (0, 0, 1)),
            (50, (9, 20, 0), (0, 0, 50)),
            (51, (9, 19, 0), (0, 1, 50)),
            (70, (9, 0, 0), (0, 20, 50)),
            (73, (6, 0, 0), (3, 20, 50)),
            (79, (0, 0, 0), (9, 20, 50)),
        ],
    )
    def test_a_transfer_takes_the_youngest_money_first_and_keeps_its_age(
        self, amount: int, left: PARTS, received: PARTS
    ) -> None:
        state = state_of(account(collateral=9 * DOLLAR, older=20 * DOLLAR, fresh=50 * DOLLAR))
        assert venue.run(state, venue.transfer(state, TRADER, OTHER, 79 * DOLLAR + 1)).codes == (c.COLLATERAL,)
        assert venue.run(state, venue.transfer(state, TRADER, OTHER, amount * DOLLAR)).codes == (c.OK,)
        assert parts(state.account(TRADER)) == tuple(dollars * DOLLAR for dollars in left)
        assert parts(state.account(OTHER)) == tuple(dollars * DOLLAR for dollars in received)
        assert conservation(state).sound
        leaves = received[0] * DOLLAR
        assert venue.run(state, venue.withdrawal(state, OTHER, leaves + 1)).codes == (c.COLLATERAL,)

    def test_whoever_receives_has_aged_first(self) -> None:
        state = state_of(account(collateral=0, older=5 * DOLLAR, fresh=50 * DOLLAR))
        assert venue.run(state, venue.transfer(state, TRADER, OTHER, 20 * DOLLAR)).codes == (c.OK,)
        now = venue.later(state, NOW + EPOCH)
        # What was fresh on both sides is older on both.
        assert venue.run(state, venue.transfer(state, TRADER, OTHER, DOLLAR, now), timestamp=now).codes == (c.OK,)
        assert parts(state.account(TRADER)) == (5 * DOLLAR, 29 * DOLLAR, 0)
        assert parts(state.account(OTHER)) == (0, 21 * DOLLAR, 0)
        assert conservation(state).sound

    @pytest.mark.parametrize(
        ("fresh", "opened"), [(50, (0, 0, 1)), (1, (0, 1, 0)), (0, (0, 1, 0))], ids=["fresh", "both", "older"]
    )
    def test_an_account_that_a_transfer_opens_pays_the_youngest_for_it(self, fresh: int, opened: PARTS) -> None:
        state = state_of(account(collateral=9 * DOLLAR, older=20 * DOLLAR, fresh=fresh * DOLLAR))
        new = state.globals.next_account
        transfer = venue.transfer(state, TRADER, constants.NEW_ACCOUNT, 2 * DOLLAR)
        assert venue.run(state, transfer).codes == (c.OK,)
        assert parts(state.account(new)) == tuple(dollars * DOLLAR for dollars in opened)
        assert state.account(new).epoch == NOW // EPOCH
        assert conservation(state).sound

    def test_a_deposit_does_not_make_the_rest_any_older(self) -> None:
        state = state_of(account(collateral=0, fresh=50 * DOLLAR))
        now = venue.later(state, NOW + EPOCH)
        assert venue.run(state, venue.deposit(OWNERS[1], DOLLAR, TRADER), timestamp=now).codes == (c.OK,)
        # Older by the epoch that has passed, as at any touch, and by no more.
        assert parts(state.account(TRADER)) == (DOLLAR, 50 * DOLLAR, 0)
        assert venue.run(state, venue.withdrawal(state, TRADER, DOLLAR, now), timestamp=now).codes == (c.OK,)
        assert parts(state.account(TRADER)) == (0, 50 * DOLLAR, 0)


class Purse:
    """An independent reading: every profit keeps the epoch it was made in; a loss takes from the youngest first."""

    def __init__(self, settled: int) -> None:
        self.settled = settled
        self.epoch = NOW // EPOCH
        self.made: list[tuple[int, int]] = []

    def book(self, now: int, change: int) -> None:
        self.epoch = now // EPOCH
        self.settled += sum(money for epoch, money in self.made if epoch <= self.epoch - 2)
        self.made = [(epoch, money) for epoch, money in self.made if epoch > self.epoch - 2]
        if change > 0:
            repaid = min(change, max(-self.settled, 0))
            self.settled += repaid
            self.made.append((self.epoch, change - repaid))
        while change < 0 and self.made:
            epoch, money = self.made.pop()
            change += money
            if change > 0:
                self.made.append((epoch, change))
        self.settled += min(change, 0)

    @property
    def parts(self) -> PARTS:
        fresh = sum(money for epoch, money in self.made if epoch == self.epoch)
        return self.settled, sum(money for _, money in self.made) - fresh, fresh


STEPS = st.lists(st.tuples(st.integers(0, 3 * EPOCH), st.integers(-100, 100)), max_size=20)


@settings(max_examples=300)
@given(st.integers(-50, 200), STEPS)
def test_money_ages_as_an_independent_reading_says(start: int, steps: list[tuple[int, int]]) -> None:
    row = account(collateral=start)
    purse = Purse(start)
    now, total = NOW, start
    for elapsed, change in steps:
        now += elapsed
        total += change
        row = margin.booked(margin.matured(containers.NO_DEBTS, row, now), change, row.positions)
        purse.book(now, change)

        assert parts(row) == purse.parts
        assert margin.collateral(row) == total
        assert row.older >= 0
        assert row.fresh >= 0


@settings(max_examples=6)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([-20_000, -600, 60, 15_000])),
        min_size=2,
        max_size=5,
    )
)
def test_on_both_twins_money_ages_as_an_independent_reading_says(steps: list[tuple[int, int]]) -> None:
    state = state_of(account(collateral=10_000 * DOLLAR))
    purse = Purse(10_000 * DOLLAR)
    now, price = NOW, BTC
    for epochs, change in steps:
        opening = venue.trade(state, POOL, TRADER, BITCOIN, price, now=now)
        assert venue.run(state, *opening, timestamp=now).codes[-1] == c.OK
        price += change
        at = now - now % constants.TICK_STEP + max(epochs * EPOCH, constants.TICK_STEP)
        now = venue.later(state, at, [price, 300_000, 1_500_000])
        closing = venue.trade(state, TRADER, POOL, BITCOIN, price, now=now)
        assert venue.run(state, *closing, timestamp=now).codes[-1] == c.OK
        purse.book(now, change * BITCOIN)

        assert parts(state.account(TRADER)) == purse.parts
        assert conservation(state).sound
