"""Whether the node is up, and whether what it takes could be posted: one word for every method that needs it."""

from collections.abc import Callable, Sequence
from typing import Final

from sequencer.l1.postable import Reason, blocking
from sequencer.sequencing.admission import Taking

_STARTING: Final = Reason("STARTING", "The node is catching up with L1.")


class Standing:
    """What `/ready`, catenary_status and a refused operation say.

    is_up: set once the node has caught up with L1, and cleared when it ends; before and after nothing signed is taken.
    """

    def __init__(self, reasons: Callable[[], Sequence[Reason]] = tuple) -> None:
        """reasons: why this store cannot post."""
        self.is_up = False
        self._reasons = reasons

    @property
    def is_ready(self) -> bool:
        """Whether nothing stands against it."""
        return not self.why_not()

    def why_not(self) -> list[Reason]:
        """Why the node is not ready, the gravest first."""
        return blocking(self._reasons()) if self.is_up else [_STARTING]

    def why_refused(self) -> list[Reason]:
        """Why something signed was not taken: a node that follows is ready, and takes nothing."""
        return self.why_not() or [reason for reason in self._reasons() if reason.taking is not Taking.ALL]

    def has(self, code: str) -> bool:
        """Whether a reason of this code stands, told or blocking."""
        return any(reason.code == code for reason in self._reasons())
