"""A market without a price: what stands in it is known by everybody to be none, and nobody else has to trade at it."""

import pytest

from prover.state.audit import conservation
from prover.state.state import State
from prover.stf import codes as c
from prover.stf import constants, containers, markets, rescue
from sequencer.engine.committing import Committing
from sequencer.engine.effects import Left, Reason
from sequencer.engine.engine import Engine
from sequencer.sequencing.staged_store import BufferedStore
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
    bid,
    forced,
    forced_rescue,
    held,
    row_of,
    size_of,
    stage,
    ticks,
    value,
)
from tests.attacks.stage import rescue as rescued
from tests.sequencer.engine.test_liquidator import seconds
from tests.sequencer.node_world import DOMAIN, FIRST, PRICES, World
from tests.twins import venue
from tests.twins.venue import DOLLAR, OWNERS, account, position

# 960,000 dollars: what a fund of 100,000 may take.
LOTS = 1_600_000
LOW = BTC * 7 // 10
HIGH = BTC * 12 // 10
NOBODY_ELSE = {POOL: account(OWNERS[5], 0)}


def ticks_without(state: State, count: int) -> int:
    """Ticks in which market 0 has no price."""
    now = state.globals.tick_time
    for _ in range(count):
        now += STEP
        assert venue.run(state, venue.tick(now, [0, ETH, SOL]), timestamp=now).codes == (c.OK,)
    assert state.globals.markets[0].status == constants.MARKET_REDUCE_ONLY
    assert (state.globals.risk.price[0], state.globals.markets[0].previous_price) == (BTC, constants.SET_ASIDE)
    return now


class TestForcedClose:
    """The loser of two own accounts leaves at the price that stood, and the fund or a stranger has his loss."""

    def state(self) -> State:
        rows = {VICTIM: held(LOTS, 120_000), ATTACKER: held(-LOTS, 120_000, owner=OWNERS[2])}
        return stage(NOBODY_ELSE | rows, fund=100_000)

    def entered(self) -> tuple[State, int]:
        state = self.state()
        now = ticks_without(state, 3)
        # Entered while nobody but the signers' sources lacks a price: the limit is the old one.
        entry = forced(constants.FORCED_CLOSE, time=now + 1, amount=LOTS, limit=BTC)
        assert venue.run(state, entry, timestamp=now + 1).codes == (c.OK,)
        return state, ticks_without(state, 1)

    def test_off_the_fund_takes_what_everybody_knows_to_have_fallen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, rescue, "        return codes.STALE\n    away", "    away")
        state, now = self.entered()
        chunk = python_chunk(state, rescued(constants.CLOSE_STEP, LOTS, other=1), timestamp=now)
        assert chunk.operation_codes == [c.OK]
        # A penalty of one percent is all that it costs; at the price that comes the fund is 178,400 below zero.
        assert value(row_of(chunk, VICTIM), LOW) == (120_000 - 9_600) * DOLLAR
        assert value(row_of(chunk, 1), LOW) == -178_400 * DOLLAR

    def test_on_the_head_ends(self) -> None:
        state, now = self.entered()
        assert venue.run(state, rescued(constants.CLOSE_STEP, LOTS, other=1), timestamp=now).codes == (c.STALE,)
        assert (state.globals.head_account, size_of(state.account(VICTIM))) == (0, LOTS)

    def test_two_ticks_with_a_price_are_enough(self) -> None:
        state, now = self.entered()
        now = ticks(state, LOW, LOW)
        assert venue.run(state, rescued(constants.CLOSE_STEP, LOTS, other=1), timestamp=now).codes == (c.LIMIT,)


class TestLeave:
    """Who leaves is closed in all markets that have a price, and paid what may leave; the entry ends at the others."""

    def test_the_others_first(self) -> None:
        legs = {0: position(BITCOIN, BITCOIN * BTC), 1: position(BITCOIN, BITCOIN * ETH)}
        funds = {1: account(containers.NOBODY, 10**6 * DOLLAR), 2: account(containers.NOBODY, 10**6 * DOLLAR)}
        state = stage(funds | {VICTIM: account(OWNERS[1], 100_000 * DOLLAR, legs)})
        now = ticks_without(state, 3)
        assert venue.run(state, forced(constants.LEAVE, time=now + 1), timestamp=now + 1).codes == (c.OK,)
        now = ticks_without(state, 1)
        in_bitcoin, in_ether = rescued(constants.CLOSE_STEP, other=1), rescued(constants.CLOSE_STEP, other=2, market=1)
        codes = venue.run(state, in_bitcoin, in_ether, in_bitcoin, in_ether, timestamp=now).codes
        assert codes == (c.UNSTEADY, c.OK, c.STALE, c.NO_HEAD)
        row = state.account(VICTIM)
        assert (size_of(row), size_of(row, 1)) == (BITCOIN, 0)
        # All but the quarter of guarantee 6 that its one position requires of a withdrawal.
        assert state.globals.withdrawal_count == 1
        assert conservation(state).sound


