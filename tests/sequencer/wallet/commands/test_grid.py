"""Markets by name or index; what a node calls something else keeps its lots and ticks."""

import pytest

from sequencer.wallet.commands.grid import Grid
from sequencer.wallet.errors import BadInput
from sequencer.wallet.trust import ListedMarket

GRID = Grid([ListedMarket(0, "BTC", 5, 100, 450, 50_000), ListedMarket(1, "ETH", 4, 100, 450, 50_000)])


@pytest.mark.parametrize(("name", "index"), [("BTC", 0), ("btc", 0), ("1", 1), ("Eth", 1)])
def test_a_market_is_called_by_name_or_index(name: str, index: int) -> None:
    assert GRID.listed(name).index == index


def test_an_unknown_market_is_bad_input_and_names_those_that_there_are() -> None:
    with pytest.raises(BadInput, match="no market DOGE; there are BTC, ETH"):
        GRID.listed("DOGE")


def test_what_is_not_listed_is_shown_as_it_came() -> None:
    assert (GRID.name(1), GRID.size(1, 10_000), GRID.price(1, 123)) == ("ETH", "1", "1.23")
    assert (GRID.name("XRP"), GRID.size(9, -5), GRID.price(9, 7)) == ("XRP", "-5 lots", "7 ticks")
