# pragma version 0.4.3
"""
@title Custody
@license MIT
@notice The custody family of the law as a contract of its own: stateless, called by the referee.
"""

from prover.stf import containers
from prover.stf import custody as law


@external
@pure
def deposit(entry: containers.Deposit, index: int256, account: containers.Account) -> (int256, containers.Account):
    """
    @notice Books a deposit from the L1 queue.
    @param entry The deposit.
    @param index The account that it names, or the next free one.
    @param account That account as it stands.
    @return Code, and the account afterwards.
    """
    return law.deposit(entry, index, account)


@external
@pure
def withdraw(risk: containers.Risk, fresh: bool, withdrawal_count: int256, request: containers.Request, account: containers.Account, slot: containers.Slot, signer: address, now: int256) -> containers.Booked:
    """
    @notice Decides a withdrawal.
    @param risk Prices, funding indices and fractions of all markets.
    @param fresh Whether the oracle price is young enough.
    @param withdrawal_count Withdrawals booked before.
    @param request The signed request.
    @param account The account, `slot` its order slot.
    @param signer Whom the signature recovers to.
    @param now The chunk's clock.
    @return The decision and what it leads to.
    """
    return law.withdraw(risk, fresh, withdrawal_count, request, account, slot, signer, now)


@external
@pure
def transfer(risk: containers.Risk, fresh: bool, request: containers.Request, account: containers.Account, other: containers.Account, slot: containers.Slot, signer: address, now: int256) -> containers.Booked:
    """
    @notice Decides a transfer between two accounts of one owner.
    @param risk Prices, funding indices and fractions of all markets.
    @param fresh Whether the oracle price is young enough.
    @param request The signed request.
    @param account The paying account, `slot` its order slot.
    @param other The receiving account.
    @param signer Whom the signature recovers to.
    @param now The chunk's clock.
    @return The decision and what it leads to.
    """
    return law.transfer(risk, fresh, request, account, other, slot, signer, now)
