"""`catenary wallet history KIND`: the newest of what an account did, or all as a file for taxes; the node's word."""

from __future__ import annotations

import csv
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from sequencer.schema.writing import to_wire
from sequencer.wallet.commands.options import account_option, market_grid
from sequencer.wallet.commands.running import Report, Settings, command, run_action
from sequencer.wallet.errors import BadInput
from sequencer.wallet.units import MONEY_DECIMALS, money_text, units_text

if TYPE_CHECKING:
    from sequencer.schema.answers import DepositsView
    from sequencer.schema.history import FundingPaymentView, OwnFillView, Paged, TransferView
    from sequencer.wallet.commands.grid import Grid
    from sequencer.wallet.wallet import Wallet

_PAGE: Final = 500
_SHOWN: Final = 20
# More than a node keeps of a list by itself; one that never ends is no list.
_MOST_PAGES: Final = 2_000
# A program for tables takes what begins so for a formula.
_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r")
_NANOS: Final = MONEY_DECIMALS + 9

FILLS: Final[tuple[str, ...]] = (
    "time_utc", "market", "side", "role", "size", "price", "value_usd", "fee_usd", "realised_profit_usd",
    "position_after", "balance_usd", "order_id", "client_id", "counterparty", "chunk", "operation", "sequence",
)  # fmt: skip
FUNDING: Final[tuple[str, ...]] = ("time_utc", "paid_usd", "balance_usd", "positions", "sequence")
TRANSFERS: Final[tuple[str, ...]] = (
    "time_utc", "kind", "amount_usd", "fee_usd", "balance_usd", "other_account", "withdrawal", "sequence"
)  # fmt: skip

# What people are shown, and as what.
_COLUMNS: Final[dict[str, dict[str, str]]] = {
    "fills": {
        "time_utc": "time, UTC", "market": "market", "side": "side", "role": "role", "size": "size", "price": "price",
        "fee_usd": "fee $", "realised_profit_usd": "profit $",
    },
    "funding": {"time_utc": "time, UTC", "paid_usd": "paid $", "balance_usd": "balance $"},
    "transfers": {
        "time_utc": "time, UTC", "kind": "kind", "amount_usd": "amount $", "fee_usd": "fee $",
        "balance_usd": "balance $", "other_account": "other",
    },
}  # fmt: skip

_Row = list[str]
_Ask = Callable[..., Awaitable[Any]]


@click.command()
@click.argument("kind", type=click.Choice(["fills", "funding", "transfers"]))
@click.option("--csv", "path", type=click.Path(path_type=Path), help="All of it into a file that is not there yet.")
@click.option("--from", "since", help="Day or time in UTC, such as 2026-01-01; from there on.")
@click.option("--to", "until", help="Day or time in UTC; up to there and without it.")
@account_option
@command
def history(
    settings: Settings, kind: str, path: Path | None, since: str | None, until: str | None, account: int | None
) -> None:
    """Show the newest fills, funding or transfers of an account, or write all of them into a CSV file; the node's word.

    In the file the oldest comes first and all is exact. Times are ISO 8601 in UTC, money is in dollars.
    realised_profit_usd is before fees, and booked as the law does, of the lots that were closed; balance_usd is the
    account's money behind each row.
    """
    span = {name: parse_time(text) for name, text in (("from_ms", since), ("to_ms", until)) if text is not None}

    async def action(wallet: Wallet) -> Report:
        grid = await market_grid(wallet)
        index = await wallet.own_account(account)
        names, rows = await told(wallet, kind, index, grid, span, is_whole=path is not None)
        fields: dict[str, Any] = {"account": index, "kind": kind}
        lines: list[Any]
        if path is None:
            fields["rows"] = [dict(zip(names, row, strict=True)) for row in rows]
            lines = shown(kind, names, rows)
        else:
            write(path, names, rows[::-1])
            fields |= {"rows": len(rows), "file": str(path)}
            lines = [f"{len(rows)} rows of {kind} of account {index} are in {path} (the node's word)"]
        if kind == "transfers":
            under_way = await wallet.node.deposits(wallet.address)
            fields["deposits_under_way"] = [to_wire(msgspec.structs.asdict(deposit)) for deposit in under_way.deposits]
            lines += under_way_lines(under_way)
        return Report(fields, lines)

    run_action(settings, action, signing=False)


def under_way_lines(found: DepositsView) -> list[str]:
    """What L1 has taken and no account has yet, a line each."""
    lines = []
    for deposit in found.deposits:
        whose = "a new account" if deposit.account is None else f"account {deposit.account}"
        if deposit.is_final:
            how_far = "final on L1, taken with what comes next"
        elif found.confirmations_needed is None:
            how_far = f"{deposit.confirmations} blocks deep, taken once L1 calls it final"
        else:
            how_far = f"{deposit.confirmations} of {found.confirmations_needed} blocks"
        lines.append(f"under way: {money_text(deposit.amount_micros)} to {whose}, {how_far}")
    return lines


