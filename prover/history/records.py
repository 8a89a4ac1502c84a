"""What a replay of the bridge's logs keeps: verdicts, disputes, rewards, queue entries, and the cursor.

Keys, all under "m" beside the state's own:

    mcursor        Cursor                          mb + number   Judgement of a canonical batch
    mx + block     BlockEntry: header and undo     mu + number   undo of a replayed batch, until it is final
    mq + index     chain hash and queue entry      mf + number   Dispute of a fraudulent batch
    mr + bond id   Reward that waits               mp + hash     Intent of a proof: outlives reorganisations
                                                   mgpaid        Payments of a guard: outlive them too
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from l1_bridge.client.values import Block
from l1_bridge.codec.batch import Batch, BridgeId, Chunk, Commitment, Header
from l1_bridge.codec.events import RolledBack
from l1_bridge.hashing import ZERO_HASH
from prover.state.overlay import Overlay, Undo

SCHEMA: Final = 1
MEMORY_BLOCKS: Final = 256
# Nine days of L1: so many blocks that one node alone has told can be taken back.
MOST_KEPT_BLOCKS: Final = 65_536

CURSOR: Final = b"mcursor"
BATCH: Final = b"mb"
BLOCK: Final = b"mx"
UNDO: Final = b"mu"
QUEUE: Final = b"mq"
DISPUTE: Final = b"mf"
REWARD: Final = b"mr"
INTENT: Final = b"mp"
PAID: Final = b"mgpaid"

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
    """All that a proof against the earliest fraudulent batch needs; `commitment` is the liar's, 288 bytes."""

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
    """What the bridge owes the prover of a bond's newest proof, as a log says, which no hash binds."""

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


class Payment(msgspec.Struct, frozen=True):
    """What a guard paid at an L1 time, or may have to pay."""

    at_ms: int
    amount: bytes

    @property
    def wei(self) -> int:
        """Budgets in wei do not fit into 64 bits."""
        return int.from_bytes(self.amount, "big")


class Payments(msgspec.Struct, frozen=True):
    """What a guard remembers of its payments, oldest first."""

    every: tuple[Payment, ...] = ()


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


class Standing(msgspec.Struct, frozen=True):
    """How the bridge stands in a block; `committed_at` and `bond_id` are the newest batch's, 0 for genesis."""

    tip: int
    batch_hash: bytes
    committed_at: int
    queue_length: int
    bond_id: int


class BlockEntry(msgspec.Struct, frozen=True):
    """An applied block and the way back to before it."""

    block: Block
    undo: Undo


def key(prefix: bytes, number: int) -> bytes:
    """Where a record stands that is found by a number."""
    return prefix + number.to_bytes(8, "big")


class Records:
    """Typed access to what stands beside the state in one overlay; nothing is flushed but an intent."""

    def __init__(self, overlay: Overlay, bridge: BridgeId, from_block: int) -> None:
        """ForeignStore if the overlay holds another bridge's records, or something else."""
        self._overlay = overlay
        self._open(bridge, from_block)

    def _open(self, bridge: BridgeId, from_block: int) -> None:
        if self._overlay.get(CURSOR) is None:
            if next(self._overlay.iterate(b""), None) is not None:
                raise ForeignStore("The store holds something else than a replay of a bridge.")
            # At once, so that a restart before the first block knows whose store this is.
            self.put(CURSOR, Cursor(SCHEMA, bridge.chain_id, bridge.address, from_block))
            self._overlay.flush(sync=True)
            return
        try:
            cursor = self.cursor()
        except (msgspec.DecodeError, msgspec.ValidationError):
            raise ForeignStore("The store was written by another version of this program.") from None
        if (cursor.chain_id, cursor.bridge) != (bridge.chain_id, bridge.address):
            raise ForeignStore(
                f"The store belongs to the bridge 0x{cursor.bridge.hex()} on chain {cursor.chain_id}, "
                f"not to 0x{bridge.address.hex()} on chain {bridge.chain_id}."
            )
        if cursor.schema != SCHEMA:
            raise ForeignStore("The store was written by another version of this program.")

    def cursor(self) -> Cursor:
        """The cursor as it was put last."""
        return msgspec.msgpack.decode(self._overlay.get(CURSOR) or b"", type=Cursor)

    def blocks(self) -> tuple[Block, ...]:
        """The newest applied blocks, oldest first, as a Follower takes them to resume."""
        return tuple(msgspec.msgpack.decode(value, type=BlockEntry).block for _, value in self._overlay.iterate(BLOCK))

    def block_entry(self, number: int) -> BlockEntry | None:
        """A block that can still be taken back."""
        return self._get(key(BLOCK, number), BlockEntry)

    def judgement(self, number: int) -> Judgement | None:
        """The verdict on a canonical batch; None for genesis and for batches above the tip."""
        return self._get(key(BATCH, number), Judgement)

    def dispute(self, number: int) -> Dispute | None:
        """What a proof against a fraudulent batch needs."""
        return self._get(key(DISPUTE, number), Dispute)

    def undo(self, number: int) -> Undo | None:
        """The way back to before a replayed batch; None once it is final."""
        encoded = self._overlay.get(key(UNDO, number))
        return None if encoded is None else msgspec.msgpack.decode(encoded, type=Undo)

    def rewards(self) -> list[Reward]:
        """Of each bond that a proof has slashed."""
        return [msgspec.msgpack.decode(value, type=Reward) for _, value in self._overlay.iterate(REWARD)]

    def queue_hash(self, index: int) -> bytes | None:
        """Chain hash of the queue up to and with an entry that no final batch has consumed; None for any other."""
        entry = self._overlay.get(key(QUEUE, index))
        return None if entry is None else entry[:32]

    def queue_operation(self, index: int) -> bytes | None:
        """Bytes of a queue entry that no final batch has consumed; None for any other."""
        entry = self._overlay.get(key(QUEUE, index))
        return None if entry is None else entry[32:]

    def intent(self, batch_hash: bytes) -> Intent | None:
        """The proof that was about to be sent against a batch, also before a restart."""
        return self._get(INTENT + batch_hash, Intent)

    def remember_intent(self, intent: Intent) -> None:
        """Durable before it returns."""
        self.put(INTENT + intent.batch_hash, intent)
        self._overlay.flush(sync=True)

    def payments(self) -> tuple[Payment, ...]:
        """What a guard has paid of late, also before a restart."""
        found = self._get(PAID, Payments)
        return () if found is None else found.every

    def remember_payments(self, payments: Sequence[Payment]) -> None:
        """All that are to be remembered; durable before it returns."""
        self.put(PAID, Payments(tuple(payments)))
        self._overlay.flush(sync=True)

    def put(self, at: bytes, record: msgspec.Struct) -> None:
        """Write one record."""
        self._overlay.write({at: msgspec.msgpack.encode(record)}, sync=False)

    def put_queue_entry(self, index: int, chain_hash: bytes, operation: bytes) -> None:
        """Write an entry of the queue behind the chain hash up to and with it."""
        self._overlay.write({key(QUEUE, index): chain_hash + operation}, sync=False)

    def put_undo(self, number: int, undo: Undo) -> None:
        """Write the way back to before a batch."""
        self._overlay.write({key(UNDO, number): msgspec.msgpack.encode(undo)}, sync=False)

    def drop(self, *keys: bytes) -> None:
        """Forget records, whether they exist or not."""
        self._overlay.write(dict.fromkeys(keys), sync=False)

    def _get(self, at: bytes, kind: type[_Record]) -> _Record | None:
        encoded = self._overlay.get(at)
        return None if encoded is None else msgspec.msgpack.decode(encoded, type=kind)
