"""What history asks for beside the way of orders: lists are shortened, and accounts valued, a few each second."""

import re
from collections.abc import Callable, Sequence
from typing import Final

import trio

from sequencer.history.history import History
from sequencer.history.records import KINDS, Kept

# Rows that are let go of in a second.
_ROWS_A_SECOND: Final = 4_096
_VALUED_A_TURN: Final = 32
_KEPT: Final = re.compile(r"([a-z]+)=([1-9][0-9]{0,8}):([1-9][0-9]{0,5})", re.ASCII)
_KINDS: Final = {kind.name: kind for kind in KINDS}


def kept_of(given: Sequence[str]) -> dict[str, Kept]:
    """How much of each kind is kept, as options say it, KIND=ROWS:DAYS; ValueError with a sentence."""
    kept = {name: kind.kept for name, kind in _KINDS.items()}
    for text in given:
        found = _KEPT.fullmatch(text)
        if found is None or found[1] not in kept:
            raise ValueError(f"{text!r} is not KIND=ROWS:DAYS with a kind of {', '.join(kept)}.")
        kept[found[1]] = Kept(int(found[2]), int(found[3]))
    return kept


class Bookkeeping:
    """A node's history over time. sample_seconds: how often an account is valued that holds positions; 0: never."""

    def __init__(self, history: History, holders: set[int], now_ms: Callable[[], int], sample_seconds: int) -> None:
        self._history = history
        self._holders = holders
        self._now_ms = now_ms
        self._sample_seconds = sample_seconds
        # Who is to be valued in this round, and who was in the last one: an end of a position is a point as well.
        self._round: list[int] = []
        self._valued: set[int] = set()
        self._a_second = 0
        self._seconds_left = 0

    async def run(self) -> None:
        """Goes on until cancelled."""
        while True:
            await trio.sleep(1)
            await self.work()

    async def work(self) -> None:
        """What is done in a second; it is written with the next chunk."""
        self._history.let_go(self._now_ms(), _ROWS_A_SECOND)
        if self._sample_seconds:
            await self._value_some()

    async def _value_some(self) -> None:
        if self._seconds_left == 0:
            self._seconds_left = self._sample_seconds
            self._round = sorted(self._holders | self._valued, reverse=True)
            self._valued = set(self._holders)
            self._a_second = -(-len(self._round) // self._sample_seconds)
        self._seconds_left -= 1
        for count in range(min(self._a_second, len(self._round))):
            self._history.sample(self._round.pop(), self._now_ms())
            if count % _VALUED_A_TURN == _VALUED_A_TURN - 1:
                await trio.lowlevel.checkpoint()
