"""Batches and opaque chunks <-> calldata and logs of the bridge; hashes, queue and withdrawals as the bridge has them.

Addresses are 20 bytes, roots and hashes 32 bytes, times on L1 in seconds. Nothing here does I/O.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Protocol, TypeVar

import msgspec

from l1_bridge.contracts.artifact import Artifact, ArtifactError, decode_exactly, load_artifact
from l1_bridge.hashing import ZERO_HASH, keccak

LAW_VERSION = 3
MAX_CHUNKS = 24
MAX_CHUNK_BYTES = 8_192
# A queue entry alone, doubled from what it took; each byte of its payload adds what calldata, log and hashing cost.
ENTRY_GAS = 250_000
PAYLOAD_BYTE_GAS = 64
# An announcement that nobody enacts within two weeks has to be made again.
ENACTMENT_SECONDS = 1_209_600
MAX_WITNESS_BYTES = 98_304
NEW_ACCOUNT = 0xFFFFFF
WITHDRAWALS_DEPTH = 32
ZERO_ADDRESS = bytes(20)
# 24 bodies with offset and length each, their roots, and the words around them
MAX_LOG_BYTES = MAX_CHUNKS * (MAX_CHUNK_BYTES + 3 * 32) + 18 * 32

_DOMAIN_TYPE_HASH = keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_WITHDRAWAL_TAG = 1
# a batch log begins with 4 words, the 10 of the commitment, and the offsets of bodies and post-roots
_BODIES_HEAD = 14 * 32
_BODIES_AT = 16 * 32


class LogError(ValueError):
    """A log that the bridge cannot have written, or that contradicts itself; `code` is stable."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code


class LogLike(Protocol):
    """One log, whoever tells of it: an L1 node's answer, a receipt, an EVM in memory."""

    @property
    def address(self) -> bytes:
        """The contract that wrote it."""
        ...

    @property
    def topics(self) -> tuple[bytes, ...]:
        """At most four words of 32 bytes."""
        ...

    @property
    def data(self) -> bytes:
        """The fields that are no topics."""
        ...


class BridgeId(msgspec.Struct, frozen=True):
    """Which bridge on which chain; every batch hash and signature is bound to it."""

    chain_id: int
    address: bytes

    def domain_separator(self) -> bytes:
        """EIP-712 domain separator of everything that traders sign for this bridge."""
        return domain_separator(self.chain_id, self.address)


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


class Commitment(msgspec.Struct, frozen=True):
    """The ten words whose keccak is a state root."""

    law_version: int
    tree_root: bytes
    withdrawals_root: bytes
    withdrawn_total_micros: int
    queue_count: int
    queue_open: int
    queue_hash: bytes
    queue_work_kilogas: int
    timestamp_ms: int
    globals_hash: bytes

    def words(self) -> tuple[Any, ...]:
        """The values in ABI order."""
        return msgspec.structs.astuple(self)

    def encode(self) -> bytes:
        """320 bytes: ten big-endian words."""
        return b"".join(word if isinstance(word, bytes) else word.to_bytes(32, "big") for word in self.words())

    def root(self) -> bytes:
        """The state root."""
        return keccak(self.encode())

    @classmethod
    def decode(cls, data: bytes) -> "Commitment":
        """Inverse of encode; ValueError unless there are exactly 320 bytes."""
        if len(data) != 320:
            raise ValueError(f"a commitment has 320 bytes, these are {len(data)}")
        words = [data[i : i + 32] for i in range(0, 320, 32)]
        return cls(
            law_version=int.from_bytes(words[0], "big"),
            tree_root=words[1],
            withdrawals_root=words[2],
            withdrawn_total_micros=int.from_bytes(words[3], "big"),
            queue_count=int.from_bytes(words[4], "big"),
            queue_open=int.from_bytes(words[5], "big"),
            queue_hash=words[6],
            queue_work_kilogas=int.from_bytes(words[7], "big"),
            timestamp_ms=int.from_bytes(words[8], "big"),
            globals_hash=words[9],
        )


class Chunk(msgspec.Struct, frozen=True):
    """Opaque bytes of one chunk and the state root that is claimed after it."""

    body: bytes
    post_root: bytes

    def pair(self) -> tuple[bytes, bytes]:
        """What of a chunk stands in the batch hash."""
        return keccak(self.body), self.post_root


