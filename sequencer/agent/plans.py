"""What a task wants now, from its terms, its progress and what the venue shows; nothing is signed or sent in here."""

from typing import Final

import msgspec

from prover.stf import constants
from sequencer.agent.config import Keep, Trail, Twap
from sequencer.agent.journal import Progress
from sequencer.schema.answers import MarketView
from sequencer.wallet.drafts import PERCENT_DECIMALS, OrderTerms, market_limit, worst_price
from sequencer.wallet.errors import BadInput
from sequencer.wallet.trust import ListedMarket
from sequencer.wallet.units import SIDES, parse_units

# What was missed is caught up with no more than so many slices at once.
_CATCH_UP: Final = 3
# A stop is signed anew where so much of its time is over.
_STOP_RENEWED_MS: Final = constants.STOP_LIFETIME // 2


class Want(msgspec.Struct, frozen=True):
    """An order that a task wants signed now. part: the slice that it is of."""

    terms: OrderTerms
    part: int = 0


class Over(msgspec.Struct, frozen=True):
    """A task has nothing more to do."""

    why: str


def percent(text: str, what: str, *, below: int = constants.PPM) -> int:
    """Parts per million of a percentage; BadInput for none or too many."""
    found = parse_units(text.removesuffix("%"), PERCENT_DECIMALS, what, "percent")
    if not 0 < found < below:
        raise BadInput(f"a {what} of {text} percent cannot be")
    return found


def slice_target(size: int, slices: int, part: int) -> int:
    """Lots that are to be filled with the slice of that number, counted from 0."""
    return size * (part + 1) // slices


def twap(task: Twap, market: ListedMarket, seen: MarketView, progress: Progress, now_ms: int) -> Want | Over | None:
    """The slice whose time has come, at most one an interval, and no more of what was missed than three slices."""
    assert progress.began is not None, "a task that is asked has begun"
    size = parse_units(task.size, market.size_decimals, "size", market.name)
    part = (now_ms - progress.began.at) // (task.interval_seconds * 1_000)
    if progress.filled >= size:
        return Over("filled")
    if part >= task.slices:
        return Over(f"its time is over with {size - progress.filled} lots left")
    if part <= progress.part:
        return None
    most = _CATCH_UP * -(-size // task.slices)
    lots = min(slice_target(size, task.slices, part) - progress.filled, most)
    if lots <= 0:
        return None
    side = SIDES[task.side]
    away = percent(task.slippage, "slippage")
    return Want(
        OrderTerms(
            market=market.index,
            side=side,
            size=lots,
            limit_price=market_limit(market, seen, side, away, now_ms),
            time_in_force=constants.IMMEDIATE_OR_CANCEL,
            reduce_only=task.reduce_only,
            slot=task.slot,
        ),
        part,
    )


def keep(task: Keep, market: ListedMarket, progress: Progress) -> Want | Over:
    """What is left of an order, while none of it stands."""
    left = parse_units(task.size, market.size_decimals, "size", market.name) - progress.filled
    if left <= 0:
        return Over("filled")
    return Want(
        OrderTerms(
            market=market.index,
            side=SIDES[task.side],
            size=left,
            limit_price=parse_units(task.price, market.price_decimals, "price", "dollars"),
            post_only=task.post_only,
            reduce_only=task.reduce_only,
            lifetime_ms=task.lifetime_seconds * 1_000,
            slot=task.slot,
        )
    )


def trail(
    task: Trail, market: ListedMarket, seen: MarketView, held_lots: int, progress: Progress, now_ms: int
) -> Want | None:
    """A stop behind the best price, where there is a position and the one that stands is not it.

    It never moves back: what was signed last says how far it has come, over a restart too.
    """
    if held_lots == 0 or seen.price_ticks <= 0 or now_ms - seen.tick_time_ms > constants.MAX_PRICE_AGE:
        return None
    side = constants.SELL if held_lots > 0 else constants.BUY
    trigger = worst_price(seen.price_ticks, side, percent(task.trail, "trail"))
    standing = progress.open
    if standing is not None and int(standing.fields["side"]) == side:
        forward = trigger - standing.trigger if side == constants.SELL else standing.trigger - trigger
        is_due = now_ms >= standing.expires_at - _STOP_RENEWED_MS
        is_small = standing.lots != abs(held_lots)
        step = seen.price_ticks * percent(task.step, "step") // constants.PPM
        if forward < max(step, 1):
            trigger = standing.trigger
            if not is_due and not is_small:
                return None
    return Want(
        OrderTerms(
            market=market.index,
            side=side,
            size=abs(held_lots),
            limit_price=worst_price(trigger, side, percent(task.slippage, "slippage")),
            time_in_force=constants.IMMEDIATE_OR_CANCEL,
            reduce_only=True,
            trigger=constants.TRIGGER_AT_OR_BELOW if side == constants.SELL else constants.TRIGGER_AT_OR_ABOVE,
            trigger_price=trigger,
            slot=task.slot,
        )
    )
