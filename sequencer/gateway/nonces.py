"""Which nonces of a signer were used: each is taken once, however often the gateway starts anew."""

import heapq
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from l1_bridge.files import replace_file
from sequencer.gateway.refusals import Refused

# Of a signer the highest are kept, and nothing below the lowest of them is taken.
KEPT: Final = 100
OLDEST_MS: Final = 2 * 86_400_000
# How far a nonce may lie ahead of this clock.
AHEAD_MS: Final = 60_000


class Nonces:
    """Of one signer. What was used before a start lies at or below that start's floor, so nothing is used twice.

    A nonce behind the clock is covered by the clock itself. One ahead of it is written down before it is taken.
    """

    def __init__(self, path: Path, clock_ms: Callable[[], int]) -> None:
        """path: of the file that keeps the highest nonce that was ahead of the clock."""
        self._path = path
        self._clock_ms = clock_ms
        self._floor = max(clock_ms(), _kept(path, clock_ms()))
        self._ahead = self._floor
        self._used: list[int] = []

    def take(self, nonce: int) -> None:
        """Uses a nonce up; Refused where it is used, too old, or too far ahead."""
        now = self._clock_ms()
        if nonce > now + AHEAD_MS:
            raise Refused(f"Invalid nonce {nonce}: more than {AHEAD_MS} ms ahead of this gateway's clock, {now}")
        if nonce <= max(self._floor, now - OLDEST_MS):
            raise Refused(f"Invalid nonce {nonce}: older than this gateway takes, which started at {self._floor}")
        if nonce in self._used:
            raise Refused(f"Invalid nonce {nonce}: it was used already")
        if len(self._used) == KEPT and nonce < self._used[0]:
            raise Refused(f"Invalid nonce {nonce}: below the {KEPT} highest that were used")
        if nonce > now and nonce > self._ahead:
            replace_file(self._path, msgspec.json.encode(nonce), is_synced=True)
            self._ahead = nonce
        heapq.heappush(self._used, nonce)
        if len(self._used) > KEPT:
            heapq.heappop(self._used)


def _kept(path: Path, now_ms: int) -> int:
    try:
        kept: int = msgspec.json.decode(path.read_bytes(), type=int)
    except FileNotFoundError:
        return 0
    except msgspec.DecodeError:
        # Whatever stood there, nothing further ahead was ever taken.
        return now_ms + AHEAD_MS
    return kept
