"""The canonical state rebuilt from the bridge's logs alone: L1 events in, a verdict for every batch out; no I/O.

Only replay decides fraud. Whatever else looks wrong (a log that does not decode, a gap, two libraries that differ) is
UNKNOWN, and nobody may act on it. After a fraudulent batch the state stays at its parent; its descendants are not
replayed, for they fall with it.

Keys, all under "m" beside the state's own:

    mcursor        Cursor                          mb + number   Judgement of a canonical batch
    mx + block     BlockEntry: header and undo     mu + number   undo of a replayed batch, until it is final
    mq + index     chain hash and queue entry      mf + number   Dispute of a fraudulent batch
    mr + bond id   Reward that waits               mp + hash     Intent of a proof: outlives reorganisations
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from l1_bridge.client.client import Applied, Block, Reverted
from l1_bridge.codec.batch import (
    Batch,
    BatchCommitted,
    BridgeEvent,
    BridgeId,
    Chunk,
    Commitment,
    Enqueued,
    Genesis,
    Header,
    LogError,
    LogLike,
    RewardCollected,
    RolledBack,
    decode_log,
    extend_queue_hash,
)
from l1_bridge.hashing import ZERO_HASH
from prover.signing.recover import recover_fast, recover_slow
from prover.state import state as states
from prover.state import witness
from prover.state.overlay import Overlay, Undo
from prover.state.state import State
from prover.state.store import Store, StoreUnavailable
from prover.stf import encoding
from prover.stf.words import Recover

SCHEMA: Final = 1
MEMORY_BLOCKS: Final = 256

_CURSOR: Final = b"mcursor"
_BATCH: Final = b"mb"
_BLOCK: Final = b"mx"
_UNDO: Final = b"mu"
_QUEUE: Final = b"mq"
_DISPUTE: Final = b"mf"
_REWARD: Final = b"mr"
_INTENT: Final = b"mp"

_Record = TypeVar("_Record", bound=msgspec.Struct)


class ForeignStore(Exception):
    """The store belongs to another bridge, another chain or another program; one sentence."""


class Verdict(StrEnum):
    """What replay says of a batch. Nobody acts on UNKNOWN."""

    VALID = "valid"
    FRAUD = "fraud"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why a verdict is UNKNOWN, or what an alarm is about; stable."""

    NONE = ""
    DESCENDANT = "DESCENDANT"
    HISTORY = "HISTORY"
    LIBRARIES = "LIBRARIES"
    LAW_FAILED = "LAW_FAILED"
    LAW_DRIFT = "LAW_DRIFT"


SENTENCE: Final = {
    Reason.NONE: "",
    Reason.DESCENDANT: "The batch builds on one that is not valid and falls with it.",
    Reason.HISTORY: "The logs that this L1 node gave cannot be all that the bridge wrote.",
    Reason.LIBRARIES: "Replays with two signature libraries give different roots: one of the libraries is wrong.",
    Reason.LAW_FAILED: "The law broke off, which no bytes may make it do: a defect of this program.",
    Reason.LAW_DRIFT: "The referee undid a batch that replays as valid here: this program and the referee differ.",
}


class Judgement(msgspec.Struct, frozen=True):
    """A canonical batch and what replay says of it; totals count from genesis, roots are zero where none is claimed.

    `chunk_index`, `claimed_root` and `replayed_root` are those of the first wrong chunk, -1 and zero without one.
    """

    number: int
    batch_hash: bytes
    parent_hash: bytes
    last_root: bytes
    committer: bytes
    bond_id: int
    committed_at: int
    block_number: int
    queue_count: int
    chunks: int
    operations: int
    total_chunks: int
    total_operations: int
    verdict: Verdict
    reason: Reason
    detail: str = ""
    chunk_index: int = -1
    claimed_root: bytes = ZERO_HASH
    replayed_root: bytes = ZERO_HASH


class Undone(msgspec.Struct, frozen=True):
    """A proof undid a batch and `dropped - 1` batches on top of it."""

    event: RolledBack
    dropped: int
    verdict: Verdict


class Collected(msgspec.Struct, frozen=True):
    """A prover was paid."""

    bond_id: int
    prover: bytes
    amount_wei: int


class Reorganised(msgspec.Struct, frozen=True):
    """A block left the L1 chain and took its batches along; the tip is what it was before it."""

    block: Block
    tip: int


class Alarm(msgspec.Struct, frozen=True):
    """Something that no honest world shows: a human has to look."""

    reason: Reason
    detail: str


Notice = Judgement | Undone | Collected | Reorganised | Alarm


