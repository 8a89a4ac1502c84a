"""What a look at an account needs of it, of the account itself or straight from its payload.

A start looks at every row of the store. Most of an account's payload is of no concern to it.
"""

from typing import Final

import msgspec

from prover.stf import containers, debts, encoding, margin

_BIAS: Final = encoding.COLLATERAL_BIAS
_COST_MASK: Final = (1 << 112) - 1
_FUNDING_MASK: Final = (1 << 80) - 1


class Leg(msgspec.Struct, frozen=True, gc=False):
    """A position that is not empty: market, lots, micro-dollars paid, funding index at the last settlement."""

    market: int
    size: int
    cost: int
    funding: int


class Glance(msgspec.Struct, frozen=True, gc=False):
    """Micro-dollars with debts paid, those of them that have not settled as the account has them, and positions."""

    money: int
    unsettled: int
    legs: list[Leg]


def of_account(risk: containers.Risk, account: containers.Account) -> Glance:
    """A glance at an account."""
    money = margin.collateral(account)
    if account.factor != debts.latest(risk.debts):
        money = sum(debts.aged(risk.debts, account, account.epoch))
    legs = []
    for market, position in enumerate(account.positions):
        if position is not containers.EMPTY:
            held = encoding.unpack(position)
            legs.append(Leg(market, held.size, held.cost, held.funding))
    return Glance(money, account.older + account.fresh, legs)


def matters(payload: bytes) -> bool:
    """Whether a look at an account can find anything: it holds a position, or owes."""
    return len(payload) > encoding.ACCOUNT_PAYLOAD_BYTES or int.from_bytes(payload[27:43], "big") < _BIAS


def of_payload(risk: containers.Risk, payload: bytes) -> Glance:
    """The same, from what a store holds; ValueError where the length is wrong."""
    held = int.from_bytes(payload[150:152], "big")
    is_aged = int.from_bytes(payload[138:150], "big") != debts.latest(risk.debts)
    if is_aged or len(payload) != encoding.ACCOUNT_PAYLOAD_BYTES + 32 * held.bit_count():
        return of_account(risk, encoding.account_from_payload(payload))
    unsettled = int.from_bytes(payload[43:59], "big") + int.from_bytes(payload[59:75], "big") - 2 * _BIAS
    money = int.from_bytes(payload[27:43], "big") - _BIAS + unsettled
    legs = []
    for at in range(encoding.ACCOUNT_PAYLOAD_BYTES, len(payload), 32):
        low = held & -held
        held ^= low
        word = int.from_bytes(payload[at : at + 32], "big")
        if word:
            size = (word >> 192) - encoding.SIZE_BIAS
            cost = (word >> 80 & _COST_MASK) - encoding.COST_BIAS
            legs.append(Leg(low.bit_length() - 1, size, cost, (word & _FUNDING_MASK) - encoding.FUNDING_BIAS))
    return Glance(money, unsettled, legs)
