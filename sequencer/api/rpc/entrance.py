"""What every message passes on its way in, whatever it is: its address's tokens, its turn, the last catch."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog

from sequencer.api.rpc.errors import INTERNAL, RATE_LIMITED, CallError
from sequencer.api.rpc.gate import Gate
from sequencer.api.rpc.jsonrpc import Codec, Session, Subscriber
from sequencer.api.rpc.limits import Limits, TokenBucket
from sequencer.api.rpc.metrics import ApiMetrics

UNKNOWN_METHOD: Final = "unknown"


class Reply(msgspec.Struct, frozen=True):
    """The answer to one message (None: only notifications) and what must run once it is on its way."""

    body: bytes | None
    after_answer: Sequence[Callable[[], None]] = ()


class Passing(msgspec.Struct, frozen=True):
    """Where a message came to, and how it makes way: for the next one of its connection, and for all in the node."""

    path: str
    release: Callable[[], None]
    step_aside: Callable[[], None]


class Entrance(ABC):
    """The same for every transport and every protocol: `handle(bytes) -> bytes`; never raises for what is sent."""

    # Where messages may be posted to.
    paths: frozenset[str]

    def __init__(
        self,
        limits: Limits,
        metrics: ApiMetrics,
        log: structlog.typing.FilteringBoundLogger,
        clock: Callable[[], float],
        new_incident: Callable[[], str],
    ) -> None:
        self._limits = limits
        self._metrics = metrics
        self._log = log
        self._clock = clock
        self._new_incident = new_incident
        self.gate = Gate(limits)
        self._addresses: dict[str, TokenBucket] = {}
        self.is_draining = False

    @abstractmethod
    async def answer(self, body: bytes, codec: Codec, session: Session, passing: Passing) -> Reply:
        """Of one message that was paid for and has its turn."""

    @abstractmethod
    def refusal(self, error: CallError, codec: Codec) -> bytes:
        """What is said to a message that was not read, or could not be."""

    def session(self, address: str = "", subscriber: Subscriber | None = None) -> Session:
        """Of one new connection, from an address that it pays for its first tokens."""
        limits = self._limits
        known = self._addresses.get(address)
        if known is None:
            if len(self._addresses) >= limits.addresses:
                self._addresses = {name: bucket for name, bucket in self._addresses.items() if not bucket.is_full}
            known = TokenBucket(limits.address_rate, limits.address_burst, self._clock)
            self._addresses[address] = known
        start = known.take_at_most(min(limits.start_tokens, limits.connection_burst))
        bucket = TokenBucket(limits.connection_rate, limits.connection_burst, self._clock, start)
        return Session(bucket, subscriber, known)

    def pause_seconds(self, address: str) -> float:
        """How long a new connection of an address waits before it is read: not at all while the address has tokens."""
        known = self._addresses.get(address)
        return 0.0 if known is None else min(known.wait_seconds(), self._limits.longest_pause_seconds)

    async def handle(
        self,
        body: bytes,
        codec: Codec,
        session: Session,
        release: Callable[[], None] = lambda: None,
        *,
        is_paid: bool = False,
        path: str = "/",
    ) -> Reply:
        """Answers one message, single or batch; `release` is called once every call in it has its place in the order.

        It waits for its turn among all connections before it is read. is_paid: its bytes were paid for already.

        Invariant: calls start in the order in which they stand; the next starts when the one before has returned or
        has called `Call.release`, so that orders keep their sequence and still share one group commit.
        """
        cost = len(body) // self._limits.token_bytes
        try:
            if not is_paid:
                self.pay(session, cost, besides=1)
            end_turn = await self.gate.turn(session.share, 1 + cost, len(body))
        except CallError as error:
            return self.refused(error, codec, release)
        try:
            return await self.answer(body, codec, session, Passing(path, release, end_turn))
        finally:
            end_turn()

    def incident(self, error: Exception, **context: object) -> CallError:
        """Logs a failure of our own under a new id; what the caller gets to see of it is that id."""
        incident = self._new_incident()
        self._metrics.incidents.inc()
        self._log.error("api.incident", incident=incident, exc_info=error, **context)
        return CallError(INTERNAL, data={"incident": incident})

    def pay_bytes(self, session: Session, size: int) -> None:
        """Takes the tokens of a message of so many bytes before it is read; raises CallError (RATE_LIMITED)."""
        self.pay(session, size // self._limits.token_bytes, besides=1)

    def pay(self, session: Session, cost: int, besides: int = 0) -> None:
        """Takes so many tokens, none for less than one; raises CallError (RATE_LIMITED).

        besides: what else the call costs, or has cost. Who is refused is told to wait for all of it, else who asks
        again as soon as he may would spend on asking what he has waited for.
        """
        refusal = self.rate_limited(session, cost, besides) if cost > 0 else None
        if refusal is not None:
            raise refusal

    def rate_limited(self, session: Session, cost: int = 1, besides: int = 0) -> CallError | None:
        """Takes so many tokens, or says why not; besides: as `pay` has it."""
        if session.bucket.wait_seconds(cost) > 0:
            wait_seconds = session.bucket.wait_seconds(cost + besides)
            return CallError(RATE_LIMITED, data={"retry_after_ms": math.ceil(wait_seconds * 1000)})
        session.bucket.take(cost)
        return None

    def refused(self, error: CallError, codec: Codec, release: Callable[[], None]) -> Reply:
        """A message of which nothing was read."""
        self.count(UNKNOWN_METHOD, error.error.name)
        release()
        return Reply(self.refusal(error, codec))

    def count(self, method: str, outcome: str) -> None:
        """One call more."""
        self._metrics.calls.labels(method, outcome).inc()
