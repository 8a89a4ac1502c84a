"""Which effect speaks on which channel."""

from collections.abc import Callable, Iterable
from typing import Final

from sequencer.engine import effects
from sequencer.engine.effects import AnyEffect

BOOK: Final = "book"
TRADES: Final = "trades"
ACCOUNT: Final = "account"
PRICES: Final = "prices"
RESCUES: Final = "rescues"

SPEAKS_ON: Final[dict[type[effects.Effect], tuple[str, ...]]] = {
    effects.Accepted: (BOOK, ACCOUNT),
    effects.Repeated: (),
    effects.Armed: (BOOK, ACCOUNT),
    effects.Fired: (BOOK, ACCOUNT),
    effects.Rested: (BOOK, ACCOUNT),
    effects.Shrunk: (BOOK, ACCOUNT),
    effects.Left: (BOOK, ACCOUNT),
    effects.Filled: (BOOK, TRADES, ACCOUNT),
    effects.Refused: (),
    effects.Applied: (ACCOUNT,),
    effects.SoftlyCancelled: (ACCOUNT,),
    effects.Switched: (ACCOUNT,),
    effects.EntryConsumed: (),
    effects.EntryEnded: (),
    effects.PaidOut: (),
    effects.Opened: (ACCOUNT,),
    effects.Rescued: (BOOK, ACCOUNT, RESCUES),
    effects.Settled: (ACCOUNT,),
    effects.Moved: (ACCOUNT,),
    effects.Ticked: (BOOK, PRICES),
    effects.MarketChanged: (BOOK,),
}


def speaking(told: Iterable[AnyEffect], channel: str) -> list[AnyEffect]:
    """The effects that speak on a channel."""
    return [effect for effect in told if channel in SPEAKS_ON[type(effect)]]


def keys(told: Iterable[AnyEffect], channel: str, of: Callable[[AnyEffect], Iterable[int]]) -> list[int]:
    """Accounts or markets whose channel of one family is spoken on, each once, ascending."""
    return sorted({key for effect in speaking(told, channel) for key in of(effect)})
