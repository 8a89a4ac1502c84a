"""Funding due, equity, requirements, and the one rule of every change: healthy, or only reduced.

Formulas: PROTOCOL.md, margin law. Sums leave one market out, so that before and after differ in one leg.
"""

from prover.stf import constants, containers, encoding
from prover.stf.words import int256


def floor_div(numerator: int256, denominator: int256) -> int256:
    if numerator >= 0:
        return numerator // denominator
    return -((denominator - 1 - numerator) // denominator)


def ceil_div(numerator: int256, denominator: int256) -> int256:
    return -floor_div(-numerator, denominator)


def requirement(price: int256, size: int256, ppm: int256) -> int256:
    return (abs(size) * price * ppm + (constants.PPM - 1)) // constants.PPM


def settle(risk: containers.Risk, account: containers.Account) -> tuple[containers.Account, int256]:
    due: bool = False
    owed: int256 = 0
    positions: list[containers.Position] = account.positions.copy()
    for market in range(constants.MARKETS):
        if positions[market] == containers.EMPTY:
            continue
        position: containers.Position = encoding.unpack(positions[market])
        funding_index: int256 = risk.funding_index[market]
        if position.funding != funding_index:
            due = True
            owed = owed + position.size * (funding_index - position.funding)
            positions[market] = encoding.pack(position.size, position.cost, funding_index)
    if not due:
        return account, 0
    # One rounding for all positions, against the account; the remainder is kept as dust.
    payment: int256 = ceil_div(owed, constants.FUNDING_SCALE)
    settled: containers.Account = containers.Account(
        owner=account.owner,
        floor=account.floor,
        collateral=account.collateral - payment,
        positions=positions,
    )
    return settled, payment * constants.FUNDING_SCALE - owed


def sums(risk: containers.Risk, account: containers.Account, left_out: int256) -> containers.Sums:
    value: int256 = 0
    notional: int256 = 0
    initial: int256 = 0
    maintenance: int256 = 0
    for market in range(constants.MARKETS):
        if account.positions[market] == containers.EMPTY or market == left_out:
            continue
        position: containers.Position = encoding.unpack(account.positions[market])
        price: int256 = risk.price[market]
        value = value + position.size * price - position.cost
        notional = notional + abs(position.size) * price
        initial = initial + requirement(price, position.size, risk.initial_ppm[market])
        maintenance = maintenance + requirement(price, position.size, risk.maintenance_ppm[market])
    return containers.Sums(value=value, notional=notional, initial=initial, maintenance=maintenance)


def spendable(risk: containers.Risk, account: containers.Account) -> int256:
    every: containers.Sums = sums(risk, account, constants.MARKETS)
    tenth: int256 = ceil_div(every.notional * constants.WITHDRAWAL_FLOOR_PPM, constants.PPM)
    return account.collateral + every.value - max(every.initial, tenth)


def only_reduced(
    old_size: int256,
    new_size: int256,
    before: int256,
    after: int256,
    maintenance_before: int256,
    maintenance_after: int256,
) -> bool:
    if abs(new_size) > abs(old_size) or new_size * old_size < 0:
        return False
    if maintenance_after > maintenance_before:
        return False
    return after * maintenance_before >= before * maintenance_after
