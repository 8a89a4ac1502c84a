"""The hour whose mean settles a market: most of it is known before it is over, and the last price is not it."""

import pytest

from prover.signing import operations
from prover.signing.recover import recover_fast
from prover.state.audit import conservation
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, containers, margin, markets
from prover.stf import rescue as law
from prover.stf.replay import take_tick
from tests.attacks.law_variants import python_chunk, rule_off
from tests.attacks.stage import (
    ATTACKER,
    BITCOIN,
    BTC,
    ETH,
    POOL,
    PPM,
    SOL,
    STEP,
    VICTIM,
    forced,
    held,
    rescue,
    row_of,
    size_of,
    stage,
    value,
)
from tests.attacks.test_law_rules import assert_refused
from tests.twins import venue
from tests.twins.venue import DOLLAR, NOW, OWNERS, account, position

TOP = BTC * 11 // 10
MEAN = BTC * 21 // 20
MIDDLE = BTC + 3_000
RULE = "            expected = (counted_sum + price * left) // (counted_time + left)\n"
WITHOUT = "            expected = price\n"


def settling(rows: dict[int, containers.Account]) -> State:
    """Market 0 settles at the mean of the hour that begins now."""
    return stage(rows, market={"status": constants.MARKET_SETTLING, "changed_at": NOW - constants.HOUR})


