"""Prices that any JSON over HTTP tells."""

import math
import re
import statistics
from collections.abc import Callable, Sequence
from typing import Any, Final

import httpx
import msgspec
import trio

from l1_bridge.client.body import body_within
from prover.stf import constants
from sequencer.oracle.options import HttpPrice
from sequencer.oracle.price_sources import Quote, read_time_ms

_MAX_ANSWER_BYTES: Final = 1 << 20
_HTTP_SECONDS: Final = 3.0
_MAX_DEPTH: Final = 32
# Strings, so that brackets in them do not count, and brackets.
_BRACKETS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)


class Agreement(msgspec.Struct, frozen=True):
    """When several sources of a market are a price: so many of them within so much of the middle one.

    least: None for more than half of those that were named. spread_ppm: parts in a million of the middle price.
    """

    least: int | None = None
    spread_ppm: int = 10_000

    def wanted(self, named: int) -> int:
        """How many of so many sources have to agree."""
        return named // 2 + 1 if self.least is None else self.least


USUAL: Final = Agreement()


class HttpPrices:
    """Asks one or more URLs a market at each grid time; the median (the lower one of two) of those that agree."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        prices: Sequence[Sequence[HttpPrice]],
        now_ms: Callable[[], int],
        failed: Callable[[str, str], None] = lambda url, reason: None,
        max_age_ms: int = constants.MAX_PRICE_AGE,
        agreement: Agreement = USUAL,
    ) -> None:
        """`failed` is told (url, reason) of every answer that is none, and of each that stands apart.

        Prices older than `max_age_ms` do not count.
        """
        self._client = client
        self._prices = [list(of_market) for of_market in prices]
        self._now_ms = now_ms
        self._failed = failed
        self._max_age_ms = max_age_ms
        self._agreement = agreement

    async def quotes(self, time_ms: int) -> list[Quote | None]:
        """What the URLs answer now."""
        found: list[list[tuple[Quote, str]]] = [[] for _ in self._prices]
        async with trio.open_nursery() as nursery:
            for place, of_market in enumerate(self._prices):
                for price in of_market:
                    nursery.start_soon(self._ask, price, found[place])
        return [
            self._agreed(answers, self._agreement.wanted(len(of_market)))
            for answers, of_market in zip(found, self._prices, strict=True)
        ]

    def _agreed(self, answers: list[tuple[Quote, str]], wanted: int) -> Quote | None:
        """The middle of those that stand by the middle one; None where they are fewer than wanted."""
        middle = _middle([quote for quote, _ in answers])
        if middle is None:
            return None
        most = middle.dollars * self._agreement.spread_ppm / constants.PPM
        near = [quote for quote, _ in answers if abs(quote.dollars - middle.dollars) <= most]
        for quote, url in answers:
            if quote not in near:
                self._failed(url, f"{quote.dollars:g} dollars, where others say {middle.dollars:g}")
        return _middle(near) if len(near) >= wanted else None

    async def _ask(self, price: HttpPrice, found: list[tuple[Quote, str]]) -> None:
        try:
            with trio.fail_after(_HTTP_SECONDS):
                answer = await self._answer(price.url)
            now_ms = self._now_ms()
            dollars = _number(_at(answer, price.price_path))
            observed_ms = now_ms
            if price.time_path:
                value = _at(answer, price.time_path)
                # A time in s or ms; one of the future says nothing about age.
                number = read_time_ms(value) if isinstance(value, str) else round(_number(value))
                observed_ms = min(now_ms, number if number >= 10**11 else number * 1_000)
            if now_ms - observed_ms > self._max_age_ms:
                raise ValueError(f"the price is {now_ms - observed_ms} ms old")
        except trio.TooSlowError:
            self._failed(price.url, f"no answer in {_HTTP_SECONDS:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, OverflowError) as error:
            self._failed(price.url, str(error) or type(error).__name__)
        else:
            found.append((Quote(dollars, observed_ms), price.url))

    async def _answer(self, url: str) -> Any:
        async with self._client.stream("GET", url, headers={"Accept": "application/json"}) as response:
            if response.status_code != 200:
                raise ValueError(f"HTTP status {response.status_code}")
            body = await body_within(response, _MAX_ANSWER_BYTES)
        if body is None:
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
