"""The one keccak."""

from l1_bridge.hashing import ZERO_HASH, keccak


def test_keccak_is_ethereums_and_not_the_standards() -> None:
    assert keccak(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak(ZERO_HASH) != ZERO_HASH
