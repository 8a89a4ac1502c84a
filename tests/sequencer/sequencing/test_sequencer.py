"""The sequencing task: durable before acknowledged, one after the other, shed when too much waits to be posted."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from prover.stf import codes, constants
from sequencer.engine.effects import Processed, Ticked
from sequencer.engine.engine import Engine, EngineLimits
from sequencer.engine.records import Input, SealedChunk
from sequencer.sequencing.admission import Taking, Untaken
from sequencer.sequencing.journal import REAL_DISK, Disk, Journal, JournalError, JournalFailed, Limits
from sequencer.sequencing.sequencer import NotTaken, Sequencer
from sequencer.sequencing.signature_pool import VerifierDied
from sequencer.sequencing.signature_worker import Recoverer
from sequencer.sequencing.staged_store import BufferedStore
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_world import (
    BUY,
    DOLLAR,
    DOMAIN,
    FIRST,
    IOC,
    PRICES,
    SELL,
    START,
    deposit,
    genesis_store,
    key,
    leave,
    order,
    owner,
    picture,
    replayed,
    request,
    signed_order,
    signed_request,
    tick,
    void_all,
)
from tests.twins.venue import begun

pytestmark = pytest.mark.trio
LIMITS = Limits(segment_bytes=1 << 20, pending_bytes=1 << 20)
PRICE = PRICES[0]


class Clock:
    """Milliseconds that a test sets."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


class CountingDisk(Disk):
    """A disk that counts."""

    def __init__(self) -> None:
        self.syncs = 0

    def sync(self, file: int) -> None:
        """One more."""
        self.syncs += 1
        super().sync(file)


class Ear:
    """A listener that keeps what it heard."""

    def __init__(self) -> None:
        self.outcomes: list[Processed] = []

    def sequenced(self, outcome: Processed) -> None:
        """One input was applied."""
        self.outcomes.append(outcome)


def chunks(venue: Sequencer) -> list[SealedChunk]:
    """What the store holds of sealed chunks."""
    found = [venue.engine.chunk_record(number) for number in range(1, venue.engine.chunk_count + 1)]
    return [chunk for chunk in found if chunk is not None]


class Forgetful(Sequencer):
    """One that does not go on with what a tick has left, so that it can die before."""

    def _has_more(self) -> bool:
        return False


def opened(
    directory: Path,
    store: Any = None,
    disk: Disk = REAL_DISK,
    kind: type[Sequencer] = Sequencer,
    limits: EngineLimits | None = None,
    **options: Any,
) -> tuple[Sequencer, Clock, Ear]:
    """A venue over a journal in `directory`. Nothing is sealed by the machine's clock unless a test says so."""
    clock, ear = Clock(), Ear()
    engine = Engine(BufferedStore(store or genesis_store()), DOMAIN, limits)
    venue = kind(engine, Journal(directory, LIMITS, disk), clock, **{"seal_seconds": 1e9, **options})
    venue.listeners.append(ear)
    return venue, clock, ear


async def fund(venue: Sequencer, traders: int = 2) -> None:
    """Accounts and a price."""
    for index in range(traders):
        await venue.submit(deposit(owner(index), 100_000 * DOLLAR))
    await venue.submit(tick(START))


async def armed(venue: Sequencer, clock: Clock, traders: int) -> None:
    """A stop of each trader; one input sends two of them into the books."""
    venue.engine.limits = msgspec.structs.replace(venue.engine.limits, fired_stops=2)
    await fund(venue, traders + 2)
    for trader in range(traders):
        fires = {"trigger": constants.TRIGGER_AT_OR_BELOW, "trigger_price": PRICE - 500}
        given = order(clock.now, FIRST + trader, SELL, PRICE - 700, 100, **fires)
        assert (await venue.submit(signed_order(given, key(trader)))).status == "armed"


