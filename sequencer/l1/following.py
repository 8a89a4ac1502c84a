"""Follows the bridge twice: at the head for what is posted, behind finality for what may be consumed."""

import math
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec
import structlog
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Error, L1Unavailable
from l1_bridge.client.following import Applied, Depth, Follower, Reverted, block_at
from l1_bridge.client.keys import DEVELOPMENT_CHAIN_ID
from l1_bridge.client.values import Block, Log
from l1_bridge.codec import batch, calls
from l1_bridge.codec.events import BatchCommitted, BridgeEvent, Enqueued, LogError, RolledBack, decode_log
from l1_bridge.contracts.artifact import ArtifactError
from l1_bridge.files import keep_bound, read_bound
from prover.contracts.deployment import Deployment
from prover.history.absence import missing_batch, missing_entry
from prover.stf import codes, constants
from prover.stf.replay import UNCONSUMED, outlasts
from sequencer.l1.bridge_view import BridgeView, Checkpoint
from sequencer.l1.postable import PATIENCE_SECONDS, Reason
from sequencer.sequencing.admission import Taking
from sequencer.sequencing.sequencer import Sequencer

# Within the datadir.
CHECKPOINT: Final = "checkpoint.msgpack"
DEVNET_FINALITY_BLOCKS: Final = 2
_CHECKPOINT_BLOCKS: Final = 600
# Finality comes within thirteen minutes: where it is so much later, what is 64 blocks deep is consumed. After a fork
# that goes deeper the bridge refuses every later batch of this node (QUEUE_HASH).
_CONSUMED: Final = Depth("finalized", stalled_seconds=1_200, blocks=64)
# How often entries are tried again that wait behind a forced close.
_DRAIN_SECONDS: Final = 1
# How long an entry that would end a forced close for want of a price waits for one: a node that was away has read its
# queue before anybody's reports.
_PRICE_SECONDS: Final = 60
# How often logs are read that do not come to what the bridge holds, so often from the last checkpoint on; with pauses
# about two minutes in all.
_TIMES_ASKED: Final = 8
_TIMES_FROM_CHECKPOINT: Final = 4
_LONGEST_PAUSE_SECONDS: Final = 30.0


class QueueUnreadable(Exception):
    """L1's logs do not give the queue whole: going on would make every later batch unlawful."""


class QueueGap(QueueUnreadable):
    """An entry is missing in front of one that is there."""


def _kept_checkpoint(path: Path, domain: bytes) -> Checkpoint | None:
    content = read_bound(path, domain)
    try:
        return None if content is None else msgspec.msgpack.decode(content, type=Checkpoint)
    except msgspec.DecodeError:
        return None


def cut_checkpoint(path: Path, domain: bytes, chunks: int, entries: int) -> None:
    """Lets go of where the last run had read to, where a store with so many chunks and queue entries is behind it."""
    found = _kept_checkpoint(path, domain)
    if found is None or found.entries > entries or any((one.chunks or 0) > chunks for one in found.batches):
        path.unlink(missing_ok=True)


async def read_checkpoint(path: Path, client: L1Client | None, domain: bytes) -> Checkpoint | None:
    """Where the last run had read to, if L1 still has that block; None reads from the beginning.

    client: None for an L1 that is known to be away.
    """
    found = _kept_checkpoint(path, domain)
    if found is None or client is None:
        return found
    try:
        block = await client.block(found.block)
    except L1Unavailable:
        # While L1 is away it is believed; whether logs behind it come to what the bridge holds is looked at later.
        return found
    return found if block is not None and block.hash == found.block_hash else None


def serves_queue_alone(now_ms: int, owed_since_ms: int | None, horizon_ms: int | None, inclusion_ms: int) -> bool:
    """Whether what comes at this time may be in no chunk that trades.

    By the oldest owed entry; where none is known, because L1 was not read for so long that there may be one.
    """
    # Entries are read in their order: behind one that is known there is none that is older.
    oldest_ms = horizon_ms if owed_since_ms is None else owed_since_ms
    return oldest_ms is not None and oldest_ms + inclusion_ms <= now_ms


