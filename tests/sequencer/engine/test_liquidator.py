"""Whom the venue rescues: through the book first, the worst first, gently; then the fund, then the ranking."""

from collections.abc import Callable
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prover.standing import judged_by_rescue
from prover.state.trial import decide_rescue, next_chunk
from prover.stf import codes, constants, containers, encoding, margin
from prover.watch.watchlist import Watchlist
from sequencer.engine.effects import Fired, Rescued
from sequencer.engine.engine import Engine
from sequencer.engine.liquidator import most_lots
from sequencer.engine.post_mortem import DELEVERAGING, FORCED_CLOSE, LIQUIDATION, TAKE_OVER, UNWINDING
from sequencer.engine.ranking import ranking
from sequencer.sequencing.staged_store import BufferedStore
from tests.sequencer.node_world import (
    BTC,
    BUY,
    DOLLAR,
    DOMAIN,
    ETH,
    FIRST,
    PRICES,
    SELL,
    World,
    deposit,
    genesis_store,
    key,
    leave,
    order,
    owner,
    picture,
    signed_order,
)
from tests.twins.venue import begun

# 4.5 million dollars of BTC on 100,000 dollars: initial 90,000, maintenance 54,000.
HEAVY = 7_500_000
BREAK = 594_000


def crowded(longs: int = 1, traders: int = 6, fund: int = 0) -> World:
    """A world in which the first traders are long at 45 times and the ones after them short."""
    world = World(traders=traders)
    if fund:
        world.process(deposit(owner(50), fund, BTC + 1))
    for trader in range(longs):
        other = longs + trader
        assert world.order(other, SELL, PRICES[BTC], HEAVY).status == "resting"
        assert world.order(trader, BUY, PRICES[BTC], HEAVY).status == "filled"
    return world


def ticks(world: World, price: int, count: int = 3) -> list[str]:
    """So many ticks of one BTC price; the kinds of the rescues that they brought."""
    return seconds(world, (price, *PRICES[1:]), count)


def seconds(world: World, prices: tuple[int, ...], count: int) -> list[str]:
    """So many ticks of the same prices, the same way."""
    kinds: list[str] = []
    for _ in range(count):
        # As the edge does every second: an open chunk has one clock, and a tick may not lie far ahead of it.
        world.seal()
        outcome = world.tick(prices)
        assert outcome.code == codes.OK
        kinds += [record.kind for record in outcome.rescues]
    return kinds


def test_a_liquidation_is_gentle_and_told_whole() -> None:
    world = crowded()
    assert world.order(3, BUY, 593_950, HEAVY).status == "resting"
    assert ticks(world, PRICES[BTC], 2) == []
    assert ticks(world, BREAK, 1) == [], "the better of the last two prices is the old one"
    assert ticks(world, BREAK, 1) == [LIQUIDATION]
    (record,) = world.engine.rescues
    assert record.account == FIRST
    assert record.counterparty == FIRST + 3
    assert 0 < record.lots < HEAVY // 2
    assert world.position(0) == HEAVY - record.lots
    assert world.position(3) == record.lots
    assert record.price_ticks == 593_950
    assert record.zero_price_ticks is not None
    assert record.price_ticks > record.zero_price_ticks
    assert record.signers == [0, 1, 2, 3, 4]
    assert record.equity_before_micros < record.maintenance_before_micros
    assert record.equity_after_micros >= record.maintenance_after_micros
    better = record.equity_after_micros * record.maintenance_before_micros
    assert better >= record.equity_before_micros * record.maintenance_after_micros
    assert record.one_lot_less_equity_micros is not None
    assert record.one_lot_less_initial_micros is not None
    assert record.one_lot_less_equity_micros < record.one_lot_less_initial_micros
    assert record.fee_micros == margin.collateral(world.engine.account(BTC + 1)) > 0
    assert record.equity_after_micros > 0.98 * record.equity_before_micros - record.fee_micros
    assert ticks(world, BREAK, 1) == [], "healthy again"
    world.check()


