"""A reading of a golden chunk from its file alone: the law's Python twin over the rows that the witness brings."""

from typing import Any, NamedTuple

from prover.signing.recover import recover_fast
from prover.state import multiproof
from prover.stf import containers, encoding, merkle
from prover.stf.replay import Chunk


class Given(NamedTuple):
    """What a case is made of: everything else follows by the law."""

    name: str
    body: bytes
    witness: bytes


class Witness:
    """The rows of a witness, read by its layout; it is all that this reading of a chunk knows of the state."""

    def __init__(self, data: bytes) -> None:
        at = encoding.COMMITMENT_BYTES
        self.commitment = encoding.commitment_from_bytes(data[:at])
        self.globals = encoding.globals_from_bytes(data[at : at + encoding.GLOBALS_BYTES])
        at += encoding.GLOBALS_BYTES
        count, hints = data[at], int.from_bytes(data[at + 1 : at + 3], "big")
        self.hints = data[at + 3 : at + 3 + hints]
        at += 3 + hints
        self.rows: dict[int, containers.Account | containers.Slot] = {}
        for _ in range(count):
            leaf = int.from_bytes(data[at : at + 4], "big")
            at += 4
            if leaf & 255 == 0:
                size = 152 + 32 * int.from_bytes(data[at + 150 : at + 152], "big").bit_count()
                self.rows[leaf] = encoding.account_from_payload(data[at : at + size])
            else:
                size = 15
                self.rows[leaf] = encoding.slot_from_payload(data[at : at + size])
            at += size
        self.proof = data[at:-64]

    def account(self, index: int) -> containers.Account:
        row = self.rows[index << 8]
        assert isinstance(row, containers.Account)
        return row

    def slot(self, leaf_index: int) -> containers.Slot:
        row = self.rows[leaf_index]
        assert isinstance(row, containers.Slot)
        return row


def leaf_hash(row: containers.Account | containers.Slot) -> bytes:
    return encoding.account_hash(row) if isinstance(row, containers.Account) else encoding.slot_hash(row)


def read(domain: bytes, body: bytes, data: bytes) -> Chunk:
    """The chunk of a body and a witness by the Python twin, its commitment whole; AssertionError where they differ."""
    witness = Witness(data)
    assert encoding.globals_hash(witness.globals) == witness.commitment.globals_hash
    chunk = Chunk(domain, witness.commitment, witness.globals, witness, recover_fast)
    chunk.run(body)
    after = {leaf: chunk.accounts.get(leaf >> 8) if leaf & 255 == 0 else chunk.slots[leaf] for leaf in witness.rows}
    leaves = [
        (leaf, leaf_hash(row), leaf_hash(after[leaf] or witness.rows[leaf])) for leaf, row in witness.rows.items()
    ]
    before_root, after_root = multiproof.verify(leaves, witness.proof)
    assert before_root == witness.commitment.tree_root
    commitment = chunk.commitment
    commitment.tree_root = after_root
    commitment.withdrawals_root = merkle.frontier_root(chunk.globals.frontier, chunk.globals.withdrawal_count)
    commitment.globals_hash = encoding.globals_hash(chunk.globals)
    return chunk


def decided(domain: bytes, given: Given) -> dict[str, Any]:
    """A case of the file: what is given, and what the Python twin comes to."""
    chunk = read(domain, given.body, given.witness)
    return {
        "name": given.name,
        "pre_root": encoding.state_root(chunk.pre_commitment).hex(),
        "body": given.body.hex(),
        "witness": given.witness.hex(),
        "codes": chunk.operation_codes,
        "post_root": encoding.state_root(chunk.commitment).hex(),
        "post_commitment": encoding.commitment_bytes(chunk.commitment).hex(),
    }


def agrees(domain: bytes, case: dict[str, Any]) -> bool:
    """Whether the Python twin comes to what a case of the file says."""
    given = Given(case["name"], bytes.fromhex(case["body"]), bytes.fromhex(case["witness"]))
    return decided(domain, given) == case