def rising(minute: int) -> list[int]:
    """Two markets rise by a tenth within the hour."""
    return [BTC + (TOP - BTC) * minute // 60, ETH + ETH * minute // 600, SOL]


def minutes(state: State, first: int, last: int) -> int:
    """A tick a minute, in both twins."""
    for minute in range(first, last + 1):
        now = NOW + minute * 60_000
        assert venue.run(state, venue.tick(now, rising(minute)), timestamp=now).codes == (c.OK,)
    return now


def drifted(state: State, *times: int) -> State:
    """The state of the Python law alone after ticks at these times; it is not made a root."""
    globals = state.globals
    for time in times:
        tick = venue.tick(NOW + time, rising(time // 60_000))
        ticked = markets.tick(venue.DOMAIN, globals, NOW + time, tick + bytes(32), recover_fast)
        assert ticked.code == c.OK
        take_tick(globals, ticked, 0)
    return state


class TestCloseAtThePrice:
    """Whoever knows most of the mean forces a close at the price, and whoever stands opposite pays the difference."""

    TIMES = (*range(60_000, 57 * 60_000, 60_000), *(57 * 60_000 + STEP * turn for turn in range(3)))
    CLOSED = NOW + TIMES[-1]

    def state(self) -> State:
        rows = {VICTIM: held(BITCOIN, 30_000), ATTACKER: held(-BITCOIN, 30_000, owner=OWNERS[2])}
        return settling(rows)

    def entries(self) -> tuple[bytes, bytes]:
        """The owner's entry, older than the tick at which the step closes."""
        close = forced(constants.FORCED_CLOSE, time=self.CLOSED - 1, amount=BITCOIN)
        return close, rescue(constants.CLOSE_STEP, other=ATTACKER)

    def test_off_it_leaves_at_the_price(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, markets, RULE, WITHOUT)
        state = drifted(self.state(), *self.TIMES)
        state.globals.streak = constants.STEADY_TICKS
        chunk = python_chunk(state, *self.entries(), timestamp=self.CLOSED)

        assert chunk.operation_codes == [c.OK, c.OK]
        won = value(row_of(chunk, VICTIM)) - 30_000 * DOLLAR
        assert won - BITCOIN * (MEAN - BTC) > 2_000 * DOLLAR

    def test_on_it_leaves_at_what_the_mean_comes_to_and_pays_the_penalty(self) -> None:
        state = self.state()
        minutes(state, 1, 56)
        for time in self.TIMES[-3:]:
            assert venue.run(state, venue.tick(NOW + time, rising(57)), timestamp=NOW + time).codes == (c.OK,)
        assert venue.run(state, *self.entries(), timestamp=self.CLOSED).codes == (c.OK, c.OK)
        won = value(state.account(VICTIM)) - 30_000 * DOLLAR
        minutes(state, 58, 60)
        now = NOW + constants.HOUR + STEP
        assert venue.run(state, venue.tick(now, [TOP, ETH, SOL]), timestamp=now).codes == (c.OK,)
        at_the_mean = BITCOIN * (state.globals.risk.price[0] - BTC)
        # A percent, and the few dollars by which the last minutes moved it.
        assert -650 * DOLLAR < won - at_the_mean < -600 * DOLLAR
        assert conservation(state).sound


class TestAtItsRequirement:
    """Long and short of two markets that move together; in the end the one is closed, which only reduces."""

    def state(self) -> State:
        positions = {0: position(BITCOIN, BITCOIN * BTC), 1: position(-2 * BITCOIN, -2 * BITCOIN * ETH)}
        funds = {2: account(containers.NOBODY, 10**6 * DOLLAR)}
        return settling(funds | {VICTIM: account(OWNERS[1], 1_600 * DOLLAR, positions)})

    def closing(self, state: State, now: int) -> list[bytes]:
        """All that is left of it is in the market that settles."""
        return venue.trade(state, POOL, VICTIM, 2 * BITCOIN, rising(60)[1], market=1, now=now)

    def test_off_it_owes_at_the_mean_what_nobody_may_ask_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, markets, RULE, WITHOUT)
        state = drifted(self.state(), *range(60_000, constants.HOUR + 1, 60_000))
        now = NOW + constants.HOUR
        chunk = python_chunk(state, *self.closing(state, now), timestamp=now)

        assert chunk.operation_codes[-1] == c.OK
        assert value(row_of(chunk, VICTIM), TOP) == 1_600 * DOLLAR
        assert value(row_of(chunk, VICTIM), MEAN) < -1_300 * DOLLAR

    def test_on_it_stands_at_the_mean(self) -> None:
        state = self.state()
        now = minutes(state, 1, 60)
        row = state.account(VICTIM)
        assert margin.equity(state.globals.risk, row) == value(row, state.globals.risk.price[0], rising(60)[1]) < 0
        assert state.globals.risk.price[0] < MEAN + BTC // 500
        orders = self.closing(state, now)
        assert venue.run(state, *orders[:-1], timestamp=now).codes == (c.OK, c.OK)
        assert_refused(state, *orders, code=c.TAKER_MARGIN, timestamp=now)

    def test_on_it_may_be_rescued_as_soon_as_it_owes_at_the_mean(self) -> None:
        state = self.state()
        now = minutes(state, 1, 30)
        for _ in range(2):
            now += STEP
            assert venue.run(state, venue.tick(now, rising(30)), timestamp=now).codes == (c.OK,)
        assert value(state.account(VICTIM), *rising(30)) == 1_600 * DOLLAR
        payload = operations.forced_rescue_payload(1, VICTIM, operations.ALL_LOTS)
        entry = venue.entry(constants.FORCED_RESCUE, payload, venue.DEPOSITOR, now)
        assert venue.run(state, entry, timestamp=now).codes == (c.OK,)


class TestWhatTheMeanComesTo:
    """The price of a settling market is what it would settle at, if the last price stayed."""

    def test_it_begins_at_the_price_and_ends_at_the_mean(self) -> None:
        state = settling({})
        low, high = BTC, 2 * MIDDLE - BTC
        for minute, price, expected in ((1, low, low), (30, low, low), (31, high, MIDDLE), (60, high, MIDDLE)):
            first = state.globals.tick_time // 60_000 - NOW // 60_000 + 1
            for turn in range(first, minute + 1):
                now = NOW + turn * 60_000
                tick = venue.tick(now, [price, ETH, SOL])
                assert venue.run(state, tick, timestamp=now).codes == (c.OK,)
            assert state.globals.risk.price[0] == expected
        assert venue.run(state, venue.tick(now + STEP, [1, ETH, SOL]), timestamp=now + STEP).codes == (c.OK,)
        assert (state.globals.risk.price[0], state.globals.markets[0].status) == (MIDDLE, constants.MARKET_SETTLED)

    @pytest.mark.parametrize(("gap", "price"), [(15, BTC + 2_000), (16, BTC + 6_000)])
    def test_where_the_hour_can_no_longer_settle_it_the_price_counts(self, gap: int, price: int) -> None:
        state = settling({})
        for minute in range(1, 31):
            now = NOW + minute * 60_000
            assert venue.run(state, venue.tick(now, [BTC, ETH, SOL]), timestamp=now).codes == (c.OK,)
        now += (gap + 1) * 60_000
        assert venue.run(state, venue.tick(now, [BTC + 6_000, ETH, SOL]), timestamp=now).codes == (c.OK,)
        assert state.globals.risk.price[0] == price


class TestBehindAMarketThatSettles:
    """The largest position stands in a market that settles, where no fund takes and no order grows."""

    def state(self) -> State:
        globals = stage({}).globals
        # A trace less of a requirement than the bitcoin's 720 dollars.
        lots = 719 * DOLLAR * PPM // (ETH * globals.risk.maintenance_ppm[1])
        legs = {0: position(BITCOIN, BITCOIN * BTC), 1: position(lots, lots * ETH)}
        funds = {1: account(containers.NOBODY, 10_000 * DOLLAR), 2: account(containers.NOBODY, 10**6 * DOLLAR)}
        rows = funds | {VICTIM: account(OWNERS[1], 300 * DOLLAR, legs)}
        globals.risk.initial_ppm[0] = PPM
        market = {"status": constants.MARKET_SETTLING, "changed_at": NOW - 1}
        return stage(rows, market=market, risk=globals.risk)

    def taken(self, state: State) -> bytes:
        return rescue(constants.TAKE_OVER, size_of(state.account(VICTIM), 1), market=1)

    def test_off_it_shields_the_other_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, law, "required * 2 >= ", "required >= ")
        state = self.state()
        chunk = python_chunk(state, self.taken(state), rescue(constants.TAKE_OVER, BITCOIN))
        assert chunk.operation_codes == [c.NOT_LARGEST, c.FUND_LIMIT]

    def test_on_the_fund_takes_the_other_one(self) -> None:
        state = self.state()
        assert venue.run(state, rescue(constants.TAKE_OVER, BITCOIN), self.taken(state)).codes == (c.FUND_LIMIT, c.OK)
        assert size_of(state.account(VICTIM), 1) == 0
        assert conservation(state).sound
