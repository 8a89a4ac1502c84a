"""One cancels the other: a stop and a target of one group, filled whole, in part, and not at all."""

from copy import deepcopy

from prover.stf import constants
from sequencer.engine.asked.linked import settle
from sequencer.engine.asked.links import Links
from sequencer.engine.effects import Left, Processed, Reason, Shrunk
from sequencer.engine.engine import Engine
from sequencer.engine.records import Terms
from sequencer.sequencing.staged_store import BufferedStore
from tests.sequencer.node_world import BTC, BUY, DOMAIN, FIRST, IOC, LOTS, PRICES, SELL, World

PRICE = PRICES[BTC]
STOP = {"reduce_only": 1, "trigger": constants.TRIGGER_AT_OR_BELOW, "trigger_price": PRICE - 1_000}
OCO = Terms(group=7)


def held(half: int = LOTS // 2) -> World:
    """Trader 0 is long by a thousand lots; a stop in slot 2 and a target in slot 3 are for half of it."""
    world = World(3)
    world.order(1, SELL, PRICE)
    world.order(0, BUY, PRICE, time_in_force=IOC)
    world.order(0, SELL, PRICE - 2_000, half, slot=2, terms=OCO, **STOP)
    world.order(0, SELL, PRICE + 10, half, slot=3, terms=OCO, reduce_only=1)
    return world


def linked(outcome: Processed) -> list[tuple[int, str, int]]:
    """(slot, what, lots) of whom an input shrank or took out because of a link."""
    return [
        (int(effect.order, 16) >> 48 & 0xFF, type(effect).__name__, effect.lots)
        for effect in outcome.effects
        if isinstance(effect, Left | Shrunk) and effect.reason is Reason.LINKED
    ]


def test_a_target_that_is_filled_takes_its_stop_out() -> None:
    world = held()
    taken = world.order(2, BUY, PRICE + 10, LOTS // 2, time_in_force=IOC)
    assert linked(taken) == [(2, "Left", LOTS // 2)]
    # There is a position still, so that it is the link and not the position.
    assert (world.position(0), world.waiting(), len(world.engine.orders.links)) == (LOTS // 2, [], 0)
    world.check()


def test_what_is_filled_of_a_target_is_taken_from_its_stop() -> None:
    world = held()
    taken = world.order(2, BUY, PRICE + 10, 200, time_in_force=IOC)
    assert linked(taken) == [(2, "Shrunk", LOTS // 2 - 200)]
    world.order(2, BUY, PRICE - 1_800, 5 * LOTS, slot=2)
    ticked = world.tick((PRICE - 1_500, *PRICES[1:]))
    # The law would fill all that was signed: the venue does not.
    assert [fill.size for fill in ticked.fills] == [LOTS // 2 - 200]
    assert linked(ticked) == [(3, "Left", LOTS // 2 - 200)]
    assert world.position(0) == LOTS // 2
    world.check()


def test_a_stop_that_fires_into_too_little_leaves_the_target_the_rest() -> None:
    world = held()
    world.order(2, BUY, PRICE - 1_800, 100, slot=2)
    world.order(
        0, SELL, PRICE - 2_000, LOTS // 2, slot=2, terms=OCO, created_at=world.now + 1, time_in_force=IOC, **STOP
    )
    ticked = world.tick((PRICE - 1_500, *PRICES[1:]))
    assert [fill.size for fill in ticked.fills] == [100]
    assert linked(ticked) == [(3, "Shrunk", LOTS // 2 - 100)]
    world.check()


def test_an_order_that_is_filled_at_its_arrival_takes_the_others_out() -> None:
    world = held()
    world.order(2, BUY, PRICE - 5, LOTS // 2, slot=4)
    taken = world.order(0, SELL, PRICE - 5, LOTS // 2, slot=5, terms=OCO, reduce_only=1)
    assert (taken.status, linked(taken)) == ("filled", [(2, "Left", LOTS // 2), (3, "Left", LOTS // 2)])
    assert len(world.engine.orders.links) == 0
    world.check()


def test_an_order_with_fewer_lots_left_leaves_with_those() -> None:
    world = World(3)
    world.order(0, SELL, PRICE + 10, LOTS, slot=2, terms=OCO)
    world.order(0, SELL, PRICE + 20, 300, slot=3, terms=OCO)
    assert linked(world.order(2, BUY, PRICE + 10, 400, time_in_force=IOC)) == [(3, "Left", 300)]
    world.check()


def test_links_are_settled_behind_the_input_that_fills_two() -> None:
    world = World(3)
    world.order(0, SELL, PRICE + 10, 300, slot=2, terms=OCO)
    world.order(0, SELL, PRICE + 20, 300, slot=3, terms=OCO)
    taken = world.order(2, BUY, PRICE + 20, 600, time_in_force=IOC)
    assert ([fill.size for fill in taken.fills], linked(taken)) == ([300, 300], [])
    assert len(world.engine.orders.links) == 0
    world.check()


def test_what_leaves_with_its_position_is_linked_no_more() -> None:
    world = held()
    world.order(2, BUY, PRICE - 5, slot=4)
    world.order(0, SELL, PRICE - 5, slot=5, time_in_force=IOC)
    assert (world.position(0), world.waiting(), world.resting()) == (0, [], [])
    assert len(world.engine.orders.links) == 0
    world.check()


def test_no_link_without_a_group_and_none_across_accounts() -> None:
    world = held()
    world.order(1, BUY, PRICE - 50, 100, slot=4, terms=OCO)
    world.order(0, SELL, PRICE + 20, 100, slot=5)
    assert linked(world.order(2, SELL, PRICE - 50, 100, time_in_force=IOC)) == []
    assert linked(world.request(constants.CANCEL, 0, slot=3, max_posting_fee=0)) == []
    assert world.waiting() == [(0, 2)]
    assert settle(world.engine._committing, []) == []


def test_links_come_back_with_the_orders() -> None:
    world = held()
    world.seal()
    again = Engine(BufferedStore(deepcopy(world.store)), DOMAIN)
    assert len(again.orders.links) == len(world.engine.orders.links) == 2
    sequences = [order.sequence for order, _, _ in again.open_orders(FIRST)]
    assert again.orders.links.beside((FIRST, 2, sequences[0])) == [(FIRST, 3, sequences[0])]


def test_whoever_is_gone_is_forgotten() -> None:
    links = Links()
    links.put((17, 1, 1), 0)
    links.put((17, 1, 2), 5)
    links.put((17, 2, 2), 5)
    links.drop((17, 1, 2))
    links.drop((17, 1, 2))
    assert (links.beside((17, 2, 2)), links.beside((17, 1, 1)), len(links)) == ([], [], 1)
