"""Blocks, logs and receipts, and the words of JSON-RPC for them: L1Unavailable for an answer of another shape."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from l1_bridge.client.errors import L1Unavailable

Tag = str | int

# As every record and operation writes times.
_MOST_SECONDS: Final = (2**48 - 1) // 1_000


class Block(msgspec.Struct, frozen=True):
    """Header fields that the project uses; `timestamp` in seconds, `base_fee_wei` per gas."""

    number: int
    hash: bytes
    parent_hash: bytes
    timestamp: int
    base_fee_wei: int


class Log(msgspec.Struct, frozen=True):
    """One event log of a mined block."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int
    block_hash: bytes
    transaction_hash: bytes
    transaction_index: int
    log_index: int

    @property
    def held_bytes(self) -> int:
        """What it takes in memory, about: without data some 500 bytes."""
        return len(self.data) + 500


class Receipt(msgspec.Struct, frozen=True):
    """A mined transaction's outcome."""

    transaction_hash: bytes
    block_number: int
    block_hash: bytes
    succeeded: bool
    gas_used: int
    effective_gas_price_wei: int
    contract_address: bytes | None
    logs: tuple[Log, ...]


def to_hex(value: bytes) -> str:
    """As JSON-RPC writes bytes."""
    return "0x" + value.hex()


def tag_text(tag: Tag) -> str:
    """A block by number or by name, as JSON-RPC has it."""
    return hex(tag) if isinstance(tag, int) else tag


def topic_text(item: bytes | Sequence[bytes] | None) -> Any:
    """One place of a log filter: any topic, one, or alternatives."""
    if item is None or isinstance(item, bytes):
        return None if item is None else to_hex(item)
    return [to_hex(topic) for topic in item]


def as_integer(value: Any) -> int:
    """A quantity."""
    try:
        quantity = int(value, 16)
    except (TypeError, ValueError):
        quantity = -1
    if quantity < 0:
        raise L1Unavailable("the L1 node answered something else than a quantity")
    return quantity


def as_count(value: Any) -> int:
    """A number of blocks, transactions, seconds, gas or wei per gas, of which no chain has more than 64 bits."""
    count = as_integer(value)
    if count >> 64:
        raise L1Unavailable("the L1 node answered something else than a number of 64 bits")
    return count


def as_time(value: Any) -> int:
    """Seconds since 1970, of which no chain has more than fit into six bytes as milliseconds: the year 10,889."""
    seconds = as_count(value)
    if seconds > _MOST_SECONDS:
        raise L1Unavailable("the L1 node answered something else than a time")
    return seconds


def as_hash(value: Any) -> bytes:
    """A word of 32 bytes."""
    word = as_bytes(value)
    if len(word) != 32:
        raise L1Unavailable("the L1 node answered something else than a hash")
    return word


def as_bytes(value: Any) -> bytes:
    """Data of any length."""
    try:
        return bytes.fromhex(value.removeprefix("0x"))
    except (AttributeError, ValueError):
        raise L1Unavailable("the L1 node answered something else than data") from None


def as_list(value: Any) -> list[Any]:
    """A list of whatever."""
    if not isinstance(value, list):
        raise L1Unavailable("the L1 node answered something else than a list")
    return value


def as_block(value: Any) -> Block | None:
    """A header; None for a block that the node does not have."""
    if value is None:
        return None
    try:
        return Block(
            number=as_count(value["number"]),
            hash=as_hash(value["hash"]),
            parent_hash=as_hash(value["parentHash"]),
            timestamp=as_time(value["timestamp"]),
            base_fee_wei=as_count(value.get("baseFeePerGas", "0x0")),
        )
    except (KeyError, TypeError, AttributeError):
        raise L1Unavailable("the L1 node answered something else than a block") from None


def as_log(value: Any) -> Log:
    """One event log."""
    try:
        return Log(
            address=as_bytes(value["address"]),
            topics=tuple(as_hash(topic) for topic in value["topics"]),
            data=as_bytes(value["data"]),
            block_number=as_count(value["blockNumber"]),
            block_hash=as_hash(value["blockHash"]),
            transaction_hash=as_hash(value["transactionHash"]),
            transaction_index=as_count(value["transactionIndex"]),
            log_index=as_count(value["logIndex"]),
        )
    except (KeyError, TypeError):
        raise L1Unavailable("the L1 node answered something else than a log") from None


def as_receipt(value: Any) -> Receipt | None:
    """The receipt of a mined transaction; None while it is not mined."""
    if value is None:
        return None
    try:
        if value.get("blockHash") is None:
            return None
        created = value.get("contractAddress")
        return Receipt(
            transaction_hash=as_hash(value["transactionHash"]),
            block_number=as_count(value["blockNumber"]),
            block_hash=as_hash(value["blockHash"]),
            succeeded=as_integer(value["status"]) == 1,
            gas_used=as_count(value["gasUsed"]),
            effective_gas_price_wei=as_count(value.get("effectiveGasPrice", "0x0")),
            contract_address=None if created is None else as_bytes(created),
            logs=tuple(as_log(item) for item in as_list(value["logs"])),
        )
    except (KeyError, TypeError, AttributeError):
        raise L1Unavailable("the L1 node answered something else than a receipt") from None
