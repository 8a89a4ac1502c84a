# pragma version 0.4.3
"""
@title A law of two lines, and a witness that makes it fail
"""


@view
@external
def replay(domain: bytes32, pre_root: bytes32, body: Bytes[7600], witness: Bytes[98304]) -> bytes32:
    """
    @notice A body of a time and a commitment leads to that commitment's root, any other to a digest of all inputs
    @dev The witness "revert" reverts, "burn" needs far more gas than a transaction has
    """
    if len(witness) >= 6 and slice(witness, 0, 6) == b"revert":
        raise "WITNESS"
    if len(witness) >= 4 and slice(witness, 0, 4) == b"burn":
        burned: bytes32 = pre_root
        for i: uint256 in range(10_000_000):
            burned = keccak256(burned)
        return burned
    if len(body) >= 294:
        return keccak256(slice(body, 6, 288))
    return keccak256(concat(domain, pre_root, keccak256(body)))
