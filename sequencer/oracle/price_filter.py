"""When a signer would rather stay silent than sign a price."""

from collections.abc import Mapping, Sequence
from typing import Final

from sequencer.oracle.price_sources import Market, Quote

_MAX_PRICE_TICKS: Final = 2**48 - 1


class Silent(Exception):
    """Why a signer says nothing this time."""


class PriceFilter:
    """Turns quotes into prices in ticks, or keeps the signer silent.

    A price that is too old is not signed. One that moved by more than `max_move_ppm` since the last is signed once
    `confirmations` readings in a row stand by it: with three, a wick of one or two readings is never signed and a real
    crash is signed ten seconds late, before the last tick is stale by law.

    A market that has had no price to be signed for `missing_ms` is said to have none, by a price of 0: else one source
    that is gone would stop the ticks of all markets. The law sets it aside where most signers say so.
    """

    def __init__(
        self, markets: Sequence[Market], max_age_ms: int, max_move_ppm: int, confirmations: int, missing_ms: int
    ) -> None:
        self._markets: list[Market] = []
        self._max_age_ms = max_age_ms
        self._missing_ms = missing_ms
        self._max_move_ppm = max_move_ppm
        self._confirmations = confirmations
        self._last: list[int] = []
        self._candidate: list[int] = []
        self._seen: list[int] = []
        # Since when a market has had none; 0 where it has one.
        self._missing_since: list[int] = []
        # Names of the markets that were said to have none, the last time.
        self.without: list[str] = []
        self.follow(markets)

    def follow(self, markets: Sequence[Market]) -> None:
        """Goes on with a list that has grown; what is known of the markets before stays."""
        for market in markets[len(self._markets) :]:
            self._markets.append(market)
            for column in (self._last, self._candidate, self._seen, self._missing_since):
                column.append(0)

    def begin_at(self, last_ticks: Mapping[str, int]) -> None:
        """Measures the first reading of each market against the venue's last price, where there is one.

        Else a signer that starts beside a broken source would sign whatever it reads first.
        """
        for index, market in enumerate(self._markets):
            self._last[index] = self._last[index] or last_ticks.get(market.name, 0)

    def prices(self, time_ms: int, quotes: Sequence[Quote | None]) -> list[int]:
        """Ticks by market, 0 for one without a price; raises Silent, for a signer signs all markets or nothing."""
        if len(quotes) != len(self._markets):
            raise Silent("the source has another number of markets")
        reasons: list[str] = []
        self.without = []
        signed: list[int] = []
        for index, (market, quote) in enumerate(zip(self._markets, quotes, strict=True)):
            ticks, missing = self._ticks(market, quote, time_ms)
            since = self._missing_since[index] = (self._missing_since[index] or time_ms) if missing else 0
            if missing and time_ms - since >= self._missing_ms:
                self.without.append(market.name)
                signed.append(0)
                continue
            reason = missing or self._weigh(index, ticks)
            if reason:
                reasons.append(f"{market.name}: {reason}")
            signed.append(ticks)
        if reasons or not any(signed):
            raise Silent("; ".join(reasons) or "no market has a price")
        return signed

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

    def _weigh(self, index: int, ticks: int) -> str:
        """Why a price is not signed yet, or nothing: then it is the last one that was."""
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
