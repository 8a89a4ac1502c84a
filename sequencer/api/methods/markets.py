"""The methods about markets: prices and books."""

from sequencer.api.methods.lookup import NO_MARKET, require_market
from sequencer.api.rpc.handlers import method
from sequencer.api.rpc.jsonrpc import Call
from sequencer.engine.engine import Engine
from sequencer.schema.answers import Book, MarketView
from sequencer.schema.params import NoParams, OfMarket
from sequencer.views.books import book
from sequencer.views.markets import market_views


class Markets:
    """The handlers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @method("catenary_markets", "All markets with prices.")
    async def markets(self, params: NoParams, call: Call) -> list[MarketView]:
        return market_views(self._engine.globals)

    @method("catenary_book", "Price levels of a market.", errors=(NO_MARKET,))
    async def book(self, params: OfMarket, call: Call) -> Book:
        return book(self._engine, require_market(self._engine, params.market), params.levels)
