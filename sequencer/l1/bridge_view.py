"""What the bridge has said so far, from its logs: batches, what they contain, and the state that L1 holds."""

from collections.abc import Callable
from typing import Final

import msgspec

from l1_bridge.client.following import Applied, Reverted
from l1_bridge.client.values import Block
from l1_bridge.codec import batch, events
from sequencer.engine.engine import Engine
from sequencer.views.arriving import Arriving
from sequencer.views.posted_state import PostedState

# A month of a busy venue would be half a million.
MOST_BATCHES: Final = 4_096


class PostedBatch(msgspec.Struct, frozen=True, array_like=True):
    """A batch on the canonical chain of the bridge; `chunks` is how many of our chunks end with it."""

    number: int
    batch_hash: bytes
    committer: bytes
    last_root: bytes
    chunk_count: int
    operations_bytes: int
    committed_at: int
    block: int
    chunks: int | None


class Checkpoint(msgspec.Struct, frozen=True, array_like=True):
    """What the logs up to a final block came to: a node that starts reads on from there and not from the beginning.

    entries: so many of the queue were read, all of them sequenced.
    """

    block: int
    block_hash: bytes
    rolled_back: int
    batches: list[PostedBatch]
    entries: int = 0


def _posted_batch(block: int, event: events.BatchCommitted) -> PostedBatch:
    """What is kept of a batch; whether it is ours is asked where it is taken."""
    header, chunks = event.batch.header, event.batch.chunks
    return PostedBatch(
        number=header.number,
        batch_hash=event.batch_hash,
        committer=header.committer,
        last_root=chunks[-1].post_root,
        chunk_count=len(chunks),
        operations_bytes=sum(len(chunk.body) for chunk in chunks),
        committed_at=event.committed_at,
        block=block,
        chunks=None,
    )


class BridgeView:
    """The bridge's canonical chain: the one place that knows what is posted, what is final, what was rolled back.

    It stays true across L1 reorgs by replaying the logs of the blocks that are left. Who wants to hear that the batches
    changed adds himself to `listeners`.
    """

    def __init__(
        self,
        identity: batch.BridgeId,
        engine: Engine,
        checkpoint: Checkpoint | None = None,
        *,
        most_batches: int = MOST_BATCHES,
    ) -> None:
        """most_batches: of settled ones that are final so many stay, the newest."""
        self._identity = identity
        self._engine = engine
        self._base = checkpoint or Checkpoint(-1, b"", 0, [])
        self._most_batches = most_batches
        # What was taken since, with the block of each. Not the batches' bytes: until a block is settled many come.
        self._events: list[tuple[int, PostedBatch | events.RolledBack]] = []
        self.batches = list(self._base.batches)
        self.rolled_back = self._base.rolled_back
        self.block = self._base.block
        self.final_batch = 0
        self.listeners: list[Callable[[], None]] = []
        # Who has to hear of batches and roll-backs before they stand here.
        self.before: list[Callable[[events.BatchCommitted | events.RolledBack], None]] = []
        self.arriving = Arriving()
        self._posted: PostedState | None = None

    def apply(self, event: Applied | Reverted) -> None:
        """Takes one step of the L1 chain."""
        before = self.batches[-1:], len(self.batches)
        if isinstance(event, Reverted):
            self._revert(event.block.number)
        else:
            self.block = event.block.number
            for log in event.logs:
                self.take(event.block.number, events.decode_log(self._identity, log))
        if (self.batches[-1:], len(self.batches)) != before:
            for listener in self.listeners:
                listener()

    def _revert(self, block: int) -> None:
        self._events = [(number, kept) for number, kept in self._events if number < block]
        self.batches, self.rolled_back = list(self._base.batches), self._base.rolled_back
        for _, kept in self._events:
            self._take(kept)
        self.block = block - 1
        self.arriving.revert(block)

    def take(self, block: int, event: events.BridgeEvent) -> None:
        """Takes one event of the bridge; blocks never decrease."""
        if isinstance(event, events.BatchCommitted | events.RolledBack):
            for hear in self.before:
                hear(event)
            taken = event if isinstance(event, events.RolledBack) else _posted_batch(block, event)
            self._events.append((block, taken))
            self._take(taken)
        elif isinstance(event, events.Enqueued):
            self.arriving.drop(self._engine.view.commitment.queue_taken)
            self.arriving.add(block, event)

    def finalize(self, number: int) -> None:
        """The bridge says that batches up to this one are final."""
        self.final_batch = number

    def restart(self, from_beginning: bool = False) -> None:
        """Forgets what was taken since the last checkpoint, or everything, so that it is read again."""
        if from_beginning:
            self._base = Checkpoint(-1, b"", 0, [])
        self._revert(self._base.block + 1)

    def is_final(self, number: int) -> bool:
        """Whether nothing can undo the batch of this number any more."""
        return number <= self.final_batch

    def read_to(self, block: Block) -> Checkpoint:
        """Every log up to this final block was taken."""
        self.block = block.number
        return self.settle(block)

    def settle(self, block: Block) -> Checkpoint:
        """Forgets how the state at a final block came about; the checkpoint is what is left of it.

        The block has to be one that was applied: what the view has not read it cannot vouch for.
        """
        assert block.number <= self.block, "only what was read is settled"
        later = [(number, event) for number, event in self._events if number > block.number]
        batches, rolled_back = self.batches, self.rolled_back
        self.batches, self.rolled_back = list(self._base.batches), self._base.rolled_back
        for number, event in self._events:
            if number <= block.number:
                self._take(event)
        self._base = Checkpoint(block.number, block.hash, self.rolled_back, self._bounded(self.batches))
        self.batches, self.rolled_back, self._events = self._bounded(batches), rolled_back, later
        return self._base

    def _bounded(self, batches: list[PostedBatch]) -> list[PostedBatch]:
        """Without the oldest beyond the bound: what is final is not rolled back, and stands in what comes later."""
        excess = batches[: max(0, len(batches) - self._most_batches)]
        return batches[sum(self.is_final(posted.number) for posted in excess) :]

    def _take(self, event: PostedBatch | events.RolledBack) -> None:
        if self.batches and self.batches[-1].number >= event.number:
            self.batches = [posted for posted in self.batches if posted.number < event.number]
        if isinstance(event, events.RolledBack):
            self.rolled_back += 1
        else:
            # Asked anew each time: a node that follows may have adopted it meanwhile.
            ours = self._engine.chunk_with_root(event.last_root)
            self.batches.append(msgspec.structs.replace(event, chunks=ours))

    @property
    def tip(self) -> tuple[int, bytes | None]:
        """Number and hash of the newest batch; no hash before the first."""
        return (self.batches[-1].number, self.batches[-1].batch_hash) if self.batches else (0, None)

    @property
    def posted_chunks(self) -> int:
        """How many of our chunks the newest batch contains."""
        return (self.batches[-1].chunks or 0) if self.batches else 0

    def batch_of_chunk(self, number: int) -> PostedBatch | None:
        """The batch that brought one of our chunks; of what is older than all that are kept, one that stands on it."""
        return next((posted for posted in self.batches if (posted.chunks or 0) >= number), None)

    def posted_state(self) -> PostedState:
        """Tree and rows at the newest posted root. WayBackGone, StoreUnavailable."""
        target = self.posted_chunks
        if self._posted is not None and self._posted.reaches(target):
            self._posted.advance(target)
        else:
            self._posted = PostedState.at(self._engine, target)
        return self._posted
