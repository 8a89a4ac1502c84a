# pragma version 0.4.3
"""
@title Rescue
@license MIT
@notice The rescue family of the law as a contract of its own: stateless, called by the referee.
"""

from prover.stf import containers
from prover.stf import rescue as law


@external
@pure
def decide(tag: int256, risk: containers.Risk, previous: int256[16], clock: containers.Clock, listed: containers.Market, move: containers.Rescue, maker: containers.Order, account: containers.Account, other: containers.Account, insurance: containers.Account, slot: containers.Slot) -> containers.Rescued:
    """
    @notice Decides a liquidation, take-over, deleveraging, unwinding, or a step of a forced close.
    @param tag Which of them.
    @param risk Prices, funding indices and fractions of all markets.
    @param previous The prices of the tick before.
    @param clock The chunk's time and what the ticks before it allow.
    @param listed The market.
    @param move What its author asks for.
    @param maker The resting order.
    @param account The account that is rescued.
    @param other The maker's account, or the counterparty.
    @param insurance The market's insurance account.
    @param slot The maker's order slot.
    @return The decision and what it leads to.
    """
    return law.decide(tag, risk, previous, clock, listed, move, maker, account, other, insurance, slot)
