"""A stranger has won with one position what another has lost: he has his deposit, and no debtor may have it."""

from typing import Final

import pytest

from prover.state.audit import conservation
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, containers, margin, rescue
from prover.stf.replay import Chunk
from tests.attacks.law_variants import python_chunk, rule_off
from tests.attacks.stage import ATTACKER, BITCOIN, BTC, ETH, POOL, VICTIM, forced, held, row_of, size_of, stage, value
from tests.attacks.stage import rescue as move
from tests.twins import venue
from tests.twins.venue import DOLLAR, NOW, OWNERS, account, position

# Further accounts of the attacker, somebody who has nothing to do with it, and who stands opposite the losing leg.
WINNER, STRANGER, OPPOSITE = 20, 21, 22
NOBODY_ELSE: Final = {POOL: account(OWNERS[5], 0)}
DEPOSIT, WON = 10_000, 10_000
# Dollars that the debtor is below zero, and that the attacker's winner has won and not waited for.
HOLE: Final = 2_000
# What is left of a deposit whose leg pays for the debt beside the attacker's two thousand.
KEPT: Final = DEPOSIT + -HOLE * WON // (WON + HOLE)

# The two rules: nobody bears more than has not settled, and what he has won makes good first what he has lost.
BEARS: Final = "    return max(equity - max(settled.settled, 0), 0)\n"
MAKES_GOOD: Final = "    filled: int256 = min(account.older + account.fresh, net)\n"
# And what another has won open, ahead of his deposit, what the leg has lost that others close.
OPEN_FIRST: Final = "max(account.settled - before.settled, net)"


def hedged(hole: int = HOLE, lost: int = WON, fresh: int = 0, debtor: int = ATTACKER) -> State:
    """The victim's hedge, the debtor opposite its winning leg, the attacker's profit of today, and a stranger."""
    hedge = {
        0: position(BITCOIN, BITCOIN * BTC - WON * DOLLAR),
        1: position(-2 * BITCOIN, -2 * BITCOIN * ETH + lost * DOLLAR),
    }
    opposite = {1: position(2 * BITCOIN, 2 * BITCOIN * ETH - lost * DOLLAR)}
    owner = OWNERS[2] if debtor == ATTACKER else containers.NOBODY
    rows = {
        VICTIM: account(OWNERS[4], DEPOSIT * DOLLAR, hedge, fresh=fresh * DOLLAR),
        ATTACKER: account(OWNERS[2], 0),
        WINNER: account(OWNERS[2], 1_000 * DOLLAR, fresh=HOLE * DOLLAR),
        STRANGER: account(OWNERS[1], 10_000 * DOLLAR),
        OPPOSITE: account(OWNERS[3], 0, opposite),
    }
    pool = containers.Pool(venue.EPOCH, 0, (HOLE + fresh) * DOLLAR, 0, 0)
    return stage(NOBODY_ELSE | rows | {debtor: held(-BITCOIN, -hole, owner=owner)}, pool=pool)


def deleverage(lots: int = BITCOIN, debtor: int = ATTACKER) -> bytes:
    """The debtor's lots against the winning leg of the hedge."""
    return move(constants.DELEVERAGE, lots, account=debtor, other=VICTIM)


def own(row: containers.Account, chunk: Chunk | State) -> int:
    """Dollars of equity, once it has paid its part of debts, rounded down."""
    return value(margin.matured(chunk.globals.risk.debts, row, NOW)) // DOLLAR