class Dispute(msgspec.Struct, frozen=True):
    """All that a proof against the earliest fraudulent batch needs; `commitment` is the liar's, 320 bytes."""

    header: Header
    chunks: tuple[Chunk, ...]
    commitment: bytes
    batch_hash: bytes
    bond_id: int
    committed_at: int
    chunk_index: int
    pre_root: bytes
    replayed_root: bytes
    witness: bytes
    weight_kilogas: int

    @property
    def batch(self) -> Batch:
        """The batch as it was logged."""
        # Kept in bytes, for a liar's words are larger than what msgpack calls an integer.
        return Batch(self.header, self.chunks, Commitment.decode(self.commitment))


class Reward(msgspec.Struct, frozen=True):
    """What the bridge owes the prover of a bond's newest proof."""

    bond_id: int
    prover: bytes
    amount: bytes
    release_at: int

    @property
    def amount_wei(self) -> int:
        """A bond in wei does not fit into 64 bits."""
        return int.from_bytes(self.amount, "big")


class Intent(msgspec.Struct, frozen=True):
    """A proof that was about to be sent: by whom and under which nonce; written before it leaves the process."""

    batch_hash: bytes
    sender: bytes
    nonce: int


class Cursor(msgspec.Struct, frozen=True):
    """Where the replay stands. `tip` is the newest canonical batch, `valid` the one whose state is held."""

    schema: int
    chain_id: int
    bridge: bytes
    from_block: int
    genesis_hash: bytes = b""
    genesis_root: bytes = b""
    referee: bytes = b""
    token: bytes = b""
    window_seconds: int = 0
    proof_gas_floor: int = 0
    tip: int = 0
    valid: int = 0
    pruned: int = 0
    rollback_counter: int = 0
    queue_length: int = 0
    queue_pruned: int = 0
    # not empty: from here on nothing is certain, see Reason.HISTORY
    incomplete: str = ""