def test_a_short_is_bought_back() -> None:
    world = crowded()
    assert world.order(3, SELL, 606_140, HEAVY).status == "resting"
    assert ticks(world, 606_100, 3) == [LIQUIDATION]
    (record,) = world.engine.rescues
    assert record.account == FIRST + 1
    assert world.position(1) == record.lots - HEAVY
    world.check()


def test_a_wick_liquidates_nobody() -> None:
    world = crowded()
    world.order(3, BUY, 560_000, HEAVY, slot=2)
    ticks(world, PRICES[BTC], 2)
    for price in (560_000, PRICES[BTC], 560_000, PRICES[BTC]):
        assert ticks(world, price, 1) == []


def test_nobody_is_liquidated_without_three_ticks_in_a_row() -> None:
    world = crowded()
    world.order(3, BUY, 593_950, HEAVY)
    for _ in range(4):
        world.now += constants.TICK_STEP
        assert ticks(world, BREAK, 1) == []
    assert ticks(world, BREAK, 2) == [LIQUIDATION]


def test_whoever_lacks_most_goes_first() -> None:
    world = World(traders=8)
    world.process(deposit(owner(50), 2_000_000 * DOLLAR, BTC + 1))
    for trader, size in ((0, HEAVY), (1, HEAVY + 300_000)):
        world.order(2 + trader, SELL, PRICES[BTC], size)
        world.order(trader, BUY, PRICES[BTC], size)
    world.order(4, BUY, 593_950, 100_000)
    world.order(5, BUY, 593_940, HEAVY)
    ticks(world, BREAK)
    first, *rest = world.engine.rescues
    assert (first.account, first.counterparty, first.lots) == (FIRST + 1, FIRST + 4, 100_000)
    assert {record.account for record in rest} == {FIRST, FIRST + 1}
    world.check()


def test_an_owners_own_order_is_passed_over() -> None:
    world = crowded()
    world.process(deposit(owner(0), 100_000 * DOLLAR))
    own = world.engine.accounts_of(owner(0))[1] - FIRST
    given = order(world.now, FIRST + own, BUY, 593_980, 100_000)
    assert world.process(signed_order(given, key(0))).status == "resting"
    world.order(3, BUY, 593_950, HEAVY)
    assert LIQUIDATION in ticks(world, BREAK)
    assert {record.counterparty for record in world.engine.rescues} == {FIRST + 3}


