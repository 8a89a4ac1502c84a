# pragma version 0.4.3
"""
@title Custody
@license MIT
@notice Deposits from the L1 queue, withdrawals and transfers between accounts of one owner.
"""

from prover.stf import codes
from prover.stf import constants
from prover.stf import containers
from prover.stf import margin
from prover.stf import signatures


@internal
@pure
def deposit(entry: containers.Deposit, index: int256, account: containers.Account) -> (int256, containers.Account):
    if entry.amount == 0:
        return codes.ZERO_AMOUNT, account
    if entry.account == constants.NEW_ACCOUNT:
        if entry.owner == containers.NOBODY or index >= constants.NEW_ACCOUNT:
            return codes.REFUNDED, account
        opened: containers.Account = containers.Account(
            owner=entry.owner,
            floor=0,
            collateral=entry.amount,
            positions=account.positions,
        )
        return codes.OK, opened
    if account.owner == containers.NOBODY or account.owner != entry.owner:
        return codes.REFUNDED, account
    if account.collateral + entry.amount >= constants.COLLATERAL_BOUND:
        return codes.REFUNDED, account
    return codes.OK, self.credited(account, entry.amount)


@internal
@pure
def credited(account: containers.Account, amount: int256) -> containers.Account:
    return containers.Account(
        owner=account.owner,
        floor=account.floor,
        collateral=account.collateral + amount,
        positions=account.positions,
    )


@internal
@pure
def check_payment(risk: containers.Risk, fresh: bool, settled: containers.Account, amount: int256) -> int256:
    if amount == 0:
        return codes.ZERO_AMOUNT
    if not fresh:
        return codes.STALE
    if amount > settled.collateral:
        return codes.COLLATERAL
    if amount > margin.spendable(risk, settled):
        return codes.MARGIN
    return codes.OK


@internal
@pure
def withdraw(risk: containers.Risk, fresh: bool, withdrawal_count: int256, request: containers.Request, account: containers.Account, slot: containers.Slot, signer: address, now: int256) -> containers.Booked:
    refused: containers.Booked = containers.Booked(code=codes.NOT_CANONICAL, account=account, other=account, slot=slot, dust=0)
    if request.slot == 0:
        return refused
    refused.code = signatures.permitted(request, account, slot, signer, now)
    if refused.code != codes.OK:
        return refused
    if request.recipient == containers.NOBODY:
        refused.code = codes.NO_RECIPIENT
        return refused
    if withdrawal_count >= constants.MAX_WITHDRAWALS:
        refused.code = codes.WITHDRAWALS_FULL
        return refused
    settled: containers.Account = account
    dust: int256 = 0
    settled, dust = margin.settle(risk, account)
    refused.code = self.check_payment(risk, fresh, settled, request.amount)
    if refused.code != codes.OK:
        return refused
    return containers.Booked(
        code=codes.OK,
        account=self.credited(settled, -request.amount),
        other=account,
        slot=containers.Slot(sequence=request.sequence + 1, filled=0),
        dust=dust,
    )


@internal
@pure
def transfer(risk: containers.Risk, fresh: bool, request: containers.Request, account: containers.Account, other: containers.Account, slot: containers.Slot, signer: address, now: int256) -> containers.Booked:
    refused: containers.Booked = containers.Booked(code=codes.NOT_CANONICAL, account=account, other=other, slot=slot, dust=0)
    if request.slot == 0:
        return refused
    if request.account == request.other:
        refused.code = codes.SAME_ACCOUNT
        return refused
    refused.code = signatures.permitted(request, account, slot, signer, now)
    if refused.code != codes.OK:
        return refused
    if other.owner != account.owner:
        refused.code = codes.NOT_OWNER
        return refused
    settled: containers.Account = account
    dust: int256 = 0
    settled, dust = margin.settle(risk, account)
    refused.code = self.check_payment(risk, fresh, settled, request.amount)
    if refused.code != codes.OK:
        return refused
    if other.collateral + request.amount >= constants.COLLATERAL_BOUND:
        refused.code = codes.OUT_OF_BOUNDS
        return refused
    return containers.Booked(
        code=codes.OK,
        account=self.credited(settled, -request.amount),
        other=self.credited(other, request.amount),
        slot=containers.Slot(sequence=request.sequence + 1, filled=0),
        dust=dust,
    )
