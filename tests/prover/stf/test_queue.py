"""Entries of the L1 queue: forced withdrawals and closes, leaves, grants, rescues and ticks, on both twins."""

from typing import Final

import pytest

from prover.signing import operations
from prover.state.audit import conservation
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, containers, encoding, margin
from tests.twins import venue
from tests.twins.venue import DOLLAR, NOW, OWNERS, account, position

TRADER, OTHER, POOL = 17, 18, 19
BTC: Final = 600_000
BITCOIN: Final = 100_000
OWNER: Final = OWNERS[1]
LATE: Final = NOW + constants.FORCED_PRICE_AGE + 1


def state_of(
    trader: containers.Account, fund: int = 0, other: int = 0, other_money: int = 10**6, **changes: int
) -> State:
    """A trader, somebody who is so many bitcoin lots on the other side, and a pool that holds the rest."""
    held = encoding.unpack(trader.positions[0]).size
    rows = {
        1: account(containers.NOBODY, fund),
        TRADER: trader,
        OTHER: account(OWNERS[2], other_money * DOLLAR, {0: position(other, other * BTC)}),
        POOL: account(OWNERS[3], 10**9 * DOLLAR, {0: position(-held - other, (-held - other) * BTC)}),
    }
    return venue.balanced(venue.free_of_charge(**{"streak": constants.STEADY_TICKS, **changes}), rows)


def long(collateral: int, lots: int = BITCOIN, cost: int | None = None) -> containers.Account:
    return account(OWNER, collateral * DOLLAR, {0: position(lots, lots * BTC if cost is None else cost)})


def forced(tag: int, sender: bytes = OWNER, time: int = NOW - 1, index: int = TRADER, **fields: int | bytes) -> bytes:
    return venue.entry(tag, venue.owned(tag, index, **fields), sender, time)


def step(other: int, lots: int, market: int = 0) -> bytes:
    return operations.rescue_bytes(constants.CLOSE_STEP, containers.Rescue(0, market, 0, other, lots))


def withdraw(amount: int, **fields: int) -> bytes:
    return forced(constants.FORCED_WITHDRAW, amount=amount, **fields)


class TestForcedWithdraw:
    def test_it_pays_what_is_asked_for_to_the_owner(self) -> None:
        state = state_of(account(OWNER))
        assert venue.run(state, withdraw(3 * DOLLAR)).codes == (c.OK,)
        assert state.account(TRADER).settled == 997 * DOLLAR
        assert (state.commitment.withdrawn_total, state.globals.withdrawal_count) == (3 * DOLLAR, 1)
        assert (state.commitment.queue_count, venue.begun(state.commitment)) == (1, 0)
        assert conservation(state).sound

    def test_never_more_than_may_leave(self) -> None:
        # 60,000 dollars of notional keep 6,000, however little is required.
        state = state_of(long(10_000))
        assert venue.run(state, withdraw(10**12)).codes == (c.OK,)
        assert state.commitment.withdrawn_total == 4_000 * DOLLAR
        assert venue.run(state, withdraw(10**12)).codes == (c.COLLATERAL,)
        assert state.commitment.queue_count == 2

    @pytest.mark.parametrize("late", [constants.MAX_PRICE_AGE + 1, 10**9])
    def test_without_a_young_price_a_quarter_of_the_notional_stays(self, late: int) -> None:
        state = state_of(long(20_000))
        assert venue.run(state, withdraw(10**12), timestamp=NOW + late).codes == (c.OK,)
        assert state.commitment.withdrawn_total == 5_000 * DOLLAR

    def test_and_in_a_grace(self) -> None:
        state = state_of(long(20_000), grace_until=NOW + 1)
        assert venue.run(state, withdraw(10**12)).codes == (c.OK,)
        assert state.commitment.withdrawn_total == 5_000 * DOLLAR

    def test_only_settled_money_leaves(self) -> None:
        state = state_of(account(OWNER, DOLLAR, older=DOLLAR, fresh=DOLLAR))
        assert venue.run(state, withdraw(10**12)).codes == (c.OK,)
        assert state.commitment.withdrawn_total == DOLLAR

    def test_an_owner_without_positions_needs_no_price_at_all(self) -> None:
        state = state_of(account(OWNER))
        assert venue.run(state, withdraw(10**12), timestamp=NOW + 10**9).codes == (c.OK,)
        assert state.commitment.withdrawn_total == 1_000 * DOLLAR

    def test_it_is_nobody_elses(self) -> None:
        state = state_of(account(OWNER))
        assert venue.run(state, forced(constants.FORCED_WITHDRAW, OWNERS[2], amount=1)).codes == (c.NOT_OWNER,)
        assert state.commitment.withdrawn_total == 0


