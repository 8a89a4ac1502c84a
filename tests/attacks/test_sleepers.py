"""What had settled by the clock pays for later debts, if there were more of them than are kept since its last touch."""

import msgspec
import pytest

from prover.state.audit import conservation
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, containers, custody, debts, margin
from tests.attacks.law_variants import python_chunk, rule_off
from tests.attacks.stage import row_of
from tests.twins import venue
from tests.twins.venue import DOLLAR, NOW, OWNERS, account

EPOCH = constants.EPOCH
SLEEPER = 17
MONEY = 100_000 * DOLLAR
# Made so long ago, settled before the first of these debts.
MADE = venue.EPOCH - 20


def owed(owing: containers.Debts, first: int, last: int) -> containers.Debts:
    """In each of these epochs all that is unsettled is a cent, and pays a debt."""
    for epoch in range(first, last):
        _, owing = debts.take(containers.Pool(epoch, 0, 10_000, 0, 0), owing, 10_000, epoch * EPOCH)
    return owing


def state_of(row: containers.Account, owing: containers.Debts, index: int = SLEEPER, receivable: int = 0) -> State:
    """One account alone after these debts, of which it may have to pay something yet."""
    globals = venue.free_of_charge(streak=constants.STEADY_TICKS)
    globals.risk = msgspec.structs.replace(globals.risk, debts=owing)
    globals.pool = containers.Pool(venue.EPOCH, 0, 0, receivable, 0)
    return venue.balanced(globals, {index: row})


class TestSixteenDebts:
    """Debts of a cent in sixteen epochs: a little before the last of them somebody pays in a dollar."""

    ROW = account(OWNERS[1], 0, fresh=MONEY, epoch=MADE)
    FIFTEEN = owed(containers.NO_DEBTS, MADE + 3, MADE + 18)
    deposit = venue.deposit(OWNERS[1], DOLLAR, SLEEPER)

    def left(self, row: containers.Account, owing: containers.Debts) -> int:
        """What may leave of it after two more debts."""
        later = owed(owing, MADE + 18, MADE + 20)
        return margin.matured(later, row, NOW).settled

    def test_off_nobody_may_touch_it_but_its_owner(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state = state_of(self.ROW, self.FIFTEEN)
        rule_off(monkeypatch, custody, "margin.matured(owing, account, now)", "account")
        chunk = python_chunk(state, self.deposit)

        assert chunk.operation_codes == [c.OK]
        assert self.left(row_of(chunk, SLEEPER), self.FIFTEEN) == DOLLAR

    def test_on_a_deposit_has_it_judged_by_what_it_owes(self) -> None:
        state = state_of(self.ROW, self.FIFTEEN)
        assert venue.run(state, self.deposit).codes == (c.OK,)
        assert conservation(state).sound
        row = state.account(SLEEPER)
        assert (row.settled, row.fresh, row.factor) == (MONEY + DOLLAR, 0, debts.latest(self.FIFTEEN))
        assert self.left(row, self.FIFTEEN) == MONEY + DOLLAR
        later = state_of(row, owed(self.FIFTEEN, MADE + 18, MADE + 20))
        assert venue.run(later, venue.withdrawal(later, SLEEPER, MONEY)).codes == (c.OK,)

    def test_on_who_sleeps_on_is_judged_by_the_oldest(self) -> None:
        assert self.left(self.ROW, self.FIFTEEN) == 0

    @pytest.mark.parametrize(("epoch", "kept"), [(MADE + 3, 0), (MADE + 1, 1)])
    def test_on_a_deposit_spares_nobody_what_he_owes(self, epoch: int, kept: int) -> None:
        # A debt before it has settled takes all of it, whenever somebody pays in.
        owing = owed(containers.NO_DEBTS, MADE + 3, MADE + 5)
        row = account(OWNERS[1], 0, fresh=MONEY, epoch=epoch)
        state = state_of(row, owing, receivable=MONEY * (1 - kept))
        assert venue.run(state, self.deposit).codes == (c.OK,)
        assert margin.collateral(state.account(SLEEPER)) == MONEY * kept + DOLLAR
        assert state.globals.pool.receivable == 0

    def test_on_what_has_not_settled_stays_as_young(self) -> None:
        row = account(OWNERS[1], 0, older=5, fresh=7)
        state = state_of(row, containers.NO_DEBTS)
        assert venue.run(state, self.deposit).codes == (c.OK,)
        left = state.account(SLEEPER)
        assert (left.settled, left.older, left.fresh) == (DOLLAR, 5, 7)

    def test_on_a_funds_own_money_pays_with_it(self) -> None:
        owing = owed(containers.NO_DEBTS, MADE + 3, MADE + 5)
        fund = account(containers.NOBODY, 3 * DOLLAR, fresh=9 * DOLLAR, epoch=MADE + 3)
        state = state_of(fund, owing, index=1, receivable=9 * DOLLAR)
        assert venue.run(state, venue.deposit(containers.NOBODY, DOLLAR, 1)).codes == (c.OK,)
        assert state.globals.markets[0].fund == margin.collateral(state.account(1)) == 4 * DOLLAR
        assert state.globals.pool.receivable == 0
