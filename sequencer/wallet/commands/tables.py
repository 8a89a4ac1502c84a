"""How a wallet shows an account to people, in tables and lines; who says it stands beside it."""

from rich.box import SIMPLE, SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from l1_bridge.addresses import checksum_address
from prover.stf import margin
from sequencer.schema.accounts import AccountView, Outlook, PositionView
from sequencer.schema.answers import Status
from sequencer.wallet.commands.fields import (
    held_positions,
    liquidation_price,
    maturing_text,
    order_row,
    posted_agents,
)
from sequencer.wallet.commands.grid import Grid
from sequencer.wallet.record import Exposure, Signed
from sequencer.wallet.trust import ProvenAccount
from sequencer.wallet.units import cents_text, leverage_text, money_text, move_text, percent_text, time_text, times_text

# Of a position.
NO_PRICE = "none: not by this price alone"
SEQUENCED = "sequenced (the node's word)"


def _pool_rows(view: Outlook) -> list[tuple[str, Text]]:
    """The pool's numbers, the first to look at first."""
    call = f"  MARGIN CALL at {view.margin_call_percent}%" if view.margin_call_percent else ""
    rows = [
        ("equity", money_text(view.equity_micros)),
        ("margin ratio", percent_text(view.margin_ratio_ppm) + call),
        ("liquidated if all move", moves_text(view)),
        ("account leverage", times_text(view.leverage_ppm)),
        ("margin usage", percent_text(view.margin_usage_ppm)),
        ("own bound of leverage", leverage_text(view.initial_ppm)),
        ("collateral", money_text(view.collateral_micros)),
        ("settled", money_text(view.settled_micros)),
        ("maturing profit", maturing_text(view) or "none"),
        ("initial requirement", money_text(view.initial_micros)),
        ("maintenance requirement", money_text(view.maintenance_micros)),
        ("reserved by open orders", money_text(view.reserved_micros)),
        ("free collateral", money_text(view.free_collateral_micros)),
        ("withdrawable", withdrawable_text(view)),
    ]
    return [(label, Text(value, style="bold red" if call and label == "margin ratio" else "")) for label, value in rows]


def moves_text(view: Outlook) -> str:
    """Which move of all prices together liquidates."""
    if not view.positions:
        return "-"
    moves = ((view.fall_bp, -1), (view.rise_bp, 1))
    return " or ".join(move_text(bp, way) for bp, way in moves if bp is not None) or "never, whatever they do together"


def withdrawable_text(view: Outlook) -> str:
    """What may leave, and where free collateral is more than that, what holds it."""
    text, held = money_text(view.withdrawable_micros), view.free_collateral_micros - view.withdrawable_micros
    if held <= 0:
        return text
    if max(0, view.settled_micros) == view.withdrawable_micros:
        when = f", the next at {time_text(view.maturing[0].settles_at_ms)}" if view.maturing else ""
        return f"{text} (profit leaves once it has settled{when})"
    return f"{text} (a tenth of what is held stays, and a posting fee)"


def account_table(view: AccountView, grid: Grid) -> RenderableType:
    """Pool, positions, open orders, buying power and agents of an account, by the node's word."""
    return Group(pool_table(view), *held_tables(view, grid), *other_tables(view, grid))


def pool_table(view: AccountView) -> Table:
    """The numbers of the pool."""
    pool = Table(title=f"account {view.account}, {SEQUENCED}", title_justify="left", show_header=False, box=SIMPLE)
    for label, value in _pool_rows(view):
        pool.add_row(label, value)
    return pool


def held_tables(view: AccountView, grid: Grid) -> list[RenderableType]:
    """Positions and open orders, where there are some."""
    parts: list[RenderableType] = []
    if view.positions:
        table = Table(
            "market", "size", "value", "gain", "funding", "needs", "ends at", "rank",
            title="positions", title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True,
            caption="needs: to stay; ends at: liquidated by this price alone; rank: 1 is deleveraged first",
            caption_justify="left",
        )  # fmt: skip
        for column in table.columns:
            # In a narrow terminal a number goes on below and never loses its end.
            column.overflow = "fold"
        for position in view.positions:
            table.add_row(
                grid.name(position.market),
                grid.size(position.market, position.size_lots),
                cents_text(position.value_micros),
                Text(
                    cents_text(position.unrealised_micros), style="green" if position.unrealised_micros >= 0 else "red"
                ),
                cents_text(position.pending_funding_micros),
                cents_text(position.maintenance_micros),
                liquidation_price(position, grid) or "none",
                _rank_text(position),
            )
        parts.append(table)
    if view.open_orders:
        table = Table(
            "slot", "market", "side", "size", "filled", "limit", "terms", title="open orders", title_justify="left",
            box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True,
        )  # fmt: skip
        for order in view.open_orders:
            table.add_row(*order_row(order, grid))
        parts.append(table)
    return parts


