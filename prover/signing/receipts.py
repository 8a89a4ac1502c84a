"""Soft cancels: which they are, and the receipt that whoever orders signs for one. PROTOCOL.md 5.4."""

from typing import Final

import msgspec

from l1_bridge.hashing import keccak
from prover.signing.signed import signer_of
from prover.stf import constants, containers, encoding, signatures
from prover.stf.replay import operation_length
from prover.stf.words import word, word_at

RECEIPT_TYPE: Final = keccak(b"Receipt(uint24 account,uint8 slot,uint48 sequence,uint48 time_ms,bytes32 running_hash)")
# The three bytes before the signature.
_MAXIMUM: Final = slice(-67, -64)


class Receipt(msgspec.Struct, frozen=True):
    """What was taken out when: in a slot, or in all of them where it is 0, everything up to a sequence.

    running_hash: of all receipts of this venue so far, this one included.
    """

    account: int
    slot: int
    sequence: int
    time_ms: int
    running_hash: bytes


def is_soft(operation: bytes) -> bool:
    """Whether a signed operation is a cancel that nobody may post, since its signer pays nothing for it."""
    return operation[0] in (constants.CANCEL, constants.CANCEL_ALL) and not any(operation[_MAXIMUM])


def chained(running_hash: bytes, account: int, slot: int, sequence: int, time_ms: int) -> Receipt:
    """The receipt behind the one that ended with `running_hash`; 32 zero bytes before the first."""
    own = word(account) + word(slot) + word(sequence) + word(time_ms)
    return Receipt(account, slot, sequence, time_ms, keccak(running_hash + own))


def receipt_digest(domain: bytes, receipt: Receipt) -> bytes:
    """The 32 bytes that whoever orders signs."""
    fields = word(receipt.account) + word(receipt.slot) + word(receipt.sequence) + word(receipt.time_ms)
    return signatures.digest(domain, keccak(RECEIPT_TYPE + fields + receipt.running_hash))


def signer_of_receipt(domain: bytes, receipt: Receipt, signature: bytes) -> bytes:
    """Whose key signed a receipt; nobody's where the 64 bytes are no signature."""
    return signer_of(receipt_digest(domain, receipt), signature)


def breaks(receipt: Receipt, body: bytes) -> containers.Order | None:
    """An order in a chunk that began after a receipt had taken it out: who keeps its word puts none there.

    A chunk that began before it may hold what was filled before it, and is no evidence.
    """
    began = int.from_bytes(body[: constants.TIMESTAMP_LENGTH], "big") % constants.QUEUE_ONLY_BIT
    at = constants.TIMESTAMP_LENGTH
    while began > receipt.time_ms and at < len(body):
        length = operation_length(body, at)
        if length == 0:
            break
        if body[at] == constants.ORDER:
            order = encoding.order(word_at(body, at + 1), word_at(body, at + 32))
            is_covered = order.account == receipt.account and receipt.slot in (0, order.slot)
            if is_covered and order.sequence <= receipt.sequence:
                return order
        at += length
    return None
