"""Exits while L1 is dear: who pays for their bytes, how much of it, and what happened without a bound."""

import pytest

from prover.stf import codes, constants
from sequencer.engine.engine import Engine
from sequencer.engine.records import EXIT_KEY, Bill, Input
from sequencer.sequencing.exits import COST_PPM, FILLS_OF_A_DAY, bill, takes
from sequencer.sequencing.staged_store import BufferedStore
from tests.sequencer.node_world import BTC, BUY, DOLLAR, DOMAIN, FIRST, IOC, PRICES, SELL, World, order, owner

PRICE = PRICES[BTC]
# 128,000 micro-dollars: at 500 gwei and 4,000 dollars an ether. A fill is 236 bytes: 30 dollars.
BYTE = 128_000
_DAY = 86_400_000


def held(lots: int = 1_000) -> World:
    """Account 1 is long, account 0 short, and nothing rests."""
    world = World(3)
    world.order(0, SELL, PRICE, lots)
    world.order(1, BUY, PRICE, lots)
    assert world.position(1) == lots
    return world


def asked(world: World, size: int, price: int = PRICE, side: int = SELL, **changes: int) -> Bill:
    """The bill of a reduce-only order of account 1."""
    return bill(world.engine, order(world.now, FIRST + 1, side, price, size, slot=9, reduce_only=1, **changes), BYTE)


def test_an_exit_that_rests_costs_nothing() -> None:
    assert asked(held(), 1) == Bill(0, True)


