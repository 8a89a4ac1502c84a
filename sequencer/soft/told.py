"""What a sequencer's feeds say, held to themselves and to what L1 comes to hold of it; pure, and bounded in memory.

A fill is told before its batch: once the batch is here it must be in it, at its place and as it was told, and no fill
of the batch may have been left out between two that were told. A price must be that of its tick. Books are never on L1,
and fills of a rescue are not read from batches: of both the form alone is looked at.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable
from itertools import islice, pairwise
from typing import Any, Final

import msgspec

from prover.stf import constants
from sequencer.engine.effects import Applied, Filled, Processed, Ticked
from sequencer.engine.engine import Engine
from sequencer.engine.records import Fill
from sequencer.history.lists import Lists
from sequencer.history.records import TRADES as TRADED
from sequencer.history.records import Trade
from sequencer.schema.answers import Book, FillView, MarketView
from sequencer.schema.channels import is_whole
from sequencer.schema.subscriptions import Subscribed
from sequencer.schema.values import decode_value
from sequencer.views.books import fill_view, nameless_fill
from sequencer.views.markets import names

PRICES: Final = "prices"
BOOK: Final = "book:"
TRADES: Final = "trades:"
# Of a market; older ones are L1's to tell.
MOST_FILLS: Final = 1_024
MOST_LEVELS: Final = 20
_MOST_TICKS: Final = 1_024
_MOST: Final = 1 << 63
_MOST_MONEY: Final = 1 << 127
_EPOCH_CHARACTERS: Final = 64
# Of a market's name and its status.
_WORD_CHARACTERS: Final = 32
# Of a sentence that quotes what was told.
_QUOTED_CHARACTERS: Final = 200

_BY_L1: Final = ("NOT_POSTED", "OMITTED", "OTHER_PRICE")

Place = tuple[int, int]


class Untrue(Exception):
    """The stream says what is not so. code: a stable word."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code

    @property
    def is_by_l1(self) -> bool:
        """Whether L1 said otherwise, which may take it back; else the stream has contradicted itself."""
        return self.code in _BY_L1


class Message(msgspec.Struct, frozen=True):
    """One message of a feed."""

    channel: str
    epoch: str
    sequence: int
    data: Any


class _Line(msgspec.Struct):
    """How far a feed was read."""

    epoch: str
    sequence: int


class _Market:
    """Fills of one market that L1 does not hold. From `first` to `last` nothing may be missing, but what is older than
    `forgotten`."""

    def __init__(self) -> None:
        self.fills: deque[FillView] = deque()
        self.first: Place | None = None
        self.last: Place | None = None
        self.forgotten: Place = (0, 0)
        self.book: Book | None = None


