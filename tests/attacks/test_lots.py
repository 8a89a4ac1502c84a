"""What lots have won or lost is money when they are gone: nothing of it stays open in a last lot, away from debts."""

import pytest

from prover.state.audit import conservation
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, containers, encoding, margin
from prover.stf.replay import Chunk
from tests.attacks.law_variants import python_chunk, rule_off
from tests.attacks.stage import (
    ATTACKER,
    BITCOIN,
    BTC,
    ETH,
    POOL,
    VICTIM,
    held,
    rescue,
    row_of,
    size_of,
    stage,
    ticks,
    value,
)
from tests.twins import venue
from tests.twins.venue import DOLLAR, NOW, OWNERS, account, position

WINNER, HEIR, STRANGER = 20, 21, 22
NOBODY_ELSE = {POOL: account(OWNERS[5], 0)}
# As if only a position that is gone were money.
RULE = "        return floor_div(old.cost * abs(new_size), abs(old.size))\n"
WHOLE = "        return old.cost + quote if new_size else 0\n"
TURNED = "        return floor_div(quote * abs(new_size), abs(size))\n"
STAYS = "        return old.cost + quote\n"


def pool(dollars: int) -> containers.Pool:
    return containers.Pool(venue.EPOCH, 0, dollars * DOLLAR, 0, 0)


def unsettled(state: State | Chunk, row: containers.Account) -> int:
    """Dollars that have not settled, the account's part of debts paid."""
    today = margin.matured(state.globals.risk.debts, row, NOW)
    return round((today.older + today.fresh) / DOLLAR)


