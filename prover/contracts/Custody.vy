# pragma version 0.4.3
"""
@title Custody
@license MIT
@notice The custody family of the law as a contract of its own: stateless, called by the referee.
"""

from prover.stf import constants
from prover.stf import containers
from prover.stf import custody as law
from prover.stf import encoding
from prover.stf import signatures


@external
@pure
def deposit(entry: containers.Deposit, index: int256, account: containers.Account, owing: containers.Debts, now: int256) -> (int256, containers.Account):
    """
    @notice Books a deposit from the L1 queue.
    @param entry The deposit.
    @param index The account that it names, or the next free one.
    @param account That account as it stands.
    @param owing The debts that unsettled money has paid, and is to pay.
    @param now The chunk's clock.
    @return Code, and the account afterwards.
    """
    return law.deposit(entry, index, account, owing, now)


@external
@pure
def book(signed: containers.Signed, terms: containers.Terms, index: int256, account: containers.Account, other: containers.Account, slot: containers.Slot) -> containers.Booked:
    """
    @notice Decides what an owner or an agent signed that is no order.
    @param signed The operation as it stands in the chunk.
    @param terms Prices, the chunk's time and what it allows, the posting fee, withdrawals booked before.
    @param index The receiving account's index: the next free one where a new account is asked for.
    @param account The account that signed, `slot` its order slot.
    @param other The receiving account of a transfer.
    @return The decision and what it leads to.
    """
    request: containers.Request = encoding.request(signed.tag, signed.head, signed.tail)
    digest: bytes32 = signatures.digest(signed.domain, signatures.request_hash(signed.tag, request))
    signer: address = signatures.recover(digest, signed.r, signed.parity_and_s)
    if signed.tag == constants.WITHDRAW:
        return law.withdraw(terms, request, account, slot, signer)
    if signed.tag == constants.TRANSFER:
        return law.transfer(terms, request, index, account, other, slot, signer)
    return law.book(signed.tag, terms, request, account, slot, signer)


@external
@pure
def enter(tag: int256, risk: containers.Risk, clock: containers.Clock, withdrawal_count: int256, head: uint256, tail: uint256, account: containers.Account) -> containers.Entered:
    """
    @notice Decides a forced withdrawal, forced close, leave or grant from the L1 queue.
    @param tag Which of them.
    @param risk Prices, funding indices and fractions of all markets.
    @param clock The chunk's time and what it allows.
    @param withdrawal_count Withdrawals booked before.
    @param head The entry's sender, time and length.
    @param tail The first word of its payload.
    @param account The account that it names.
    @return The decision and what it leads to.
    """
    return law.enter(tag, risk, clock, withdrawal_count, encoding.entry(tag, head, tail), account)
