"""Following L1: from where the last run stopped, and the queue in its order or not at all."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import pytest
import structlog
import trio
import trio.testing

from l1_bridge.client.keys import development_key
from l1_bridge.codec.batch import extend_queue_hash
from l1_bridge.codec.events import Enqueued
from l1_bridge.hashing import ZERO_HASH
from prover.stf import codes, constants
from sequencer.devnet.funding import fund
from sequencer.engine.records import Input
from sequencer.l1.bridge_view import BridgeView, Checkpoint
from sequencer.l1.following import EntryFeeder, Following, QueueUnreadable, cut_checkpoint, read_checkpoint
from sequencer.sequencing.sequencer import Sequencer
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.l1.test_poster import Site, site
from tests.sequencer.node_world import BTC, BUY, DOLLAR, FIRST, PRICES, SELL, World, deposit, leave, owner, tick

pytestmark = pytest.mark.trio


class Sequence:
    """A venue that applies what it is given, but while it is `busy`."""

    def __init__(self) -> None:
        commitment = SimpleNamespace(queue_count=0, queue_taken=0, queue_hash=ZERO_HASH, timestamp=0)
        self.engine = SimpleNamespace(
            view=SimpleNamespace(commitment=commitment),
            globals=SimpleNamespace(head_account=0, head_time=0, head_limit=0, tick_time=0),
            entries=[],
            open_chunk=SimpleNamespace(time=lambda now: max(now, commitment.timestamp)),
        )
        self.taken: list[bytes] = []
        self.is_busy = False

    async def submit(self, operation: bytes) -> SimpleNamespace:
        """The code that an entry of the queue would get."""
        if self.is_busy:
            return SimpleNamespace(code=codes.HEAD_UNFINISHED, account=0)
        commitment = self.engine.view.commitment
        commitment.queue_count += 1
        commitment.queue_taken += 1
        commitment.queue_hash = extend_queue_hash(commitment.queue_hash, operation)
        self.taken.append(operation)
        return SimpleNamespace(code=codes.OK, account=0)


def entries(count: int) -> list[Enqueued]:
    """A queue of so many entries."""
    found: list[Enqueued] = []
    chain_hash = ZERO_HASH
    for index in range(count):
        operation = b"entry %d" % index
        chain_hash = extend_queue_hash(chain_hash, operation)
        found.append(Enqueued(index, chain_hash, 0, 0, operation))
    return found


async def test_entries_are_consumed_in_order_and_each_once() -> None:
    sequence = Sequence()
    queue = EntryFeeder(cast(Sequencer, sequence), 3_600)
    first, second, third = entries(3)
    for event in (first, second, first, second, third):
        await queue.consume(event)
    assert sequence.taken == [first.operation, second.operation, third.operation]
    assert not queue.is_waiting


async def test_the_queue_is_served_alone_once_the_oldest_owed_entry_has_waited_for_the_inclusion_time() -> None:
    sequence = Sequence()
    queue = EntryFeeder(cast(Sequencer, sequence), 60)
    assert not queue.is_late(10**12)
    sequence.is_busy = True
    first, second = (Enqueued(e.index, e.chain_hash, 100 + e.index, 0, e.operation) for e in entries(2))
    await queue.consume(first)
    await queue.consume(second)
    assert [queue.is_late(now_ms) for now_ms in (0, 159_999, 160_000)] == [False, False, True]
    # The clock of a chunk never falls behind the state's.
    sequence.engine.view.commitment.timestamp = 160_000
    assert queue.is_late(0)
    # A head that is begun is still owed, whatever was taken behind it.
    commitment = sequence.engine.view.commitment
    commitment.queue_taken, commitment.timestamp = 1, 0
    sequence.engine.entries = [SimpleNamespace(index=0, time=90_000)]
    queue._waiting.popleft()
    assert [queue.is_late(now_ms) for now_ms in (149_999, 150_000)] == [False, True]
    commitment.queue_count = 1
    assert [queue.is_late(now_ms) for now_ms in (160_999, 161_000)] == [False, True]


async def test_what_l1_holds_beyond_what_was_read_is_taken_to_wait() -> None:
    queue = EntryFeeder(cast(Sequencer, Sequence()), 60)
    queue.horizon_seconds = 100
    assert [queue.is_late(now_ms) for now_ms in (159_999, 160_000)] == [False, True]
    # Whether the bridge takes a chunk that serves the queue alone then is not known either.
    assert [queue.is_blind(now_ms) for now_ms in (159_999, 160_000)] == [False, True]


async def test_behind_an_entry_that_is_known_there_is_none_that_is_older() -> None:
    sequence = Sequence()
    sequence.is_busy = True
    queue = EntryFeeder(cast(Sequencer, sequence), 60)
    queue.horizon_seconds = 100
    [event] = entries(1)
    await queue.consume(Enqueued(0, event.chain_hash, 130, 0, event.operation))
    assert [queue.is_late(now_ms) for now_ms in (189_999, 190_000)] == [False, True]
    assert not queue.is_blind(190_000)


async def test_what_was_refused_late_makes_no_chunk_late_that_begins_earlier() -> None:
    """The node's clock was set back: such a chunk's time says that it is not late, and no bridge takes it otherwise."""
    world = World(2)
    world.seal()
    queue = EntryFeeder(cast(Sequencer, SimpleNamespace(engine=world.engine)), 60)
    queue.horizon_seconds = world.now // 1_000
    late = queue.horizon_seconds * 1_000 + 60_000
    assert world.engine.process(Input(late, tick(late + constants.HOUR), b"", True)).code == codes.OFF_GRID
    assert [queue.is_late(now_ms) for now_ms in (late - 1, late)] == [False, True]


async def test_a_gap_in_the_queue_ends_it() -> None:
    sequence = Sequence()
    queue = EntryFeeder(cast(Sequencer, sequence), 3_600)
    first, _, third = entries(3)
    await queue.consume(first)
    with pytest.raises(QueueUnreadable, match="gives queue entry 2, the next is 1"):
        await queue.consume(third)
    assert sequence.taken == [first.operation]


async def test_an_entry_that_does_not_follow_ends_it() -> None:
    sequence = Sequence()
    queue = EntryFeeder(cast(Sequencer, sequence), 3_600)
    first, second = entries(2)
    await queue.consume(first)
    with pytest.raises(QueueUnreadable, match="does not follow"):
        await queue.consume(Enqueued(1, second.chain_hash, 0, 0, b"another"))
    assert sequence.taken == [first.operation]


async def test_what_has_to_wait_is_consumed_later_in_its_order(autojump_clock: trio.testing.MockClock) -> None:
    sequence = Sequence()
    queue = EntryFeeder(cast(Sequencer, sequence), 3_600)
    sequence.is_busy = True
    for event in entries(2):
        await queue.consume(event)
    assert sequence.taken == []
    assert queue.is_waiting
    async with trio.open_nursery() as nursery:
        nursery.start_soon(queue.run)
        await trio.sleep(5)
        assert queue.is_waiting
        sequence.is_busy = False
        while queue.is_waiting:
            await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    assert sequence.taken == [event.operation for event in entries(2)]


@pytest.mark.parametrize(("priced", "code"), [(True, codes.OK), (False, codes.STALE)])
async def test_a_node_that_was_away_waits_for_prices_before_an_entry_ends_a_leave(
    autojump_clock: trio.testing.MockClock, priced: bool, code: int
) -> None:
    world = World(2)
    world.process(deposit(owner(9), 10**6 * DOLLAR, BTC + 1))
    world.order(0, SELL, PRICES[BTC])
    world.order(1, BUY, PRICES[BTC])
    behind = constants.HEAD_PATIENCE + 1_000
    asked = world.now + 1_000 - world.now % 1_000

    async def submit(operation: bytes) -> Any:
        return world.process(operation)

    queue = EntryFeeder(cast(Sequencer, SimpleNamespace(engine=world.engine, submit=submit)), 3_600)
    taken = world.engine.view.commitment.queue_taken
    # While it was away: a leave, nothing that ends it, and what would.
    calls = [
        (asked, leave(asked, FIRST, owner(0))),
        (asked + behind - 1_000, leave(asked + behind - 1_000, 0, owner(5))),
        (asked + behind, leave(asked + behind, 0, owner(5))),
        (asked + behind, deposit(owner(5), DOLLAR, FIRST)),
    ]
    chain_hash = world.engine.view.commitment.queue_hash
    world.now = asked + behind + constants.HOUR // 4
    for place, (at, operation) in enumerate(calls):
        chain_hash = extend_queue_hash(chain_hash, operation)
        await queue.consume(Enqueued(taken + place, chain_hash, at // 1_000, 0, operation))
    # However long it reads.
    await trio.sleep(120)
    assert world.engine.view.commitment.queue_taken == taken + 2
    async with trio.open_nursery() as nursery:
        nursery.start_soon(queue.run)
        await trio.sleep(50)
        assert (queue.is_waiting, world.engine.globals.head_account) == (True, FIRST)
        if priced:
            for _ in range(3):
                world.seal()
                assert world.tick().code == codes.OK
        else:
            await trio.sleep(15)
        while queue.is_waiting:
            await trio.sleep(1)
        nursery.cancel_scope.cancel()
    world.seal()
    head = next(entry for entry in world.engine.entries if entry.index == taken)
    assert (head.done, head.code) == (True, code)
    assert (world.position(0) == 0) is priced


async def test_a_node_follows_from_behind_its_checkpoint_and_not_from_the_beginning(tmp_path: Path) -> None:
    async with site() as here:
        here.seal(1)
        await here.poster.post_once()
        await here.client.call("anvil_mine", ["0x3"])
        await here.follow()
        newest = await here.client.block("latest")
        assert newest is not None
        settled_at = await here.client.block(newest.number - 2)
        assert settled_at is not None
        again = BridgeView(here.deployment.identity, here.world.engine, here.view.settle(settled_at))
        queue = EntryFeeder(cast(Sequencer, SimpleNamespace(engine=here.world.engine)), 3_600)
        following = Following(here.client, here.deployment, again, queue, tmp_path / "c")
        assert again.block == settled_at.number
        domain = here.deployment.domain
        assert await read_checkpoint(tmp_path / "c", here.client, domain) is None
        await following.catch_up()
        assert (again.batches, again.block) == (here.view.batches, newest.number)
        # What is posted is known although no event told of it.
        assert again.posted_chunks == 1
        following._save(kept := here.view.settle(settled_at))
        assert kept.entries == 0
        assert await read_checkpoint(tmp_path / "c", here.client, domain) == kept
        assert await read_checkpoint(tmp_path / "c", None, domain) == kept
        # Of another rollup, however much of this L1 it names.
        assert await read_checkpoint(tmp_path / "c", here.client, b"\x09" * 32) is None
        # A store that goes back keeps it where it has all that was read, and not where it ends before.
        cut_checkpoint(tmp_path / "c", domain, 1, 0)
        assert await read_checkpoint(tmp_path / "c", here.client, domain) == kept
        cut_checkpoint(tmp_path / "c", domain, 0, 0)
        assert not (tmp_path / "c").exists()
        with patch.object(EntryFeeder, "known", (2, b"")):
            following._save(kept)
        for entries, is_kept in ((2, True), (1, False)):
            cut_checkpoint(tmp_path / "c", domain, 1, entries)
            assert (tmp_path / "c").exists() is is_kept


class Follow:
    """What a node has around a site's engine that follows its queue: everything is booked at once."""

    def __init__(self, here: Site, checkpoint: Path, known: Checkpoint | None = None) -> None:
        world = here.world

        async def submit(operation: bytes) -> Any:
            return world.process(operation)

        sequencer = cast(Sequencer, SimpleNamespace(engine=world.engine, submit=submit))
        self.here = here
        self.view = BridgeView(here.deployment.identity, world.engine, known)
        self.following = Following(here.client, here.deployment, self.view, EntryFeeder(sequencer, 3_600), checkpoint)
        self.checkpoint = checkpoint

    async def deposit(self) -> None:
        """Ten dollars into a new account, final on L1."""
        here = self.here
        payer, contracts = development_key(3), (here.deployment.token, here.deployment.bridge)
        await fund(here.client, payer, *contracts, [(owner(1), 10 * DOLLAR)])
        await here.client.call("anvil_mine", ["0x4"])

    @property
    def is_credited(self) -> bool:
        """Whether the deposit is in the state, once."""
        return [self.here.world.engine.account(FIRST).settled, self.here.world.engine.globals.deposited_total] == [
            10 * DOLLAR
        ] * 2


