"""What is said to a program of Hyperliquid's when the answer is no: the words that such programs read."""

from typing import Final

import msgspec

from sequencer.client.errors import ClientError, NodeUnreachable, Rejected
from sequencer.wallet.errors import BadInput

OFF_TICK: Final = "Price must be divisible by tick size."
BAD_SIZE: Final = "Order has invalid size."
ZERO_SIZE: Final = "Order has zero size."
BAD_TRIGGER: Final = "Invalid TP/SL price."
NO_MATCH: Final = "Order could not immediately match against any resting orders."
NO_ORDER: Final = "Order was never placed, already canceled, or filled."
GROWS: Final = "Reduce only order would increase position."
NO_MARGIN: Final = "Insufficient margin to place order."
TOO_FAR: Final = "Order price cannot be more than 80% away from the reference price"
# The law's code where a post-only order would have taken.
POST_ONLY: Final = "POST_ONLY"
# Before the best bid and ask, which follow.
WOULD_MATCH: Final = "Post only order would have immediately matched, bbo was"

# By the name of the law's code. What is not here keeps the venue's own sentence.
_BY_CODE: Final = {
    "TAKER_MARGIN": NO_MARGIN,
    "MAKER_MARGIN": NO_MARGIN,
    "MARGIN": NO_MARGIN,
    "COLLATERAL": NO_MARGIN,
    "REDUCE_ONLY": GROWS,
    "PRICE_BAND": TOO_FAR,
    "UNKNOWN_ORDER": NO_ORDER,
    "NO_ORDER": NO_ORDER,
}
_OWNERS_ALONE: Final = (
    "{what} is for the account's owner to sign, and this gateway holds an agent's key, which signs orders and cancels "
    "alone: use `{command}`."
)


class Refused(Exception):
    """The whole message is refused, or, in a batch, what it stands for; the text is what the program reads."""


class UnknownSigner(Refused):
    """The signature is of nobody that is served: to have looked for it is paid for by who sent it."""


class Bbo(msgspec.Struct, frozen=True):
    """The best bid and ask of a market as texts; empty where there is none."""

    bid: str
    ask: str


def owners_alone(what: str, command: str) -> Refused:
    """Something that no agent may sign."""
    return Refused(_OWNERS_ALONE.format(what=what, command=command))


def of_order(error: ClientError, asset: int, bbo: Bbo, minimum_dollars: str) -> str:
    """Why an order was not taken: the words of Hyperliquid where it has some, and the venue's own behind them."""
    if isinstance(error, NodeUnreachable):
        return f"No answer from the venue: whether the order stands is unknown; ask orderStatus. {error} asset={asset}"
    if isinstance(error, BadInput):
        return f"{BAD_SIZE} {error} asset={asset}"
    if not isinstance(error, Rejected):
        return f"{error} asset={asset}"
    words = _BY_CODE.get(error.rejection)
    if error.rejection == POST_ONLY:
        words = f"{WOULD_MATCH} {bbo.bid}@{bbo.ask}."
    if error.rejection == "TOO_SMALL":
        words = f"Order must have minimum value of ${minimum_dollars}."
    return f"{words} asset={asset} ({error})" if words else f"{error} asset={asset}"


def of_call(error: ClientError) -> str:
    """Why a whole call has no answer."""
    if isinstance(error, Rejected) and error.rejection == "RATE_LIMITED":
        return f"Too many cumulative requests sent: the venue asks to wait. {error}"
    return str(error)
