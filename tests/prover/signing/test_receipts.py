"""Receipts of soft cancels: which operations get one, what it says, and who signed it."""

import msgspec
import pytest

from l1_bridge.hashing import keccak
from prover.signing import operations
from prover.signing.receipts import (
    Acknowledgement,
    Found,
    Receipt,
    acknowledged_digest,
    breaks,
    chained,
    is_soft,
    levels,
    path_of,
    receipt_digest,
    root_of,
    signer_of_receipt,
)
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


def body(time_ms: int, *operations_: bytes) -> bytes:
    """A chunk."""
    return time_ms.to_bytes(6, "big") + b"".join(operations_)


def an_order(account: int = 17, slot: int = 3, sequence: int = 1_000) -> bytes:
    """An order as a chunk carries it; nobody asks here who signed it."""
    order = containers.Order(
        account, 0, 0, 5, 7, slot, sequence, sequence, sequence + 1, 0, 0, 0, 0, 0, 500, 500, unused=0
    )
    return operations.order_bytes(order, b"\x01" * 64)


FILL = operations.fill_bytes(0, 1, 5)


@pytest.mark.parametrize(
    ("chunk", "is_broken"),
    [
        (body(2_001, an_order()), True),
        (body(2_001, FILL, an_order(sequence=999), FILL), True),
        (body(2_001 + constants.QUEUE_ONLY_BIT, an_order()), True),
        # What began before the receipt may hold what was filled before it.
        (body(2_000, an_order()), False),
        (body(2_000 + constants.QUEUE_ONLY_BIT, an_order()), False),
        (body(2_001, an_order(sequence=1_001)), False),
        (body(2_001, an_order(slot=4)), False),
        (body(2_001, an_order(account=18)), False),
        (body(2_001), False),
        # A chunk ends for the law where its bytes are cut off or unknown.
        (body(2_001, an_order()[:-1]), False),
        (body(2_001, b"\xff", an_order()), False),
        (b"\x00", False),
    ],
)
def test_an_order_in_a_chunk_that_began_later_breaks_a_receipt(chunk: bytes, is_broken: bool) -> None:
    found = breaks(chained(bytes(32), 17, 3, 1_000, 2_000), chunk)
    assert (found is not None) == is_broken


def test_a_cancel_of_all_covers_every_slot() -> None:
    every = chained(bytes(32), 17, 0, 1_000, 2_000)
    found = breaks(every, body(2_001, an_order(slot=9)))
    assert found is not None
    assert (found.account, found.slot, found.sequence) == (17, 9, 1_000)
    assert breaks(every, body(2_001, an_order(slot=9, sequence=1_001))) is None


# Acknowledgements.


def acknowledged(**changes: int) -> Acknowledgement:
    """Of the order of `an_order`, with five lots filled."""
    fields = {"tag": constants.ORDER, "account": 17, "slot": 3, "sequence": 1_000, "filled_lots": 5, "time_ms": 2_000}
    return Acknowledgement(**{**fields, **changes})


def test_a_leaf_is_six_words_and_a_group_is_typed_data_of_the_rollup() -> None:
    words = b"".join(value.to_bytes(32, "big") for value in (constants.ORDER, 17, 3, 1_000, 5, 2_000))
    assert acknowledged().leaf == keccak(words)
    digest = acknowledged_digest(DOMAIN, b"\x07" * 32)
    assert digest == keccak(b"\x19\x01" + DOMAIN + keccak(keccak(b"Acknowledged(bytes32 root)") + b"\x07" * 32))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9, 255, 256])
def test_every_leaf_of_a_group_leads_to_its_root_from_its_own_place_alone(count: int) -> None:
    leaves = [acknowledged(sequence=place).leaf for place in range(count)]
    tree = levels(leaves)
    (root,) = tree[-1]
    for place, leaf in enumerate(leaves):
        path = path_of(tree, place)
        assert root_of(leaf, place, path) == root
        assert root_of(acknowledged(sequence=count).leaf, place, path) != root
        if place ^ 1 < count:
            assert root_of(leaf, place ^ 1, path) != root
    assert len(path_of(tree, 0)) == (count - 1).bit_length()


def found(given: Acknowledgement, *bodies: bytes) -> Found:
    """What chunks hold of it."""
    result = Found(given)
    for each in bodies:
        result.read(each)
    return result


def test_an_order_is_there_with_the_lots_that_it_took() -> None:
    maker, taker = an_order(account=18), an_order()
    whole = body(1_900, maker, taker, FILL)
    assert found(acknowledged(), whole).is_whole
    assert not found(acknowledged(filled_lots=6), whole).is_whole
    assert found(acknowledged(filled_lots=10), whole, whole).is_whole
    # As maker it was not filled at its arrival.
    assert not found(acknowledged(account=18), whole).is_whole
    assert not found(acknowledged(sequence=999), whole).is_whole
    assert not found(acknowledged()).is_whole
    # What was not filled stands nowhere, and was promised nothing.
    assert found(acknowledged(filled_lots=0)).is_whole


@pytest.mark.parametrize("tag", [tag for tag in operations.TAG_OF_KIND.values() if tag != constants.ORDER])
def test_a_request_is_there_or_not(tag: int) -> None:
    request = containers.Request(17, 0 if tag == constants.CANCEL_ALL else 3, 1_000, 1_000, 1_001, max_posting_fee=500)
    given = acknowledged(tag=tag, slot=request.slot, filled_lots=0)
    there = body(2_000, an_order(), operations.request_bytes(tag, request, b"\x01" * 64))
    assert found(given, there).is_whole
    assert not found(given, body(2_000, an_order())).is_whole
    assert not found(msgspec.structs.replace(given, account=18), there).is_whole


@pytest.mark.parametrize("tail", [b"", b"\xff", bytes([constants.FILL]), bytes([constants.ORDER]) + bytes(20)])
def test_a_body_that_ends_early_holds_what_stands_before(tail: bytes) -> None:
    chunk = body(1_900, operations.fill_bytes(0, 9, 5), an_order(account=18), an_order(), FILL, tail)
    assert found(acknowledged(), chunk).lots == 5
