"""Calls of the bridge -> calldata, and what it keeps on record <- what its views return."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from l1_bridge.codec.batch import MAX_CHUNK_BYTES, MAX_CHUNKS, Batch, Chunk, Commitment, Withdrawal
from l1_bridge.contracts.artifact import bridge_artifact, plain_value

# A queue entry alone, doubled from what it took; each byte of its payload adds what calldata, log and hashing cost.
ENTRY_GAS = 250_000
PAYLOAD_BYTE_GAS = 64
MAX_WITNESS_BYTES = 98_304
# So many entries one transaction can queue.
MAX_ENTRIES_AT_ONCE = 4


class Parameters(msgspec.Struct, frozen=True):
    """What the constructor of the bridge fixes, in its order; times in seconds."""

    window_seconds: int
    inclusion_seconds: int
    max_lag_seconds: int
    unseat_seconds: int
    unseat_floor_seconds: int
    freeze_grace_seconds: int
    spacing_seconds: int
    bond_wei: int
    minimum_deposit_micros: int
    proof_gas_floor: int
    entry_fee_wei: int
    governor: bytes
    governance_delay_seconds: int

    def words(self) -> tuple[Any, ...]:
        """The values in ABI order."""
        return msgspec.structs.astuple(self)


class BatchRecord(msgspec.Struct, frozen=True):
    """What the bridge stores of a canonical batch."""

    number: int
    batch_hash: bytes
    last_root: bytes
    bond_id: int
    committed_at: int
    queue_count: int
    withdrawn_total_micros: int


class QueueEntry(msgspec.Struct, frozen=True):
    """What the bridge stores of a queue entry."""

    chain_hash: bytes
    enqueued_at: int
    due_at: int


class Bond(msgspec.Struct, frozen=True):
    """A bond, and the reward that a proof made of it."""

    holder: bytes
    amount_wei: int
    last_batch_at: int
    slashed: bool
    prover: bytes
    reward_wei: int
    release_at: int
    # Bond of the holder who may seat it, 0 for one that took the seat itself.
    ahead_of: int


class Seat(msgspec.Struct, frozen=True):
    """Who may commit; all zero while the seat is open. handover_at 0: not resigned."""

    holder: bytes
    bond_id: int
    taken_at: int
    handover_at: int


class Deadlines(msgspec.Struct, frozen=True):
    """When the oldest waiting queue entry costs the seat and freezes the bridge; all times 0 while none waits."""

    entry_index: int
    due_at: int
    unseat_at: int
    freeze_at: int


_Record = TypeVar("_Record", BatchRecord, QueueEntry, Bond, Seat, Deadlines, Parameters)
_VIEW_OF: Mapping[type[Any], str] = {
    BatchRecord: "record",
    QueueEntry: "queue_entry",
    Bond: "bond",
    Seat: "seat",
    Deadlines: "deadlines",
    Parameters: "parameters",
}


def encode_creation(
    token: bytes, referee: bytes, parameters: Parameters, genesis: Commitment, genesis_bytes: bytes
) -> bytes:
    """Bytes of the transaction that deploys the bridge."""
    return bridge_artifact().creation_code(token, referee, parameters.words(), genesis.words(), genesis_bytes)


def encode_deposit(owner: bytes, account_index: int, amount_micros: int) -> bytes:
    """Calldata of a deposit of dollars that the bridge has been approved to take."""
    return bridge_artifact().encode_call("deposit", owner, account_index, amount_micros)


def encode_entry(tag: int, payload: bytes) -> bytes:
    """Calldata that queues a forced operation of the caller; the bridge's fee goes with it."""
    return bridge_artifact().encode_call("enqueue", tag, payload)


def encode_entries(entries: Sequence[tuple[int, bytes]]) -> bytes:
    """Calldata that queues 1 to 4 forced operations, tag and payload, one right behind the other, for a fee each."""
    return bridge_artifact().encode_call("enqueue_many", list(entries))


def entry_gas(payload: bytes) -> int:
    """The gas limit of queueing an entry with this payload."""
    return ENTRY_GAS + PAYLOAD_BYTE_GAS * len(payload)


def encode_commit(parent_number: int, parent_hash: bytes, chunks: Sequence[Chunk], commitment: Commitment) -> bytes:
    """Calldata of a commit; ValueError for a batch that the bridge cannot take."""
    if not 1 <= len(chunks) <= MAX_CHUNKS:
        raise ValueError(f"a batch has 1 to {MAX_CHUNKS} chunks, this has {len(chunks)}")
    if any(len(chunk.body) > MAX_CHUNK_BYTES for chunk in chunks):
        raise ValueError(f"a chunk has at most {MAX_CHUNK_BYTES} bytes")
    if chunks[-1].post_root != commitment.root():
        raise ValueError("the commitment does not open the last post-root")
    return bridge_artifact().encode_call(
        "commit",
        parent_number,
        parent_hash,
        [chunk.body for chunk in chunks],
        [chunk.post_root for chunk in chunks],
        commitment.words(),
    )


def encode_prove_fraud(batch: Batch, chunk_index: int, witness: bytes) -> bytes:
    """Calldata of the one transaction that undoes a batch; ValueError for a witness that the bridge cannot take."""
    if len(witness) > MAX_WITNESS_BYTES:
        raise ValueError(f"a witness has at most {MAX_WITNESS_BYTES} bytes, this has {len(witness)}")
    return bridge_artifact().encode_call(
        "prove_fraud", batch.header.words(), batch.pairs(), chunk_index, batch.chunks[chunk_index].body, witness
    )


def encode_claim(batch_number: int, commitment: Commitment, withdrawal: Withdrawal, proof: Sequence[bytes]) -> bytes:
    """Calldata that pays a withdrawal out of a final batch."""
    return bridge_artifact().encode_call(
        "claim",
        batch_number,
        commitment.words(),
        withdrawal.index,
        withdrawal.recipient,
        withdrawal.amount_micros,
        list(proof),
    )


def encode_call(name: str, *arguments: Any) -> bytes:
    """Calldata of any other function of the bridge: take_seat, resign, unseat, freeze, views."""
    return bridge_artifact().encode_call(name, *arguments)


def decode_record(kind: type[_Record], data: bytes) -> _Record:
    """What head, record, queue_entry, bond, seat, deadlines or parameters returned; ArtifactError on foreign bytes."""
    name = _VIEW_OF[kind]
    values = bridge_artifact().decode_result(name, data)
    types = bridge_artifact().functions[name].output_types[0][1:-1].split(",")
    return kind(*(plain_value(of_type, value) for of_type, value in zip(types, values, strict=True)))
