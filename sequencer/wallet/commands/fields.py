"""How a wallet shows an account to programs: exact integers as decimal strings, decimals beside them."""

from typing import Any

import msgspec

from l1_bridge.addresses import checksum_address
from prover.stf import constants, containers, encoding, margin
from sequencer.schema.accounts import AccountView, OpenOrder, Outlook, PositionView
from sequencer.wallet.commands.grid import Grid
from sequencer.wallet.trust import ProvenAccount
from sequencer.wallet.units import money_text, time_text


def account_fields(view: AccountView, proven: ProvenAccount | None, grid: Grid) -> dict[str, Any]:
    """The account for programs: exact integers as decimal strings, decimals beside them."""
    return {
        **outlook_fields(view, grid),
        "open_orders": [order_fields(order, grid) for order in view.open_orders],
        "posted": None if proven is None else posted_fields(proven, grid),
    }


def outlook_fields(view: Outlook, grid: Grid) -> dict[str, Any]:
    """What is also known of an account that is only imagined: everything but its orders and what is posted of it."""
    return {
        "account": view.account,
        "finality": view.finality,
        "collateral_micros": str(view.collateral_micros),
        "settled_micros": str(view.settled_micros),
        "maturing": maturing_fields(view),
        "own_initial_ppm": view.initial_ppm,
        "agents": [None if agent is None else msgspec.to_builtins(agent) for agent in view.agents],
        "equity_micros": str(view.equity_micros),
        "initial_micros": str(view.initial_micros),
        "maintenance_micros": str(view.maintenance_micros),
        "reserved_micros": str(view.reserved_micros),
        "free_collateral_micros": str(view.free_collateral_micros),
        "withdrawable_micros": str(view.withdrawable_micros),
        "margin_usage_ppm": view.margin_usage_ppm,
        "margin_ratio_ppm": view.margin_ratio_ppm,
        "leverage_ppm": view.leverage_ppm,
        "fall_bp": view.fall_bp,
        "rise_bp": view.rise_bp,
        "margin_call_percent": view.margin_call_percent,
        "buying_power": [
            {
                "market": grid.name(power.market),
                "buy": grid.size(power.market, power.buy_lots),
                "sell": grid.size(power.market, power.sell_lots),
            }
            for power in view.buying_power
        ],
        "positions": [
            {
                "market": grid.name(position.market),
                "size_lots": str(position.size_lots),
                "size": grid.size(position.market, position.size_lots),
                "value_micros": str(position.value_micros),
                "unrealised_micros": str(position.unrealised_micros),
                "pending_funding_micros": str(position.pending_funding_micros),
                "initial_micros": str(position.initial_micros),
                "maintenance_micros": str(position.maintenance_micros),
                "liquidation_price": liquidation_price(position, grid),
                "deleveraging_rank": position.deleveraging_rank,
            }
            for position in view.positions
        ],
    }


def maturing_fields(view: Outlook) -> list[dict[str, Any]]:
    """Profit that may not leave yet, the earliest first."""
    return [{"amount_micros": str(step.amount_micros), "settles_at_ms": step.settles_at_ms} for step in view.maturing]


def maturing_text(view: Outlook) -> str:
    """Profit that may not leave yet, and from when on it may."""
    return "; ".join(f"{money_text(step.amount_micros)} at {time_text(step.settles_at_ms)}" for step in view.maturing)


def posted_fields(proven: ProvenAccount, grid: Grid) -> dict[str, Any]:
    """What a posted batch says, by proof."""
    return {
        "batch": proven.batch_number,
        "timestamp_ms": proven.timestamp_ms,
        "collateral_micros": str(margin.collateral(proven.account)),
        # As its last touch left it: what has matured since then the leaf alone does not tell.
        "settled_micros": str(proven.account.settled),
        "own_initial_ppm": proven.account.initial_ppm,
        "agents": [checksum_address(agent) for agent in posted_agents(proven)],
        "positions": [
            {"market": grid.name(market), "size_lots": str(size), "size": grid.size(market, size)}
            for market, size in held_positions(proven.account)
        ],
    }


def posted_agents(proven: ProvenAccount) -> list[bytes]:
    """Who else might trade for the account by the posted batch, those whose time is over included."""
    return [encoding.agent_address(packed) for packed in proven.account.agents if packed]


def held_positions(account: containers.Account) -> list[tuple[int, int]]:
    """(market, signed lots) of every position."""
    held = [(market, encoding.unpack(position).size) for market, position in enumerate(account.positions)]
    return [(market, size) for market, size in held if size != 0]


def order_fields(order: OpenOrder, grid: Grid) -> dict[str, Any]:
    """An open order for programs."""
    return {
        "slot": order.slot,
        "market": grid.name(order.market),
        "side": side_text(order.side),
        "size": grid.size(order.market, order.size_lots),
        "filled": grid.size(order.market, order.filled_lots),
        "price": grid.price(order.market, order.limit_price_ticks),
        "status": order.status,
        "reduce_only": order.reduce_only,
        "post_only": order.post_only,
        "trigger_price": None
        if order.trigger == constants.NO_TRIGGER
        else grid.price(order.market, order.trigger_price_ticks),
        "group": order.group,
        "after": order.after,
    }


def order_row(order: OpenOrder, grid: Grid) -> list[str]:
    """An open order for people, in the order of its table's columns."""
    told = order_fields(order, grid)
    return [
        *(str(told[name]) for name in ("slot", "market", "side", "size", "filled", "price")),
        terms_text(order, grid),
    ]


def terms_text(order: OpenOrder, grid: Grid) -> str:
    """What else an order says: what it waits for, and what it never does."""
    said = ["reduce only"] if order.reduce_only else []
    if order.post_only:
        said.append("post only")
    if order.trigger != constants.NO_TRIGGER:
        way = "at or above" if order.trigger == constants.TRIGGER_AT_OR_ABOVE else "at or below"
        waits = "after its entry, " if order.status == "dormant" else ""
        said.append(f"{waits}{way} {grid.price(order.market, order.trigger_price_ticks)}")
    return ", ".join(said)


def side_text(side: int | str) -> str:
    """buy or sell."""
    return {0: "buy", 1: "sell"}.get(side, str(side)) if isinstance(side, int) else side


def liquidation_price(position: PositionView, grid: Grid) -> str | None:
    """The price as a decimal while other prices stand still; None where no price liquidates."""
    ticks = position.liquidation_price_ticks
    return None if ticks is None else grid.price(position.market, ticks)
