"""What a node that follows tells of the sequencer's stream. Nothing of it is on L1: `posted` is always false."""

from typing import Annotated, Literal

import msgspec

from sequencer.schema.answers import Book, FillView, MarketView

Limit = Annotated[int, msgspec.Meta(ge=1, le=1_000)]


class SoftStanding(msgspec.Struct, frozen=True, kw_only=True):
    """Where the stream stands: "open", "away" while it is not heard, "dropped" once it said what is not so.

    code: why it was dropped, empty as long as it was not; sentence: the same for people, or why it is away.
    """

    source: str
    standing: Literal["open", "away", "dropped"]
    code: str
    sentence: str


class SoftBook(msgspec.Struct, frozen=True, kw_only=True):
    """The sequencer's book of a market, which L1 never holds; None where it is not known."""

    posted: bool = False
    book: Book | None


class SoftTrades(msgspec.Struct, frozen=True, kw_only=True):
    """Fills that the sequencer has told and no batch on L1 holds yet, the oldest first."""

    posted: bool = False
    fills: list[FillView]


class SoftPrices(msgspec.Struct, frozen=True, kw_only=True):
    """The markets as the sequencer tells them at its newest tick; none where they are not known."""

    posted: bool = False
    markets: list[MarketView]


class SoftView(msgspec.Struct, frozen=True, kw_only=True):
    """catenary_soft: of all markets, or of one. posted_chunks: up to there L1 speaks for itself."""

    posted: bool = False
    standing: SoftStanding
    posted_chunks: int
    fills: list[FillView]
    books: list[Book]
    markets: list[MarketView]


class SoftOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A market by name, or all of them; the newest fills of each, so many at most."""

    market: str | None = None
    limit: Limit = 50
