"""Batches, their chunks and hashes, the queue's chain and the withdrawals tree, as the bridge has them.

Addresses are 20 bytes, roots and hashes 32 bytes, times on L1 in seconds. Nothing here does I/O.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from l1_bridge.hashing import ZERO_HASH, keccak

MAX_CHUNKS = 24
MAX_CHUNK_BYTES = 7_600
WITHDRAWALS_DEPTH = 32
ZERO_ADDRESS = bytes(20)
_DOMAIN_TYPE_HASH = keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_WITHDRAWAL_TAG = 1


class BridgeId(msgspec.Struct, frozen=True):
    """Which bridge on which chain; every batch hash and signature is bound to it."""

    chain_id: int
    address: bytes

    def domain_separator(self) -> bytes:
        """EIP-712 domain separator of everything that traders sign for this bridge."""
        return domain_separator(self.chain_id, self.address)


class Commitment(msgspec.Struct, frozen=True):
    """The nine words whose keccak is a state root."""

    law_version: int
    tree_root: bytes
    withdrawals_root: bytes
    withdrawn_total_micros: int
    queue_count: int
    queue_taken: int
    queue_hash: bytes
    timestamp_ms: int
    globals_hash: bytes

    def words(self) -> tuple[Any, ...]:
        """The values in ABI order."""
        return msgspec.structs.astuple(self)

    def encode(self) -> bytes:
        """288 bytes: nine big-endian words."""
        return b"".join(word if isinstance(word, bytes) else word.to_bytes(32, "big") for word in self.words())

    def root(self) -> bytes:
        """The state root."""
        return keccak(self.encode())

    @classmethod
    def decode(cls, data: bytes) -> "Commitment":
        """Inverse of encode; ValueError unless there are exactly 288 bytes."""
        if len(data) != 288:
            raise ValueError(f"a commitment has 288 bytes, these are {len(data)}")
        words = [data[i : i + 32] for i in range(0, 288, 32)]
        return cls(
            law_version=int.from_bytes(words[0], "big"),
            tree_root=words[1],
            withdrawals_root=words[2],
            withdrawn_total_micros=int.from_bytes(words[3], "big"),
            queue_count=int.from_bytes(words[4], "big"),
            queue_taken=int.from_bytes(words[5], "big"),
            queue_hash=words[6],
            timestamp_ms=int.from_bytes(words[7], "big"),
            globals_hash=words[8],
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


def _address_word(address: bytes) -> bytes:
    if len(address) != 20:
        raise ValueError(f"an address has 20 bytes, this has {len(address)}")
    return bytes(12) + address