class Header(msgspec.Struct, frozen=True):
    """What of a batch is neither in its chunks nor in its root."""

    number: int
    parent_hash: bytes
    rollback_counter: int
    committer: bytes

    def words(self) -> tuple[Any, ...]:
        """The values in ABI order."""
        return msgspec.structs.astuple(self)


class Batch(msgspec.Struct, frozen=True):
    """One batch as it was logged: header, chunks, and the words behind its last root."""

    header: Header
    chunks: tuple[Chunk, ...]
    commitment: Commitment

    def pairs(self) -> list[tuple[bytes, bytes]]:
        """(hash of the bytes, post-root) of every chunk."""
        return [chunk.pair() for chunk in self.chunks]

    def batch_hash(self, bridge: BridgeId) -> bytes:
        """The hash under which the bridge keeps this batch."""
        return batch_hash(bridge, self.header, self.pairs())

    def pre_root(self, chunk_index: int, parent_root: bytes) -> bytes:
        """State root before a chunk: its predecessor's by index, the parent batch's last root for the first."""
        return parent_root if chunk_index == 0 else self.chunks[chunk_index - 1].post_root


def domain_separator(chain_id: int, bridge: bytes) -> bytes:
    """EIP-712 domain separator: name "Catenary", version "1", chain id, address of the bridge."""
    words = (
        _DOMAIN_TYPE_HASH,
        keccak(b"Catenary"),
        keccak(b"1"),
        chain_id.to_bytes(32, "big"),
        _address_word(bridge),
    )
    return keccak(b"".join(words))


