"""Logs of the bridge -> events: only what the bridge can have written, whoever tells of it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from l1_bridge.codec.batch import (
    MAX_CHUNK_BYTES,
    MAX_CHUNKS,
    Batch,
    BridgeId,
    Chunk,
    Commitment,
    Header,
    genesis_hash,
)
from l1_bridge.codec.calls import Parameters
from l1_bridge.contracts.artifact import ArtifactError, bridge_artifact, decode_exactly, plain_value

# An announcement that nobody enacts within two weeks has to be made again.
ENACTMENT_SECONDS = 1_209_600
# 24 bodies, filled up to whole words, with offset and length each, their roots, and the words around them
MAX_LOG_BYTES = MAX_CHUNKS * (MAX_CHUNK_BYTES + -MAX_CHUNK_BYTES % 32 + 3 * 32) + 17 * 32
# a batch log begins with 4 words, the 9 of the commitment, and the offsets of bodies and post-roots
_BODIES_HEAD = 13 * 32
_BODIES_AT = 15 * 32
# indices, ids, counts and times; amounts and what a liar commits to are any words
_COUNTS = (
    *("index", "number", "batch_number", "entry_index", "chunk_index", "bond_id", "rollback_counter", "misses", "tip"),
    *("enqueued_at", "committed_at", "release_at", "handover_at"),
)
_PARAMETER_COUNTS = ("window_seconds", "proof_gas_floor")


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


def topic_of(kind: type[BridgeEvent]) -> bytes:
    """The first topic of the logs of an event."""
    return next(topic for topic, event in bridge_artifact().events.items() if event.name == kind.__name__)


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
            fields[name] = plain_value(kind, decode_exactly((kind,), topic)[0])
        # a String of the contract is any bytes: decoded as such, so that nobody's odd text blinds a reader
        types = ["bytes" if kind == "string" else kind for _, kind in event.data]
        for (name, kind), value in zip(event.data, decode_exactly(types, log.data), strict=True):
            fields[name] = plain_value(kind, value)
    except ArtifactError as error:
        raise LogError("MALFORMED", f"{event.name}: {error}") from error
    _check_counts(event.name, fields, _COUNTS)
    if "commitment" in fields:
        fields["commitment"] = Commitment(*fields["commitment"])
    if event.name == "BatchCommitted":
        return _batch_committed(bridge, fields)
    if event.name == "Genesis":
        fields["parameters"] = Parameters(*fields["parameters"])
        _check_counts(event.name, msgspec.structs.asdict(fields["parameters"]), _PARAMETER_COUNTS)
        governor = plain_value("address", fields["parameters"].governor)
        fields["parameters"] = msgspec.structs.replace(fields["parameters"], governor=governor)
        if fields["commitment"].root() != fields["root"]:
            raise LogError("INCONSISTENT", "the genesis commitment does not open the genesis root")
        if genesis_hash(bridge, fields["genesis_bytes"], fields["root"]) != fields["batch_hash"]:
            raise LogError("INCONSISTENT", "the genesis bytes and root do not give the genesis hash")
    return _PLAIN_EVENTS[event.name](**fields)


def _check_counts(event: str, fields: Mapping[str, Any], names: Sequence[str]) -> None:
    for name in names:
        if fields.get(name, 0) >> 64:
            raise LogError("OUT_OF_RANGE", f"{event}: {name} is beyond 64 bits, which no bridge counts to")


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
