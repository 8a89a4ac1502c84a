"""Soft cancels: which they are, and the receipt that whoever orders signs for one. PROTOCOL.md 5.4."""

from collections.abc import Sequence
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


# Acknowledgements: of all that was taken in one group one signature over a Merkle root; PROTOCOL.md 5.5.

ACKNOWLEDGED_TYPE: Final = keccak(b"Acknowledged(bytes32 root)")
# A path is no longer: no group has more than 2^16 members.
MOST_STEPS: Final = 16


class Acknowledgement(msgspec.Struct, frozen=True):
    """What was taken: an operation by its tag, account, slot and sequence, at a time; of an order lots filled as taker.

    The promise: chunks that began no later than `time_ms` hold it, or, of an order, fills of so many lots at least.
    """

    tag: int
    account: int
    slot: int
    sequence: int
    filled_lots: int
    time_ms: int

    @property
    def leaf(self) -> bytes:
        """192 bytes under the hash: no inner node has as many."""
        words = (self.tag, self.account, self.slot, self.sequence, self.filled_lots, self.time_ms)
        return keccak(b"".join(word(value) for value in words))


def levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """The tree over leaves, the root last; a level of odd length ends with its last node twice."""
    found = [list(leaves)]
    while len(found[-1]) > 1:
        below = found[-1] + found[-1][-1:] * (len(found[-1]) % 2)
        found.append([keccak(below[at] + below[at + 1]) for at in range(0, len(below), 2)])
    return found


def path_of(tree: Sequence[Sequence[bytes]], place: int) -> list[bytes]:
    """The sibling of each level below the root."""
    siblings = []
    for level in tree[:-1]:
        siblings.append(level[min(place ^ 1, len(level) - 1)])
        place >>= 1
    return siblings


def root_of(leaf: bytes, place: int, path: Sequence[bytes]) -> bytes:
    """The root to which a leaf leads from its place."""
    for sibling in path:
        leaf = keccak(sibling + leaf) if place & 1 else keccak(leaf + sibling)
        place >>= 1
    return leaf


def acknowledged_digest(domain: bytes, root: bytes) -> bytes:
    """The 32 bytes that whoever orders signs for a group."""
    return signatures.digest(domain, keccak(ACKNOWLEDGED_TYPE + root))


def began_ms(body: bytes) -> int:
    """The time of a chunk: of its first operation."""
    return int.from_bytes(body[: constants.TIMESTAMP_LENGTH], "big") % constants.QUEUE_ONLY_BIT


class Found(msgspec.Struct):
    """What chunks hold of an acknowledged operation: whether it is there, and lots that it took."""

    given: Acknowledgement
    is_there: bool = False
    lots: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether it is there as it was promised. An order that was not filled stands in no chunk."""
        return self.lots >= self.given.filled_lots if self.given.tag == constants.ORDER else self.is_there

    def read(self, body: bytes) -> None:
        """One chunk that began no later than the acknowledgement."""
        assert began_ms(body) <= self.given.time_ms, "a later chunk holds nothing of before"
        orders: list[bool] = []
        at = constants.TIMESTAMP_LENGTH
        while at < len(body) and (length := operation_length(body, at)) > 0:
            tag = body[at]
            if tag == constants.ORDER:
                orders.append(self._is_named(tag, encoding.order(word_at(body, at + 1), word_at(body, at + 32))))
                self.is_there = self.is_there or orders[-1]
            elif tag == constants.FILL:
                if body[at + 2] < len(orders) and orders[body[at + 2]]:
                    self.lots += int.from_bytes(body[at + 3 : at + constants.FILL_LENGTH], "big")
            elif tag == self.given.tag:
                request = encoding.request(tag, word_at(body, at + 1), word_at(body, at + 31))
                self.is_there = self.is_there or self._is_named(tag, request)
            at += length

    def _is_named(self, tag: int, message: containers.Order | containers.Request) -> bool:
        given = self.given
        return (tag, message.account, message.slot, message.sequence) == (
            given.tag,
            given.account,
            given.slot,
            given.sequence,
        )
