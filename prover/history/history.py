"""The canonical state rebuilt from the bridge's logs alone: L1 events in, a verdict for every batch out; no I/O.

Only replay decides fraud. Whatever else looks wrong (a log that does not decode, a gap, two libraries that differ) is
UNKNOWN, and nobody may act on it. After a fraudulent batch the state stays at its parent; its descendants are not
replayed, for they fall with it.
"""

from collections.abc import Sequence

import msgspec

from l1_bridge.client.following import Applied, Reverted
from l1_bridge.client.values import Block
from l1_bridge.codec.batch import BridgeId, extend_queue_hash
from l1_bridge.codec.events import (
    BatchCommitted,
    BridgeEvent,
    Enqueued,
    Genesis,
    LogError,
    LogLike,
    RewardCollected,
    RolledBack,
    decode_log,
)
from l1_bridge.hashing import ZERO_HASH
from prover.history import records
from prover.history.records import (
    MEMORY_BLOCKS,
    MOST_KEPT_BLOCKS,
    SCHEMA,
    Alarm,
    BlockEntry,
    Collected,
    Cursor,
    Dispute,
    Judgement,
    Notice,
    Reason,
    Records,
    Reorganised,
    Reward,
    Standing,
    Undone,
    Verdict,
    key,
)
from prover.signing.recover import recover_fast, recover_slow
from prover.state import state as states
from prover.state import witness
from prover.state.overlay import Overlay, Undo
from prover.state.state import State, StateError
from prover.state.store import Store, StoreUnavailable
from prover.stf import encoding
from prover.stf.words import Recover


class _IncompleteError(Exception):
    """What L1 shows contradicts itself; the message says where."""


