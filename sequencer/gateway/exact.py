"""Hyperliquid's decimals, order numbers and names <-> lots, ticks, slots and sequences: exactly, or not at all."""

import re
from typing import Final

from prover.signing import operations
from sequencer.wallet.units import MONEY_DECIMALS, units_text

# What a number in an action may look like; a trailing zero is a wrong hash, and the signature's to find.
_DECIMAL: Final = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,20}))?", re.ASCII)
_CLOID: Final = re.compile(r"0x[0-9a-fA-F]{32}", re.ASCII)
_SLOT_BITS: Final = 8
_SEQUENCE_BITS: Final = 48
# Digits of a mean price behind those of the market.
_MEAN_DIGITS: Final = 4


def steps(text: str, decimals: int) -> int | None:
    """The whole number of 10^-decimals in a decimal; None for what is no decimal or lies off the grid."""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        return None
    fraction = (match.group(2) or "").rstrip("0")
    return None if len(fraction) > decimals else int(match.group(1) + fraction.ljust(decimals, "0"))


def dollars(micros: int) -> str:
    """Micro-dollars as a decimal."""
    return units_text(micros, MONEY_DECIMALS)


def ratio(numerator: int, denominator: int, decimals: int) -> str:
    """A quotient rounded to the nearest 10^-decimals, half away from zero; "0" over nothing."""
    if denominator == 0:
        return "0"
    scaled = abs(numerator) * 10**decimals
    rounded = (2 * scaled + abs(denominator)) // (2 * abs(denominator))
    return units_text(rounded if (numerator < 0) == (denominator < 0) else -rounded, decimals)


def mean_price(quote_micros: int, lots: int, price_decimals: int) -> str:
    """Micro-dollars over lots are ticks: their mean as a decimal."""
    return ratio(quote_micros, lots * 10**price_decimals, price_decimals + _MEAN_DIGITS)


def oid(slot: int, sequence: int) -> int:
    """An order's number: of one account the newer one is the larger, and below 2^53 until the year 3084."""
    return sequence << _SLOT_BITS | slot


def place_of(number: int) -> tuple[int, int] | None:
    """Slot and sequence of an order's number; None for what is no number of an order."""
    if not 0 <= number >> _SLOT_BITS < 1 << _SEQUENCE_BITS or number & 0xFF == 0:
        return None
    return number & 0xFF, number >> _SLOT_BITS


def oid_of(order_id: str) -> int:
    """The number of an order by the venue's name for it."""
    name = int(order_id, 16)
    return oid(name >> _SEQUENCE_BITS & 0xFF, name & (1 << _SEQUENCE_BITS) - 1)


def order_name(account: int, number: int) -> str:
    """The venue's name for an order of an account by its number."""
    return operations.order_name(account, number & 0xFF, number >> _SLOT_BITS)


def is_cloid(text: object) -> bool:
    """Whether something is a client's own name for an order: 0x and 32 digits."""
    return isinstance(text, str) and _CLOID.fullmatch(text) is not None
