"""Conservation, exactly: what the accounts hold is what came in less what went out, market by market and in all.

    (sum(collateral) - sum(cost) + sum(size * P)) * S - sum(size * (F - f)) + funding_dust
        == (deposited_total - withdrawn_total) * S

S is FUNDING_SCALE, F the market's funding index, f the position's: a position owes size * (F - f), margin.settle. P is
the price of a settled market, whose positions become money one by one, and 0 of any other, whose sizes sum to zero.
"""

from typing import Final

import msgspec

from prover.state.state import State
from prover.stf import constants, containers, encoding, margin

_LEAF: Final = b"l"


class Audit(msgspec.Struct, frozen=True):
    """The sums over a whole state; `error_scaled` is the equation's left side less its right, in micro-dollars * S."""

    accounts: int
    positions: int
    collateral_micros: int
    deposited_micros: int
    withdrawn_micros: int
    error_scaled: int
    size_sums: tuple[int, ...]
    open_interest_errors: tuple[int, ...]
    next_account_error: int

    @property
    def conservation_error_micros(self) -> int:
        """The equation's error in micro-dollars, rounded away from zero: 0 means exactly none."""
        magnitude = -(-abs(self.error_scaled) // constants.FUNDING_SCALE)
        return magnitude if self.error_scaled >= 0 else -magnitude

    @property
    def sound(self) -> bool:
        """Whether every equation holds."""
        return not (
            self.error_scaled or any(self.size_sums) or any(self.open_interest_errors) or self.next_account_error
        )


def conservation(state: State) -> Audit:
    """Walks every account in the store once; all sums are exact integers."""
    risk: containers.Risk = state.globals.risk
    settled = [market.status == constants.MARKET_SETTLED for market in state.globals.markets]
    collateral = cost = owed = accounts = positions = 0
    sizes = [0] * constants.MARKETS
    longs = [0] * constants.MARKETS
    for key, payload in state.store.iterate(_LEAF):
        leaf = int.from_bytes(key[len(_LEAF) :], "big")
        if leaf & (1 << constants.SLOT_BITS) - 1:
            continue
        account = encoding.account_from_payload(payload)
        if leaf >> constants.SLOT_BITS >= constants.RESERVED_ACCOUNTS:
            accounts += account.owner != containers.NOBODY
        collateral += margin.collateral(account)
        for market, position in enumerate(account.positions):
            if position is containers.EMPTY:
                continue
            positions += 1
            cost += position.cost
            owed += position.size * (risk.funding_index[market] - position.funding)
            if settled[market]:
                cost -= position.size * risk.price[market]
                continue
            sizes[market] += position.size
            longs[market] += max(position.size, 0)
    globals = state.globals
    # What debtors were credited, and nobody has paid yet.
    unpaid = globals.pool.receivable + globals.pool.owed
    held = (collateral - cost - unpaid) * constants.FUNDING_SCALE - owed + globals.funding_dust
    booked = (globals.deposited_total - state.commitment.withdrawn_total) * constants.FUNDING_SCALE
    return Audit(
        accounts=accounts,
        positions=positions,
        collateral_micros=collateral,
        deposited_micros=globals.deposited_total,
        withdrawn_micros=state.commitment.withdrawn_total,
        error_scaled=held - booked,
        size_sums=tuple(sizes),
        open_interest_errors=tuple(
            market.open_interest - long for market, long in zip(globals.markets, longs, strict=True)
        ),
        next_account_error=globals.next_account - constants.RESERVED_ACCOUNTS - accounts,
    )