class TestUnwind:
    """A short buys the fund's lots at the price that stood."""

    def offered(self) -> tuple[State, tuple[bytes, bytes], int]:
        fund = held(10 * BITCOIN, 100_000, owner=containers.NOBODY)
        state = stage(NOBODY_ELSE | {1: fund, ATTACKER: held(-10 * BITCOIN, 150_000, owner=OWNERS[2])})
        now = ticks_without(state, 3)
        order = bid(BTC - 600, 10 * BITCOIN, now)
        return state, (order, rescued(constants.UNWIND, 10 * BITCOIN)), now

    def test_off_he_has_what_the_fund_would_have_won(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, rescue, "not under.clock.steady or under.previous[market] == 0", "not under.clock.steady")
        state, moves, now = self.offered()
        chunk = python_chunk(state, *moves, timestamp=now)
        assert chunk.operation_codes == [c.OK] * 2
        # Instead of 220,000 and 30,000.
        assert value(row_of(chunk, 1), HIGH) == (100_000 - 600) * DOLLAR
        assert value(row_of(chunk, ATTACKER), HIGH) == (150_000 + 600) * DOLLAR

    def test_on_nothing_is_unwound(self) -> None:
        state, moves, now = self.offered()
        assert venue.run(state, *moves, timestamp=now).codes == (c.OK, c.UNSTEADY)


class TestRescues:
    """Nor does a fund, a maker or anybody opposite take what is worth nobody knows what, whoever asks for it."""

    def fallen(self, dollars: int) -> tuple[State, int]:
        """Long in both markets: what ether has lost leaves so many dollars; the fund of each has money."""
        legs = {0: position(BITCOIN, BITCOIN * BTC), 1: position(BITCOIN, BITCOIN * ETH)}
        funds = {1: account(containers.NOBODY, 10**6 * DOLLAR), 2: account(containers.NOBODY, 10**6 * DOLLAR)}
        state = stage(funds | {VICTIM: account(OWNERS[1], dollars * DOLLAR, legs)})
        return state, ticks_without(state, 3)

    def test_off_the_fund_takes_what_has_fallen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rule_off(monkeypatch, rescue, "not under.clock.steady or under.previous[market] == 0", "not under.clock.steady")
        state = stage({VICTIM: held(BITCOIN, 100)}, fund=10**6)
        chunk = python_chunk(state, rescued(constants.TAKE_OVER), timestamp=ticks_without(state, 3))
        assert chunk.operation_codes == [c.OK]
        assert value(row_of(chunk, 1), LOW) == (10**6 + 100 - 18_000) * DOLLAR

    @pytest.mark.parametrize("dollars", [100, -100])
    def test_on_no_rescue_is_decided_there(self, dollars: int) -> None:
        state = stage({VICTIM: held(BITCOIN, dollars)}, fund=10**6)
        now = ticks_without(state, 3)
        order = bid(BTC, now=now)
        moves = rescued(constants.LIQUIDATE), rescued(constants.TAKE_OVER), rescued(constants.DELEVERAGE)
        assert venue.run(state, order, *moves, timestamp=now).codes == (c.OK, *[c.UNSTEADY] * 3)

    def test_no_entry_does_and_it_waits_for_nothing(self) -> None:
        state, now = self.fallen(200)
        assert venue.run(state, forced_rescue(time=now), timestamp=now).codes == (c.STALE,)
        assert size_of(state.account(VICTIM)) == BITCOIN

    def test_it_shields_no_other_position(self) -> None:
        """Bitcoin requires twice as much; ether is the largest of those that have a price."""
        state, now = self.fallen(200)
        moves = rescued(constants.TAKE_OVER, BITCOIN, market=1), rescued(constants.TAKE_OVER, BITCOIN)
        assert venue.run(state, *moves, timestamp=now).codes == (c.OK, c.UNSTEADY)
        assert (size_of(state.account(VICTIM)), size_of(state.account(VICTIM), 1)) == (BITCOIN, 0)
        assert conservation(state).sound

    def test_a_fund_below_zero_is_called_once_there_is_a_price(self) -> None:
        fund = held(BITCOIN, -1_000, owner=containers.NOBODY)
        state = stage({1: fund})
        now = ticks_without(state, 3)
        assert venue.run(state, forced_rescue(1, time=now), timestamp=now).codes == (c.STALE,)
        now = ticks(state, BTC)
        assert venue.run(state, forced_rescue(1, time=now), timestamp=now).codes == (c.STALE,)
        now = ticks(state, BTC)
        assert venue.run(state, forced_rescue(1, time=now), timestamp=now).codes == (c.OK,)
        assert state.globals.pool.owed == 1_000 * DOLLAR


