"""The witness of one chunk: what the referee needs beside the chunk's bytes to replay it from its pre-root."""

from collections.abc import Mapping
from typing import Final

from prover.state import multiproof
from prover.state.tree import StateTree
from prover.stf import constants, encoding
from prover.stf.replay import Chunk

MAX_WITNESS_BYTES: Final = 98_304
SLOT_PAYLOAD_BYTES: Final = 15


def build(
    tree: StateTree, chunk: Chunk, payloads: Mapping[int, bytes] | None = None, globals_data: bytes | None = None
) -> bytes:
    """Witness of a replayed chunk; `tree` must still stand at the chunk's pre-root.

    What the caller has encoded already need not be again: payloads of accounts as they were loaded, and pre-globals.

    Commitment 288 | globals 13,824 | leaf count 1 | hint count 2 | hints 1 each | leaves | proof (PROTOCOL.md).
    """
    leaf_indices = sorted([index << constants.SLOT_BITS for index in chunk.loaded_accounts] + list(chunk.loaded_slots))
    known = {} if payloads is None else payloads
    rows: dict[int, int] = {}
    account_count = slot_count = 0
    leaves: list[bytes] = []
    for leaf in leaf_indices:
        if leaf & 255 == 0:
            index = leaf >> constants.SLOT_BITS
            payload = known.get(index) or encoding.account_payload(chunk.loaded_accounts[index])
            rows[leaf] = account_count
            account_count += 1
        else:
            payload = encoding.slot_payload(chunk.loaded_slots[leaf])
            rows[leaf] = slot_count
            slot_count += 1
        leaves.append(leaf.to_bytes(4, "big") + payload)
    hints = bytes([rows[leaf] for leaf in chunk.lookups])
    witness = b"".join(
        [
            encoding.commitment_bytes(chunk.pre_commitment),
            globals_data or encoding.globals_bytes(chunk.pre_globals),
            bytes([len(leaf_indices)]),
            len(hints).to_bytes(2, "big"),
            hints,
            *leaves,
            multiproof.prove(tree, leaf_indices),
            # Words are read whole: the last one may reach past the proof.
            bytes(64),
        ]
    )
    assert len(witness) <= MAX_WITNESS_BYTES, "the law's room bounds every witness"
    return witness


def rows(data: bytes) -> dict[int, bytes]:
    """The rows of a witness that `build` has made: payloads by leaf, as they were before the chunk."""
    at = encoding.COMMITMENT_BYTES + encoding.GLOBALS_BYTES
    count, hints = data[at], int.from_bytes(data[at + 1 : at + 3], "big")
    at += 3 + hints
    found: dict[int, bytes] = {}
    for _ in range(count):
        leaf = int.from_bytes(data[at : at + 4], "big")
        at += 4
        size = SLOT_PAYLOAD_BYTES
        if leaf & 255 == 0:
            held = int.from_bytes(data[at + 150 : at + 152], "big")
            size = encoding.ACCOUNT_PAYLOAD_BYTES + 32 * held.bit_count()
        found[leaf] = data[at : at + size]
        at += size
    return found
