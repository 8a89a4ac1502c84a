"""Receipts of soft cancels: which operations get one, what it says, and who signed it."""

import pytest

from l1_bridge.hashing import keccak
from prover.signing import operations
from prover.signing.receipts import Receipt, chained, is_soft, receipt_digest, signer_of_receipt
from prover.signing.signatures import sign
from prover.stf import constants, containers
from tests.twins.venue import KEYS, OWNERS

DOMAIN = b"\x05" * 32


def test_a_receipt_stands_on_all_before_it() -> None:
    first = chained(bytes(32), 17, 3, 1_000, 2_000)
    assert (first.account, first.slot, first.sequence, first.time_ms) == (17, 3, 1_000, 2_000)
    words = b"".join(value.to_bytes(32, "big") for value in (17, 3, 1_000, 2_000))
    assert first.running_hash == keccak(bytes(32) + words)
    again = chained(first.running_hash, 17, 3, 1_000, 2_000)
    assert again.running_hash == keccak(first.running_hash + words) != first.running_hash


def test_a_receipt_is_typed_data_of_the_rollup() -> None:
    receipt = chained(bytes(32), 17, 3, 1_000, 2_000)
    text = b"Receipt(uint24 account,uint8 slot,uint48 sequence,uint48 time_ms,bytes32 running_hash)"
    fields = b"".join(value.to_bytes(32, "big") for value in (17, 3, 1_000, 2_000)) + receipt.running_hash
    digest = receipt_digest(DOMAIN, receipt)
    assert digest == keccak(b"\x19\x01" + DOMAIN + keccak(keccak(text) + fields))
    assert signer_of_receipt(DOMAIN, receipt, sign(KEYS[1], digest)) == OWNERS[1]
    other = Receipt(17, 4, 1_000, 2_000, receipt.running_hash)
    assert signer_of_receipt(DOMAIN, other, sign(KEYS[1], digest)) != OWNERS[1]
    assert signer_of_receipt(DOMAIN, receipt, bytes(64)) == containers.NOBODY


@pytest.mark.parametrize("tag", [tag for tag in operations.TAG_OF_KIND.values() if tag != constants.ORDER])
@pytest.mark.parametrize("maximum", [0, 1, 2**16, 2**24 - 1])
def test_only_a_cancel_that_pays_nothing_is_soft(tag: int, maximum: int) -> None:
    request = containers.Request(17, 0, 1, 1, 2, max_posting_fee=maximum)
    is_cancel = tag in (constants.CANCEL, constants.CANCEL_ALL)
    assert is_soft(operations.request_bytes(tag, request, b"\x01" * 64)) == (is_cancel and maximum == 0)