class TestOrdersFromBefore:
    """Bids that may grow rest when the market is set aside: it only reduces from then on, and the law fills none."""

    PRICE = PRICES[0]

    def back(self) -> World:
        """A market with a price again, and account 1 in it."""
        world = World(5)
        assert world.order(0, constants.SELL, self.PRICE, 2_000).status == "resting"
        assert world.order(1, constants.BUY, self.PRICE, 1_000).status == "filled"
        assert world.order(4, constants.BUY, self.PRICE, 1_000).status == "filled"
        long = {"slot": 3, "expires_at": world.now + 86_000_000}
        assert world.order(2, constants.BUY, self.PRICE, 5_000, **long).status == "resting"
        assert world.order(0, constants.BUY, self.PRICE - 5, 1_000, reduce_only=1, **long).status == "resting"
        stop = {"trigger": constants.TRIGGER_AT_OR_ABOVE, "trigger_price": self.PRICE + 1_000, "slot": 5}
        assert world.order(3, constants.BUY, self.PRICE + 2_000, 1_000, **stop).status == "armed"
        for price, count in ((self.PRICE, 3), (0, 2), (self.PRICE, 3)):
            seconds(world, (price, *PRICES[1:]), count)
        assert world.engine.globals.markets[0].status == constants.MARKET_REDUCE_ONLY
        return world

    def leaves(self, world: World) -> int:
        """Lots of a stranger's position that he is rid of."""
        ioc = constants.IMMEDIATE_OR_CANCEL
        return world.order(1, constants.SELL, self.PRICE - 9, 1_000, reduce_only=1, slot=9, time_in_force=ioc).filled

    def test_off_they_keep_everybody_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Committing, "drop_refused_by_markets", lambda self: [])
        world = self.back()
        assert (self.leaves(world), world.position(1)) == (0, 1_000)

    def test_on_they_have_left_and_what_reduces_is_met(self) -> None:
        world = self.back()
        assert (world.resting(), world.waiting()) == ([(0, 3, 1_000)], [])
        assert (self.leaves(world), world.position(1)) == (1_000, 0)
        world.check()

    def test_what_has_left_is_told_and_once(self) -> None:
        world = World(2)
        assert world.order(0, constants.BUY, self.PRICE - 5, 1_000).status == "resting"
        seconds(world, PRICES, 2)
        outcomes = []
        for price in (0, 0, self.PRICE):
            world.seal()
            outcomes.append(world.tick((price, *PRICES[1:])))
        left = [[(one.account, one.reason) for one in each.effects if isinstance(one, Left)] for each in outcomes]
        assert left == [[(FIRST, Reason.MARKET)], [], []]

    def test_a_restart_drops_what_the_next_tick_does(self) -> None:
        world = self.back()
        again = Engine(BufferedStore(world.store), DOMAIN)
        assert [(order.account, order.slot) for order in again.orders.of_market(0)] == [(FIRST, 3)]


class TestComesBack:
    """A long leaves while his market has no price; a seat serves him at the first tick that has one, in the worse price
    of the two: the one that stood for hours."""

    STEP = rescued(constants.CLOSE_STEP, BITCOIN, other=ATTACKER)

    def leaving(self) -> tuple[State, bytes, int]:
        rows = {VICTIM: held(BITCOIN, 120_000), ATTACKER: held(-BITCOIN, 120_000, owner=OWNERS[2])}
        state = stage(NOBODY_ELSE | rows)
        entry = forced(constants.LEAVE, time=ticks_without(state, 60) + 1)
        return state, entry, state.globals.tick_time

    def test_off_he_is_closed_at_what_stood(self, monkeypatch: pytest.MonkeyPatch) -> None:
        state, entry, last = self.leaving()
        rule_off(monkeypatch, markets, "if listed.previous_price != constants.SET_ASIDE:", "if True:")
        tick = venue.tick(last + STEP, [HIGH, ETH, SOL])
        chunk = python_chunk(state, tick, entry, self.STEP, timestamp=last + STEP)
        assert chunk.operation_codes == [c.OK] * 3
        # 12,000 of the 12,000 that he has won are the seat's, and one percent of what stood.
        assert chunk.commitment.withdrawn_total == (120_000 - 600) * DOLLAR
        assert value(row_of(chunk, ATTACKER), HIGH) == (120_000 + 600) * DOLLAR

    def test_on_what_stood_is_no_price_before_it(self) -> None:
        state, entry, _ = self.leaving()
        now = ticks(state, HIGH)
        assert (state.globals.risk.price[0], state.globals.markets[0].previous_price) == (HIGH, 0)
        rescues = rescued(constants.TAKE_OVER), rescued(constants.LIQUIDATE)
        assert venue.run(state, bid(HIGH, now=now), *rescues, timestamp=now).codes == (c.OK, c.UNSTEADY, c.UNSTEADY)
        assert venue.run(state, entry, self.STEP, timestamp=now).codes == (c.OK, c.STALE)

        # From the next one on he has what the market is worth.
        state, entry, _ = self.leaving()
        now = ticks(state, HIGH, HIGH)
        assert state.globals.markets[0].previous_price == HIGH
        assert venue.run(state, entry, self.STEP, timestamp=now).codes == (c.OK, c.OK)
        assert state.commitment.withdrawn_total == 120_000 * DOLLAR
        assert state.account(VICTIM).fresh == (12_000 - 720) * DOLLAR
        assert conservation(state).sound
