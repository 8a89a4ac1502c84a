"""A book told by its changes: what its reader keeps, and the sum by which he knows that he has all of it."""

from collections.abc import Iterable
from itertools import islice
from typing import Final
from zlib import crc32

import msgspec

# Of each side.
MOST_LEVELS: Final = 50
SUMMED_LEVELS: Final = 10

# (price_ticks, size_lots); a size of 0 takes the level out.
Level = tuple[int, int]


class Depth(msgspec.Struct, frozen=True, kw_only=True):
    """The best levels of one market, the best first: at most fifty of each side. checksum: of the ten best of both."""

    market: str
    bids: list[Level]
    asks: list[Level]
    checksum: int
    time_ms: int


class DepthChange(msgspec.Struct, frozen=True, kw_only=True):
    """What has changed of those levels since the message before, whose sequence is `previous`.

    Each level as it is now: size 0 where it is none of the fifty best any more. checksum: of the book behind it.
    """

    market: str
    previous: int
    bids: list[Level]
    asks: list[Level]
    checksum: int
    time_ms: int


def checksum(bids: Iterable[Level], asks: Iterable[Level]) -> int:
    """CRC-32 of "price:size" of the ten best bids, then of the ten best asks, all joined by "," in ASCII."""
    sides = [f"{price}:{size}" for side in (bids, asks) for price, size in islice(side, SUMMED_LEVELS)]
    return crc32(",".join(sides).encode())


def changes(before: Iterable[Level], now: Iterable[Level]) -> list[Level]:
    """The levels of one side that are not as they were, those that are gone with size 0."""
    old, new = dict(before), dict(now)
    return [(price, 0) for price in old if price not in new] + [one for one in new.items() if old.get(one[0]) != one[1]]


class Mirror:
    """A reader's book, kept by changes. False where it is not the venue's: begin with a snapshot again."""

    def __init__(self, told: Depth) -> None:
        self._bids = dict(told.bids)
        self._asks = dict(told.asks)

    def change(self, told: DepthChange) -> bool:
        """Takes a change; whether the book is the venue's behind it."""
        for side, levels in ((self._bids, told.bids), (self._asks, told.asks)):
            for price, size in levels:
                side.pop(price, None)
                if size:
                    side[price] = size
        return checksum(self.bids, self.asks) == told.checksum

    @property
    def bids(self) -> list[Level]:
        """The best first."""
        return sorted(self._bids.items(), reverse=True)

    @property
    def asks(self) -> list[Level]:
        """The best first."""
        return sorted(self._asks.items())
