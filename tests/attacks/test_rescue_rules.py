"""Attacks by forced closes, deleveraging and the trades of insurance accounts, each with its rule off and on.

Off: the Python law without the rule, and the loss that follows. On: both twins, their code, and a state as it was.
"""

from typing import Any, Final

import pytest

from prover.signing import operations
from prover.state.audit import conservation
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, containers, custody, margin, replay, rescue
from tests.attacks.law_variants import python_chunk, rule_off
from tests.attacks.stage import (
    ATTACKER,
    BITCOIN,
    BTC,
    ETH,
    POOL,
    VICTIM,
    ask,
    bid,
    ceil,
    debts,
    forced,
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
from tests.twins.venue import DOLLAR, NOW, OWNERS, account, position


class TestH1ForcedClose:
    """A forced close is liquidity at the oracle price for whoever asks: it has a price, an order, an end."""

    def state(self, dollars: int = 60_000, fund: int = 10**6, **changes: Any) -> State:
        friend = {ATTACKER: held(-BITCOIN, 10**6, owner=OWNERS[2])}
        return stage({VICTIM: held(BITCOIN, dollars)} | friend, fund=fund, **changes)

    def close(self, lots: int = BITCOIN, other: int = 1, asked: int = BITCOIN, **fields: int) -> tuple[bytes, bytes]:
        entry = forced(constants.FORCED_CLOSE, amount=asked, **fields)
        return entry, move(constants.CLOSE_STEP, lots, other=other)

    def test_off_it_is_free(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(
            monkeypatch, rescue, "lots * judged.price[market] * constants.FORCED_PENALTY_PPM // constants.PPM", "0"
        )
        chunk = python_chunk(self.state(), *self.close())

        assert chunk.operation_codes == [c.OK, c.OK]
        assert value(row_of(chunk, VICTIM)) == 60_000 * DOLLAR
        assert value(row_of(chunk, 1)) == 10**6 * DOLLAR

    def test_on_one_percent_goes_to_the_other_side(self) -> None:
        state = self.state()
        assert venue.run(state, *self.close()).codes == (c.OK, c.OK)

        penalty = BITCOIN * BTC // 100
        assert value(state.account(VICTIM)) == 60_000 * DOLLAR - penalty
        assert value(state.account(1)) == 10**6 * DOLLAR + penalty
        assert conservation(state).sound

    def test_off_thin_margin_pays_all_it_has(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, rescue, "discount: int256 = min(penalty, spare)", "discount: int256 = penalty")
        chunk = python_chunk(self.state(300), *self.close(BITCOIN // 2, asked=BITCOIN // 2))

        assert chunk.operation_codes == [c.OK, c.OK]
        assert (size_of(row_of(chunk, VICTIM)), value(row_of(chunk, VICTIM))) == (BITCOIN // 2, 0)

    def test_on_equity_over_maintenance_stays_as_it_is(self) -> None:
        state = self.state(300)
        assert venue.run(state, *self.close(BITCOIN // 2, asked=BITCOIN // 2)).codes == (c.OK, c.OK)
        assert value(state.account(VICTIM)) == 150 * DOLLAR
        assert value(state.account(1)) == 10**6 * DOLLAR + 150 * DOLLAR

    def test_off_a_friend_takes_what_is_the_funds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, rescue, "    elif fund.code == codes.OK:\n        step.code = codes.FUND_FIRST\n")
        chunk = python_chunk(self.state(), *self.close(other=ATTACKER))

        assert chunk.operation_codes == [c.OK, c.OK]
        assert value(row_of(chunk, ATTACKER)) == 10**6 * DOLLAR + BITCOIN * BTC // 100
        assert value(row_of(chunk, 1)) == 10**6 * DOLLAR

    def test_on_the_fund_comes_first(self) -> None:
        state = self.state()
        entry, _ = self.close()
        assert venue.run(state, entry).codes == (c.OK,)
        assert_refused(state, move(constants.CLOSE_STEP, other=ATTACKER), code=c.FUND_FIRST)
        assert_refused(state, move(constants.CLOSE_STEP, other=VICTIM), code=c.SAME_ACCOUNT)
        assert (venue.begun(state.commitment), state.globals.head_lots) == (1, BITCOIN)

    def test_off_a_whale_leaves_its_position_with_a_small_fund(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(
            monkeypatch, rescue, "        refused.code = codes.FUND_LIMIT\n        return refused\n", "        pass\n"
        )
        chunk = python_chunk(self.state(fund=1_000), *self.close())

        assert chunk.operation_codes == [c.OK, c.OK]
        # A thousand dollars and the discount carry sixty thousand: five percent lower they are gone.
        assert debts([row_of(chunk, 1)], BTC * 95 // 100) == (3_000 - 600 - 1_000) * DOLLAR

    def test_on_the_fund_takes_what_it_can_carry(self) -> None:
        state = self.state(fund=1_000)
        entry, step = self.close()
        assert venue.run(state, entry).codes == (c.OK,)
        assert_refused(state, step, code=c.FUND_LIMIT)
        # Ten times a thousand dollars an hour.
        most = 10 * 1_000 * DOLLAR // BTC
        assert_refused(state, move(constants.CLOSE_STEP, most + 1, other=1), code=c.FUND_LIMIT)
        assert venue.run(state, move(constants.CLOSE_STEP, most, other=1)).codes == (c.OK,)
        assert (size_of(state.account(1)), state.globals.head_lots) == (most, BITCOIN - most)
        assert_refused(state, move(constants.CLOSE_STEP, other=1), code=c.FUND_LIMIT)
        # Then a position on the other side serves: nobody waits for the fund's next hour.
        assert venue.run(state, move(constants.CLOSE_STEP, other=ATTACKER)).codes == (c.OK,)
        assert (size_of(state.account(VICTIM)), state.commitment.queue_count) == (0, 1)
        assert conservation(state).sound

    def test_off_the_operator_closes_more_than_was_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(
            monkeypatch,
            replay,
            "move.lots if globals.head_market == constants.MARKETS else min(move.lots, globals.head_lots)",
            "move.lots",
        )
        chunk = python_chunk(self.state(), *self.close(asked=1_000))

        assert chunk.operation_codes == [c.OK, c.OK]
        assert value(row_of(chunk, VICTIM)) == 60_000 * DOLLAR - BITCOIN * BTC // 100
        assert size_of(row_of(chunk, VICTIM)) == 0

    def test_on_progress_is_kept_and_nothing_is_closed_twice(self) -> None:
        state = self.state()
        entry, step = self.close(400, asked=1_000)
        assert venue.run(state, entry, step, step).codes == (c.OK,) * 3
        assert (state.commitment.queue_count, state.globals.head_lots) == (0, 200)
        assert venue.run(state, step).codes == (c.OK,)
        assert size_of(state.account(VICTIM)) == BITCOIN - 1_000
        assert value(state.account(VICTIM)) == 60_000 * DOLLAR - 1_000 * BTC // 100
        assert (state.commitment.queue_count, venue.begun(state.commitment)) == (1, 0)
        assert_refused(state, step, code=c.NO_HEAD)

    # A position of 300,000 dollars.
    LARGE = 5 * BITCOIN

    def short(self) -> dict[int, containers.Account]:
        return {ATTACKER: held(-self.LARGE, 10**6, owner=OWNERS[2])}

    def test_off_a_close_is_a_put_for_the_operator(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Case C3: whoever steps waits for an hour, and takes the lots at the price before it or not at all.
        rule_off(monkeypatch, rescue, "return under.clock.priced or (young and under.tick_queued == 1)", "return True")
        state = stage({VICTIM: held(self.LARGE, 60_000)} | self.short())
        late, true = NOW + 55 * 60_000, BTC * 105 // 100
        close = forced(constants.FORCED_CLOSE, amount=self.LARGE)
        step = move(constants.CLOSE_STEP, self.LARGE, other=ATTACKER)
        chunk = python_chunk(state, close, step, timestamp=late)
        lost = value(state.account(VICTIM), true) - value(row_of(chunk, VICTIM), true)

        assert chunk.operation_codes == [c.OK, c.OK]
        assert lost == (15_000 + 3_000) * DOLLAR

    def test_on_a_step_takes_a_price_of_its_own_time(self) -> None:
        state = stage({VICTIM: held(self.LARGE, 60_000)} | self.short())
        step = move(constants.CLOSE_STEP, self.LARGE, other=ATTACKER)
        assert venue.run(state, forced(constants.FORCED_CLOSE, amount=self.LARGE)).codes == (c.OK,)
        assert_refused(state, step, code=c.UNSTEADY, timestamp=NOW + constants.MAX_PRICE_AGE + 1)
        # A watcher's tick passes the head, and so does whatever else waits.
        tick = venue.tick(NOW + constants.TICK_STEP, [BTC * 105 // 100, ETH, 1_500_000])[1:]
        entry = venue.entry(constants.FORCED_TICK, tick, venue.DEPOSITOR, NOW + constants.TICK_STEP)
        assert venue.run(state, entry, venue.deposit(containers.NOBODY, 5)).codes == (c.OK, c.REFUNDED)
        assert state.globals.risk.price[0] == BTC * 105 // 100
        # In silence it is over with an entry of half an hour later, and nothing was closed.
        passing = venue.about_nobody(NOW + constants.TICK_STEP + constants.HEAD_PATIENCE + 1)
        assert venue.run(state, passing, step).codes == (c.RESERVED, c.STALE)
        assert (size_of(state.account(VICTIM)), venue.begun(state.commitment)) == (self.LARGE, 0)

    def test_off_the_owner_bears_whatever_prices_come(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, rescue, "    if under.limit != 0 and away < 0:\n        return codes.LIMIT\n")
        state, now, operations = self.fallen()
        chunk = python_chunk(state, *operations, timestamp=now)

        assert chunk.operation_codes == [c.OK]
        assert value(state.account(VICTIM)) - value(row_of(chunk, VICTIM)) == (3_000 + 570) * DOLLAR

    def test_on_it_ends_beyond_its_limit(self) -> None:
        state, now, operations = self.fallen()
        assert venue.run(state, *operations, timestamp=now).codes == (c.LIMIT,)
        assert (size_of(state.account(VICTIM)), venue.begun(state.commitment)) == (BITCOIN, 0)

    def fallen(self) -> tuple[State, int, tuple[bytes]]:
        """A close at no less than today's price is under way, and prices fall by five percent: a step."""
        state = self.state()
        assert venue.run(state, forced(constants.FORCED_CLOSE, amount=BITCOIN, limit=BTC)).codes == (c.OK,)
        now = ticks(state, *[BTC * 95 // 100] * 2)
        return state, now, (move(constants.CLOSE_STEP, other=1),)


class TestPickedTicks:
    """Whoever orders chooses which signed ticks there are: forced paths use none that suits him alone."""

    HIGH = BTC * 103 // 100
    # A thousand dollars behind a bitcoin, eight hundred of them lost.
    LOW = BTC - 8_000
    SILENCE = constants.FORCED_PRICE_AGE + 1

    def closing(self, *prices: int, step: int = constants.TICK_STEP) -> tuple[State, int, tuple[bytes, bytes]]:
        """The operator's own long after these ticks, the time of the last, its entry and a step against the fund."""
        state = stage({VICTIM: held(BITCOIN, 60_000)}, fund=10**6)
        now = ticks(state, *prices, step=step)
        close = forced(constants.FORCED_CLOSE, amount=BITCOIN, time=now - 1), move(constants.CLOSE_STEP, other=1)
        return state, now, close

    def test_off_a_head_closes_at_one_wick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, rescue, "judged_at(False, under.risk, under.previous, settled)", "under.risk")
        state, now, operations = self.closing(BTC, self.HIGH)
        chunk = python_chunk(state, *operations, timestamp=now)

        assert chunk.operation_codes == [c.OK, c.OK]
        assert value(row_of(chunk, 1)) == (10**6 - 1_182) * DOLLAR

    @pytest.mark.parametrize("lots", [BITCOIN, -BITCOIN])
    def test_on_it_closes_at_the_worse_of_two_prices(self, lots: int) -> None:
        wick, fair = (self.HIGH, BTC) if lots > 0 else (BTC * 97 // 100, BTC)
        state = stage({VICTIM: held(lots, 60_000)}, fund=10**6)
        for prices in ((fair, wick), (fair,)):
            # The wick counts as little where it is the price before the last.
            now = ticks(state, *prices)
            half = abs(lots) // 2
            entry = forced(constants.FORCED_CLOSE, amount=half, time=now - 1)
            step = move(constants.CLOSE_STEP, half, other=1)
            assert venue.run(state, entry, step, timestamp=now).codes == (c.OK, c.OK)
        assert value(state.account(VICTIM)) == 60_000 * DOLLAR - BITCOIN * BTC // 100
        assert value(state.account(1)) == 10**6 * DOLLAR + BITCOIN * BTC // 100
        assert conservation(state).sound

    def test_on_it_keeps_who_is_only_solvent_in_the_wick(self) -> None:
        # A thousand dollars below zero but for the wick: it waits, and the next tick says that it is for deleveraging.
        state = stage({VICTIM: held(BITCOIN, -1_000)}, fund=10**6)
        now = ticks(state, BTC, self.HIGH)
        entry, step = forced(constants.FORCED_CLOSE, amount=BITCOIN, time=now - 1), move(constants.CLOSE_STEP, other=1)
        assert venue.run(state, entry, step, timestamp=now).codes == (c.OK, c.UNSTEADY)
        now = ticks(state, BTC, BTC)
        assert venue.run(state, step, timestamp=now).codes == (c.INSOLVENT,)
        assert (state.commitment.queue_count, size_of(state.account(VICTIM))) == (1, BITCOIN)

    WAIT = "    if waits(under, settled):\n        return codes.UNSTEADY\n    return codes.INSOLVENT\n"

    @pytest.mark.parametrize("tag", [constants.FORCED_CLOSE, constants.LEAVE])
    def test_off_an_entry_that_comes_in_a_wick_is_not_begun(self, monkeypatch: pytest.MonkeyPatch, tag: int) -> None:
        # Begun only by whoever is solvent at the last price: one that the operator picked.
        sums = "margin.collateral(settled) + margin.sums(risk, settled, constants.MARKETS).value >= 0"
        rule_off(monkeypatch, custody, "entered.opened = ", f"entered.opened = {sums} and ")
        state, now, entry = self.entering(tag)
        chunk = python_chunk(state, entry, timestamp=now)

        assert (chunk.commitment.queue_count, venue.begun(chunk.commitment)) == (1, 0)
        assert size_of(row_of(chunk, VICTIM)) == BITCOIN

    @pytest.mark.parametrize("tag", [constants.FORCED_CLOSE, constants.LEAVE])
    def test_on_it_is_begun_and_closed_at_the_next_ticks(self, tag: int) -> None:
        state, now, entry = self.entering(tag)
        step = move(constants.CLOSE_STEP, other=1)
        assert venue.run(state, entry, step, timestamp=now).codes == (c.OK, c.UNSTEADY)
        now = ticks(state, BTC, BTC)
        assert venue.run(state, step, timestamp=now).codes == (c.OK,)
        assert (size_of(state.account(VICTIM)), venue.begun(state.commitment)) == (0, 0)

    def entering(self, tag: int) -> tuple[State, int, bytes]:
        """1,473 dollars behind a bitcoin, of which the last tick's three percent leave nothing, and an entry."""
        state = stage({VICTIM: held(BITCOIN, 1_473)}, fund=10**6)
        now = ticks(state, BTC, BTC * 97 // 100)
        return state, now, forced(tag, amount=BITCOIN, time=now - 1)

    def leaving(self) -> tuple[State, int, bytes]:
        """1,473 dollars behind a bitcoin, of which a wick of three percent left nothing; his leave is under way."""
        state = stage({VICTIM: held(BITCOIN, 1_473)}, fund=10**6)
        now = ticks(state, BTC, BTC * 97 // 100, BTC)
        assert venue.run(state, forced(constants.LEAVE, time=now - 1), timestamp=now).codes == (c.OK,)
        return state, now, move(constants.CLOSE_STEP, other=1)

    def test_off_one_wick_is_rid_of_who_leaves(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state, now, step = self.leaving()
        rule_off(monkeypatch, rescue, self.WAIT, "    return codes.INSOLVENT\n")
        chunk = python_chunk(state, step, timestamp=now)

        assert (chunk.operation_codes, venue.begun(chunk.commitment)) == ([c.INSOLVENT], 0)
        assert size_of(row_of(chunk, VICTIM)) == BITCOIN

    def test_on_he_waits_for_a_tick_and_is_closed(self) -> None:
        state, now, step = self.leaving()
        assert_refused(state, step, code=c.UNSTEADY, timestamp=now)
        now = ticks(state, BTC)
        assert venue.run(state, step, timestamp=now).codes == (c.OK,)
        assert (venue.begun(state.commitment), state.commitment.withdrawn_total) == (0, 873 * DOLLAR)

        # Where no tick comes for long it must not stop the queue.
        state, now, step = self.leaving()
        passing = venue.about_nobody(now + constants.HEAD_PATIENCE + 1)
        assert venue.run(state, passing, step).codes == (c.RESERVED, c.STALE)
        assert venue.begun(state.commitment) == 0

    def test_off_a_head_closes_at_two_picked_wicks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, rescue, "not under.clock.steady or under.tick_time", "under.tick_time")
        state, now, operations = self.closing(self.HIGH, self.HIGH, step=20_000)
        chunk = python_chunk(state, *operations, timestamp=now)

        assert chunk.operation_codes == [c.OK, c.OK]
        assert value(row_of(chunk, 1)) == (10**6 - 1_182) * DOLLAR

    def test_on_it_waits_for_three_ticks_in_a_row(self) -> None:
        state, now, (entry, step) = self.closing(self.HIGH, self.HIGH, step=20_000)
        assert venue.run(state, entry, timestamp=now).codes == (c.OK,)
        for later in (now, now + self.SILENCE, now + constants.HEAD_PATIENCE):
            assert_refused(state, step, code=c.UNSTEADY, timestamp=later)

        state, now, (entry, step) = self.closing(self.HIGH, self.HIGH, step=20_000)
        assert venue.run(state, entry, timestamp=now).codes == (c.OK,)
        now = ticks(state, BTC, BTC)
        assert venue.run(state, step, timestamp=now).codes == (c.OK,)
        assert value(state.account(1)) == (10**6 + 600) * DOLLAR

    def thin(self, *prices: int, step: int = 20_000) -> tuple[State, int]:
        """A thousand dollars behind a bitcoin after these ticks, and the time of the last."""
        state = stage({VICTIM: held(BITCOIN, 1_000)}, fund=10**6)
        return state, ticks(state, *prices, step=step)

    def test_off_two_picked_wicks_take_an_account_whole(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = (
            "    if not under.clock.steady and under.clock.now <= under.tick_time + constants.FORCED_PRICE_AGE:\n"
            "        return codes.UNSTEADY\n    return codes.OK\n\n\ndef check_forced("
        )
        rule_off(monkeypatch, rescue, rule, "    return codes.OK\n\n\ndef check_forced(")
        state, now = self.thin(self.LOW, self.LOW)
        chunk = python_chunk(state, forced_rescue(time=now), timestamp=now)

        assert chunk.operation_codes == [c.OK]
        assert (size_of(row_of(chunk, VICTIM)), value(row_of(chunk, VICTIM))) == (0, 0)

    def test_on_a_forced_rescue_waits_in_the_queue(self) -> None:
        state, now = self.thin(self.LOW, self.LOW)
        before = state.commitment
        entry = forced_rescue(time=now)
        assert venue.run(state, entry, entry, timestamp=now).codes == (c.UNSTEADY, c.UNSTEADY)
        after = state.commitment
        assert (after.queue_count, after.queue_taken, after.queue_hash) == (
            before.queue_count,
            before.queue_taken,
            before.queue_hash,
        )
        # The wick passes, and so does the entry.
        now = ticks(state, BTC, BTC, BTC)
        assert venue.run(state, entry, timestamp=now).codes == (c.HEALTHY,)
        assert (state.commitment.queue_count, size_of(state.account(VICTIM))) == (1, BITCOIN)

    def test_off_one_tick_left_out_is_rid_of_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, replay, "        if code in UNCONSUMED:\n", "        if False:\n")
        state, now = self.thin(self.LOW, self.LOW, self.LOW, step=10_000)
        chunk = python_chunk(state, forced_rescue(time=now), timestamp=now)

        assert (chunk.operation_codes, chunk.commitment.queue_count) == ([c.UNSTEADY], 1)
        assert size_of(row_of(chunk, VICTIM)) == BITCOIN

    def test_on_neither_gaps_nor_silence_are_rid_of_it(self) -> None:
        state, now = self.thin(self.LOW, self.LOW, self.LOW, step=10_000)
        entry = forced_rescue(time=now)
        assert venue.run(state, entry, timestamp=now).codes == (c.UNSTEADY,)
        quiet = now + self.SILENCE
        assert venue.run(state, entry, timestamp=quiet).codes == (c.OK,)
        assert size_of(state.account(VICTIM)) == 0

        state, now = self.thin(self.LOW, self.LOW, self.LOW, step=10_000)
        entry = forced_rescue(time=now)
        assert venue.run(state, entry, timestamp=now).codes == (c.UNSTEADY,)
        now = ticks(state, self.LOW, self.LOW)
        assert venue.run(state, entry, timestamp=now).codes == (c.OK,)
        assert size_of(state.account(VICTIM)) == 0

    def test_off_a_rescue_of_nobody_holds_the_queue(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = "    if forced and account.owner == containers.NOBODY:\n        ended.code = codes.NO_ACCOUNT\n"
        waits = "    if not under.clock.steady:\n        ended.code = codes.UNSTEADY\n"
        rule_off(monkeypatch, rescue, rule, waits)
        state, now = self.thin(self.LOW, self.LOW)
        chunk = python_chunk(state, forced_rescue(9_999, time=now), timestamp=now)

        assert (chunk.operation_codes, chunk.commitment.queue_count) == ([c.UNSTEADY], 0)

    def test_on_what_can_never_be_done_is_done_with(self) -> None:
        state, now = self.thin(self.LOW, self.LOW)
        assert venue.run(state, forced_rescue(9_999, time=now), timestamp=now).codes == (c.NO_ACCOUNT,)
        assert state.commitment.queue_count == 1

    LATER = NOW + constants.HOUR

    def forced_tick(self, time: int) -> bytes:
        """A tick of that time that somebody enqueues an hour after what the chunk's clock says."""
        payload = venue.tick(time, [self.LOW, ETH, 1_500_000])[1:]
        return venue.entry(constants.FORCED_TICK, payload, venue.DEPOSITOR, self.LATER)

    def test_off_a_lagging_clock_spoils_a_forced_tick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, replay, "self._go_on(encoding.entry_time(head))", "self._go_on(began)")
        chunk = python_chunk(stage({}), self.forced_tick(self.LATER))

        assert (chunk.operation_codes, chunk.commitment.queue_count) == ([c.OFF_GRID], 1)
        assert chunk.globals.risk.price[0] == BTC

    def test_on_a_forced_tick_is_judged_at_its_entry(self) -> None:
        state = stage({})
        assert venue.run(state, self.forced_tick(self.LATER)).codes == (c.OK,)
        assert (state.globals.risk.price[0], state.globals.tick_time) == (self.LOW, self.LATER)
        ahead = self.LATER + constants.CLOCK_TOLERANCE + constants.TICK_STEP
        assert_refused(stage({}), self.forced_tick(ahead), code=c.OFF_GRID)


class TestEveryHeadHasAnEnd:
    """Nobody on the other side can keep somebody from leaving, and with him the whole queue."""

    LEAVE = forced(constants.LEAVE)

    def fund_is_short(self, dollars: int) -> State:
        """The fund holds all of the other side on so many dollars."""
        fund = held(-BITCOIN, dollars, owner=containers.NOBODY)
        return stage({VICTIM: held(BITCOIN, 60_000), 1: fund, 19: venue.account(OWNERS[3])})

    @pytest.mark.parametrize("dollars", [500, -500])
    def test_off_a_fund_in_trouble_keeps_him(self, monkeypatch: pytest.MonkeyPatch, dollars: int) -> None:
        state = self.fund_is_short(dollars)
        rule_off(monkeypatch, rescue, "grown + paid_out > 0", "True")
        step = move(constants.CLOSE_STEP, BITCOIN // 4, other=1)
        chunk = python_chunk(state, self.LEAVE, step, venue.deposit(containers.NOBODY, 10**12))

        # What is in the queue passes, and he never leaves: the operator is late, and takes nothing else any more.
        assert chunk.operation_codes == [c.OK, c.FUND_LIMIT, c.REFUNDED]
        assert (chunk.commitment.queue_count, chunk.commitment.queue_taken) == (0, 2)

    @pytest.mark.parametrize("dollars", [500, -500])
    def test_on_a_fund_lets_go_what_makes_it_smaller(self, dollars: int) -> None:
        state = self.fund_is_short(dollars)
        parts = [move(constants.CLOSE_STEP, lots, other=1) for lots in (BITCOIN // 4, BITCOIN)]
        assert venue.run(state, self.LEAVE, *parts).codes == (c.OK, c.OK, c.OK)
        assert (venue.begun(state.commitment), size_of(state.account(1))) == (0, 0)
        assert value(state.account(1)) == dollars * DOLLAR + BITCOIN * BTC // 100
        assert conservation(state).sound

    def test_on_more_than_that_still_needs_money(self) -> None:
        fund = held(-BITCOIN // 4, 500, owner=containers.NOBODY)
        state = stage({VICTIM: held(BITCOIN, 60_000), 1: fund})
        assert venue.run(state, self.LEAVE).codes == (c.OK,)
        assert_refused(state, move(constants.CLOSE_STEP, BITCOIN, other=1), code=c.FUND_LIMIT)
        assert venue.run(state, move(constants.CLOSE_STEP, BITCOIN // 4, other=1)).codes == (c.OK,)

    def debtor_is_short(self, owed: int, won: int = 0, fund: int = 0) -> State:
        """Whoever holds the other side owes so many dollars; the victim has won so many."""
        debtor = held(-BITCOIN, -owed, owner=OWNERS[2])
        entry = BTC - won * DOLLAR // BITCOIN
        return stage({VICTIM: held(BITCOIN, 60_000 - won, entry), ATTACKER: debtor}, fund=fund)

    def test_off_a_debtor_keeps_him(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state = self.debtor_is_short(1_000)
        rule = "    # A debtor is closed too"
        rule_off(monkeypatch, rescue, rule, f"    return codes.INDEBTED, 0\n{rule}")
        chunk = python_chunk(state, self.LEAVE, move(constants.CLOSE_STEP, BITCOIN, other=ATTACKER))

        assert chunk.operation_codes == [c.OK, c.INDEBTED]

    @pytest.mark.parametrize(
        ("won", "fund", "borne", "paid", "over"),
        [
            (0, 0, 0, 0, 0),
            (600, 0, 0, 0, 0),
            (1_100, 0, 500, 0, 0),
            (5_000, 0, 1_400, 0, 0),
            (1_100, 800, 500, 200, 0),
            (0, 5_600, 0, 1_400, 0),
            (5_000, 800, 1_400, 0, 0),
            (0, 0, 0, 0, 500),
        ],
        ids=[
            "nothing won",
            "won no more than the penalty",
            "won some",
            "won more than is missing",
            "the fund pays what it may of the rest",
            "the fund pays all",
            "the fund pays nothing before whoever leaves",
            "the penalty is more than is missing",
        ],
    )
    def test_on_a_debtor_lets_go_and_what_was_won_pays_for_him(
        self, won: int, fund: int, borne: int, paid: int, over: int
    ) -> None:
        owed = 600 - over if over else 2_000
        state = self.debtor_is_short(owed, won, fund)
        step = move(constants.CLOSE_STEP, BITCOIN, other=ATTACKER)
        assert venue.run(state, self.LEAVE).codes == (c.OK,)
        assert_refused(state, move(constants.CLOSE_STEP, BITCOIN, other=1), code=c.FUND_LIMIT)
        assert venue.run(state, step).codes == (c.OK,)
        assert (venue.begun(state.commitment), size_of(state.account(ATTACKER))) == (0, 0)
        # The penalty counts as his; what is missing then is borne, paid, and taken or owed.
        assert value(state.account(ATTACKER)) == over * DOLLAR
        assert value(state.account(1)) == (fund - paid) * DOLLAR
        assert state.globals.pool.owed == (0 if over else owed - 600 - borne - paid) * DOLLAR
        left = value(state.account(VICTIM)) + state.commitment.withdrawn_total
        assert left == (60_000 - 600 - borne) * DOLLAR
        assert conservation(state).sound

    def test_on_a_wick_makes_nobody_a_debtor(self) -> None:
        """A thousand dollars behind a short bitcoin: a price two percent higher is not believed at once."""
        state = stage({VICTIM: held(BITCOIN, 60_000), ATTACKER: held(-BITCOIN, 1_000, owner=OWNERS[2])})
        now = ticks(state, BTC, BTC * 102 // 100)
        step = move(constants.CLOSE_STEP, BITCOIN, other=ATTACKER)
        assert venue.run(state, forced(constants.LEAVE, time=now - 1), timestamp=now).codes == (c.OK,)
        assert_refused(state, step, code=c.UNSTEADY, timestamp=now)
        now = ticks(state, BTC * 102 // 100)
        assert venue.run(state, step, timestamp=now).codes == (c.OK,)
        assert size_of(state.account(ATTACKER)) == 0

    def test_off_a_profit_leaves_its_debtor_behind(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state = self.debtor_is_short(1_000, 5_000)
        rule_off(monkeypatch, rescue, "max(min(missing, most), 0)", "0")
        chunk = python_chunk(state, self.LEAVE, move(constants.CLOSE_STEP, BITCOIN, other=ATTACKER))

        assert chunk.operation_codes == [c.OK, c.OK]
        assert chunk.globals.pool.receivable == 400 * DOLLAR

    IDLE = "            step.code = codes.OVERFILLED\n            return step\n        step.account"

    def test_off_idle_steps_count_as_steps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state = stage({VICTIM: held(BITCOIN, 60_000)}, fund=10**6)
        rule_off(monkeypatch, rescue, self.IDLE, "            pass\n        step.account")
        chunk = python_chunk(state, self.LEAVE, *[move(constants.CLOSE_STEP, 1, other=2, market=1)] * 5)

        assert chunk.operation_codes == [c.OK] * 6

    def test_on_a_step_closes_something_or_is_none(self) -> None:
        state = stage({VICTIM: held(BITCOIN, 60_000)}, fund=10**6)
        assert venue.run(state, self.LEAVE).codes == (c.OK,)
        assert_refused(state, move(constants.CLOSE_STEP, 1, other=2, market=1), code=c.OVERFILLED)
        # Of one market that is gone a step ends the entry, whatever else is held.
        other = stage({VICTIM: held(BITCOIN, 60_000)}, fund=10**6)
        assert venue.run(other, forced(constants.FORCED_CLOSE, amount=BITCOIN)).codes == (c.OK,)
        assert venue.run(other, move(constants.CLOSE_STEP, BITCOIN, other=1)).codes == (c.OK,)
        assert venue.begun(other.commitment) == 0


class TestNotTheLargest:
    """A loser with two positions of one requirement: before each entry a lot decides which is the larger one."""

    LOTS = ((0, 1), (1, 3), (0, 2), (1, 4))
    HALF = "    if equity < 0 or required * 2 >= "
    NEVER = "    if market == first or 0 > "

    def state(self, dollars: int, short: int = 2) -> State:
        positions = {0: position(-BITCOIN, -BITCOIN * BTC), 1: position(-short * BITCOIN, -short * BITCOIN * ETH)}
        return stage({VICTIM: account(OWNERS[1], dollars * DOLLAR, positions)}, fund=10**6)

    @staticmethod
    def named(market: int) -> bytes:
        payload = operations.forced_rescue_payload(market, VICTIM, operations.ALL_LOTS)
        return venue.entry(constants.FORCED_RESCUE, payload, venue.DEPOSITOR)

    def moves(self, tag: int) -> list[bytes]:
        """What whoever orders does in front of each entry, and the entry."""
        pairs = ((move(tag, lots, market=market), self.named(market)) for market, lots in self.LOTS)
        return [operation for pair in pairs for operation in pair]

    def test_off_no_entry_finds_the_larger_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, rescue, self.HALF, self.NEVER)
        chunk = python_chunk(self.state(-2_000), *self.moves(constants.DELEVERAGE))

        assert chunk.operation_codes == [c.OK, c.NOT_LARGEST] * 4
        assert chunk.commitment.queue_count == 4
        assert size_of(row_of(chunk, VICTIM)) == 3 - BITCOIN

    def test_on_below_zero_all_that_is_held_may_be_named(self) -> None:
        state = self.state(-2_000, short=8)
        assert venue.run(state, *self.moves(constants.DELEVERAGE)[:4]).codes == (c.OK,) * 4
        assert state.account(VICTIM).positions == [containers.EMPTY] * constants.MARKETS
        assert (value(state.account(VICTIM)), value(state.account(1))) == (0, 999_600 * DOLLAR)
        assert state.globals.pool.owed == 1_600 * DOLLAR
        assert conservation(state).sound

    def test_on_above_zero_what_is_half_as_large(self) -> None:
        for by_whom in (move(constants.TAKE_OVER, 1), self.named(0)):
            assert venue.run(self.state(400, short=4), by_whom).codes == (c.OK,)
        # A requirement that is a lot less than half.
        positions = {0: position(1 - BITCOIN, (1 - BITCOIN) * BTC), 1: position(-4 * BITCOIN, -4 * BITCOIN * ETH)}
        state = stage({VICTIM: account(OWNERS[1], 400 * DOLLAR, positions)}, fund=10**6)
        assert_refused(state, move(constants.TAKE_OVER, 1), code=c.NOT_LARGEST)
        assert_refused(state, self.named(0), code=c.NOT_LARGEST)


class TestH2Deleverage:
    """Whoever is in profit pays for others only what the fund cannot, and never more than he has won."""

    HOLE = 1_000

    def state(self, won: int = 5_000, fund: int = 0, hole: int = HOLE, micros: int = 0) -> State:
        """A long below zero by a thousand dollars, and a short that has won so many at the price of today.

        The fund has so many dollars and micro-dollars.
        """
        winner = account(OWNERS[2], 10_000 * DOLLAR, {0: position(-BITCOIN, -BITCOIN * BTC - won * DOLLAR)})
        insurance = account(containers.NOBODY, fund * DOLLAR + micros)
        return stage({1: insurance, VICTIM: held(BITCOIN, -hole), ATTACKER: winner})

    deleverage = move(constants.DELEVERAGE, other=ATTACKER)

    def test_off_the_winner_pays_before_the_fund(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(
            monkeypatch, rescue, "paid_out: int256 = min(premium, affordable(under, paying))", "paid_out: int256 = 0"
        )
        chunk = python_chunk(self.state(fund=10_000), self.deleverage)

        assert chunk.operation_codes == [c.OK]
        assert value(row_of(chunk, ATTACKER)) == (10_000 + 5_000 - self.HOLE) * DOLLAR
        assert value(row_of(chunk, 1)) == 10_000 * DOLLAR

    @pytest.mark.parametrize("fund", [0, 1, 2_000, 3_999, 4_000, 10_000])
    def test_on_the_fund_pays_a_quarter_of_itself_first(self, fund: int) -> None:
        state = self.state(fund=fund)
        assert venue.run(state, self.deleverage).codes == (c.OK,)

        paid = min(self.HOLE * DOLLAR, fund * DOLLAR // 4)
        assert value(state.account(1)) == fund * DOLLAR - paid
        assert value(state.account(ATTACKER)) == 15_000 * DOLLAR - (self.HOLE * DOLLAR - paid)
        assert value(state.account(VICTIM)) == 0
        assert state.globals.markets[0].paid_out == paid
        assert conservation(state).sound

    @pytest.mark.parametrize("won", [-5, 0, 1, 999])
    def test_off_somebody_pays_more_than_he_has_won(self, monkeypatch: pytest.MonkeyPatch, won: int) -> None:
        rule_off(monkeypatch, rescue, "min(rest, min(won, spare))", "rest")
        chunk = python_chunk(self.state(won), self.deleverage)

        assert chunk.operation_codes == [c.OK]
        assert value(row_of(chunk, ATTACKER)) == (10_000 + won - self.HOLE) * DOLLAR < 10_000 * DOLLAR

    @pytest.mark.parametrize("won", [-5, 0, 1, 999])
    def test_on_only_profit_pays(self, won: int) -> None:
        state = self.state(won)
        assert venue.run(state, self.deleverage).codes == (c.OK,)
        assert value(state.account(ATTACKER)) == (10_000 + min(won, 0)) * DOLLAR
        assert value(state.account(VICTIM)) == 0
        # Nobody has unsettled money here.
        assert state.globals.pool.owed == (self.HOLE - max(won, 0)) * DOLLAR
        assert conservation(state).sound

    def test_on_profit_pays_to_the_last(self) -> None:
        state = self.state(self.HOLE)
        assert venue.run(state, self.deleverage).codes == (c.OK,)
        assert value(state.account(ATTACKER)) == 10_000 * DOLLAR

    def test_on_a_part_of_a_position_pays_a_part_of_its_profit(self) -> None:
        # A hundredth of the lots has won ten dollars of the thousand: the eleventh is a debt.
        part = move(constants.DELEVERAGE, BITCOIN // 100, other=ATTACKER)
        for hole, owed in ((1_100, DOLLAR), (1_000, 0)):
            state = self.state(1_000, hole=hole)
            assert venue.run(state, part).codes == (c.OK,)
            assert value(state.account(ATTACKER)) == (10_000 + 990) * DOLLAR
            assert state.globals.pool.owed == owed

    @pytest.mark.parametrize("won", [-10_000, -9_999, -5, 0])
    def test_on_a_loser_is_closed_where_the_fund_pays_all(self, won: int) -> None:
        # Down to no equity at all, which is no debt.
        state = self.state(won, fund=4_000)
        assert venue.run(state, self.deleverage).codes == (c.OK,)

        assert (size_of(state.account(VICTIM)), size_of(state.account(ATTACKER))) == (0, 0)
        assert value(state.account(ATTACKER)) == (10_000 + won) * DOLLAR
        assert value(state.account(VICTIM)) == 0
        assert value(state.account(1)) == (4_000 - self.HOLE) * DOLLAR
        assert conservation(state).sound

    @pytest.mark.parametrize("won", [-10_000, -9_999, -5, 0])
    @pytest.mark.parametrize("lots", [BITCOIN, BITCOIN // 2])
    def test_on_a_loser_bears_not_a_micro_dollar(self, won: int, lots: int) -> None:
        # A quarter of the fund is a micro-dollar short of what those lots are below zero.
        part = move(constants.DELEVERAGE, lots, other=ATTACKER)
        short = self.state(won, micros=4 * self.HOLE * DOLLAR * lots // BITCOIN - 1)
        assert venue.run(short, part).codes == (c.OK,)
        assert (value(short.account(ATTACKER)), short.globals.pool.owed) == ((10_000 + won) * DOLLAR, 1)
        enough = self.state(won, micros=4 * self.HOLE * DOLLAR * lots // BITCOIN)
        assert venue.run(enough, part).codes == (c.OK,)
        assert value(enough.account(ATTACKER)) == (10_000 + won) * DOLLAR

    def test_off_a_debtor_loses_what_his_debt_stands_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, rescue, "return codes.INDEBTED, 0", "return codes.OK, 0")
        chunk = python_chunk(self.state(-10_001, fund=4_000), self.deleverage)

        assert chunk.operation_codes == [c.OK]
        assert (size_of(row_of(chunk, ATTACKER)), value(row_of(chunk, ATTACKER))) == (0, -DOLLAR)

    def test_on_a_debtor_keeps_his_position(self) -> None:
        assert_refused(self.state(-10_001, fund=4_000), self.deleverage, code=c.INDEBTED)

    def test_off_a_healthy_account_is_closed_against_a_chosen_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = "margin.equity(judged, settled) >= 0:\n        refused.code = codes.HEALTHY\n"
        rule_off(monkeypatch, rescue, rule, rule.replace(">= 0", ">= 10**30"))
        chunk = python_chunk(self.state(hole=-50_000), self.deleverage)

        assert chunk.operation_codes == [c.OK]
        assert (size_of(row_of(chunk, VICTIM)), size_of(row_of(chunk, ATTACKER))) == (0, 0)

    @pytest.mark.parametrize("dollars", [0, 1, 719, 50_000])
    def test_on_only_who_is_below_zero_is_deleveraged(self, dollars: int) -> None:
        assert_refused(self.state(hole=-dollars), self.deleverage, code=c.HEALTHY)

    def test_off_the_winner_is_left_below_maintenance(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, rescue, "min(rest, min(won, spare))", "min(rest, won)")
        chunk = python_chunk(self.indebted(), self.deleverage)

        assert chunk.operation_codes == [c.OK]
        assert value(row_of(chunk, ATTACKER)) == 0

    def test_on_the_winner_keeps_his_equity_over_maintenance(self) -> None:
        # He bears an eleventh less than all that he has: so much of what he requires stands elsewhere.
        state = self.indebted()
        assert venue.run(state, self.deleverage).codes == (c.OK,)
        assert value(state.account(ATTACKER)) == ceil(100 * DOLLAR, 11)
        pool = state.globals.pool
        assert pool.receivable + pool.owed == self.HOLE * DOLLAR - 100 * DOLLAR * 10 // 11
        assert conservation(state).sound

    @pytest.mark.parametrize(("equity", "left"), [(792, 72), (1_000, 72), (2_000, 1_000)])
    def test_on_the_winner_stays_above_maintenance(self, equity: int, left: int) -> None:
        state = self.indebted(equity)
        assert venue.run(state, self.deleverage).codes == (c.OK,)
        assert value(state.account(ATTACKER)) == left * DOLLAR

    def indebted(self, equity: int = 100) -> State:
        """A winner of 5,000 dollars who has lost all but a hundred of them elsewhere; 72 of 792 are required there."""
        legs = {0: position(-BITCOIN, -BITCOIN * BTC - 5_000 * DOLLAR), 1: position(20_000, 20_000 * ETH)}
        winner = account(OWNERS[2], (equity - 5_000) * DOLLAR, legs)
        return stage({VICTIM: held(BITCOIN, -self.HOLE), ATTACKER: winner})

    def test_on_the_other_side_is_the_other_side(self) -> None:
        for lots in (BITCOIN, -BITCOIN + 1):
            state = stage({VICTIM: held(BITCOIN, -1), ATTACKER: held(lots, 10**4, owner=OWNERS[2])})
            assert_refused(state, self.deleverage, code=c.NO_OPPOSITE)


class TestRoundTrip:
    """Somebody leaves by force against a fund and has his lots back by a bid of his own at the fund's widest band."""

    LOTS = 1_600_000

    def won(self, band: int) -> int:
        """Dollars that both of his accounts have won of the fund."""
        rows = {VICTIM: held(self.LOTS, 200_000), ATTACKER: account(OWNERS[2], 200_000 * DOLLAR)}
        state = stage(rows, fund=100_000, market={"unwind_band_ppm": band})
        entry = forced(constants.FORCED_CLOSE, time=NOW + 1, amount=self.LOTS)
        assert venue.run(state, entry, timestamp=NOW + 1).codes == (c.OK,)
        now = ticks(state, BTC, BTC, BTC)
        assert venue.run(state, move(constants.CLOSE_STEP, self.LOTS, other=1), timestamp=now).codes == (c.OK,)
        order = bid(BTC - BTC * band // constants.PPM, self.LOTS, now)
        assert venue.run(state, order, move(constants.UNWIND, self.LOTS), timestamp=now).codes == (c.OK,) * 2
        assert conservation(state).sound
        return (value(state.account(VICTIM)) + value(state.account(ATTACKER))) // DOLLAR - 400_000

    def test_off_a_band_of_two_percent_gives_back_more_than_was_paid(self) -> None:
        """What the law's ranges allowed: one percent of 960,000 dollars an hour."""
        assert self.won(20_000) == 9_600

    def test_on_he_pays_half_of_the_penalty_at_the_least(self) -> None:
        assert constants.MOST_UNWIND_BAND_PPM * 2 == constants.FORCED_PENALTY_PPM
        assert self.won(constants.MOST_UNWIND_BAND_PPM) == -4_800


class TestH6Unwind:
    """The operator sells what the fund has taken over: not to itself below the market, not without end."""

    def state(self, fund: int = 10_000) -> State:
        return stage({1: held(BITCOIN, fund, owner=containers.NOBODY)})

    def test_off_the_fund_sells_below_the_market(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = "    if closed * (price - oracle) * constants.PPM + away < 0:\n"
        rule_off(monkeypatch, rescue, rule, "    if False:\n")
        low = BTC * 95 // 100
        chunk = python_chunk(self.state(), bid(low), move(constants.UNWIND))

        assert chunk.operation_codes[-1] == c.OK
        assert value(row_of(chunk, 1)) == (10_000 - 3_000) * DOLLAR
        assert value(row_of(chunk, ATTACKER)) == (10**6 + 3_000) * DOLLAR

    def test_on_ten_basis_points_are_the_end(self) -> None:
        state, worst = self.state(), BTC - BTC // 1_000
        for price in (worst - 1, BTC * 95 // 100):
            assert_refused(state, bid(price), move(constants.UNWIND), code=c.PRICE_BAND)
        assert venue.run(state, bid(worst), move(constants.UNWIND)).codes == (c.OK, c.OK)
        assert value(state.account(1)) == 10_000 * DOLLAR - BITCOIN * BTC // 1_000
        assert conservation(state).sound

    @pytest.mark.parametrize(("band", "worst"), [(100, BTC - 60), (7_000, BTC - 4_200), (20_000, BTC - 12_000)])
    def test_on_the_band_is_the_markets_own(self, band: int, worst: int) -> None:
        for sign in (1, -1):
            row = held(sign * BITCOIN, 10_000, owner=containers.NOBODY)
            state = stage({1: row}, market={"unwind_band_ppm": band})
            order, price = (bid, worst) if sign > 0 else (ask, 2 * BTC - worst)
            assert_refused(state, order(price - sign), move(constants.UNWIND), code=c.PRICE_BAND)
            assert venue.run(state, order(price), move(constants.UNWIND)).codes == (c.OK, c.OK)

    COARSE: Final = 20

    def coarse(self) -> State:
        """A price of twenty ticks: one of them is five percent."""
        globals = venue.free_of_charge(streak=constants.STEADY_TICKS)
        globals.markets[0].band_ppm, globals.markets[0].minimum_notional = 500_000, 1
        globals.risk.price = [self.COARSE, *globals.risk.price[1:]]
        rows = {1: held(BITCOIN, 10_000, self.COARSE, owner=containers.NOBODY), VICTIM: account()}
        rows |= {ATTACKER: account(OWNERS[2], 10**6 * DOLLAR)}
        rows |= {POOL: held(-BITCOIN, 10**6, self.COARSE, owner=OWNERS[3])}
        return venue.balanced(globals, rows)

    def test_off_nothing_is_within_a_tick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = "max(turned_over * under.listed.unwind_band_ppm, move.lots * constants.PPM)"
        rule_off(monkeypatch, rescue, rule, "turned_over * under.listed.unwind_band_ppm")
        chunk = python_chunk(self.coarse(), bid(self.COARSE - 1), move(constants.UNWIND))
        assert chunk.operation_codes[-1] == c.PRICE_BAND

    def test_on_one_tick_is_always_within_it(self) -> None:
        state = self.coarse()
        assert_refused(state, bid(self.COARSE - 2), move(constants.UNWIND), code=c.PRICE_BAND)
        assert venue.run(state, bid(self.COARSE - 1), move(constants.UNWIND)).codes == (c.OK, c.OK)

    def test_off_it_opens_the_other_side(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule = "    if abs(held.size) < move.lots:\n        refused.code = codes.OVERFILLED\n        return refused\n"
        rule_off(monkeypatch, rescue, rule)
        chunk = python_chunk(self.state(20_000), bid(BTC, 3 * BITCOIN), move(constants.UNWIND, 3 * BITCOIN))

        assert chunk.operation_codes[-1] == c.OK
        assert size_of(row_of(chunk, 1)) == -2 * BITCOIN

    def test_on_it_only_reduces(self) -> None:
        state = self.state(20_000)
        assert_refused(state, bid(BTC, 3 * BITCOIN), move(constants.UNWIND, BITCOIN + 1), code=c.OVERFILLED)
        assert_refused(state, ask(BTC, 3 * BITCOIN), move(constants.UNWIND, 1), code=c.MISMATCHED)
        assert_refused(stage({}, fund=20_000), bid(BTC), move(constants.UNWIND, 1), code=c.OVERFILLED)

    def test_off_an_hour_costs_more_than_a_percent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(
            monkeypatch, rescue, "        refused.code = codes.FUND_LIMIT\n        return refused\n", "        pass\n"
        )
        chunk = python_chunk(self.state(2_000), bid(BTC - BTC // 1_000), move(constants.UNWIND))

        assert chunk.operation_codes[-1] == c.OK
        lost = 2_000 * DOLLAR - value(row_of(chunk, 1))
        assert lost == 60 * DOLLAR == 3 * (2_000 * DOLLAR // 100)

    def test_on_ten_times_its_equity_an_hour(self) -> None:
        state = self.state(2_000)
        most = 10 * 2_000 * DOLLAR // BTC
        order = bid(BTC - BTC // 1_000)
        assert_refused(state, order, move(constants.UNWIND, most + 1), code=c.FUND_LIMIT)
        assert venue.run(state, order, move(constants.UNWIND, most)).codes == (c.OK, c.OK)
        assert 2_000 * DOLLAR - value(state.account(1)) == most * (BTC // 1_000) <= 2_000 * DOLLAR // 100
        assert_refused(state, order, move(constants.UNWIND, most), code=c.FUND_LIMIT)


class TestG2Fund:
    """Own shorts leave hour after hour until the fund stands for many times what it has; then the price rises."""

    FUND = 10_000
    # A fund without a position; a hundred thousand dollars are ten times its money.
    TENFOLD = 100_000 * DOLLAR // BTC
    ROSE = BTC * 105 // 100
    # Half of its maintenance margin is left.
    taken = move(constants.TAKE_OVER)

    def state(self, held_before: int, fund: int = FUND, entry: int = BTC, **market: int) -> State:
        """A short that is to be taken over, and a fund that took so many lots from others in hours before."""
        insurance = held(-held_before, fund, entry, owner=containers.NOBODY)
        return stage({1: insurance, VICTIM: held(-BITCOIN, 360)}, market=market)

    RULE = "stands: int256 = max(\n        under.listed.turned_over % constants.UNWOUND + grown, "

    def test_off_each_hour_adds_ten_times_its_money(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, rescue, self.RULE, self.RULE.replace("grown, ", "grown, 0 * "))
        chunk = python_chunk(self.state(3 * self.TENFOLD), self.taken)

        assert chunk.operation_codes == [c.OK]
        # Five percent take all that it has, and more: whoever was long against it has won it.
        assert value(row_of(chunk, 1), self.ROSE) < -7_000 * DOLLAR

    def test_on_all_that_it_holds_counts(self) -> None:
        assert_refused(self.state(3 * self.TENFOLD), self.taken, code=c.FUND_LIMIT)
        assert_refused(self.state(self.TENFOLD), move(constants.TAKE_OVER, 1_000), code=c.FUND_LIMIT)
        room = self.state(self.TENFOLD - 1_000)
        assert venue.run(room, move(constants.TAKE_OVER, 1_000)).codes == (c.OK,)
        assert value(room.account(1), self.ROSE) > self.FUND * DOLLAR * 49 // 100
        assert conservation(room).sound

    def test_on_what_it_unwinds_it_may_take_again(self) -> None:
        state = self.state(self.TENFOLD)
        selling = ask(BTC, BITCOIN)
        assert venue.run(state, selling, move(constants.UNWIND, 1_000)).codes == (c.OK, c.OK)
        assert venue.run(state, move(constants.TAKE_OVER, 1_000)).codes == (c.OK,)
        assert size_of(state.account(1)) == -self.TENFOLD

    def test_off_it_grows_by_money_that_it_has_lost(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, rescue, "max(margin.equity(under.risk, taking), 0)", "max(under.listed.fund, 0)")
        # Sold ten percent below: nine tenths of the fund are gone, and its collateral says nothing of it.
        chunk = python_chunk(self.state(90_000, entry=BTC * 9 // 10), move(constants.TAKE_OVER, 20_000))

        assert chunk.operation_codes == [c.OK]
        assert value(row_of(chunk, 1)) < 4_700 * DOLLAR

    def test_on_it_grows_by_its_equity(self) -> None:
        assert_refused(self.state(90_000, entry=BTC * 9 // 10), move(constants.TAKE_OVER, 20_000), code=c.FUND_LIMIT)

    OWN_ROOM = "under.listed.turned_over // constants.UNWOUND + turned_over > most"

    def grown(self) -> State:
        """A fund that has taken all that it may in this hour."""
        state = self.state(0, fund=BITCOIN * BTC // DOLLAR // 10)
        assert venue.run(state, self.taken).codes == (c.OK,)
        return state

    def test_off_what_it_took_it_cannot_sell_in_the_same_hour(self, monkeypatch: pytest.MonkeyPatch) -> None:
        shared = self.OWN_ROOM.replace("// constants", "% constants")
        rule_off(monkeypatch, rescue, self.OWN_ROOM, shared)
        chunk = python_chunk(self.grown(), ask(BTC, BITCOIN), move(constants.UNWIND, self.TENFOLD // 10))

        assert chunk.operation_codes == [c.OK, c.FUND_LIMIT]
        assert value(row_of(chunk, 1), self.ROSE) < 3_400 * DOLLAR

    def test_on_unwinding_has_room_of_its_own(self) -> None:
        state = self.grown()
        most = size_of(state.account(1))
        assert venue.run(state, ask(BTC, BITCOIN), move(constants.UNWIND, -most)).codes == (c.OK, c.OK)
        assert size_of(state.account(1)) == 0
        listed = state.globals.markets[0]
        assert listed.turned_over // constants.UNWOUND == -most * BTC
        assert listed.turned_over % constants.UNWOUND == -most * BTC
        # The next hour begins with both.
        venue.later(state, NOW + constants.HOUR)
        assert state.globals.markets[0].turned_over == 0

    def short_fund(self, dollars: int, lots: int = BITCOIN, **rows: containers.Account) -> State:
        """A fund that is short so many lots on so many dollars; somebody who has won nothing is long."""
        fund = held(-lots, dollars, owner=containers.NOBODY)
        other = rows.get("other", held(lots, 5_000, owner=OWNERS[2]))
        return stage({1: fund, VICTIM: account(), ATTACKER: other})

    def reduces(self, lots: int, other: int = ATTACKER) -> bytes:
        return move(constants.DELEVERAGE, lots, account=1, other=other)

    def test_off_a_fund_below_maintenance_runs_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, replay, " and not insured")
        chunk = python_chunk(self.short_fund(700), self.reduces(BITCOIN // 2))

        assert chunk.operation_codes == [c.RESERVED]
        assert value(row_of(chunk, 1), self.ROSE) == -2_300 * DOLLAR

    def test_on_it_is_reduced_at_the_oracle_price(self) -> None:
        # 700 dollars carry two percent of 35,000: 58,333 lots.
        state, most = self.short_fund(700), BITCOIN - 700 * DOLLAR * 50 // BTC
        for lots in (most + 1, BITCOIN):
            assert_refused(state, self.reduces(lots), code=c.TOO_MANY_LOTS)
        assert venue.run(state, self.reduces(most)).codes == (c.OK,)
        assert (size_of(state.account(1)), size_of(state.account(ATTACKER))) == (most - BITCOIN, BITCOIN - most)
        assert (value(state.account(1)), value(state.account(ATTACKER))) == (700 * DOLLAR, 5_000 * DOLLAR)
        assert state.globals.markets[0].fund == margin.collateral(state.account(1))
        assert conservation(state).sound
        assert_refused(state, self.reduces(1), code=c.HEALTHY)

    def test_on_what_a_fund_owes_is_a_debt_like_others(self) -> None:
        state = self.short_fund(-300)
        assert venue.run(state, self.reduces(BITCOIN)).codes == (c.OK,)
        assert (size_of(state.account(1)), value(state.account(1))) == (0, 0)
        assert state.globals.pool.owed == 300 * DOLLAR
        assert value(state.account(ATTACKER)) == 5_000 * DOLLAR
        assert conservation(state).sound

    def test_on_it_is_reduced_against_whoever_is_opposite_and_owes_nothing(self) -> None:
        assert_refused(self.short_fund(720), self.reduces(1), code=c.HEALTHY)
        assert_refused(self.short_fund(700), self.reduces(0), code=c.OVERFILLED)
        assert_refused(self.short_fund(700), self.reduces(BITCOIN + 1), code=c.OVERFILLED)
        assert_refused(self.short_fund(700), self.reduces(1, other=VICTIM), code=c.NO_OPPOSITE)
        small = self.short_fund(-1, other=held(1_000, 5_000, owner=OWNERS[2]))
        assert_refused(small, self.reduces(1_001), code=c.NO_OPPOSITE)
        debtor = self.short_fund(700, other=held(BITCOIN, -1, owner=OWNERS[2]))
        assert_refused(debtor, self.reduces(1), code=c.INDEBTED)
        # Another market's fund is nobody's to reduce here.
        other = operations.rescue_bytes(constants.DELEVERAGE, containers.Rescue(0, 0, 2, ATTACKER, 1))
        assert_refused(self.short_fund(700), other, code=c.RESERVED)
        assert_refused(self.short_fund(700), self.reduces(1, other=1), code=c.RESERVED)