class TestOneLotLeft:
    """A winner hands all but one lot on, or turns by one: a debt of two thousand finds only the stranger's profit."""

    HOLE, WON = 2_000, 3_500

    def state(self) -> State:
        rows = {
            VICTIM: held(-BITCOIN, -self.HOLE),
            WINNER: held(BITCOIN, 1_000, entry=BTC - self.WON * DOLLAR // BITCOIN, owner=OWNERS[2]),
            HEIR: account(OWNERS[3], 200_000 * DOLLAR),
            ATTACKER: account(OWNERS[2], 0),
            STRANGER: account(OWNERS[4], 10_000 * DOLLAR, fresh=self.WON * DOLLAR),
        }
        return stage(NOBODY_ELSE | rows, pool=pool(self.WON))

    def moves(self, state: State, kept: int) -> list[bytes]:
        handed = venue.trade(state, WINNER, HEIR, BITCOIN - kept)
        return [*handed, rescue(constants.DELEVERAGE, BITCOIN - max(kept, 0), other=HEIR)]

    @pytest.mark.parametrize(("kept", "rule", "instead"), [(1, RULE, WHOLE), (-1, TURNED, STAYS)])
    def test_off_the_stranger_pays_alone(
        self, monkeypatch: pytest.MonkeyPatch, kept: int, rule: str, instead: str
    ) -> None:
        rule_off(monkeypatch, margin, rule, instead)
        state = self.state()
        chunk = python_chunk(state, *self.moves(state, kept))
        assert chunk.operation_codes == [c.OK] * 4
        assert unsettled(chunk, row_of(chunk, STRANGER)) == self.WON - self.HOLE
        assert value(row_of(chunk, WINNER)) // DOLLAR == 1_000 + self.WON

    @pytest.mark.parametrize("kept", [0, 1, -1, BITCOIN // 2])
    def test_on_both_pay_as_they_have_won(self, kept: int) -> None:
        state = self.state()
        assert venue.run(state, *self.moves(state, kept)).codes == (c.OK,) * 4
        winner = unsettled(state, state.account(WINNER))
        # Half of the lots have half of what was won; a debt is paid pro rata.
        won = self.WON // 2 if kept == BITCOIN // 2 else self.WON
        hole = self.HOLE // 2 if kept == BITCOIN // 2 else self.HOLE
        assert abs(won - winner - hole * won / (won + self.WON)) <= 1
        assert abs(unsettled(state, state.account(STRANGER)) - self.WON + hole * self.WON / (won + self.WON)) <= 1
        assert conservation(state).sound


class TestSinkOfThirtyDollars:
    """A position that was brought down to thirty dollars keeps no loss open, beside which a deposit could leave."""

    HOLE, DEPOSIT = 2_000, 10_000

    def state(self) -> State:
        rows = {
            ATTACKER: held(BITCOIN, self.DEPOSIT, entry=BTC + self.HOLE * DOLLAR // BITCOIN, owner=OWNERS[2]),
            WINNER: held(-BITCOIN, 100_000, owner=OWNERS[4]),
        }
        return stage(NOBODY_ELSE | rows)

    def test_off_the_whole_loss_stands_in_a_hundred_lots(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, margin, RULE, WHOLE)
        state = self.state()
        chunk = python_chunk(state, *venue.trade(state, ATTACKER, WINNER, BITCOIN - 100))
        assert chunk.operation_codes == [c.OK] * 3
        row = row_of(chunk, ATTACKER)
        assert (size_of(row), row.settled) == (100, self.DEPOSIT * DOLLAR)

    def test_on_it_is_lost_with_the_lots(self) -> None:
        state = self.state()
        assert venue.run(state, *venue.trade(state, ATTACKER, WINNER, BITCOIN - 100)).codes == (c.OK,) * 3
        row = state.account(ATTACKER)
        assert row.settled == (self.DEPOSIT - self.HOLE) * DOLLAR + 100 * self.HOLE * DOLLAR // BITCOIN
        assert row.positions[0].cost == 100 * BTC + 100 * self.HOLE * DOLLAR // BITCOIN
        assert conservation(state).sound


class TestRounding:
    """What is left costs its part rounded down: cut lot by lot nobody has made more money of it than at once."""

    ODD = 7

    @pytest.mark.parametrize("sign", [1, -1])
    @pytest.mark.parametrize("won", [-1, 1, 10**9 + 1, -(10**9) - 1])
    @pytest.mark.parametrize("cuts", [(1,) * 6, (2, 2, 2), (6,), (5, 1)])
    def test_no_cut_makes_more_money(self, sign: int, won: int, cuts: tuple[int, ...]) -> None:
        lots = sign * self.ODD
        old = containers.Position(lots, lots * BTC - won, 0)
        row = account(OWNERS[1], 10**12, {0: old})
        risk = venue.globals_of().risk
        each = row
        for cut in cuts:
            each = margin.moved(risk, each, 0, -sign * cut, -sign * cut * BTC, 0)
            left = encoding.unpack(each.positions[0])
            assert margin.equity(risk, each) == margin.equity(risk, row)
        # Six of seven parts of what was won, and at most a micro-dollar less for each cut.
        exact = won * 6 // self.ODD
        assert exact - len(cuts) <= margin.collateral(each) - 10**12 <= exact
        assert abs(left.size) == 1
        last = margin.moved(risk, each, 0, -sign, -sign * BTC, 0)
        assert margin.collateral(last) == 10**12 + won

    def test_what_turns_costs_what_it_was_bought_for(self) -> None:
        risk = venue.globals_of().risk
        row = account(OWNERS[1], 10**12, {0: position(3, 3 * BTC - 5)})
        turned = margin.moved(risk, row, 0, -4, -4 * (BTC + 1), 0)
        assert (encoding.unpack(turned.positions[0]).size, turned.positions[0].cost) == (-1, -(BTC + 1))
        assert margin.collateral(turned) == 10**12 + 5 + 3


class TestMadeOpenAgain:
    """Bounded, not closed: fresh profit is lost again to an own account, which leaves it open in another market."""

    def test_the_stranger_pays_in_its_stead(self) -> None:
        won, hole = 3_500, 2_000
        rows = {
            VICTIM: held(-BITCOIN, -hole),
            HEIR: held(BITCOIN, 100_000, owner=OWNERS[3]),
            WINNER: account(OWNERS[2], 10_000 * DOLLAR, fresh=won * DOLLAR),
            ATTACKER: account(OWNERS[2], 20_000 * DOLLAR),
            STRANGER: account(OWNERS[4], 10_000 * DOLLAR, fresh=won * DOLLAR),
            POOL: account(OWNERS[5], 10**6 * DOLLAR),
        }
        state = stage(rows, pool=pool(2 * won))
        high = ETH * 105 // 100
        lots = won * DOLLAR // (high - ETH)
        for trade in ((ATTACKER, WINNER, lots, high), (WINNER, POOL, lots, ETH)):
            assert venue.run(state, *venue.trade(state, *trade, market=1)).codes == (c.OK,) * 3
        assert state.account(WINNER).fresh < DOLLAR
        assert venue.run(state, rescue(constants.DELEVERAGE, other=HEIR)).codes == (c.OK,)
        # At most the debt.
        assert unsettled(state, state.account(STRANGER)) == won - hole
        assert round(value(state.account(ATTACKER)) / DOLLAR) == 20_000 + won
        assert conservation(state).sound


class TestFundThatIsGone:
    """Bounded, not closed: interest grows by a fund's collateral; what its lots have lost counts as they leave it."""

    LOW = BTC * 9 // 10

    def test_it_grows_over_what_the_lots_have_lost(self) -> None:
        rows = {
            1: held(16 * BITCOIN, 100_000, owner=containers.NOBODY),
            VICTIM: account(OWNERS[1], 10_000 * DOLLAR),
            ATTACKER: account(OWNERS[2], 10_000 * DOLLAR),
        }
        state = stage(rows)
        now = ticks(state, self.LOW, self.LOW, self.LOW)
        assert value(state.account(1), self.LOW) == 4_000 * DOLLAR
        trade = venue.trade(state, VICTIM, ATTACKER, 8 * BITCOIN, self.LOW, now=now)
        assert venue.run(state, *trade, timestamp=now).codes == (c.OK,) * 3
        # Half of its lots are given to who stands opposite: half of what they have lost is none of its collateral.
        reduced = rescue(constants.DELEVERAGE, 8 * BITCOIN, account=1)
        assert venue.run(state, reduced, timestamp=now).codes == (c.OK,)
        assert state.globals.markets[0].fund == (100_000 - 48_000) * DOLLAR
