"""What is signed and by which key: digests, compact signatures, addresses."""

from struct import Struct
from typing import Final

from coincurve import PrivateKey

from l1_bridge.hashing import keccak
from prover.stf import constants, containers, encoding
from prover.stf import signatures as law
from prover.stf.words import word_at


def order_digest(domain: bytes, order: containers.Order) -> bytes:
    """The 32 bytes that an order's owner signs."""
    return law.digest(domain, law.order_hash(order))


def request_digest(domain: bytes, tag: int, request: containers.Request) -> bytes:
    """The 32 bytes that an account's owner signs for a request."""
    return law.digest(domain, law.request_hash(tag, request))


# An order's fields as they stand in its bytes, and as seventeen words of what is signed: nothing is decoded between.
_ORDER_BYTES: Final = Struct(">x3sBBB7s6s6s6s6s6s2s3s")
_ORDER_WORDS: Final = Struct(">32s29x3s31xB31xB25x7s26x6s31xB26x6s26x6s26x6s31xB31xB31xB31xB26x6s30x2s29x3s")


def _order_struct_hash(operation: bytes) -> bytes:
    """`order_hash` of the law of an order in its bytes."""
    account, market, flags, slot, size, price, sequence, created, expires, trigger_price, fee, posting = (
        _ORDER_BYTES.unpack_from(operation)
    )
    return keccak(
        _ORDER_WORDS.pack(
            law.ORDER_TYPE,
            account,
            market,
            flags & 1,
            size,
            price,
            slot,
            sequence,
            created,
            expires,
            flags >> 1 & 3,
            flags >> 3 & 1,
            flags >> 4 & 1,
            flags >> 5 & 3,
            trigger_price,
            fee,
            posting,
        )
    )


def signed_digest(domain: bytes, operation: bytes) -> bytes:
    """The 32 bytes that were signed for a whole operation with one signer, from its bytes."""
    tag = operation[0]
    if tag == constants.ORDER:
        struct_hash = _order_struct_hash(operation)
    else:
        request = encoding.request(tag, word_at(operation, 1), word_at(operation, 31))
        struct_hash = law.request_hash(tag, request)
    return law.digest(domain, struct_hash)


def sign(private_key: bytes, digest: bytes) -> bytes:
    """64-byte compact signature (EIP-2098), low s."""
    return compact(PrivateKey(private_key).sign_recoverable(digest, hasher=None))


def compact(signature: bytes) -> bytes:
    """r, s, v (65 bytes, v in {0, 1, 27, 28}) or an already compact signature -> 64 bytes; ValueError on others.

    A high s cannot be written compactly, so it is refused here with the same words as by the law.
    """
    if len(signature) == 64:
        return signature
    if len(signature) != 65 or signature[64] not in (0, 1, 27, 28):
        raise ValueError("a signature is 64 bytes (EIP-2098) or 65 bytes with v in {0, 1, 27, 28}")
    s = int.from_bytes(signature[32:64], "big")
    if s > law.HALF_ORDER:
        raise ValueError("s is above half of the curve's order: the malleable twin of a signature")
    parity = signature[64] % 27 if signature[64] >= 27 else signature[64]
    return signature[:32] + (s | parity << 255).to_bytes(32, "big")


def address_of(private_key: bytes) -> bytes:
    """The 20-byte address of a private key."""
    return keccak(PrivateKey(private_key).public_key.format(compressed=False)[1:])[12:]
