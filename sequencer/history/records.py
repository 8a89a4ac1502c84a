"""Rows of history, each in a list of its kind and of one owner: an account, a market, or a series of candles.

`time` never falls within a list. `mark` is of no other row of it: a cursor names a row by its number and its mark.
"""

from typing import Any, Final

import msgspec

from sequencer.engine.money.touched import Funding
from sequencer.engine.records import Fill

HISTORY_KEY: Final = b"mhistory"
LISTED_KEY: Final = b"mlisted"

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
INTERVALS: Final = {"1m": MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "1h": HOUR, "4h": 4 * HOUR, "1d": DAY}

# Of what candles are made.
OF_TRADES, OF_ORACLE = range(2)


class Row(msgspec.Struct, array_like=True):
    """What every row begins with; time in milliseconds. chunk: which it stands in, 0 where it is of many."""

    time: int
    mark: int
    chunk: int


class OwnFill(Row, array_like=True):
    """A fill as one of its two accounts has it; money in micro-dollars.

    role: maker or taker; the kind of rescue where no order of the account stood; settlement, of a market that is over.
    lots: bought, or sold where negative; position: behind it; realised, collateral: as in `Behind`. order: its name,
    empty for none; client: what its owner calls it.
    """

    market: int
    role: str
    lots: int
    price: int
    fee: int
    order: str
    client: str
    position: int
    realised: int
    collateral: int
    other: int
    operation: int


class Trade(Row, array_like=True):
    """A fill as everybody sees it."""

    fill: Fill


class Payment(Row, array_like=True):
    """Funding that an account paid at one touch, or got where it is negative: micro-dollars, rounded up once."""

    paid: int
    collateral: int
    funding: list[Funding]


class Movement(Row, array_like=True):
    """Money that came or left beside trades, as the effect `Moved` says it."""

    kind: str
    amount: int
    fee: int
    other: int | None
    withdrawal: int | None
    collateral: int


class Rate(Row, array_like=True):
    """Funding of a market in one hour: the index before its first tick and behind its last; the last tick's word."""

    index_before: int
    index: int
    premium: int
    rate: int
    price: int


class Candle(Row, array_like=True):
    """Prices in ticks from `time` on; lots, quote and count of trades, 0 of candles of the oracle's prices."""

    open: int
    high: int
    low: int
    close: int
    lots: int = 0
    quote: int = 0
    count: int = 0

    def add(self, fill: Fill) -> None:
        """One fill more, whose price it has."""
        self.lots += fill.size
        self.quote += fill.size * fill.price
        self.count += 1


class Sample(Row, array_like=True):
    """What an account was worth at a time; micro-dollars."""

    equity: int
    collateral: int


class Kept(msgspec.Struct, frozen=True):
    """How much of each list of a kind is kept: so many rows at most, none older than so many days."""

    rows: int
    days: int


class Kind(msgspec.Struct, frozen=True):
    """A kind of list: its name as an option says it, the letter in its keys, and the type of its rows."""

    name: str
    letter: bytes
    type: Any
    kept: Kept
    is_of_accounts: bool = False


FILLS: Final = Kind("fills", b"f", OwnFill, Kept(20_000, 400), is_of_accounts=True)
PAYMENTS: Final = Kind("funding", b"p", Payment, Kept(20_000, 400), is_of_accounts=True)
MOVEMENTS: Final = Kind("transfers", b"m", Movement, Kept(20_000, 4_000), is_of_accounts=True)
SAMPLES: Final = Kind("equity", b"e", Sample, Kept(20_000, 400), is_of_accounts=True)
TRADES: Final = Kind("trades", b"t", Trade, Kept(200_000, 90))
RATES: Final = Kind("rates", b"r", Rate, Kept(20_000, 800))
CANDLES: Final = Kind("candles", b"c", Candle, Kept(20_000, 4_000))
KINDS: Final = (FILLS, PAYMENTS, MOVEMENTS, SAMPLES, TRADES, RATES, CANDLES)

# Series of candles of a market stand side by side.
SERIES: Final = 2 * len(INTERVALS)


def series_of(market: int, source: int, interval: int) -> int:
    """The owner of a series of candles; interval: its place in INTERVALS."""
    return market * SERIES + source * len(INTERVALS) + interval


def row_key(kind: Kind, owner: int, number: int) -> bytes:
    """Where a row stands in the store."""
    return HISTORY_KEY + kind.letter + owner.to_bytes(4, "big") + number.to_bytes(8, "big")


def listed_key(kind: Kind, owner: int) -> bytes:
    """Where the store says which rows a list has."""
    return LISTED_KEY + kind.letter + owner.to_bytes(4, "big")
