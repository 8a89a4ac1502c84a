"""Whether a challenger that has not reached the end of the chain is coming nearer to it, soon enough."""


class Pace:
    """From block to block the end goes away, too: who reads more slowly than L1 writes never acts at the end.

    Times are trio's, in seconds; `lag` is in blocks.
    """

    def __init__(self, now: float) -> None:
        self._begins(now)

    def _begins(self, now: float) -> None:
        # Since when the end was not reached; when the lag was looked at, and what it was; seconds spent waiting for L1.
        self.since = now
        self._looked_at = now
        self._lag: int | None = None
        self._waited = 0.0

    def reached(self, now: float) -> None:
        """The end was reached, or somebody else is read from now on."""
        self._begins(now)

    def waited(self, seconds: float) -> None:
        """So long the node took to answer."""
        self._waited += seconds

    def is_due(self, now: float, patience: float) -> bool:
        """Whether to look at the lag: twice within the patience."""
        return now - self._looked_at >= patience / 2

    def look(self, now: float, lag: int, most_seconds: float) -> tuple[bool, bool]:
        """Whether the end comes nearer too slowly to be reached in `most_seconds`, and whether for waiting for L1."""
        before, elapsed = self._lag, now - self._looked_at
        is_waiting = self._waited > elapsed / 2
        self._lag, self._looked_at, self._waited = lag, now, 0.0
        if before is None:
            return False, is_waiting
        return lag > 0 and (before - lag) * most_seconds < lag * elapsed, is_waiting
