"""Digests and compact signatures: what is refused by form, and that a whole operation says what was signed."""

import pytest

from prover.signing import operations
from prover.signing.recover import CURVE_ORDER, recover_fast
from prover.signing.signatures import address_of, compact, order_digest, request_digest, sign, signed_digest
from prover.stf import constants, containers, signatures
from tests.twins.venue import KEYS, NOW, OWNERS, order

DOMAIN = b"\x05" * 32
DIGEST = b"\x07" * 32
REQUESTS = [constants.WITHDRAW, constants.TRANSFER, constants.CANCEL, constants.CANCEL_ALL, constants.SET_LEVERAGE]


def a_request(tag: int) -> containers.Request:
    """A request that has every field of its kind and no other, as its bytes are read."""
    other = 18 if tag == constants.TRANSFER else 0
    amount = {constants.WITHDRAW: 1_000, constants.TRANSFER: 1_000, constants.SET_LEVERAGE: 333_334}.get(tag, 0)
    return containers.Request(
        account=17,
        slot=3,
        sequence=NOW - 1,
        created_at=NOW,
        expires_at=NOW + 1_000,
        amount=amount,
        other=other,
        recipient=b"\x09" * 20 if tag == constants.WITHDRAW else containers.NOBODY,
        first_slot=0,
        last_slot=0,
        max_posting_fee=700,
    )


def test_a_signature_is_compact_and_recovers_to_its_key() -> None:
    signature = sign(KEYS[1], DIGEST)
    assert (len(signature), compact(signature)) == (64, signature)
    r, parity_and_s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    assert signatures.recover(DIGEST, r, parity_and_s, recover_fast) == address_of(KEYS[1]) == OWNERS[1]


@pytest.mark.parametrize("v", [2, 26, 29, 37, 255])
def test_other_recovery_ids_are_refused(v: int) -> None:
    with pytest.raises(ValueError, match="v in"):
        compact(sign(KEYS[1], DIGEST) + bytes([v]))


@pytest.mark.parametrize("length", [0, 63, 66])
def test_other_lengths_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        compact(bytes(length))


def test_both_fashions_of_a_recovery_id_are_one_signature() -> None:
    signature = sign(KEYS[1], DIGEST)
    s, parity = int.from_bytes(signature[32:], "big") & 2**255 - 1, signature[32] >> 7
    bare = signature[:32] + s.to_bytes(32, "big")
    assert compact(bare + bytes([parity])) == compact(bare + bytes([27 + parity])) == signature
    assert compact(bare + bytes([1 - parity])) != signature
    with pytest.raises(ValueError, match="malleable twin"):
        compact(signature[:32] + (CURVE_ORDER - s).to_bytes(32, "big") + bytes([1 - parity]))


def test_an_orders_bytes_say_what_was_signed() -> None:
    given = order(17)
    assert signed_digest(DOMAIN, operations.order_bytes(given, bytes(64))) == order_digest(DOMAIN, given)
    assert order_digest(DIGEST, given) != order_digest(DOMAIN, given)


@pytest.mark.parametrize("tag", REQUESTS)
def test_a_requests_bytes_say_what_was_signed(tag: int) -> None:
    given = a_request(tag)
    assert signed_digest(DOMAIN, operations.request_bytes(tag, given, bytes(64))) == request_digest(DOMAIN, tag, given)
