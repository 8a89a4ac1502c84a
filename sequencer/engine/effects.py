"""What an input came to, as effects in the order in which they happened; feeds and followers read nothing else.

The life of an order is told by those that carry its name: Accepted, then Armed and Fired, Filled, Rested, and at its
end the Filled that left nothing or a Left with its reason; or Refused alone.
"""

from enum import StrEnum
from typing import Final

import msgspec

from prover.signing.receipts import Receipt
from prover.stf import codes
from sequencer.engine.life.steps import Told
from sequencer.engine.money.touched import Behind, Sides, Touch
from sequencer.engine.post_mortem import PostMortem
from sequencer.engine.records import Fill

EFFECTS_VERSION: Final = 12

# Effects of one input are numbered from its own number times this.
_PLACES: Final = 1 << 24


class Reason(StrEnum):
    """Why an order left before it was filled."""

    CANCELLED = "cancelled"
    REPLACED = "replaced"
    EXPIRED = "expired"
    # Reduce-only, and there is nothing left to reduce.
    REDUCED = "reduced"
    # Its signer is no agent of the account any more.
    DISMISSED = "dismissed"
    # The market takes nothing that grows, or nothing at all.
    MARKET = "market"
    # Its account's free collateral no longer covers it, after money or positions have gone.
    MARGIN = "margin"
    # The book was full, and more money stands behind the order that took its place.
    DISPLACED = "displaced"
    # The law refused its fill; `detail` names the rule.
    REFUSED = "refused"
    # An order of its group was filled; or the one that it comes after left without a fill, or its stop has fired.
    LINKED = "linked"
    # The dead-man switch of its account has ended.
    SCHEDULED = "scheduled"
    # The connection has ended for whose end its owner has signed a cancel.
    DISCONNECTED = "disconnected"
    # It met an order of its owner, who has said that then both give way, or that one.
    SELF_TRADE = "self_trade"
    # Too small to pay for its own bytes on L1, and the operator bears no more of its account today.
    UNPAID = "unpaid"
    # Nothing more to meet, and it may not rest; `detail` says what stopped it.
    UNFILLED = "unfilled"


_STATUS_OF: Final = {
    Reason.EXPIRED: "expired",
    Reason.REFUSED: "expired",
    Reason.UNFILLED: "expired",
    Reason.REDUCED: "reduced",
}


def status_of(reason: Reason) -> str:
    """The status of an order that left: expired, where its own terms ended it, reduced, or cancelled."""
    return _STATUS_OF.get(reason, "cancelled")


class Effect(msgspec.Struct, kw_only=True):
    """sequence: rises by every effect of the venue, across restarts too; set once, by the engine."""

    sequence: int = 0


class OrderEffect(Effect, kw_only=True):
    """Something in the life of one order."""

    order: str
    account: int
    market: int


class Accepted(OrderEffect, tag="accepted", kw_only=True):
    """The venue has taken an order; time_ms by the chunk's clock."""

    side: int
    price: int
    size: int
    time_ms: int


class Repeated(OrderEffect, tag="repeated", kw_only=True):
    """The same order again: nothing has happened, and what it has come to is told, its fills with it.

    fees: its own, micro-dollars, of all its fills; untold: steps that are not kept, fills among them; client: as it was
    called when it was taken.
    """

    status: str
    filled: int
    lots: int
    detail: str = ""
    fills: list[Fill] = []
    fees: int = 0
    untold: int = 0
    client: str = ""


class Armed(OrderEffect, tag="armed", kw_only=True):
    """It waits for its trigger; dormant: once the order that it comes after has a fill."""

    lots: int
    dormant: bool = False


class Fired(OrderEffect, tag="fired", kw_only=True):
    """Its trigger was reached."""

    lots: int


class Rested(OrderEffect, tag="rested", kw_only=True):
    """What is left of it rests in the book."""

    lots: int


class Shrunk(OrderEffect, tag="shrunk", kw_only=True):
    """It has `lots` left, fewer than were signed and not filled, and goes on."""

    lots: int
    reason: Reason


class Left(OrderEffect, tag="left", kw_only=True):
    """It is gone with `lots` unfilled. detail: the law's rule or the match's stop, by name.

    met_lots: what stood in its way; met: whose it was, where it was the owner's own.
    """

    lots: int
    reason: Reason
    detail: str = ""
    met: str = ""
    met_lots: int = 0


class Filled(Effect, tag="filled", kw_only=True):
    """A fill; each side's own fee in micro-dollars, and how it stands behind it. The taker of a rescue has no order."""

    fill: Fill
    maker_fee: int
    taker_fee: int
    maker: Behind
    taker: Behind