class TestForcedClose:
    def test_the_fund_takes_it_at_one_percent_less(self) -> None:
        state = state_of(long(60_000), fund=10**6 * DOLLAR)
        done = [forced(constants.FORCED_CLOSE, amount=BITCOIN), step(1, BITCOIN)]
        assert venue.run(state, *done).codes == (c.OK, c.OK)

        assert state.account(TRADER).positions[0] is containers.EMPTY
        assert margin.collateral(state.account(TRADER)) == (60_000 - 600) * DOLLAR
        assert state.account(1).positions[0].size == BITCOIN
        assert state.account(1).positions[0].cost == BITCOIN * BTC - 600 * DOLLAR
        assert (state.commitment.queue_count, venue.begun(state.commitment)) == (1, 0)
        assert conservation(state).sound

    def test_thin_margin_pays_what_keeps_equity_over_maintenance(self) -> None:
        # 300 dollars over 720 of maintenance: half of it closed gives up half of the equity at most.
        state = state_of(long(300), fund=10**6 * DOLLAR)
        done = [forced(constants.FORCED_CLOSE, amount=BITCOIN // 2), step(1, BITCOIN // 2)]
        assert venue.run(state, *done).codes == (c.OK, c.OK)
        row = state.account(TRADER)
        assert margin.collateral(row) + row.positions[0].size * BTC - row.positions[0].cost == 150 * DOLLAR

    def test_step_by_step_over_chunks_and_never_more_than_asked_for(self) -> None:
        state = state_of(long(60_000), other=-BITCOIN // 4)
        opened = venue.run(state, forced(constants.FORCED_CLOSE, amount=BITCOIN // 2))
        assert opened.codes == (c.OK,)
        assert (state.commitment.queue_count, venue.begun(state.commitment)) == (0, 1)
        assert state.globals.head_lots == BITCOIN // 2
        # No other close or leave is begun meanwhile; everything else goes on.
        assert venue.run(state, venue.deposit(OWNERS[5], 7), withdraw(1)).codes == (c.OK,) * 2
        others = forced(constants.LEAVE), forced(constants.FORCED_CLOSE, OWNERS[3], index=POOL, amount=1)
        assert venue.run(state, *others).codes == (c.HEAD_UNFINISHED,) * 2
        assert (state.commitment.queue_count, state.commitment.queue_taken) == (0, 3)
        assert venue.run(state, step(OTHER, BITCOIN), step(OTHER, BITCOIN // 4)).codes == (c.NO_OPPOSITE, c.OK)
        assert (venue.begun(state.commitment), state.globals.head_lots) == (3, BITCOIN // 4)
        assert venue.run(state, step(POOL, BITCOIN)).codes == (c.OK,)

        assert (state.commitment.queue_count, venue.begun(state.commitment), state.globals.head_account) == (3, 0, 0)
        assert state.account(TRADER).positions[0].size == BITCOIN // 2
        assert venue.run(state, step(POOL, 1), venue.deposit(OWNERS[5], 7)).codes == (c.NO_HEAD, c.OK)
        assert conservation(state).sound

    def test_the_counterparty_gets_the_penalty(self) -> None:
        state = state_of(long(60_000), other=-BITCOIN)
        done = [forced(constants.FORCED_CLOSE, amount=BITCOIN), step(OTHER, BITCOIN)]
        assert venue.run(state, *done).codes == (c.OK, c.OK)
        assert margin.collateral(state.account(OTHER)) == (10**6 + 600) * DOLLAR
        assert state.account(OTHER).positions[0] is containers.EMPTY

    def test_the_fund_comes_first(self) -> None:
        state = state_of(long(60_000), fund=10**6 * DOLLAR, other=-BITCOIN)
        done = [forced(constants.FORCED_CLOSE, amount=BITCOIN), step(OTHER, BITCOIN)]
        assert venue.run(state, *done).codes == (c.OK, c.FUND_FIRST)

    def test_it_is_begun_without_a_price_and_closed_at_one_that_is_newer(self) -> None:
        state = state_of(long(60_000))
        assert venue.run(state, forced(constants.FORCED_CLOSE, time=NOW, amount=1), step(POOL, 1)).codes == (
            c.OK,
            c.UNSTEADY,
        )
        now = venue.later(state, NOW + constants.TICK_STEP)
        assert venue.run(state, step(POOL, 1), timestamp=now).codes == (c.OK,)

    def test_a_step_takes_no_price_that_is_too_old_for_trading(self) -> None:
        state = state_of(long(60_000))
        assert venue.run(state, forced(constants.FORCED_CLOSE, amount=1)).codes == (c.OK,)
        late = NOW + constants.MAX_PRICE_AGE + 1
        assert venue.run(state, step(POOL, 1), timestamp=late).codes == (c.UNSTEADY,)
        assert venue.begun(state.commitment) == 1

    def test_but_one_that_came_by_the_queue_however_late_the_operator_is(self) -> None:
        state = state_of(long(60_000))
        assert venue.run(state, forced(constants.FORCED_CLOSE, amount=1)).codes == (c.OK,)
        payload = venue.tick(NOW + constants.TICK_STEP, [BTC, 300_000, 1_500_000])[1:]
        tick = venue.entry(constants.FORCED_TICK, payload, venue.DEPOSITOR, NOW + constants.TICK_STEP)
        # It passes the head.
        assert venue.run(state, tick).codes == (c.OK,)
        assert (state.commitment.queue_count, state.commitment.queue_taken) == (0, 2)
        late = NOW + constants.TICK_STEP + constants.HEAD_PATIENCE
        assert venue.run(state, step(POOL, 1), timestamp=late).codes == (c.OK,)
        assert (state.commitment.queue_count, state.commitment.queue_taken) == (2, 2)

    @pytest.mark.parametrize("entered_at", [NOW - 1, NOW + 100_000])
    def test_without_a_price_for_half_an_hour_any_step_ends_it(self, entered_at: int) -> None:
        state = state_of(long(60_000))
        close = forced(constants.FORCED_CLOSE, time=entered_at, amount=BITCOIN)
        assert venue.run(state, close).codes == (c.OK,)
        patient = max(entered_at, NOW) + constants.HEAD_PATIENCE
        # By the time of what came behind it: the operator's own clock ends nothing.
        passing = venue.about_nobody(patient), step(POOL, 1)
        assert venue.run(state, *passing, timestamp=patient + constants.HOUR).codes == (c.RESERVED, c.UNSTEADY)
        passing = venue.about_nobody(patient + 1), step(1, 1)
        assert venue.run(state, *passing).codes == (c.RESERVED, c.STALE)
        globals = state.globals
        assert (globals.head_account, globals.head_market, globals.head_lots) == (0, 0, 0)
        assert (globals.head_time, globals.head_limit) == (0, 0)
        assert (state.commitment.queue_count, state.account(TRADER).positions[0].size) == (3, BITCOIN)

    def test_a_tick_that_came_between_keeps_it(self) -> None:
        state = state_of(long(60_000))
        assert venue.run(state, forced(constants.FORCED_CLOSE, time=NOW, amount=BITCOIN)).codes == (c.OK,)
        payload = venue.tick(NOW + constants.TICK_STEP, [BTC, 300_000, 1_500_000])[1:]
        tick = venue.entry(constants.FORCED_TICK, payload, venue.DEPOSITOR, NOW + constants.TICK_STEP)
        late = NOW + constants.HEAD_PATIENCE + constants.TICK_STEP
        chunk = tick, venue.about_nobody(late), step(POOL, 1)
        assert venue.run(state, *chunk).codes == (c.OK, c.RESERVED, c.OK)
        # And a deposit has no time of its own.
        passing = venue.deposit(containers.NOBODY, 5), step(POOL, 1)
        assert venue.run(state, *passing, timestamp=late + 1).codes == (c.REFUNDED, c.UNSTEADY)

    @pytest.mark.parametrize(("side", "limit"), [(1, BTC), (1, 0), (-1, BTC), (-1, 0)])
    def test_within_its_limit_it_is_closed(self, side: int, limit: int) -> None:
        state = state_of(long(60_000, side * BITCOIN))
        done = [forced(constants.FORCED_CLOSE, amount=BITCOIN, limit=limit), step(POOL, BITCOIN)]
        assert venue.run(state, *done).codes == (c.OK, c.OK)

    @pytest.mark.parametrize("side", [1, -1])
    def test_beyond_its_limit_it_ends_and_what_is_closed_stays_closed(self, side: int) -> None:
        state = state_of(long(60_000, side * BITCOIN))
        close = forced(constants.FORCED_CLOSE, amount=BITCOIN, limit=BTC)
        assert venue.run(state, close, step(POOL, BITCOIN // 4)).codes == (c.OK, c.OK)
        # At the worse of the last two prices.
        now = venue.later(state, NOW + constants.TICK_STEP, [BTC - side, 300_000, 1_500_000])
        now = venue.later(state, now + constants.TICK_STEP, [BTC, 300_000, 1_500_000])
        assert venue.run(state, step(POOL, 1), timestamp=now).codes == (c.LIMIT,)
        assert (state.commitment.queue_count, venue.begun(state.commitment)) == (1, 0)
        assert abs(state.account(TRADER).positions[0].size) == BITCOIN * 3 // 4

    def test_an_account_that_falls_below_zero_does_not_stop_the_queue(self) -> None:
        state = state_of(long(2_000))
        assert venue.run(state, forced(constants.FORCED_CLOSE, amount=BITCOIN)).codes == (c.OK,)
        now = venue.later(state, NOW + 5_000, [BTC * 96 // 100, 300_000, 1_500_000])
        # One price of two does not decide it.
        assert venue.run(state, step(POOL, 1), timestamp=now).codes == (c.UNSTEADY,)
        now = venue.later(state, NOW + 10_000, [BTC * 96 // 100, 300_000, 1_500_000])
        assert venue.run(state, step(POOL, 1), timestamp=now).codes == (c.INSOLVENT,)
        assert (state.commitment.queue_count, venue.begun(state.commitment)) == (1, 0)
        assert state.account(TRADER).positions[0].size == BITCOIN

    def test_a_position_that_is_gone_ends_it(self) -> None:
        state = state_of(long(60_000))
        assert venue.run(state, forced(constants.FORCED_CLOSE, amount=BITCOIN)).codes == (c.OK,)
        assert venue.run(state, *venue.trade(state, TRADER, POOL, BITCOIN)).codes[-1] == c.OK
        assert venue.run(state, step(POOL, 1)).codes == (c.OK,)
        assert (state.commitment.queue_count, venue.begun(state.commitment)) == (1, 0)


class TestLeave:
    def held(self) -> State:
        """60,000 settled dollars and five fresh ones behind a bitcoin and 300 dollars of ether short."""
        sizes = {0: (BITCOIN, BTC), 1: (-1_000, 300_000)}
        mine = {market: position(size, size * price) for market, (size, price) in sizes.items()}
        theirs = {market: position(-size, -size * price) for market, (size, price) in sizes.items()}
        rows = {
            1: account(containers.NOBODY, 0),
            2: account(containers.NOBODY, 0),
            TRADER: account(OWNER, 60_000 * DOLLAR, mine, agents=[1, 2], fresh=5 * DOLLAR),
            OTHER: account(OWNERS[2]),
            POOL: account(OWNERS[3], 10**9 * DOLLAR, theirs),
        }
        return venue.balanced(venue.free_of_charge(streak=constants.STEADY_TICKS), rows)

    def test_orders_and_agents_end_at_once_positions_step_by_step_and_what_may_leave_is_paid(self) -> None:
        state = self.held()
        outcome = venue.run(state, forced(constants.LEAVE))
        assert outcome.codes == (c.OK,)
        row = state.account(TRADER)
        assert (row.floor, row.agents) == (NOW + constants.CLOCK_TOLERANCE + 1, [0, 0])
        assert (state.globals.head_account, state.globals.head_market) == (TRADER, constants.MARKETS)
        assert state.commitment.withdrawn_total == 0
        assert venue.run(state, step(POOL, BITCOIN), step(POOL, 500, market=1)).codes == (c.OK, c.OK)
        assert venue.begun(state.commitment) == 1
        assert venue.run(state, step(POOL, 500, market=1)).codes == (c.OK,)

        left = state.account(TRADER)
        assert (state.commitment.queue_count, venue.begun(state.commitment)) == (1, 0)
        # One percent of 60,000 and of 300 dollars; what is fresh pays first.
        assert state.commitment.withdrawn_total == (60_005 - 603) * DOLLAR
        assert margin.collateral(left) == 0
        assert conservation(state).sound

    def test_without_positions_it_is_done_at_once(self) -> None:
        state = state_of(account(OWNER))
        assert venue.run(state, forced(constants.LEAVE), timestamp=NOW + 10**9).codes == (c.OK,)
        assert (state.commitment.queue_count, state.commitment.withdrawn_total) == (1, 1_000 * DOLLAR)

    def test_without_a_price_for_half_an_hour_positions_stay_and_the_rest_is_done(self) -> None:
        state = state_of(long(20_000))
        assert venue.run(state, forced(constants.LEAVE, time=NOW)).codes == (c.OK,)
        assert (state.commitment.queue_count, venue.begun(state.commitment)) == (0, 1)
        late = NOW + constants.HEAD_PATIENCE + 1
        assert venue.run(state, venue.about_nobody(late), step(POOL, 1)).codes == (c.RESERVED, c.STALE)
        assert (state.commitment.queue_count, venue.begun(state.commitment)) == (2, 0)
        assert state.account(TRADER).positions[0].size == BITCOIN
        # A quarter of the notional stays with them.
        assert state.commitment.withdrawn_total == 5_000 * DOLLAR
        assert conservation(state).sound

    def test_of_who_holds_nothing_it_passes_one_that_is_under_way(self) -> None:
        state = state_of(long(20_000))
        assert venue.run(state, forced(constants.LEAVE)).codes == (c.OK,)
        strangers = forced(constants.LEAVE, OWNERS[2], index=OTHER), forced(constants.LEAVE, OWNERS[5])
        nothing = forced(constants.FORCED_CLOSE, OWNERS[2], index=OTHER, amount=1)
        assert venue.run(state, *strangers, nothing).codes == (c.OK, c.NOT_OWNER, c.OVERFILLED)
        assert (state.commitment.queue_count, state.commitment.queue_taken) == (0, 4)

    def test_no_order_that_was_signed_before_it_is_filled_after_it(self) -> None:
        state = state_of(account(OWNER, 10**5 * DOLLAR))
        trade = venue.trade(state, POOL, TRADER, 1_000)
        assert venue.run(state, forced(constants.LEAVE)).codes == (c.OK,)
        assert venue.run(state, *trade).codes[-1] == c.CANCELLED


class TestForcedAgent:
    def test_a_contract_grants_and_revokes_without_a_signature(self) -> None:
        contract = b"\xcc" * 20
        state = state_of(account(contract))
        fields = {
            "agent": venue.AGENTS[0],
            "agent_index": 1,
            "expires_at": NOW + 10**6,
            "first_slot": 1,
            "last_slot": 9,
        }
        assert venue.run(state, forced(constants.FORCED_AGENT, contract, **fields)).codes == (c.OK,)
        order = venue.signed_order(venue.order(TRADER, size=1_000), venue.KEY_OF[venue.AGENTS[0]])
        assert venue.run(state, order).codes == (c.OK,)
        assert venue.run(state, forced(constants.FORCED_AGENT, contract, agent_index=1)).codes == (c.OK,)
        assert venue.run(state, order).codes == (c.BAD_SIGNATURE,)

    def test_the_floor_is_raised_to_the_entrys_time(self) -> None:
        state = state_of(account(OWNER, 10**5 * DOLLAR))
        trade = venue.trade(state, POOL, TRADER, 1_000)
        raising = forced(constants.FORCED_AGENT, time=NOW + 1, agent_index=constants.FLOOR_INDEX)
        assert venue.run(state, raising).codes == (c.OK,)
        assert (state.account(TRADER).floor, state.account(TRADER).agents) == (NOW + 1, [0, 0])
        assert venue.run(state, *trade).codes[-1] == c.CANCELLED
        # An older entry lowers nothing.
        assert venue.run(state, forced(constants.FORCED_AGENT, agent_index=constants.FLOOR_INDEX)).codes == (c.OK,)
        assert state.account(TRADER).floor == NOW + 1

    @pytest.mark.parametrize(
        "fields",
        [
            {"agent_index": constants.FLOOR_INDEX, "agent": venue.AGENTS[0]},
            {"agent_index": constants.FLOOR_INDEX, "expires_at": 1},
            {"agent_index": constants.FLOOR_INDEX, "last_slot": 1},
            {"agent_index": constants.FLOOR_INDEX, "first_slot": 1},
            {"agent_index": constants.FLOOR_INDEX + 1},
        ],
    )
    def test_who_raises_the_floor_names_nobody(self, fields: dict[str, int | bytes]) -> None:
        state = state_of(account(OWNER))
        assert venue.run(state, forced(constants.FORCED_AGENT, **fields)).codes == (c.BAD_ENTRY,)
        assert state.account(TRADER).floor == 0


class TestForcedRescue:
    """By anybody, where the sequencer looks away: the fund is the liquidator."""

    def rescue(self, lots: int = 2**56 - 1, time: int = NOW) -> bytes:
        payload = operations.forced_rescue_payload(0, TRADER, lots)
        return venue.entry(constants.FORCED_RESCUE, payload, venue.DEPOSITOR, time)

    def equity(self, state: State) -> tuple[int, int, int]:
        row = state.account(TRADER)
        every = margin.sums(state.globals.risk, row, constants.MARKETS)
        return margin.collateral(row) + every.value, every.initial, every.maintenance

    @pytest.mark.parametrize("collateral", [719, 650, 500, 481])
    def test_it_closes_the_fewest_lots_that_bring_the_account_back(self, collateral: int) -> None:
        state = state_of(long(collateral), fund=10**6 * DOLLAR)
        before = self.equity(state)
        assert venue.run(state, self.rescue()).codes == (c.OK,)
        equity, initial, maintenance = self.equity(state)
        closed = BITCOIN - state.account(TRADER).positions[0].size

        assert equity >= initial
        assert equity * before[2] >= before[0] * maintenance
        assert conservation(state).sound
        # One lot less would have left it below.
        fewer = state_of(long(collateral), fund=10**6 * DOLLAR)
        assert venue.run(fewer, self.rescue(closed - 1)).codes == (c.OK,)
        equity, initial, _ = self.equity(fewer)
        assert equity < initial

    def test_below_close_out_it_is_a_take_over_at_the_zero_price(self) -> None:
        state = state_of(long(300), fund=10**6 * DOLLAR)
        assert venue.run(state, self.rescue()).codes == (c.OK,)
        assert state.account(TRADER).positions[0] is containers.EMPTY
        assert margin.collateral(state.account(TRADER)) == 0
        assert state.account(1).positions[0].size == BITCOIN

    def test_neither_a_grace_nor_silence_stops_it(self) -> None:
        state = state_of(long(500), fund=10**6 * DOLLAR, grace_until=NOW + 10**6)
        assert venue.run(state, self.rescue()).codes == (c.OK,)
        for streak in range(constants.STEADY_TICKS):
            state = state_of(long(500), fund=10**6 * DOLLAR, streak=streak)
            assert venue.run(state, self.rescue(), timestamp=LATE - 1).codes == (c.UNSTEADY,)
            assert venue.run(state, self.rescue(), timestamp=LATE).codes == (c.OK,)

    @pytest.mark.parametrize(
        ("row", "fund", "time", "code"),
        [
            (long(721), 10**6, NOW, c.HEALTHY),
            (long(500), 0, NOW, c.FUND_LIMIT),
            (long(500), 10**6, LATE, c.STALE),
        ],
    )
    def test_it_does_no_harm(self, row: containers.Account, fund: int, time: int, code: int) -> None:
        state = state_of(row, fund=fund * DOLLAR)
        assert venue.run(state, self.rescue(time=time)).codes == (code,)
        assert encoding.account_hash(state.account(TRADER)) == encoding.account_hash(row)
        assert state.commitment.queue_count == 1

    @pytest.mark.parametrize(
        ("market", "index", "lots", "code"),
        [
            (0, 9_999, 1, c.NO_ACCOUNT),
            (0, constants.NEW_ACCOUNT, 1, c.NO_ACCOUNT),
            (1, TRADER, 1, c.OVERFILLED),
            (0, TRADER, 0, c.OVERFILLED),
            (0, 0, 1, c.RESERVED),
            (3, TRADER, 1, c.NO_MARKET),
        ],
    )
    def test_what_can_never_be_done_waits_for_no_price(self, market: int, index: int, lots: int, code: int) -> None:
        state = state_of(long(500), fund=10**6 * DOLLAR, streak=0)
        payload = operations.forced_rescue_payload(market, index, lots)
        entry = venue.entry(constants.FORCED_RESCUE, payload, venue.DEPOSITOR)
        assert venue.run(state, self.rescue(), entry).codes == (c.UNSTEADY, code)
        assert state.commitment.queue_count == 1


class TestAnEntryBringsItsTime:
    """A clock that lags L1's by an hour makes nothing forced any older."""

    LATER: Final = NOW + constants.HOUR

    def forced_tick(self, time: int, entered_at: int) -> bytes:
        payload = venue.tick(time, [BTC, 300_000, 1_500_000])[1:]
        return venue.entry(constants.FORCED_TICK, payload, venue.DEPOSITOR, entered_at)

    def test_the_chunks_clock_goes_on_from_it(self) -> None:
        state = state_of(long(60_000))
        order = venue.signed_order(venue.order(TRADER, size=1_000), venue.KEYS[1])
        ticked = self.forced_tick(self.LATER, self.LATER + 1)
        assert venue.run(state, order, ticked, order).codes == (c.OK, c.OK, c.EXPIRED)
        assert (state.commitment.timestamp, state.globals.tick_time) == (self.LATER + 1, self.LATER)

    def test_an_older_one_sets_nothing_back(self) -> None:
        state = state_of(account(OWNER))
        assert venue.run(state, withdraw(1, time=NOW - 1)).codes == (c.OK,)
        assert state.commitment.timestamp == NOW

    def test_a_refused_one_is_consumed_at_its_time(self) -> None:
        state = state_of(account(OWNER))
        assert venue.run(state, forced(constants.LEAVE, OWNERS[2], time=self.LATER)).codes == (c.NOT_OWNER,)
        assert (state.commitment.queue_count, state.commitment.timestamp) == (1, self.LATER)

    def test_one_that_waits_moves_nothing(self) -> None:
        state = state_of(long(500), fund=10**6 * DOLLAR, streak=0)
        payload = operations.forced_rescue_payload(0, TRADER, 1)
        rescue = venue.entry(constants.FORCED_RESCUE, payload, venue.DEPOSITOR, NOW + 1_000)
        assert venue.run(state, rescue).codes == (c.UNSTEADY,)
        assert (state.commitment.queue_count, state.commitment.timestamp) == (0, NOW)

    def test_three_forced_ticks_make_a_forced_rescue_steady_however_far_the_clock_lags(self) -> None:
        state = state_of(long(500), fund=10**6 * DOLLAR, streak=0)
        payload = operations.forced_rescue_payload(0, TRADER, 2**56 - 1)
        ticks = [self.forced_tick(self.LATER - 15_000 + 5_000 * number, self.LATER) for number in range(3)]
        rescue = venue.entry(constants.FORCED_RESCUE, payload, venue.DEPOSITOR, self.LATER)
        assert venue.run(state, *ticks, rescue).codes == (c.OK,) * 4
        assert abs(state.account(TRADER).positions[0].size) < BITCOIN


class TestTheQueue:
    def test_whatever_is_in_it_it_goes_on(self) -> None:
        state = state_of(account(OWNER))
        odd = [venue.entry(tag, payload) for tag in range(16, 24) for payload in (b"", b"\x00", b"\xff" * 400)]
        outcome = venue.run(state, *odd)
        assert set(outcome.codes) == {c.BAD_ENTRY}
        assert state.commitment.queue_count == len(odd)

    def test_an_entry_that_is_longer_than_any_ends_the_chunk(self) -> None:
        state = state_of(account(OWNER))
        longest = venue.entry(constants.LEAVE, bytes(1_603))
        assert venue.run(state, longest, longest).codes == (c.BAD_ENTRY, c.BAD_ENTRY)
        assert venue.run(state, venue.entry(constants.LEAVE, bytes(1_604))).codes == (c.MALFORMED,)
        assert state.commitment.queue_count == 2

    def test_its_hash_is_the_bridges(self) -> None:
        state = state_of(account(OWNER))
        entries = [withdraw(1), venue.deposit(OWNERS[4], 5), forced(constants.LEAVE)]
        venue.run(state, *entries)
        expected = bytes(32)
        for entry in entries:
            expected = venue.keccak(expected + venue.keccak(entry))
        assert state.commitment.queue_hash == expected

    @pytest.mark.parametrize("tag", [constants.FORCED_WITHDRAW, constants.LEAVE, constants.FORCED_AGENT])
    def test_reserved_accounts_have_no_owner(self, tag: int) -> None:
        state = state_of(account(OWNER))
        done = [forced(tag, venue.OPERATOR, index=0), forced(tag, containers.NOBODY, index=1)]
        assert venue.run(state, *done).codes == (c.RESERVED, c.RESERVED)