def other_tables(view: AccountView, grid: Grid) -> list[RenderableType]:
    """Buying power and agents, where there are some."""
    parts: list[RenderableType] = []
    if view.buying_power:
        table = Table(
            "market", "could buy", "could sell", title="buying power", title_justify="left",
            box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True,
        )  # fmt: skip
        for power in view.buying_power:
            table.add_row(
                grid.name(power.market),
                grid.size(power.market, power.buy_lots),
                grid.size(power.market, power.sell_lots),
            )
        parts.append(table)
    if any(view.agents):
        table = Table("agent", "address", "slots", "until", title="who else may trade", title_justify="left")
        for index, agent in enumerate(view.agents):
            if agent is not None:
                slots = f"{agent.first_slot} to {agent.last_slot}"
                table.add_row(str(index), agent.address, slots, time_text(agent.expires_at_ms))
        parts.append(table)
    return parts


def change_table(states: list[tuple[str, Outlook]], grid: Grid) -> Table:
    """An account in one column for each state, such as before and after; a preview, by the node's word."""
    title = f"account {states[0][1].account}, a preview (rank 1 is deleveraged first)"
    table = Table("", *(name for name, _ in states), title=title, title_justify="left")
    for rows in zip(*(_pool_rows(view) for _, view in states), strict=True):
        table.add_row(rows[0][0], *(value for _, value in rows))
    for market in dict.fromkeys(position.market for _, view in states for position in view.positions):
        held = [next((p for p in view.positions if p.market == market), None) for _, view in states]
        name = grid.name(market)
        table.add_row(f"{name} size", *("0" if p is None else grid.size(market, p.size_lots) for p in held))
        prices = ("-" if p is None else liquidation_price(p, grid) or NO_PRICE for p in held)
        table.add_row(f"{name} liquidation price", *prices)
        table.add_row(f"{name} rank", *("-" if p is None else _rank_text(p) for p in held))
    for market in dict.fromkeys(power.market for _, view in states for power in view.buying_power):
        powers = [next((p for p in view.buying_power if p.market == market), None) for _, view in states]
        name = grid.name(market)
        table.add_row(f"{name} could buy", *("-" if p is None else grid.size(market, p.buy_lots) for p in powers))
        table.add_row(f"{name} could sell", *("-" if p is None else grid.size(market, p.sell_lots) for p in powers))
    return table


def _rank_text(position: PositionView) -> str:
    return "none" if position.deleveraging_rank is None else str(position.deleveraging_rank)


def posted_text(proven: ProvenAccount, grid: Grid) -> str:
    """One line on what L1 holds."""
    held = ", ".join(
        f"{grid.size(market, size)} {grid.name(market)}" for market, size in held_positions(proven.account)
    )
    pool = money_text(margin.collateral(proven.account))
    return (
        f"posted (proven against L1): batch {proven.batch_number} holds {pool} of collateral, {held or 'no position'}, "
        f"agents: {', '.join(map(checksum_address, posted_agents(proven))) or 'none'}"
    )


def status_text(status: Status) -> str:
    """One line on the node."""
    grace = ""
    if status.grace_until_ms > status.now_ms:
        grace = f"; GRACE: no risk grows and no money leaves until {time_text(status.grace_until_ms)}"
    return (
        f"node: chunk {status.sequenced.chunk}, {status.sequenced.operations} operations; "
        f"says posted up to batch {status.posted.batch}, final up to batch {status.final.batch}{grace}"
    )


def signed_table(entries: list[Signed], now_ms: int) -> Table:
    """Signatures that have not expired."""
    table = Table("account", "slot", "what", "can move", "expires in", "the node says", title_justify="left")
    for entry in entries:
        slot = "all" if entry.kind == "cancel_all" else str(entry.slot)
        left = f"{max(0, entry.expires_at_ms - now_ms) // 1000} s"
        table.add_row(str(entry.account), slot, entry.text, money_text(entry.value_micros), left, entry.status)
    return table


def exposure_text(exposure: Exposure) -> str:
    """One line on what could still be used."""
    return (
        f"{exposure.signatures} signatures have not expired: {money_text(exposure.value_micros)} at most; "
        f"{exposure.open_signatures} of them wait "
        f"({money_text(exposure.open_value_micros)}), the others are done by the node's word"
    )
