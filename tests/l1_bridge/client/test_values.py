"""What a node's JSON means, and that anything else is a node that answers nonsense."""

from collections.abc import Callable
from typing import Any

import pytest

from l1_bridge.client.errors import L1Unavailable
from l1_bridge.client.values import (
    Block,
    Log,
    Receipt,
    as_block,
    as_bytes,
    as_integer,
    as_list,
    as_log,
    as_receipt,
    tag_text,
    to_hex,
    topic_text,
)

HASH, ADDRESS = b"\x11" * 32, b"\x22" * 20
# The last second whose milliseconds fit into six bytes.
LAST = 281_474_976_710
BLOCK = {"number": "0x7", "hash": to_hex(HASH), "parentHash": to_hex(bytes(32)), "timestamp": "0xa"}
LOG = {
    "address": to_hex(ADDRESS),
    "topics": [to_hex(HASH)],
    "data": "0x0102",
    "blockNumber": "0x7",
    "blockHash": to_hex(HASH),
    "transactionHash": to_hex(HASH),
    "transactionIndex": "0x1",
    "logIndex": "0x2",
}
RECEIPT = {
    "transactionHash": to_hex(HASH),
    "blockNumber": "0x7",
    "blockHash": to_hex(HASH),
    "status": "0x1",
    "gasUsed": "0x5208",
    "contractAddress": None,
    "logs": [LOG],
}
READ_LOG = Log(ADDRESS, (HASH,), b"\x01\x02", 7, HASH, HASH, 1, 2)


def test_what_a_node_says_of_itself_is_read_whole() -> None:
    assert as_block(BLOCK | {"baseFeePerGas": "0x10"}) == Block(7, HASH, bytes(32), 10, 16)
    # Before the base fee there was none.
    assert as_block(BLOCK) == Block(7, HASH, bytes(32), 10, 0)
    assert as_block(BLOCK | {"timestamp": hex(LAST)}) == Block(7, HASH, bytes(32), LAST, 0)
    assert as_log(LOG) == READ_LOG
    assert as_receipt(RECEIPT) == Receipt(HASH, 7, HASH, True, 21_000, 0, None, (READ_LOG,))
    assert as_receipt(RECEIPT | {"contractAddress": to_hex(ADDRESS), "status": "0x0"}) == Receipt(
        HASH, 7, HASH, False, 21_000, 0, ADDRESS, (READ_LOG,)
    )


def test_what_is_not_there_yet_is_none() -> None:
    assert as_block(None) is None
    assert as_receipt(None) is None
    assert as_receipt(RECEIPT | {"blockHash": None}) is None


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (as_integer, None),
        (as_integer, 7),
        (as_integer, "seven"),
        (as_integer, "-0x7"),
        (as_bytes, 7),
        (as_bytes, "0x0"),
        (as_list, {}),
        (as_block, 7),
        (as_block, "block"),
        (as_block, {}),
        (as_block, BLOCK | {"number": None}),
        # What a store of 64 bits cannot hold would end the program that keeps it.
        (as_block, BLOCK | {"number": hex(2**64)}),
        (as_block, BLOCK | {"timestamp": hex(2**64)}),
        (as_block, BLOCK | {"timestamp": hex(LAST + 1)}),
        (as_block, BLOCK | {"baseFeePerGas": hex(2**64)}),
        (as_block, BLOCK | {"hash": "0x11"}),
        (as_block, BLOCK | {"parentHash": "0x"}),
        (as_log, 7),
        (as_log, {}),
        (as_log, LOG | {"topics": None}),
        (as_log, LOG | {"topics": ["0x11"]}),
        (as_log, LOG | {"blockNumber": hex(2**64)}),
        (as_receipt, 7),
        (as_receipt, "receipt"),
        (as_receipt, {"blockHash": "0x"}),
        (as_receipt, RECEIPT | {"gasUsed": hex(2**64)}),
        (as_receipt, RECEIPT | {"effectiveGasPrice": hex(2**64)}),
        (as_receipt, RECEIPT | {"transactionHash": "0x11"}),
        (as_receipt, RECEIPT | {"logs": {}}),
    ],
)
def test_anything_else_is_an_unusable_node(read: Callable[[Any], Any], value: Any) -> None:
    with pytest.raises(L1Unavailable, match="something else than"):
        read(value)


def test_tags_and_topics_as_the_node_wants_them() -> None:
    assert (tag_text(16), tag_text("latest")) == ("0x10", "latest")
    assert [topic_text(item) for item in (None, b"\x01", [b"\x01", b"\x02"])] == [None, "0x01", ["0x01", "0x02"]]
