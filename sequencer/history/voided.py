"""History as a store keeps it that ends with an earlier chunk: what stood in chunks behind that one never was.

What the oracle said stays said, as candles; funding of the hours that are void is not.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from prover.state.store import Store
from sequencer.engine.records import Writes
from sequencer.history.books import Books
from sequencer.history.lists import Lists
from sequencer.history.records import (
    CANDLES,
    INTERVALS,
    KINDS,
    LISTED_KEY,
    MINUTE,
    OF_TRADES,
    RATES,
    SAMPLES,
    SERIES,
    TRADES,
    Candle,
    Kind,
    Row,
    Trade,
    listed_key,
    row_key,
    series_of,
)

_KIND_OF: Final = {kind.letter: kind for kind in KINDS}
_LENGTHS: Final = tuple(enumerate(INTERVALS.values()))
_MINUTES: Final = tuple(INTERVALS).index("1m")


def history_rows(old: Store, chunk: int, ended_ms: int, indices: Sequence[int]) -> Iterator[tuple[bytes, bytes]]:
    """The rows of the new store, which ends with a chunk of that clock, and with these funding indices."""
    lists = Lists(old)
    for key, _ in old.iterate(LISTED_KEY):
        kind, owner = _KIND_OF[key[len(LISTED_KEY) : -4]], int.from_bytes(key[-4:], "big")
        if kind is CANDLES and owner % SERIES // len(INTERVALS) == OF_TRADES:
            # They follow their trades, below.
            continue
        end = lists.first_where(kind, owner, _is_void(kind, chunk, ended_ms))
        if kind is not RATES:
            yield from _copied(old, lists, kind, owner, end)
        else:
            yield from _copied(old, lists, kind, owner, end - 1)
            yield from _last_hour(lists, owner, end, indices[owner])
        if kind is TRADES:
            yield from _candles(old, lists, owner, end)


def _is_void(kind: Kind, chunk: int, ended_ms: int) -> Callable[[Any], bool]:
    if kind is CANDLES:
        return lambda row: False
    if kind in (RATES, SAMPLES):
        return lambda row: row.time > ended_ms
    return lambda row: row.chunk > chunk


def _copied(old: Store, lists: Lists, kind: Kind, owner: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    first, _ = lists.ends(kind, owner)
    for number in range(first, end):
        value = old.get(row_key(kind, owner, number))
        assert value is not None, "a list has no gap"
        yield row_key(kind, owner, number), value
    yield listed_key(kind, owner), msgspec.msgpack.encode((first, max(first, end)))


def _last_hour(lists: Lists, market: int, end: int, index: int) -> Iterator[tuple[bytes, bytes]]:
    """The hour in which the chunk ended goes on from the index that it left."""
    first, _ = lists.ends(RATES, market)
    if end > first:
        row = lists.row(RATES, market, end - 1)
        row.index = index
        yield row_key(RATES, market, end - 1), msgspec.msgpack.encode(row)
    yield listed_key(RATES, market), msgspec.msgpack.encode((first, end))


def _begins(start: int, row: Row) -> bool:
    return row.time >= start


class _Over:
    """A store whose lists of candles end where they are to be made anew."""

    def __init__(self, store: Store, ends: Writes) -> None:
        self._store = store
        self._ends = ends

    def get(self, key: bytes) -> bytes | None:
        return self._ends[key] if key in self._ends else self._store.get(key)


def _candles(old: Store, lists: Lists, market: int, end: int) -> Iterator[tuple[bytes, bytes]]:
    """Candles up to the first void trade as they are; the one that it stood in is made of what is left of it.

    That is its whole minutes, then the trades of the last one: trades of a long candle need not all be kept.
    """
    _, last = lists.ends(TRADES, market)
    minutes = series_of(market, OF_TRADES, _MINUTES)
    for place, length in _LENGTHS:
        series = series_of(market, OF_TRADES, place)
        if end == last:
            yield from _copied(old, lists, CANDLES, series, lists.ends(CANDLES, series)[1])
            continue
        voided: Trade = lists.row(TRADES, market, end)
        start = voided.time - voided.time % length
        cut = lists.first_where(CANDLES, series, partial(_begins, start))
        yield from _copied(old, lists, CANDLES, series, cut)
        ends: Writes = {listed_key(CANDLES, series): msgspec.msgpack.encode((lists.ends(CANDLES, series)[0], cut))}
        books = Books(Lists(_Over(old, ends)))
        begun = voided.time - voided.time % MINUTE
        of_minutes = (lists.first_where(CANDLES, minutes, partial(_begins, time)) for time in (start, begun))
        for number in range(*of_minutes):
            minute: Candle = lists.row(CANDLES, minutes, number)
            for price in (minute.open, minute.high, minute.low, minute.close):
                candle = books.candle(series, length, minute.time, price)
            candle.lots, candle.quote = candle.lots + minute.lots, candle.quote + minute.quote
            candle.count += minute.count
        for number in range(lists.first_where(TRADES, market, partial(_begins, begun)), end):
            trade: Trade = lists.row(TRADES, market, number)
            books.candle(series, length, trade.time, trade.fill.price).add(trade.fill)
        yield from ((key, value) for key, value in books.lists.writes().items() if value is not None)
