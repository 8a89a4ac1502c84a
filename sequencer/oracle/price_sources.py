"""Where an oracle signer's prices come from, and when it would rather stay silent than sign one."""

import csv
import gzip
import io
import math
import random
import re
import statistics
from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol, cast

import httpx
import msgspec
import trio

from prover.stf import constants

_MAX_SERIES_BYTES: Final = 256 << 20
_MAX_ANSWER_BYTES: Final = 1 << 20
_HTTP_SECONDS: Final = 3.0
_MAX_DEPTH: Final = 32
# Strings, so that brackets in them do not count, and brackets.
_BRACKETS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)
_MINUTE_MS: Final = 60_000
_HOUR_STEPS: Final = 3_600_000 // constants.TICK_STEP
# One standard deviation of a step of five seconds, about 60% a year.
_STEP_DEVIATION: Final = 0.00024
# A simulated price forgets half of a move in an hour: it stays near its start for ever.
_KEEP: Final = 0.5 ** (1 / _HOUR_STEPS)
_BLOCK_STEPS: Final = 6 * _HOUR_STEPS
# Twelve half-lives: what lies before them weighs less than a four-thousandth of what lies inside.
_WARM_UP_STEPS: Final = 12 * _HOUR_STEPS
_MAX_PRICE_TICKS: Final = 2**48 - 1


class Market(msgspec.Struct, frozen=True):
    """A market as a signer needs it: a tick is 10^-price_decimals dollars."""

    name: str
    price_decimals: int


class Quote(msgspec.Struct, frozen=True):
    """A price in dollars, and when it was true, ms."""

    dollars: float
    observed_ms: int


class PriceSource(Protocol):
    """Gives a quote a market for a grid time, None where it has none. Never raises for what comes from outside."""

    async def quotes(self, time_ms: int) -> list[Quote | None]:
        """In the order of the markets."""


class SourceError(Exception):
    """A source that cannot be used at all; one sentence for the operator."""


# Recorded.


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
            time_ms, close = _time_ms(row["timestamp"]), float(row["close"])
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


def _time_ms(text: str) -> int:
    if text.isascii() and text.isdigit():
        number = int(text)
        return number if number >= 10**11 else number * 1_000
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1_000)


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


# Simulated.