def test_a_maker_without_margin_leaves_and_the_next_one_takes() -> None:
    world = crowded(traders=7)
    # Trader 3's money covered both when they came: then ETH took what its BTC order stood on.
    world.order(3, BUY, 593_960, 1_000_000)
    world.order(5, SELL, PRICES[ETH], 13_000_000, market=ETH, slot=2)
    world.order(3, BUY, PRICES[ETH], 13_000_000, market=ETH, slot=2)
    world.order(4, BUY, 593_950, HEAVY)
    assert seconds(world, (BREAK, PRICES[ETH] * 99 // 100, PRICES[2]), 3) == [LIQUIDATION]
    assert world.engine.rescues[0].counterparty == FIRST + 4
    assert all(trader != 3 for trader, _, _ in world.resting())


def test_rescues_come_before_the_stops_that_a_tick_fires() -> None:
    world = crowded(fund=2_000_000 * DOLLAR)
    world.order(3, BUY, 593_950, HEAVY)
    assert ticks(world, PRICES[BTC], 2) + ticks(world, BREAK, 1) == []
    # Both would take the same bid at the same tick.
    given = {"trigger": constants.TRIGGER_AT_OR_BELOW, "trigger_price": BREAK - 10, "slot": 3}
    assert world.order(5, SELL, 593_000, HEAVY, **given).status == "armed"
    world.seal()
    outcome = world.tick((BREAK - 10, *PRICES[1:]))
    kinds = [type(effect) for effect in outcome.effects if isinstance(effect, Rescued | Fired)]
    assert kinds == [Rescued, Fired]
    (record,) = world.engine.rescues
    assert (record.counterparty, record.kind) == (FIRST + 3, LIQUIDATION)
    assert [fill.taker - FIRST for fill in outcome.fills] == [0, 5]
    world.check()


def test_below_close_out_without_a_bid_the_fund_takes_over() -> None:
    world = crowded(fund=2_000_000 * DOLLAR)
    assert ticks(world, 591_500) == [TAKE_OVER]
    (record,) = world.engine.rescues
    assert record.account == FIRST
    assert record.lots == HEAVY
    assert world.position(0) == 0
    assert encoding.unpack(world.engine.account(BTC + 1).positions[BTC]).size == HEAVY
    assert record.counterparty == BTC + 1
    assert record.paid_by_fund_micros == 0
    # At the zero price what is left of one position is exactly nothing.
    assert margin.collateral(world.engine.account(FIRST)) == 0
    world.check()


def test_nobody_is_rescued_in_a_market_without_a_price() -> None:
    world = crowded(fund=2_000_000 * DOLLAR)
    assert ticks(world, PRICES[BTC], 2) == []
    assert ticks(world, 591_500, 1) == []
    assert ticks(world, 0, 3) == [], "below close-out at the one price that there is"
    assert world.position(0) == HEAVY
    assert ticks(world, 591_500, 1) == [], "what stood is no price before it"
    assert ticks(world, 591_500, 1) == [TAKE_OVER]
    world.check()


def test_a_leave_ends_where_there_is_no_price_left_to_close_at() -> None:
    world = crowded(fund=20_000_000 * DOLLAR)
    ticks(world, PRICES[BTC])
    ticks(world, 0, 3)
    assert world.process(leave(world.now - 1, FIRST, owner(0))).code == codes.OK
    ticks(world, 0, 1)
    # Nothing is closed at a price that is none, and nobody behind waits for one.
    assert world.position(0) == HEAVY
    assert world.engine.entries[-1].done
    world.check()


def test_between_maintenance_and_close_out_the_fund_does_not_take_over() -> None:
    world = crowded(fund=2_000_000 * DOLLAR)
    assert ticks(world, 593_500) == []
    assert world.position(0) == HEAVY


def test_the_fund_takes_no_more_than_it_may_turn_over() -> None:
    world = crowded(fund=100_000 * DOLLAR)
    assert ticks(world, 591_500)[0] == TAKE_OVER
    taken = encoding.unpack(world.engine.account(BTC + 1).positions[BTC]).size
    fund = margin.equity(world.engine.globals.risk, world.engine.account(BTC + 1))
    assert 100_000 * DOLLAR < fund < 110_000 * DOLLAR
    assert 99 * fund // 10 < taken * 591_500 <= 10 * fund
    assert world.position(0) == HEAVY - taken
    world.check()


def test_below_zero_without_a_fund_the_ranking_bears_it() -> None:
    world = crowded()
    kinds = ticks(world, 580_000)
    assert set(kinds) == {DELEVERAGING}
    assert world.position(0) == 0
    assert world.position(1) == 0
    assert margin.collateral(world.engine.account(FIRST)) == 0
    # The winner keeps what the loser had: 100,000 dollars less fees, and not the 150,000 that the price says.
    assert 196_000 * DOLLAR < margin.collateral(world.engine.account(FIRST + 1)) < 198_000 * DOLLAR
    world.check()


def test_where_nobody_won_in_the_largest_market_the_next_one_is_closed() -> None:
    world = World(traders=6)
    for short, market, lots in ((1, BTC, 4_000_000), (2, ETH, 6_000_000)):
        world.order(short, SELL, PRICES[market], lots, market=market, slot=short)
        world.order(0, BUY, PRICES[market], lots, market=market, slot=short)
    at_other_hands(world, 585_000, 585_000, 4_000_000, PRICES[ETH])
    assert seconds(world, (585_500, 290_000, PRICES[2]), 4) == [DELEVERAGING, DELEVERAGING]
    assert (world.position(0), world.position(0, ETH)) == (0, 0)
    first, second = world.engine.rescues
    assert (first.market, second.market) == (ETH, BTC)
    # Nobody can bear anything of what is left, and the fund has nothing: unsettled money does, or will.
    pool = world.engine.globals.pool
    assert pool.receivable + pool.owed > 0
    assert margin.collateral(world.engine.account(FIRST)) == 0
    world.check()


def test_what_the_fund_and_the_winner_do_not_pay_is_a_debt() -> None:
    world = crowded(fund=20_000 * DOLLAR)
    at_other_hands(world, 585_000, 586_010, HEAVY)
    # What fund and winner pay first, then what they do not.
    assert ticks(world, 586_000, 4) == [TAKE_OVER, DELEVERAGING, DELEVERAGING]
    taken, paid, owed = world.engine.rescues
    assert paid.paid_by_fund_micros > 0
    assert 0 == world.position(0) == HEAVY - taken.lots - paid.lots - owed.lots
    pool = world.engine.globals.pool
    assert pool.receivable + pool.owed > 0
    world.check()


def test_a_position_that_has_won_nothing_is_closed_where_the_fund_pays_it_all() -> None:
    world = crowded(fund=100_000 * DOLLAR)
    at_other_hands(world, 585_000, 585_000, HEAVY)
    assert ticks(world, 586_000, 4) == [TAKE_OVER, DELEVERAGING]
    lost = encoding.unpack(world.engine.account(FIRST + 3).positions[BTC])
    assert lost.size * 586_000 - lost.cost < 0, "it was at a loss"
    assert world.engine.rescues[-1].counterparty == FIRST + 3
    assert world.position(0) == 0
    world.check()


def crowd_of_shorts(count: int, dollars: int, lots: int) -> World:
    """Trader 0 long at 45 times against a rich winner, trader 1; so many shorts that sold at 585,500 to trader 2."""
    world = World(traders=1)
    for trader, money in ((1, 4_500_000), (2, 1_000_000), *((3 + decoy, dollars) for decoy in range(count))):
        world.process(deposit(owner(trader), money * DOLLAR))
    world.order(1, SELL, PRICES[BTC], HEAVY)
    world.order(0, BUY, PRICES[BTC], HEAVY)
    assert ticks(world, 587_500, 3) + ticks(world, 585_000, 1) == []
    for decoy in range(count):
        assert world.order(2, BUY, 585_500, lots, slot=2 + decoy % 200).status == "resting"
        assert world.order(3 + decoy, SELL, 585_500, lots).status == "filled"
    return world


def test_a_crowd_that_can_bear_nothing_shields_nobody() -> None:
    """High scores of small wins: each lot of trader 0 lacks more than theirs have won."""
    world = crowd_of_shorts(40, dollars=1_000, lots=80_000)
    rows = [(index, world.engine.account(index)) for index in sorted(world.engine.holders)]
    ranked = ranking(world.engine.globals, world.now, BTC, -1, rows)
    assert [place.rank for place in ranked if place.account == FIRST + 1] == [41]
    assert ticks(world, 585_000) == [DELEVERAGING]
    assert world.engine.rescues[-1].counterparty == FIRST + 1
    assert world.position(0) == 0
    world.check()


def test_a_crowd_whose_margin_can_bear_nothing_shields_nobody() -> None:
    """They have won enough a lot, and lost it in another market."""
    world = crowd_of_shorts(40, dollars=4_000, lots=80_000)
    for decoy in range(40):
        world.order(2, BUY, 589_000, 80_000, slot=45 + decoy)
        assert world.order(3 + decoy, SELL, 589_000, 80_000, slot=2).status == "filled"
        world.order(2, SELL, PRICES[ETH], 260_000, slot=90 + decoy, market=ETH)
        assert world.order(3 + decoy, BUY, PRICES[ETH], 260_000, slot=3, market=ETH).status == "filled"
    left = judged_by_rescue(world.engine.globals, world.engine.account(FIRST + 3), world.now).equity
    eth = PRICES[ETH] - (left - DOLLAR) // 260_000
    world.now += constants.TICK_STEP
    assert seconds(world, (585_000, eth, PRICES[2]), 2) == []
    assert DELEVERAGING in seconds(world, (585_000, eth, PRICES[2]), 1)
    assert {record.counterparty for record in world.engine.rescues if record.account == FIRST} == {FIRST + 1}
    assert world.position(0) == 0
    world.check()


def test_a_crowd_of_small_winners_is_asked_last() -> None:
    world = World(traders=1)
    for trader, money in ((1, 4_500_000), (2, 100), *((3 + decoy, 100) for decoy in range(20))):
        world.process(deposit(owner(trader), money * DOLLAR))
    world.order(1, SELL, PRICES[BTC], HEAVY - 20 * 7_000)
    for decoy in range(20):
        assert world.order(3 + decoy, SELL, PRICES[BTC], 7_000).status == "resting"
    assert world.order(0, BUY, PRICES[BTC], HEAVY).status == "filled"
    assert set(ticks(world, 585_000)) == {DELEVERAGING}
    first = world.engine.rescues[0]
    assert (first.counterparty, first.lots) == (FIRST + 1, HEAVY - 20 * 7_000)
    assert world.position(0) == 0
    world.check()


def at_other_hands(world: World, price: int, dealt: int, lots: int, eth: int = PRICES[ETH]) -> None:
    """The first short buys back from trader 3, who has won nothing; the ticks are then no row for long enough."""
    world.now += constants.TICK_STEP
    world.seal()
    assert world.tick((price, eth, PRICES[2])).rescues == []
    world.order(3, SELL, dealt, lots, slot=3)
    assert world.order(1, BUY, dealt, lots, slot=3).status == "filled"
    world.now += constants.TICK_STEP


def deleverage_code(world: World, lots: int) -> int:
    """What the law says to closing so many lots of trader 0 against trader 3."""
    move = containers.Rescue(maker=0, market=BTC, account=FIRST, other=FIRST + 3, lots=lots)
    return decide_rescue(next_chunk(world.engine.view, world.now), constants.DELEVERAGE, move).code


def test_below_zero_the_fund_pays_before_anybody_bears() -> None:
    world = crowded(fund=10_000_000 * DOLLAR)
    assert ticks(world, 580_000) == [TAKE_OVER]
    assert world.engine.rescues[0].paid_by_fund_micros > 50_000 * DOLLAR
    assert world.position(1) == -HEAVY
    world.check()


def test_an_insurance_account_unwinds_into_the_book() -> None:
    world = crowded(fund=2_000_000 * DOLLAR)
    ticks(world, 591_500)
    world.order(3, BUY, 591_000, 1_000_000)
    assert ticks(world, 591_500, 1) == [UNWINDING]
    assert encoding.unpack(world.engine.account(BTC + 1).positions[BTC]).size == HEAVY - 1_000_000
    world.order(4, BUY, 590_800, 1_000_000)
    assert ticks(world, 591_500, 1) == [], "more than ten basis points below the oracle price"
    world.check()


def test_a_fund_below_maintenance_is_reduced_against_the_ranking() -> None:
    world = crowded(fund=100_000 * DOLLAR)
    assert ticks(world, 591_500)[0] == TAKE_OVER
    fund = BTC + 1
    taken = encoding.unpack(world.engine.account(fund).positions[BTC]).size
    # Nobody bids for it, and the price goes on by a tenth: a tenth of the fund is left.
    kinds = seconds(world, (538_000, *PRICES[1:]), 4)
    assert DELEVERAGING in kinds
    record = next(record for record in world.engine.rescues if record.account == fund)
    assert (record.counterparty, record.price_ticks, record.paid_by_fund_micros) == (FIRST + 1, 538_000, 0)
    row = world.engine.account(fund)
    assert 0 < encoding.unpack(row.positions[BTC]).size == taken - record.lots
    judged = judged_by_rescue(world.engine.globals, row, world.now)
    assert judged.initial <= judged.equity
    world.check()


def test_rescues_survive_a_restart() -> None:
    world = crowded(fund=2_000_000 * DOLLAR)
    ticks(world, 591_500)
    world.seal()
    again = Engine(BufferedStore(world.store), world.domain)
    assert list(again.rescues) == list(world.engine.rescues)
    assert again.rescues[0].kind == TAKE_OVER


def test_who_leaves_is_closed_against_the_fund_and_paid() -> None:
    world = crowded(fund=20_000_000 * DOLLAR)
    ticks(world, PRICES[BTC])
    ticks(world, PRICES[BTC] + 900, 1)
    outcome = world.process(leave(world.now - 1, FIRST, owner(0)))
    assert outcome.code == codes.OK
    # Whoever closes gets the worse price of two, and one percent less at most.
    (record,) = outcome.rescues
    assert (record.kind, record.lots, record.counterparty) == (FORCED_CLOSE, HEAVY, BTC + 1)
    assert (record.judged_price_ticks, record.oracle_price_ticks) == (PRICES[BTC], PRICES[BTC] + 900)
    assert record.equity_after_micros == record.equity_before_micros - HEAVY * PRICES[BTC] // 100
    assert (world.position(0), world.engine.account(BTC + 1).positions[BTC] != 0) == (0, True)
    assert world.engine.entries[-1].done
    assert world.engine.withdrawals[-1].recipient == owner(0)
    world.check()


def test_whoever_left_has_no_orders_left_and_holds_up_nobody() -> None:
    world = crowded(fund=2_000_000 * DOLLAR)
    ticks(world, 591_500)
    assert encoding.unpack(world.engine.account(BTC + 1).positions[BTC]).size == HEAVY
    world.order(4, BUY, 591_050, 1_000)
    world.order(5, BUY, 591_000, 1_000_000)
    assert world.process(leave(world.now, FIRST + 4, owner(4))).code == codes.OK
    assert [trader for trader, _, _ in world.resting()] == [5]
    assert ticks(world, 591_500, 1) == [UNWINDING]
    world.check()


def test_a_fund_unwinds_past_a_maker_without_margin() -> None:
    world = crowded(fund=2_000_000 * DOLLAR)
    ticks(world, 591_500)
    # Two orders that there is money for one by one, and not together.
    world.order(4, BUY, 591_050, 8_000_000, slot=1)
    world.order(4, BUY, 591_040, 8_000_000, slot=2)
    world.order(5, BUY, 591_000, 1_000_000)
    assert UNWINDING in ticks(world, 591_500, 2)
    world.check()


def test_a_fund_in_trouble_lets_go_whoever_leaves() -> None:
    world = crowded(longs=2, fund=920_000 * DOLLAR)
    ticks(world, PRICES[BTC] * 1_016 // 1_000)
    assert encoding.unpack(world.engine.account(BTC + 1).positions[BTC]).size == -2 * HEAVY
    ticks(world, PRICES[BTC] * 1_120 // 1_000, 4)
    assert world.process(leave(world.now - 1, FIRST, owner(0))).code == codes.OK
    assert (world.position(0), begun(world.engine.view.commitment)) == (0, 0)
    world.check()


def test_a_debtor_is_closed_whoever_has_won_what_he_lost() -> None:
    """The only short is below zero, nobody has won anything and there is no fund: unsettled money pays for him."""
    world = World(traders=4, dollars=1_500)
    world.process(deposit(owner(2), 50_000 * DOLLAR, FIRST + 2))
    price, lots = PRICES[BTC], 100_000
    world.order(0, SELL, price, lots)
    world.order(1, BUY, price, lots)
    ticks(world, price * 1_022 // 1_000)
    dear = price * 1_022 // 1_000 * 1_015 // 1_000
    world.order(1, SELL, dear, lots, slot=3)
    world.order(2, BUY, dear, lots, slot=3)
    ticks(world, price * 1_030 // 1_000, 4)
    assert (world.position(2), world.position(0)) == (0, 0)
    assert margin.collateral(world.engine.account(FIRST)) == 0
    pool = world.engine.globals.pool
    # Who sold at 1.015 times has realised it, and pays.
    assert (pool.receivable > 0, pool.owed) == (True, 0)
    assert world.process(leave(world.now - 1, FIRST + 2, owner(2))).code == codes.OK
    assert begun(world.engine.view.commitment) == 0
    assert world.process(deposit(owner(3), 10 * DOLLAR, FIRST + 3)).code == codes.OK
    world.check()


def test_a_forced_close_waits_for_three_ticks_in_a_row() -> None:
    world = crowded(fund=20_000_000 * DOLLAR)
    world.now += constants.TICK_STEP
    ticks(world, PRICES[BTC], 1)
    assert world.process(leave(world.now - 1, FIRST, owner(0))).code == codes.OK
    world.seal()
    ticks(world, PRICES[BTC], 1)
    assert (world.position(0), begun(world.engine.view.commitment)) == (HEAVY, 1)
    ticks(world, PRICES[BTC], 1)
    assert (world.position(0), begun(world.engine.view.commitment)) == (0, 0)
    world.check()


@pytest.mark.parametrize("restarts", [False, True])
def test_a_forced_close_without_a_price_ends_in_silence(restarts: bool) -> None:
    world = crowded(fund=20_000_000 * DOLLAR)
    world.now += constants.TICK_STEP
    ticks(world, PRICES[BTC], 1)
    quiet = world.now + constants.HEAD_PATIENCE
    assert world.process(leave(world.now - 1, FIRST, owner(0))).code == codes.OK
    # What is in the queue passes it.
    assert world.process(deposit(owner(3), 10 * DOLLAR, FIRST + 3)).code == codes.OK
    world.seal()
    if restarts:
        world.engine = Engine(BufferedStore(world.store), world.domain)
    assert [entry.done for entry in world.engine.entries][-2:] == [False, True]
    # The edge's own seals change nothing, however late it is, and are in no journal.
    journaled = len(world.journal)
    world.now = quiet + constants.HOUR
    world.seal()
    assert (begun(world.engine.view.commitment), len(world.journal)) == (2, journaled)
    # An entry that came half an hour later, and no tick before it, does.
    assert world.process(leave(quiet, 0, owner(5))).code == codes.RESERVED
    world.seal()
    assert begun(world.engine.view.commitment) == 3
    assert world.process(leave(quiet + 1, 0, owner(5))).code == codes.RESERVED
    world.seal()
    assert begun(world.engine.view.commitment) == 0
    head = world.engine.entries[-4]
    assert (head.done, head.code, world.position(0)) == (True, codes.STALE, HEAVY)
    world.check()


def test_the_ranking_is_by_return_times_leverage() -> None:
    world = World(traders=6)
    sold = ((0, 1, 1_000_000, 600_000), (0, 2, 4_000_000, 600_000), (4, 3, 4_000_000, 590_000))
    for buyer, trader, size, price in sold:
        world.order(buyer, BUY, price, size, slot=1 + trader)
        world.order(trader, SELL, price, size)
    ticks(world, 580_000, 1)
    rows = [(FIRST + trader, world.engine.account(FIRST + trader)) for trader in range(6)]
    ranked = ranking(world.engine.globals, world.now, BTC, -1, rows)
    assert [place.account for place in ranked] == [FIRST + 2, FIRST + 3, FIRST + 1]
    assert [place.rank for place in ranked] == [1, 2, 3]
    assert ranking(world.engine.globals, world.now, BTC, 1, rows) == [], "the long is at a loss"
    account = world.engine.account(FIRST + 1)
    held = encoding.unpack(account.positions[BTC])
    profit = held.size * 580_000 - held.cost
    equity = margin.collateral(account) + profit
    score = Fraction(profit, abs(held.cost)) * Fraction(abs(held.size) * 580_000, equity)
    assert ranked[2].score_ppm == int(score * 10**6)


@pytest.mark.parametrize(("limit", "most", "expected"), [(5, 10, 5), (10, 10, 10), (0, 10, 0), (1, 1, 1), (3, 0, 0)])
def test_the_most_lots_that_the_law_takes(limit: int, most: int, expected: int) -> None:
    def code_of(lots: int) -> int:
        return codes.OK if lots <= limit else codes.TOO_MANY_LOTS

    assert most_lots(code_of, most, codes.TOO_MANY_LOTS) == expected
    assert most_lots(lambda lots: codes.HEALTHY, most, codes.TOO_MANY_LOTS) == 0


def test_a_healthy_account_has_no_rescue() -> None:
    world = crowded()
    judged = judged_by_rescue(world.engine.globals, world.engine.account(FIRST), world.now)
    assert judged.equity >= judged.maintenance
    assert ticks(world, 597_000) == []


def test_a_leave_that_one_price_of_two_calls_insolvent_waits_also_without_ticks() -> None:
    """The node decides a step as the law does, also at no price at all."""
    world = World(traders=2, dollars=1_500)
    price, lots = PRICES[BTC], 100_000
    world.order(0, SELL, price, lots)
    world.order(1, BUY, price, lots)
    ticks(world, price, 2)
    ticks(world, price * 97 // 100, 1)
    ticks(world, price, 1)
    last = world.now
    assert world.process(leave(world.now - 1, FIRST + 1, owner(1))).code == codes.OK
    assert (world.position(1), begun(world.engine.view.commitment)) == (lots, 1)
    for silence in (25_000, constants.FORCED_PRICE_AGE, constants.HEAD_PATIENCE):
        world.now = last + silence
        world.seal()
        assert begun(world.engine.view.commitment) == 1
    # After half an hour without a tick it must not stop the queue, once something came behind it.
    world.now = last + constants.HEAD_PATIENCE + 1
    world.seal()
    assert begun(world.engine.view.commitment) == 1
    assert world.process(leave(world.now, 0, owner(1))).code == codes.RESERVED
    world.seal()
    assert (world.position(1), begun(world.engine.view.commitment)) == (lots, 0)
    assert world.engine.entries[-2].code == codes.STALE
    world.check()


class Everybody(Watchlist):
    """Looks at all who hold a position, whatever the prices."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(multiple=1)
        self.engine = engine

    def near(self, risk: containers.Risk, account_of: Callable[[int], containers.Account]) -> list[int]:
        return sorted(self.engine.holders)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32))
def test_a_look_at_those_who_are_near_rescues_whom_a_look_at_everybody_does(seed: int) -> None:
    rng = Random(seed)
    world = World(traders=8)
    world.process(deposit(owner(50), rng.choice((1, 2_000_000)) * DOLLAR, BTC + 1))
    other = Engine(BufferedStore(genesis_store()), DOMAIN)
    other._ledger.watchlist = Everybody(other)
    prices = list(PRICES)
    for _ in range(60):
        if rng.random() < 0.5:
            market, trader = rng.randrange(3), rng.randrange(8)
            price = prices[market] * rng.randrange(990, 1_011) // 1_000
            size = int(rng.uniform(0.1, 3) * 1_500_000 * DOLLAR / price)
            world.order(trader, rng.choice((BUY, SELL)), price, size, slot=rng.randrange(1, 9), market=market)
        else:
            step = rng.choice((2, 20, 80))
            prices = [price * (1_000 + rng.randint(-step, step)) // 1_000 for price in prices]
            for _ in range(rng.choice((1, 3, 4))):
                world.seal()
                premiums = tuple(rng.choice((0, 500, -500)) for _ in range(3))
                assert world.tick(tuple(prices), premiums).code == codes.OK
    for count, taken in enumerate(world.journal, start=1):
        assert other.process(taken).changed
        other.flush(count)
    assert picture(other) == picture(world.engine)