class ChainReplay:
    """One bridge's history over one store. Not safe for use from two threads at once."""

    def __init__(
        self,
        store: Store,
        bridge: BridgeId,
        *,
        from_block: int = 0,
        recover: Recover = recover_fast,
        second_recover: Recover = recover_slow,
        memory_blocks: int = MEMORY_BLOCKS,
    ) -> None:
        """Continue what the store holds, or begin at `from_block`; ForeignStore if it is something else's."""
        self.bridge = bridge
        self._overlay = Overlay(store)
        self.records = Records(self._overlay, bridge, from_block)
        self._recover = recover
        self._second_recover = second_recover
        self._memory_blocks = memory_blocks
        self._state: State | None = None
        self._notices: list[Notice] = []
        self._shared: int | None = None
        # The oldest block that is remembered, where that is known.
        self._oldest: int | None = None
        self._cursor = self.records.cursor()

    # What is known.

    @property
    def cursor(self) -> Cursor:
        """Tip, valid batch, queue and bridge parameters as of the last applied block."""
        return self._cursor

    @property
    def started(self) -> bool:
        """Whether the bridge's genesis was seen, hence whether there is a state."""
        return bool(self._cursor.genesis_hash)

    @property
    def state(self) -> State:
        """The state after the newest batch of the unbroken valid chain; read only."""
        assert self.started, "there is no state before genesis"
        if self._state is None:
            self._state = State(self._overlay, self.bridge.domain_separator())
        return self._state

    def batch_hash(self, number: int) -> bytes:
        """Hash of a canonical batch; that of genesis for 0, empty before genesis."""
        judged = self.records.judgement(number)
        return self._cursor.genesis_hash if judged is None else judged.batch_hash

    def verdict(self, number: int) -> Verdict:
        """The verdict on a canonical batch; genesis is valid, what is not known is unknown."""
        if number == 0 and self.started:
            return Verdict.VALID
        judged = self.records.judgement(number)
        return Verdict.UNKNOWN if judged is None else judged.verdict

    def standing(self, number: int) -> Standing:
        """How the bridge stood in a block that is remembered, by its logs."""
        cursor = msgspec.msgpack.decode(self._as_of(records.CURSOR, number) or b"", type=Cursor)
        found = self._as_of(key(records.BATCH, cursor.tip), number)
        if found is None:
            return Standing(cursor.tip, cursor.genesis_hash, 0, cursor.queue_length, 0)
        judged = msgspec.msgpack.decode(found, type=Judgement)
        return Standing(cursor.tip, judged.batch_hash, judged.committed_at, cursor.queue_length, judged.bond_id)

    def _as_of(self, at: bytes, number: int) -> bytes | None:
        """What stood under a key after a block that is remembered."""
        while (entry := self.records.block_entry(number := number + 1)) is not None:
            if at in entry.undo:
                return entry.undo[at]
        return self._overlay.get(at)

    @property
    def shared(self) -> int | None:
        """The newest block that is more than one node's word; None where one alone is asked."""
        return self._shared

    def share(self, number: int) -> None:
        """Remember blocks as far back from this one, which all nodes have told, as otherwise from the newest one."""
        self._shared = number

    def dispute(self) -> Dispute | None:
        """The earliest fraudulent batch of the canonical chain; None while no fraud is known."""
        return self.records.dispute(self._cursor.valid + 1)

    # L1 events.

    def handle(self, event: Applied | Reverted) -> list[Notice]:
        """Take one event of a Follower; all that it changes, and the cursor, go down in one atomic write.

        StateError where the store does not hold the state that a batch is to be judged by; nothing is taken then.
        """
        self._notices = []
        try:
            if isinstance(event, Applied):
                self._apply(event)
            else:
                self._revert(event.block)
        except BaseException:
            # Nothing of a half-applied block stays behind.
            self._overlay.restore({})
            self._state = self._oldest = None
            self._cursor = self.records.cursor()
            raise
        return self._notices

    def lose(self, detail: str) -> None:
        """Trust no log from here on: the bridge itself contradicts them. Kept in memory: whoever starts asks anew."""
        self._lose(detail)

    def hold_to(self, window_seconds: int, proof_gas_floor: int) -> None:
        """Take these two for what the Genesis log said of them, which no hash binds."""
        self._change(window_seconds=window_seconds, proof_gas_floor=proof_gas_floor)
        self.records.put(records.CURSOR, self._cursor)
        self._overlay.flush(sync=False)

    def rewind(self, number: int) -> bool:
        """Take the newest blocks back to block `number`, or to the oldest that is remembered, so that they are read
        again: the remedy for logs that come late, or from another node. False where what is missing lies deeper."""
        blocks = self.records.blocks()
        # One block stays, or a follower would begin where the history does.
        kept = next((at for at, block in enumerate(blocks) if block.number >= number), len(blocks) - 1)
        for block in reversed(blocks[kept + 1 :]):
            self.handle(Reverted(block))
        self._cursor = self.records.cursor()
        return bool(blocks) and not self._cursor.incomplete

    def wipe(self, from_block: int | None = None) -> None:
        """Forget everything but what was sent and paid, to begin again: the last remedy for an incomplete history."""
        begins = self._cursor.from_block if from_block is None else from_block
        fresh = Cursor(SCHEMA, self.bridge.chain_id, self.bridge.address, begins)
        kept = (records.INTENT, records.PAID)
        self.records.drop(*(at for at, _ in self._overlay.iterate(b"") if not at.startswith(kept)))
        self.records.put(records.CURSOR, fresh)
        self._overlay.flush(sync=True)
        self._cursor = fresh
        self._state = self._oldest = None
        self._shared = None if self._shared is None else fresh.from_block

    def close(self) -> None:
        """Release the store."""
        self._overlay.close()

    def _apply(self, event: Applied) -> None:
        for log in event.logs:
            # A follower may watch other contracts beside the bridge.
            if log.address != self.bridge.address:
                continue
            self._take(event.block, log)
        self._prune(event.block.timestamp)
        self.records.put(records.CURSOR, self._cursor)
        # Blocks are not part of the way back: they would nest for ever.
        undo = self._overlay.undo({}, lambda at: not at.startswith((records.BLOCK, records.INTENT)))
        number = event.block.number
        self.records.put(key(records.BLOCK, number), BlockEntry(event.block, undo))
        self._forget_blocks(number)
        self._overlay.flush(sync=False)

    def _forget_blocks(self, newest: int) -> None:
        """Drops what is older than all memory; blocks are remembered without a hole."""
        shared = newest if self._shared is None else min(self._shared, newest)
        until = max(shared - self._memory_blocks, newest - MOST_KEPT_BLOCKS)
        if self._oldest is None:
            first = next((at for at, _ in self._overlay.iterate(records.BLOCK)), b"")
            self._oldest = int.from_bytes(first[len(records.BLOCK) :], "big")
        while self._oldest <= until:
            self.records.drop(key(records.BLOCK, self._oldest))
            self._oldest += 1

    def _revert(self, block: Block) -> None:
        entry = self.records.block_entry(block.number)
        assert entry is not None, "a block leaves that never came"
        assert entry.block.hash == block.hash, "blocks leave newest first"
        tip = self._cursor.tip
        self._write_back(entry.undo)
        self.records.drop(key(records.BLOCK, block.number))
        self._overlay.flush(sync=False)
        self._oldest = None
        if self._shared is not None:
            self._shared = min(self._shared, block.number - 1)
        self._cursor = self.records.cursor()
        if len(entry.undo) > 1 or tip != self._cursor.tip:
            self._notices.append(Reorganised(block, self._cursor.tip))

    def _take(self, block: Block, log: LogLike) -> None:
        before = self._overlay.mark()
        try:
            event = decode_log(self.bridge, log)
            if not self._cursor.incomplete:
                self._dispatch(block, event)
                return
        except LogError as error:
            self._lose(f"block {block.number}: {error}")
            return
        except _IncompleteError as error:
            self._overlay.restore(before)
            self._state = None
            self._lose(f"block {block.number}: {error}")
        if isinstance(event, BatchCommitted):
            self._notices.append(_judged(block, event, Verdict.UNKNOWN, Reason.HISTORY, None))

    def _lose(self, detail: str) -> None:
        if not self._cursor.incomplete:
            self._change(incomplete=detail)
            self._notices.append(Alarm(Reason.HISTORY, detail))

    def _dispatch(self, block: Block, event: BridgeEvent) -> None:
        if isinstance(event, Genesis):
            self._genesis(event)
            return
        _need(self.started, f"{type(event).__name__} before Genesis")
        if isinstance(event, Enqueued):
            self._enqueued(event)
        elif isinstance(event, BatchCommitted):
            self._committed(block, event)
        elif isinstance(event, RolledBack):
            self._rolled_back(event)
        elif isinstance(event, RewardCollected):
            # One node's word, which no hash binds: the bridge is asked what it still owes.
            self._notices.append(Collected(event.bond_id, event.prover, event.amount_wei))

    def _genesis(self, event: Genesis) -> None:
        _need(not self.started, "a second Genesis")
        try:
            commitment, _ = states.genesis_commitment(event.genesis_bytes)
        except ValueError as error:
            raise _IncompleteError(f"the genesis bytes are no state of this law: {error}") from None
        _need(encoding.state_root(commitment) == event.root, "the genesis bytes do not give the genesis root")
        self._state = states.create(self._overlay, self.bridge.domain_separator(), event.genesis_bytes)
        self._change(
            genesis_hash=event.batch_hash,
            genesis_root=event.root,
            referee=event.referee,
            token=event.token,
            window_seconds=event.parameters.window_seconds,
            proof_gas_floor=event.parameters.proof_gas_floor,
        )

    def _enqueued(self, event: Enqueued) -> None:
        _need(event.index == self._cursor.queue_length, f"queue entry {event.index} after {self._cursor.queue_length}")
        expected = extend_queue_hash(self._queue_hash(event.index), event.operation)
        _need(event.chain_hash == expected, f"the hash of queue entry {event.index} does not follow from its bytes")
        self.records.put_queue_entry(event.index, event.chain_hash, event.operation)
        self._change(queue_length=event.index + 1)

    def _queue_hash(self, count: int) -> bytes:
        if count == 0:
            return ZERO_HASH
        chain_hash = self.records.queue_hash(count - 1)
        _need(chain_hash is not None, f"queue entry {count - 1} is missing")
        return chain_hash or b""

    def _committed(self, block: Block, event: BatchCommitted) -> None:
        header, cursor = event.batch.header, self._cursor
        commitment = event.batch.commitment
        _need(header.number == cursor.tip + 1, f"batch {header.number} on top of batch {cursor.tip}")
        _need(header.parent_hash == self.batch_hash(cursor.tip), f"batch {header.number} has another parent")
        _need(header.rollback_counter == cursor.rollback_counter, f"batch {header.number}: a roll-back is missing")
        _need(event.committed_at == block.timestamp, f"batch {header.number} was committed in another block")
        parent = self.records.judgement(cursor.tip)
        done = 0 if parent is None else parent.queue_count
        # No narrower than the bridge: a claim that it takes may be a lie, and a lie is proven, not a gap in the logs.
        taken = commitment.queue_taken
        _need(commitment.queue_count >= done, f"batch {header.number} takes queue entries back")
        _need(taken >= commitment.queue_count, f"batch {header.number} is done with more than it took")
        _need(taken <= cursor.queue_length, f"batch {header.number}: queue entries are missing")
        _need(commitment.queue_hash == self._queue_hash(taken), f"batch {header.number} consumes another queue")
        if cursor.valid != cursor.tip:
            judged = _judged(block, event, Verdict.UNKNOWN, Reason.DESCENDANT, parent)
        else:
            judged = self._replay(block, event, parent)
        self.records.put(key(records.BATCH, header.number), judged)
        self._change(tip=header.number)
        if judged.verdict == Verdict.VALID:
            self._change(valid=header.number)
        self._notices.append(judged)
        if judged.reason in (Reason.LIBRARIES, Reason.LAW_FAILED):
            self._notices.append(Alarm(judged.reason, f"batch {judged.number}: {judged.detail}"))

    def _replay(self, block: Block, event: BatchCommitted, parent: Judgement | None) -> Judgement:
        check_state(self)
        before_batch = self._overlay.mark()
        try:
            judged = self._replay_chunks(block, event, parent)
        except (StoreUnavailable, MemoryError):
            raise
        except Exception as error:
            # Whoever finds bytes that break this program must not thereby blind it to all that follows.
            detail = f"{type(error).__name__}: {error}"
            judged = _judged(block, event, Verdict.UNKNOWN, Reason.LAW_FAILED, parent, detail=detail)
        if judged.verdict == Verdict.VALID:
            undo = self._overlay.undo(before_batch, lambda at: not at.startswith(b"m"))
            self.records.put_undo(judged.number, undo)
            return judged
        dispute = self.records.dispute(judged.number) if judged.verdict == Verdict.FRAUD else None
        self._overlay.restore(before_batch)
        self.records.drop(key(records.DISPUTE, judged.number))
        if dispute is not None:
            self.records.put(key(records.DISPUTE, judged.number), dispute)
        self._state = None
        return judged

    def _replay_chunks(self, block: Block, event: BatchCommitted, parent: Judgement | None) -> Judgement:
        operations = 0
        for index, chunk in enumerate(event.batch.chunks):
            before_chunk = self._overlay.mark()
            replayed = self.state.chunk(self._recover)
            replayed.run(chunk.body)
            operations += len(replayed.operation_codes)
            root = self.state.seal(replayed)
            if root != chunk.post_root:
                # Opened anew from the leaves: the second look shares nothing with the first but the law.
                self._overlay.restore(before_chunk)
                self._state = None
                return self._look_again(block, event, parent, index, root)
        return _judged(block, event, Verdict.VALID, Reason.NONE, parent, operations=operations)

    def _look_again(
        self, block: Block, event: BatchCommitted, parent: Judgement | None, index: int, root: bytes
    ) -> Judgement:
        chunk = event.batch.chunks[index]
        pre_root = self.state.root
        replayed = self.state.chunk(self._second_recover)
        replayed.run(chunk.body)
        proof = witness.build(self.state.tree, replayed)
        second_root = self.state.seal(replayed)
        if second_root != root:
            detail = f"chunk {index}: 0x{root.hex()} and 0x{second_root.hex()}, claimed 0x{chunk.post_root.hex()}"
            return _judged(block, event, Verdict.UNKNOWN, Reason.LIBRARIES, parent, detail=detail)
        dispute = Dispute(
            header=event.batch.header,
            chunks=event.batch.chunks,
            commitment=event.batch.commitment.encode(),
            batch_hash=event.batch_hash,
            bond_id=event.bond_id,
            committed_at=event.committed_at,
            chunk_index=index,
            pre_root=pre_root,
            replayed_root=root,
            witness=proof,
            weight_kilogas=replayed.weight,
        )
        self.records.put(key(records.DISPUTE, event.batch.header.number), dispute)
        judged = _judged(block, event, Verdict.FRAUD, Reason.NONE, parent)
        return msgspec.structs.replace(judged, chunk_index=index, claimed_root=chunk.post_root, replayed_root=root)

    def _rolled_back(self, event: RolledBack) -> None:
        tip = self._cursor.tip
        judged = self.records.judgement(event.number)
        _need(
            judged is not None and judged.batch_hash == event.batch_hash,
            f"batch {event.number} was rolled back but never seen",
        )
        _need(event.rollback_counter == self._cursor.rollback_counter + 1, "a roll-back is missing")
        assert judged is not None
        _need(event.bond_id == judged.bond_id, f"batch {event.number} was committed under another bond")
        for number in range(self._cursor.valid, event.number - 1, -1):
            undo = self.records.undo(number)
            _need(undo is not None, f"batch {event.number} was rolled back although it was final")
            self._write_back(undo or {})
        for number in range(event.number, tip + 1):
            self.records.drop(*(key(prefix, number) for prefix in (records.BATCH, records.UNDO, records.DISPUTE)))
        self._change(
            tip=event.number - 1,
            valid=min(self._cursor.valid, event.number - 1),
            rollback_counter=event.rollback_counter,
        )
        reward = Reward(event.bond_id, event.prover, event.reward_wei.to_bytes(32, "big"), event.release_at)
        self.records.put(key(records.REWARD, event.bond_id), reward)
        self._notices.append(Undone(event, tip - event.number + 1, judged.verdict))
        if judged.verdict == Verdict.VALID:
            detail = f"batch {event.number}, chunk {event.chunk_index}: replayed 0x{event.replayed_root.hex()}"
            self._notices.append(Alarm(Reason.LAW_DRIFT, detail))

    def _prune(self, now: int) -> None:
        pruned, queue_pruned = self._cursor.pruned, self._cursor.queue_pruned
        while pruned < self._cursor.valid:
            judged = self.records.judgement(pruned + 1)
            if judged is None or judged.committed_at + self._cursor.window_seconds > now:
                break
            pruned += 1
            self.records.drop(key(records.UNDO, pruned))
            # The newest done entry stays: the next one's hash follows from it, and a later batch may claim no head.
            while queue_pruned < judged.queue_count - 1:
                self.records.drop(key(records.QUEUE, queue_pruned))
                queue_pruned += 1
        if pruned != self._cursor.pruned:
            self._change(pruned=pruned, queue_pruned=queue_pruned)

    # Plumbing.

    def _change(self, **changes: object) -> None:
        self._cursor = msgspec.structs.replace(self._cursor, **changes)

    def _write_back(self, undo: Undo) -> None:
        self._overlay.write(undo, sync=False)
        self._state = None


