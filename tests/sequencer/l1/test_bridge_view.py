"""What the node says of L1: batches as the bridge's logs tell them, gone when the bridge or the chain undoes them."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest
import structlog
import trio

from l1_bridge.client.errors import L1Rejected
from l1_bridge.client.keys import development_key
from l1_bridge.codec import batch, calls
from l1_bridge.codec.events import BatchCommitted, decode_log
from sequencer.api.methods.venue import Methods
from sequencer.l1.bridge_view import Checkpoint, Mirror
from sequencer.l1.poster import ForeignHead
from sequencer.node.node import _L1Tasks
from sequencer.sequencing.sequencer import Venue
from tests.sequencer.l1.test_poster import OPERATOR, Site, site
from tests.sequencer.node_world import genesis

pytestmark = pytest.mark.trio
GAS = 16_000_000


async def lie(here: Site) -> batch.Batch:
    """Commits the first chunk of the world with another root than it has."""
    chunk = here.world.sealed[0]
    honest = batch.Commitment.decode(chunk.commitment)
    words = list(honest.words())
    words[3] += 1
    false = type(honest)(*words)
    record, _ = await here.poster.head()
    chunks = [batch.Chunk(chunk.body, false.root())]
    data = calls.encode_commit(record.number, record.batch_hash, chunks, false)
    receipt = await here.client.send(OPERATOR, here.deployment.bridge, data, gas=2_000_000)
    events = [decode_log(here.deployment.identity, log) for log in receipt.logs]
    (committed,) = (event for event in events if isinstance(event, BatchCommitted))
    return committed.batch


async def test_a_batch_that_was_proven_wrong_is_gone() -> None:
    async with site() as here:
        here.seal(1)
        false = await lie(here)
        await here.follow()
        assert [(posted.number, posted.chunks) for posted in here.mirror.batches] == [(1, None)]
        assert (here.mirror.posted_chunks, here.mirror.batch_of_chunk(1)) == (0, None)
        with pytest.raises(ForeignHead):
            await here.poster.post_once()
        proof = calls.encode_prove_fraud(false, 0, here.world.sealed[0].witness)
        await here.client.send(development_key(4), here.deployment.bridge, proof, gas=GAS)
        await here.follow()
        assert (here.mirror.batches, here.mirror.rolled_back, here.mirror.posted_chunks) == ([], 1, 0)
        # The liar has lost the seat: posting is refused by L1, and said, until somebody takes it.
        with pytest.raises(L1Rejected):
            await here.poster.post_once()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.poster.run)
            with trio.fail_after(10):
                while not here.poster.trouble:
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        await here.poster.take_seat("again")
        assert await here.poster.post_once()
        await here.follow()
        assert (here.mirror.posted_chunks, here.mirror.rolled_back) == (1, 1)


async def test_a_reorganisation_takes_the_roll_back_along() -> None:
    async with site() as here:
        here.seal(1)
        false = await lie(here)
        await here.follow()
        proof = calls.encode_prove_fraud(false, 0, here.world.sealed[0].witness)
        await here.client.send(development_key(4), here.deployment.bridge, proof, gas=GAS)
        await here.follow()
        assert here.mirror.batches == []
        await here.client.call("anvil_reorg", [1, []])
        await here.follow()
        assert [posted.number for posted in here.mirror.batches] == [1]
        assert here.mirror.rolled_back == 0


async def test_which_batch_holds_a_chunk() -> None:
    async with site() as here:
        here.seal(3)
        await here.poster.post_once()
        here.seal(2)
        await here.poster.post_once()
        here.seal(1)
        await here.follow()
        found = [here.mirror.batch_of_chunk(number) for number in range(1, 7)]
        assert [posted.number if posted else None for posted in found] == [1, 1, 1, 2, 2, None]
        state = here.mirror.posted_state()
        assert state.chunks == 5
        assert state.tree.root == batch.Commitment.decode(here.world.sealed[4].commitment).tree_root


async def test_a_checkpoint_reads_on_and_comes_to_the_same() -> None:
    async with site() as here:
        here.seal(2)
        await here.poster.post_once()
        await here.follow()
        settled_at = await here.client.block("latest")
        assert settled_at is not None
        written = msgspec.msgpack.encode(here.mirror.settle(settled_at))
        here.seal(1)
        await here.poster.post_once()
        await here.follow()
        checkpoint = msgspec.msgpack.decode(written, type=Checkpoint)
        assert [posted.number for posted in checkpoint.batches] == [1]
        again = Mirror(here.deployment.identity, here.world.engine, genesis(), checkpoint)
        assert (again.posted_chunks, again.block) == (2, settled_at.number)
        follower = here.client.follow(here.deployment.bridge, settled_at.number + 1)
        while events := await follower.poll():
            for event in events:
                again.apply(event)
        assert (again.batches, again.posted_chunks) == (here.mirror.batches, 3)


async def test_what_is_settled_survives_a_reorganisation_of_what_is_not() -> None:
    async with site() as here:
        here.seal(1)
        await here.poster.post_once()
        await here.follow()
        settled_at = await here.client.block("latest")
        assert settled_at is not None
        here.mirror.settle(settled_at)
        here.seal(1)
        await here.poster.post_once()
        await here.follow()
        assert [posted.number for posted in here.mirror.batches] == [1, 2]
        await here.client.call("anvil_reorg", [1, []])
        await here.follow()
        assert [posted.number for posted in here.mirror.batches] == [1]


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
        again = Mirror(here.deployment.identity, here.world.engine, genesis(), here.mirror.settle(settled_at))
        venue = cast(Venue, SimpleNamespace(engine=here.world.engine, posted_chunks=0))
        methods = cast(Methods, SimpleNamespace(is_ready=False, posted=lambda: None, final_batch=0))
        tasks = _L1Tasks(here.client, here.deployment, venue, again, methods, structlog.get_logger(), tmp_path / "c")
        assert {follower.next_block for follower in tasks._behind_mirror()} == {settled_at.number + 1}
        await tasks.catch_up()
        assert (again.batches, again.block) == (here.mirror.batches, newest.number)
        # What is posted is known although no event told of it.
        assert venue.posted_chunks == 1
