"""Two legs that move as one: of the last two prices one says less than nothing, at every tick that moves.

Nobody rescues such an account, since it is not below zero, and no fund takes it. Its owner leaves, and the queue behind
him waits for a tick that stands still, unless his head has waited for long enough.
"""

from typing import Final

import pytest

from prover.state.audit import conservation
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, rescue
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
    row_of,
    size_of,
    stage,
    ticks,
    value,
)
from tests.attacks.stage import rescue as move
from tests.twins import venue
from tests.twins.venue import DOLLAR, NOW, OWNERS, account, position

PATIENCE: Final = constants.HEAD_PATIENCE
# Two bitcoin's lots of a market at half the price move as one bitcoin does.
LEGS: Final = {0: position(BITCOIN, BITCOIN * BTC), 1: position(-2 * BITCOIN, -2 * BITCOIN * ETH)}
STEPS: Final = (move(constants.CLOSE_STEP), move(constants.CLOSE_STEP, 2 * BITCOIN, market=1))
WAITED: Final = "    return under.clock.now > under.entered_at + constants.HEAD_PATIENCE\n"


def leaving(dollars: int = 1) -> State:
    """He has a dollar, or owes one, behind two legs; his leave is under way."""
    state = stage({VICTIM: account(OWNERS[1], dollars * DOLLAR, LEGS)})
    assert venue.run(state, forced(constants.LEAVE, time=NOW)).codes == (c.OK,)
    return state


