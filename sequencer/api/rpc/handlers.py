"""What stands on a handler: its method's name and sentence, beside the types that its annotations say."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar, get_type_hints

import msgspec

from sequencer.api.rpc.errors import ApiError
from sequencer.api.rpc.jsonrpc import Call, Handler, Registry, weightless
from sequencer.api.rpc.limits import PARAMS_BYTES

_MARK: Final = "described_method"
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


def method(
    name: str,
    description: str,
    *,
    errors: Sequence[ApiError] = (),
    params_bytes: int = PARAMS_BYTES,
    weigh: Callable[[Any], int] = weightless,
) -> Callable[[_HandlerT], _HandlerT]:
    """Makes `async def handler(self, params: P, call: Call) -> R` the method `name` with params P and result R."""

    def mark(handler: _HandlerT) -> _HandlerT:
        hints = get_type_hints(handler, include_extras=True)
        described = Described(name, description, hints["params"], hints["return"], tuple(errors), params_bytes, weigh)
        setattr(handler, _MARK, described)
        return handler

    return mark


def register(registry: Registry, *owners: object, durable: Callable[[], Awaitable[None]] | None = None) -> None:
    """Adds every described handler of each owner, in the order in which they stand in its class.

    durable: for handlers of what the venue shows; returns once all of that, as it is at the call, outlives a crash. An
    answer of theirs waits for it, since what is shown is ahead of what is kept.
    """
    for owner in owners:
        for attribute, function in vars(type(owner)).items():
            described: Described | None = getattr(function, _MARK, None)
            if described is not None:
                handler = getattr(owner, attribute)
                registry.add(
                    described.name,
                    handler if durable is None else _behind(durable, handler),
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
