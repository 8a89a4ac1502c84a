"""Reduce-only orders: none is larger than what it could reduce, none outlives its position (venue cases O2 and O3)."""

from prover.stf import constants
from sequencer.engine.asked.reducing import follow
from sequencer.engine.effects import Left, Processed, Reason, Shrunk
from tests.sequencer.node_world import BTC, BUY, ETH, FIRST, IOC, LOTS, PRICES, SELL, World

PRICE = PRICES[BTC]
STOP = {"reduce_only": 1, "trigger": constants.TRIGGER_AT_OR_BELOW, "trigger_price": PRICE - 1_000}


def trading() -> World:
    """Trader 0 is long by a thousand lots, against trader 1."""
    world = World(3)
    world.order(1, SELL, PRICE)
    world.order(0, BUY, PRICE, time_in_force=IOC)
    assert world.position(0) == LOTS
    return world


def changes(outcome: Processed) -> list[tuple[int, str, int]]:
    """(slot, what, lots) of whom an input shrank or took out because of a position."""
    found = []
    for effect in outcome.effects:
        if isinstance(effect, Left | Shrunk) and effect.reason is Reason.REDUCED:
            slot = int(effect.order, 16) >> 48 & 0xFF
            found.append((slot, type(effect).__name__, effect.lots))
    return found


def test_what_rests_is_no_more_than_the_position_from_the_beginning() -> None:
    world = trading()
    made = world.order(0, SELL, PRICE + 10, 10_000 * LOTS, reduce_only=1, slot=2)
    assert (made.status, made.remaining) == ("resting", LOTS)
    assert changes(made) == [(2, "Shrunk", LOTS)]
    assert world.engine.books[BTC].depth(1)[1] == [(PRICE + 10, LOTS)]
    (listed,) = [one for one in world.engine.open_orders(FIRST) if one[0].slot == 2]
    assert listed[1] == LOTS
    assert follow(world.engine._committing, [FIRST, FIRST + 1]) == []
    world.check()


def test_all_of_a_market_together_and_the_first_first() -> None:
    world = trading()
    world.order(0, SELL, PRICE + 10, 600, reduce_only=1, slot=2)
    second = world.order(0, SELL, PRICE + 20, 600, reduce_only=1, slot=3)
    third = world.order(0, SELL, PRICE + 30, 600, reduce_only=1, slot=4)
    assert changes(second) == [(3, "Shrunk", 400)]
    assert (third.status, changes(third)) == ("reduced", [(4, "Left", 600)])
    # An order that is no reduce-only order takes no part in it, nor does another market.
    assert changes(world.order(0, SELL, PRICE + 40, 600, slot=5)) == []
    assert changes(world.order(0, SELL, PRICES[ETH] + 40, 600, market=ETH, slot=6)) == []
    world.check()


def test_they_shrink_with_the_position_and_leave_with_it() -> None:
    world = trading()
    world.order(0, SELL, PRICE + 10, reduce_only=1, slot=2)
    world.order(0, SELL, PRICE - 2_000, slot=3, **STOP)
    world.order(2, BUY, PRICE - 5, 400)
    closed = world.order(0, SELL, PRICE - 5, 400, slot=4, time_in_force=IOC)
    assert changes(closed) == [(2, "Shrunk", 600)]
    assert world.waiting() == [(0, 3)]
    world.order(2, BUY, PRICE - 5, 600, slot=2)
    gone = world.order(0, SELL, PRICE - 5, 600, slot=5, time_in_force=IOC)
    assert [(slot, what) for slot, what, _ in changes(gone)] == [(2, "Left"), (3, "Left")]
    assert (world.position(0), world.waiting()) == (0, [])
    # O3: the next position, weeks later, is not closed by the stop of the last one.
    world.order(1, SELL, PRICE, slot=7)
    world.order(0, BUY, PRICE, slot=8)
    ticked = world.tick((PRICE - 1_500, *PRICES[1:]))
    assert ticked.fills == []
    assert world.position(0) == LOTS
    world.check()


def test_a_position_that_turns_takes_them_along() -> None:
    world = trading()
    world.order(0, SELL, PRICE - 2_000, slot=3, **STOP)
    world.order(2, BUY, PRICE - 5, 3 * LOTS)
    turned = world.order(0, SELL, PRICE - 5, 2 * LOTS, slot=4, time_in_force=IOC)
    assert world.position(0) == -LOTS
    assert changes(turned) == [(3, "Left", LOTS)]


def test_who_is_filled_as_a_maker_loses_them_too() -> None:
    world = trading()
    world.order(0, SELL, PRICE - 2_000, slot=3, **STOP)
    world.order(0, SELL, PRICE + 10, slot=4)
    taken = world.order(2, BUY, PRICE + 10, time_in_force=IOC)
    assert changes(taken) == [(3, "Left", LOTS)]
    assert world.position(0) == 0
    world.check()


def test_a_stop_that_fires_closes_what_there_is() -> None:
    world = trading()
    world.order(0, SELL, PRICE - 2_000, 5 * LOTS, slot=3, **STOP)
    world.order(2, BUY, PRICE - 1_800, 5 * LOTS)
    ticked = world.tick((PRICE - 1_500, *PRICES[1:]))
    assert [fill.size for fill in ticked.fills] == [LOTS]
    assert world.position(0) == 0
    assert world.engine.open_orders(FIRST) == []
    world.check()
