"""`catenary wallet watch`: an account as it moves, a whole terminal of it, or a line an update into a file."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Final

import click

from sequencer.client.errors import NodeUnreachable
from sequencer.wallet.commands.options import account_option, market_grid
from sequencer.wallet.commands.running import Report, Settings, command, run_action
from sequencer.wallet.units import cents_text, money_text, percent_text, time_text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sequencer.schema.accounts import AccountView, Outlook
    from sequencer.wallet.commands.grid import Grid
    from sequencer.wallet.commands.seen.watcher import Seen
    from sequencer.wallet.wallet import Wallet

# Where much is told, the screen is drawn no more often.
_SHORTEST_SECONDS: Final = 0.25
_PPM: Final = 1_000_000
# Where margin calls are told, in percent of the ratio at which liquidation begins.
_CALLS: Final = (50, 70, 80, 90)


@click.command()
@account_option
@click.option("--updates", type=click.IntRange(0), default=0, help="Stop after so many; 0 for never.")
@command
def watch(settings: Settings, account: int | None, updates: int) -> None:
    """Follow an account live until interrupted: pool, margin calls, positions, orders, prices.

    On a terminal it takes the whole of it; into a file or a pipe it writes a line an update.
    """
    from rich.console import Console

    async def action(wallet: Wallet) -> Report:
        grid = await market_grid(wallet)
        index = await wallet.own_account(account)
        console = Console(markup=False, emoji=False)
        if settings.as_json or not console.is_terminal:
            count = await _lines(wallet, index, updates, grid, settings)
        else:
            count = await _screens(wallet, index, updates, grid, settings)
        return Report({"account": index, "updates": count})

    try:
        run_action(settings, action, signing=False)
    except KeyboardInterrupt:
        sys.exit(0)


async def _lines(wallet: Wallet, account: int, updates: int, grid: Grid, settings: Settings) -> int:
    """A line an update, written at once; how many there were."""
    import trio

    from sequencer.wallet.commands.fields import account_fields
    from sequencer.wallet.commands.seen.watcher import watched

    count = 0
    async with watched(wallet, account) as watcher:
        while True:
            try:
                seen = await watcher.look()
            except NodeUnreachable as error:
                click.echo(f"error: {error}", err=True)
            else:
                if settings.as_json:
                    times = {"now_ms": seen.status.now_ms, "grace_until_ms": seen.status.grace_until_ms}
                    click.echo(json.dumps({**times, **account_fields(seen.view, seen.proven, grid)}))
                else:
                    click.echo(line(seen, grid))
            sys.stdout.flush()
            count += 1
            if count == updates:
                return count
            await trio.sleep(settings.poll_interval)


async def _screens(wallet: Wallet, account: int, updates: int, grid: Grid, settings: Settings) -> int:
    """The whole terminal, and the last look left on it at the end; how many there were."""
    import trio
    from rich.console import Console, Group
    from rich.live import Live

    from sequencer.wallet.commands.seen.watcher import watched

    count = 0
    console = Console(markup=False, emoji=False)
    last: RenderableType = ""
    try:
        async with watched(wallet, account) as watcher:
            with Live(console=console, auto_refresh=False, screen=True) as live:
                while True:
                    try:
                        last = screen(await watcher.look(), grid, console.width)
                        live.update(last, refresh=True)
                    except NodeUnreachable as error:
                        # What was seen last stays, marked as old.
                        live.update(Group(f"OLD, the node does not answer: {error}", last), refresh=True)
                    count += 1
                    if count == updates:
                        return count
                    await trio.sleep(min(_SHORTEST_SECONDS, settings.poll_interval))
                    with trio.move_on_after(settings.poll_interval):
                        await watcher.changed()
    finally:
        console.print(last)


def line(seen: Seen, grid: Grid) -> str:
    """An account in one line, for files."""
    view = seen.view
    held = ", ".join(f"{grid.size(p.market, p.size_lots)} {grid.name(p.market)}" for p in view.positions)
    called = f"; MARGIN CALL at {view.margin_call_percent}%" if view.margin_call_percent else ""
    return (
        f"{time_text(seen.status.now_ms)}  account {view.account}  equity {money_text(view.equity_micros)}  "
        f"margin ratio {percent_text(view.margin_ratio_ppm)}{called}  free {money_text(view.free_collateral_micros)}  "
        f"{held or 'no position'}  {len(view.open_orders)} open orders"
    )


def screen(seen: Seen, grid: Grid, width: int) -> RenderableType:
    """What matters first stands first: a terminal that is too low loses the end."""
    from rich.console import Group
    from rich.text import Text

    from sequencer.wallet.commands.seen.prices import prices_table
    from sequencer.wallet.commands.tables import held_tables, other_tables, pool_table, posted_text, status_text

    posted = "posted: not proven yet" if seen.proven is None else posted_text(seen.proven, grid)
    return Group(
        *(_call(seen.view) if seen.view.margin_call_percent else ()),
        *health(seen.view, max(20, min(width, 100) - 24)),
        *held_tables(seen.view, grid),
        prices_table(seen.markets, grid),
        pool_table(seen.view),
        Text(status_text(seen.status)),
        Text(posted),
        *other_tables(seen.view, grid),
    )


def _call(view: AccountView) -> list[RenderableType]:
    from rich.text import Text

    text = (
        f" MARGIN CALL at {view.margin_call_percent}%: liquidation begins at 100%. "
        "Deposit, transfer here, reduce a position, or look at `catenary wallet contribution`. "
    )
    return [Text(text, style="bold white on red")]


def health(view: Outlook, width: int) -> list[RenderableType]:
    """How far from trouble, in two bars of so many places: the ratio with its calls, and whose the pool is."""
    from rich.text import Text

    ratio = _PPM if view.margin_ratio_ppm is None else min(_PPM, view.margin_ratio_ppm)
    done = -(-ratio * width // _PPM)
    marks = {percent * width // 100 for percent in _CALLS}
    bar = "".join("█" if place < done else "|" if place in marks else "·" for place in range(width))
    style = "green" if ratio < _CALLS[0] * _PPM // 100 else "yellow" if ratio < _CALLS[2] * _PPM // 100 else "bold red"
    told = "no equity" if view.margin_ratio_ppm is None else percent_text(view.margin_ratio_ppm)
    shown: list[RenderableType] = [Text.assemble(f"{'trouble':<8}", (bar, style), f" {told}")]
    if view.equity_micros > 0:
        shares = (view.maintenance_micros, max(view.initial_micros, view.maintenance_micros) + view.reserved_micros)
        stay, needed = (min(width, -(-share * width // view.equity_micros)) for share in shares)
        shown.append(
            Text.assemble(
                f"{'pool':<8}",
                ("█" * stay, "red"), ("▒" * (needed - stay), "yellow"), ("·" * (width - needed), "green"),
                f" {cents_text(view.equity_micros)}",
            )
        )  # fmt: skip
        stays, free = cents_text(view.maintenance_micros), cents_text(view.free_collateral_micros)
        shown.append(Text(f"{'':<8}█ stays {stays}, ▒ asked to grow and by open orders, · free {free}"))
    return shown