def tick(now: int, up: int) -> bytes:
    """Both prices, moved as one."""
    return venue.tick(now, [BTC + up, (BTC + up) // 2, SOL], [0])


def flickered(state: State, now: int, *ups: int) -> int:
    """These ticks from a time on; the time of the last."""
    for up in ups:
        assert venue.run(state, tick(now, up), timestamp=now).codes == (c.OK,)
        now += STEP
    return now - STEP


class TestLeaver:
    """Whoever leaves has a dollar, and no fund takes his lots."""

    def test_off_each_tick_that_moves_keeps_the_head_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, rescue, WAITED, "    return False\n")
        for waited in (0, PATIENCE, 20 * PATIENCE):
            state = leaving()
            now = flickered(state, NOW + waited + STEP, 20, 40, 20)
            chunk = python_chunk(state, *STEPS, timestamp=now)
            assert chunk.operation_codes == [c.UNSTEADY, c.UNSTEADY]
            assert chunk.commitment.queue_count == 0

    def test_on_he_waits_for_a_tick_that_stands_still(self) -> None:
        state = leaving()
        others = move(constants.DELEVERAGE), move(constants.TAKE_OVER, 1)
        now = state.globals.tick_time
        for up in (20, 40, 20, 0, -20, 0, 20):
            now += STEP
            codes = venue.run(state, tick(now, up), STEPS[0], *others, timestamp=now).codes
            assert codes == (c.OK, c.UNSTEADY, c.HEALTHY, c.FUND_LIMIT)
            assert (state.commitment.queue_count, state.commitment.queue_taken) == (0, 1)
        assert venue.run(state, tick(now + STEP, 20), *STEPS, timestamp=now + STEP).codes == (c.OK,) * 3
        assert state.commitment.queue_count == 1

    def test_on_he_is_closed_at_the_last_tick_once_he_has_waited(self) -> None:
        state = leaving()
        owned = value(state.account(POOL))
        now = flickered(state, NOW + PATIENCE - 2 * STEP, 20, 40, 20)
        assert venue.run(state, *STEPS, timestamp=now).codes == (c.UNSTEADY, c.UNSTEADY)
        # A millisecond later. The leg that the last tick was good for goes first.
        assert venue.run(state, *reversed(STEPS), timestamp=now + 1).codes == (c.OK, c.OK)
        assert (state.commitment.queue_count, venue.begun(state.commitment)) == (1, 0)
        row = state.account(VICTIM)
        assert (size_of(row), size_of(row, 1)) == (0, 0)
        # What he has, and no more, is the penalty of whoever takes his lots at the price of the last tick.
        assert 0 <= value(row) <= 1
        assert DOLLAR - 1 <= value(state.account(POOL)) - owned <= DOLLAR
        assert conservation(state).sound

    @pytest.mark.parametrize(("fall", "codes"), [(20, (c.OK,)), (-20, (c.UNSTEADY, c.INSOLVENT))])
    def test_on_the_other_leg_alone_ends_at_the_next_ticks(self, fall: int, codes: tuple[int, ...]) -> None:
        state = leaving()
        now = flickered(state, NOW + PATIENCE, 20, 40, 20)
        assert venue.run(state, *STEPS, timestamp=now).codes == (c.OK, c.UNSTEADY)
        # It is short: prices that rise leave it owing, as anybody's.
        for number, code in enumerate(codes, start=1):
            now = flickered(state, now + STEP, 20 - number * fall)
            assert venue.run(state, STEPS[1], timestamp=now).codes == (code,)
        assert venue.begun(state.commitment) == 0

    @pytest.mark.parametrize("dollars", [-1, -500])
    def test_on_who_owes_at_both_ticks_is_done_with(self, dollars: int) -> None:
        state = leaving(dollars)
        now = flickered(state, NOW + PATIENCE, 200, 40_000, 200)
        assert venue.run(state, *STEPS, timestamp=now).codes == (c.INSOLVENT, c.NO_HEAD)
        assert (state.commitment.queue_count, size_of(state.account(VICTIM))) == (1, BITCOIN)
        # He may enter again, and others wait no more.
        assert venue.run(state, forced(constants.LEAVE, time=now), timestamp=now).codes == (c.OK,)


class TestWick:
    """A head that has waited is no easier to close, or to be rid of, by one tick that somebody picks."""

    EITHER: Final = " or margin.equity(before(under), settled) >= 0"
    BOTH: Final = " or margin.equity(before(under), settled) < 0"

    def waited(self, dollars: int, *prices: int) -> tuple[State, int]:
        """So much behind a bitcoin, whose owner leaves, and these prices once he has waited; the time of the last."""
        state = stage({VICTIM: held(BITCOIN, dollars)})
        assert venue.run(state, forced(constants.LEAVE)).codes == (c.OK,)
        quiet = NOW + PATIENCE
        assert venue.run(state, venue.tick(quiet, [BTC, ETH, SOL], [0]), timestamp=quiet).codes == (c.OK,)
        return state, ticks(state, BTC, BTC, *prices)

    def test_off_one_wick_is_rid_of_who_leaves(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, rescue, self.EITHER, "")
        state, now = self.waited(1_473, BTC * 97 // 100)
        chunk = python_chunk(state, STEPS[0], timestamp=now)

        assert (chunk.operation_codes, venue.begun(chunk.commitment)) == ([c.INSOLVENT], 0)
        assert size_of(row_of(chunk, VICTIM)) == BITCOIN

    def test_on_he_waits_on_and_is_closed_after_it(self) -> None:
        state, now = self.waited(1_473, BTC * 97 // 100)
        assert venue.run(state, STEPS[0], timestamp=now).codes == (c.UNSTEADY,)
        now = ticks(state, BTC)
        assert venue.run(state, STEPS[0], timestamp=now).codes == (c.UNSTEADY,)
        now = ticks(state, BTC)
        assert venue.run(state, STEPS[0], timestamp=now).codes == (c.OK,)
        assert state.commitment.withdrawn_total == 873 * DOLLAR

    def test_off_a_debtor_leaves_at_a_strangers_cost_in_a_wick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # 1,700 dollars below zero but for the wick, in which he has a hundred: whoever is opposite pays them.
        rule_off(monkeypatch, rescue, self.BOTH, "")
        state, now = self.waited(-1_700, BTC * 103 // 100)
        before = value(state.account(POOL))
        chunk = python_chunk(state, STEPS[0], timestamp=now)

        assert chunk.operation_codes == [c.OK]
        assert before - value(row_of(chunk, POOL)) == 1_700 * DOLLAR

    def test_on_he_waits_and_is_done_with_after_it(self) -> None:
        state, now = self.waited(-1_700, BTC * 103 // 100)
        for price in (BTC, BTC):
            assert venue.run(state, STEPS[0], timestamp=now).codes == (c.UNSTEADY,)
            now = ticks(state, price)
        assert venue.run(state, STEPS[0], timestamp=now).codes == (c.INSOLVENT,)
        assert size_of(state.account(VICTIM)) == BITCOIN


class TestOpposite:
    """A debtor whose legs move as one stands opposite whoever leaves, and nobody else does."""

    def state(self) -> State:
        """A thousand dollars behind a short bitcoin, whose owner leaves; the debtor owes a dollar."""
        opposite = account(OWNERS[2], -DOLLAR, LEGS)
        state = stage({VICTIM: held(-BITCOIN, 1_000), ATTACKER: opposite})
        assert venue.run(state, forced(constants.LEAVE)).codes == (c.OK,)
        return state

    STEP_BACK: Final = move(constants.CLOSE_STEP, other=ATTACKER)

    def test_off_he_keeps_the_head_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, rescue, WAITED, "    return False\n")
        state = self.state()
        now = flickered(state, NOW + PATIENCE, 20, 40, 20)
        assert python_chunk(state, self.STEP_BACK, timestamp=now).operation_codes == [c.UNSTEADY]

    def test_on_he_is_closed_as_a_debtor_once_the_head_has_waited(self) -> None:
        state = self.state()
        now = flickered(state, NOW + STEP, 20, 40, 20)
        assert venue.run(state, self.STEP_BACK, timestamp=now).codes == (c.UNSTEADY,)
        now = flickered(state, NOW + PATIENCE, 20, 40, 20)
        assert venue.run(state, self.STEP_BACK, timestamp=now).codes == (c.OK,)
        assert (size_of(state.account(VICTIM)), size_of(state.account(ATTACKER))) == (0, 0)
        assert venue.begun(state.commitment) == 0
        assert conservation(state).sound
