"""What of that which is signed is taken now: all of it, what lowers risk, cancels, or nothing."""

import enum
from typing import Final

from prover.signing.receipts import is_soft
from prover.signing.signed import SignedOperation
from prover.stf import constants, containers

# What lowers risk or brings money in is taken however long the backlog is.
_ALWAYS_TAKEN: Final = (constants.CANCEL, constants.CANCEL_ALL, constants.TICK)


class Taking(enum.IntEnum):
    """How much of what is signed is taken. Prices, the L1 queue's entries and readers are not meant by it."""

    NOTHING = 0
    CANCELS = 1
    REDUCING = 2
    ALL = 3


class Untaken(enum.Enum):
    """Why an operation was not even sequenced."""

    BACKLOG = enum.auto()
    NOT_POSTABLE = enum.auto()


def is_taken(taking: Taking, operation: bytes, signed: SignedOperation | None) -> bool:
    """Whether an operation is among those that are taken; `signed` is None for what has no one signer."""
    if signed is None or taking is Taking.ALL:
        return True
    if taking is Taking.CANCELS:
        return operation[0] in _ALWAYS_TAKEN
    return taking is Taking.REDUCING and lowers_risk(operation, signed)


def lowers_risk(operation: bytes, signed: SignedOperation | None) -> bool:
    """Whether an operation is taken however long the backlog is."""
    if signed is None or operation[0] in _ALWAYS_TAKEN:
        return True
    message = signed.message
    if isinstance(message, containers.Order):
        return message.reduce_only == 1
    # A grant can wait, a dismissal cannot.
    return operation[0] == constants.SET_AGENT and message.recipient == containers.NOBODY


def needs_paid_bytes(operation: bytes, signed: SignedOperation | None) -> bool:
    """Whether a posting fee alone pays what an operation costs on L1; who exits can do so through L1's queue."""
    if signed is None or is_soft(operation):
        return False
    # What closes a position is asked for its worth when its turn comes (`paying.py`).
    return not (isinstance(signed.message, containers.Order) and signed.message.reduce_only == 1)
