"""How long the machine has kept this process from running: what no order of calls can change."""

import os
from functools import cache
from threading import get_ident
from typing import Final

_PATH: Final = "/proc/thread-self/schedstat"
_NANOSECONDS: Final = 10**9


@cache
def _opened(process: int, thread: int) -> int | None:
    # Kept open: one read of it costs a few microseconds.
    try:
        return os.open(_PATH, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def waited_seconds() -> float:
    """Seconds that this thread was ready to run and had no core, since it began; 0 where the kernel does not say."""
    opened = _opened(os.getpid(), get_ident())
    if opened is None:
        return 0.0
    try:
        fields = os.pread(opened, 128, 0).split()
    except OSError:
        # Opened by a thread that is gone, whose name this one has now.
        return 0.0
    return int(fields[1]) / _NANOSECONDS if len(fields) > 1 else 0.0
