"""Reduce-only orders follow the positions that they reduce: they shrink with them, and leave with them.

What rests of an account in a market never exceeds what it could reduce, all of it together, whoever came first first.
An order that waits for its trigger shows nobody anything, and stays whole as long as there is a position.
"""

from collections.abc import Iterable

from prover.stf import constants, encoding
from sequencer.engine.committing import Committing
from sequencer.engine.effects import AnyEffect, Reason


def follow(committing: Committing, accounts: Iterable[int]) -> list[AnyEffect]:
    """Fits the reduce-only orders of accounts that an input has touched to what they hold after it."""
    effects: list[AnyEffect] = []
    for index in sorted(accounts):
        orders = committing.orders.reducing_of(index)
        if not orders:
            continue
        account = committing.account(index)
        room: dict[int, int] = {}
        for order, known in orders:
            held = encoding.unpack(account.positions[order.market]).size
            can = abs(held) if (held > 0) != (order.side == constants.BUY) and held != 0 else 0
            if can == 0:
                effects.append(committing.leave(order, Reason.REDUCED))
            elif not known.armed:
                left = room.get(order.market, can)
                if known.remaining > left:
                    effects.append(committing.shrink(order, known.remaining - left, Reason.REDUCED))
                room[order.market] = left - min(left, known.remaining)
    return effects
