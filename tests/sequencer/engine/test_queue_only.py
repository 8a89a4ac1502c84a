"""Entries have waited too long: chunks that serve the queue alone, and nothing that was refused leaves a trace."""

from prover.stf import codes, constants, encoding
from sequencer.l1.poster import batch_length
from sequencer.schema.accounts import Maturing
from sequencer.views.account import outlook
from sequencer.views.preview import _trial
from tests.sequencer.node_world import (
    BUY,
    DOLLAR,
    FIRST,
    PRICES,
    RECIPIENT,
    SELL,
    START,
    World,
    check_chunks,
    check_conservation,
    deposit,
    leave,
    owner,
    picture,
    replayed,
    tick,
    void_all,
)

PRICE = PRICES[0]
EPOCH = START // constants.EPOCH


def flags(world: World) -> list[bool]:
    """Of every sealed chunk, whether it serves the queue alone."""
    return [chunk.body[0] >= 128 for chunk in world.sealed]


def maturing(world: World) -> list[Maturing]:
    """What the account that has won is told of its profit."""
    engine = world.engine
    return outlook(engine.globals, engine.view.clock(), FIRST + 1, engine.account(FIRST + 1), {}).maturing


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


def test_a_soft_cancel_needs_no_chunk_and_is_taken() -> None:
    world = World(2)
    world.order(0, SELL, PRICE)
    world.seal()
    world.queue_only = True
    assert world.request(constants.CANCEL_ALL, 0, slot=0, max_posting_fee=0).receipt is not None
    assert world.resting() == []
    world.queue_only = False
    world.seal()
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


def test_money_is_as_old_as_the_bytecode_has_it_where_the_queue_alone_was_served() -> None:
    world = World(2)
    world.order(0, SELL, PRICE)
    world.order(1, BUY, PRICE)
    world.tick()
    world.order(1, SELL, PRICE + 100)
    world.order(0, BUY, PRICE + 100)
    world.seal()
    assert [step.settles_at_ms for step in maturing(world)] == [(EPOCH + 2) * constants.EPOCH]
    begun = world.engine.view.commitment.timestamp
    world.queue_only = True
    world.now += 9 * constants.HOUR
    world.process(deposit(owner(7), 1_000 * DOLLAR))
    # The open chunk says it already.
    late = world.now - begun
    for _ in range(2):
        assert [step.settles_at_ms for step in maturing(world)] == [(EPOCH + 2) * constants.EPOCH + late]
        world.seal()
    world.queue_only = False
    world.tick()
    world.seal()
    assert flags(world)[-2:] == [True, False]
    assert world.engine.globals.risk.debts.clock == -late
    world.check()


def test_what_was_refused_late_leaves_money_its_age() -> None:
    world = World(2)
    world.seal()
    world.queue_only = True
    world.now += constants.HOUR
    # Nobody's tick opens a chunk and comes to nothing.
    assert world.process(tick(world.now + constants.HOUR)).code == codes.OFF_GRID
    world.queue_only = False
    now = world.now
    world.now -= constants.HOUR // 2
    assert _trial(world.engine, world.now, owner(0)).globals.risk.debts.clock == 0
    world.tick()
    world.seal()
    assert (world.engine.globals.risk.debts.clock, world.engine.view.commitment.timestamp < now) == (0, True)
    world.check()


def test_an_entry_that_is_ahead_of_a_chunk_that_trades_stands_in_the_next_one() -> None:
    """An entry brings its time: what trades would end when the bridge wants that a chunk serves the queue alone."""
    world = World(2)
    world.seal()
    world.order(0, SELL, PRICE)
    assert world.order(1, BUY, PRICE).status == "filled"
    owed_since = world.now - 50 * 60_000
    late = owed_since + 60 * 60_000
    assert world.process(void_all(owed_since, FIRST, owner(0))).code == codes.OK
    assert flags(world) == [False]
    # The venue's clock lags L1's by eleven minutes.
    assert world.process(void_all(late, FIRST + 1, owner(1))).code == codes.OK
    # What has the time that the chunk has by now goes with it, a deposit brings none, and a refused one seals nothing.
    assert world.process(void_all(late, FIRST, owner(0))).code == codes.OK
    assert world.process(deposit(owner(7), DOLLAR)).code == codes.OK
    assert flags(world) == [False, False]
    world.seal()
    times = [encoding.commitment_from_bytes(chunk.commitment).timestamp for chunk in world.sealed[1:]]
    assert times == [late - 10 * 60_000, late]
    chunks = [(time, chunk.body) for time, chunk in zip(times, world.sealed[1:], strict=True)]
    # By what the batch before it owes the bridge takes the first, and by what that one owes the second.
    assert (batch_length(chunks, late), batch_length(chunks[1:], late + 60 * 60_000)) == (1, 1)
    check_chunks(world.store, world.engine)


def test_an_entry_moves_the_clock_of_a_chunk_that_serves_the_queue_alone() -> None:
    world = World(2)
    world.seal()
    world.queue_only = True
    for minutes in (1, 2, 3):
        assert world.process(void_all(world.now + minutes * 60_000, FIRST, owner(0))).code == codes.OK
    assert flags(world) == [False]
    world.seal()
    assert flags(world) == [False, True]
