"""What is told on each channel: the type of its snapshot and the type of its messages, once for node and client."""

from typing import Any, Final

from sequencer.schema.accounts import AccountView, MarginCall, OpenOrder
from sequencer.schema.answers import AccountUpdate, BatchView, Book, FillView, MarketView, OrderEvent, PostMortemView
from sequencer.schema.depth import Depth, DepthChange
from sequencer.schema.history import CandleView, FundingNow

# By the channel's name, or by the beginning, up to its colon, of a family's.
TOLD_ON: Final[dict[str, tuple[Any, Any]]] = {
    "prices": (list[MarketView], list[MarketView]),
    "book:": (Book, Book),
    "book_deltas:": (Depth, DepthChange),
    "trades:": (list[FillView], FillView),
    "candles:": (list[CandleView], list[CandleView]),
    "funding": (list[FundingNow], list[FundingNow]),
    "account:": (AccountView, AccountUpdate),
    "orders:": (list[OpenOrder], list[OrderEvent]),
    "margin_calls": (list[MarginCall], MarginCall),
    "rescues": (list[PostMortemView], PostMortemView),
    "batches": (list[BatchView], list[BatchView]),
}
# Each message is the whole state: who reads slowly is told the newest alone, so that sequences may leave some out.
_WHOLE: Final = ("prices", "book:", "funding", "account:")


def is_whole(channel: str) -> bool:
    """Whether a channel's messages may follow one another with some left out."""
    prefix, colon, _ = channel.partition(":")
    return prefix + colon in _WHOLE


def told_on(channel: str) -> tuple[Any, Any]:
    """Types of snapshot and messages; KeyError of a channel that no node has."""
    prefix, colon, _ = channel.partition(":")
    return TOLD_ON[prefix + colon]