async def test_stops_that_are_due_come_before_new_orders_and_nothing_else_waits_for_them(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    venue, clock, ear = opened(tmp_path)
    await nursery.start(venue.run)
    await armed(venue, clock, 5)
    late, buyer = FIRST + 5, FIRST + 6
    first = order(clock.now, late, SELL, PRICE - 700, 100)
    clock.now += constants.TICK_STEP
    cancelled = request(clock.now, FIRST + 4, slot=1, max_posting_fee=0)
    given = [
        tick(clock.now, (PRICE - 600, *PRICES[1:])),
        signed_order(first, key(5)),
        signed_request(constants.CANCEL, cancelled, key(4)),
    ]
    heard = len(ear.outcomes)
    ticked, placed, gone = await venue.submit_all(given)
    assert ticked is not None
    assert placed is not None
    assert gone is not None
    assert (placed.status, gone.receipt is not None) == ("resting", True)
    # Two by the tick, two by the first empty input; the cancel of the fifth overtook all of them and was in time.
    told = [
        [type(effect).__name__ for effect in outcome.effects if not isinstance(effect, Ticked)]
        for outcome in ear.outcomes[heard:]
    ]
    assert told == [
        ["Applied", "Fired", "Rested", "Fired", "Rested"],
        ["SoftlyCancelled", "Left"],
        ["Fired", "Rested", "Fired", "Rested"],
        ["Accepted", "Rested"],
    ]
    assert [given.operation[:1] for given in records(venue)][-4:] == [b"\x06", b"\x04", b"", b"\x07"]
    filled = await venue.submit(signed_order(order(clock.now, buyer, BUY, PRICE - 700, 500), key(6)))
    assert [fill.maker - FIRST for fill in filled.fills] == [0, 1, 2, 3, 5]
    await venue.submit(b"")
    assert picture(replayed(records(venue), 0, venue.engine.limits)) == picture(venue.engine)
    nursery.cancel_scope.cancel()


async def test_a_node_that_died_between_them_goes_on_with_the_stops_that_are_left(tmp_path: Path) -> None:
    store = genesis_store()
    async with trio.open_nursery() as nursery:
        venue, clock, _ = opened(tmp_path, store, kind=Forgetful)
        await nursery.start(venue.run)
        await armed(venue, clock, 5)
        clock.now += constants.TICK_STEP
        await venue.submit(tick(clock.now, (PRICE - 600, *PRICES[1:])))
        nursery.cancel_scope.cancel()
    venue.journal.close()
    async with trio.open_nursery() as nursery:
        again, later, _ = opened(tmp_path, store)
        later.now = clock.now
        await nursery.start(again.run)
        buyer = signed_order(order(later.now, FIRST + 6, BUY, PRICE - 700, 500), key(6))
        assert [fill.maker - FIRST for fill in (await again.submit(buyer)).fills] == [0, 1, 2, 3, 4]
        nursery.cancel_scope.cancel()


async def test_a_node_that_died_among_expired_orders_takes_out_the_rest_before_any_new_order(tmp_path: Path) -> None:
    store, limits = genesis_store(), EngineLimits(expired_orders=2)
    async with trio.open_nursery() as nursery:
        venue, clock, _ = opened(tmp_path, store, kind=Forgetful, limits=limits)
        await nursery.start(venue.run)
        await fund(venue, 6)
        for trader in range(5):
            given = order(clock.now, FIRST + trader, SELL, PRICE, 100, expires_at=START + 500)
            await venue.submit(signed_order(given, key(trader)))
        clock.now += constants.TICK_STEP
        await venue.submit(tick(clock.now))
        nursery.cancel_scope.cancel()
    assert [given.account - FIRST for given, _ in venue.engine.books[0].resting()] == [2, 3, 4]
    venue.journal.close()
    async with trio.open_nursery() as nursery:
        again, later, ear = opened(tmp_path, store, limits=limits)
        later.now = clock.now
        await nursery.start(again.run)
        buyer = signed_order(order(later.now, FIRST + 5, BUY, PRICE, 500), key(5))
        assert (await again.submit(buyer)).status == "resting"
        told = [[type(effect).__name__ for effect in outcome.effects] for outcome in ear.outcomes]
        assert told == [["Left", "Left"], ["Left"], ["Accepted", "Rested"]]
        nursery.cancel_scope.cancel()


def records(venue: Sequencer) -> list[Input]:
    """What the journal holds."""
    return [msgspec.msgpack.decode(record, type=Input) for _, record in venue.journal.replay(1)]


async def test_everything_answered_is_in_the_journal(tmp_path: Path, nursery: trio.Nursery) -> None:
    venue, clock, ear = opened(tmp_path)
    await nursery.start(venue.run)
    await fund(venue)
    resting = await venue.submit(signed_order(order(clock.now, FIRST, SELL, PRICE), key(0)))
    filled = await venue.submit(signed_order(order(clock.now, FIRST + 1, BUY, PRICE), key(1)))
    refused = await venue.submit(signed_order(order(clock.now, FIRST + 1, BUY, PRICE, slot=0), key(1)))
    assert (resting.status, filled.status, refused.code) == ("resting", "filled", codes.NOT_CANONICAL)
    assert [given.operation[:1] for given in records(venue)] == [b"\x01", b"\x01", b"\x06", b"\x07", b"\x07"]
    assert venue.journal.durable_sequence == 5
    # Listeners hear of what changed something, in order.
    assert [outcome.code for outcome in ear.outcomes] == [codes.OK] * 5
    await venue.submit(b"")
    assert [chunk.number for chunk in chunks(venue)] == [1]
    assert picture(replayed(records(venue), 0)) == picture(venue.engine)
    nursery.cancel_scope.cancel()


class SlowDisk(Disk):
    """A disk whose sync waits for the test."""

    def __init__(self) -> None:
        self.is_slow = False
        self.reached = trio.Event()
        self.gate = trio.Event()

    def sync(self, file: int) -> None:
        """Waits in its thread until the gate is open."""
        if self.is_slow:
            trio.from_thread.run_sync(self.reached.set)
            trio.from_thread.run(self.gate.wait)
        super().sync(file)


async def test_nothing_is_answered_before_the_disk_has_it(tmp_path: Path, nursery: trio.Nursery) -> None:
    disk = SlowDisk()
    venue, clock, ear = opened(tmp_path, disk=disk)
    await nursery.start(venue.run)
    await fund(venue)
    disk.is_slow = True
    answers: list[Processed] = []
    heard = len(ear.outcomes)

    async def send() -> None:
        answers.append(await venue.submit(signed_order(order(clock.now, FIRST, SELL, PRICE), key(0))))

    nursery.start_soon(send)
    await disk.reached.wait()
    await trio.testing.wait_all_tasks_blocked()
    assert (answers, len(ear.outcomes)) == ([], heard)
    disk.gate.set()
    with trio.fail_after(PATIENCE_SECONDS):
        while not answers:
            await trio.sleep(0)
    assert answers[0].status == "resting"
    nursery.cancel_scope.cancel()


class DeadDisk(Disk):
    """A disk that dies on command."""

    def __init__(self) -> None:
        self.is_dead = False

    def write(self, file: int, data: memoryview) -> int:
        """OSError once dead."""
        if self.is_dead:
            raise OSError("no space left on device")
        return super().write(file, data)


async def test_a_dead_disk_ends_the_venue_and_answers_nobody(tmp_path: Path) -> None:
    disk = DeadDisk()
    venue, clock, _ = opened(tmp_path, disk=disk)
    answered: list[Processed] = []

    async def send() -> None:
        answered.append(await venue.submit(signed_order(order(clock.now, FIRST, SELL, PRICE), key(0))))

    with pytest.RaisesGroup(pytest.RaisesExc(JournalFailed), allow_unwrapped=True, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            await nursery.start(venue.run)
            await fund(venue)
            disk.is_dead = True
            nursery.start_soon(send)
    assert answered == []


async def test_a_restart_goes_on_where_the_journal_ends(tmp_path: Path) -> None:
    store = genesis_store()
    venue, clock, _ = opened(tmp_path, store)
    async with trio.open_nursery() as nursery:
        await nursery.start(venue.run)
        await fund(venue)
        await venue.submit(b"")
        await venue.submit(signed_order(order(clock.now, FIRST, SELL, PRICE), key(0)))
        await venue.submit(signed_order(order(clock.now, FIRST + 1, BUY, PRICE, 300), key(1)))
        nursery.cancel_scope.cancel()
    venue.journal.close()
    again, _, _ = opened(tmp_path, store)
    assert again.replayed == 2
    assert picture(again.engine) == picture(venue.engine)
    assert again.engine.open_operations == venue.engine.open_operations


async def test_what_an_order_overflowed_outlives_a_death_before_the_next_chunk_is_sealed(tmp_path: Path) -> None:
    store = genesis_store()
    async with trio.open_nursery() as nursery:
        venue, clock, _ = opened(tmp_path, store)
        await nursery.start(venue.run)
        await fund(venue, 34)
        await venue.submit(b"")
        told = venue.engine.chunk_count
        makers = [signed_order(order(clock.now, FIRST + n, SELL, PRICE + n, 100), key(n)) for n in range(33)]
        await venue.submit_all(makers)
        taker = signed_order(order(clock.now, FIRST + 33, BUY, PRICE + 40, 3_300), key(33))
        assert (await venue.submit(taker)).filled == 3_300
        # Answered, so it is durable; the first of its two chunks is for nobody to post.
        assert (venue.engine.chunk_count, len(chunks(venue))) == (told + 1, told)
        seen = picture(venue.engine)
        nursery.cancel_scope.cancel()
    venue.journal.close()
    async with trio.open_nursery() as nursery:
        again, later, _ = opened(tmp_path, store)
        later.now = clock.now
        assert again.replayed == 34
        assert picture(again.engine) == seen
        assert len(chunks(again)) == told
        await nursery.start(again.run)
        await again.submit(b"")
        assert [chunk.number for chunk in chunks(again)] == list(range(1, told + 3))
        assert picture(replayed(records(again), 0)) == picture(again.engine)
        nursery.cancel_scope.cancel()


async def test_records_that_the_store_contains_leave_the_journal(tmp_path: Path) -> None:
    store = genesis_store()
    engine = Engine(BufferedStore(store), DOMAIN)
    limits = Limits(segment_bytes=600, pending_bytes=1 << 20)
    clock = Clock()
    venue = Sequencer(engine, Journal(tmp_path, limits), clock)
    async with trio.open_nursery() as nursery:
        await nursery.start(venue.run)
        for index in range(20):
            await venue.submit(deposit(owner(index), DOLLAR))
        # Nothing is in the store yet, so nothing may go.
        assert venue.journal.first_sequence == 1
        assert len(list(tmp_path.glob("*.journal"))) > 2
        await venue.submit(b"")
        assert venue.engine.cursor == 21
        assert 10 < venue.journal.first_sequence <= 21
        assert len(list(tmp_path.glob("*.journal"))) == 1
        await venue.submit(deposit(owner(20), DOLLAR))
        nursery.cancel_scope.cancel()
    venue.journal.close()
    again = Sequencer(Engine(BufferedStore(store), DOMAIN), Journal(tmp_path, limits), clock)
    assert again.replayed == 1
    assert picture(again.engine) == picture(venue.engine)
    again.journal.close()
    # A journal that lost what the store contains would number new records as old ones.
    for path in tmp_path.glob("*.journal"):
        path.unlink()
    with pytest.raises(JournalError, match="ends at record 0, before record 21"):
        Sequencer(Engine(BufferedStore(store), DOMAIN), Journal(tmp_path, limits), clock)


async def test_a_journal_of_another_venue_is_not_played_on_this_state(tmp_path: Path) -> None:
    store = genesis_store()
    journals = []
    # The other one's first chunk is longer by a deposit, and its second begins with what is here already.
    for name, accounts in (("one", 2), ("other", 3)):
        async with trio.open_nursery() as nursery:
            venue, clock, _ = opened(tmp_path / name, store if name == "one" else genesis_store())
            await nursery.start(venue.run)
            await fund(venue, accounts)
            await venue.submit(b"")
            await venue.submit(signed_order(order(clock.now, FIRST, SELL, PRICE), key(0)))
            await venue.submit(b"")
            nursery.cancel_scope.cancel()
        venue.journal.close()
        journals.append(tmp_path / name)
    rows = dict(store.iterate(b""))
    with pytest.raises(JournalError, match=r"Record \d+ of the journal is of another state"):
        opened(journals[1], store)
    # Nor what of it might have come to something.
    assert dict(store.iterate(b"")) == rows


async def test_chunks_are_sealed_by_time(
    tmp_path: Path, nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    venue, _, _ = opened(tmp_path, seal_seconds=1.0)
    await nursery.start(venue.run)
    await fund(venue)
    mock_clock.jump(0.9)
    await trio.testing.wait_all_tasks_blocked()
    assert chunks(venue) == []
    mock_clock.jump(0.1)
    while not chunks(venue):
        await trio.sleep(0)
    assert venue.journal.durable_sequence == 4
    assert [(chunk.number, chunk.operations) for chunk in chunks(venue)] == [(1, 3)]
    mock_clock.jump(10)
    await trio.testing.wait_all_tasks_blocked()
    assert (len(chunks(venue)), len(records(venue))) == (1, 4)
    nursery.cancel_scope.cancel()


async def test_a_forced_close_goes_on_by_time(
    tmp_path: Path, nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    venue, clock, _ = opened(tmp_path, seal_seconds=1.0)
    await nursery.start(venue.run)
    await fund(venue)
    await venue.submit(deposit(owner(9), 100_000 * DOLLAR, 1))
    await venue.submit(signed_order(order(clock.now, FIRST, SELL, PRICE), key(0)))
    await venue.submit(signed_order(order(clock.now, FIRST + 1, BUY, PRICE), key(1)))
    await venue.submit(leave(clock.now, FIRST, owner(0)))
    await venue.submit(b"")
    assert begun(venue.engine.view.commitment) == 1, "one tick is not three in a row"
    clock.now = START + 2 * constants.HEAD_PATIENCE
    mock_clock.jump(1)
    await trio.testing.wait_all_tasks_blocked()
    assert begun(venue.engine.view.commitment) == 1, "its own clock ends nothing"
    # Where no price comes its end does, behind an entry of half an hour later.
    await venue.submit(leave(clock.now, 0, owner(0)))
    mock_clock.jump(1)
    await trio.testing.wait_all_tasks_blocked()
    assert begun(venue.engine.view.commitment) == 0
    nursery.cancel_scope.cancel()


async def test_what_could_not_be_posted_is_not_taken_and_prices_and_the_queue_go_on(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    venue, clock, _ = opened(tmp_path)
    await nursery.start(venue.run)
    await fund(venue)
    await venue.submit(signed_order(order(clock.now, FIRST, SELL, PRICE), key(0)))
    await venue.submit(signed_order(order(clock.now, FIRST + 1, BUY, PRICE, 500), key(1)))

    def given() -> dict[str, bytes]:
        """What is signed, fresh: growing, reducing, a grant and a cancel; and what nobody signs for a trader."""
        clock.now += constants.TICK_STEP
        sequence = {"created_at": clock.now, "sequence": clock.now}
        reducing = order(clock.now, FIRST + 1, SELL, PRICE + 9, 500, slot=5, reduce_only=1, **sequence)
        grant = request(clock.now, FIRST, slot=3, recipient=owner(5), **sequence)
        return {
            "growing": signed_order(order(clock.now, FIRST + 1, BUY, PRICE - 9, slot=2, **sequence), key(1)),
            "reducing": signed_order(reducing, key(1)),
            "grant": signed_request(constants.SET_AGENT, grant, key(0)),
            "cancel": signed_request(constants.CANCEL, request(clock.now, FIRST, slot=9, **sequence), key(0)),
            "tick": tick(clock.now),
            "deposit": deposit(owner(7), DOLLAR),
        }

    expected = {
        Taking.ALL: {"growing", "reducing", "grant", "cancel"},
        Taking.REDUCING: {"reducing", "cancel"},
        Taking.CANCELS: {"cancel"},
        Taking.NOTHING: set(),
    }
    standing = Taking.ALL
    venue.taking = lambda: standing
    for standing, names in expected.items():
        called = given()
        answers = await venue.submit_all(list(called.values()))
        taken = {name for name, one in zip(called, answers, strict=True) if one is not Untaken.NOT_POSTABLE}
        assert taken == names | {"tick", "deposit"}
        with pytest.raises(NotTaken, match="NOT_POSTABLE") if standing < Taking.ALL else nullcontext():
            await venue.submit(given()["growing"])
    nursery.cancel_scope.cancel()


async def test_where_the_queue_was_not_read_only_what_it_brings_comes_into_a_chunk(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    venue, clock, _ = opened(tmp_path)
    await nursery.start(venue.run)
    await fund(venue)
    await venue.submit(b"")
    venue.is_late = venue.is_blind = lambda now_ms: True
    clock.now += constants.TICK_STEP
    refused = [tick(clock.now), signed_order(order(clock.now, FIRST, SELL, PRICE), key(0))]
    for operation in refused:
        assert (await venue.submit(operation)).code == codes.QUEUE_ONLY
    await venue.submit(b"")
    assert venue.engine.open_operations == 0
    # An entry that was read is known.
    venue.is_late = venue.is_blind = lambda now_ms: False
    assert (await venue.submit(tick(clock.now))).code == codes.OK
    nursery.cancel_scope.cancel()


async def test_an_entry_is_late_by_the_time_that_it_brings(tmp_path: Path, nursery: trio.Nursery) -> None:
    venue, clock, _ = opened(tmp_path)
    await nursery.start(venue.run)
    await fund(venue)
    await venue.submit(b"")
    late = clock.now + 60_000
    venue.is_late = lambda now_ms: now_ms >= late
    for time, is_queue_only in ((late - 1, False), (late, True)):
        assert (await venue.submit(void_all(time, FIRST, owner(0)))).code == codes.OK
        assert venue.engine.view.queue_only is is_queue_only
    nursery.cancel_scope.cancel()


async def test_where_l1_is_dear_only_what_needs_no_paid_bytes_is_taken(tmp_path: Path, nursery: trio.Nursery) -> None:
    venue, clock, _ = opened(tmp_path)
    await nursery.start(venue.run)
    await fund(venue)
    await venue.submit(signed_order(order(clock.now, FIRST, SELL, PRICE), key(0)))
    await venue.submit(signed_order(order(clock.now, FIRST + 1, BUY, PRICE, 500), key(1)))
    byte_micros = 8_448
    venue.byte_micros = lambda: byte_micros
    paid = {"amount": DOLLAR, "recipient": owner(0)}
    growing = signed_order(order(clock.now, FIRST + 1, BUY, PRICE, slot=2), key(1))
    for operation in (
        growing,
        signed_request(constants.WITHDRAW, request(clock.now, FIRST, slot=3, **paid), key(0)),
        signed_request(constants.CANCEL, request(clock.now, FIRST, slot=1), key(0)),
        signed_request(constants.SET_AGENT, request(clock.now, FIRST, slot=4), key(0)),
    ):
        with pytest.raises(NotTaken, match="BACKLOG"):
            await venue.submit(operation)
    # What closes a position, what nobody may post, prices and the queue's entries.
    reducing = order(clock.now, FIRST + 1, SELL, PRICE + 9, 500, slot=5, reduce_only=1)
    clock.now += constants.TICK_STEP
    for operation in (
        signed_order(reducing, key(1)),
        signed_request(constants.CANCEL, request(clock.now, FIRST, slot=1, max_posting_fee=0), key(0)),
        tick(clock.now),
        deposit(owner(7), DOLLAR),
    ):
        assert (await venue.submit(operation)).code == codes.OK
    byte_micros = 0
    assert (await venue.submit(growing)).status == "resting"
    nursery.cancel_scope.cancel()


async def test_where_l1_is_dear_exits_are_paid_for_within_a_bound(tmp_path: Path, nursery: trio.Nursery) -> None:
    venue, clock, _ = opened(tmp_path)
    await nursery.start(venue.run)
    await fund(venue)
    await venue.submit(signed_order(order(clock.now, FIRST, SELL, PRICE), key(0)))
    await venue.submit(signed_order(order(clock.now, FIRST + 1, BUY, PRICE), key(1)))
    await venue.submit(signed_order(order(clock.now, FIRST, BUY, PRICE, slot=2), key(0)))
    # An order is 113 bytes, 2.26 dollars: five of a lot, sixty cents, are an account's part of the day. What is on the
    # other side is too small as well, and brings up its own bytes.
    venue.byte_micros = lambda: 20_000

    def piece(slot: int, size: int = 1) -> bytes:
        given = order(clock.now, FIRST + 1, SELL, PRICE, size, slot=slot, reduce_only=1, time_in_force=IOC)
        return signed_order(given, key(1))

    outcomes = await venue.submit_all([piece(slot) for slot in range(10, 30)])
    assert [isinstance(outcome, Processed) and outcome.filled == 1 for outcome in outcomes] == [True] * 5 + [False] * 15
    assert len(records(venue)) == 6 + 5
    with pytest.raises(NotTaken, match="BACKLOG"):
        await venue.submit(piece(30))
    # What closes a position whole is worth a hundredth of it.
    with pytest.raises(NotTaken, match="BACKLOG"):
        await venue.submit(piece(30, 994))
    assert (await venue.submit(piece(31, 995))).filled == 995
    nursery.cancel_scope.cancel()


async def test_exits_are_paid_for_within_the_same_bound_after_a_restart(tmp_path: Path) -> None:
    """Five orders a day: three before a kill, some sealed and some in the journal alone, leave two."""
    store = genesis_store()

    def piece(clock: Clock, slot: int) -> bytes:
        given = order(clock.now, FIRST + 1, SELL, PRICE, 1, slot=slot, reduce_only=1, time_in_force=IOC)
        return signed_order(given, key(1))

    taken: list[bool] = []
    for place, (sealed, open_) in enumerate(((2, 1), (0, 10))):
        venue, clock, _ = opened(tmp_path, store)
        async with trio.open_nursery() as nursery:
            await nursery.start(venue.run)
            if place == 0:
                await fund(venue)
                await venue.submit(signed_order(order(clock.now, FIRST, SELL, PRICE), key(0)))
                await venue.submit(signed_order(order(clock.now, FIRST + 1, BUY, PRICE), key(1)))
                await venue.submit(signed_order(order(clock.now, FIRST, BUY, PRICE, slot=2), key(0)))
            venue.byte_micros = lambda: 20_000
            for count in (sealed, open_):
                pieces = [piece(clock, 10 + len(taken) + slot) for slot in range(count)]
                outcomes = await venue.submit_all(pieces)
                taken += [isinstance(outcome, Processed) and outcome.filled == 1 for outcome in outcomes]
                if count == sealed and place == 0:
                    await venue.submit(b"")
            nursery.cancel_scope.cancel()
        venue.journal.close()
    assert taken == [True] * 5 + [False] * 8


async def test_near_the_bound_only_what_lowers_risk_is_taken(tmp_path: Path, nursery: trio.Nursery) -> None:
    posted = 0
    venue, clock, _ = opened(tmp_path, backlog_chunks=2, posted_chunks=lambda: posted)
    await nursery.start(venue.run)
    await fund(venue, 3)
    sell = signed_order(order(clock.now, FIRST, SELL, PRICE), key(0))
    await venue.submit(sell)
    await venue.submit(signed_order(order(clock.now, FIRST + 1, BUY, PRICE, 400), key(1)))
    await venue.submit(signed_order(order(clock.now, FIRST + 2, BUY, PRICE - 100, 400), key(2)))
    await venue.submit(b"")
    assert venue.backlog == 1
    clock.now += 5_000
    await venue.submit(tick(clock.now))
    await venue.submit(b"")
    assert venue.backlog == 2
    for enlarging in (
        signed_order(order(clock.now, FIRST + 1, BUY, PRICE, slot=2), key(1)),
        signed_request(constants.WITHDRAW, request(clock.now, FIRST, amount=DOLLAR, recipient=b"\x01" * 20), key(0)),
        signed_request(constants.TRANSFER, request(clock.now, FIRST, amount=DOLLAR, other=FIRST + 1), key(0)),
        signed_request(constants.SET_LEVERAGE, request(clock.now, FIRST), key(0)),
        signed_request(constants.SET_AGENT, request(clock.now, FIRST, recipient=owner(5)), key(0)),
    ):
        with pytest.raises(NotTaken, match="BACKLOG"):
            await venue.submit(enlarging)
    before = len(records(venue))
    reducing = signed_order(order(clock.now, FIRST + 1, SELL, PRICE - 100, 400, slot=3, reduce_only=1), key(1))
    assert (await venue.submit(reducing)).status == "filled"
    for lowering in (
        signed_request(constants.CANCEL, request(clock.now, FIRST, slot=1), key(0)),
        signed_request(constants.CANCEL_ALL, request(clock.now, FIRST + 2, slot=0), key(2)),
        signed_request(constants.SET_AGENT, request(clock.now, FIRST), key(0)),
        deposit(owner(0), DOLLAR, FIRST),
        tick(clock.now + 5_000),
    ):
        assert (await venue.submit(lowering)).code == codes.OK
    assert len(records(venue)) == before + 6
    posted = venue.engine.chunk_count
    clock.now += 1
    assert (await venue.submit(signed_order(order(clock.now, FIRST, SELL, PRICE, slot=4), key(0)))).code == codes.OK
    nursery.cancel_scope.cancel()


async def test_a_caller_who_gives_up_takes_nothing_from_the_others(tmp_path: Path, nursery: trio.Nursery) -> None:
    venue, clock, _ = opened(tmp_path)
    await nursery.start(venue.run)
    await fund(venue)
    operation = signed_order(order(clock.now, FIRST, SELL, PRICE), key(0))
    with trio.CancelScope() as scope:
        scope.cancel()
        await venue.submit(operation)
    other = await venue.submit(signed_order(order(clock.now, FIRST + 1, BUY, PRICE - 1), key(1)))
    assert other.status == "resting"
    assert (await venue.submit(operation)).status == "resting"
    nursery.cancel_scope.cancel()


async def test_concurrent_callers_are_answered_each_for_himself(tmp_path: Path, nursery: trio.Nursery) -> None:
    venue, clock, ear = opened(tmp_path)
    await nursery.start(venue.run)
    await fund(venue, 40)
    answers: dict[int, Processed] = {}

    async def send(index: int) -> None:
        side, price = (SELL, PRICE + index) if index % 2 else (BUY, PRICE + 40)
        answers[index] = await venue.submit(signed_order(order(clock.now, FIRST + index, side, price), key(index)))

    async with trio.open_nursery() as crowd:
        for index in range(40):
            crowd.start_soon(send, index)
    assert all(answers[index].account == FIRST + index for index in range(40))
    assert len(ear.outcomes) == 41 + 40
    assert picture(replayed(records(venue), 3))["books"] == picture(venue.engine)["books"]
    nursery.cancel_scope.cancel()


class Slow:
    """Finds signers when it is told to, or fails."""

    def __init__(self) -> None:
        self.asked: list[list[bytes]] = []
        self.turns: list[trio.Event] = []
        self.is_failing = False

    async def recover(self, rows: Any) -> list[bytes]:
        """The traders' addresses by their digests."""
        turn = trio.Event()
        self.asked.append(list(rows))
        self.turns.append(turn)
        await turn.wait()
        if self.is_failing:
            raise VerifierDied("it died")
        return [Recoverer().recover(row) for row in rows]


async def test_the_order_of_arrival_is_not_that_of_the_signers(tmp_path: Path, nursery: trio.Nursery) -> None:
    slow = Slow()
    venue, clock, ear = opened(tmp_path, recoverer=slow)
    await nursery.start(venue.run)
    await fund(venue, 3)
    done: list[int] = []

    async def send(index: int) -> None:
        await venue.submit(signed_order(order(clock.now, FIRST + index, SELL, PRICE), key(index)))
        done.append(index)

    for index in range(3):
        nursery.start_soon(send, index)
        await trio.testing.wait_all_tasks_blocked()
    for turn in (2, 1):
        slow.turns[turn].set()
        await trio.testing.wait_all_tasks_blocked()
        assert done == []
    # A price has a lane of its own and waits for nobody's signer.
    await venue.submit(tick(START + constants.TICK_STEP))
    assert (len(ear.outcomes), done) == (5, [])
    slow.turns[0].set()
    while len(ear.outcomes) < 8:
        await trio.sleep(0)
    assert [outcome.account for outcome in ear.outcomes[5:8]] == [FIRST, FIRST + 1, FIRST + 2]


async def test_a_cancel_and_a_transfer_overtake_orders_whose_signers_are_looked_for(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    slow = Slow()
    venue, clock, ear = opened(tmp_path, recoverer=slow)
    await nursery.start(venue.run)
    await fund(venue, 3)
    heard = len(ear.outcomes)
    nursery.start_soon(venue.submit, signed_order(order(clock.now, FIRST, SELL, PRICE), key(0)))
    await trio.testing.wait_all_tasks_blocked()
    moved = request(clock.now, FIRST + 2, amount=2 * DOLLAR, other=constants.NEW_ACCOUNT)
    gone = request(clock.now, FIRST, slot=1, max_posting_fee=0)
    for tag, given, signer in ((constants.TRANSFER, moved, 2), (constants.CANCEL, gone, 0)):
        nursery.start_soon(venue.submit, signed_request(tag, given, key(signer)))
        await trio.testing.wait_all_tasks_blocked()
    # The cancel keeps its place behind the transfer, and the order it is about is refused when its turn comes.
    slow.turns[2].set()
    await trio.testing.wait_all_tasks_blocked()
    assert len(ear.outcomes) == heard
    slow.turns[1].set()
    while len(ear.outcomes) < heard + 2:
        await trio.sleep(0)
    assert ear.outcomes[heard].opened == FIRST + 3
    slow.turns[0].set()
    await trio.testing.wait_all_tasks_blocked()
    assert [outcome.code for outcome in ear.outcomes[heard:]] == [codes.OK, codes.OK]
    assert venue.engine.open_orders(FIRST) == []
    assert [len(rows) for rows in slow.asked] == [1, 1, 1]
    nursery.cancel_scope.cancel()


async def test_who_gives_up_before_his_signer_is_known_holds_nobody_up(tmp_path: Path, nursery: trio.Nursery) -> None:
    slow = Slow()
    venue, clock, ear = opened(tmp_path, recoverer=slow)
    await nursery.start(venue.run)
    await fund(venue)
    async with trio.open_nursery() as callers:
        callers.start_soon(venue.submit, signed_order(order(clock.now, FIRST, SELL, PRICE), key(0)))
        await trio.testing.wait_all_tasks_blocked()
        callers.cancel_scope.cancel()
    slow.is_failing = True
    await trio.testing.wait_all_tasks_blocked()
    async with trio.open_nursery() as callers:
        callers.start_soon(venue.submit, signed_order(order(clock.now, FIRST + 1, BUY, PRICE), key(1)))
        await trio.testing.wait_all_tasks_blocked()
        # A worker that dies refuses nobody: the venue looks for itself.
        slow.turns[-1].set()
    assert [(outcome.account, outcome.status) for outcome in ear.outcomes[3:]] == [(FIRST + 1, "resting")]
    nursery.cancel_scope.cancel()


async def test_a_call_is_sequenced_whole_and_synced_once(tmp_path: Path, nursery: trio.Nursery) -> None:
    disk = CountingDisk()
    venue, clock, _ = opened(tmp_path, disk=disk, backlog_chunks=1)
    await nursery.start(venue.run)
    await fund(venue)
    syncs = disk.syncs
    given = [
        signed_order(order(clock.now, FIRST + place % 2, (SELL, BUY)[place % 2], PRICE, slot=1 + place), key(place % 2))
        for place in range(20)
    ]
    given[7] = given[7][:-1] + bytes([given[7][-1] ^ 1])
    taken: list[int] = []
    outcomes = await venue.submit_all(given, lambda: taken.append(disk.syncs))
    assert (disk.syncs, taken) == (syncs + 1, [syncs])
    statuses = [outcome.status for outcome in outcomes if outcome is not None]
    assert statuses == ["resting", "filled"] * 3 + ["resting", ""] + ["resting", "filled"] * 6
    assert outcomes[7] is not None
    assert outcomes[7].code == codes.BAD_SIGNATURE
    await venue.submit(b"")
    # What is backlogged is told apart, each for itself.
    cancel = signed_request(constants.CANCEL, request(clock.now, FIRST, slot=7), key(0))
    late = signed_order(order(clock.now, FIRST, SELL, PRICE, slot=40), key(0))
    answers = await venue.submit_all([late, cancel, late])
    assert [answer.code if isinstance(answer, Processed) else answer for answer in answers] == [
        Untaken.BACKLOG,
        codes.OK,
        Untaken.BACKLOG,
    ]
    assert await venue.submit_all([]) == []
    nursery.cancel_scope.cancel()