class SimulatedPrices:
    """Seeded prices that wander around their start, with jumps of all markets at once in one direction.

    A price is a function of seed and time alone: it is computed from a fixed point before each block of six hours, so
    signers that start at different moments say the same. That is a tenth of a second of CPU, once a block.
    """

    def __init__(self, seed: int, start_dollars: Sequence[float], jumps_per_hour: float, jump_ppm: int) -> None:
        """`jump_ppm`: size of each jump, up or down by even chances."""
        self._seed = seed
        self._start_dollars = list(start_dollars)
        self._jump_chance = -math.expm1(-jumps_per_hour / _HOUR_STEPS)
        self._jump = math.log1p(jump_ppm / 1_000_000)
        self._block = -1
        self._step = -1
        self._moves: list[float] = []

    async def quotes(self, time_ms: int) -> list[Quote | None]:
        """The simulated prices of a grid time."""
        moves = self._moved(time_ms // constants.TICK_STEP)
        return [Quote(start * math.exp(move), time_ms) for start, move in zip(self._start_dollars, moves, strict=True)]

    def _moved(self, step: int) -> list[float]:
        if self._block != step // _BLOCK_STEPS or self._step > step:
            self._block = step // _BLOCK_STEPS
            self._step = self._block * _BLOCK_STEPS - _WARM_UP_STEPS
            self._moves = [0.0] * len(self._start_dollars)
        while self._step < step:
            self._step += 1
            draw = random.Random(self._seed << 64 | self._step)
            jump = 0.0
            if draw.random() < self._jump_chance:
                jump = self._jump if draw.random() < 0.5 else -self._jump
            self._moves = [move * _KEEP + draw.gauss(0, _STEP_DEVIATION) + jump for move in self._moves]
        return self._moves


class NoisyPrices:
    """Another source as one signer sees it: each quote off by at most `noise_ppm`, seeded by signer and time."""

    def __init__(self, source: PriceSource, noise_ppm: int, signer_index: int) -> None:
        self._source = source
        self._noise_ppm = noise_ppm
        self._signer_index = signer_index

    async def quotes(self, time_ms: int) -> list[Quote | None]:
        """The other source's quotes, a little off."""
        draw = random.Random(time_ms << 8 | self._signer_index)
        return [
            quote
            if quote is None
            else Quote(quote.dollars * (1 + draw.uniform(-1, 1) * self._noise_ppm / 1_000_000), quote.observed_ms)
            for quote in await self._source.quotes(time_ms)
        ]


# HTTP.


class HttpPrice(msgspec.Struct, frozen=True):
    """Where a price stands: a URL, the path to it in the JSON answer, and the path to its time if it has one."""

    url: str
    price_path: tuple[str, ...]
    time_path: tuple[str, ...] = ()


def parse_http_price(text: str) -> HttpPrice:
    """URL#price.path or URL#price.path,time.path; list items by their index. ValueError for anything else."""
    url, mark, paths = text.partition("#")
    price_path, _, time_path = paths.partition(",")
    if not (url.startswith(("https://", "http://")) and mark and price_path):
        raise ValueError("it is URL#path.to.price or URL#path.to.price,path.to.time")
    return HttpPrice(url, tuple(price_path.split(".")), tuple(time_path.split(".")) if time_path else ())


class HttpPrices:
    """Asks one or more URLs a market at each grid time; the median (the lower one of two) of those that answer."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        prices: Sequence[Sequence[HttpPrice]],
        now_ms: Callable[[], int],
        failed: Callable[[str, str], None] = lambda url, reason: None,
        max_age_ms: int = constants.MAX_PRICE_AGE,
    ) -> None:
        """`failed` is told (url, reason) of every answer that is none. Prices older than `max_age_ms` do not count."""
        self._client = client
        self._prices = [list(of_market) for of_market in prices]
        self._now_ms = now_ms
        self._failed = failed
        self._max_age_ms = max_age_ms

    async def quotes(self, time_ms: int) -> list[Quote | None]:
        """What the URLs answer now."""
        found: list[list[Quote]] = [[] for _ in self._prices]
        async with trio.open_nursery() as nursery:
            for place, of_market in enumerate(self._prices):
                for price in of_market:
                    nursery.start_soon(self._ask, price, found[place])
        return [_middle(quotes) for quotes in found]

    async def _ask(self, price: HttpPrice, found: list[Quote]) -> None:
        try:
            with trio.fail_after(_HTTP_SECONDS):
                answer = await self._answer(price.url)
            now_ms = self._now_ms()
            dollars = _number(_at(answer, price.price_path))
            observed_ms = now_ms
            if price.time_path:
                value = _at(answer, price.time_path)
                # A time in s or ms; one of the future says nothing about age.
                number = _time_ms(value) if isinstance(value, str) else round(_number(value))
                observed_ms = min(now_ms, number if number >= 10**11 else number * 1_000)
            if now_ms - observed_ms > self._max_age_ms:
                raise ValueError(f"the price is {now_ms - observed_ms} ms old")
        except trio.TooSlowError:
            self._failed(price.url, f"no answer in {_HTTP_SECONDS:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OverflowError) as error:
            self._failed(price.url, str(error) or type(error).__name__)
        else:
            found.append(Quote(dollars, observed_ms))

    async def _answer(self, url: str) -> Any:
        body = bytearray()
        async with (
            self._client.stream("GET", url, headers={"Accept": "application/json"}) as response,
            aclosing(cast(AsyncGenerator[bytes, None], response.aiter_bytes())) as pieces,
        ):
            if response.status_code != 200:
                raise ValueError(f"HTTP status {response.status_code}")
            async for piece in pieces:
                body += piece
                if len(body) > _MAX_ANSWER_BYTES:
                    raise ValueError(f"the answer is larger than {_MAX_ANSWER_BYTES} bytes")
        if _is_deep(body):
            raise ValueError(f"the answer is nested deeper than {_MAX_DEPTH}")
        try:
            return msgspec.json.decode(body)
        except msgspec.DecodeError:
            raise ValueError("the answer is not JSON") from None


def _is_deep(body: bytes | bytearray) -> bool:
    # The parser recurses in C, and libraries that raise the interpreter's limit would let it run out of stack.
    depth = 0
    for found in _BRACKETS.finditer(body):
        mark = found.group()[:1]
        depth += 1 if mark in b"[{" else -1 if mark in b"]}" else 0
        if depth > _MAX_DEPTH:
            return True
    return False


def _at(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isascii() and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            raise ValueError(f"the answer has no {'.'.join(path)}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("what stands there is no number")
    number = float(value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError("what stands there is no number above 0")
    return number


def _middle(quotes: list[Quote]) -> Quote | None:
    if not quotes:
        return None
    middle = statistics.median_low(quote.dollars for quote in quotes)
    return next(quote for quote in quotes if quote.dollars == middle)


# Guards.


class Silent(Exception):
    """Why a signer says nothing this time."""


class Guard:
    """Turns quotes into prices in ticks, or keeps the signer silent.

    A price that is too old is not signed. One that moved by more than `max_move_ppm` since the last is signed once
    `confirmations` readings in a row stand by it: with three, a wick of one or two readings is never signed and a real
    crash is signed ten seconds late, before the last tick is stale by law.
    """

    def __init__(self, markets: Sequence[Market], max_age_ms: int, max_move_ppm: int, confirmations: int) -> None:
        self._markets: list[Market] = []
        self._max_age_ms = max_age_ms
        self._max_move_ppm = max_move_ppm
        self._confirmations = confirmations
        self._last: list[int] = []
        self._candidate: list[int] = []
        self._seen: list[int] = []
        self.follow(markets)

    def follow(self, markets: Sequence[Market]) -> None:
        """Goes on with a list that has grown; what is known of the markets before stays."""
        for market in markets[len(self._markets) :]:
            self._markets.append(market)
            for column in (self._last, self._candidate, self._seen):
                column.append(0)

    def prices(self, time_ms: int, quotes: Sequence[Quote | None]) -> list[int]:
        """Ticks by market; raises Silent, for a signer signs all markets or nothing."""
        if len(quotes) != len(self._markets):
            raise Silent("the source has another number of markets")
        reasons: list[str] = []
        for index, (market, quote) in enumerate(zip(self._markets, quotes, strict=True)):
            reason = self._weigh(index, market, quote, time_ms)
            if reason:
                reasons.append(f"{market.name}: {reason}")
        if reasons:
            raise Silent("; ".join(reasons))
        return list(self._last)

    def _weigh(self, index: int, market: Market, quote: Quote | None, time_ms: int) -> str:
        if quote is None:
            return "no price"
        if time_ms - quote.observed_ms > self._max_age_ms:
            return f"the price is {time_ms - quote.observed_ms} ms old"
        ticks = round(quote.dollars * 10**market.price_decimals)
        if not 1 <= ticks <= _MAX_PRICE_TICKS:
            return f"{quote.dollars:g} dollars cannot be written in ticks"
        if self._last[index] and self._is_far(ticks, self._last[index]):
            is_confirmed = self._candidate[index] and not self._is_far(ticks, self._candidate[index])
            self._seen[index] = self._seen[index] + 1 if is_confirmed else 1
            self._candidate[index] = ticks
            if self._seen[index] < self._confirmations:
                return f"moved from {self._last[index]} to {ticks} ticks, seen {self._seen[index]} times"
        self._last[index], self._candidate[index], self._seen[index] = ticks, 0, 0
        return ""

    def _is_far(self, ticks: int, other: int) -> bool:
        return abs(ticks - other) * 1_000_000 > self._max_move_ppm * other
