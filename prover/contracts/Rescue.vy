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
def decide(tag: int256, under: containers.Conditions, move: containers.Rescue, account: containers.Account, other: containers.Side, insurance: containers.Account) -> containers.Rescued:
    """
    @notice Decides a take-over, a deleveraging, a forced rescue, or a step of a forced close.
    @param tag Which of them.
    @param under Prices, those of the tick before, the chunk's time and what the ticks before it allow, the market.
    @param move What its author asks for.
    @param account The account that is rescued.
    @param other The counterparty's account; its order and slot are empty.
    @param insurance The market's insurance account.
    @return The decision and what it leads to.
    """
    return law.decide(tag, under, move, account, other, insurance)