class EntryFeeder:
    """Entries of L1's queue on their way into the sequence: in order, each once, those that have to wait kept.

    horizon_seconds: L1's time up to which every entry was read, None where that does not matter.
    """

    def __init__(self, sequencer: Sequencer, inclusion_seconds: int) -> None:
        """inclusion_seconds: after so long an owed entry lets the venue serve the queue alone."""
        self._sequencer = sequencer
        self._inclusion_ms = inclusion_seconds * 1_000
        self.horizon_seconds: int | None = None
        sequencer.is_late = self.is_late
        sequencer.is_blind = self.is_blind
        # Entries that were read and stand behind one that waits; no checkpoint may be behind them.
        self._waiting: deque[Enqueued] = deque()
        # When the first of them was found to end a forced close, by trio's clock; None where it would not.
        self._held_at: float | None = None
        self._draining = trio.Lock()
        self._log = structlog.get_logger("queue")

    @property
    def known(self) -> tuple[int, bytes]:
        """How many entries of the queue were read, and the hash of the queue up to there."""
        commitment = self._sequencer.engine.view.commitment
        if self._waiting:
            return self._waiting[-1].index + 1, self._waiting[-1].chain_hash
        return commitment.queue_taken, commitment.queue_hash

    @property
    def is_waiting(self) -> bool:
        """Whether an entry was read and is not sequenced."""
        return bool(self._waiting)

    def is_late(self, now_ms: int) -> bool:
        """Whether a chunk that begins now has to serve the queue alone, or no batch that ends with it may be lawful.

        What the queue holds beyond the horizon is not known: past the inclusion time it is taken to be waiting.
        """
        now_ms = self._sequencer.engine.open_chunk.time(now_ms)
        horizon_ms = None if self.horizon_seconds is None else self.horizon_seconds * 1_000
        return serves_queue_alone(now_ms, self._owed_since_ms(), horizon_ms, self._inclusion_ms)

    def is_blind(self, now_ms: int) -> bool:
        """Whether it is not known if a chunk that begins now has to serve the queue alone: none is lawful for sure.

        The bridge takes one that does in a late batch and in no other; whether this would be late is not known.
        """
        return self._owed_since_ms() is None and self.is_late(now_ms)

    def _owed_since_ms(self) -> int | None:
        """When L1 took the oldest entry that was read and is not done; None where there is none."""
        engine = self._sequencer.engine
        owed = engine.view.commitment.queue_count
        for event in self._waiting:
            if event.index == owed:
                return event.enqueued_at * 1_000
        if engine.view.commitment.queue_taken == owed:
            return None
        found = (record.time for record in reversed(engine.entries) if record.index == owed)
        # However many have passed it: what the venue lists is bounded.
        return next(found, None) or engine.globals.head_time

    async def consume(self, event: Enqueued) -> None:
        """Sequences an entry of a final block, or keeps it; one that is known already is left out. QueueUnreadable."""
        # Invariant: entries are consumed in the order of the queue, each once; past a gap no batch is lawful.
        async with self._draining:
            commitment = self._sequencer.engine.view.commitment
            following = commitment.queue_taken + len(self._waiting)
            if event.index < following:
                return
            if event.index > following:
                raise QueueGap(f"the L1 node gives queue entry {event.index}, the next is {following}")
            _, queue_hash = self.known
            if batch.extend_queue_hash(queue_hash, event.operation) != event.chain_hash:
                raise QueueUnreadable(f"queue entry {event.index} does not follow from those that were consumed")
            self._waiting.append(event)
            await self._drain()

    async def run(self) -> None:
        """Goes on with entries that had to wait, once ticks and trades let them."""
        while True:
            await trio.sleep(_DRAIN_SECONDS)
            async with self._draining:
                if self._held_at is None and self._waiting and self._ends_head(self._waiting[0]):
                    self._held_at = trio.current_time()
                await self._drain()

    async def _drain(self) -> None:
        """Consumes what waits, in order, until a close stands behind another or a rescue or a close needs a tick."""
        while self._waiting and not self._is_held(self._waiting[0]) and await self._entered(self._waiting[0]):
            self._waiting.popleft()

    def _is_held(self, event: Enqueued) -> bool:
        """Whether prices may still come before an entry that ends a forced close where there are none."""
        if not self._ends_head(event):
            self._held_at = None
            return False
        # Counted once the node runs: what it reads of the past comes all at once, and no tick with it.
        return self._held_at is None or trio.current_time() < self._held_at + _PRICE_SECONDS

    def _ends_head(self, event: Enqueued) -> bool:
        """Whether the law would have it end the head (PROTOCOL.md 4.9) unless a tick comes first."""
        globals = self._sequencer.engine.globals
        if globals.head_account == 0 or event.operation[0] == constants.DEPOSIT:
            return False
        return globals.head_limit != constants.HEAD_OVER and outlasts(globals, event.enqueued_at * 1_000)

    async def _entered(self, event: Enqueued) -> bool:
        outcome = await self._sequencer.submit(event.operation)
        if outcome.code in UNCONSUMED:
            return False
        self._log.info(
            "queue.consumed", index=event.index, code=codes.SENTENCE[outcome.code][0], account=outcome.account
        )
        return True


