"""How long the machine has kept this thread from running: what no order of calls can change."""

import os
import threading
from typing import Final

_PATH: Final = "/proc/thread-self/schedstat"
_NANOSECONDS: Final = 10**9


class _Kept:
    """A thread's own file, open while it lives: to open it anew would cost tens of microseconds at each answer."""

    def __init__(self) -> None:
        self.process = os.getpid()
        try:
            self._file = os.open(_PATH, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._file = -1

    def __del__(self) -> None:
        if self._file >= 0:
            os.close(self._file)

    def read(self) -> list[bytes]:
        """The fields; none where there is no file, or no longer a thread behind it."""
        try:
            return os.pread(self._file, 128, 0).split()
        except OSError:
            return []


# By the thread itself: its number may be given to another one once it has ended.
_OWN: Final = threading.local()


def waited_seconds() -> float:
    """Seconds that this thread was ready to run and had no core, since it began; 0 where the kernel does not say."""
    kept: _Kept | None = getattr(_OWN, "kept", None)
    if kept is None or kept.process != os.getpid():
        kept = _OWN.kept = _Kept()
    fields = kept.read()
    return int(fields[1]) / _NANOSECONDS if len(fields) > 1 else 0.0
