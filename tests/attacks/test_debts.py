"""What a loser cannot pay, and who bears it: those who just won, however they hold what they won."""

from fractions import Fraction
from typing import Any

import pytest

from prover.state.audit import conservation
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, containers, debts, margin, replay, rescue
from prover.stf.replay import Chunk
from tests.attacks.law_variants import python_chunk, rule_off
from tests.attacks.stage import (
    ATTACKER,
    BITCOIN,
    BTC,
    ETH,
    SOL,
    STEP,
    VICTIM,
    forced_rescue,
    held,
    row_of,
    size_of,
    stage,
    ticks,
    value,
)
from tests.attacks.stage import rescue as move
from tests.attacks.test_law_rules import assert_refused
from tests.twins import venue
from tests.twins.venue import DOLLAR, NOW, OWNERS, account

EPOCH = constants.EPOCH
# The winner's own two, and somebody who has nothing to do with it.
WINNER, SIBLING, STRANGER = 20, 21, 22
NOBODY_ELSE = {1: account(containers.NOBODY, 0), 19: account(OWNERS[5], 0)}


class TestG1HandOver:
    """A winner hands its position on just before the loser falls below zero, and waits for its profit to mature.

    The loser is short a bitcoin and owes 2,000 dollars; whoever is long bought at the price of today.
    """

    HOLE = 2_000
    deleverage = move(constants.DELEVERAGE)
    deleveraged = move(constants.DELEVERAGE, other=ATTACKER)

    def state(self, won: int = 3_500, others: int = 500, **winner: int) -> State:
        """The winner has so many dollars of fresh profit over 1,000 deposited, a stranger so many over 10,000."""
        return stage(
            NOBODY_ELSE
            | {
                VICTIM: held(-BITCOIN, -self.HOLE),
                ATTACKER: held(BITCOIN, 1_500, owner=OWNERS[2]),
                WINNER: account(OWNERS[2], 1_000 * DOLLAR, fresh=won * DOLLAR, **winner),
                SIBLING: account(OWNERS[2], 0),
                STRANGER: account(OWNERS[4], 10_000 * DOLLAR, fresh=others * DOLLAR),
            },
            pool=containers.Pool(venue.EPOCH, 0, (won + others) * DOLLAR, 0, 0),
        )

    @staticmethod
    def claims(chunk: Chunk) -> int:
        """What all may withdraw once everything has matured: nobody holds a position any more."""
        rows = [row_of(chunk, index) for index in (0, 1, VICTIM, ATTACKER, 19, WINNER, SIBLING, STRANGER)]
        matured = [margin.matured(chunk.globals.risk.debts, row, NOW + 2 * EPOCH) for row in rows]
        assert not any(size_of(row) for row in matured)
        return sum(max(row.settled, 0) for row in matured)

    def test_off_the_vault_pays_what_the_loser_cannot(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, replay, "self.debt = rescued.debt", "pass")
        chunk = python_chunk(self.state(), self.deleveraged)

        assert chunk.operation_codes == [c.OK]
        assert self.claims(chunk) == chunk.globals.deposited_total + self.HOLE * DOLLAR

    def test_on_unsettled_money_pays_pro_rata(self) -> None:
        state = self.state()
        chunk = python_chunk(state, self.deleveraged)
        assert chunk.globals.deposited_total - 2 <= self.claims(chunk) <= chunk.globals.deposited_total
        assert venue.run(state, self.deleveraged).codes == (c.OK,)
        assert conservation(state).sound
        pool = state.globals.pool
        assert (pool.receivable, pool.owed) == (self.HOLE * DOLLAR, 0)
        # Half of what was won pays; deposits, and whoever gave up his position, pay nothing.
        for index, settled, fresh in ((WINNER, 1_000, 1_750), (STRANGER, 10_000, 250), (ATTACKER, 1_500, 0)):
            row = margin.matured(state.globals.risk.debts, state.account(index), NOW)
            assert row.settled == settled * DOLLAR
            assert 0 <= fresh * DOLLAR - row.fresh <= 1
        # At the next touch it is gone.
        assert venue.run(state, venue.withdrawal(state, WINNER, 1_000 * DOLLAR)).codes == (c.OK,)
        assert 1_750 * DOLLAR - 1 <= state.account(WINNER).fresh <= 1_750 * DOLLAR
        assert 250 * DOLLAR - 1 <= state.globals.pool.receivable <= 250 * DOLLAR
        assert conservation(state).sound

    @pytest.mark.parametrize("epochs", [1, 2, 5])
    def test_on_sleeping_evades_nothing(self, epochs: int) -> None:
        state = self.state()
        assert venue.run(state, self.deleveraged).codes == (c.OK,)
        now = venue.later(state, NOW + epochs * EPOCH)
        most = 1_000 * DOLLAR + (1_750 * DOLLAR - 1 if epochs > 1 else 0)
        assert_refused(state, venue.withdrawal(state, WINNER, most + 2, now), code=c.COLLATERAL, timestamp=now)
        assert venue.run(state, venue.withdrawal(state, WINNER, most, now), timestamp=now).codes == (c.OK,)
        assert conservation(state).sound

    def test_off_who_sleeps_is_spared(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, debts, "    if account.factor != latest(debts):\n", "    if False:\n")
        chunk = python_chunk(self.state(), self.deleveraged)

        assert self.claims(chunk) == chunk.globals.deposited_total + self.HOLE * DOLLAR

    def test_on_a_transfer_carries_it_along(self) -> None:
        state = self.state()
        transfer = venue.transfer(state, WINNER, SIBLING, 3_500 * DOLLAR)
        assert venue.run(state, transfer, self.deleveraged).codes == (c.OK, c.OK)
        assert state.account(SIBLING).fresh == 3_500 * DOLLAR
        back = venue.transfer(state, SIBLING, WINNER, 1_750 * DOLLAR - 1)
        assert_refused(state, venue.transfer(state, SIBLING, WINNER, 1_750 * DOLLAR + 1), code=c.COLLATERAL)
        assert venue.run(state, back).codes == (c.OK,)
        assert state.account(WINNER).fresh == 1_750 * DOLLAR - 1
        assert conservation(state).sound

    def test_on_what_had_settled_by_the_clock_pays_nothing(self) -> None:
        # Made two epochs ago, and not touched since: it is the stranger's 500 dollars that pay.
        state = self.state(epoch=venue.EPOCH - 2)
        state = stage(
            NOBODY_ELSE | {i: state.account(i) for i in (VICTIM, ATTACKER, WINNER, SIBLING, STRANGER)},
            pool=containers.Pool(venue.EPOCH, 0, 500 * DOLLAR, 0, 0),
        )
        assert venue.run(state, self.deleveraged).codes == (c.OK,)
        assert state.globals.pool.owed == (self.HOLE - 500) * DOLLAR
        row = margin.matured(state.globals.risk.debts, state.account(WINNER), NOW)
        assert (row.settled, row.fresh) == (4_500 * DOLLAR, 0)

    def owing(self) -> State:
        """Of 2,000 dollars unsettled money has paid 400, and all that it had."""
        state = self.state(won=300, others=100)
        assert venue.run(state, self.deleveraged).codes == (c.OK,)
        assert (state.globals.pool.owed, state.globals.pool.receivable) == (1_600 * DOLLAR, 400 * DOLLAR)
        assert state.globals.risk.debts.clock == NOW
        return state

    def won_later(self, state: State, now: int) -> None:
        """The stranger closes a position that has won fifty dollars, against the attacker."""
        # Without a fund nobody has leverage.
        assert venue.run(state, venue.deposit(OWNERS[2], 10_000 * DOLLAR, ATTACKER), timestamp=now).codes == (c.OK,)
        opening = venue.trade(state, ATTACKER, STRANGER, 10_000, now=now)
        assert venue.run(state, *opening, timestamp=now).codes[-1] == c.OK
        closing = venue.trade(state, STRANGER, ATTACKER, 10_000, BTC + 5_000, now=now)
        assert venue.run(state, *closing, timestamp=now).codes[-1] == c.OK

    def test_on_while_debts_are_owed_nothing_matures_and_what_is_won_pays(self) -> None:
        state = self.owing()
        now = venue.later(state, NOW + 3 * EPOCH)
        self.won_later(state, now)
        row = state.account(STRANGER)
        assert (row.fresh, row.epoch) == (50 * DOLLAR, venue.EPOCH)
        assert state.globals.pool.fresh == 50 * DOLLAR
        ticks(state, BTC)
        assert state.globals.pool.owed == 1_550 * DOLLAR
        assert venue.run(
            state, venue.withdrawal(state, STRANGER, 1, state.globals.tick_time), timestamp=state.globals.tick_time
        ).codes == (c.OK,)
        assert state.account(STRANGER).fresh == 0
        assert conservation(state).sound

    def test_off_it_matures_beside_the_debt(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state = self.owing()
        rule_off(monkeypatch, debts, "    if debts.clock > 0:\n", "    if False:\n")
        owing = state.globals.risk.debts
        won = account(OWNERS[4], 0, fresh=DOLLAR, factor=debts.latest(owing))
        late = margin.matured(owing, won, NOW + 2 * EPOCH)

        assert late.settled == DOLLAR

    def test_on_settled_money_leaves_as_ever(self) -> None:
        state = self.owing()
        assert venue.run(state, venue.withdrawal(state, STRANGER, 10_000 * DOLLAR)).codes == (c.OK,)
        assert venue.run(state, venue.deposit(OWNERS[4], DOLLAR, STRANGER)).codes == (c.OK,)
        assert venue.run(state, venue.withdrawal(state, STRANGER, DOLLAR)).codes == (c.OK,)

    def test_on_little_that_is_owed_holds_nobody_up(self) -> None:
        state = self.state(won=1_900, others=0)
        assert venue.run(state, self.deleveraged).codes == (c.OK,)
        assert state.globals.pool.owed == 100 * DOLLAR
        assert state.globals.risk.debts.clock == 0
        more = self.state(won=1_899, others=0)
        assert venue.run(more, self.deleveraged).codes == (c.OK,)
        assert more.globals.risk.debts.clock == NOW

    def test_on_open_profit_bears_first(self) -> None:
        state = self.state()
        winner = held(BITCOIN, 1_500, BTC - 1_200 * DOLLAR // BITCOIN, owner=OWNERS[2])
        state = stage(
            NOBODY_ELSE | {i: state.account(i) for i in (VICTIM, WINNER, SIBLING, STRANGER)} | {ATTACKER: winner},
            pool=state.globals.pool,
        )
        assert venue.run(state, self.deleveraged).codes == (c.OK,)
        assert value(state.account(ATTACKER)) == 1_500 * DOLLAR
        assert state.globals.pool.receivable == 800 * DOLLAR
        assert conservation(state).sound


class TestBeyondTheFund:
    """A seat that deleverages nobody: its loser owes more than the fund has, and its winner has handed on.

    The heir is long against the loser's bitcoin, and bought at the price of today.
    """

    HOLE = TestG1HandOver.HOLE
    HEIR = ATTACKER

    def state(self, fund: int = 0, hole: int = HOLE, **changes: Any) -> State:
        return stage(
            NOBODY_ELSE
            | {
                1: account(containers.NOBODY, fund * DOLLAR),
                VICTIM: held(-BITCOIN, -hole),
                self.HEIR: held(BITCOIN, 100_000, owner=OWNERS[2]),
                WINNER: account(OWNERS[2], 1_000 * DOLLAR, fresh=3_500 * DOLLAR),
                SIBLING: account(OWNERS[2], 0),
                STRANGER: account(OWNERS[4], 10_000 * DOLLAR, fresh=500 * DOLLAR),
            },
            pool=containers.Pool(venue.EPOCH, 0, 4_000 * DOLLAR, 0, 0),
            **changes,
        )

    def test_off_the_winner_leaves_with_what_the_loser_owes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = "    if forced and fund.code == codes.FUND_LIMIT and equity < 0:\n"
        rule_off(monkeypatch, rescue, rule, "    if False:\n")
        chunk = python_chunk(self.state(), forced_rescue())

        assert chunk.operation_codes == [c.FUND_LIMIT]
        left = [row_of(chunk, index) for index in (WINNER, STRANGER)]
        settled = [margin.matured(chunk.globals.risk.debts, row, NOW + 2 * EPOCH).settled for row in left]
        assert settled == [4_500 * DOLLAR, 10_500 * DOLLAR]
        assert value(row_of(chunk, VICTIM)) == -self.HOLE * DOLLAR

    @pytest.mark.parametrize(("fund", "paid"), [(0, 0), (-100, 0), (4_000, 1_000), (5_999, 1_499.75)])
    def test_on_the_fund_takes_it_and_unsettled_money_pays(self, fund: int, paid: float) -> None:
        state = self.state(fund)
        assert venue.run(state, forced_rescue()).codes == (c.OK,)
        debt = self.HOLE - paid
        assert (state.globals.pool.receivable, state.globals.pool.owed) == (debt * DOLLAR, 0)
        assert (size_of(state.account(VICTIM)), value(state.account(VICTIM))) == (0, 0)
        assert (size_of(state.account(1)), value(state.account(1))) == (-BITCOIN, (fund - paid) * DOLLAR)
        market = state.globals.markets[0]
        assert (market.paid_out, market.turned_over, market.open_interest) == (paid * DOLLAR, 0, BITCOIN)
        left = [margin.matured(state.globals.risk.debts, state.account(index), NOW) for index in (WINNER, STRANGER)]
        assert [row.settled for row in left] == [1_000 * DOLLAR, 10_000 * DOLLAR]
        assert 0 <= (4_000 - debt) * DOLLAR - sum(row.fresh for row in left) <= 2
        assert conservation(state).sound

    def test_on_part_of_it_as_well(self) -> None:
        state = self.state()
        assert venue.run(state, forced_rescue(lots=BITCOIN // 4)).codes == (c.OK,)
        assert value(state.account(VICTIM)) == -self.HOLE * DOLLAR * 3 // 4
        assert state.globals.pool.receivable == self.HOLE * DOLLAR // 4
        assert conservation(state).sound

    def test_on_what_nobody_has_stays_owed_and_nothing_matures(self) -> None:
        state = self.state(hole=5_000)
        assert venue.run(state, forced_rescue()).codes == (c.OK,)
        assert (state.globals.pool.owed, state.globals.risk.debts.clock) == (1_000 * DOLLAR, NOW)

    @pytest.mark.parametrize("previous", [BTC, BTC - 2_000])
    def test_on_above_zero_at_one_of_two_prices_the_fund_keeps_its_limits(self, previous: int) -> None:
        state = self.state(hole=-1 if previous == BTC else 199, market={"previous_price": previous})
        assert_refused(state, forced_rescue(), code=c.FUND_LIMIT)

    def test_on_only_what_is_forced(self) -> None:
        assert_refused(self.state(), move(constants.TAKE_OVER), code=c.FUND_LIMIT)

    def test_on_the_account_keeps_no_option_against_the_fund(self) -> None:
        # Whoever is made to go below zero ends with nothing, wherever the price goes from there.
        state = self.state()
        assert venue.run(state, forced_rescue()).codes == (c.OK,)
        ticks(state, BTC - 10_000)
        assert value(state.account(VICTIM), BTC - 10_000) == 0
        assert value(state.account(1), BTC - 10_000) == 1_000 * DOLLAR

    def taken(self, moved: int) -> tuple[State, int]:
        """The fund is short a bitcoin of the price of today, and the price moves."""
        state = self.state()
        assert venue.run(state, forced_rescue()).codes == (c.OK,)
        return state, ticks(state, BTC + moved, BTC + moved)

    def test_off_what_the_fund_loses_matures_for_others(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state, now = self.taken(15_000)
        rule = "    if move.account == constants.insurance_account(move.market):\n"
        rule_off(monkeypatch, rescue, rule + "        return called(under, move, insurance)\n")
        chunk = python_chunk(state, forced_rescue(1, time=now), timestamp=now)

        assert chunk.operation_codes == [c.NO_MARKET]
        assert value(row_of(chunk, 1), BTC + 15_000) == -1_500 * DOLLAR

    def test_on_a_fund_below_zero_is_called(self) -> None:
        state, now = self.taken(15_000)
        assert venue.run(state, forced_rescue(1, lots=0, time=now), timestamp=now).codes == (c.OK,)
        fund = state.account(1)
        assert (size_of(fund), value(fund, BTC + 15_000), fund.settled) == (-BITCOIN, 0, 1_500 * DOLLAR)
        assert state.globals.markets[0].fund == 1_500 * DOLLAR
        assert (state.globals.pool.receivable, state.globals.pool.owed) == (3_500 * DOLLAR, 0)
        assert conservation(state).sound
        assert_refused(state, forced_rescue(1, time=now), code=c.HEALTHY, timestamp=now)

    def test_on_not_above_zero_at_one_of_two_prices(self) -> None:
        state, _ = self.taken(0)
        now = ticks(state, BTC + 15_000)
        assert_refused(state, forced_rescue(1, time=now), code=c.HEALTHY, timestamp=now)
        state = self.state(fund=-1)
        assert venue.run(state, forced_rescue(1)).codes == (c.OK,)
        assert value(state.account(1)) == 0

    def test_on_a_call_asks_for_the_evidence_of_a_rescue(self) -> None:
        state, now = self.taken(15_000)
        late = now + constants.FORCED_PRICE_AGE + 1
        assert_refused(state, forced_rescue(1, time=late), code=c.STALE, timestamp=now)
        state, now = self.taken(15_000)
        state.globals.streak = 2
        assert python_chunk(state, forced_rescue(1, time=now), timestamp=now).operation_codes == [c.UNSTEADY]

    @pytest.mark.parametrize("status", [constants.MARKET_OPEN, constants.MARKET_SETTLED])
    def test_on_what_it_owes_without_a_position_no_price_can_change(self, status: int) -> None:
        state = self.state(fund=-1)
        state.globals.markets[0].status, state.globals.streak = status, 0
        late = NOW + constants.FORCED_PRICE_AGE + 1
        chunk = python_chunk(state, forced_rescue(1, time=late), forced_rescue(1, time=late))
        assert chunk.operation_codes == [c.OK, c.HEALTHY]


class TestSilence:
    """A seat enters its winner's withdrawal, a watcher then its loser's rescue; both are served nine hours late.

    The stage is that of `TestBeyondTheFund`; the watcher enters three ticks in front of its rescue, ten minutes later.
    """

    HOURS = 9 * constants.HOUR
    WATCHED = NOW + 600_000
    LATE = NOW + HOURS + constants.QUEUE_ONLY_BIT

    @staticmethod
    def state() -> State:
        return TestBeyondTheFund().state()

    def entries(self) -> list[bytes]:
        """As they stand in the queue."""
        payload = venue.owned(constants.FORCED_WITHDRAW, WINNER, amount=constants.EVERYTHING)
        leaving = venue.entry(constants.FORCED_WITHDRAW, payload, OWNERS[2], NOW + 1)
        times = [self.WATCHED - 2 * STEP, self.WATCHED - STEP, self.WATCHED]
        evidence = [
            venue.entry(constants.FORCED_TICK, venue.tick(time, [BTC, ETH, SOL])[1:], venue.DEPOSITOR, self.WATCHED)
            for time in times
        ]
        return [leaving, *evidence, forced_rescue(time=self.WATCHED)]

    def test_off_the_winner_leaves_with_what_the_loser_owes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, debts, "    return clock + before - now", "    return clock")
        chunk = python_chunk(self.state(), *self.entries(), timestamp=self.LATE)

        assert chunk.operation_codes == [c.OK] * 5
        # The winner is gone with all of it, and what the stranger has won has matured, too: nobody is left who pays.
        assert chunk.commitment.withdrawn_total == 4_500 * DOLLAR
        assert chunk.globals.pool.owed == TestBeyondTheFund.HOLE * DOLLAR

    def test_on_what_silence_would_have_matured_pays(self) -> None:
        state = self.state()
        assert venue.run(state, *self.entries(), timestamp=self.LATE).codes == (c.OK,) * 5
        assert state.commitment.withdrawn_total == 1_000 * DOLLAR
        assert (state.globals.pool.receivable, state.globals.pool.owed) == (2_000 * DOLLAR, 0)
        assert state.globals.risk.debts.clock == -self.HOURS
        owing = state.globals.risk.debts
        left = [margin.matured(owing, state.account(index), NOW + self.HOURS) for index in (WINNER, STRANGER)]
        assert [row.settled for row in left] == [0, 10_000 * DOLLAR]
        for row, fresh in zip(left, (1_750, 250), strict=True):
            assert 0 <= fresh * DOLLAR - row.fresh <= 1
        assert conservation(state).sound

    @pytest.mark.parametrize("pieces", [1, 2, 24])
    def test_on_however_many_chunks_the_silence_is_cut_into(self, pieces: int) -> None:
        state = self.state()
        leaving, *others = self.entries()
        for piece in range(1, pieces + 1):
            at = NOW + self.HOURS * piece // pieces
            assert venue.run(state, timestamp=at + constants.QUEUE_ONLY_BIT).codes == ()
        assert venue.run(state, leaving, timestamp=self.LATE).codes == (c.OK,)
        assert venue.run(state, *others, timestamp=self.LATE).codes == (c.OK,) * 4
        assert state.commitment.withdrawn_total == 1_000 * DOLLAR
        assert state.globals.pool.owed == 0

    def test_on_time_that_passes_in_other_chunks_is_what_money_ages_by(self) -> None:
        state = self.state()
        assert venue.run(state, *self.entries(), timestamp=self.LATE).codes == (c.OK,) * 5
        # Two epochs of it from where it stood: what is left leaves then, and a millisecond before it does not.
        for early in (1, 0):
            now = NOW + self.HOURS + 2 * EPOCH - early
            rest = margin.matured(state.globals.risk.debts, state.account(STRANGER), now).settled
            assert (rest > 10_000 * DOLLAR) == (early == 0)

    def test_on_a_late_leave_takes_no_more(self) -> None:
        state = self.state()
        leave = venue.entry(constants.LEAVE, venue.owned(constants.LEAVE, WINNER), OWNERS[2], NOW + 1)
        assert venue.run(state, leave, *self.entries()[1:], timestamp=self.LATE).codes == (c.OK,) * 5
        assert state.commitment.withdrawn_total == 1_000 * DOLLAR
        assert state.globals.pool.owed == 0


def test_what_is_earned_while_debts_are_owed_is_as_young_afterwards() -> None:
    _, owing = debts.take(containers.Pool(venue.EPOCH, 0, 0, 0, 0), containers.NO_DEBTS, 101 * DOLLAR, NOW)
    later = NOW + 3 * EPOCH + 5
    assert debts.today(owing, later) == venue.EPOCH
    earned = account(OWNERS[1], 0, fresh=1_000 * DOLLAR, epoch=venue.EPOCH)
    pool, owing = debts.take(containers.Pool(venue.EPOCH, 0, 1_000 * DOLLAR, 0, 101 * DOLLAR), owing, 0, later)
    assert (pool.owed, owing.clock, debts.today(owing, later)) == (0, -3 * EPOCH - 5, venue.EPOCH)
    early = margin.matured(owing, earned, later + 2 * EPOCH - 1 - NOW % EPOCH)
    ripe = margin.matured(owing, earned, later + 2 * EPOCH - NOW % EPOCH)
    assert (early.settled, early.older) == (0, ripe.settled)
    assert 0 <= 899 * DOLLAR - ripe.settled <= 1
    # And another debt stops it again, where it is.
    _, owing = debts.take(pool, owing, 2_000 * DOLLAR, later + 7)
    assert owing.clock == NOW + 7


def test_more_epochs_with_debts_than_are_kept_are_judged_by_the_oldest() -> None:
    owing = containers.NO_DEBTS
    row = account(OWNERS[1], 0, older=8, fresh=2**40, epoch=1)
    factors = []
    for epoch in range(1, constants.FACTORS + 4):
        whole = containers.Pool(epoch, 0, 1_000, 0, 0)
        _, owing = debts.take(whole, owing, 100, epoch * EPOCH)
        factors.append(debts.latest(owing))
    assert owing.factors[0] // constants.FACTOR_BOUND == 4
    settled, older, fresh = debts.aged(owing, row, constants.FACTORS + 3)
    # Fresh money of epoch 1 should have paid twice a tenth; the oldest that is kept is of epoch 4.
    assert (older, fresh) == (0, 0)
    assert 0 <= 2**40 * Fraction(9**4, 10**4) + 8 * Fraction(9**4, 10**4) - settled <= 2**10
    young = account(OWNERS[1], 0, fresh=2**40, epoch=5, factor=factors[3])
    assert 0 <= 2**40 * Fraction(9**2, 10**2) - debts.aged(owing, young, constants.FACTORS + 3)[0] <= 2**10
