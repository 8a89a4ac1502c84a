"""An account below zero that holds nothing any more: no rescue finds a position, and what it owes must not be lost."""

from dataclasses import dataclass

import pytest

from prover.signing import operations
from prover.state.audit import conservation
from prover.state.state import State
from prover.state.trial import peek_account
from prover.stf import codes as c
from prover.stf import constants, containers, margin, rescue
from prover.stf.replay import Chunk
from tests.attacks.law_variants import python_chunk, rule_off
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
    size_of,
    stage,
    value,
)
from tests.attacks.stage import rescue as move
from tests.attacks.test_law_rules import assert_refused
from tests.twins import venue
from tests.twins.venue import DOLLAR, NOW, OWNERS, account, position

EPOCH = constants.EPOCH
WINNER, STRANGER = 20, 21
# Dollars that a loser is below zero, and that the winner has won and not waited for.
HOLE = 2_000
NOBODY_ELSE = {POOL: account(OWNERS[5], 0)}
CALLED_OFF = "    if not is_left and not is_folded:\n"


def won() -> dict[int, containers.Account]:
    """The winner's profit of today, and a stranger's deposit."""
    fresh = account(OWNERS[2], 1_000 * DOLLAR, fresh=HOLE * DOLLAR)
    return {WINNER: fresh, STRANGER: account(OWNERS[4], 10_000 * DOLLAR)}


def unsettled() -> containers.Pool:
    """The sums that go with it."""
    return containers.Pool(venue.EPOCH, 0, HOLE * DOLLAR, 0, 0)


def rescued(index: int, market: int = 0, time: int = NOW) -> bytes:
    """An entry of a watcher."""
    payload = operations.forced_rescue_payload(market, index, operations.ALL_LOTS)
    return venue.entry(constants.FORCED_RESCUE, payload, venue.DEPOSITOR, time)


def wound_up(index: int, market: int = 0) -> bytes:
    """The same of an operator."""
    return move(constants.TAKE_OVER, 0, account=index, market=market)


def short_of(chunk: Chunk, *indices: int) -> int:
    """By how much what these may withdraw, once all has matured, is more than the vault; micro-dollars."""
    globals = chunk.globals
    rows = [margin.matured(globals.risk.debts, peek_account(chunk, index), NOW + 2 * EPOCH) for index in indices]
    assert not any(size_of(row) for row in rows)
    vault = globals.deposited_total - chunk.commitment.withdrawn_total
    return sum(max(margin.collateral(row), 0) for row in rows) - vault


