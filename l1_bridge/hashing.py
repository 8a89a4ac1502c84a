"""The one keccak-256 of the project."""

from eth_hash.backends.pysha3 import keccak256 as _keccak256

ZERO_HASH = bytes(32)


def keccak(data: bytes) -> bytes:
    """32-byte keccak-256 digest; named backend, because eth-hash's automatic choice is five to ten times slower."""
    return _keccak256(data)