class Refused(Effect, tag="refused", kw_only=True):
    """The input was not taken; it is in no journal. detail: a sentence of the venue's own, where it has one.

    most_lots: of an order that lacks margin, the largest size that would pass.
    """

    code: int
    detail: str = ""
    most_lots: int | None = None


class Applied(Effect, tag="applied", kw_only=True):
    """An operation that is no order stands in a chunk. accounts: whose rows it touched."""

    operation_tag: int
    code: int
    account: int | None
    accounts: list[int]
    chunk: int
    operation: int


class SoftlyCancelled(Effect, tag="softly_cancelled", kw_only=True):
    """Everything of an account up to a sequence, in one slot or in all (0), is out; no chunk will say so."""

    account: int
    receipt: Receipt


class Switched(Effect, tag="switched", kw_only=True):
    """All open orders of an account leave at a time, unless it is set anew; 0: no more."""

    account: int
    at_ms: int


class EntryConsumed(Effect, tag="entry_consumed", kw_only=True):
    """An entry of the L1 queue has its turn; is_done unless a close is under way with it."""

    index: int
    operation_tag: int
    account: int | None
    code: int
    is_done: bool


class EntryEnded(Effect, tag="entry_ended", kw_only=True):
    """The close that an entry began is over."""

    index: int
    code: int


class PaidOut(Effect, tag="paid_out", kw_only=True):
    """A withdrawal of the tree; amount in micro-dollars."""

    withdrawal: int
    recipient: bytes
    amount: int


class Opened(Effect, tag="opened", kw_only=True):
    """An account came to be."""

    account: int
    owner: bytes


class Rescued(Effect, tag="rescued", kw_only=True):
    """A rescue that the law took; record: its post-mortem, where it closed any lots.

    sides: who was rescued and who stood against it, where no order did.
    """

    operation_tag: int
    market: int
    accounts: list[int]
    record: PostMortem | None
    sides: Sides | None = None


class Settled(Effect, tag="settled", kw_only=True):
    """What was due of an account was booked when it was touched."""

    account: int
    touch: Touch


class Moved(Effect, tag="moved", kw_only=True):
    """Money came to an account or left it beside trades. amount: signed; micro-dollars, as `fee` and `collateral`.

    kind: deposit, transfer, withdrawal, or fee, of a request that moves nothing. other: the account at the other end;
    withdrawal: the index of what was paid out.
    """

    account: int
    kind: str
    amount: int
    collateral: int
    fee: int = 0
    other: int | None = None
    withdrawal: int | None = None


class Ticked(Effect, tag="ticked", kw_only=True):
    """New oracle prices in the first `markets` markets; prices: of all markets behind it, 0 where there is none."""

    time_ms: int
    markets: int
    prices: list[int]


class MarketChanged(Effect, tag="market_changed", kw_only=True):
    """The governor changed a market's parameters."""

    market: int


AnyEffect = (
    Accepted
    | Repeated
    | Armed
    | Fired
    | Rested
    | Shrunk
    | Left
    | Filled
    | Refused
    | Applied
    | SoftlyCancelled
    | Switched
    | EntryConsumed
    | EntryEnded
    | PaidOut
    | Opened
    | Rescued
    | Settled
    | Moved
    | Ticked
    | MarketChanged
)


