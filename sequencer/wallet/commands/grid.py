"""Markets by name or index, and what their lots and ticks mean."""

from collections.abc import Sequence

from sequencer.schema.answers import MarketView
from sequencer.wallet.trust import ListedMarket, market_called
from sequencer.wallet.units import units_text


class Grid:
    """Markets by name or index, with what their lots and ticks mean."""

    def __init__(self, markets: Sequence[ListedMarket]) -> None:
        self._listed = markets
        self._markets = {key: market for market in markets for key in (market.index, market.name, str(market.index))}

    def listed(self, name: str) -> ListedMarket:
        """A market by its name, in any case, or by its index; BadInput where there is none."""
        return market_called(name, self._listed)

    def name(self, market: int | str) -> str:
        """The market's name, or what the node called it."""
        found = self._markets.get(market)
        return str(market) if found is None else found.name

    def size(self, market: int | str, lots: int) -> str:
        """Lots as a decimal."""
        found = self._markets.get(market)
        return f"{lots} lots" if found is None else units_text(lots, found.size_decimals)

    def price(self, market: int | str, ticks: int) -> str:
        """Ticks as a decimal."""
        found = self._markets.get(market)
        return f"{ticks} ticks" if found is None else units_text(ticks, found.price_decimals)


def listed(markets: list[MarketView]) -> list[ListedMarket]:
    """The node's own list, for display where L1 cannot be asked."""
    return [
        ListedMarket(
            market.index,
            market.name,
            market.size_decimals,
            market.maker_fee_ppm,
            market.taker_fee_ppm,
            market.band_ppm,
        )
        for market in markets
    ]
