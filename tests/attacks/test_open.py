"""What the fourth version of the law leaves open: each test shows the loss as it is, in both twins.

Whoever mends a rule turns its test round: then the last assertion of each fails.
"""

import pytest

from prover.state.audit import conservation
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, containers
from tests.attacks.stage import (
    ATTACKER,
    BITCOIN,
    BTC,
    ETH,
    POOL,
    SOL,
    STEP,
    VICTIM,
    forced,
    held,
    rescue,
    size_of,
    stage,
    value,
)
from tests.twins import venue
from tests.twins.venue import DOLLAR, OWNERS, account, position

EPOCH = constants.EPOCH
# Further accounts of the attacker, and somebody who has nothing to do with it.
WINNER, STRANGER, SINK, SHORT = 20, 21, 22, 23
# Dollars that a loser is below zero, and that the winner has won and not waited for.
HOLE = 2_000
NOBODY_ELSE = {POOL: account(OWNERS[5], 0)}


def won() -> dict[int, containers.Account]:
    """The winner's profit of today, and a stranger's deposit."""
    fresh = account(OWNERS[2], 1_000 * DOLLAR, fresh=HOLE * DOLLAR)
    return {WINNER: fresh, STRANGER: account(OWNERS[4], 10_000 * DOLLAR)}


def unsettled() -> containers.Pool:
    """The sums that go with it."""
    return containers.Pool(venue.EPOCH, 0, HOLE * DOLLAR, 0, 0)


class TestSink:
    """A loss that was left open eats the profit of today, and whoever stands opposite has its deposit back at once.

    The short sold below the oracle price; as much was taken out before by whoever sold to the sink above it.
    """

    LOW = ETH - 14_000
    LOTS = HOLE * DOLLAR // 14_000

    def state(self, sink: int = 10_000) -> State:
        """The loser of market 0 owes what the winner has won, and nobody opposite has won anything."""
        rows = {
            VICTIM: held(-BITCOIN, -HOLE),
            ATTACKER: held(BITCOIN, 2_000, owner=OWNERS[2]),
            SINK: account(OWNERS[2], sink * DOLLAR, {1: position(self.LOTS, self.LOTS * ETH)}),
            SHORT: account(OWNERS[2], 10_000 * DOLLAR, {1: position(-self.LOTS, -self.LOTS * self.LOW)}),
        }
        return stage(NOBODY_ELSE | rows | won(), pool=unsettled())

    def test_who_does_not_leave_pays(self) -> None:
        state = self.state()
        assert venue.run(state, rescue(constants.DELEVERAGE, other=ATTACKER)).codes == (c.OK,)
        assert (state.globals.pool.receivable, state.globals.pool.owed) == (HOLE * DOLLAR, 0)

    # With nothing settled in the sink it does not matter which money a loss eats first.
    @pytest.mark.parametrize("sink", [10_000, 0])
    def test_open_profit_of_today_leaves_today(self, sink: int) -> None:
        state = self.state(sink)
        trade = venue.trade(state, SINK, SHORT, self.LOTS, self.LOW, market=1)
        moved = venue.transfer(state, WINNER, SINK, HOLE * DOLLAR)
        assert venue.run(state, *trade[:2], moved, trade[2]).codes == (c.OK,) * 4
        assert venue.run(state, venue.withdrawal(state, SHORT, 10_000 * DOLLAR)).codes == (c.OK,)
        assert 0 <= state.account(SINK).fresh < DOLLAR
        assert state.account(SINK).settled == sink * DOLLAR
        assert venue.run(state, rescue(constants.DELEVERAGE, other=ATTACKER)).codes == (c.OK,)
        assert conservation(state).sound
        assert state.globals.pool.owed > (HOLE - 1) * DOLLAR


