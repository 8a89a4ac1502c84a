"""Money that came to accounts or left them beside trades, as an operation that the law took says it."""

from collections.abc import Callable
from typing import Final

from prover.stf import codes, constants, containers, encoding, margin
from prover.stf.words import word_at
from sequencer.engine.effects import Moved, PaidOut

DEPOSIT: Final = "deposit"
TRANSFER: Final = "transfer"
WITHDRAWAL: Final = "withdrawal"
FEE: Final = "fee"

_REQUESTS: Final = (
    constants.WITHDRAW,
    constants.TRANSFER,
    constants.CANCEL,
    constants.CANCEL_ALL,
    constants.SET_AGENT,
    constants.SET_LEVERAGE,
)

Rows = Callable[[int], containers.Account]


def moved(operation: bytes, code: int, opened: int, rows: Rows, fee: int, withdrawals: int) -> list[Moved]:
    """What an operation with this code has moved, but for what a forced path pays.

    opened: the index that it has opened an account at, if it did; rows: behind it; fee: the posting fee; withdrawals:
    how many there are behind it.
    """
    tag = operation[0]
    if code != codes.OK:
        return []
    if tag == constants.DEPOSIT:
        entry = encoding.deposit(word_at(operation, 1), word_at(operation, 21))
        account = opened if entry.account == constants.NEW_ACCOUNT else entry.account
        return [_moved(rows, account, DEPOSIT, entry.amount)]
    if tag not in _REQUESTS:
        return []
    request = encoding.request(tag, word_at(operation, 1), word_at(operation, 31))
    if tag == constants.WITHDRAW:
        own = _moved(rows, request.account, WITHDRAWAL, -request.amount, fee)
        own.withdrawal = withdrawals - 1
        return [own]
    if tag == constants.TRANSFER:
        is_opening = request.other == constants.NEW_ACCOUNT
        other = opened if is_opening else request.other
        creation = constants.CREATION_FEE if is_opening else 0
        return [
            _moved(rows, request.account, TRANSFER, -request.amount, fee, other),
            _moved(rows, other, TRANSFER, request.amount, creation, request.account),
        ]
    return [_moved(rows, request.account, FEE, 0, fee)]


def paid_out(index: int, account: containers.Account, payment: PaidOut) -> Moved:
    """What a forced path has paid from an account, whose row stands behind it."""
    return Moved(
        account=index,
        kind=WITHDRAWAL,
        amount=-payment.amount,
        collateral=margin.collateral(account),
        withdrawal=payment.withdrawal,
    )


def _moved(rows: Rows, account: int, kind: str, amount: int, fee: int = 0, other: int | None = None) -> Moved:
    collateral = margin.collateral(rows(account))
    return Moved(account=account, kind=kind, amount=amount, collateral=collateral, fee=fee, other=other)
