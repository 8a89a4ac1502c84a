"""From the bytes of one message to the bytes of its answer: limits, order, deadlines and the last catch."""

import math
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import structlog
import trio

from sequencer.api.rpc.errors import (
    INTERNAL,
    RATE_LIMITED,
    SHUTTING_DOWN,
    TIMEOUT,
    TOO_LARGE,
    CallError,
)
from sequencer.api.rpc.gate import Gate
from sequencer.api.rpc.jsonrpc import (
    BadRequest,
    Call,
    Codec,
    Registry,
    Request,
    Session,
    Subscriber,
    failure,
    read_call,
    split,
    success,
)
from sequencer.api.rpc.limits import Limits, TokenBucket
from sequencer.api.rpc.metrics import ApiMetrics

UNKNOWN_METHOD: Final = "unknown"


class Reply(msgspec.Struct, frozen=True):
    """The answer to one message (None: only notifications) and what must run once it is on its way."""

    body: bytes | None
    after_answer: Sequence[Callable[[], None]] = ()


class _Outcome(msgspec.Struct):
    """What one call of a message came to."""

    body: bytes | None = None
    after_answer: list[Callable[[], None]] = []


class _Passing(msgspec.Struct, frozen=True):
    """How a call makes way: for the next one of its connection, and for all others in the node."""

    release: Callable[[], None]
    step_aside: Callable[[], None]


class Dispatcher:
    """The same for every transport: `handle(bytes) -> bytes`; never raises for anything that a caller sends."""

    def __init__(
        self,
        registry: Registry,
        limits: Limits,
        metrics: ApiMetrics,
        log: structlog.typing.FilteringBoundLogger,
        clock: Callable[[], float],
        new_incident: Callable[[], str],
    ) -> None:
        self._registry = registry
        self._limits = limits
        self._metrics = metrics
        self._log = log
        self._clock = clock
        self._new_incident = new_incident
        self.gate = Gate(limits)
        self._addresses: dict[str, TokenBucket] = {}
        self.is_draining = False

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
            return self._refused(error, codec, release)
        try:
            return await self._answer(body, codec, session, _Passing(release, end_turn))
        finally:
            end_turn()

    async def _answer(self, body: bytes, codec: Codec, session: Session, passing: _Passing) -> Reply:
        try:
            calls = split(codec, body, self._limits.batch_calls)
        except CallError as error:
            too_many = self._rate_limited(session, besides=len(body) // self._limits.token_bytes)
            return self._refused(too_many or error, codec, passing.release)
        if calls is not None:
            return await self._batch(calls, codec, session, passing)
        outcome = _Outcome()
        await self._call(body, codec, session, outcome, passing)
        passing.release()
        return Reply(outcome.body, outcome.after_answer)

    def _refused(self, error: CallError, codec: Codec, release: Callable[[], None]) -> Reply:
        self._count(UNKNOWN_METHOD, error.error.name)
        release()
        return Reply(failure(codec, None, error))

    async def _batch(self, calls: list[bytes], codec: Codec, session: Session, passing: _Passing) -> Reply:
        outcomes = [_Outcome() for _ in calls]

        async def run(body: bytes, outcome: _Outcome, turn: trio.Event) -> None:
            await self._call(body, codec, session, outcome, _Passing(turn.set, passing.step_aside))
            turn.set()

        async with trio.open_nursery() as nursery:
            for body, outcome in zip(calls, outcomes, strict=True):
                turn = trio.Event()
                nursery.start_soon(run, body, outcome, turn)
                await turn.wait()
            passing.release()
        answers: list[bytes] = []
        room = self._limits.answer_bytes
        for body, outcome in zip(calls, outcomes, strict=True):
            if outcome.body is None:
                continue
            room -= len(outcome.body)
            if room < 0:
                outcome.body = failure(codec, read_call(codec, body).id, CallError(TOO_LARGE, "Ask for less at once."))
            answers.append(outcome.body)
        after_answer = [callback for outcome in outcomes for callback in outcome.after_answer]
        return Reply(codec.join(answers) if answers else None, after_answer)

    async def _call(self, message: bytes, codec: Codec, session: Session, outcome: _Outcome, passing: _Passing) -> None:
        request = read_call(codec, message)
        method_name = UNKNOWN_METHOD
        result: object = None
        bytes_cost = len(message) // self._limits.token_bytes
        refusal = self._rate_limited(session, besides=bytes_cost)
        started_at = self._clock()
        try:
            if refusal is not None:
                raise refusal
            if isinstance(request, BadRequest):
                raise request.error
            if self.is_draining:
                raise CallError(SHUTTING_DOWN)
            method = self._registry.find(request.method)
            method_name = method.name
            params = method.bind(codec, bytes(request.params))
            # A call cost a token already, and its bytes what they are.
            self.pay(session, method.weigh(params) - 1 - bytes_cost, besides=1 + bytes_cost)
            call = Call(session, codec, passing.release, passing.step_aside)
            outcome.after_answer = call.after_answer
            with trio.move_on_after(self._limits.call_seconds) as scope:
                result = await method.handler(params, call)
            if scope.cancelled_caught:
                raise CallError(TIMEOUT)
            body = success(codec, request.id, method.write(result))
            if len(body) > self._limits.answer_bytes:
                raise CallError(TOO_LARGE, "Ask for less at once.")
        except CallError as error:
            refusal = error
            body = failure(codec, request.id, error)
        except Exception as error:
            refusal = self.incident(error, method=method_name)
            body = failure(codec, request.id, refusal)
        self._count(method_name, "OK" if refusal is None else refusal.error.name)
        if method_name != UNKNOWN_METHOD:
            self._metrics.seconds.labels(method_name).observe(self._clock() - started_at)
        if isinstance(request, Request) and request.is_notification:
            return
        outcome.body = body

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
        refusal = self._rate_limited(session, cost, besides) if cost > 0 else None
        if refusal is not None:
            raise refusal

    def _rate_limited(self, session: Session, cost: int = 1, besides: int = 0) -> CallError | None:
        if session.bucket.wait_seconds(cost) > 0:
            wait_seconds = session.bucket.wait_seconds(cost + besides)
            return CallError(RATE_LIMITED, data={"retry_after_ms": math.ceil(wait_seconds * 1000)})
        session.bucket.take(cost)
        return None

    def _count(self, method: str, outcome: str) -> None:
        self._metrics.calls.labels(method, outcome).inc()
