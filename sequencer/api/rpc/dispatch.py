"""JSON-RPC from the bytes of one message to the bytes of its answer: batches, order, deadlines."""

from collections.abc import Callable

import msgspec
import structlog
import trio

from sequencer.api.rpc.entrance import UNKNOWN_METHOD, Entrance, Passing, Reply
from sequencer.api.rpc.errors import SHUTTING_DOWN, TIMEOUT, TOO_LARGE, CallError
from sequencer.api.rpc.jsonrpc import (
    BadRequest,
    Call,
    Codec,
    Registry,
    Request,
    Session,
    failure,
    read_call,
    split,
    success,
)
from sequencer.api.rpc.limits import Limits
from sequencer.api.rpc.metrics import ApiMetrics


class _Outcome(msgspec.Struct):
    """What one call of a message came to."""

    body: bytes | None = None
    after_answer: list[Callable[[], None]] = []


class Dispatcher(Entrance):
    """JSON-RPC: calls of a registry, single or in a batch."""

    paths = frozenset(("/",))

    def __init__(
        self,
        registry: Registry,
        limits: Limits,
        metrics: ApiMetrics,
        log: structlog.typing.FilteringBoundLogger,
        clock: Callable[[], float],
        new_incident: Callable[[], str],
    ) -> None:
        super().__init__(limits, metrics, log, clock, new_incident)
        self._registry = registry

    async def answer(self, body: bytes, codec: Codec, session: Session, passing: Passing) -> Reply:
        """One message, single or batch."""
        try:
            calls = split(codec, body, self._limits.batch_calls)
        except CallError as error:
            too_many = self.rate_limited(session, besides=len(body) // self._limits.token_bytes)
            return self.refused(too_many or error, codec, passing.release)
        if calls is not None:
            return await self._batch(calls, codec, session, passing)
        outcome = _Outcome()
        await self._call(body, codec, session, outcome, passing)
        passing.release()
        return Reply(outcome.body, outcome.after_answer)

    def refusal(self, error: CallError, codec: Codec) -> bytes:
        """An error of no call."""
        return failure(codec, None, error)

    async def _batch(self, calls: list[bytes], codec: Codec, session: Session, passing: Passing) -> Reply:
        outcomes = [_Outcome() for _ in calls]

        async def run(body: bytes, outcome: _Outcome, turn: trio.Event) -> None:
            await self._call(body, codec, session, outcome, Passing(passing.path, turn.set, passing.step_aside))
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

    async def _call(self, message: bytes, codec: Codec, session: Session, outcome: _Outcome, passing: Passing) -> None:
        request = read_call(codec, message)
        method_name = UNKNOWN_METHOD
        result: object = None
        bytes_cost = len(message) // self._limits.token_bytes
        refusal = self.rate_limited(session, besides=bytes_cost)
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
        self.count(method_name, "OK" if refusal is None else refusal.error.name)
        if method_name != UNKNOWN_METHOD:
            self._metrics.seconds.labels(method_name).observe(self._clock() - started_at)
        if isinstance(request, Request) and request.is_notification:
            return
        outcome.body = body