async def told(
    wallet: Wallet, kind: str, account: int, grid: Grid, span: dict[str, int], *, is_whole: bool
) -> tuple[tuple[str, ...], list[_Row]]:
    """Names of columns and rows, the newest first: the whole list, or the newest of it."""
    node = wallet.node
    readers: dict[str, tuple[_Ask, tuple[str, ...], Callable[[Any], list[_Row]]]] = {
        "fills": (node.fills, FILLS, lambda page: [fill_row(row, grid) for row in page.fills]),
        "funding": (node.funding_payments, FUNDING, lambda page: [funding_row(row, grid) for row in page.payments]),
        "transfers": (node.transfers, TRANSFERS, lambda page: [transfer_row(row) for row in page.transfers]),
    }
    ask, names, of_page = readers[kind]
    asked = await pages(ask, account, span) if is_whole else [await ask(account, limit=_SHOWN, **span)]
    return names, [row for page in asked for row in of_page(page)]


def shown(kind: str, names: tuple[str, ...], rows: list[_Row]) -> list[Any]:
    """The newest for people; the file has every column."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    if not rows:
        return [f"no {kind} yet (the node's word)"]
    columns = _COLUMNS[kind]
    table = Table(
        *columns.values(), title=f"the newest {kind} (the node's word); all of them: --csv FILE", title_justify="left",
        box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True,
    )  # fmt: skip
    for column in table.columns:
        # In a narrow terminal a number goes on below and never loses its end.
        column.overflow = "fold"
    for row in rows:
        values = dict(zip(names, row, strict=True))
        # To the minute: the file has the rest.
        values["time_utc"] = values["time_utc"][:16].replace("T", " ")
        table.add_row(*(values[name] for name in columns))
    return [table]


def parse_time(text: str) -> int:
    """Milliseconds of a day or time, in UTC where it does not say otherwise; BadInput."""
    try:
        time = datetime.fromisoformat(text.strip())
        since = (time if time.tzinfo else time.replace(tzinfo=UTC)) - datetime.fromtimestamp(0, UTC)
    except (ValueError, OverflowError):
        raise BadInput(f"{text!r} is no day or time such as 2026-01-31 or 2026-01-31T12:00:00") from None
    if since.days < 0:
        raise BadInput(f"{text} is before 1970")
    return since // timedelta(milliseconds=1)


async def pages(ask: _Ask, account: int, span: dict[str, int]) -> list[Any]:
    """All pages of a list, the newest first; BadInput where the node's list has no end."""
    found: list[Any] = []
    before = ""
    while len(found) < _MOST_PAGES:
        page: Paged = await ask(account, before=before, limit=_PAGE, **span)
        found.append(page)
        if not page.older or page.older == before:
            return found
        before = page.older
    raise BadInput("the node's list has no end: ask for a shorter time, or another node")


def write(path: Path, names: tuple[str, ...], rows: list[_Row]) -> None:
    """A new file; BadInput where there is one, or where none can be."""
    try:
        with path.open("x", newline="", encoding="utf-8") as file:
            out = csv.writer(file)
            out.writerow(names)
            out.writerows(rows)
    except FileExistsError:
        raise BadInput(f"{path} is there already: nothing is written over") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}") from None


def fill_row(fill: OwnFillView, grid: Grid) -> _Row:
    """A fill; its value is exact, since a lot at a tick is a micro-dollar."""
    return [
        iso(fill.time_ms),
        plain(fill.market),
        fill.side,
        plain(fill.role),
        grid.size(fill.market, fill.size_lots),
        grid.price(fill.market, fill.price_ticks),
        dollars(fill.size_lots * fill.price_ticks),
        dollars(fill.fee_micros),
        dollars(fill.realised_micros),
        grid.size(fill.market, fill.position_lots),
        dollars(fill.collateral_micros),
        fill.order_id,
        plain(fill.client_id),
        str(fill.counterparty),
        str(fill.chunk),
        str(fill.operation_index),
        str(fill.sequence),
    ]


def funding_row(payment: FundingPaymentView, grid: Grid) -> _Row:
    """Funding paid, negative where it was received, with each position's exact part."""
    parts = [
        f"{leg.market} {grid.size(leg.market, leg.size_lots)}: {units_text(leg.owed_nanos, _NANOS)}"
        for leg in payment.positions
    ]
    return [
        iso(payment.time_ms),
        dollars(payment.paid_micros),
        dollars(payment.collateral_micros),
        plain("; ".join(parts)),
        str(payment.sequence),
    ]


def transfer_row(moved: TransferView) -> _Row:
    """Money that came, or left where it is negative."""
    return [
        iso(moved.time_ms),
        plain(moved.kind),
        dollars(moved.amount_micros),
        dollars(moved.fee_micros),
        dollars(moved.collateral_micros),
        "" if moved.other is None else str(moved.other),
        "" if moved.withdrawal is None else str(moved.withdrawal),
        str(moved.sequence),
    ]


def iso(milliseconds: int) -> str:
    """ISO 8601 in UTC, to the millisecond; BadInput for what is no time."""
    try:
        seconds = datetime.fromtimestamp(milliseconds // 1_000, UTC)
    except (OverflowError, ValueError, OSError):
        raise BadInput("the node tells a time that is none") from None
    return f"{seconds:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1_000:03}Z"


def dollars(micros: int) -> str:
    """A plain exact decimal."""
    return units_text(micros, MONEY_DECIMALS)


def plain(text: str) -> str:
    """Text that no program for tables takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULAS) else text
