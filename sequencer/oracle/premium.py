"""How far a market's book stands off its index price: what a signer says beside the price."""

from collections.abc import Sequence
from typing import Final

import msgspec

# The premium is a rate for eight hours, as on other venues; the law counts by the hour.
PREMIUM_HOURS: Final = 8
_PPB: Final = 10**9
# Lots are counted in billionths while an impact price is measured.
_SCALE: Final = 10**9

Levels = Sequence[tuple[int, int]]


class PremiumRule(msgspec.Struct, frozen=True):
    """Through how much of the book a signer measures, and the most ppb an hour that it signs either way."""

    impact_micros: int
    cap_ppb: int


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


def premium_ppb(bids: Levels, asks: Levels, index_ticks: int, notional_micros: int, cap_ppb: int) -> int:
    """How far the book stands off the index price, ppb an hour, clamped to +-cap_ppb.

    (max(0, impact bid - index) - max(0, index - impact ask)) / index / 8 h, towards zero. A side that does not hold
    the notional adds nothing, so an empty book has none.
    """
    bid = impact_ppb(bids, index_ticks, notional_micros)
    ask = impact_ppb(asks, index_ticks, notional_micros)
    above = max(0, bid - _PPB) if bid is not None else 0
    below = max(0, _PPB - ask) if ask is not None else 0
    off = above - below
    rate = abs(off) // PREMIUM_HOURS
    return max(-cap_ppb, min(cap_ppb, rate if off >= 0 else -rate))