class TestDebtorWithoutPosition:
    """An heir, who has won nothing, is closed by force against the own loser: the debt has no position any more."""

    EVERYBODY = (0, 1, VICTIM, ATTACKER, WINNER, STRANGER)
    # What the heir pays for it goes to the loser.
    PENALTY = 600
    CLOSE = forced(constants.FORCED_CLOSE, sender=OWNERS[2], amount=BITCOIN), move(constants.CLOSE_STEP, other=ATTACKER)

    def state(self, fund: int = 0) -> State:
        heir, loser = held(BITCOIN, 60_000, owner=OWNERS[2]), held(-BITCOIN, -HOLE, owner=OWNERS[2])
        return stage(NOBODY_ELSE | {VICTIM: heir, ATTACKER: loser} | won(), fund=fund, pool=unsettled())

    def test_off_the_debt_is_nobodys(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = "    return codes.OK, max(premium_of(under.risk, bearing, market, -closed) - gained, 0)\n"
        rule_off(monkeypatch, rescue, rule, "    return codes.OK, 0\n")
        chunk = python_chunk(self.state(), *self.CLOSE)

        assert chunk.operation_codes == [c.OK, c.OK]
        assert (chunk.globals.pool.receivable, chunk.globals.pool.owed) == (0, 0)
        assert short_of(chunk, *self.EVERYBODY) == (HOLE - self.PENALTY) * DOLLAR

    @pytest.mark.parametrize("fund", [0, 400, 5_600])
    def test_on_it_is_paid_by_the_fund_and_by_who_has_won(self, fund: int) -> None:
        state = self.state(fund)
        chunk = python_chunk(state, *self.CLOSE)
        assert 0 <= -short_of(chunk, *self.EVERYBODY) <= 2
        assert venue.run(state, *self.CLOSE).codes == (c.OK, c.OK)
        # A quarter of the fund at most; the loser ends with nothing, and the heir pays the penalty and no more.
        paid = min(HOLE - self.PENALTY, fund // 4)
        assert value(state.account(ATTACKER)) == 0
        assert value(state.account(VICTIM)) == (60_000 - self.PENALTY) * DOLLAR
        assert value(state.account(1)) == (fund - paid) * DOLLAR
        assert state.globals.markets[0].paid_out == paid * DOLLAR
        assert state.globals.pool.receivable == (HOLE - self.PENALTY - paid) * DOLLAR
        assert conservation(state).sound
        assert_refused(state, rescued(ATTACKER), code=c.HEALTHY)

    def test_on_a_debtor_who_holds_more_is_left_at_his_zero_price(self) -> None:
        positions = {0: position(-BITCOIN, -BITCOIN * BTC), 1: position(2 * BITCOIN, 2 * BITCOIN * ETH)}
        heir, loser = held(BITCOIN, 60_000, owner=OWNERS[2]), account(OWNERS[2], -HOLE * DOLLAR, positions)
        state = stage(NOBODY_ELSE | {VICTIM: heir, ATTACKER: loser} | won(), pool=unsettled())
        assert venue.run(state, *self.CLOSE).codes == (c.OK, c.OK)
        # Of two positions that require the same he owes half with each.
        assert value(state.account(ATTACKER)) == -HOLE * DOLLAR // 2
        assert state.globals.pool.receivable == (HOLE // 2 - self.PENALTY) * DOLLAR
        assert venue.run(state, rescued(ATTACKER, 1)).codes == (c.OK,)
        assert (value(state.account(ATTACKER)), state.globals.pool.receivable) == (0, (HOLE - self.PENALTY) * DOLLAR)


class TestCalled:
    """However an account has come to be below zero without a position: anybody has it called, and nobody waits."""

    def state(self, dollars: int = -HOLE) -> State:
        return stage(NOBODY_ELSE | {VICTIM: account(OWNERS[1], dollars * DOLLAR)} | won(), pool=unsettled(), streak=0)

    def test_off_nothing_calls_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, rescue, CALLED_OFF, "    if True:\n")
        state = self.state()
        state.globals.streak = constants.STEADY_TICKS
        chunk = python_chunk(state, rescued(VICTIM), wound_up(VICTIM))

        assert c.OK not in chunk.operation_codes
        assert short_of(chunk, 0, 1, VICTIM, ATTACKER, WINNER, STRANGER) == HOLE * DOLLAR

    @pytest.mark.parametrize("market", [0, 2])
    @pytest.mark.parametrize("call", [rescued, wound_up])
    def test_on_unsettled_money_pays_at_once(self, call: "type[rescued]", market: int) -> None:
        state = self.state()
        assert venue.run(state, call(VICTIM, market)).codes == (c.OK,)
        assert value(state.account(VICTIM)) == 0
        assert (state.globals.pool.receivable, state.globals.pool.owed) == (HOLE * DOLLAR, 0)
        assert conservation(state).sound
        # Once; and nobody who owes nothing.
        for index in (VICTIM, STRANGER, WINNER):
            assert_refused(state, call(index, market), code=c.HEALTHY)

    def test_on_nobody_is_nobody(self) -> None:
        assert_refused(self.state(), rescued(9_999), code=c.NO_ACCOUNT)
        assert_refused(self.state(), wound_up(9_999), code=c.HEALTHY)

    def test_on_what_is_owed_beside_a_position_is_rescued_with_it(self) -> None:
        state = stage({VICTIM: held(BITCOIN, -HOLE)})
        assert_refused(state, rescued(VICTIM, 1), code=c.OVERFILLED)
        assert venue.run(state, rescued(VICTIM)).codes == (c.OK,)


@dataclass
class Hour:
    """Market 0 in its last hour, a tick a minute, and behind it."""

    state: State
    now: int = NOW

    def passes(self) -> None:
        for minute in range(1, 61):
            self.now = NOW + minute * 60_000
            assert venue.run(self.state, venue.tick(self.now, [BTC, ETH, SOL]), timestamp=self.now).codes == (c.OK,)
        self.now += STEP
        tick = venue.tick(self.now, [BTC, ETH, SOL])
        assert venue.run(self.state, tick, timestamp=self.now).codes == (c.OK,)
        assert self.state.globals.markets[0].status == constants.MARKET_SETTLED


class TestEndOfAMarket:
    """Whoever is below zero in a market's last hour is left alone until it is over: there is no rescue any more.

    The winner is short of it, and nobody has touched him since.
    """

    TOP = BTC * 11 // 10

    def settled(self) -> Hour:
        rows = {
            VICTIM: held(BITCOIN, 4_000, self.TOP),
            WINNER: held(-BITCOIN, 60_000, self.TOP, owner=OWNERS[2]),
        }
        market = {"status": constants.MARKET_SETTLING, "changed_at": NOW - constants.HOUR}
        hour = Hour(stage(rows, market=market))
        hour.passes()
        assert self.owed(hour) == HOLE * DOLLAR
        return hour

    def owed(self, hour: Hour) -> int:
        return -value(hour.state.account(VICTIM), hour.state.globals.risk.price[0])

    def test_off_below_zero_without_a_position_nothing_calls_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        hour = self.settled()
        rule_off(monkeypatch, rescue, CALLED_OFF, "    if True:\n")
        late = [rescued(VICTIM, market, hour.now) for market in (0, 1)]
        late += [move(constants.DELEVERAGE, 1, market=market) for market in (0, 1)]
        late += [move(constants.TAKE_OVER, 1, market=market) for market in (0, 1)]
        chunk = python_chunk(hour.state, *late, timestamp=hour.now)

        assert c.OK not in chunk.operation_codes
        assert (chunk.globals.pool.receivable, chunk.globals.pool.owed) == (0, 0)

    def test_on_whoever_won_it_there_is_touched_and_pays(self) -> None:
        hour = self.settled()
        state, owed = hour.state, self.owed(hour)
        # Nothing of it is unsettled money before somebody touches it, and anybody may.
        touched = wound_up(WINNER), rescued(VICTIM, 1, hour.now)
        assert venue.run(state, *touched, timestamp=hour.now).codes == (c.OK, c.OK)
        assert value(state.account(VICTIM)) == 0
        assert (state.globals.pool.receivable, state.globals.pool.owed) == (owed, 0)
        fresh = state.account(WINNER).fresh
        left = margin.matured(state.globals.risk.debts, state.account(WINNER), hour.now).fresh
        assert 0 <= fresh - owed - left <= 1
        assert conservation(state).sound
        for again in (wound_up(WINNER), rescued(WINNER, 0, hour.now), rescued(VICTIM, 0, hour.now)):
            assert_refused(state, again, code=c.HEALTHY, timestamp=hour.now)

    def test_on_who_is_touched_too_late_has_not_matured(self) -> None:
        hour = self.settled()
        state, owed = hour.state, self.owed(hour)
        assert venue.run(state, wound_up(VICTIM), timestamp=hour.now).codes == (c.OK,)
        assert state.globals.pool.owed == owed
        assert venue.run(state, rescued(WINNER, 0, hour.now), timestamp=hour.now).codes == (c.OK,)
        tick = venue.tick(hour.now + STEP, [BTC, ETH, SOL])
        assert venue.run(state, tick, timestamp=hour.now + STEP).codes == (c.OK,)
        assert (state.globals.pool.receivable, state.globals.pool.owed) == (owed, 0)

    def test_on_a_touch_makes_money_of_what_is_over_and_nothing_else(self) -> None:
        hour = self.settled()
        state = hour.state
        mean = state.globals.risk.price[0]
        positions = {0: position(BITCOIN, BITCOIN * BTC), 1: position(-BITCOIN, -BITCOIN * ETH)}
        before = account(OWNERS[1], 40_000 * DOLLAR, positions)
        state = venue.balanced(state.globals, {VICTIM: before})
        assert venue.run(state, wound_up(VICTIM), timestamp=hour.now).codes == (c.OK,)
        row = state.account(VICTIM)
        assert value(row, mean) == value(before, mean)
        assert [size_of(row, market) for market in (0, 1)] == [0, -BITCOIN]
        assert_refused(state, wound_up(VICTIM), code=c.NO_MARKET, timestamp=hour.now)

    def test_on_its_fund_is_called_too(self) -> None:
        hour = self.settled()
        row = held(BITCOIN, 1_000, self.TOP, owner=containers.NOBODY)
        state = venue.balanced(hour.state.globals, {1: row, WINNER: account(OWNERS[2], 0)})
        owed = -value(row, state.globals.risk.price[0])
        assert owed > 0
        assert venue.run(state, rescued(1, 0, hour.now), timestamp=hour.now).codes == (c.OK,)
        assert (value(state.account(1)), state.globals.pool.owed) == (0, owed)
        assert_refused(state, rescued(1, 0, hour.now), code=c.HEALTHY, timestamp=hour.now)
        assert_refused(state, rescued(1, 1, hour.now), code=c.COLLATERAL, timestamp=hour.now)
