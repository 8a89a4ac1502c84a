"""What stands on a handler: its method's name and sentence, beside the types that its annotations say."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar, get_type_hints

import msgspec

from sequencer.api.rpc.errors import PRIVATE, ApiError
from sequencer.api.rpc.jsonrpc import Call, Handler, Registry, Session, weightless
from sequencer.api.rpc.limits import PARAMS_BYTES

_MARK: Final = "described_method"
# Raises CallError where a connection may not be told what is an account's alone.
Admit = Callable[[int, Session], None]
_HandlerT = TypeVar("_HandlerT", bound=Callable[..., Awaitable[object]])


class Described(msgspec.Struct, frozen=True):
    """One method as it will be registered."""

    name: str
    description: str
    params: type[msgspec.Struct]
    result: Any
    errors: tuple[ApiError, ...]
    params_bytes: int
    weigh: Callable[[Any], int]
    of_account: Callable[[Any], int | None] | None


def method(
    name: str,
    description: str,
    *,
    errors: Sequence[ApiError] = (),
    params_bytes: int = PARAMS_BYTES,
    weigh: Callable[[Any], int] = weightless,
    of_account: Callable[[Any], int | None] | None = None,
) -> Callable[[_HandlerT], _HandlerT]:
    """Makes `async def handler(self, params: P, call: Call) -> R` the method `name` with params P and result R.

    of_account: whose affair the answer is alone, None for nobody's.
    """
    named = (*errors, PRIVATE) if of_account is not None else tuple(errors)

    def mark(handler: _HandlerT) -> _HandlerT:
        hints = get_type_hints(handler, include_extras=True)
        types = hints["params"], hints["return"]
        described = Described(name, description, *types, named, params_bytes, weigh, of_account)
        setattr(handler, _MARK, described)
        return handler

    return mark


def _guarded(
    handler: Callable[..., Awaitable[object]], of_account: Callable[[Any], int | None], admit: Admit
) -> Callable[..., Awaitable[object]]:
    async def guarded(params: Any, call: Call) -> object:
        account = of_account(params)
        if account is not None:
            admit(account, call.session)
        return await handler(params, call)

    return guarded


def register(
    registry: Registry,
    *owners: object,
    admit: Admit | None = None,
    durable: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Adds every described handler of each owner, in the order in which they stand in its class.

    admit: asked before anything is told that is an account's alone; None where all may be told.
    durable: for handlers of what the venue shows; returns once all of that, as it is at the call, outlives a crash. An
    answer of theirs waits for it, since what is shown is ahead of what is kept.
    """
    for owner in owners:
        for attribute, function in vars(type(owner)).items():
            described: Described | None = getattr(function, _MARK, None)
            if described is not None:
                handler = getattr(owner, attribute)
                if durable is not None:
                    handler = _behind(durable, handler)
                if admit is not None and described.of_account is not None:
                    handler = _guarded(handler, described.of_account, admit)
                registry.add(
                    described.name,
                    handler,
                    params=described.params,
                    result=described.result,
                    description=described.description,
                    errors=described.errors,
                    params_bytes=described.params_bytes,
                    weigh=described.weigh,
                )


def _behind(durable: Callable[[], Awaitable[None]], handler: Handler[Any]) -> Handler[Any]:
    async def answered(params: msgspec.Struct, call: Call) -> object:
        try:
            return await handler(params, call)
        finally:
            # It was read, errors too, and only waits: the connection's next call may start.
            call.release()
            await durable()

    return answered
