"""History of a running venue: kept by the engine with each chunk, remade by the journal, and bounded by what is asked.

Nothing but putting rows is done where orders are sequenced: lists are shortened, and accounts valued, by whoever has
the time.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from prover.signing.operations import order_name
from prover.stf import constants, margin
from sequencer.engine.effects import Processed
from sequencer.engine.engine import Engine
from sequencer.engine.records import Input, Writes
from sequencer.history.books import BOOKED, Books, Seen
from sequencer.history.lists import Lists
from sequencer.history.records import (
    CANDLES,
    DAY,
    INTERVALS,
    KINDS,
    MINUTE,
    OF_TRADES,
    SAMPLES,
    SERIES,
    Candle,
    Kept,
    Kind,
    Sample,
    series_of,
)

# A list that nobody appends to is looked at once in a while, for what has grown old.
_LOOKED_AT: Final = 64
# In one turn: the others wait for the next one.
_MOST_LOOKED_AT: Final = 1_024
_MINUTES: Final = tuple(INTERVALS).index("1m")


class Day(msgspec.Struct):
    """Trades of a market in the last 24 hours, to the minute; prices in ticks, None without trades."""

    lots: int = 0
    quote: int = 0
    count: int = 0
    open: int | None = None
    high: int | None = None
    low: int | None = None
    close: int | None = None

    def add(self, candle: Candle) -> None:
        """One minute more, later than those before."""
        self.lots += candle.lots
        self.quote += candle.quote
        self.count += candle.count
        self.open = candle.open if self.open is None else self.open
        self.high = candle.high if self.high is None else max(self.high, candle.high)
        self.low = candle.low if self.low is None else min(self.low, candle.low)
        self.close = candle.close


class History:
    """The engine's keeper. kept: how much of each kind, where it is not the kind's own measure."""

    def __init__(self, engine: Engine) -> None:
        """From here on the engine keeps books; before the journal is replayed, or what it holds is not in them."""
        self.kept: Mapping[str, Kept] = {}
        self.lists = Lists(engine.store)
        self._books = Books(self.lists)
        self._engine = engine
        self._sweep = self._every_list()
        # Of each market the minutes of a day that are over, as of one of them.
        self._days: dict[int, tuple[int, int, Day]] = {}
        engine.keepers.append(self)

    # What the engine says.

    def note(self, processed: Processed, given: Input) -> None:
        """Books an input."""
        booked = [effect for effect in processed.effects if isinstance(effect, BOOKED)]
        if not booked:
            return
        clients = {order_name(*told.place): told.client for told in processed.told if told.client and told.step.fill}
        view = self._engine.view
        self._books.book(booked, Seen(self._engine.chunk_count + 1, view.commitment.timestamp, view.globals, clients))

    def writes(self) -> Writes:
        """What has changed since the last call."""
        return self.lists.writes()

    # What others do, off the way of orders. It is written with the next chunk.

    def let_go(self, now_ms: int, most: int) -> int:
        """Shortens lists that have grown, and looks at some others; so many rows at most; how many it was."""
        lists, gone, seen = self.lists, 0, 0
        looked = deque(lists.grown)
        lists.grown = {}
        for _ in range(_LOOKED_AT):
            at = next(self._sweep, None)
            if at is None:
                self._sweep = self._every_list()
                break
            looked.append(at)
        while looked:
            kind, owner = looked.popleft()
            if gone >= most or seen >= _MOST_LOOKED_AT:
                # It goes on where this ends.
                lists.grown[kind, owner] = None
                continue
            gone += lists.let_go(kind, owner, self.kept.get(kind.name, kind.kept), now_ms, most - gone)
            seen += 1
        return gone

    def sample(self, account: int, now_ms: int) -> None:
        """One point more of what an account is worth; none where the clock has not gone on since the last one."""
        last: Sample | None = self.lists.last(SAMPLES, account)
        if last is not None and now_ms <= last.time:
            return
        engine = self._engine
        risk = engine.globals.risk
        settled, _ = margin.settle(risk, engine.account(account), engine.view.clock().now)
        sample = Sample(now_ms, now_ms, 0, margin.equity(risk, settled), margin.collateral(settled))
        self.lists.append(SAMPLES, account, sample)

    # What is seen.

    def day(self, market: int, now_ms: int) -> Day:
        """The last 24 hours of a market's trades."""
        lists, series = self.lists, series_of(market, OF_TRADES, _MINUTES)
        _, end = lists.ends(CANDLES, series)
        minute = now_ms - now_ms % MINUTE
        known = self._days.get(market)
        if known is None or known[:2] != (minute, end):
            begin = lists.first_where(CANDLES, series, lambda row: row.time > minute - DAY)
            day = Day()
            for number in range(begin, end - 1):
                day.add(lists.row(CANDLES, series, number))
            known = self._days[market] = minute, end, day
        day = msgspec.structs.replace(known[2])
        last: Candle | None = lists.last(CANDLES, series)
        if last is not None and last.time > minute - DAY:
            day.add(last)
        return day

    def _every_list(self) -> Iterator[tuple[Kind, int]]:
        globals = self._engine.globals
        for kind in KINDS:
            if kind.is_of_accounts:
                owners = range(constants.FEE_ACCOUNT + 1, globals.next_account)
            else:
                owners = range(globals.market_count * (SERIES if kind is CANDLES else 1))
            yield from ((kind, owner) for owner in owners)
