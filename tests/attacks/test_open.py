"""What the fourth version of the law leaves open: each test shows the loss as it is, in both twins.

Whoever mends a rule turns its test round: then the last assertion of each fails.
"""

from prover.signing import operations
from prover.state.audit import conservation
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, containers, debts, margin
from tests.attacks.stage import (
    ATTACKER,
    BITCOIN,
    BTC,
    ETH,
    POOL,
    VICTIM,
    held,
    rescue,
    size_of,
    stage,
)
from tests.twins import venue
from tests.twins.venue import DOLLAR, NOW, OWNERS, account, position

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


def short_of(state: State, *indices: int) -> int:
    """By how much what these may withdraw, once all has matured, is more than the vault; micro-dollars."""
    rows = [margin.matured(state.globals.risk.debts, state.account(index), NOW + 2 * EPOCH) for index in indices]
    assert not any(size_of(row) for row in rows)
    vault = state.globals.deposited_total - state.commitment.withdrawn_total
    return sum(max(margin.collateral(row), 0) for row in rows) - vault


def rescued(index: int, market: int = 0, time: int = NOW) -> bytes:
    """An entry of a watcher."""
    payload = operations.forced_rescue_payload(market, index, operations.ALL_LOTS)
    return venue.entry(constants.FORCED_RESCUE, payload, venue.DEPOSITOR, time)


class TestFeesSettleAtOnce:
    """Whoever owns account 0 trades with itself: profit that has to wait becomes fees, which need not."""

    FILLS = 20
    FEE = BITCOIN * BTC // 1_000

    def test_open_profit_leaves_as_fees(self) -> None:
        market = {"taker_fee_ppm": 1_000}
        state = stage(NOBODY_ELSE | won(), fund=10**6, market=market, pool=unsettled())
        makers = [
            venue.order(ATTACKER, slot=slot, side=side, size=self.FILLS * BITCOIN)
            for slot, side in ((1, constants.SELL), (2, constants.BUY))
        ]
        takers = [
            venue.order(WINNER, slot=slot, side=side, size=self.FILLS * BITCOIN)
            for slot, side in ((1, constants.BUY), (2, constants.SELL))
        ]
        orders = [venue.signed_order(order, venue.KEYS[2]) for order in (*makers, *takers)]
        fills = [operations.fill_bytes(turn % 2, 2 + turn % 2, BITCOIN) for turn in range(self.FILLS)]
        paid = self.FILLS * self.FEE
        assert venue.run(state, *orders, *fills).codes == (c.OK,) * (len(orders) + self.FILLS)
        assert (state.account(WINNER).settled, state.account(WINNER).fresh) == (1_000 * DOLLAR, HOLE * DOLLAR - paid)
        assert venue.run(state, venue.withdrawal(state, 0, paid)).codes == (c.OK,)
        assert conservation(state).sound
        assert state.globals.pool.fresh == HOLE * DOLLAR - paid == 800 * DOLLAR


class TestSink:
    """A loss that was left open eats the profit of today, and whoever stands opposite has its deposit back at once.

    The short sold below the oracle price; as much was taken out before by whoever sold to the sink above it.
    """

    LOW = ETH - 14_000
    LOTS = HOLE * DOLLAR // 14_000

    def state(self) -> State:
        """The loser of market 0 owes what the winner has won, and nobody opposite has won anything."""
        rows = {
            VICTIM: held(-BITCOIN, -HOLE),
            ATTACKER: held(BITCOIN, 2_000, owner=OWNERS[2]),
            SINK: account(OWNERS[2], 10_000 * DOLLAR, {1: position(self.LOTS, self.LOTS * ETH)}),
            SHORT: account(OWNERS[2], 10_000 * DOLLAR, {1: position(-self.LOTS, -self.LOTS * self.LOW)}),
        }
        return stage(NOBODY_ELSE | rows | won(), pool=unsettled())

    def test_who_does_not_leave_pays(self) -> None:
        state = self.state()
        assert venue.run(state, rescue(constants.DELEVERAGE, other=ATTACKER)).codes == (c.OK,)
        assert (state.globals.pool.receivable, state.globals.pool.owed) == (HOLE * DOLLAR, 0)

    def test_open_profit_of_today_leaves_today(self) -> None:
        state = self.state()
        trade = venue.trade(state, SINK, SHORT, self.LOTS, self.LOW, market=1)
        moved = venue.transfer(state, WINNER, SINK, HOLE * DOLLAR)
        assert venue.run(state, *trade[:2], moved, trade[2]).codes == (c.OK,) * 4
        assert venue.run(state, venue.withdrawal(state, SHORT, 10_000 * DOLLAR)).codes == (c.OK,)
        assert 0 <= state.account(SINK).fresh < DOLLAR
        assert state.account(SINK).settled == 10_000 * DOLLAR
        assert venue.run(state, rescue(constants.DELEVERAGE, other=ATTACKER)).codes == (c.OK,)
        assert conservation(state).sound
        assert state.globals.pool.owed > (HOLE - 1) * DOLLAR


class TestSleepers:
    """What had settled by the clock pays for later debts, if there were more of them than are kept since."""

    def test_open_seventeen_cents_take_what_had_settled_long_before(self) -> None:
        row = account(OWNERS[1], 0, fresh=100_000 * DOLLAR, epoch=100)
        owing = containers.NO_DEBTS
        assert debts.aged(owing, row, 103)[0] == 100_000 * DOLLAR
        for epoch in range(103, 103 + constants.FACTORS):
            # All that is unsettled in that epoch is a cent.
            _, owing = debts.take(containers.Pool(epoch, 0, 10_000, 0, 0), owing, 10_000, epoch * EPOCH)
        assert debts.aged(owing, row, 103 + constants.FACTORS) == (0, 0, 0)
