"""What is taken by what its bytes on L1 cost: what pays for them, and what the operator bears of its account that day.

What closes a position whole is worth a hundredth of it: else it would be liquidated, for more bytes. So is what leaves
the venue: nobody who uses up what is borne keeps the money of others in. Whom an order meets is judged by the engine: a
maker that is too small brings up its own bytes, and keeps no taker from anybody.
"""

from typing import Final

from prover.signing.receipts import is_soft
from prover.signing.signed import SignedOperation
from prover.stf import constants, containers, encoding
from sequencer.engine.engine import Engine
from sequencer.engine.money.posting import fees, is_worth, payer
from sequencer.engine.placing import pays_its_bytes
from sequencer.engine.records import CANCEL_TAKER

_FILL_BYTES: Final = constants.ORDER_LENGTH + constants.FILL_LENGTH
# So many resting orders are looked at: whoever has no margin for what he asks is refused for nothing by the law.
_MOST_MET: Final = 256


def takes(
    engine: Engine, signed: SignedOperation, byte_micros: int, now_ms: int, self_trade: int = CANCEL_TAKER
) -> bool:
    """Whether an operation is taken where a byte on L1 costs so many micro-dollars; self_trade: what an order asks."""
    if byte_micros == 0 or is_soft(signed.operation):
        return True
    message = signed.message
    if isinstance(message, containers.Order):
        is_paid = order_pays(engine, message, byte_micros, now_ms, self_trade)
    else:
        cost = len(signed.operation) * byte_micros - engine.globals.posting_fee
        # A withdrawal that the law would not pay is refused, and costs nothing.
        is_leaving = signed.operation[0] == constants.WITHDRAW and is_worth(cost, message.amount)
        is_paid = cost <= 0 or is_leaving
    return is_paid or _bears(engine, message.account, now_ms)


def _bears(engine: Engine, account: int, now_ms: int) -> bool:
    of = payer(engine.globals.risk, account, engine.account(account), now_ms)
    return engine.ledger.unpaid.bears(of, now_ms)


def order_pays(
    engine: Engine, order: containers.Order, byte_micros: int, now_ms: int, self_trade: int = CANCEL_TAKER
) -> bool:
    """Whether an order pays for what it comes to now; one that rests or waits for its trigger costs nothing yet."""
    if order.market >= engine.globals.market_count or order.trigger != constants.NO_TRIGGER:
        # Of a market that is not there the law is asked; a stop when it is sent into the book.
        return True
    listed, chunk = engine.globals.markets[order.market], engine.view
    account = engine.account(order.account)
    held = encoding.unpack(account.positions[order.market]).size
    left = order.size
    if order.reduce_only == 1:
        left = min(left, abs(held)) if (held > 0) != (order.side == constants.BUY) else 0
    whole = left
    size = constants.ORDER_LENGTH
    paid = engine.globals.posting_fee
    seen = 0
    for seen, (maker, lots) in enumerate(engine.books[order.market].facing(order), start=1):
        if left <= 0 or seen > _MOST_MET:
            break
        if engine.account(maker.account).owner == account.owner:
            # Whatever it would pay, nothing is filled of it: counted, it would let a fill of a lot in front of it pass.
            if self_trade == CANCEL_TAKER:
                break
            continue
        if maker.expires_at < now_ms:
            continue
        met = min(left, lots)
        if not pays_its_bytes(chunk, maker, engine.orders.signed(maker).remaining, byte_micros):
            # Its own account brings its bytes up, or it leaves.
            left -= met if _bears(engine, maker.account, now_ms) else 0
            continue
        left -= met
        size += _FILL_BYTES
        paid += fees(listed, met, maker.limit_price)
    if left == whole and seen <= _MOST_MET:
        return True
    cost = size * byte_micros - paid
    is_whole_exit = order.reduce_only == 1 and left == 0 and whole == abs(held)
    return cost <= 0 or (is_whole_exit and is_worth(cost, whole * engine.globals.risk.price[order.market]))
