"""Which exits are taken where L1 is so dear that no posting fee pays for their bytes: the operator does, and bounds it.

What closes a position is worth its bytes: else it would be liquidated, for more of them. What closes next to nothing,
or is cut up, would have the operator pay for as long as somebody likes.
"""

from typing import Final

from prover.stf import constants, containers, encoding
from sequencer.engine.engine import Engine
from sequencer.engine.records import Bill

# What an exit costs the operator beyond its fee is at most so much of what it closes, parts per million.
COST_PPM: Final = 10_000
# Fills of an account in a day of UTC that cost more.
FILLS_OF_A_DAY: Final = 16


def bill(engine: Engine, order: containers.Order, byte_micros: int) -> Bill:
    """What a reduce-only order comes to where a byte on L1 costs so many micro-dollars."""
    if order.market >= engine.globals.market_count:
        # Asked before the law is, which refuses it.
        return Bill(0, True)
    held = encoding.unpack(engine.account(order.account).positions[order.market]).size
    closes = min(order.size, abs(held)) if (held > 0) != (order.side == constants.BUY) else 0
    if order.trigger != constants.NO_TRIGGER:
        return Bill(1, False)
    left, fills = closes, 0
    for _, lots in engine.books[order.market].facing(order):
        if left <= 0:
            break
        left -= min(left, lots)
        fills += 1
    if fills == 0:
        # It rests, and costs nothing: who meets it is asked, too.
        return Bill(0, True)
    size = fills * (constants.ORDER_LENGTH + constants.FILL_LENGTH) + constants.ORDER_LENGTH
    cost = size * byte_micros - engine.globals.posting_fee
    price = engine.globals.risk.price[order.market]
    return Bill(fills, cost * constants.PPM <= (closes - left) * price * COST_PPM)


def takes(engine: Engine, account: int, given: Bill, now_ms: int) -> bool:
    """Whether an exit is taken: what it closes bears it, or few enough were taken of its account today."""
    return given.is_worth or engine.ledger.exit_fills.of(account, now_ms) + given.fills <= FILLS_OF_A_DAY