class _BlockEntry(msgspec.Struct, frozen=True):
    block: Block
    undo: Undo


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
        self._recover = recover
        self._second_recover = second_recover
        self._memory_blocks = memory_blocks
        self._state: State | None = None
        self._notices: list[Notice] = []
        self._cursor = self._open_cursor(store, from_block)

    def _open_cursor(self, store: Store, from_block: int) -> Cursor:
        fresh = Cursor(SCHEMA, self.bridge.chain_id, self.bridge.address, from_block)
        encoded = store.get(_CURSOR)
        if encoded is None:
            if next(store.iterate(b""), None) is not None:
                raise ForeignStore("The store holds something else than a replay of a bridge.")
            # At once, so that a restart before the first block knows whose store this is.
            store.write({_CURSOR: msgspec.msgpack.encode(fresh)}, sync=True)
            return fresh
        try:
            cursor = msgspec.msgpack.decode(encoded, type=Cursor)
        except (msgspec.DecodeError, msgspec.ValidationError):
            raise ForeignStore("The store was written by another version of this program.") from None
        if (cursor.chain_id, cursor.bridge) != (self.bridge.chain_id, self.bridge.address):
            raise ForeignStore(
                f"The store belongs to the bridge 0x{cursor.bridge.hex()} on chain {cursor.chain_id}, "
                f"not to 0x{self.bridge.address.hex()} on chain {self.bridge.chain_id}."
            )
        if cursor.schema != SCHEMA:
            raise ForeignStore("The store was written by another version of this program.")
        return cursor

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

    @property
    def remembered(self) -> tuple[Block, ...]:
        """The newest applied blocks, oldest first, as a Follower takes them to resume."""
        return tuple(
            msgspec.msgpack.decode(value, type=_BlockEntry).block for _, value in self._overlay.iterate(_BLOCK)
        )

    def judgement(self, number: int) -> Judgement | None:
        """The verdict on a canonical batch; None for genesis and for batches above the tip."""
        return self._get(_BATCH, number, Judgement)

    def batch_hash(self, number: int) -> bytes:
        """Hash of a canonical batch; that of genesis for 0, empty before genesis."""
        judged = self.judgement(number)
        return self._cursor.genesis_hash if judged is None else judged.batch_hash

    def verdict(self, number: int) -> Verdict:
        """The verdict on a canonical batch; genesis is valid, what is not known is unknown."""
        if number == 0 and self.started:
            return Verdict.VALID
        judged = self.judgement(number)
        return Verdict.UNKNOWN if judged is None else judged.verdict

    def dispute(self) -> Dispute | None:
        """The earliest fraudulent batch of the canonical chain; None while no fraud is known."""
        return self._get(_DISPUTE, self._cursor.valid + 1, Dispute)

    def rewards(self) -> list[Reward]:
        """Rewards that no prover has collected yet."""
        return [msgspec.msgpack.decode(value, type=Reward) for _, value in self._overlay.iterate(_REWARD)]

    def queue_operation(self, index: int) -> bytes | None:
        """Bytes of a queue entry that no final batch has consumed; None for any other."""
        entry = self._overlay.get(_key(_QUEUE, index))
        return None if entry is None else entry[32:]

    def queue(self) -> list[tuple[int, bytes]]:
        """Index and bytes of the queue's entries that no final batch has consumed, in order; maybe one more."""
        entries = self._overlay.iterate(_QUEUE)
        return [(int.from_bytes(key[len(_QUEUE) :], "big"), entry[32:]) for key, entry in entries]

    def intent(self, batch_hash: bytes) -> Intent | None:
        """The proof that was about to be sent against a batch, also before a restart."""
        encoded = self._overlay.get(_INTENT + batch_hash)
        return None if encoded is None else msgspec.msgpack.decode(encoded, type=Intent)

    def remember_intent(self, intent: Intent) -> None:
        """Durable before it returns."""
        self._overlay.write({_INTENT + intent.batch_hash: msgspec.msgpack.encode(intent)}, sync=True)
        self._overlay.flush(sync=True)

    # L1 events.

    def handle(self, event: Applied | Reverted) -> list[Notice]:
        """Take one event of a Follower; all that it changes, and the cursor, go down in one atomic write."""
        self._notices = []
        try:
            if isinstance(event, Applied):
                self._apply(event)
            else:
                self._revert(event.block)
        except BaseException:
            # Nothing of a half-applied block stays behind.
            self._overlay.restore({})
            self._state = None
            self._cursor = msgspec.msgpack.decode(self._overlay.get(_CURSOR) or b"", type=Cursor)
            raise
        return self._notices

    def lose(self, detail: str) -> None:
        """Trust no log from here on: the bridge itself contradicts them."""
        self._lose(detail)
        self._put(_CURSOR, self._cursor)
        self._overlay.flush(sync=True)

    def wipe(self) -> None:
        """Forget everything but what was sent, to begin again: the remedy for an incomplete history."""
        fresh = Cursor(SCHEMA, self.bridge.chain_id, self.bridge.address, self._cursor.from_block)
        self._overlay.write(
            {key: None for key, _ in self._overlay.iterate(b"") if not key.startswith(_INTENT)}, sync=False
        )
        self._overlay.write({_CURSOR: msgspec.msgpack.encode(fresh)}, sync=False)
        self._overlay.flush(sync=True)
        self._cursor = fresh
        self._state = None

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
        self._put(_CURSOR, self._cursor)
        # Blocks are not part of the way back: they would nest for ever.
        undo = self._overlay.undo({}, lambda key: not key.startswith((_BLOCK, _INTENT)))
        number = event.block.number
        self._put(_key(_BLOCK, number), _BlockEntry(event.block, undo))
        if number >= self._memory_blocks:
            self._overlay.write({_key(_BLOCK, number - self._memory_blocks): None}, sync=False)
        self._overlay.flush(sync=False)

    def _revert(self, block: Block) -> None:
        entry = self._get(_BLOCK, block.number, _BlockEntry)
        assert entry is not None, "a block leaves that never came"
        assert entry.block.hash == block.hash, "blocks leave newest first"
        tip = self._cursor.tip
        self._write_back(entry.undo)
        self._overlay.write({_key(_BLOCK, block.number): None}, sync=False)
        self._overlay.flush(sync=False)
        self._cursor = msgspec.msgpack.decode(self._overlay.get(_CURSOR) or b"", type=Cursor)
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
            self._overlay.write({_key(_REWARD, event.bond_id): None}, sync=False)
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
        self._overlay.write({_key(_QUEUE, event.index): event.chain_hash + event.operation}, sync=False)
        self._change(queue_length=event.index + 1)

    def _queue_hash(self, count: int) -> bytes:
        if count == 0:
            return ZERO_HASH
        entry = self._overlay.get(_key(_QUEUE, count - 1))
        _need(entry is not None, f"queue entry {count - 1} is missing")
        return (entry or b"")[:32]

    def _committed(self, block: Block, event: BatchCommitted) -> None:
        header, cursor = event.batch.header, self._cursor
        commitment = event.batch.commitment
        _need(header.number == cursor.tip + 1, f"batch {header.number} on top of batch {cursor.tip}")
        _need(header.parent_hash == self.batch_hash(cursor.tip), f"batch {header.number} has another parent")
        _need(header.rollback_counter == cursor.rollback_counter, f"batch {header.number}: a roll-back is missing")
        _need(event.committed_at == block.timestamp, f"batch {header.number} was committed in another block")
        parent = self.judgement(cursor.tip)
        done = 0 if parent is None else parent.queue_count
        # No narrower than the bridge: a claim that it takes may be a lie, and a lie is proven, not a gap in the logs.
        taken = commitment.queue_count + commitment.queue_open
        _need(commitment.queue_count >= done, f"batch {header.number} takes queue entries back")
        _need(commitment.queue_open <= 1, f"batch {header.number} has more than one head")
        _need(taken <= cursor.queue_length, f"batch {header.number}: queue entries are missing")
        _need(commitment.queue_hash == self._queue_hash(taken), f"batch {header.number} consumes another queue")
        if cursor.valid != cursor.tip:
            judged = _judged(block, event, Verdict.UNKNOWN, Reason.DESCENDANT, parent)
        else:
            judged = self._replay(block, event, parent)
        self._put(_key(_BATCH, header.number), judged)
        self._change(tip=header.number)
        if judged.verdict == Verdict.VALID:
            self._change(valid=header.number)
        self._notices.append(judged)
        if judged.reason in (Reason.LIBRARIES, Reason.LAW_FAILED):
            self._notices.append(Alarm(judged.reason, f"batch {judged.number}: {judged.detail}"))

    def _replay(self, block: Block, event: BatchCommitted, parent: Judgement | None) -> Judgement:
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
            undo = self._overlay.undo(before_batch, lambda key: not key.startswith(b"m"))
            self._overlay.write({_key(_UNDO, judged.number): msgspec.msgpack.encode(undo)}, sync=False)
            return judged
        kept = self._overlay.get(_key(_DISPUTE, judged.number)) if judged.verdict == Verdict.FRAUD else None
        self._overlay.restore(before_batch)
        self._overlay.write({_key(_DISPUTE, judged.number): kept}, sync=False)
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
        self._put(_key(_DISPUTE, event.batch.header.number), dispute)
        judged = _judged(block, event, Verdict.FRAUD, Reason.NONE, parent)
        return msgspec.structs.replace(judged, chunk_index=index, claimed_root=chunk.post_root, replayed_root=root)

    def _rolled_back(self, event: RolledBack) -> None:
        tip = self._cursor.tip
        judged = self.judgement(event.number)
        _need(
            judged is not None and judged.batch_hash == event.batch_hash,
            f"batch {event.number} was rolled back but never seen",
        )
        _need(event.rollback_counter == self._cursor.rollback_counter + 1, "a roll-back is missing")
        assert judged is not None
        for number in range(self._cursor.valid, event.number - 1, -1):
            undo = self._overlay.get(_key(_UNDO, number))
            _need(undo is not None, f"batch {event.number} was rolled back although it was final")
            self._write_back(msgspec.msgpack.decode(undo or b"", type=Undo))
        for number in range(event.number, tip + 1):
            self._overlay.write({_key(prefix, number): None for prefix in (_BATCH, _UNDO, _DISPUTE)}, sync=False)
        self._change(
            tip=event.number - 1,
            valid=min(self._cursor.valid, event.number - 1),
            rollback_counter=event.rollback_counter,
        )
        reward = Reward(event.bond_id, event.prover, event.reward_wei.to_bytes(32, "big"), event.release_at)
        self._put(_key(_REWARD, event.bond_id), reward)
        self._notices.append(Undone(event, tip - event.number + 1, judged.verdict))
        if judged.verdict == Verdict.VALID:
            detail = f"batch {event.number}, chunk {event.chunk_index}: replayed 0x{event.replayed_root.hex()}"
            self._notices.append(Alarm(Reason.LAW_DRIFT, detail))

    def _prune(self, now: int) -> None:
        pruned, queue_pruned = self._cursor.pruned, self._cursor.queue_pruned
        while pruned < self._cursor.valid:
            judged = self.judgement(pruned + 1)
            if judged is None or judged.committed_at + self._cursor.window_seconds > now:
                break
            pruned += 1
            self._overlay.write({_key(_UNDO, pruned): None}, sync=False)
            # The newest done entry stays: the next one's hash follows from it, and a later batch may claim no head.
            while queue_pruned < judged.queue_count - 1:
                self._overlay.write({_key(_QUEUE, queue_pruned): None}, sync=False)
                queue_pruned += 1
        if pruned != self._cursor.pruned:
            self._change(pruned=pruned, queue_pruned=queue_pruned)

    # Plumbing.

    def _change(self, **changes: object) -> None:
        self._cursor = msgspec.structs.replace(self._cursor, **changes)

    def _write_back(self, undo: Undo) -> None:
        self._overlay.write(undo, sync=False)
        self._state = None

    def _put(self, key: bytes, record: msgspec.Struct) -> None:
        self._overlay.write({key: msgspec.msgpack.encode(record)}, sync=False)

    def _get(self, prefix: bytes, number: int, kind: type[_Record]) -> _Record | None:
        encoded = self._overlay.get(_key(prefix, number))
        return None if encoded is None else msgspec.msgpack.decode(encoded, type=kind)


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


def _key(prefix: bytes, number: int) -> bytes:
    return prefix + number.to_bytes(8, "big")