class TestHedge:
    """A stranger has won with one position what another has lost: he has his deposit, and it pays for a debtor.

    The attacker's winner has realised his profit, and nothing of it is taken.
    """

    DEPOSIT, WON = 10_000, 10_000

    def state(self, hole: int) -> State:
        hedge = {
            0: position(BITCOIN, BITCOIN * BTC - self.WON * DOLLAR),
            1: position(-2 * BITCOIN, -2 * BITCOIN * ETH + self.WON * DOLLAR),
        }
        opposite = {1: position(2 * BITCOIN, 2 * BITCOIN * ETH - self.WON * DOLLAR)}
        rows = {
            VICTIM: account(OWNERS[4], self.DEPOSIT * DOLLAR, hedge),
            ATTACKER: held(-BITCOIN, -hole, owner=OWNERS[2]),
            SINK: account(OWNERS[3], 0, opposite),
        }
        return stage(NOBODY_ELSE | rows | won(), pool=unsettled())

    @pytest.mark.parametrize(("hole", "code"), [(1_000, c.OK), (8_000, c.OK), (9_500, c.MARGIN)])
    def test_who_is_deleveraged_pays_from_his_deposit(self, hole: int, code: int) -> None:
        state = self.state(hole)
        assert value(state.account(VICTIM)) == self.DEPOSIT * DOLLAR
        move = rescue(constants.DELEVERAGE, account=ATTACKER, other=VICTIM)
        assert venue.run(state, move).codes == (code,)
        assert value(state.account(VICTIM)) == (self.DEPOSIT - hole * (code == c.OK)) * DOLLAR
        assert (state.globals.pool.receivable, state.globals.pool.owed) == (0, 0)
        assert conservation(state).sound

    def test_who_leaves_at_his_limit_pays_as_well(self) -> None:
        state = self.state(HOLE)
        close = forced(constants.FORCED_CLOSE, sender=OWNERS[4], amount=BITCOIN, limit=BTC)
        assert venue.run(state, close, rescue(constants.CLOSE_STEP, other=ATTACKER)).codes == (c.OK, c.OK)
        assert size_of(state.account(VICTIM)) == 0
        assert value(state.account(VICTIM)) == (self.DEPOSIT - HOLE) * DOLLAR
        assert state.globals.pool.receivable == 0

    def test_who_won_and_did_not_hedge_keeps_his_deposit(self) -> None:
        rich = held(BITCOIN, self.DEPOSIT, entry=BTC - self.WON * DOLLAR // BITCOIN, owner=OWNERS[4])
        for hole in (8_000, 20_000):
            state = stage(NOBODY_ELSE | {VICTIM: rich, ATTACKER: held(-BITCOIN, -hole)} | won(), pool=unsettled())
            move = rescue(constants.DELEVERAGE, account=ATTACKER, other=VICTIM)
            assert venue.run(state, move).codes == (c.OK,)
            assert value(state.account(VICTIM)) == (self.DEPOSIT + self.WON - min(hole, self.WON)) * DOLLAR


class TestFlicker:
    """Whoever leaves has a dollar, and two legs that move as one: of the last two prices one says less than nothing.

    Nobody deleverages him, since he is not below zero, and no fund takes him.
    """

    MOVES = (rescue(constants.CLOSE_STEP), rescue(constants.DELEVERAGE), rescue(constants.TAKE_OVER, 1))

    def test_each_tick_that_moves_keeps_the_head_and_one_that_does_not_ends_it(self) -> None:
        # Two bitcoin's lots of a market at half the price move as one bitcoin does.
        legs = {0: position(BITCOIN, BITCOIN * BTC), 1: position(-2 * BITCOIN, -2 * BITCOIN * ETH)}
        state = stage({VICTIM: account(OWNERS[1], DOLLAR, legs)})
        assert venue.run(state, forced(constants.LEAVE)).codes == (c.OK,)
        now = state.globals.tick_time
        for up in (20, 40, 20, 0, -20, 0, 20):
            now += STEP
            tick = venue.tick(now, [BTC + up, (BTC + up) // 2, SOL], [0])
            codes = venue.run(state, tick, *self.MOVES, timestamp=now).codes
            assert codes == (c.OK, c.UNSTEADY, c.HEALTHY, c.FUND_LIMIT)
            assert (state.commitment.queue_count, state.commitment.queue_taken) == (0, 1)
        still = venue.tick(now + STEP, [BTC + 20, (BTC + 20) // 2, SOL], [0])
        steps = rescue(constants.CLOSE_STEP), rescue(constants.CLOSE_STEP, 2 * BITCOIN, market=1)
        assert venue.run(state, still, *steps, timestamp=now + STEP).codes == (c.OK,) * 3
        assert state.commitment.queue_count == 1
