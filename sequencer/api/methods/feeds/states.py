"""The states that channels tell: what they are now, and what has changed since they were told last."""

from collections.abc import Callable
from functools import partial
from typing import Final

from sequencer.api.methods.privacy import Privacy
from sequencer.engine.engine import Engine
from sequencer.history.history import History
from sequencer.history.lists import Asked
from sequencer.history.records import CANDLES, INTERVALS, OF_TRADES, RATES, TRADES, series_of
from sequencer.schema.answers import Book, FillView
from sequencer.schema.depth import MOST_LEVELS, Depth, DepthChange, changes, checksum
from sequencer.schema.history import CandleView, FundingNow
from sequencer.views.books import book
from sequencer.views.history import candle_view, funding_now, trade_view
from sequencer.views.markets import names

_LEVELS: Final = 20
_TRADES: Final = 50
_CANDLES: Final = 100
_PLACES: Final = {name: place for place, name in enumerate(INTERVALS)}


class States:
    """What was told of each book last stands here."""

    def __init__(self, engine: Engine, history: History, privacy: Privacy) -> None:
        self._engine = engine
        self._history = history
        self._privacy = privacy
        self._books: dict[int, Book] = {}
        self._depths: dict[int, Depth] = {}

    def book(self, market: int, is_heard: bool) -> Book:
        """The best levels, as they were told last, where somebody hears them already."""
        if not is_heard or market not in self._books:
            self._books[market] = book(self._engine, market, _LEVELS)
        return self._books[market]

    def next_book(self, market: int) -> Book | None:
        """The best levels, None where they are as they were told last."""
        now = book(self._engine, market, _LEVELS)
        if self._books.get(market) == now:
            return None
        self._books[market] = now
        return now

    def depth(self, market: int, is_heard: bool) -> Depth:
        """The levels from which the next change goes on: as they were told last, where somebody hears them already."""
        if not is_heard or market not in self._depths:
            self._depths[market] = self._depth(market)
        return self._depths[market]

    def next_change(self, market: int, previous: int) -> DepthChange | None:
        """What has changed since the last one, whose sequence is given; None where nothing has."""
        before, now = self.depth(market, True), self._depth(market)
        self._depths[market] = now
        bids, asks = changes(before.bids, now.bids), changes(before.asks, now.asks)
        if not bids and not asks:
            return None
        return DepthChange(
            market=now.market, previous=previous, bids=bids, asks=asks, checksum=now.checksum, time_ms=now.time_ms
        )

    def _depth(self, market: int) -> Depth:
        engine = self._engine
        bids, asks = engine.books[market].depth(MOST_LEVELS)
        time = engine.open_chunk.time(0)
        name = names(engine.globals)[market]
        return Depth(market=name, bids=bids, asks=asks, checksum=checksum(bids, asks), time_ms=time)

    def trades(self, market: int) -> list[FillView]:
        """The newest fills, the oldest first."""
        page = self._history.lists.page(TRADES, market, Asked(limit=_TRADES))
        return [self._privacy.fill_told(trade_view(self._engine.globals, row)) for row in reversed(page.rows)]

    def candles(self, market: int, interval: str, most: int) -> list[CandleView]:
        """The newest candles, the oldest first."""
        series = series_of(market, OF_TRADES, _PLACES[interval])
        page = self._history.lists.page(CANDLES, series, Asked(limit=most))
        return [candle_view(row) for row in reversed(page.rows)]

    def candles_of(self, key: str) -> Callable[[], list[CandleView]] | None:
        """Candles by a channel's key, a market's name and a length; None where there are none such."""
        name, _, interval = key.rpartition(":")
        called = names(self._engine.globals)
        if interval not in _PLACES or name not in called:
            return None
        return partial(self.candles, called.index(name), interval, _CANDLES)

    def funding(self) -> list[FundingNow]:
        """This hour's funding of every market that has a price."""
        lists, called = self._history.lists, names(self._engine.globals)
        rates = [(name, lists.last(RATES, index)) for index, name in enumerate(called)]
        return [funding_now(name, rate) for name, rate in rates if rate is not None]
