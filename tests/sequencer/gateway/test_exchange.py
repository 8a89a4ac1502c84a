"""What is answered of orders that were sent, whatever the node says beside; the rest is driven in test_entrance.py."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from sequencer.client.errors import NodeUnreachable, Rejected
from sequencer.gateway import refusals
from sequencer.gateway.exchange import Exchange
from sequencer.gateway.shapes import most_leverage, placed_status
from sequencer.gateway.trader import Placed, Trader
from sequencer.schema.answers import Book, FillView, MarketView, OrderResult
from tests.sequencer.answers import answer

pytestmark = pytest.mark.trio
BTC = answer(MarketView, name="BTC", price_decimals=1, size_decimals=5, minimum_notional_micros=10_000_000)


class Node:
    """A node that tells the book, or has gone away since."""

    def __init__(self, book: Book | None) -> None:
        self.asked = 0
        self._book = book

    async def book(self, market: str, levels: int) -> Book:
        self.asked += 1
        if self._book is None:
            raise NodeUnreachable("away")
        return self._book


async def said(rejection: str, node: Node) -> str:
    """What a program reads of an order that was refused so."""
    exchange = Exchange([], cast(Any, None), lambda: 7, 1_000)
    trader = cast(Trader, SimpleNamespace(node=node))
    status = await exchange._status(trader, BTC, Placed(7, Rejected(-1, rejection, "No.")))
    return str(status["error"])


async def test_what_a_post_only_order_met_is_told_where_the_node_tells_it() -> None:
    book = Book("BTC", [(599_999, 1)], [(600_001, 1)])
    assert (await said("POST_ONLY", Node(book))).startswith(f"{refusals.WOULD_MATCH} 59999.9@60000.1.")
    # The orders beside it are placed: that the book is not told now takes nothing back.
    assert (await said("POST_ONLY", Node(None))).startswith(f"{refusals.WOULD_MATCH} @.")


async def test_of_other_refusals_no_book_is_asked_for() -> None:
    node = Node(None)
    assert (await said("TOO_SMALL", node)).startswith("Order must have minimum value of $10.")
    assert node.asked == 0


async def test_a_mean_price_is_told_of_fills_that_are_told() -> None:
    fill = answer(FillView, price_ticks=600_000, size_lots=100)
    told = answer(OrderResult, status="filled", filled_lots=100, fills=[fill])
    assert placed_status(7, told, BTC) == {"filled": {"totalSz": "0.001", "avgPx": "60000", "oid": 7}}
    untold = answer(OrderResult, status="filled", filled_lots=100)
    assert placed_status(7, untold, BTC) == {"filled": {"totalSz": "0.001", "avgPx": None, "oid": 7}}


@pytest.mark.parametrize(
    ("growing_ppm", "most"), [(20_000, 50), (30_000, 33), (1_000_000, 1), (2_000_000, 1), (0, 1), (-1, 1)]
)
async def test_where_nothing_may_grow_no_leverage_is_promised(growing_ppm: int, most: int) -> None:
    assert most_leverage(answer(MarketView, growing_initial_ppm=growing_ppm)) == most