class Told:
    """Everything that the stream has said and L1 has not. Untrue from each method that takes something."""

    def __init__(self, engine: Engine, lists: Lists) -> None:
        """engine, lists: of the node that follows; what they hold is posted."""
        self._engine = engine
        self._lists = lists
        self._lines: dict[str, _Line] = {}
        self._markets: dict[str, _Market] = {}
        # Of each tick that was told the price of each market, by index; and of those that L1 holds.
        self._ticks: OrderedDict[int, dict[int, int]] = OrderedDict()
        self._posted_ticks: OrderedDict[int, list[int]] = OrderedDict()
        if engine.globals.tick_time:
            self._posted_ticks[engine.globals.tick_time] = list(engine.globals.risk.price)
        self.markets: list[MarketView] = []

    # What is read.

    def channels(self) -> list[str]:
        """Of which feeds it is made: of the markets that L1 knows."""
        called = names(self._engine.globals)
        return [PRICES, *(BOOK + name for name in called), *(TRADES + name for name in called)]

    def since(self, channel: str) -> tuple[str, int] | None:
        """Epoch and sequence up to which a feed was read, None where it begins anew."""
        line = self._lines.get(channel)
        return None if line is None else (line.epoch, line.sequence)

    def fills(self, market: str, most: int = MOST_FILLS) -> list[FillView]:
        """The newest of a market, the oldest first: they stand as they were told."""
        held = self._markets.get(market)
        if held is None:
            return []
        return list(islice(held.fills, max(0, len(held.fills) - most), None))

    def book(self, market: str) -> Book | None:
        """The newest one that was told."""
        held = self._markets.get(market)
        return None if held is None else held.book

    # What the stream says.

    def answered(self, channel: str, answer: Subscribed) -> None:
        """A subscription began: with what was missed since, or anew."""
        if answer.channel != channel or not 0 <= answer.sequence < _MOST or len(answer.epoch) > _EPOCH_CHARACTERS:
            raise Untrue("MISFIT", f"The answer to {channel} is of another feed.")
        line = self._lines.get(channel)
        if answer.snapshot is None:
            if line is None or line.epoch != answer.epoch:
                raise Untrue("GAP", f"The feed {channel} goes on where it was never read.")
            for update in answer.updates:
                self.heard(_converted(update, Message))
            if line.sequence != answer.sequence:
                raise Untrue("GAP", f"Of the feed {channel} messages are missing.")
            return
        self._lines[channel] = _Line(answer.epoch, answer.sequence)
        self._begun(channel, answer.snapshot)

    def heard(self, message: Message) -> None:
        """The next message of a feed."""
        line = self._lines.get(message.channel)
        if line is None:
            raise Untrue("MISFIT", "A message is of a feed that nobody has asked for.")
        # Of states the newest alone may be told.
        is_next = message.sequence > line.sequence
        if not is_whole(message.channel):
            is_next = message.sequence == line.sequence + 1
        if message.epoch != line.epoch or not is_next:
            raise Untrue("GAP", f"Of the feed {message.channel} messages are missing, or it began anew unsaid.")
        line.sequence = message.sequence
        if message.channel.startswith(TRADES):
            self._fill(message.channel.removeprefix(TRADES), _converted(message.data, FillView))
        else:
            self._stated(message.channel, message.data)

    def cut(self) -> None:
        """The stream is not heard: what was true at its moment alone is forgotten."""
        self.markets = []
        for market in self._markets.values():
            market.book = None

    def forget(self) -> None:
        """All of it."""
        self.markets = []
        self._lines.clear()
        self._markets.clear()
        self._ticks.clear()

    def _begun(self, channel: str, snapshot: Any) -> None:
        if channel.startswith(TRADES):
            name = channel.removeprefix(TRADES)
            market = self._market(name)
            market.fills.clear()
            market.first = market.last = None
            for fill in _converted(snapshot, list[FillView]):
                self._fill(name, fill)
        else:
            if channel == PRICES:
                self._ticks.clear()
            self._stated(channel, snapshot)

    def _stated(self, channel: str, data: Any) -> None:
        if channel == PRICES:
            self._priced(_converted(data, list[MarketView]))
        else:
            name = channel.removeprefix(BOOK)
            told = _converted(data, Book)
            _require_book(name, told)
            self._market(name).book = told

    def _market(self, name: str) -> _Market:
        return self._markets.setdefault(name, _Market())

    def _fill(self, name: str, fill: FillView) -> None:
        _require_fill(name, fill)
        market, place = self._market(name), _place(fill)
        if market.last is not None and place <= market.last:
            raise Untrue("OUT_OF_ORDER", f"A fill of {name} comes behind a later one.")
        after = market.last
        market.first, market.last = market.first or place, place
        if after is None or after[0] <= self._engine.chunk_count:
            self._require_none_left_out(name, after, place)
        if fill.chunk <= self._engine.chunk_count:
            self._require_posted(name, fill)
            return
        if len(market.fills) == MOST_FILLS:
            market.forgotten = _place(market.fills.popleft())
        market.fills.append(fill)

    def _require_none_left_out(self, name: str, after: Place | None, place: Place) -> None:
        """Of what L1 is known to hold: only what stands between the two is looked at, so that telling costs no more."""
        if after is None:
            return
        index = self._index(name)
        behind = self._lists.first_where(TRADED, index, lambda row: _posted_place(row) > after)
        if behind < self._lists.ends(TRADED, index)[1] and _posted_place(self._posted_fill(index, behind)) < place:
            raise Untrue("OMITTED", f"L1 holds a fill of {name} that was not told.")

    def _require_posted(self, name: str, fill: FillView) -> None:
        """L1 speaks of its chunk already: it says the same, as far back as history is kept."""
        index, place = self._index(name), _place(fill)
        first, end = self._lists.ends(TRADED, index)
        is_forgotten = first > 0 and (first == end or place < _posted_place(self._posted_fill(index, first)))
        if fill.is_rescue or is_forgotten:
            return
        at = self._lists.first_where(TRADED, index, lambda row: _posted_place(row) >= place)
        if at == end or not _is_told(fill, fill_view(self._engine.globals, self._posted_fill(index, at).fill)):
            raise Untrue("NOT_POSTED", f"L1 holds no such fill of {name} in chunk {fill.chunk}.")

    def _index(self, name: str) -> int:
        return names(self._engine.globals).index(name)

    def _posted_fill(self, market: int, number: int) -> Trade:
        row: Trade = self._lists.row(TRADED, market, number)
        return row

    def _priced(self, views: list[MarketView]) -> None:
        if len(views) > constants.MARKETS:
            raise Untrue("MISFIT", "It tells of more markets than there can be.")
        _require_markets(views)
        newest = max((view.tick_time_ms for view in views), default=0)
        if not 0 <= newest < _MOST or (self._ticks and newest < next(reversed(self._ticks))):
            raise Untrue("OUT_OF_ORDER", "Prices come behind later ones.")
        told = {view.index: view.price_ticks for view in views}
        before = self._ticks.get(newest, {})
        if any(price and told.get(index, price) != price for index, price in before.items()):
            # What was shown of a tick once is held to L1, whatever is told of it later.
            raise Untrue("TWO_PRICES", "Of one tick two prices of a market are told.")
        self._ticks[newest] = before | told
        _bound(self._ticks)
        self.markets = views
        self._require_prices()
        self._require_tick(newest)
        if newest < self._engine.globals.tick_time and newest not in self._posted_ticks:
            # Older than what is known of L1, which has other prices by now: nobody can say whether it was so.
            self.markets = []

    def _require_prices(self) -> None:
        """Where L1 stands at a tick that was told, at its prices; a market that was left out of it had none."""
        globals = self._engine.globals
        told = self._ticks.get(globals.tick_time)
        if told is None:
            return
        for index, name in enumerate(names(globals)):
            if told.get(index, 0) != globals.risk.price[index]:
                raise _other_price(name)

    def _require_tick(self, time: int) -> None:
        """A tick that was told and that L1 has come to or passed: it is there, with the prices that were told.

        A market that has no price in it may have been listed since, and been told with the price of its listing.
        """
        told, prices = self._ticks.get(time), self._posted_ticks.get(time)
        if told is None:
            return
        if prices is not None:
            for index, name in enumerate(names(self._engine.globals)):
                if prices[index] and told.get(index, 0) != prices[index]:
                    raise _other_price(name)
        elif self._posted_ticks and next(iter(self._posted_ticks)) < time < next(reversed(self._posted_ticks)):
            raise Untrue("NOT_POSTED", f"L1 holds no tick of {time}, whose prices were told.")

    def _tick_posted(self, effect: Ticked) -> None:
        passed = next(reversed(self._posted_ticks), 0)
        self._posted_ticks[effect.time_ms] = effect.prices
        _bound(self._posted_ticks)
        for time in [time for time in self._ticks if passed < time <= effect.time_ms]:
            self._require_tick(time)

    # What L1 says.

    def posted(self, outcome: Processed) -> None:
        """A chunk of L1 is the state now: whatever was told of it must be in it, and is L1's to tell from here on."""
        globals = self._engine.globals
        called = names(globals)
        for effect in outcome.effects:
            if isinstance(effect, Ticked):
                self._tick_posted(effect)
            elif isinstance(effect, Filled):
                self._was_posted(self._market(called[effect.fill.market]), effect.fill, fill_view(globals, effect.fill))
        chunk = max((effect.chunk for effect in outcome.effects if isinstance(effect, Applied)), default=0)
        for name, market in self._markets.items():
            while market.fills and market.fills[0].chunk <= chunk:
                _require_rescue(name, market.fills.popleft())
        self._require_prices()

    def _was_posted(self, market: _Market, fill: Fill, seen: FillView) -> None:
        place = (fill.chunk, fill.operation)
        if market.first is None or market.last is None or not market.first <= place <= market.last:
            return
        while market.fills and _place(market.fills[0]) < place:
            _require_rescue(seen.market, market.fills.popleft())
        if market.fills and _place(market.fills[0]) == place:
            if not _is_told(market.fills.popleft(), seen):
                raise Untrue("NOT_POSTED", f"A fill of {seen.market} in chunk {fill.chunk} is another one on L1.")
        elif place > market.forgotten:
            raise Untrue("OMITTED", f"L1 holds a fill of {seen.market} that was not told.")


