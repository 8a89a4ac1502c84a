"""`catenary wallet prices | book`: markets as a trader looks at them; the node's word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sequencer.wallet.commands.options import market_grid
from sequencer.wallet.commands.running import Report, Settings, command, run_action
from sequencer.wallet.units import cents_text, percent_text, times_text

if TYPE_CHECKING:
    from rich.table import Table

    from sequencer.schema.answers import Book, MarketView
    from sequencer.wallet.commands.grid import Grid
    from sequencer.wallet.wallet import Wallet

_PPM = 1_000_000
# A level's size is drawn in so many places.
_BAR = 20


@click.command()
@command
def prices(settings: Settings) -> None:
    """Show each market: oracle price, best bid and ask, funding, leverage and fees; the node's word."""

    async def action(wallet: Wallet) -> Report:
        grid = await market_grid(wallet)
        markets = await wallet.node.markets()
        books = [await wallet.node.book(market.index, 1) for market in markets]
        pairs = list(zip(markets, books, strict=True))
        fields = {"markets": [_market_fields(market, book, grid) for market, book in pairs]}
        return Report(fields, [prices_table(pairs, grid)])

    run_action(settings, action, signing=False)


def _market_fields(market: MarketView, book: Book, grid: Grid) -> dict[str, Any]:
    def best(side: list[tuple[int, int]]) -> str | None:
        return grid.price(market.index, side[0][0]) if side else None

    return {
        "market": market.name,
        "status": market.status,
        "oracle_price": grid.price(market.index, market.price_ticks) if market.price_ticks else None,
        "tick_time_ms": market.tick_time_ms,
        "bid": best(book.bids),
        "ask": best(book.asks),
        "funding_rate_ppb": market.funding_rate_ppb,
        "growing_initial_ppm": market.growing_initial_ppm,
        "maintenance_ppm": market.maintenance_ppm,
        "maker_fee_ppm": market.maker_fee_ppm,
        "taker_fee_ppm": market.taker_fee_ppm,
        "open_interest": grid.size(market.index, market.open_interest_lots),
    }


def prices_table(pairs: list[tuple[MarketView, Book]], grid: Grid) -> Table:
    """Markets with the best level of each side. A leg that grows needs more than one that stands: leverage is of it."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        "market", "oracle", "bid", "ask", "funding/h", "leverage", "taker", "open",
        title="prices (the node's word); funding: longs pay above zero, shorts below; open: interest",
        title_justify="left",
        box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True,
    )  # fmt: skip
    for column in table.columns:
        # In a narrow terminal a number goes on below and never loses its end.
        column.overflow = "fold"
    for market, book in pairs:
        told = _market_fields(market, book, grid)
        table.add_row(
            market.name if market.status == "open" else f"{market.name} ({market.status.replace('_', ' ')})",
            told["oracle_price"] or "none yet",
            told["bid"] or "-",
            told["ask"] or "-",
            rate_text(market.funding_rate_ppb),
            _leverage(market.growing_initial_ppm),
            rate_text(market.taker_fee_ppm * 1_000),
            told["open_interest"],
        )
    return table


def _leverage(initial_ppm: int) -> str:
    """Up to which a leg may grow; -1 where none may: in a market that only reduces or is over."""
    return times_text(_PPM * _PPM // initial_ppm) if 0 < initial_ppm < _PPM else "none"


def rate_text(ppb: int) -> str:
    """A rate of 10^-9 in percent, whole: 12,500 is 0.00125%."""
    sign = "-" if ppb < 0 else ""
    whole, fraction = divmod(abs(ppb), 10**7)
    return f"{sign}{whole}.{fraction:07}".rstrip("0").rstrip(".") + "%"


@click.command()
@click.argument("market")
@click.option("--levels", type=click.IntRange(1, 200), default=10, show_default=True, help="Of each side.")
@command
def book(settings: Settings, market: str, levels: int) -> None:
    """Show who would buy and sell MARKET, such as BTC, and what each level costs; the node's word."""

    async def action(wallet: Wallet) -> Report:
        grid = await market_grid(wallet)
        listed = grid.listed(market)
        found = await wallet.node.book(listed.index, levels)
        return Report(_book_fields(found, listed.index, grid), book_shown(found, listed.index, grid))

    run_action(settings, action, signing=False)


def _book_fields(found: Book, market: int, grid: Grid) -> dict[str, Any]:
    def levels(side: list[tuple[int, int]]) -> list[dict[str, str]]:
        return [{"price": grid.price(market, price), "size": grid.size(market, lots)} for price, lots in side]

    return {"market": grid.name(market), "bids": levels(found.bids), "asks": levels(found.asks)}


def book_shown(found: Book, market: int, grid: Grid) -> list[Any]:
    """Asks above bids, with what all levels up to each come to, and the spread between them."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    name = grid.name(market)
    if not found.bids and not found.asks:
        return [f"nobody quotes {name} now: an order that may rest would be the first"]
    table = Table(
        "", "price", f"size, {name}", "all up to here", "costs", "",
        title=f"{name}, the node's word", title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True,
    )  # fmt: skip
    for column in table.columns[1:5]:
        column.justify, column.overflow = "right", "fold"
    largest = max(lots for side in (found.bids, found.asks) for _, lots in side)

    def rows(side: list[tuple[int, int]], word: str) -> list[tuple[str, ...]]:
        made: list[tuple[str, ...]] = []
        lots_so_far, micros_so_far = 0, 0
        for price, lots in side:
            lots_so_far += lots
            # A lot's price in ticks is micro-dollars.
            micros_so_far += price * lots
            bar = "█" * max(1, lots * _BAR // largest)
            size, whole = grid.size(market, lots), grid.size(market, lots_so_far)
            made.append((word, grid.price(market, price), size, whole, cents_text(micros_so_far), bar))
        return made

    for row in reversed(rows(found.asks, "ask")):
        table.add_row(*row, style="red")
    if found.bids and found.asks:
        table.add_section()
    for row in rows(found.bids, "bid"):
        table.add_row(*row, style="green")
    if not (found.bids and found.asks):
        return [table, f"nobody {'sells' if found.bids else 'buys'} {name} now"]
    bid, ask = found.bids[0][0], found.asks[0][0]
    spread = percent_text((ask - bid) * 2 * _PPM // (ask + bid))
    return [table, f"spread {grid.price(market, ask - bid)}, {spread} of the middle"]
