"""Books, orders and fills as they are told: markets by name, sides in words."""

from typing import Final

import msgspec

from prover.signing.operations import SIGNED_NAMES, order_name
from prover.stf import constants, containers
from sequencer.engine import records
from sequencer.engine.engine import Engine
from sequencer.engine.order_book import order_id
from sequencer.engine.placing import status_of_open
from sequencer.engine.records import CANCEL_MAKER, CANCEL_TAKER, DECREMENT, Fill, Terms, VoidedOperation
from sequencer.schema.accounts import OpenOrder, VoidedView
from sequencer.schema.answers import Book, FillView
from sequencer.schema.params import SelfTrade
from sequencer.schema.values import Side
from sequencer.views.markets import names

_LAST_SLOT: Final = 255
_NOTHING_ASKED: Final = Terms()
# As a caller says what happens where an order meets one of its owner.
SELF_TRADES: Final[dict[SelfTrade, int]] = {
    "cancel_taker": CANCEL_TAKER,
    "cancel_maker": CANCEL_MAKER,
    "decrement": DECREMENT,
}
_SELF_TRADE_NAMES: Final = {value: name for name, value in SELF_TRADES.items()}


def book(engine: Engine, market: int, levels: int) -> Book:
    """The best price levels of a market."""
    bids, asks = engine.books[market].depth(levels)
    return Book(names(engine.globals)[market], bids, asks)


def side_of(side: int) -> Side:
    """A side in words."""
    return "buy" if side == constants.BUY else "sell"


def fill_view(globals: containers.Globals, fill: Fill) -> FillView:
    """One fill."""
    return FillView(
        market=names(globals)[fill.market],
        price_ticks=fill.price,
        size_lots=fill.size,
        fee_micros=fill.fee,
        maker_fee_micros=fill.maker_fee,
        taker_fee_micros=fill.fee - fill.maker_fee,
        maker=fill.maker,
        taker=fill.taker,
        maker_order_id=fill.maker_order,
        taker_order_id=fill.taker_order,
        taker_side="sell" if fill.maker_side == constants.BUY else "buy",
        is_rescue=not fill.taker_order,
        time_ms=fill.time,
        chunk=fill.chunk,
        operation_index=fill.operation,
    )


def nameless_fill(fill: FillView) -> FillView:
    """The same without its accounts and their orders, whose names begin with them."""
    return msgspec.structs.replace(fill, maker=None, taker=None, maker_order_id="", taker_order_id="")


def voided_view(void: VoidedOperation) -> VoidedView:
    """What was acknowledged and is void."""
    is_order = void.tag == constants.ORDER
    return VoidedView(
        operation=SIGNED_NAMES[void.tag],
        order_id=order_name(void.account, void.slot, void.sequence) if is_order else None,
        slot=void.slot,
        sequence=void.sequence,
        expires_at_ms=void.expires_at,
        chunk=void.chunk or None,
        voided_at_ms=void.voided_at,
        send_again="sign_anew" if is_order else "as_signed",
    )


def free_slot(engine: Engine, account: int) -> int:
    """The lowest order slot without an open order; 255 if there is none."""
    taken = {order.slot for order, _, _ in engine.open_orders(account)}
    return next((slot for slot in range(1, _LAST_SLOT + 1) if slot not in taken), _LAST_SLOT)


def open_orders(engine: Engine, account: int) -> list[OpenOrder]:
    """The orders that an account has in books."""
    called = names(engine.globals)
    return [
        _open_order(called[order.market], order, engine.orders.signed(order), left)
        for order, left, _ in engine.open_orders(account)
    ]


def _open_order(market: str, order: containers.Order, known: records.OpenOrder, left: int) -> OpenOrder:
    asked = known.terms or _NOTHING_ASKED
    return OpenOrder(
        order_id=order_id(order),
        client_id=asked.client,
        market=market,
        side=side_of(order.side),
        size_lots=order.size,
        filled_lots=order.size - left - known.reduced,
        remaining_lots=left,
        limit_price_ticks=order.limit_price,
        slot=order.slot,
        sequence=order.sequence,
        expires_at_ms=order.expires_at,
        time_in_force=order.time_in_force,
        reduce_only=order.reduce_only == 1,
        post_only=order.post_only == 1,
        trigger=order.trigger,
        trigger_price_ticks=order.trigger_price,
        self_trade=_SELF_TRADE_NAMES[asked.self_trade],
        group=asked.group,
        after=asked.after,
        status=status_of_open(known),
    )
