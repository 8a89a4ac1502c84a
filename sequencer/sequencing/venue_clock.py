"""The time that is sequenced: the machine's clock, held to its monotonic one and to L1's. It follows no jump.

What is sequenced carries this time for ever, orders expire by it, and L1 takes nothing from ahead of its own. So a
reading that the time gone by does not explain is not believed before L1 has agreed with it for a while.
"""

from collections.abc import Callable
from typing import Final

# More than the clock of a running machine is set by at once, and a fifth of what the law allows wallets to differ.
JUMP_MS: Final = 2_000
# So far from the present L1's newest block may be when it is seen first: a slot, and most of a missed one.
L1_SLACK_MS: Final = 20_000
# The same of a devnet, whose time is some machine's clock, or moved by hand: it tells an hour from none.
DEVNET_SLACK_MS: Final = 20 * 60_000
# How long L1 has to agree with a jump before that is the time.
SETTLED_MS: Final = 60_000
# A clock that runs fast or slow is followed in steps of so long, by less than a jump each.
_STEP_MS: Final = 10_000


class VenueClock:
    """Milliseconds since 1970, told at each call; nothing but the two clocks that it is given, and what L1 said.

    skew_ms: how far the machine's clock is ahead of the time that is told, 0 while it is believed.
    """

    def __init__(self, wall_ms: Callable[[], int], monotonic_ms: Callable[[], int], *, has_slots: bool = True) -> None:
        """has_slots: L1 makes blocks by the clock. A devnet does when somebody sends something, and may be moved."""
        self._wall_ms = wall_ms
        self._monotonic_ms = monotonic_ms
        self.has_slots = has_slots
        self._slack_ms = L1_SLACK_MS if has_slots else DEVNET_SLACK_MS
        # A time that was told, the monotonic time of that, and whether it is a guess: then the machine's clock is
        # believed again as soon as L1 agrees with it.
        self._base = (wall_ms(), monotonic_ms())
        self._is_guess = False
        # L1's time, and the monotonic time at which it was seen first.
        self._l1: tuple[int, int] | None = None
        # The same of its newest word, which may be earlier: a devnet can be moved back.
        self._said: tuple[int, int] | None = None
        self._agreed_since: int | None = None
        self.skew_ms = 0

    def __call__(self) -> int:
        """The time to sequence by."""
        wall, monotonic = self._wall_ms(), self._monotonic_ms()
        told = self._base[0] + monotonic - self._base[1]
        is_right = abs(wall - told) <= JUMP_MS
        if is_right or (self._is_guess and self._is_agreed(wall, monotonic)):
            if self._is_guess or not is_right or monotonic - self._base[1] >= _STEP_MS:
                self._base, self._is_guess = (wall, monotonic), False
            told = wall
        bounded = self._bounded(told, monotonic)
        if bounded != told:
            self._base, self._is_guess = (bounded, monotonic), True
        self.skew_ms = wall - bounded
        return bounded

    def met_l1(self, time_ms: int) -> None:
        """L1 says that it is at least so late; what it said before stands where that is later."""
        monotonic = self._monotonic_ms()
        self._said = time_ms, monotonic
        if self._l1 is None or time_ms > self._l1_ms(monotonic):
            self._l1 = time_ms, monotonic
        self()
        wall = self._wall_ms()
        if abs(self.skew_ms) <= JUMP_MS or not self._is_agreed(wall, monotonic):
            self._agreed_since = None
        elif self._agreed_since is None:
            self._agreed_since = monotonic
        elif monotonic - self._agreed_since >= SETTLED_MS:
            self._base, self._agreed_since = (wall, monotonic), None
            self()

    def met_state(self, time_ms: int) -> None:
        """What was sequenced ends at this time: a clock far behind it is wrong, unless L1 says so too."""
        if self() < time_ms - JUMP_MS:
            self._base, self._is_guess = (time_ms, self._monotonic_ms()), True
            self()

    @property
    def l1_ahead_ms(self) -> int:
        """How far L1's clock is ahead of the time that is told, by its newest word; 0 where it is not."""
        if self._said is None:
            return 0
        return max(0, self._said[0] + self._monotonic_ms() - self._said[1] - self())

    def _l1_ms(self, monotonic: int) -> int:
        """L1's time now, of what it said last: behind the present by what its block was old when it was seen."""
        assert self._l1 is not None
        return self._l1[0] + monotonic - self._l1[1]

    def _is_agreed(self, time_ms: int, monotonic: int) -> bool:
        return self._l1 is not None and abs(time_ms - self._l1_ms(monotonic)) <= self._slack_ms

    def _bounded(self, time_ms: int, monotonic: int) -> int:
        """The time, or L1's: where it is ahead of all that L1's present can be, or behind a block that came in time."""
        if self._l1 is None:
            return time_ms
        now_ms = self._l1_ms(monotonic)
        is_behind = self.has_slots and time_ms < self._l1[0]
        return now_ms if is_behind or time_ms > now_ms + self._slack_ms else time_ms
