"""Answers of a node that say nothing in particular but what a test names."""

import types
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

AnswerT = TypeVar("AnswerT", bound=msgspec.Struct)


def answer(kind: type[AnswerT], /, **told: Any) -> AnswerT:
    """An answer with what is told; zero, nothing or an empty text where a field is not named."""
    fields = {field.name: _nothing(field.type) for field in msgspec.structs.fields(kind) if field.required}
    assert told.keys() <= set(kind.__struct_fields__), f"{kind.__name__} has no such field"
    return kind(**(fields | told))


def _nothing(kind: Any) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _nothing(arguments[0])
    if origin is Literal:
        return arguments[0]
    if origin in (Union, types.UnionType):
        return None if type(None) in arguments else _nothing(arguments[0])
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return answer(kind)
    return (origin or kind)()
