"""The local clock, which is where every signed time comes from unless a caller brings another."""

import time


def wall_clock_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