class TestDeleveraged:
    """He is named as counterparty for the operator's own debtor."""

    @pytest.mark.parametrize("hole", [1_000, 8_000])
    def test_off_he_bears_it_from_his_deposit(self, monkeypatch: pytest.MonkeyPatch, hole: int) -> None:
        rule_off(monkeypatch, rescue, BEARS, "    return 2**255 - 1\n")
        chunk = python_chunk(hedged(hole), deleverage())

        assert chunk.operation_codes == [c.OK]
        assert own(row_of(chunk, VICTIM), chunk) == DEPOSIT - hole
        # The attacker's winner keeps all of it.
        assert (chunk.globals.pool.receivable, chunk.globals.pool.owed) == (0, 0)

    @pytest.mark.parametrize("debtor", [ATTACKER, 1])
    def test_off_what_one_leg_has_won_pays_and_the_other_has_lost_it(
        self, monkeypatch: pytest.MonkeyPatch, debtor: int
    ) -> None:
        rule_off(monkeypatch, margin, MAKES_GOOD, "    if True:\n        return account\n" + MAKES_GOOD)
        chunk = python_chunk(hedged(debtor=debtor), deleverage(debtor=debtor))

        assert chunk.operation_codes == [c.OK]
        assert chunk.globals.pool.receivable == HOLE * DOLLAR
        assert own(row_of(chunk, VICTIM), chunk) == KEPT

    @pytest.mark.parametrize("hole", [1_000, HOLE, 8_000, 9_500, 50_000])
    @pytest.mark.parametrize("lots", [1, BITCOIN // 2, BITCOIN])
    def test_on_he_pays_nothing_and_profit_of_today_does(self, hole: int, lots: int) -> None:
        state = hedged(hole)
        assert venue.run(state, deleverage(lots)).codes == (c.OK,)
        row, pool = state.account(VICTIM), state.globals.pool

        assert (own(row, state), row.settled, row.fresh) == (DEPOSIT, DEPOSIT * DOLLAR, 0)
        assert (size_of(row), size_of(row, 1)) == (BITCOIN - lots, -2 * BITCOIN)
        debt = hole * DOLLAR * lots // BITCOIN
        assert (pool.receivable, pool.owed) == (min(debt, HOLE * DOLLAR), max(debt - HOLE * DOLLAR, 0))
        assert conservation(state).sound

    def test_on_what_is_left_of_his_hedge_is_his_as_before(self) -> None:
        # The other leg is closed at the same price: the deposit is there, and settled.
        state = hedged(8_000)
        trade = venue.trade(state, OPPOSITE, VICTIM, 2 * BITCOIN, ETH, market=1)
        assert venue.run(state, *trade[:2], deleverage(), trade[2]).codes == (c.OK,) * 4
        row = state.account(VICTIM)
        assert (row.settled, row.older, row.fresh, size_of(row, 1)) == (DEPOSIT * DOLLAR, 0, 0, 0)
        assert conservation(state).sound

    @pytest.mark.parametrize(("lost", "fresh", "gained"), [(9_000, 0, 1_000), (9_500, 200, 700), (12_000, 2_500, 500)])
    def test_on_he_bears_what_he_has_gained_in_all(self, lost: int, fresh: int, gained: int) -> None:
        state = hedged(8_000, lost, fresh)
        assert venue.run(state, deleverage()).codes == (c.OK,)
        row, pool = state.account(VICTIM), state.globals.pool

        assert (own(row, state), row.settled, row.fresh) == (DEPOSIT, DEPOSIT * DOLLAR, 0)
        assert pool.receivable + pool.owed == (8_000 - gained) * DOLLAR
        assert conservation(state).sound

    def test_on_who_has_lost_with_several_has_each_made_good(self) -> None:
        # Three thousand in one, five in another, which are beyond the leg that has won by two.
        legs = {
            0: position(BITCOIN, BITCOIN * BTC - 6_000 * DOLLAR),
            1: position(BITCOIN, BITCOIN * ETH + 3_000 * DOLLAR),
            2: position(-1_000, -1_000 * 1_500_000 + 5_000 * DOLLAR),
        }
        victim = account(OWNERS[4], DEPOSIT * DOLLAR, legs)
        state = stage({VICTIM: victim, ATTACKER: held(-BITCOIN, -HOLE, owner=OWNERS[2])})
        assert venue.run(state, deleverage()).codes == (c.OK,)
        row = state.account(VICTIM)

        assert (own(row, state), row.settled, row.fresh) == (DEPOSIT - 2_000, DEPOSIT * DOLLAR, 0)
        assert row.positions[1].cost == BITCOIN * ETH
        assert row.positions[2].cost == -1_000 * 1_500_000 + 2_000 * DOLLAR
        assert conservation(state).sound

    def test_on_who_won_and_did_not_hedge_bears_it_first(self) -> None:
        rich = held(BITCOIN, DEPOSIT, entry=BTC - WON * DOLLAR // BITCOIN, owner=OWNERS[4])
        for hole in (8_000, 20_000):
            state = stage(NOBODY_ELSE | {VICTIM: rich, ATTACKER: held(-BITCOIN, -hole, owner=OWNERS[2])})
            assert venue.run(state, deleverage()).codes == (c.OK,)
            assert own(state.account(VICTIM), state) == DEPOSIT + WON - min(hole, WON)

    def test_on_who_owes_settled_money_bears_no_more_than_he_has(self) -> None:
        # Settled below zero: his gain is his equity, and not more.
        legs = {0: position(BITCOIN, BITCOIN * BTC - 1_500 * DOLLAR)}
        state = stage({VICTIM: account(OWNERS[4], -1_000 * DOLLAR, legs), ATTACKER: held(-BITCOIN, -HOLE)})
        assert venue.run(state, deleverage()).codes == (c.OK,)
        assert own(state.account(VICTIM), state) == 0
        assert state.globals.pool.owed == (HOLE - 500) * DOLLAR

    def test_on_a_fund_that_is_reduced_against_him_takes_nothing(self) -> None:
        state = hedged(debtor=1)
        assert venue.run(state, deleverage(debtor=1)).codes == (c.OK,)
        row = state.account(VICTIM)
        assert (own(row, state), row.settled, row.fresh) == (DEPOSIT, DEPOSIT * DOLLAR, 0)
        assert state.globals.pool.receivable == HOLE * DOLLAR
        assert conservation(state).sound


class TestClosed:
    """He leaves by force, and the operator names its debtor opposite; or he is named opposite whoever leaves."""

    CLOSE: Final = (
        forced(constants.FORCED_CLOSE, sender=OWNERS[4], amount=BITCOIN, limit=BTC),
        move(constants.CLOSE_STEP, other=ATTACKER),
    )
    # A hundredth of the lots' price, which the debtor gets.
    PENALTY: Final = 600

    def test_off_he_bears_what_the_debtor_lacks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, rescue, BEARS, "    return 2**255 - 1\n")
        chunk = python_chunk(hedged(), *self.CLOSE)

        assert chunk.operation_codes == [c.OK, c.OK]
        assert own(row_of(chunk, VICTIM), chunk) == DEPOSIT - HOLE
        assert chunk.globals.pool.receivable == 0

    def test_off_his_leg_is_money_that_pays_for_the_debtor(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, margin, MAKES_GOOD, "    if True:\n        return account\n" + MAKES_GOOD)
        chunk = python_chunk(hedged(), *self.CLOSE)

        assert chunk.operation_codes == [c.OK, c.OK]
        assert own(row_of(chunk, VICTIM), chunk) < DEPOSIT - self.PENALTY - 1_000

    def test_on_he_pays_the_penalty_and_no_more(self) -> None:
        state = hedged()
        assert venue.run(state, *self.CLOSE).codes == (c.OK, c.OK)
        row, pool = state.account(VICTIM), state.globals.pool

        assert (own(row, state), row.settled, row.fresh, size_of(row)) == (
            DEPOSIT - self.PENALTY,
            DEPOSIT * DOLLAR,
            0,
            0,
        )
        assert (pool.receivable, pool.owed) == ((HOLE - self.PENALTY) * DOLLAR, 0)
        assert conservation(state).sound

    def test_on_who_has_gained_in_all_bears_it_before_others(self) -> None:
        state = hedged(lost=8_000)
        assert venue.run(state, *self.CLOSE).codes == (c.OK, c.OK)
        row, pool = state.account(VICTIM), state.globals.pool
        assert (own(row, state), row.settled) == (DEPOSIT + 2_000 - HOLE, DEPOSIT * DOLLAR)
        assert (pool.receivable, pool.owed) == (0, 0)

    def test_on_whoever_leaves_against_him_leaves_him_his_deposit(self) -> None:
        # The penalty is his gain, and as young as any.
        state = hedged(hole=-50_000)
        close = forced(constants.FORCED_CLOSE, sender=OWNERS[2], index=ATTACKER, amount=BITCOIN)
        assert venue.run(state, close, move(constants.CLOSE_STEP, other=VICTIM)).codes == (c.OK, c.OK)
        row = state.account(VICTIM)
        assert (row.settled, row.older, row.fresh) == (DEPOSIT * DOLLAR, 0, self.PENALTY * DOLLAR)
        assert (own(row, state), size_of(row)) == (DEPOSIT + self.PENALTY, 0)
        assert conservation(state).sound


class TestLosingLegFirst:
    """The operator has the leg closed that has lost: his deposit pays, and what the other has won has not settled."""

    LOTS: Final = 2 * BITCOIN
    # Somebody who has won opposite the losing leg closes by force, and he is named; or he leaves himself.
    AGAINST: Final = (
        forced(constants.FORCED_CLOSE, sender=OWNERS[3], index=OPPOSITE, market=1, amount=LOTS),
        move(constants.CLOSE_STEP, LOTS, other=VICTIM, market=1),
    )
    LEAVE: Final = forced(constants.LEAVE, sender=OWNERS[4])
    LOSER: Final = move(constants.CLOSE_STEP, LOTS, other=OPPOSITE, market=1)
    WINNER: Final = move(constants.CLOSE_STEP, other=ATTACKER)
    PENALTY: Final = 600

    def test_off_his_deposit_pays_for_the_operators_debtor(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, margin, OPEN_FIRST, "0")
        chunk = python_chunk(hedged(8_000), *self.AGAINST, deleverage())

        assert chunk.operation_codes == [c.OK] * 3
        row = row_of(chunk, VICTIM)
        assert own(row, chunk) == DEPOSIT + self.PENALTY - 8_000
        assert chunk.globals.pool.receivable == 0

    def test_on_he_bears_what_he_has_gained_and_keeps_his_deposit(self) -> None:
        state = hedged(8_000)
        assert venue.run(state, *self.AGAINST).codes == (c.OK, c.OK)
        row = state.account(VICTIM)
        assert (row.settled, row.older, row.fresh) == (DEPOSIT * DOLLAR, 0, 0)
        assert row.positions[0].cost == BITCOIN * BTC - self.PENALTY * DOLLAR

        assert venue.run(state, deleverage()).codes == (c.OK,)
        row, pool = state.account(VICTIM), state.globals.pool
        assert (own(row, state), row.settled) == (DEPOSIT, DEPOSIT * DOLLAR)
        assert pool.receivable + pool.owed == (8_000 - self.PENALTY) * DOLLAR
        assert conservation(state).sound

    def test_off_whoever_leaves_is_paid_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, margin, OPEN_FIRST, "0")
        chunk = python_chunk(hedged(50_000), self.LEAVE, self.LOSER, self.WINNER)

        assert chunk.operation_codes == [c.OK] * 3
        assert chunk.commitment.withdrawn_total == 0
        # What is left is profit of today, and all of it pays for the debtor.
        assert own(row_of(chunk, VICTIM), chunk) == 0

    @pytest.mark.parametrize("steps", [(LOSER, WINNER), (WINNER, LOSER)])
    def test_on_whoever_leaves_is_paid_the_same_in_either_order(self, steps: tuple[bytes, bytes]) -> None:
        state = hedged(50_000)
        assert venue.run(state, self.LEAVE, *steps).codes == (c.OK,) * 3
        # A hundredth of either leg.
        assert state.commitment.withdrawn_total == (DEPOSIT - 2 * self.PENALTY) * DOLLAR
        assert margin.collateral(state.account(VICTIM)) == 0
        assert conservation(state).sound

    @pytest.mark.parametrize(
        ("lost", "fresh", "kept"), [(12_000, 0, 8_000), (12_000, 1_000, 9_000), (9_000, 0, DEPOSIT)]
    )
    def test_on_what_no_leg_has_won_is_his_loss(self, lost: int, fresh: int, kept: int) -> None:
        state = hedged(lost=lost, fresh=fresh)
        penalty = self.PENALTY * DOLLAR
        assert venue.run(state, *self.AGAINST).codes == (c.OK, c.OK)
        row = state.account(VICTIM)
        assert row.settled == min(kept * DOLLAR + penalty, DEPOSIT * DOLLAR)
        assert value(row) == (DEPOSIT + WON - lost + fresh) * DOLLAR + penalty
        assert conservation(state).sound
