"""The machine's clocks. Every signed time comes from the one that people set, unless a caller brings another."""

import time
from typing import Final

_SINCE_BOOT: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def wall_clock_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def monotonic_clock_ms() -> int:
    """Milliseconds that nobody sets, those that the machine slept included where the system counts them."""
    return time.clock_gettime_ns(_SINCE_BOOT) // 1_000_000
