"""The chunk that is being filled: an input that has no room in it seals it, and goes on in the next one alone."""

from copy import deepcopy
from typing import Any

from prover.state.store import MemoryStore
from prover.stf import codes, constants
from sequencer.engine.effects import Processed
from sequencer.engine.engine import Engine, EngineLimits
from sequencer.engine.records import CHUNK_KEY, Input, Terms
from sequencer.sequencing.staged_store import BufferedStore
from tests.sequencer.node_world import (
    BTC,
    BUY,
    DOMAIN,
    FIRST,
    PRICES,
    SELL,
    START,
    World,
    check_chunks,
    deposit,
    owner,
    picture,
)

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


def swept(world: World, times: int) -> None:
    """Takers that each meet 45 makers, more than a chunk holds, with quiet trades in between."""
    for time in range(times):
        for trader in range(45):
            world.order(trader, SELL, PRICE + trader, 100, slot=time + 1)
        assert world.order(45, BUY, PRICE + 50, 4_500, slot=time + 1).filled == 4_500
        for trader in range(0, 8, 2):
            world.order(trader, SELL, PRICE, 100, slot=100 + time)
            world.order(trader + 1, BUY, PRICE, 100, slot=100 + time)


def test_what_overflows_a_chunk_seals_one_chunk() -> None:
    operations = {}
    for waiting in (16, 1):
        world = World(46, EngineLimits(waiting_chunks=waiting))
        world.seal()
        before = world.engine.chunk_count
        swept(world, 12)
        world.seal()
        operations[waiting] = [chunk.operations for chunk in world.sealed if chunk.number > before]
        world.check(flush_every=1)
    assert min(operations[16][:-1]) >= 64
    # Where nothing may wait, the chunk in which an input went on ends with it: every second one is a stub.
    assert operations[1][1:24:2] == [27] + [39] * 11
    assert (len(operations[16]), len(operations[1])) == (20, 25)


def test_a_chunk_whose_end_is_within_an_input_is_written_with_the_next_one() -> None:
    world = World(46)
    world.seal()
    told, kept = world.engine.chunk_count, world.engine.cursor
    for trader in range(45):
        world.order(trader, SELL, PRICE + trader, 100)
    world.order(45, BUY, PRICE + 50, 4_500)
    assert (world.engine.chunk_count, world.engine.cursor, world.engine.sealed) == (told + 1, kept, [])
    assert world.engine.open_operations == 27
    # Nobody who posts sees it, nothing of it is in the store, and what it began with is known.
    assert world.engine.chunk_record(told + 1) is None
    assert world.engine.chunk_with_root(world.engine.state.root) is None
    begun = world.engine.chunk_begun(told + 1)
    assert begun is not None
    assert world.engine.chunk_with_root(begun.pre_root) == told
    assert Engine(BufferedStore(deepcopy(world.store)), DOMAIN).chunk_count == told
    world.seal()
    assert [chunk.number for chunk in world.sealed[-2:]] == [told + 1, told + 2]
    assert world.engine.cursor == len(world.journal)
    assert world.engine.chunk_record(told + 1) == world.engine.chunk_begun(told + 1) == begun
    world.check(flush_every=1)


class Watched(World):
    """A world that keeps what it looked like, and what its store held, behind each input that changed something."""

    def __init__(self, traders: int) -> None:
        self.seen: list[tuple[int, dict[str, Any], MemoryStore]] = []
        super().__init__(traders)

    def process(self, operation: bytes, terms: Terms | None = None) -> Processed:
        """One input, and a look at what came of it."""
        outcome = super().process(operation, terms)
        if outcome.changed:
            self.seen.append((len(self.journal), picture(self.engine), deepcopy(self.store)))
        return outcome


def test_a_venue_that_dies_behind_any_input_is_the_one_that_did_not() -> None:
    """Whatever the journal held when it died, with what the store held: also between the two chunks of one input."""
    world = Watched(46)
    world.seal()
    swept(world, 2)
    between = 0
    for count, seen, store in world.seen:
        reopened = Engine(BufferedStore(store), DOMAIN)
        written = reopened.chunk_count
        for given in world.journal[reopened.cursor : count]:
            assert reopened.process(given).changed
        assert picture(reopened) == seen
        between += reopened.chunk_count > written
    assert between > 20


def test_what_is_final_lets_go_of_its_witnesses_and_of_nothing_else() -> None:
    world = World(2)
    for _ in range(6):
        world.order(0, SELL, PRICE, 100, slot=2)
        world.order(1, BUY, PRICE, 100, slot=2)
        world.seal()
        world.tick()
    engine, sealed = world.engine, world.engine.open_chunk.sealed
    before = [engine.chunk_record(number) for number in range(1, 7)]
    size = sum(len(value) for _, value in world.store.iterate(CHUNK_KEY))
    assert [sealed.prune(4, most=3), sealed.prune(4, most=3), sealed.prune(4, most=3), sealed.prune(-1)] == [3, 1, 0, 0]
    world.seal()
    for number, record in enumerate(before, start=1):
        assert record is not None
        kept = engine.chunk_record(number)
        assert kept is not None
        assert (kept.witness == b"") == (number <= 4)
        kept.witness = record.witness
        assert kept == record
    assert sum(len(value) for _, value in world.store.iterate(CHUNK_KEY)) < size
    # A later opening goes on where this one stood, and never beyond what is told.
    reopened = Engine(BufferedStore(world.store), DOMAIN)
    assert picture(reopened) == picture(engine)
    assert reopened.open_chunk.sealed.prune(100) == engine.chunk_count - 4
