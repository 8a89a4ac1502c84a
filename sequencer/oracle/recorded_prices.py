"""Recorded prices: series of closes from files, and markets that are derived from one of them."""

import csv
import gzip
import io
import math
import random
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from sequencer.oracle.price_sources import Quote, SourceError, read_time_ms

_MAX_SERIES_BYTES: Final = 256 << 20
_MINUTE_MS: Final = 60_000


class Series(msgspec.Struct, frozen=True):
    """Closes in dollars by time, ms, strictly increasing."""

    times_ms: list[int]
    closes: list[float]


def read_series(path: Path) -> Series:
    """A CSV, plain or .gz, with the columns timestamp (ISO 8601 in UTC, or a Unix time in s or ms) and close."""
    times_ms: list[int] = []
    closes: list[float] = []
    try:
        with path.open("rb") as raw:
            stream = gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw
            content = stream.read(_MAX_SERIES_BYTES + 1)
    except (OSError, EOFError) as error:
        raise SourceError(f"{path} cannot be read: {error}") from None
    if len(content) > _MAX_SERIES_BYTES:
        raise SourceError(f"{path} holds more than {_MAX_SERIES_BYTES} bytes")
    line = 1
    try:
        rows = csv.DictReader(io.StringIO(content.decode()))
        for row in rows:
            line = rows.line_num
            time_ms, close = read_time_ms(row["timestamp"]), float(row["close"])
            if not (math.isfinite(close) and close > 0):
                raise ValueError("a close is a number above 0")
            if times_ms and time_ms <= times_ms[-1]:
                raise ValueError("its time is not after the one before")
            times_ms.append(time_ms)
            closes.append(close)
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise SourceError(f"{path}, line {line}: {error}") from None
    if len(closes) < 2:
        raise SourceError(f"{path} holds fewer than two rows")
    return Series(times_ms, closes)


def derived(base: Series, start_dollars: float, beta: float, deviation: float, seed: str) -> Series:
    """A made-up series: `beta` times another's log returns and seeded noise, `deviation` a row. Not market data."""
    noise = random.Random(seed)
    drift = 0.0
    closes: list[float] = []
    for close in base.closes:
        drift += noise.gauss(0, deviation)
        closes.append(start_dollars * math.exp(beta * math.log(close / base.closes[0]) + drift))
    return Series(base.times_ms, closes)


class RecordedPrices:
    """Plays series, one a market, `speed` recorded seconds a second.

    With `start_ms` the recording's begin is played at that moment, once; nothing is quoted before and after. Without,
    it is played round and round, laid over the clock so that signers agree without talking; every round ends in a jump.
    """

    def __init__(self, series: Sequence[Series], speed: float = 1.0, start_ms: int | None = None) -> None:
        """SourceError where the series have no time in common."""
        self._series = list(series)
        self._speed = speed
        self._start_ms = start_ms
        self._begin_ms = max(one.times_ms[0] for one in self._series)
        self._span_ms = min(one.times_ms[-1] for one in self._series) - self._begin_ms
        if self._span_ms <= 0:
            raise SourceError("the recorded series have no time in common")

    async def quotes(self, time_ms: int) -> list[Quote | None]:
        """The last closes; a close is taken for true until its minute is over."""
        played = int((time_ms - (self._start_ms or 0)) * self._speed)
        if self._start_ms is None:
            played %= self._span_ms
        elif not 0 <= played <= self._span_ms:
            return [None] * len(self._series)
        recorded_ms = self._begin_ms + played
        found: list[Quote | None] = []
        for one in self._series:
            row = bisect_right(one.times_ms, recorded_ms) - 1
            age_ms = max(0, recorded_ms - one.times_ms[row] - _MINUTE_MS)
            found.append(Quote(one.closes[row], time_ms - int(age_ms / self._speed)))
        return found
