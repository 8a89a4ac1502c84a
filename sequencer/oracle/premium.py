"""How far a market's book stands off its index price: what a signer says beside the price."""

from collections.abc import Callable, Sequence
from random import SystemRandom
from typing import Final

import msgspec

from prover.stf import constants

# The premium is a rate for eight hours, as on other venues; the law counts by the hour.
PREMIUM_HOURS: Final = 8
_PPB: Final = 10**9
# A premium counts whole where the book holds so much of what all longs hold, parts per million, else in proportion: who
# makes a thin book himself would have strangers pay for a thousand times what he risks in it.
OF_INTEREST_PPM: Final = 10_000
# Lots are counted in billionths while an impact price is measured.
_SCALE: Final = 10**9

Levels = Sequence[tuple[int, int]]


class PremiumRule(msgspec.Struct, frozen=True):
    """Through how much of the book a signer measures at least, and the most ppb an hour that it signs either way.

    moment: at which part of the time between two grid times it looks at books once more.
    """

    impact_micros: int
    cap_ppb: int
    moment: Callable[[], float] = SystemRandom().random


class Measured(msgspec.Struct, frozen=True):
    """What a premium is measured against: the index price, the lots that all longs hold, how far a fill may be off."""

    index_ticks: int
    interest_lots: int = 0
    band_ppm: int = constants.PPM


def impact_ppb(levels: Levels, index_ticks: int, notional_micros: int) -> int | None:
    """Average price of trading `notional_micros` through one side, in ppb of the index price; None if it is too thin.

    Rounded down. Levels without price or size are no levels.
    """
    left = notional_micros
    scaled_lots = 0
    for price, size in levels:
        if price <= 0 or size <= 0:
            continue
        taken = min(left, price * size)
        scaled_lots += taken * _SCALE // price
        left -= taken
        if left == 0:
            return notional_micros * _SCALE * _PPB // (scaled_lots * index_ticks) if scaled_lots else None
    return None


def premium_ppb(bids: Levels, asks: Levels, against: Measured, rule: PremiumRule) -> int:
    """How far the book stands off the index price, ppb an hour, clamped to the rule's cap.

    (max(0, impact bid - index) - max(0, index - impact ask)) / index / 8 h, towards zero. A side that does not hold
    the rule's notional adds nothing, so an empty book has none; one that holds less than a hundredth of what all longs
    hold adds its part of that. Nobody can trade at what is outside the market's band: it is no book.
    """
    above, below = (_off_ppb(side, against, rule.impact_micros, sign) for side, sign in ((bids, 1), (asks, -1)))
    off = above - below
    rate = min(abs(off) // PREMIUM_HOURS, rule.cap_ppb)
    return rate if off >= 0 else -rate


def _off_ppb(levels: Levels, against: Measured, least_micros: int, sign: int) -> int:
    """By how much one side stands off the index price, above it for a sign of 1, in proportion to what it holds."""
    index, most = against.index_ticks, against.index_ticks * against.band_ppm
    near = [(price, size) for price, size in levels if abs(price - index) * constants.PPM <= most and size > 0]
    wanted = max(least_micros, against.interest_lots * index * OF_INTEREST_PPM // constants.PPM)
    measured = min(sum(price * size for price, size in near), wanted)
    impact = impact_ppb(near, index, measured) if measured >= least_micros else None
    return 0 if impact is None else max(0, sign * (impact - _PPB)) * measured // wanted