def batch_hash(bridge: BridgeId, header: Header, pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """keccak(chain id, bridge, number, parent hash, roll-back counter, committer, keccak of the pairs)."""
    words = (
        bridge.chain_id.to_bytes(32, "big"),
        _address_word(bridge.address),
        header.number.to_bytes(32, "big"),
        header.parent_hash,
        header.rollback_counter.to_bytes(32, "big"),
        _address_word(header.committer),
        keccak(b"".join(body_hash + post_root for body_hash, post_root in pairs)),
    )
    return keccak(b"".join(words))


def genesis_hash(bridge: BridgeId, genesis_bytes: bytes, root: bytes) -> bytes:
    """Batch hash of batch 0: the genesis bytes stand where a chunk's would."""
    header = Header(number=0, parent_hash=ZERO_HASH, rollback_counter=0, committer=ZERO_ADDRESS)
    return batch_hash(bridge, header, [(keccak(genesis_bytes), root)])


def extend_queue_hash(queue_hash: bytes, operation: bytes) -> bytes:
    """The queue's hash chain after one more entry; it starts at zero."""
    return keccak(queue_hash + keccak(operation))


class Withdrawal(msgspec.Struct, frozen=True):
    """One leaf of the withdrawals tree."""

    index: int
    recipient: bytes
    amount_micros: int

    def leaf(self) -> bytes:
        """keccak of four words; 128 bytes, so that no leaf passes for a node."""
        words = (_WITHDRAWAL_TAG.to_bytes(32, "big"), self.index.to_bytes(32, "big"))
        return keccak(b"".join((*words, _address_word(self.recipient), self.amount_micros.to_bytes(32, "big"))))


class WithdrawalTree:
    """Append-only Merkle tree of depth 32 over leaf hashes; an empty subtree is zero on every level."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        levels = [list(leaves)]
        for _ in range(WITHDRAWALS_DEPTH):
            below = levels[-1]
            padded = below if len(below) % 2 == 0 else [*below, ZERO_HASH]
            levels.append([keccak(padded[i] + padded[i + 1]) for i in range(0, len(padded), 2)])
        self._levels = levels

    @property
    def root(self) -> bytes:
        """Zero for a tree without leaves."""
        top = self._levels[WITHDRAWALS_DEPTH]
        return top[0] if top else ZERO_HASH

    def proof(self, index: int) -> list[bytes]:
        """32 sibling hashes from the leaf upwards; IndexError for a leaf that is not there."""
        if not 0 <= index < len(self._levels[0]):
            raise IndexError(f"withdrawal {index} of {len(self._levels[0])}")
        siblings = []
        for level in self._levels[:WITHDRAWALS_DEPTH]:
            sibling = index ^ 1
            siblings.append(level[sibling] if sibling < len(level) else ZERO_HASH)
            index >>= 1
        return siblings


def merkle_root(leaf: bytes, index: int, proof: Sequence[bytes]) -> bytes:
    """Root that a leaf and its 32 siblings give, exactly as the bridge computes it."""
    node = leaf
    for level, sibling in enumerate(proof):
        node = keccak(node + sibling) if (index >> level) & 1 == 0 else keccak(sibling + node)
    return node


class BatchRecord(msgspec.Struct, frozen=True):
    """What the bridge stores of a canonical batch."""

    number: int
    batch_hash: bytes
    last_root: bytes
    bond_id: int
    committed_at: int
    queue_count: int
    withdrawn_total_micros: int
    queue_work_kilogas: int


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


class Genesis(msgspec.Struct, frozen=True):
    """Event: the bridge was deployed."""

    batch_hash: bytes
    root: bytes
    referee: bytes
    token: bytes
    parameters: Parameters
    commitment: Commitment
    genesis_bytes: bytes


class Enqueued(msgspec.Struct, frozen=True):
    """Event: an operation entered the queue; its bytes stand so in a later chunk."""

    index: int
    chain_hash: bytes
    enqueued_at: int
    due_at: int
    operation: bytes


class Announced(msgspec.Struct, frozen=True):
    """Event: the governor said what is to change; anybody may enact it from enactable_at on."""

    announcement: bytes
    enactable_at: int
    tag: int
    payload: bytes


class Retracted(msgspec.Struct, frozen=True):
    """Event: the governor took an announcement back."""

    announcement: bytes


class BatchCommitted(msgspec.Struct, frozen=True):
    """Event: a batch was posted; all its bytes are here."""

    batch: Batch
    batch_hash: bytes
    bond_id: int
    committed_at: int


class RolledBack(msgspec.Struct, frozen=True):
    """Event: a batch was proven wrong; it and all its followers are gone, the tip is number - 1."""

    number: int
    batch_hash: bytes
    prover: bytes
    chunk_index: int
    claimed_root: bytes
    replayed_root: bytes
    rollback_counter: int
    bond_id: int
    burned_wei: int
    reward_wei: int
    release_at: int


class Claimed(msgspec.Struct, frozen=True):
    """Event: a withdrawal was paid."""

    index: int
    recipient: bytes
    amount_micros: int
    batch_number: int


class SeatTaken(msgspec.Struct, frozen=True):
    """Event: somebody bonded and may commit."""

    holder: bytes
    bond_id: int
    endpoint_url: str


class SeatResigned(msgspec.Struct, frozen=True):
    """Event: the seat opens at handover_at."""

    holder: bytes
    bond_id: int
    handover_at: int


class SeatLost(msgspec.Struct, frozen=True):
    """Event: an entry waited too long, the seat is open and a quarter of the bond is burned."""

    holder: bytes
    bond_id: int
    entry_index: int
    burned_wei: int
    misses: int


class BondWithdrawn(msgspec.Struct, frozen=True):
    """Event: a bond went back to its holder."""

    holder: bytes
    bond_id: int
    amount_wei: int


class RewardCollected(msgspec.Struct, frozen=True):
    """Event: a prover got the reward."""

    prover: bytes
    bond_id: int
    amount_wei: int


class Frozen(msgspec.Struct, frozen=True):
    """Event: commits and deposits have ended for ever."""

    entry_index: int
    tip: int
    last_root: bytes


BridgeEvent = (
    Genesis
    | Enqueued
    | Announced
    | Retracted
    | BatchCommitted
    | RolledBack
    | Claimed
    | SeatTaken
    | SeatResigned
    | SeatLost
    | BondWithdrawn
    | RewardCollected
    | Frozen
)

_PLAIN_EVENTS: Mapping[str, type[BridgeEvent]] = {
    kind.__name__: kind
    for kind in (
        Genesis,
        Enqueued,
        Announced,
        Retracted,
        RolledBack,
        Claimed,
        SeatTaken,
        SeatResigned,
        SeatLost,
        BondWithdrawn,
        RewardCollected,
        Frozen,
    )
}

_Record = TypeVar("_Record", BatchRecord, QueueEntry, Bond, Seat, Deadlines, Parameters)


@cache
def bridge_artifact() -> Artifact:
    """The shipped RollupBridge."""
    return load_artifact("RollupBridge")


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
    return kind(*(_plain(of_type, value) for of_type, value in zip(types, values, strict=True)))


_VIEW_OF: Mapping[type[Any], str] = {
    BatchRecord: "record",
    QueueEntry: "queue_entry",
    Bond: "bond",
    Seat: "seat",
    Deadlines: "deadlines",
    Parameters: "parameters",
}


def decode_log(bridge: BridgeId, log: LogLike) -> BridgeEvent:
    """The event in a log of this bridge; LogError rather than wrong data for any log that it cannot have written."""
    if log.address != bridge.address:
        raise LogError("FOREIGN_ADDRESS", f"the log is of {log.address.hex()}, the bridge is {bridge.address.hex()}")
    event = bridge_artifact().events.get(log.topics[0]) if log.topics else None
    if event is None:
        raise LogError("UNKNOWN_EVENT", "the first topic is no event of the bridge")
    if len(log.topics) != 1 + len(event.indexed):
        raise LogError("TOPIC_COUNT", f"{event.name} has {1 + len(event.indexed)} topics, this has {len(log.topics)}")
    if len(log.data) > MAX_LOG_BYTES:
        raise LogError("TOO_LARGE", f"a log of the bridge has at most {MAX_LOG_BYTES} bytes, this has {len(log.data)}")
    if event.name == "BatchCommitted":
        _check_chunk_count(log.data)
    fields: dict[str, Any] = {}
    try:
        for (name, kind), topic in zip(event.indexed, log.topics[1:], strict=True):
            fields[name] = _plain(kind, decode_exactly((kind,), topic)[0])
        # a String of the contract is any bytes: decoded as such, so that nobody's odd text blinds a reader
        types = ["bytes" if kind == "string" else kind for _, kind in event.data]
        for (name, kind), value in zip(event.data, decode_exactly(types, log.data), strict=True):
            fields[name] = _plain(kind, value)
    except ArtifactError as error:
        raise LogError("MALFORMED", f"{event.name}: {error}") from error
    if "commitment" in fields:
        fields["commitment"] = Commitment(*fields["commitment"])
    if event.name == "BatchCommitted":
        return _batch_committed(bridge, fields)
    if event.name == "Genesis":
        fields["parameters"] = Parameters(*fields["parameters"])
        governor = _plain("address", fields["parameters"].governor)
        fields["parameters"] = msgspec.structs.replace(fields["parameters"], governor=governor)
        if fields["commitment"].root() != fields["root"]:
            raise LogError("INCONSISTENT", "the genesis commitment does not open the genesis root")
        if genesis_hash(bridge, fields["genesis_bytes"], fields["root"]) != fields["batch_hash"]:
            raise LogError("INCONSISTENT", "the genesis bytes and root do not give the genesis hash")
    return _PLAIN_EVENTS[event.name](**fields)


def _check_chunk_count(data: bytes) -> None:
    # before decoding: many bodies that point to the same bytes would unfold to gigabytes
    head = int.from_bytes(data[_BODIES_HEAD : _BODIES_HEAD + 32], "big")
    count = int.from_bytes(data[_BODIES_AT : _BODIES_AT + 32], "big")
    if head != _BODIES_AT or count > MAX_CHUNKS:
        raise LogError("MALFORMED", f"a batch has at most {MAX_CHUNKS} chunks right behind the head, this has {count}")


def _batch_committed(bridge: BridgeId, fields: dict[str, Any]) -> BatchCommitted:
    bodies, post_roots = fields["bodies"], fields["post_roots"]
    if not bodies or len(bodies) != len(post_roots):
        raise LogError("INCONSISTENT", f"{len(bodies)} chunks and {len(post_roots)} post-roots")
    batch = Batch(
        header=Header(
            number=fields["number"],
            parent_hash=fields["parent_hash"],
            rollback_counter=fields["rollback_counter"],
            committer=fields["committer"],
        ),
        chunks=tuple(Chunk(body, post_root) for body, post_root in zip(bodies, post_roots, strict=True)),
        commitment=fields["commitment"],
    )
    if batch.commitment.root() != post_roots[-1]:
        raise LogError("INCONSISTENT", "the commitment does not open the last post-root")
    if batch.batch_hash(bridge) != fields["batch_hash"]:
        raise LogError("INCONSISTENT", "header and chunks do not give the logged batch hash")
    return BatchCommitted(
        batch=batch,
        batch_hash=fields["batch_hash"],
        bond_id=fields["bond_id"],
        committed_at=fields["committed_at"],
    )


def _plain(kind: str, value: Any) -> Any:
    if kind == "address":
        return bytes.fromhex(value[2:])
    if kind == "string":
        return value.decode("utf-8", "replace")
    return value


def _address_word(address: bytes) -> bytes:
    if len(address) != 20:
        raise ValueError(f"an address has 20 bytes, this has {len(address)}")
    return bytes(12) + address
