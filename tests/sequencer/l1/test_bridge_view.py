"""What the node says of L1: batches as the bridge's logs tell them, gone when the bridge or the chain undoes them."""

import msgspec
import pytest
import trio

from l1_bridge.client.errors import L1Rejected
from l1_bridge.client.keys import development_key
from l1_bridge.codec import batch, calls
from l1_bridge.codec.events import BatchCommitted, decode_log
from sequencer.l1.bridge_view import BridgeView, Checkpoint
from sequencer.l1.poster import ForeignHead
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.l1.test_poster import OPERATOR, Site, site

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
        assert [(posted.number, posted.chunks) for posted in here.view.batches] == [(1, None)]
        assert (here.view.posted_chunks, here.view.batch_of_chunk(1)) == (0, None)
        with pytest.raises(ForeignHead):
            await here.poster.post_once()
        proof = calls.encode_prove_fraud(false, 0, here.world.sealed[0].witness)
        await here.client.send(development_key(4), here.deployment.bridge, proof, gas=GAS)
        await here.follow()
        assert (here.view.batches, here.view.rolled_back, here.view.posted_chunks) == ([], 1, 0)
        # The liar has lost the seat: posting is refused by L1, and said, until somebody takes it.
        with pytest.raises(L1Rejected):
            await here.poster.post_once()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.poster.run)
            with trio.fail_after(PATIENCE_SECONDS):
                while not here.poster.trouble:
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        await here.poster.take_seat("again")
        assert await here.poster.post_once()
        await here.follow()
        assert (here.view.posted_chunks, here.view.rolled_back) == (1, 1)


async def test_a_reorganisation_takes_the_roll_back_along() -> None:
    async with site() as here:
        here.seal(1)
        false = await lie(here)
        await here.follow()
        proof = calls.encode_prove_fraud(false, 0, here.world.sealed[0].witness)
        await here.client.send(development_key(4), here.deployment.bridge, proof, gas=GAS)
        await here.follow()
        assert here.view.batches == []
        await here.client.call("anvil_reorg", [1, []])
        await here.follow()
        assert [posted.number for posted in here.view.batches] == [1]
        assert here.view.rolled_back == 0


async def test_which_batch_holds_a_chunk() -> None:
    async with site() as here:
        here.seal(3)
        await here.poster.post_once()
        here.seal(2)
        await here.poster.post_once()
        here.seal(1)
        await here.follow()
        found = [here.view.batch_of_chunk(number) for number in range(1, 7)]
        assert [posted.number if posted else None for posted in found] == [1, 1, 1, 2, 2, None]
        state = here.view.posted_state()
        assert state.chunks == 5
        assert state.root == batch.Commitment.decode(here.world.sealed[4].commitment).tree_root


async def test_a_checkpoint_reads_on_and_comes_to_the_same() -> None:
    async with site() as here:
        here.seal(2)
        await here.poster.post_once()
        await here.follow()
        settled_at = await here.client.block("latest")
        assert settled_at is not None
        written = msgspec.msgpack.encode(here.view.settle(settled_at))
        here.seal(1)
        await here.poster.post_once()
        await here.follow()
        checkpoint = msgspec.msgpack.decode(written, type=Checkpoint)
        assert [posted.number for posted in checkpoint.batches] == [1]
        again = BridgeView(here.deployment.identity, here.world.engine, checkpoint)
        assert (again.posted_chunks, again.block) == (2, settled_at.number)
        follower = here.client.follow(here.deployment.bridge, settled_at.number + 1)
        while events := await follower.poll():
            for event in events:
                again.apply(event)
        assert (again.batches, again.posted_chunks) == (here.view.batches, 3)


async def test_what_is_settled_survives_a_reorganisation_of_what_is_not() -> None:
    async with site() as here:
        here.seal(1)
        await here.poster.post_once()
        await here.follow()
        settled_at = await here.client.block("latest")
        assert settled_at is not None
        here.view.settle(settled_at)
        here.seal(1)
        await here.poster.post_once()
        await here.follow()
        assert [posted.number for posted in here.view.batches] == [1, 2]
        await here.client.call("anvil_reorg", [1, []])
        await here.follow()
        assert [posted.number for posted in here.view.batches] == [1]


async def test_of_batches_that_are_final_the_newest_stay() -> None:
    async with site() as here:
        view = here.view = BridgeView(here.deployment.identity, here.world.engine, most_batches=2)
        for _ in range(5):
            here.seal(2)
            await here.poster.post_once()
        await here.follow()
        newest = await here.client.newest_block()
        assert [posted.number for posted in view.settle(newest).batches] == [1, 2, 3, 4, 5]
        # What could still be rolled back stays, however much it is.
        view.finalize(1)
        assert [posted.number for posted in view.settle(newest).batches] == [2, 3, 4, 5]
        view.finalize(5)
        assert [posted.number for posted in view.settle(newest).batches] == [4, 5]
        assert [posted.number for posted in view.batches] == [4, 5]
        # What was in an older one stands in the oldest that is kept.
        found = [view.batch_of_chunk(number) for number in (1, 7, 9, 11)]
        assert [posted.number if posted else None for posted in found] == [4, 4, 5, None]
        assert (view.posted_chunks, view.posted_state().chunks) == (10, 10)
        await here.client.call("anvil_mine", ["0x1"])
        await here.follow()
        await here.client.call("anvil_reorg", [1, []])
        await here.follow()
        assert [posted.number for posted in view.batches] == [4, 5]


async def test_until_a_block_is_settled_no_batch_is_kept_whole() -> None:
    async with site() as here:
        here.seal(3)
        await here.poster.post_once()
        await here.follow()
        ((_, kept),) = here.view._events
        body = here.world.sealed[0].body
        assert body not in msgspec.msgpack.encode(kept)


async def test_what_is_posted_is_made_anew_only_where_l1_holds_less() -> None:
    async with site() as here:
        here.seal(2)
        await here.poster.post_once()
        await here.follow()
        before = here.view.posted_state()
        await here.client.call("anvil_mine", ["0x1"])
        await here.follow()
        await here.client.call("anvil_reorg", [1, []])
        await here.follow()
        assert here.reverted == 1
        assert here.view.posted_state() is before
        await here.client.call("anvil_reorg", [2, []])
        await here.follow()
        assert here.view.posted_state().chunks == 0
        await here.poster.post_once()
        await here.follow()
        assert (here.view.posted_state().chunks, here.view.posted_state().root) == (2, before.root)


async def test_listeners_hear_when_the_batches_changed_and_only_then() -> None:
    async with site() as here:
        heard: list[int] = []
        here.view.listeners.append(lambda: heard.append(len(here.view.batches)))
        here.seal(1)
        await here.follow()
        assert heard == []
        await here.poster.post_once()
        await here.follow()
        assert heard == [1]
        await here.client.call("anvil_mine", ["0x1"])
        await here.follow()
        assert heard == [1]
        await here.client.call("anvil_reorg", [2, []])
        await here.follow()
        assert heard == [1, 0]


async def test_final_is_what_the_bridge_said_and_no_more() -> None:
    async with site() as here:
        assert not here.view.is_final(1)
        here.view.finalize(2)
        assert [here.view.is_final(number) for number in (1, 2, 3)] == [True, True, False]
