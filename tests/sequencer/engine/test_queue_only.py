"""Entries have waited too long: chunks that serve the queue alone, and nothing that was refused leaves a trace."""

from prover.stf import codes, constants, encoding
from tests.sequencer.node_world import (
    BUY,
    DOLLAR,
    FIRST,
    PRICES,
    RECIPIENT,
    SELL,
    World,
    check_chunks,
    check_conservation,
    deposit,
    leave,
    owner,
    picture,
    replayed,
    tick,
)

PRICE = PRICES[0]


def flags(world: World) -> list[bool]:
    """Of every sealed chunk, whether it serves the queue alone."""
    return [chunk.body[0] >= 128 for chunk in world.sealed]


def test_what_is_no_entry_and_no_tick_is_refused_and_leaves_nothing_behind() -> None:
    world = World(2)
    world.seal()
    before = picture(world.engine)
    world.queue_only = True
    refused = [
        world.order(0, SELL, PRICE),
        world.request(constants.WITHDRAW, 0, amount=DOLLAR, recipient=RECIPIENT),
        world.request(constants.CANCEL_ALL, 1),
    ]
    assert [outcome.code for outcome in refused] == [codes.QUEUE_ONLY] * 3
    assert picture(world.engine) == before
    assert world.tick().code == codes.OK
    assert world.process(deposit(owner(7), 1_000 * DOLLAR)).account == FIRST + 2
    world.seal()
    assert flags(world)[-1]
    world.queue_only = False
    assert world.order(0, SELL, PRICE).status == "resting"
    check_chunks(world.store, world.engine)


def test_a_chunk_serves_the_queue_alone_from_its_first_operation_to_its_last_or_not_at_all() -> None:
    world = World(2)
    world.order(0, SELL, PRICE)
    world.order(1, BUY, PRICE)
    world.queue_only = True
    world.process(deposit(owner(7), 1_000 * DOLLAR))
    world.tick()
    assert flags(world) == [False]
    world.queue_only = False
    world.process(deposit(owner(8), 1_000 * DOLLAR))
    assert flags(world) == [False, True]
    world.order(0, SELL, PRICE, slot=2)
    world.order(1, BUY, PRICE, slot=2)
    world.seal()
    assert flags(world) == [False, True, False]
    check_chunks(world.store, world.engine)
    check_conservation(world.engine)


def test_a_refused_order_seals_nothing_of_a_chunk_that_serves_the_queue() -> None:
    world = World(2)
    world.seal()
    world.queue_only = True
    world.process(deposit(owner(7), 1_000 * DOLLAR))
    world.queue_only = False
    assert world.order(0, SELL, 1).code != codes.OK
    assert flags(world) == [False]
    assert world.order(0, SELL, PRICE, 200).code == codes.OK
    assert world.order(1, BUY, PRICE, 200).status == "filled"
    assert flags(world) == [False, True]


def test_a_tick_in_it_fires_and_liquidates_nothing_and_the_next_one_does() -> None:
    world = World(3)
    world.order(0, SELL, PRICE + 10, slot=3)
    armed = {"trigger": constants.TRIGGER_AT_OR_ABOVE, "trigger_price": PRICE + 5}
    world.order(1, BUY, PRICE + 10, slot=4, **armed)
    world.seal()
    world.queue_only = True
    above = (PRICE + 6, *PRICES[1:])
    assert world.tick(above).code == codes.OK
    world.seal()
    assert encoding.unpack(world.engine.account(FIRST + 1).positions[0]).size == 0
    world.queue_only = False
    world.tick(above)
    world.seal()
    assert encoding.unpack(world.engine.account(FIRST + 1).positions[0]).size > 0
    assert flags(world)[-2:] == [True, False]
    check_chunks(world.store, world.engine)


def test_steps_of_a_head_go_on_in_it_and_the_journal_gives_the_same_chunks() -> None:
    world = World(3)
    world.order(0, SELL, PRICE)
    world.order(1, BUY, PRICE)
    for _ in range(3):
        assert world.tick().code == codes.OK
        world.seal()
    world.queue_only = True
    world.process(leave(world.now, FIRST + 1, owner(1)))
    # A step waits for a price that is newer than its entry.
    # A step waits for a price that is newer than its entry.
    assert world.tick().code == codes.OK
    world.seal()
    commitment = world.engine.view.commitment
    assert commitment.queue_taken == commitment.queue_count
    assert flags(world)[-1]
    check_chunks(world.store, world.engine)
    assert picture(replayed(world.journal, 1)) == picture(world.engine)


def test_an_input_that_is_late_does_not_go_on_in_a_chunk_that_trades() -> None:
    world = World(2)
    world.order(0, SELL, PRICE)
    world.order(1, BUY, PRICE)
    world.queue_only = True
    world.now += constants.TICK_STEP
    assert world.process(tick(world.now)).code == codes.OK
    assert flags(world) == [False]
    world.seal()
    assert flags(world) == [False, True]
    check_chunks(world.store, world.engine)
