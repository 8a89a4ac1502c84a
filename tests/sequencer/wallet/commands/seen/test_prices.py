"""Prices and a book as people read them."""

import pytest

from sequencer.schema.answers import Book, MarketView
from sequencer.wallet.commands.grid import Grid
from sequencer.wallet.commands.seen.prices import book_shown, prices_table, rate_text
from sequencer.wallet.trust import ListedMarket
from tests.sequencer.answers import answer
from tests.sequencer.wallet.commands.drawn import drawn

GRID = Grid([ListedMarket(0, "BTC", 5, 100, 450, 50_000)])


def market(**changes: object) -> MarketView:
    """BTC at 60,000 with a leverage of up to fifty."""
    given = {
        "index": 0, "name": "BTC", "status": "open", "price_ticks": 600_000, "growing_initial_ppm": 20_000,
        "taker_fee_ppm": 450, "funding_rate_ppb": 12_500, "open_interest_lots": 150_000,
    }  # fmt: skip
    return answer(MarketView, **{**given, **changes})


@pytest.mark.parametrize(
    ("ppb", "text"),
    [
        (12_500, "0.00125%"),
        (-12_500, "-0.00125%"),
        (0, "0%"),
        (10**7, "1%"),
        (-1, "-0.0000001%"),
        (23 * 10**6, "2.3%"),
    ],
)
def test_a_rate_is_told_to_its_last_digit(ppb: int, text: str) -> None:
    assert rate_text(ppb) == text


def test_a_market_is_told_with_the_best_of_both_sides() -> None:
    text = drawn(prices_table([(market(), Book("BTC", [(599_990, 100)], [(600_010, 200)]))], GRID))
    for part in ("BTC", "60000", "59999", "60001", "0.00125%", "50.00x", "0.045%", "1.5"):
        assert part in text
    odd = market(funding_rate_ppb=-57_936, price_ticks=599_412, open_interest_lots=1_234_567)
    narrow = drawn(prices_table([(odd, Book("BTC", [(599_233, 1)], [(599_591, 1)]))], GRID), width=80)
    for part in ("59941.2", "59923.3", "59959.1", "-0.0057936%", "12.34567"):
        assert part in narrow, part


def test_what_is_not_there_is_told_in_words() -> None:
    odd = market(status="reduce_only", price_ticks=0, growing_initial_ppm=1_000_000)
    text = drawn(prices_table([(odd, Book("BTC", [], []))], GRID))
    for part in ("BTC (reduce only)", "none yet", "none"):
        assert part in text
    for growing in (-1, 0):
        over = market(status="settled", growing_initial_ppm=growing)
        text = drawn(prices_table([(over, Book("BTC", [], []))], GRID))
        assert "BTC (settled)" in text
        assert ("none" in text, "x " in text) == (True, False)
    assert drawn(*book_shown(Book("BTC", [], []), 0, GRID)).startswith("nobody quotes BTC now")
    assert "nobody sells BTC now" in drawn(*book_shown(Book("BTC", [(599_990, 100)], []), 0, GRID))
    assert "nobody buys BTC now" in drawn(*book_shown(Book("BTC", [], [(599_990, 100)]), 0, GRID)).replace("\n", " ")


def test_a_book_stands_asks_above_bids_with_what_all_levels_cost() -> None:
    found = Book("BTC", [(599_990, 100), (599_980, 300)], [(600_010, 200), (600_020, 50)])
    text = drawn(*book_shown(found, 0, GRID))
    places = [text.index(price) for price in ("60002", "60001", "59999", "59998")]
    assert places == sorted(places)
    # 100 lots at 599,990 and 300 at 599,980, in micro-dollars.
    for part in ("0.0025", "0.004", "$239.99", "spread 2, 0.01% of the middle"):
        assert part in text
