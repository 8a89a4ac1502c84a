"""Pauses between attempts at one thing: each is twice the one before it, up to a bound."""

from collections.abc import Hashable
from typing import Final

import trio

FIRST_SECONDS: Final = 2.0
MOST_SECONDS: Final = 120.0


class Pauses:
    """When each thing may be tried again, in trio's time; whatever was never postponed may be tried at once."""

    def __init__(self) -> None:
        self._pauses: dict[Hashable, tuple[float, float]] = {}

    def is_due(self, what: Hashable) -> bool:
        """Whether its pause is over."""
        at, _ = self._pauses.get(what, (0.0, 0.0))
        return trio.current_time() >= at

    def postpone(self, what: Hashable) -> float:
        """Begins the next pause; its seconds."""
        _, pause = self._pauses.get(what, (0.0, 0.0))
        pause = min(max(2 * pause, FIRST_SECONDS), MOST_SECONDS)
        self._pauses[what] = (trio.current_time() + pause, pause)
        return pause

    def end(self, what: Hashable) -> None:
        """It went well: the next pause is a first one."""
        self._pauses.pop(what, None)
