"""Reduce-only orders follow the positions that they reduce: they shrink with them, and leave with them.

What rests of an account in a market never exceeds what it could reduce, all of it together, whoever came first first.
An order that waits for its trigger shows nobody anything, and stays whole as long as there is a position.
"""

from collections import Counter
from collections.abc import Iterable

from sequencer.engine.committing import Committing
from sequencer.engine.effects import AnyEffect, Reason
from sequencer.engine.placing import kept_behind, reducible


def follow(committing: Committing, accounts: Iterable[int]) -> list[AnyEffect]:
    """Fits the reduce-only orders of accounts that an input has touched to what they hold after it."""
    effects: list[AnyEffect] = []
    for index in sorted(accounts):
        orders = committing.orders.reducing_of(index)
        if not orders:
            continue
        account = committing.account(index)
        before: Counter[int] = Counter()
        for order, known in orders:
            if known.dormant:
                # What it is to reduce is still to come.
                continue
            if reducible(order, account, 1) == 0:
                effects.append(committing.leave(order, Reason.REDUCED))
            elif not known.armed:
                gone = known.remaining - kept_behind(order, account, known.remaining, before[order.market])
                before[order.market] += known.remaining - gone
                if gone:
                    effects.append(committing.shrink(order, gone, Reason.REDUCED))
    return effects
