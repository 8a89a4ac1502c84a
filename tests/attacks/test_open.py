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
    forced,
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


class TestDebtorWithoutPosition:
    """An heir, who has won nothing, is closed by force against the loser: the debt stays, and no rescue finds it."""

    CLOSE = forced(constants.FORCED_CLOSE, sender=OWNERS[2], amount=BITCOIN)
    # What the heir pays for it goes to the loser.
    PENALTY = 600

    def state(self) -> State:
        heir, loser = held(BITCOIN, 60_000, owner=OWNERS[2]), held(-BITCOIN, -HOLE, owner=OWNERS[2])
        return stage(NOBODY_ELSE | {VICTIM: heir, ATTACKER: loser} | won(), pool=unsettled())

    def test_a_watcher_who_is_first_has_it_paid_by_who_has_won(self) -> None:
        state = self.state()
        assert venue.run(state, rescued(ATTACKER)).codes == (c.OK,)
        assert (state.globals.pool.receivable, state.globals.pool.owed) == (HOLE * DOLLAR, 0)

    def test_open_the_debt_is_nobodys(self) -> None:
        state = self.state()
        step = rescue(constants.CLOSE_STEP, other=ATTACKER)
        assert venue.run(state, self.CLOSE, step).codes == (c.OK, c.OK)
        late = rescued(ATTACKER), rescue(constants.DELEVERAGE, account=ATTACKER, other=VICTIM)
        assert venue.run(state, *late).codes == (c.OVERFILLED, c.OVERFILLED)
        assert conservation(state).sound
        assert (state.globals.pool.receivable, state.globals.pool.owed) == (0, 0)
        assert short_of(state, 0, 1, VICTIM, ATTACKER, WINNER, STRANGER) == (HOLE - self.PENALTY) * DOLLAR


class TestNotTheLargest:
    """A loser with two positions of one requirement: before each entry a lot decides which is the larger one."""

    def state(self) -> State:
        positions = {0: position(-BITCOIN, -BITCOIN * BTC), 1: position(-2 * BITCOIN, -2 * BITCOIN * ETH)}
        return stage({VICTIM: account(OWNERS[1], -HOLE * DOLLAR, positions)}, fund=10**6)

    def test_a_watcher_who_names_the_larger_one_is_served(self) -> None:
        assert venue.run(self.state(), rescued(VICTIM)).codes == (c.OK,)

    def test_open_no_entry_finds_the_larger_one(self) -> None:
        state = self.state()
        expected = []
        operations_ = []
        for market, lots in ((0, 1), (1, 3), (0, 2), (1, 4)):
            operations_ += [rescue(constants.DELEVERAGE, lots, market=market), rescued(VICTIM, market)]
            expected += [c.OK, c.NOT_LARGEST]
        assert venue.run(state, *operations_).codes == tuple(expected)
        assert state.commitment.queue_count == 4
        assert size_of(state.account(VICTIM)) == 3 - BITCOIN


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
