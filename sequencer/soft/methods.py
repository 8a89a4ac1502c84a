"""What readers ask and hear of the stream that is not posted."""

from collections.abc import Callable
from typing import Final

from prover.contracts.deployment import Deployment
from prover.stf import codes
from sequencer.api.rpc.errors import CallError, law_error
from sequencer.api.rpc.handlers import method
from sequencer.api.rpc.jsonrpc import Call
from sequencer.api.rpc.subscriptions import Channel, Feeds
from sequencer.engine.effects import Processed
from sequencer.engine.engine import Engine
from sequencer.history.lists import Lists
from sequencer.schema.soft import SoftBook, SoftOf, SoftPrices, SoftStanding, SoftTrades, SoftView
from sequencer.soft.tail import Tail
from sequencer.soft.told import BOOK, PRICES, TRADES, Told, Untrue
from sequencer.views.markets import names

_NEWEST: Final = 50

CHANNELS: Final = (
    Channel("soft", "How it stands with the sequencer's stream, whenever that changes.", SoftStanding, SoftStanding),
    Channel("soft_prices", "All markets as the sequencer tells them, not yet posted.", SoftPrices, SoftPrices),
    Channel("soft_book:", "The sequencer's book of the market that the key names.", SoftBook, SoftBook),
    Channel("soft_trades:", "Fills of the market that the key names, not yet posted.", SoftTrades, SoftTrades),
)


class Soft:
    """The method and the channels of a node that follows a stream; each message is all that there is just then."""

    def __init__(
        self, engine: Engine, lists: Lists, deployment: Deployment, url: str, dropped: Untrue | None = None
    ) -> None:
        """dropped: what it has said that is not so, as this process knows already."""
        self.tail = Tail(url, Told(engine, lists), deployment, self._publish, dropped)
        self._engine = engine
        self._feeds: Feeds | None = None

    @method(
        "catenary_soft",
        "What the sequencer has told and L1 does not hold: checked as far as it can be, and not posted.",
    )
    async def soft(self, params: SoftOf, call: Call) -> SoftView:
        called, told = names(self._engine.globals), self.tail.told
        if params.market is not None:
            if params.market not in called:
                raise CallError(law_error(codes.NO_MARKET), data={"market": params.market})
            called = [params.market]
        books = [book for name in called if (book := told.book(name)) is not None]
        return SoftView(
            standing=self.tail.standing,
            posted_chunks=self._engine.chunk_count,
            fills=[fill for name in called for fill in told.fills(name, params.limit)],
            books=books,
            markets=[market for market in told.markets if market.name in called],
        )

    def open_feeds(self, feeds: Feeds) -> None:
        """Opens the channels."""
        self._feeds = feeds
        feeds.declare(*CHANNELS)
        feeds.open("soft", lambda: self.tail.standing)
        feeds.open("soft_prices", self._prices)
        feeds.family("soft_book:", lambda name: self._of(name, self._book))
        feeds.family("soft_trades:", lambda name: self._of(name, self._trades))

    def sequenced(self, outcome: Processed) -> None:
        """L1 holds one chunk more: what it holds is no longer told here."""
        self.tail.sequenced(outcome)
        called = names(self._engine.globals)
        for index in sorted({fill.market for fill in outcome.fills}):
            self._publish(TRADES + called[index])

    def _of(self, name: str, state: Callable[[str], object]) -> Callable[[], object] | None:
        return (lambda: state(name)) if name in names(self._engine.globals) else None

    def _book(self, name: str) -> SoftBook:
        return SoftBook(book=self.tail.told.book(name))

    def _trades(self, name: str) -> SoftTrades:
        return SoftTrades(fills=self.tail.told.fills(name, _NEWEST))

    def _prices(self) -> SoftPrices:
        return SoftPrices(markets=self.tail.told.markets)

    def _publish(self, channel: str) -> None:
        """A channel of the stream has changed; with an empty name its standing, and everything with that."""
        if self._feeds is None:
            return
        if not channel:
            self._feeds.publish("soft", self.tail.standing)
        for each in [channel] if channel else self.tail.told.channels():
            if each == PRICES:
                self._feeds.publish("soft_prices", self._prices())
            elif self._feeds.is_open("soft_" + each):
                state = self._book if each.startswith(BOOK) else self._trades
                self._feeds.publish("soft_" + each, state(each.partition(":")[2]))
