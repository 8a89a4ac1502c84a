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
    ETH,
    POOL,
    VICTIM,
    held,
    rescue,
    stage,
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
