"""What an account is worth and may do: the functions that decide, asked without deciding."""

import msgspec

from prover.stf import constants, containers, encoding, margin


class PositionView(msgspec.Struct, frozen=True):
    """One position; money in micro-dollars."""

    market: int
    size_lots: int
    cost_micros: int
    value_micros: int
    pending_funding_micros: int
    unrealised_micros: int


class AccountView(msgspec.Struct, frozen=True):
    """An account after all funding that is due; money in micro-dollars."""

    owner: bytes
    floor: int
    collateral_micros: int
    equity_micros: int
    initial_micros: int
    maintenance_micros: int
    free_collateral_micros: int
    withdrawable_micros: int
    positions: list[PositionView]


def view(risk: containers.Risk, account: containers.Account) -> AccountView:
    """Equity, requirements and positions of an account at the oracle price (blueprint, margin law)."""
    settled, _ = margin.settle(risk, account)
    every = margin.sums(risk, settled, constants.MARKETS)
    positions: list[PositionView] = []
    for market in range(constants.MARKETS):
        held = encoding.unpack(account.positions[market])
        if held.size == 0:
            continue
        value = held.size * risk.price[market]
        owed = held.size * (risk.funding_index[market] - held.funding)
        positions.append(
            PositionView(
                market=market,
                size_lots=held.size,
                cost_micros=held.cost,
                value_micros=value,
                pending_funding_micros=margin.ceil_div(owed, constants.FUNDING_SCALE),
                unrealised_micros=value - held.cost,
            )
        )
    equity = settled.collateral + every.value
    return AccountView(
        owner=account.owner,
        floor=account.floor,
        collateral_micros=settled.collateral,
        equity_micros=equity,
        initial_micros=every.initial,
        maintenance_micros=every.maintenance,
        free_collateral_micros=max(0, equity - every.initial),
        withdrawable_micros=max(0, min(settled.collateral, margin.spendable(risk, settled))),
        positions=positions,
    )
