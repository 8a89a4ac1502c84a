"""Whose call is served next: start-time fair queueing over connections, in two classes of size.

Each connection has a tag, the virtual time at which its next call starts: that of the call served last, or where its
own last call ends if that is later. Served is the smallest tag, so that a connection that asks for little comes before
all that wait for much, and each of those gets the same share (Goyal, Vin, Cheng 1996). Small calls do not wait for
large ones: while some of these wait and somebody asks for little, they have half of the time. What would wait too long,
or would hold too many bytes meanwhile, is refused before any of it is read.
"""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final

import trio

from sequencer.api.rpc.errors import RATE_LIMITED, CallError
from sequencer.api.rpc.limits import Limits

# What a refused caller is told to wait: about as long as the tokens of a full queue take.
_RETRY_MS: Final = 1_000
# Whoever asked for little within so long still may.
_RECENT_SECONDS: Final = 1.0
_LONGEST_REST_SECONDS: Final = 1.0


class Share:
    """How much of the node one connection has had. tag: virtual time, in tokens, at which its next call starts."""

    def __init__(self) -> None:
        self.tag = 0


class _Class:
    """Calls of one class of size: the tokens of those that run, and those that wait by tag."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.running = 0
        # No call of the class begins before.
        self.rests_until = 0.0
        self.waiting: list[tuple[int, int, int, trio.Event]] = []

    def has_room(self, cost: int) -> bool:
        # What is larger than all the room runs alone.
        return self.running == 0 or self.running + cost <= self.most


class Gate:
    """The one place where calls of all connections wait."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._small = _Class(limits.small_tokens)
        self._large = _Class(limits.large_tokens)
        self._served = 0
        self._count = 0
        self._small_at = -_RECENT_SECONDS
        self.waiting_bytes = 0
        self.shed = 0

    @property
    def waiting(self) -> int:
        """Calls that wait."""
        return len(self._small.waiting) + len(self._large.waiting)

    async def turn(self, share: Share, cost: int, size: int) -> Callable[[], None]:
        """Waits for its turn; raises CallError (RATE_LIMITED). cost: tokens, size: bytes.

        What it gives has to be called once the turn is over, and may be called again.
        """
        limits = self._limits
        kind = self._small if cost <= limits.small_call_tokens else self._large
        start = max(share.tag, self._served)
        if start - self._served > limits.ahead_tokens or self.waiting_bytes + size > limits.waiting_bytes:
            self.shed += 1
            raise CallError(RATE_LIMITED, data={"retry_after_ms": _RETRY_MS})
        share.tag = start + cost
        if not kind.waiting and kind.has_room(cost):
            kind.running += cost
            self._served = max(self._served, start)
        else:
            await self._wait(kind, start, cost, size)
        if kind is self._small:
            self._small_at = trio.current_time()
        else:
            await self._rest(kind, cost)
        began, left = trio.current_time(), [cost]

        def end() -> None:
            now = trio.current_time()
            if left[0] and kind is self._large and kind.waiting and now - self._small_at < _RECENT_SECONDS:
                kind.rests_until = now + min(now - began, _LONGEST_REST_SECONDS)
            kind.running -= left[0]
            left[0] = 0
            self._admit(kind)

        return end

    async def _rest(self, kind: _Class, cost: int) -> None:
        """Waits, turn in hand, until the class has rested as long as its last call took."""
        try:
            await trio.sleep_until(kind.rests_until)
        except trio.Cancelled:
            kind.running -= cost
            self._admit(kind)
            raise

    async def _wait(self, kind: _Class, start: int, cost: int, size: int) -> None:
        self._count += 1
        entry = (start, self._count, cost, trio.Event())
        heappush(kind.waiting, entry)
        self.waiting_bytes += size
        try:
            await entry[3].wait()
        except trio.Cancelled:
            if entry in kind.waiting:
                kind.waiting.remove(entry)
                heapify(kind.waiting)
            else:
                # Called by one that was cancelled in the same moment.
                kind.running -= cost
            self._admit(kind)
            raise
        finally:
            self.waiting_bytes -= size

    def _admit(self, kind: _Class) -> None:
        while kind.waiting and kind.has_room(kind.waiting[0][2]):
            start, _, cost, turn = heappop(kind.waiting)
            kind.running += cost
            self._served = max(self._served, start)
            turn.set()
