"""The chunk that is being filled: an input that has no room in it seals it, and goes on in the next one alone."""

from prover.stf import codes, constants
from sequencer.engine.engine import Engine
from sequencer.engine.records import Input
from sequencer.sequencing.staged_store import BufferedStore
from tests.sequencer.node_world import BTC, BUY, DOMAIN, FIRST, PRICES, SELL, START, World, check_chunks, deposit, owner

PRICE = PRICES[BTC]


def pair(world: World, number: int) -> None:
    """Two orders that meet: two references and a fill."""
    slot = number % 200 + 1
    world.now += 1
    world.order(2 * number % 40, SELL, PRICE, 100, slot=slot)
    world.order(2 * number % 40 + 1, BUY, PRICE, 100, slot=slot)


def test_a_busy_flow_has_no_stubs() -> None:
    world = World(40)
    world.seal()
    first = world.engine.chunk_count
    for number in range(120):
        pair(world, number)
    chunks = [chunk for chunk in world.sealed if chunk.number > first]
    # 43 orders are referred to at most: 21 pairs and as many fills.
    assert [chunk.operations for chunk in chunks] == [63] * 5
    assert world.engine.open_operations == 45
    world.check(flush_every=1)


def test_the_store_ends_with_the_input_before_the_one_that_overflowed() -> None:
    world = World(40)
    world.seal()
    for number in range(22):
        pair(world, number)
    assert (world.engine.open_operations, world.engine.inputs) == (3, len(world.journal))
    assert world.engine.cursor == len(world.journal) - 1
    reopened = Engine(BufferedStore(world.store), DOMAIN)
    assert (reopened.cursor, reopened.open_operations) == (world.engine.cursor, 0)
    assert reopened.process(world.journal[-1]).effects
    assert reopened.open_operations == 3
    check_chunks(world.store, world.engine)
    world.check(flush_every=1)


def test_what_is_refused_by_the_next_chunk_seals_nothing() -> None:
    world = World(44)
    world.grant(43, 60, amount=START + 500)
    world.seal()
    for number in range(21):
        pair(world, number)
    world.order(41, SELL, PRICE, 100)
    assert world.engine.view.commitment.timestamp < START + 500
    world.now = START + 900
    before = world.engine.chunk_count
    # In the open chunk, whose clock stands still, the grant would do; it has no room for two more orders.
    refused = world.agent_order(60, 43, BUY, PRICE, 100)
    assert (refused.code, refused.changed, world.engine.chunk_count) == (codes.AGENT_LIMITS, False, before)
    assert world.order(42, BUY, PRICE, 100).filled == 100
    assert world.engine.chunk_count == before + 1
    world.check(flush_every=1)


def test_an_entry_without_room_goes_into_the_next_chunk() -> None:
    world = World(40)
    world.seal()
    for number in range(21):
        pair(world, number)
    world.order(0, SELL, PRICE, 100, slot=250)
    world.request(constants.CANCEL, 0, slot=250)
    before = world.engine.chunk_count
    told = world.process(deposit(owner(50), 10**9))
    assert (told.code, told.chunk, told.operation, told.opened) == (codes.OK, before + 2, 0, FIRST + 40)
    assert world.engine.cursor == len(world.journal) - 1
    world.check(flush_every=1)


def test_a_chunk_is_told_when_the_journal_has_its_inputs_and_not_before() -> None:
    world = World(40)
    world.seal()
    fetched = world.engine.chunk_count
    assert world.engine.process(Input(world.now + 1, b"")).changed is False
    world.engine.process(Input(world.now + 1, deposit(owner(50), 10**9)))
    world.engine.process(Input(world.now + 1, b""))
    number, root = fetched + 1, world.engine.state.root
    assert world.engine.chunk_count == number
    # As long as the journal is being synced, whoever posts must not see it.
    assert (world.engine.chunk_record(number), world.engine.chunk_with_root(root)) == (None, None)
    (sealed,) = world.engine.flush(world.engine.inputs)
    assert (world.engine.chunk_record(number), world.engine.chunk_with_root(root)) == (sealed, number)
    assert world.engine.chunk_record(fetched) is not None
