"""Every bound of the API in one place, and the token bucket."""

from collections.abc import Callable
from typing import Final

import msgspec

# The params of a method that does not say how much it needs.
PARAMS_BYTES: Final = 16_384
# The most that a method may say.
MOST_PARAMS_BYTES: Final = 131_072
# What a signature that is not whose it should be has cost in vain: it was looked for, and nobody pays for it.
BAD_SIGNATURE_TOKENS: Final = 100


class Limits(msgspec.Struct, frozen=True):
    """Sizes in bytes, times in seconds, rates in tokens a second. Past a bound: an error with a code, or a close.

    A call costs one token, and each whole `token_bytes` of a message one more, before any of it is read; a call that
    weighs more, as orders do by their number, costs the rest before it is done. A new connection has `start_tokens`,
    or what is left of those of its address, which pays for them and for what its connections have cost in vain: where
    it owes them a new connection is not spoken to for `longest_pause_seconds` at most, `pausing_connections` at a time.
    Of what was told, for whoever comes again, a channel's ring holds `ring_messages` and `ring_bytes` at most, and all
    rings together hold `rings_bytes`: beyond that those that have been silent for longest are emptied.
    Of calls that cost at most `small_call_tokens` together `small_tokens` run at a time, of others `large_tokens`; who
    is `ahead_tokens` ahead of all others, and what would wait behind `waiting_bytes`, is refused.
    """

    connections: int = 256
    pausing_connections: int = 64
    head_bytes: int = 16_384
    body_bytes: int = 1_000_000
    answer_bytes: int = 8_000_000
    batch_calls: int = 100
    calls_in_flight: int = 64
    connection_rate: float = 500
    connection_burst: int = 4_000
    start_tokens: int = 2_000
    address_rate: float = 2_000
    address_burst: int = 40_000
    addresses: int = 4_096
    longest_pause_seconds: float = 1
    small_call_tokens: int = 8
    small_tokens: int = 256
    large_tokens: int = 100
    ahead_tokens: int = 4_000
    waiting_bytes: int = 16_000_000
    token_bytes: int = 1_024
    connection_subscriptions: int = 64
    node_subscriptions: int = 4_096
    node_channels: int = 4_096
    ring_messages: int = 1_024
    ring_bytes: int = 1_000_000
    rings_bytes: int = 64_000_000
    queue_messages: int = 1_024
    queue_bytes: int = 4_000_000
    socket_send_bytes: int = 262_144
    idle_seconds: float = 60
    request_seconds: float = 10
    call_seconds: float = 30
    send_seconds: float = 10
    linger_seconds: float = 1
    drain_seconds: float = 10


class TokenBucket:
    """`burst` tokens at once, `rate` tokens a second after that; `clock` gives seconds and never goes back.

    It begins with `start` tokens, the whole burst where that is not given.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float], start: int | None = None) -> None:
        assert rate > 0
        assert burst > 0
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._tokens = float(burst if start is None else min(start, burst))
        self._counted_at = clock()

    def wait_seconds(self, cost: int = 1) -> float:
        """0 if the tokens are there, else how long until they are; what costs more than the burst costs the burst."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._counted_at) * self._rate)
        self._counted_at = now
        return max(0.0, (min(cost, self._burst) - self._tokens) / self._rate)

    def take_at_most(self, cost: int) -> int:
        """Spends so many tokens, or those that there are; how many."""
        self.wait_seconds()
        taken = max(0, min(cost, int(self._tokens)))
        self._tokens -= taken
        return taken

    @property
    def left(self) -> int:
        """Whole tokens that there are now; none where some are owed."""
        self.wait_seconds()
        return max(0, int(self._tokens))

    @property
    def is_full(self) -> bool:
        """Whether nothing was spent that has not come back."""
        self.wait_seconds()
        return self._tokens >= self._burst

    def take(self, cost: int = 1) -> None:
        """Spends the tokens; only after `wait_seconds` said 0 for as many."""
        cost = min(cost, self._burst)
        assert self._tokens >= cost
        self._tokens -= cost

    def owe(self, cost: int) -> None:
        """Spends tokens that need not be there: as long as they are owed nothing else is to be had."""
        self._tokens -= cost