def test_an_exit_is_worth_its_bytes_where_they_cost_a_hundredth_of_what_it_closes() -> None:
    world = held(100_000)
    world.order(2, BUY, PRICE, 100_000)
    cost = 236 * BYTE - world.engine.globals.posting_fee
    least = -(-cost * constants.PPM // (COST_PPM * PRICE))
    assert 1_000 < least < 100_000
    assert (asked(world, least), asked(world, least - 1)) == (Bill(1, True), Bill(1, False))
    # At a tenth of the price of gas a tenth closes enough.
    small = order(world.now, FIRST + 1, SELL, PRICE, least // 10 + 1, slot=9, reduce_only=1)
    assert bill(world.engine, small, BYTE // 10).is_worth


def test_only_what_is_held_and_met_closes_anything() -> None:
    world = held()
    world.order(2, BUY, PRICE - 10, 100_000)
    assert asked(world, 10**6, PRICE - 10) == Bill(1, False)
    assert asked(world, 10**6, PRICE) == Bill(0, True)
    # A sale where nothing is long closes nothing.
    world.order(0, SELL, PRICE + 10, 1_000)
    assert asked(world, 1_000, PRICE + 10, BUY) == Bill(0, True)


@pytest.mark.parametrize("market", [3, 16, 255])
def test_a_market_that_is_not_there_is_left_to_the_law(market: int) -> None:
    world = held()
    assert asked(world, 100, market=market) == Bill(0, True)
    refused = world.order(1, SELL, PRICE, 100, market=market, reduce_only=1, slot=9)
    assert refused.code == codes.NO_MARKET


def test_an_account_that_is_not_there_holds_nothing() -> None:
    world = held()
    given = order(world.now, 9_999, SELL, PRICE, 100, reduce_only=1)
    assert bill(world.engine, given, BYTE) == Bill(0, True)


def test_every_maker_is_a_fill() -> None:
    world = held(100_000)
    for trader in (0, 2):
        for slot in range(10, 20):
            world.order(trader, BUY, PRICE, 200, slot=slot)
    assert asked(world, 4_000) == Bill(20, False)
    assert asked(world, 3_801).fills == 20
    assert asked(world, 3_800).fills == 19


def test_nobody_knows_what_a_stop_will_close() -> None:
    stop = {"trigger": constants.TRIGGER_AT_OR_BELOW, "trigger_price": PRICE - 9}
    assert asked(held(100_000), 100_000, PRICE - 50, **stop) == Bill(1, False)


def noted(world: World, given: Bill, fills: int, account: int = 1) -> None:
    """As the engine counts an exit that was taken."""
    world.engine.ledger.exit_fills.note(account, given, fills, world.now)


def test_an_account_has_so_many_fills_a_day() -> None:
    world = held()
    one, many = Bill(1, False), Bill(FILLS_OF_A_DAY, False)
    assert takes(world.engine, 1, one, world.now)
    noted(world, one, 1)
    assert [takes(world.engine, account, many, world.now) for account in (1, 2)] == [False, True]
    assert takes(world.engine, 1, Bill(FILLS_OF_A_DAY - 1, False), world.now)
    assert takes(world.engine, 1, Bill(100, True), world.now)
    assert takes(world.engine, 1, many, world.now + _DAY)


def test_makers_that_left_are_no_way_around_it() -> None:
    """The bill names one fill; that maker is gone, and the order meets many behind it."""
    world = held(100_000)
    for slot in range(10, 30):
        world.order(2, BUY, PRICE, 200, slot=slot)
    given = order(world.now, FIRST + 1, SELL, PRICE, 4_000, slot=9, reduce_only=1, time_in_force=IOC)
    taken = world.engine.process(Input(world.now, world.signed(given, 1), owner(1), bill=Bill(1, True)))
    assert len(taken.fills) == 20
    assert [takes(world.engine, FIRST + 1, Bill(1, is_worth), world.now) for is_worth in (True, False)] == [True, False]


def test_a_refused_exit_is_not_counted() -> None:
    world = held()
    given = order(world.now, FIRST + 1, SELL, PRICE, 1, slot=0, reduce_only=1)
    refused = world.engine.process(Input(world.now, world.signed(given, 1), owner(1), bill=Bill(5, False)))
    assert not refused.changed
    assert world.engine.ledger.exit_fills.of(FIRST + 1, world.now) == 0


def test_a_restart_counts_on_and_the_next_day_begins_with_nothing() -> None:
    world = held()
    noted(world, Bill(3, False), 2)
    noted(world, Bill(3, True), 3)
    noted(world, Bill(1, True), 5)
    noted(world, Bill(1, False), 1, account=2)
    world.seal()
    again = Engine(BufferedStore(world.store), DOMAIN)
    assert [again.ledger.exit_fills.of(account, world.now) for account in (1, 2, 3)] == [7, 1, 0]
    assert again.ledger.exit_fills.of(1, world.now + _DAY) == 0
    world.now += _DAY
    noted(world, Bill(1, False), 1, account=3)
    world.engine.store.stage(world.engine.inputs)
    world.engine.store.flush()
    assert [key[-1] for key, _ in world.store.iterate(EXIT_KEY)] == [3]


def paid_by_the_operator(engine: Engine, is_on: bool, world: World, pieces: int) -> int:
    """What so many one-lot exits cost it beyond their fees; micro-dollars."""
    cost = 0
    for piece in range(pieces):
        given = order(world.now, FIRST + 1, SELL, PRICE, 1, slot=9, reduce_only=1, time_in_force=IOC)
        asked_for = bill(engine, given, BYTE)
        if is_on and not takes(engine, given.account, asked_for, world.now):
            continue
        world.now += 1
        taken = world.order(1, SELL, PRICE, 1, slot=9 + piece % 100, reduce_only=1, time_in_force=IOC)
        assert taken.filled == 1
        cost += 236 * BYTE - engine.globals.posting_fee
        noted(world, asked_for, len(taken.fills), given.account)
    return cost


@pytest.mark.parametrize(("is_on", "dollars"), [(False, 120 * 30), (True, 16 * 30)])
def test_a_position_of_little_worth_is_closed_lot_by_lot(is_on: bool, dollars: int) -> None:
    """A position of six hundred dollars: without the bound the operator pays thousands for a part of it."""
    world = held()
    world.order(2, BUY, PRICE, 1_000)
    paid = paid_by_the_operator(world.engine, is_on, world, 120)
    assert dollars * DOLLAR * 9 // 10 < paid <= dollars * DOLLAR * 11 // 10
