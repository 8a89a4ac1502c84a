# pragma version 0.4.3
"""
@title Markets
@license MIT
@notice The markets family of the law as a contract of its own: stateless, called by the referee.
"""

from prover.stf import containers
from prover.stf import markets as law
from prover.stf import merkle


@external
@view
def tick(domain: bytes32, globals: containers.Globals, now: int256, operation: Bytes[1_504]) -> containers.Ticked:
    """
    @notice Decides a tick.
    @param domain EIP-712 domain separator of the rollup.
    @param globals The globals before the tick.
    @param now The chunk's clock.
    @param operation The operation's bytes; what follows them is not read.
    @return The decision: medians and the accrued funding indices.
    """
    return law.tick(domain, globals, now, 4 + merkle.at(4 + 32 + 11_360 + 32) + 32)
