"""The one keccak-256 of the project."""

from sha3 import keccak_256

ZERO_HASH = bytes(32)


def keccak(data: bytes) -> bytes:
    """32-byte keccak-256 digest, by the backend itself: eth-hash's automatic choice is five to ten times slower."""
    digest: bytes = keccak_256(data).digest()
    return digest