class QueueReader(Protocol):
    """Who gets the queue's entries: a feeder of the sequence, or nobody. horizon_seconds: as the feeder's."""

    horizon_seconds: int | None

    @property
    def known(self) -> tuple[int, bytes]:
        """How many entries of the queue were read, and the hash of the queue up to there."""

    @property
    def is_waiting(self) -> bool:
        """Whether an entry was read and is not sequenced."""

    async def consume(self, event: Enqueued) -> None:
        """One entry of a final block."""

    async def run(self) -> None:
        """Goes on with entries that had to wait."""


class Following:
    """Keeps a BridgeView true and feeds the queue; remembers on disk how far it has read."""

    def __init__(
        self, client: L1Client, deployment: Deployment, view: BridgeView, queue: QueueReader, checkpoint: Path
    ) -> None:
        self._client = client
        self._deployment = deployment
        self._view = view
        self._queue = queue
        self._checkpoint = checkpoint
        self._checkpoint_block = view.block
        # A devnet without block times never finalizes by itself; nobody reorganises it but its owner.
        self._is_devnet = deployment.chain_id == DEVELOPMENT_CHAIN_ID
        self._depth: int | Depth = DEVNET_FINALITY_BLOCKS if self._is_devnet else _CONSUMED
        self._latest, self._finalized = self._behind_view()
        self._log = structlog.get_logger("l1")

    async def catch_up(self) -> None:
        """Reads everything that L1 already has, before the node says that it is ready. L1Error, QueueUnreadable."""
        await self._read_final_logs()
        self._latest, self._finalized = self._behind_view()
        while events := await self._latest.poll():
            for event in events:
                self._view.apply(event)
        while events := await self._finalized.poll():
            for event in events:
                await self._apply_finalized(event)
        await self._refresh_final()

    async def run(self) -> None:
        """Follows head, finality and queue until cancelled. QueueUnreadable ends the node."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._latest.run, self._apply_latest)
            nursery.start_soon(self._finalized.run, self._apply_finalized)
            nursery.start_soon(self._queue.run)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """That L1 was not read for so long that what it holds may be other: for whoever shows nothing else."""
        silent_seconds = trio.current_time() - self._latest.heard_at
        if not PATIENCE_SECONDS <= silent_seconds < math.inf:
            return ()
        said = f"L1 was not read for {silent_seconds:.0f} s: what came onto it since then is not shown."
        return (Reason("UNREAD", said, Taking.NOTHING),)

    async def _read_final_logs(self) -> None:
        """What is final is read by its logs alone, page by page: headers matter only where the chain may still turn."""
        target = await block_at(self._client, self._depth)
        if target is None:
            return
        if target.number <= self._view.block:
            self._saw(target)
            return
        pause = self._client.options.poll_seconds
        for asked in range(1, _TIMES_ASKED + 1):
            missing = await self._read_pages(target)
            if not missing:
                break
            self._log.warning("l1.logs_missing", block=target.number, why=missing, asked=asked)
            # The last resort: what an earlier run believed to be all stands in the checkpoint.
            self._view.restart(from_beginning=asked >= _TIMES_FROM_CHECKPOINT)
            await trio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        else:
            raise L1Unavailable(f"the L1 node's logs are not all that the bridge wrote: {missing}")
        self._saw(target)
        self._save(self._view.read_to(target))

    async def _read_pages(self, target: Block) -> str:
        """Takes all logs up to a block; what is missing of them by the bridge's own word, or nothing."""
        first = self._view.block + 1
        while first <= target.number:
            # Page by page: whoever fills blocks with batches chooses what a thousand of them hold.
            logs, last = await self._client.page_of_logs(self._deployment.bridge, [], first, target.number)
            for log in logs:
                event = self._decode(log)
                self._view.take(log.block_number, event)
                try:
                    await self._consume(event)
                except QueueGap as gap:
                    return str(gap)
            first = last + 1
        bridge, at = self._deployment.bridge, target.number
        return await missing_batch(self._client, bridge, at, self._view.tip) or await missing_entry(
            self._client, bridge, at, self._queue.known
        )

    async def _has_batches(self, applied: Sequence[Applied]) -> bool:
        """Whether these blocks' logs, behind what the view has read, come to the bridge's own newest batch."""
        tip = self._view.tip
        for event in self._events(applied):
            if isinstance(event, BatchCommitted):
                tip = event.batch.header.number, event.batch_hash
            elif isinstance(event, RolledBack):
                tip = event.number - 1, None
        return self._told(
            applied, await missing_batch(self._client, self._deployment.bridge, applied[-1].block.number, tip)
        )

    async def _has_entries(self, applied: Sequence[Applied]) -> bool:
        """Whether these blocks' logs, behind what was read of the queue, come to the bridge's own queue."""
        known = self._queue.known
        for event in self._events(applied):
            # What was consumed in an earlier run comes again behind an older checkpoint.
            if isinstance(event, Enqueued) and event.index >= known[0]:
                known = event.index + 1, event.chain_hash
        return self._told(
            applied, await missing_entry(self._client, self._deployment.bridge, applied[-1].block.number, known)
        )

    def _told(self, applied: Sequence[Applied], missing: str) -> bool:
        if missing:
            self._log.warning("l1.logs_missing", block=applied[-1].block.number, why=missing)
        return not missing

    def _events(self, applied: Sequence[Applied]) -> list[BridgeEvent]:
        return [self._decode(log) for step in applied for log in step.logs]

    def _behind_view(self) -> tuple[Follower, Follower]:
        """Followers of what the view has not read: at the head, and behind finality."""
        first = self._view.block + 1
        bridge = self._deployment.bridge
        return (
            self._client.follow(bridge, first, is_whole=self._has_batches),
            self._client.follow(bridge, first, depth=self._depth, is_whole=self._has_entries),
        )

    def _save(self, checkpoint: Checkpoint) -> None:
        if self._queue.is_waiting:
            return
        checkpoint = msgspec.structs.replace(checkpoint, entries=self._queue.known[0])
        try:
            # Synced: an L1 may have let go of the beginning.
            content = msgspec.msgpack.encode(checkpoint)
            keep_bound(self._checkpoint, self._deployment.domain, content, is_synced=True)
        except OSError as error:
            # The next start reads more of L1, and that is all.
            self._log.warning("checkpoint.unwritten", error=str(error))
            return
        self._checkpoint_block = checkpoint.block

    async def _apply_latest(self, event: Applied | Reverted) -> None:
        self._view.apply(event)
        try:
            await self._refresh_final()
        except L1Error as error:
            self._log.warning("l1.final_unknown", error=str(error))

    async def _refresh_final(self) -> None:
        self._view.finalize(await self._client.word(self._deployment.bridge, calls.encode_call("final_number")))

    async def _apply_finalized(self, event: Applied | Reverted) -> None:
        if isinstance(event, Reverted):
            raise QueueUnreadable(f"block {event.block.number} was final and is gone: what it brought is consumed")
        for log in event.logs:
            await self._consume(self._decode(log))
        self._saw(event.block)
        # The view is fed by the other follower and may be behind this one.
        is_due = event.block.number - self._checkpoint_block >= _CHECKPOINT_BLOCKS
        if is_due and event.block.number <= self._view.block:
            self._save(self._view.settle(event.block))

    def _saw(self, block: Block) -> None:
        self._view.arriving.final = block.number
        # A devnet makes blocks when somebody sends something: that they are old says nothing.
        if not self._is_devnet:
            self._queue.horizon_seconds = block.timestamp

    async def _consume(self, event: BridgeEvent) -> None:
        if isinstance(event, Enqueued):
            await self._queue.consume(event)

    def _decode(self, log: Log) -> BridgeEvent:
        try:
            return decode_log(self._deployment.identity, log)
        except (LogError, ArtifactError) as error:
            raise QueueUnreadable(f"a log of the bridge cannot be read: {error}") from None