def check_state(replay: ChainReplay) -> None:
    """StateError unless the state in the store is that of the newest valid batch: a damaged one judges nothing.

    What a damaged log of LevelDB's held is dropped without a word, and an honest batch would be called a fraud.
    """
    judged = replay.records.judgement(replay.cursor.valid)
    expected = replay.cursor.genesis_root if judged is None else judged.last_root
    try:
        found = replay.state.root
    except ValueError as error:
        raise StateError(f"a row in the store is none of a state: {error}") from None
    if found != expected:
        raise StateError(f"the state in the store is not that of batch {replay.cursor.valid}")


def _judged(
    block: Block,
    event: BatchCommitted,
    verdict: Verdict,
    reason: Reason,
    parent: Judgement | None,
    *,
    operations: int = 0,
    detail: str = "",
) -> Judgement:
    chunks: Sequence[object] = event.batch.chunks
    return Judgement(
        number=event.batch.header.number,
        batch_hash=event.batch_hash,
        parent_hash=event.batch.header.parent_hash,
        last_root=event.batch.chunks[-1].post_root,
        committer=event.batch.header.committer,
        bond_id=event.bond_id,
        committed_at=event.committed_at,
        block_number=block.number,
        queue_count=event.batch.commitment.queue_count,
        chunks=len(chunks),
        operations=operations,
        total_chunks=len(chunks) + (0 if parent is None else parent.total_chunks),
        total_operations=operations + (0 if parent is None else parent.total_operations),
        verdict=verdict,
        reason=reason,
        detail=detail,
    )


def _need(holds: bool, otherwise: str) -> None:
    if not holds:
        raise _IncompleteError(otherwise)
