"""Stops and targets of an entry that still rests: they wait for its first fill, and the first that fires ends its rest.

Reduce-only, so that each fill of the entry raises what they may reduce. The law knows no such link: each of them is
signed, and could be filled, for itself, of any position that the account has.
"""

from collections.abc import Sequence

from prover.stf import containers
from sequencer.engine.committing import Committing
from sequencer.engine.effects import Accepted, AnyEffect, Filled, Left, Reason
from sequencer.engine.life.lives import place_of
from sequencer.engine.life.steps import Place
from sequencer.engine.records import Terms


def settle(committing: Committing, effects: Sequence[AnyEffect]) -> list[AnyEffect]:
    """What an input means for orders that come after others, in the order in which it happened."""
    if not committing.orders.followers:
        return []
    found: list[AnyEffect] = []
    accepted: Accepted | None = None
    filled = {effect.fill.taker_order for effect in effects if isinstance(effect, Filled)}
    for effect in effects:
        if isinstance(effect, Accepted):
            is_open = effect.order in filled or committing.orders.is_open(place_of(effect.order))
            accepted = effect if is_open else None
        elif isinstance(effect, Filled):
            for name in filter(None, (effect.fill.maker_order, effect.fill.taker_order)):
                found += _wake(committing, place_of(name))
        elif isinstance(effect, Left):
            by = accepted if effect.reason is Reason.REPLACED else None
            found += _end_followers(committing, place_of(effect.order), by)
    return found


def _wake(committing: Committing, entry: Place) -> list[AnyEffect]:
    """An entry has a fill: what comes after it waits for its own trigger from now on."""
    return [committing.wake(order) for order in _standing(committing, entry) if committing.orders.signed(order).dormant]


def end_entry(committing: Committing, terms: Terms | None) -> list[AnyEffect]:
    """Of a stop or target that is about to do its work: the rest of its entry leaves before.

    It would stand in the way, being of the same owner, and would open anew what is closed.
    """
    after = "" if terms is None else terms.after
    order = committing.orders.standing(place_of(after)) if after else None
    return [] if order is None else [committing.leave(order, Reason.LINKED)]


def _end_followers(committing: Committing, entry: Place, by: Accepted | None) -> list[AnyEffect]:
    """An entry is gone: what still waits for it leaves, or waits for the order that has taken its slot.

    by: that order, where it is open or has fills. It has to be of the same market and side, and no reduce-only one.
    Invariant: no entry is reduce-only, so that nothing that leaves with a position has orders that wait for it.
    """
    taker = None if by is None else committing.orders.standing(place_of(by.order))
    is_reducing = taker is not None and taker.reduce_only == 1
    effects: list[AnyEffect] = []
    for order in _standing(committing, entry):
        if not committing.orders.signed(order).dormant:
            continue
        if by is not None and not is_reducing and (by.market, 1 - by.side) == (order.market, order.side):
            committing.orders.hang(order, by.order)
        else:
            effects.append(committing.leave(order, Reason.LINKED))
    return effects


def _standing(committing: Committing, entry: Place) -> list[containers.Order]:
    orders = (committing.orders.standing(place) for place in committing.orders.followers.of(entry))
    return [order for order in orders if order is not None]