def _bound(ticks: OrderedDict[int, Any]) -> None:
    while len(ticks) > _MOST_TICKS:
        ticks.popitem(last=False)


def _other_price(name: str) -> Untrue:
    return Untrue("OTHER_PRICE", f"The price of {name} on L1 is not the one that was told.")


def _place(fill: FillView) -> Place:
    return fill.chunk, fill.operation_index


def _posted_place(trade: Trade) -> Place:
    return trade.fill.chunk, trade.fill.operation


def _converted(value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind, strict=False, dec_hook=decode_value)
    except msgspec.ValidationError as error:
        raise misfit(error) from None


def misfit(error: Exception) -> Untrue:
    """What cannot be read as what was asked for; the error may quote it at any length."""
    return Untrue("MISFIT", f"What it tells does not fit: {str(error)[:_QUOTED_CHARACTERS]!r}.")


def _is_bounded(numbers: Iterable[int]) -> bool:
    return all(0 <= number < _MOST for number in numbers)


def _is_told(fill: FillView, seen: FillView) -> bool:
    """Whether a fill was told as L1 has it, or as one whose accounts are left out."""
    return fill in (seen, nameless_fill(seen))


def _require_fill(name: str, fill: FillView) -> None:
    numbers = (fill.price_ticks, fill.size_lots, fill.time_ms, fill.chunk, fill.operation_index)
    sides = [side for side in (fill.maker, fill.taker) if side is not None]
    fees = (fill.fee_micros, fill.maker_fee_micros, fill.taker_fee_micros)
    if fill.market != name or not _is_bounded((*numbers, *sides)) or not _is_bounded(map(abs, fees)):
        raise Untrue("MISFIT", f"A fill of {name} is none.")


def _require_markets(views: list[MarketView]) -> None:
    for view in views:
        for field in msgspec.structs.fields(MarketView):
            value = getattr(view, field.name)
            if isinstance(value, str):
                is_fit = len(value) <= _WORD_CHARACTERS
            else:
                # Money travels as text; of other numbers a reader of binary frames has 64 bits.
                is_fit = abs(value) < (_MOST if field.type is int else _MOST_MONEY)
            if not is_fit:
                raise Untrue("MISFIT", f"A market that it tells of has no such {field.name}.")


def _require_book(name: str, book: Book) -> None:
    prices = [[price for price, _ in side] for side in (book.bids, book.asks)]
    is_sorted = all(a > b for a, b in pairwise(prices[0])) and all(a < b for a, b in pairwise(prices[1]))
    numbers = [number for level in (*book.bids, *book.asks) for number in level]
    if book.market != name or not is_sorted or max(map(len, prices)) > MOST_LEVELS or not _is_bounded(numbers):
        raise Untrue("MISFIT", f"A book of {name} is none.")


def _require_rescue(name: str, fill: FillView) -> None:
    if not fill.is_rescue:
        raise Untrue("NOT_POSTED", f"L1 holds no such fill of {name} in chunk {fill.chunk}.")
