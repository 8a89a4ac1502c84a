"""One cancels the other: what is filled of one order of a group is taken from the others, and all of it ends them.

The law knows no link: each of them is signed, and could be filled, for itself.
"""

from collections import Counter
from collections.abc import Iterable

from sequencer.engine.committing import Committing
from sequencer.engine.effects import AnyEffect, Filled, Left, Reason
from sequencer.engine.life.lives import place_of
from sequencer.engine.life.steps import Place


def settle(committing: Committing, effects: Iterable[AnyEffect]) -> list[AnyEffect]:
    """What the fills of an input take from the orders that are linked with those that were filled."""
    links = committing.orders.links
    if not links:
        return []
    filled: Counter[Place] = Counter()
    left: set[Place] = set()
    for effect in effects:
        if isinstance(effect, Filled):
            for name in (effect.fill.maker_order, effect.fill.taker_order):
                if name:
                    filled[place_of(name)] += effect.fill.size
        elif isinstance(effect, Left):
            left.add(place_of(effect.order))
    found: list[AnyEffect] = []
    for place, lots in filled.items():
        # Nothing of it is left, and it did not leave with a rest: the others have nothing more to do.
        is_whole = not committing.orders.is_open(place) and place not in left
        for other in links.beside(place):
            order = committing.orders.standing(other)
            if order is None:
                continue
            found.append(
                committing.leave(order, Reason.LINKED) if is_whole else committing.shrink(order, lots, Reason.LINKED)
            )
    return found


def forget(committing: Committing, effects: Iterable[AnyEffect]) -> None:
    """Drops the links of orders that an input has ended, whatever took them out."""
    links, followers = committing.orders.links, committing.orders.followers
    if not links and not followers:
        return
    for effect in effects:
        names: tuple[str, ...] = ()
        if isinstance(effect, Filled):
            names = (effect.fill.maker_order, effect.fill.taker_order)
        elif isinstance(effect, Left):
            names = (effect.order,)
        for place in map(place_of, filter(None, names)):
            if not committing.orders.is_open(place):
                links.drop(place)
                followers.drop(place)
