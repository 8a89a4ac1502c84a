"""When a signer would rather stay silent than sign a price."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from sequencer.oracle.price_sources import Market, Quote

_MAX_PRICE_TICKS: Final = 2**48 - 1


class Silent(Exception):
    """Why a signer says nothing this time."""


class _Known:
    """What a signer knows of one market; 0 and empty where there is nothing yet.

    ticks, observed_ms: its last confirmed price and the time of that reading. candidate, seen: a price that moved far,
    and how many readings in a row stand by it. readings: of the last window, (time, whether it gave a price).
    """

    def __init__(self) -> None:
        self.ticks = 0
        self.observed_ms = 0
        self.candidate = 0
        self.seen = 0
        self.readings: deque[tuple[int, bool]] = deque()


class PriceFilter:
    """Turns quotes into prices in ticks, or keeps the signer silent.

    A price that is too old is not signed. One that moved by more than `max_move_ppm` since the last is signed once
    `confirmations` readings in a row stand by it: with three, a wick of one or two readings is never signed and a real
    crash is signed ten seconds late.

    Where a reading gives no price the last confirmed one is signed on while it is not too old itself: else one thin
    market would take the rescues from all, which wait for three ticks in a row. Then a market
    that more readings of the last `missing_ms` gave none for than one, over half of it at the least, is said to have
    none, by a price of 0: else one source that is gone, or that nothing confirms, would stop the ticks of all markets.
    The law sets it aside where most signers say so.
    """

    def __init__(
        self, markets: Sequence[Market], max_age_ms: int, max_move_ppm: int, confirmations: int, missing_ms: int
    ) -> None:
        self._markets: list[Market] = []
        self._max_age_ms = max_age_ms
        self._missing_ms = missing_ms
        self._max_move_ppm = max_move_ppm
        self._confirmations = confirmations
        self._known: list[_Known] = []
        # Names of the markets that were said to have none, and of those whose price was an earlier one, the last time.
        self.without: list[str] = []
        self.held: list[str] = []
        self.follow(markets)

    def follow(self, markets: Sequence[Market]) -> None:
        """Goes on with a list that has grown; what is known of the markets before stays."""
        for market in markets[len(self._markets) :]:
            self._markets.append(market)
            self._known.append(_Known())

    def begin_at(self, last_ticks: Mapping[str, int]) -> None:
        """Measures the first reading of each market against the venue's last price, where there is one.

        Else a signer that starts beside a broken source would sign whatever it reads first.
        """
        for market, known in zip(self._markets, self._known, strict=True):
            known.ticks = known.ticks or last_ticks.get(market.name, 0)

    def prices(self, time_ms: int, quotes: Sequence[Quote | None]) -> list[int]:
        """Ticks by market, 0 for one without a price; raises Silent, for a signer signs all markets or nothing."""
        if len(quotes) != len(self._markets):
            raise Silent("the source has another number of markets")
        reasons: list[str] = []
        self.without, self.held = [], []
        signed: list[int] = []
        for market, known, quote in zip(self._markets, self._known, quotes, strict=True):
            reason = self._read(market, known, quote, time_ms)
            is_missing = self._is_missing(known, time_ms, is_read=not reason)
            signed.append(known.ticks)
            if not reason:
                continue
            if time_ms - known.observed_ms <= self._max_age_ms:
                self.held.append(market.name)
            elif is_missing:
                self.without.append(market.name)
                signed[-1] = 0
            else:
                reasons.append(f"{market.name}: {reason}")
        if reasons or not any(signed):
            raise Silent("; ".join(reasons) or "no market has a price")
        return signed

    def _read(self, market: Market, known: _Known, quote: Quote | None, time_ms: int) -> str:
        """Why a quote gives no price, or nothing: then it is the last confirmed one."""
        ticks, reason = self._ticks(market, quote, time_ms)
        reason = reason or self._weigh(known, ticks)
        if not reason and quote is not None:
            known.observed_ms = quote.observed_ms
        return reason

    def _is_missing(self, known: _Known, time_ms: int, *, is_read: bool) -> bool:
        """Whether more readings of the last window gave no price than gave one, for half of it at the least."""
        readings = known.readings
        readings.append((time_ms, is_read))
        while len(readings) > 1 and readings[0][0] <= time_ms - self._missing_ms:
            readings.popleft()
        failed = [time for time, gave in readings if not gave]
        return 2 * len(failed) > len(readings) and 2 * (time_ms - failed[0]) >= self._missing_ms

    def _ticks(self, market: Market, quote: Quote | None, time_ms: int) -> tuple[int, str]:
        """What a quote says, or why it says nothing."""
        if quote is None:
            return 0, "no price"
        if time_ms - quote.observed_ms > self._max_age_ms:
            return 0, f"the price is {time_ms - quote.observed_ms} ms old"
        ticks = round(quote.dollars * 10**market.price_decimals)
        if not 1 <= ticks <= _MAX_PRICE_TICKS:
            return 0, f"{quote.dollars:g} dollars cannot be written in ticks"
        return ticks, ""

    def _weigh(self, known: _Known, ticks: int) -> str:
        """Why a price is not confirmed yet, or nothing: then it is the last one that was."""
        if known.ticks and self._is_far(ticks, known.ticks):
            is_confirmed = known.candidate and not self._is_far(ticks, known.candidate)
            known.seen = known.seen + 1 if is_confirmed else 1
            known.candidate = ticks
            if known.seen < self._confirmations:
                return f"moved from {known.ticks} to {ticks} ticks, seen {known.seen} times"
        known.ticks, known.candidate, known.seen = ticks, 0, 0
        return ""

    def _is_far(self, ticks: int, other: int) -> bool:
        return abs(ticks - other) * 1_000_000 > self._max_move_ppm * other