@pytest.mark.parametrize("blind", [1, 3])
async def test_a_deposit_that_logs_leave_out_is_credited_once_they_have_it(tmp_path: Path, blind: int) -> None:
    """Down while it happens, up while eth_getLogs answers with nothing: the bridge's own count says that it lacks."""
    with structlog.testing.capture_logs() as lines:
        async with site() as here:
            node = Follow(here, tmp_path / "c")
            await node.deposit()
            here.wire.blind = blind
            await node.following.catch_up()
            assert node.is_credited
            assert node.checkpoint.exists()
    missing = [line["why"] for line in lines if line["event"] == "l1.logs_missing"]
    assert len(missing) == blind
    assert "the bridge has 1 queue entries, by its logs 0" in missing[0]


async def test_no_progress_is_saved_while_logs_are_not_all(tmp_path: Path) -> None:
    with structlog.testing.capture_logs():
        async with site() as here:
            node = Follow(here, tmp_path / "c")
            await node.deposit()
            here.wire.blind = 1_000

            async def caught_up() -> None:
                await node.following.catch_up()
                raise AssertionError("caught up without the deposit")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(caught_up)
                with trio.fail_after(PATIENCE_SECONDS):
                    while here.wire.blind >= 999:
                        await trio.sleep(0.01)
                nursery.cancel_scope.cancel()
            assert here.wire.blind < 999, "it was asked again"
            assert not node.checkpoint.exists()


async def test_a_deposit_behind_a_checkpoint_that_was_saved_in_vain_is_found_from_the_beginning(
    tmp_path: Path,
) -> None:
    with structlog.testing.capture_logs():
        async with site() as here:
            await Follow(here, tmp_path / "c").deposit()
            newest = await here.client.newest_block()
            at = await here.client.block(newest.number - 3)
            assert at is not None
            node = Follow(here, tmp_path / "c", Checkpoint(at.number, at.hash, 0, []))
            await node.following.catch_up()
            assert node.is_credited


async def test_logs_that_come_late_at_the_head_are_waited_for(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as lines:
        async with site() as here:
            node = Follow(here, tmp_path / "c")
            await node.following.catch_up()
            here.wire.blind = 4
            await node.deposit()
            here.seal(1)
            await here.poster.post_once()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(node.following.run)
                with trio.fail_after(PATIENCE_SECONDS):
                    while not node.is_credited or not node.view.batches:
                        await trio.sleep(0.01)
                nursery.cancel_scope.cancel()
    assert here.wire.blind == 0
    assert len([line for line in lines if line["event"] == "l1.logs_missing"]) >= 2
