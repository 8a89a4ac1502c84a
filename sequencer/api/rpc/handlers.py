"""What stands on a handler: its method's name and sentence, beside the types that its annotations say."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar, get_type_hints

import msgspec

from sequencer.api.rpc.errors import ApiError
from sequencer.api.rpc.jsonrpc import Registry, weightless
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


def register(registry: Registry, *owners: object) -> None:
    """Adds every described handler of each owner, in the order in which they stand in its class."""
    for owner in owners:
        for attribute, function in vars(type(owner)).items():
            described: Described | None = getattr(function, _MARK, None)
            if described is not None:
                registry.add(
                    described.name,
                    getattr(owner, attribute),
                    params=described.params,
                    result=described.result,
                    description=described.description,
                    errors=described.errors,
                    params_bytes=described.params_bytes,
                    weigh=described.weigh,
                )
