"""Decimals and words as people write them <-> lots, ticks, micro-dollars and the law's numbers, exactly."""

import re
from datetime import UTC, datetime
from typing import Final

from l1_bridge import addresses
from prover.stf import constants
from sequencer.wallet.errors import BadInput

MONEY_DECIMALS: Final = 6
SIDES: Final = {"buy": constants.BUY, "sell": constants.SELL}
TIMES_IN_FORCE: Final = {
    "gtt": constants.GOOD_TILL_TIME,
    "ioc": constants.IMMEDIATE_OR_CANCEL,
    "fok": constants.FILL_OR_KILL,
}
# ASCII digits only: no exponent, no sign, no digit of another script that looks like one.
_DECIMAL: Final = re.compile(r"([0-9]{1,30})(?:\.([0-9]{1,30}))?", re.ASCII)
_DURATION: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h|d)", re.ASCII)
_MILLISECONDS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PPM: Final = 1_000_000


def parse_units(text: str, decimals: int, what: str, unit: str) -> int:
    """The whole number of 10^-decimals in a decimal; BadInput for what is no decimal, zero, or off the grid."""
    match = _DECIMAL.fullmatch(text.strip())
    if match is None:
        raise BadInput(f"{what} {text!r} is not a decimal number such as 0.25")
    whole, fraction = match.group(1), (match.group(2) or "").rstrip("0")
    if len(fraction) > decimals:
        raise BadInput(f"{what} {text} is off the grid: the smallest step is {units_text(1, decimals)} {unit}")
    value = int(whole + fraction.ljust(decimals, "0"))
    if value == 0:
        raise BadInput(f"{what} {text} is zero")
    return value


def parse_money(text: str, what: str = "amount") -> int:
    """Micro-dollars of a decimal in dollars."""
    return parse_units(text.strip().removeprefix("$"), MONEY_DECIMALS, what, "dollars")


def parse_duration(text: str) -> int:
    """Milliseconds of "500ms", "30s", "10m", "24h" or "7d"; BadInput for others."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or int(match.group(1)) == 0:
        raise BadInput(f"{text!r} is not a duration such as 30s, 10m or 24h")
    return int(match.group(1)) * _MILLISECONDS[match.group(2)]


def parse_leverage(text: str) -> int:
    """The initial fraction in ppm that bounds leverage to a multiple such as 2.5, rounded up; 0 for "none"."""
    if text.strip().lower() == "none":
        return 0
    multiple = parse_units(text.strip().lower().removesuffix("x"), 6, "leverage", "times")
    if multiple < _PPM:
        raise BadInput(f"leverage {text} is below 1: no position could be opened with less than its whole value")
    return -(-_PPM * _PPM // multiple)


def units_text(value: int, decimals: int) -> str:
    """The shortest decimal of a whole number of 10^-decimals: exact, no exponent."""
    digits = str(abs(value)).rjust(decimals + 1, "0")
    whole, fraction = digits[: len(digits) - decimals], digits[len(digits) - decimals :].rstrip("0")
    text = f"{whole}.{fraction}" if fraction else whole
    return f"-{text}" if value < 0 else text


def money_text(micros: int) -> str:
    """Dollars with thousands separators, at least two decimals and never a lost micro-dollar."""
    whole, fraction = divmod(abs(micros), 10**MONEY_DECIMALS)
    cents = f"{fraction:06}".rstrip("0").ljust(2, "0")
    return f"{'-' if micros < 0 else ''}${whole:,}.{cents}"


def cents_text(micros: int) -> str:
    """Dollars for tables that people read: rounded to the cent, but for what is less than one."""
    away = (abs(micros) + 5_000) // 10_000 * 10_000
    return money_text(micros if abs(micros) < 10_000 else -away if micros < 0 else away)


def percent_text(ppm: int | None) -> str:
    """A fraction in percent, hundredths rounded up; no number where there is no equity to compare with."""
    return "no equity" if ppm is None else f"{_hundredths(-(-ppm // 100))}%"


def times_text(ppm: int | None) -> str:
    """A fraction as a multiple, hundredths rounded up."""
    return "no equity" if ppm is None else f"{_hundredths(-(-ppm // 10_000))}x"


def leverage_text(initial_ppm: int) -> str:
    """An owner's own bound of leverage."""
    return "none" if initial_ppm == 0 else f"at most {times_text(-(-_PPM * _PPM // initial_ppm))}"


def time_text(milliseconds: int) -> str:
    """A time in UTC, to the second."""
    try:
        return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{milliseconds} ms"


def move_text(basis_points: int | None, direction: int) -> str:
    """A move of all prices in percent, up (1) or down (-1)."""
    return "never" if basis_points is None else f"{'-' if direction < 0 else '+'}{_hundredths(basis_points)}%"


def _hundredths(value: int) -> str:
    return f"{value // 100}.{value % 100:02}"


def parse_address(text: str) -> bytes:
    """20 bytes; BadInput for a wrong length, a failed checksum or the zero address."""
    try:
        return addresses.parse_address(text)
    except addresses.AddressError as error:
        raise BadInput(str(error)) from None