class Processed(msgspec.Struct, frozen=True):
    """What an input came to. code: of the law; changed: whether anything has to be durable; told: steps of orders.

    What follows from the effects is read off them by the properties: of an order its status, of a request its place.
    """

    code: int
    effects: list[AnyEffect]
    changed: bool
    told: list[Told] = []

    @property
    def fills(self) -> list[Fill]:
        """Every fill; of an order that came again those that it has had."""
        if isinstance(self._order, Repeated):
            return self._order.fills
        return [effect.fill for effect in self.effects if isinstance(effect, Filled)]

    @property
    def rescues(self) -> list[PostMortem]:
        """Every post-mortem."""
        return [effect.record for effect in self.effects if isinstance(effect, Rescued) and effect.record is not None]

    @property
    def accounts(self) -> set[int]:
        """Whose rows or orders were touched."""
        return {account for effect in self.effects for account in accounts_of(effect)}

    @property
    def markets(self) -> set[int]:
        """Whose books or prices were touched."""
        return {market for effect in self.effects for market in markets_of(effect)}

    @property
    def _order(self) -> Accepted | Repeated | None:
        return next((effect for effect in self.effects if isinstance(effect, Accepted | Repeated)), None)

    @property
    def repeated(self) -> Repeated | None:
        """What is told of an order that came again; None for one that is new."""
        return self._order if isinstance(self._order, Repeated) else None

    @property
    def order(self) -> str:
        """The name of the order that came in, empty for none."""
        own = self._order
        return "" if own is None else own.order

    @property
    def account(self) -> int | None:
        """Whose input it was."""
        own = self._order or next((effect for effect in self.effects if isinstance(effect, Applied)), None)
        return None if own is None else own.account

    @property
    def _end(self) -> Armed | Rested | Shrunk | Left | None:
        """Where the order that came in stands now; None where nothing of it is left."""
        name = self.order
        ends = (
            effect
            for effect in reversed(self.effects)
            if isinstance(effect, Armed | Rested | Left)
            # In a match that went on it is not where the order ended.
            or (isinstance(effect, Shrunk) and effect.reason is Reason.REDUCED)
        )
        return next((effect for effect in ends if effect.order == name), None)

    @property
    def filled(self) -> int:
        """Lots of the order that came in that are filled."""
        own = self._order
        if isinstance(own, Repeated):
            return own.filled
        return 0 if own is None else sum(fill.size for fill in self.fills if fill.taker_order == own.order)

    @property
    def remaining(self) -> int:
        """Lots of the order that came in that are not filled."""
        end = self._order if isinstance(self._order, Repeated) else self._end
        return 0 if end is None else end.lots

    @property
    def status(self) -> str:
        """Of the order that came in: armed, dormant, resting, partially_filled, filled or expired; empty for none."""
        own = self._order
        if own is None:
            return ""
        if isinstance(own, Repeated):
            return own.status
        end = self._end
        if isinstance(end, Rested | Shrunk):
            return "partially_filled" if self.filled else "resting"
        if isinstance(end, Left):
            return status_of(end.reason)
        if end is None:
            return "filled"
        return "dormant" if end.dormant else "armed"

    @property
    def refusal(self) -> str:
        """Why the input, or the rest of an order, would not go on."""
        refused = next((effect for effect in self.effects if isinstance(effect, Refused)), None)
        if refused is not None:
            return refused.detail
        if isinstance(self._order, Repeated):
            return self._order.detail
        end = None if self._order is None else self._end
        return end.detail if isinstance(end, Left) else ""

    @property
    def met(self) -> tuple[str, int]:
        """Of an order whose rest could not go on, whose order stood in its way, if its own owner's, and its lots."""
        end = None if self._order is None else self._end
        return (end.met, end.met_lots) if isinstance(end, Left) else ("", 0)

    @property
    def most_lots(self) -> int | None:
        """Of an order that was refused for want of margin, the largest size that would pass."""
        return next((effect.most_lots for effect in self.effects if isinstance(effect, Refused)), None)

    @property
    def chunk(self) -> int:
        """The chunk that a request or an entry stands in."""
        applied = next((effect for effect in self.effects if isinstance(effect, Applied)), None)
        return 0 if applied is None else applied.chunk

    @property
    def operation(self) -> int:
        """Its place in that chunk."""
        applied = next((effect for effect in self.effects if isinstance(effect, Applied)), None)
        return 0 if applied is None else applied.operation

    @property
    def withdrawal(self) -> int | None:
        """The index of what was paid out last."""
        return next((effect.withdrawal for effect in reversed(self.effects) if isinstance(effect, PaidOut)), None)

    @property
    def receipt(self) -> Receipt | None:
        """Of a soft cancel, not signed yet."""
        return next((effect.receipt for effect in self.effects if isinstance(effect, SoftlyCancelled)), None)

    @property
    def opened(self) -> int | None:
        """The account that came to be."""
        return next((effect.account for effect in self.effects if isinstance(effect, Opened)), None)


_OF_ONE_ACCOUNT: Final = OrderEffect | Opened | SoftlyCancelled | Switched | Settled | Moved


def accounts_of(effect: AnyEffect) -> tuple[int, ...] | list[int]:
    """Whose rows or orders an effect touches."""
    if isinstance(effect, Filled):
        return (effect.fill.maker, effect.fill.taker)
    if isinstance(effect, Applied | Rescued):
        return effect.accounts
    return (effect.account,) if isinstance(effect, _OF_ONE_ACCOUNT) else ()


def markets_of(effect: AnyEffect) -> tuple[int, ...] | range:
    """Whose books or prices an effect touches."""
    if isinstance(effect, Filled):
        return (effect.fill.market,)
    if isinstance(effect, Ticked):
        return range(effect.markets)
    return (effect.market,) if isinstance(effect, OrderEffect | Rescued | MarketChanged) else ()


def number(effects: list[AnyEffect], sequence: int) -> None:
    """Numbers the effects of the input with that number in the journal."""
    assert len(effects) < _PLACES
    for place, effect in enumerate(effects, start=sequence * _PLACES):
        effect.sequence = place


def refused(code: int, detail: str = "") -> Refused:
    """A refusal by the law's code."""
    assert code not in (codes.OK, codes.REFUNDED)
    return Refused(code=code, detail=detail)
