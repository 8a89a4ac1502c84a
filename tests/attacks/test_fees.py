"""Whoever owns the fee account trades with itself: profit that has to wait becomes fees, which wait as long."""

import pytest

from prover.signing import operations
from prover.state.audit import conservation
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, containers, debts, margin, replay
from tests.attacks.law_variants import python_chunk, rule_off
from tests.attacks.stage import (
    ATTACKER,
    BITCOIN,
    BTC,
    POOL,
    STEP,
    VICTIM,
    forced_rescue,
    held,
    stage,
)
from tests.attacks.test_law_rules import assert_refused
from tests.twins import venue
from tests.twins.venue import DOLLAR, NOW, OWNERS, account

EPOCH = constants.EPOCH
WINNER, STRANGER = 20, 21
# Dollars that a loser is below zero, and that the winner has won and not waited for.
HOLE = 2_000
FILLS = 20
PAID = FILLS * BITCOIN * BTC // 1_000


class TestProfitBurnedAsFees:
    """Ninety dollars of fees a fill, all of them the seat's own; the loser owes what the winner has won."""

    def state(self) -> State:
        rows = {
            POOL: account(OWNERS[5], 0),
            VICTIM: held(-BITCOIN, -HOLE),
            WINNER: account(OWNERS[2], 100_000 * DOLLAR, fresh=HOLE * DOLLAR),
            STRANGER: held(BITCOIN, 10_000, owner=OWNERS[4]),
        }
        return stage(
            {1: account(containers.NOBODY, 0)} | rows,
            market={"taker_fee_ppm": 1_000},
            pool=containers.Pool(venue.EPOCH, 0, HOLE * DOLLAR, 0, 0),
        )

    def burning(self) -> list[bytes]:
        """Four orders of the seat's own two accounts, each half of which the other one fills turn by turn."""
        size = FILLS * BITCOIN
        sides = (constants.SELL, constants.BUY)
        makers = [venue.order(ATTACKER, slot=1 + at, side=side, size=size) for at, side in enumerate(sides)]
        takers = [venue.order(WINNER, slot=1 + at, side=1 - side, size=size) for at, side in enumerate(sides)]
        orders = [venue.signed_order(order, venue.KEYS[2]) for order in (*makers, *takers)]
        return [*orders, *(operations.fill_bytes(turn % 2, 2 + turn % 2, BITCOIN) for turn in range(FILLS))]

    def test_off_profit_leaves_as_fees(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state = self.state()
        rule_off(monkeypatch, replay, "fresh=today.fresh + amount", "settled=today.settled + amount")
        leaving = venue.withdrawal(state, 0, PAID)
        chunk = python_chunk(state, *self.burning(), leaving, forced_rescue())

        assert set(chunk.operation_codes) == {c.OK}
        assert chunk.commitment.withdrawn_total == PAID == 1_200 * DOLLAR
        assert chunk.globals.pool.owed == PAID

    def test_on_fees_are_as_young_as_what_paid_them(self) -> None:
        state = self.state()
        assert set(venue.run(state, *self.burning()).codes) == {c.OK}
        assert (state.account(WINNER).fresh, state.account(0).fresh) == (HOLE * DOLLAR - PAID, PAID)
        assert state.globals.pool.fresh == HOLE * DOLLAR
        assert_refused(state, venue.withdrawal(state, 0, 1), code=c.COLLATERAL)
        assert_refused(
            state, *[venue.entry(constants.FORCED_WITHDRAW, venue.owned(constants.FORCED_WITHDRAW, 0))], code=c.RESERVED
        )

    def test_on_they_pay_for_debts_like_any_profit(self) -> None:
        state = self.state()
        assert set(venue.run(state, *self.burning(), forced_rescue()).codes) == {c.OK}
        assert (state.globals.pool.receivable, state.globals.pool.owed) == (HOLE * DOLLAR, 0)
        row = margin.matured(state.globals.risk.debts, state.account(0), NOW)
        assert margin.collateral(row) == 0
        assert conservation(state).sound

    def test_on_a_fee_in_between_pays_its_part_first(self) -> None:
        state = self.state()
        half = self.burning()[: 4 + FILLS // 2]
        assert set(venue.run(state, *half, forced_rescue()).codes) == {c.OK}
        # All that was unsettled is gone, and what is earned now is whole.
        now = NOW + STEP
        more = venue.trade(state, ATTACKER, WINNER, BITCOIN, now=now)
        assert set(venue.run(state, *more, timestamp=now).codes) == {c.OK}
        assert state.account(0).fresh == state.globals.pool.fresh == BITCOIN * BTC // 1_000
        assert conservation(state).sound

    @pytest.mark.parametrize("epochs", [1, 2, 5])
    def test_on_they_leave_once_they_have_settled(self, epochs: int) -> None:
        state = self.state()
        assert set(venue.run(state, *self.burning()).codes) == {c.OK}
        now = venue.later(state, NOW + epochs * EPOCH)
        leaving = venue.withdrawal(state, 0, PAID, now)
        if epochs == 1:
            assert_refused(state, leaving, code=c.COLLATERAL, timestamp=now)
            return
        assert venue.run(state, leaving, timestamp=now).codes == (c.OK,)
        assert debts.rolled(state.globals.pool, now // EPOCH).fresh == 0
