# pragma version 0.4.3
"""
@title FraudReferee
@license MIT
@notice Replays one chunk of a batch from its pre-root, the chunk's bytes and a witness.
@dev Stateless: no storage, no owner, no money. The bridge compares what it returns with what was committed.
"""

from prover.stf import merkle
from prover.stf import replay as law

initializes: law
exports: (law.TRADING, law.CUSTODY, law.MARKETS, law.RESCUE)

MAX_WITNESS_BYTES: constant(uint256) = 98_304


@deploy
def __init__(trading: address, custody: address, markets: address, rescue: address):
    """
    @notice Fixes the family contracts for ever.
    @param trading The law's Trading contract.
    @param custody The law's Custody contract.
    @param markets The law's Markets contract.
    @param rescue The law's Rescue contract.
    """
    law.__init__(trading, custody, markets, rescue)


@external
@view
def replay(domain: bytes32, pre_root: bytes32, body: Bytes[7_600], witness: Bytes[MAX_WITNESS_BYTES]) -> bytes32:
    """
    @notice The post-root of a chunk.
    @param domain EIP-712 domain separator of the rollup.
    @param pre_root State root before the chunk.
    @param body The chunk's bytes: any bytes are a legal body.
    @param witness Commitment, globals, leaves and multiproof under `pre_root`; reverts unless it authenticates.
    @return State root after the chunk.
    """
    return self._replay(domain, pre_root)[0]


@external
@view
def trace(domain: bytes32, pre_root: bytes32, body: Bytes[7_600], witness: Bytes[MAX_WITNESS_BYTES]) -> (bytes32, DynArray[int256, 844]):
    """
    @notice The post-root of a chunk and the code of each operation, for differential tests and for humans.
    @param domain EIP-712 domain separator of the rollup.
    @param pre_root State root before the chunk.
    @param body The chunk's bytes.
    @param witness Commitment, globals, leaves and multiproof under `pre_root`.
    @return State root after the chunk and one code an operation.
    """
    return self._replay(domain, pre_root)


@internal
@view
def _replay(domain: bytes32, pre_root: bytes32) -> (bytes32, DynArray[int256, 844]):
    """Body and witness are read where they stand in the call data; PROTOCOL.md 11.1."""
    body: uint256 = 4 + merkle.at(68)
    witness: uint256 = 4 + merkle.at(100)
    return law.replay(domain, pre_root, body + 32, merkle.at(body), witness + 32)
