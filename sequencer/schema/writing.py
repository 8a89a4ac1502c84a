"""From an answer's struct to its bytes: each value travels as the declared type says, in JSON and in msgpack."""

import types
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from sequencer.schema.values import AS_TEXT, MAX_NUMBER, TRAVELS, HexBytes, WideInteger, as_hex, encode_value

Writer = Callable[[Any], Any]


def writer(kind: Any) -> Writer:
    """Writes values of a type; made once for each method and channel."""
    return _writer(kind) or _as_it_is


def to_wire(value: Any) -> Any:
    """What has no declared type, as a caller sends it: bytes as 0x text, numbers above 2^53 as decimal text."""
    if isinstance(value, bytes):
        return as_hex(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_NUMBER:
        return str(value)
    if isinstance(value, Mapping):
        return {name: to_wire(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_wire(item) for item in value]
    return value


def to_json(value: object) -> bytes:
    """The JSON text of any answer, helper types included."""
    return msgspec.json.encode(value, enc_hook=encode_value)


def to_msgpack(value: object) -> bytes:
    """The msgpack bytes of any answer: the same objects as in JSON."""
    return msgspec.msgpack.encode(value, enc_hook=encode_value)


def _as_it_is(value: Any) -> Any:
    return value


def _wide(value: int) -> int | str:
    return value if abs(value) < MAX_NUMBER else str(value)


@cache
def _writer(kind: Any) -> Writer | None:
    """None for a type whose values travel as they are."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        form = next((meta.extra[TRAVELS] for meta in arguments[1:] if meta.extra and TRAVELS in meta.extra), None)
        return _writer(arguments[0]) if form is None else str if form == AS_TEXT else _wide
    if origin in (Union, types.UnionType):
        return _union_writer([argument for argument in arguments if argument is not types.NoneType])
    if origin in (list, tuple):
        return _list_writer(_writer(arguments[0]))
    if origin is dict:
        return _dict_writer(_writer(arguments[1]))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _struct_writer(kind)
    if isinstance(kind, type) and issubclass(kind, WideInteger | HexBytes):
        return encode_value
    return None


def _list_writer(item: Writer | None) -> Writer | None:
    return None if item is None else lambda value: [item(each) for each in value]


def _dict_writer(item: Writer | None) -> Writer | None:
    return None if item is None else lambda value: {name: item(each) for name, each in value.items()}


def _union_writer(kinds: list[Any]) -> Writer | None:
    """A value is written by the first alternative of its type."""
    writers = [(_bare(kind), write) for kind in kinds if (write := _writer(kind)) is not None]
    if not writers:
        return None

    def write_one(value: Any) -> Any:
        for bare, write in writers:
            if isinstance(value, bare):
                return write(value)
        return value

    return write_one


def _bare(kind: Any) -> type:
    origin = get_origin(kind)
    bare = get_args(kind)[0] if origin is Annotated else origin or kind
    assert isinstance(bare, type), f"{kind} cannot be told from others by a value"
    return bare


def _struct_writer(kind: type[msgspec.Struct]) -> Writer:
    fields = [(field, _writer(field.type)) for field in msgspec.structs.fields(kind)]
    plan = [(field.encode_name, field.name, write) for field, write in fields]
    left_out = {field.encode_name for field, _ in fields if kind.__struct_config__.omit_defaults and not field.required}

    def write_struct(value: msgspec.Struct) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for name, attribute, write in plan:
            found = getattr(value, attribute)
            if found is not None or name not in left_out:
                told[name] = found if write is None else write(found)
        return told

    return write_struct
