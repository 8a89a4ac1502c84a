"""The few Vyper words that the Python twins borrow, so that both texts read the same."""

from collections.abc import Callable
from typing import TypeAlias

from l1_bridge.hashing import keccak

uint256: TypeAlias = int
int256: TypeAlias = int
address: TypeAlias = bytes
bytes32: TypeAlias = bytes

keccak256 = keccak


# (digest, v in {27, 28}, r, s) -> the signer's address, or twenty zero bytes: what L1's ecrecover answers.
Recover: TypeAlias = Callable[[bytes, int, int, int], bytes]


def concat(*parts: bytes) -> bytes:
    """Bytes joined, as Vyper's concat."""
    return b"".join(parts)


def word(value: int) -> bytes:
    """32 big-endian bytes of a two's complement integer: one ABI word."""
    return value.to_bytes(32, "big", signed=value < 0)


def address_word(value: bytes) -> bytes:
    """A 20-byte address as one ABI word."""
    return b"\x00" * 12 + value


def abi_encode(*values: int | bytes) -> bytes:
    """ABI words of static values: integers in two's complement, addresses padded on the left."""
    return b"".join([word(value) if isinstance(value, int) else value.rjust(32, b"\x00") for value in values])


def word_at(data: bytes, offset: int) -> int:
    """The 32-byte word that starts at `offset`, zeros beyond the end."""
    return int.from_bytes(data[offset : offset + 32].ljust(32, b"\x00"), "big")
