"""How integers past 2^53 and byte strings travel: as text outside, as their own types inside."""

import functools
import operator
import re
import types
from collections.abc import Callable, Iterator
from typing import Annotated, Any, ClassVar, Final, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,38})", re.ASCII)
HEXADECIMAL: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)
# JavaScript readers lose digits from here on.
MAX_NUMBER: Final = 2**53

# How an integer travels that JSON cannot carry as it is; stands in a schema until `finished_schema`.
TRAVELS: Final = "x-travels"
AS_TEXT: Final = "text"
AS_TEXT_IF_WIDE: Final = "text-if-wide"
_DIGITS: Final = "^-?(0|[1-9][0-9]*)$"
_FORMS: Final[dict[str, dict[str, Any]]] = {
    AS_TEXT: {"type": "string", "pattern": _DIGITS},
    AS_TEXT_IF_WIDE: {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": _DIGITS}]},
}


def _travels(form: str) -> msgspec.Meta:
    return msgspec.Meta(extra={TRAVELS: form}, extra_json_schema={TRAVELS: form})


# Money, and whatever else a reader recomputes with: always decimal digits in a string.
Micros = Annotated[int, _travels(AS_TEXT)]
Digits = Annotated[int, _travels(AS_TEXT)]
# A number up to 2^53, decimal digits in a string from there on.
Whole = Annotated[int, _travels(AS_TEXT_IF_WIDE)]

# Bytes in answers stay the text that they travel as.
HexText = Annotated[str, msgspec.Meta(pattern="^0x([0-9a-f]{2})*$")]
AddressText = Annotated[str, msgspec.Meta(pattern="^0x[0-9a-f]{40}$")]
WordText = Annotated[str, msgspec.Meta(pattern="^0x[0-9a-f]{64}$")]
OrderId = Annotated[str, msgspec.Meta(pattern="^0x[0-9a-f]{20}$")]
# Empty where a rescue stands in the place of an order.
OrderIdIfAny = Annotated[str, msgspec.Meta(pattern="^(0x[0-9a-f]{20})?$")]

AccountIndex = Annotated[int, msgspec.Meta(ge=0, lt=2**24)]
Byte = Annotated[int, msgspec.Meta(ge=0, lt=2**8)]
Side = Literal["buy", "sell"]
# How sure an answer is: in the node's order, in a batch on L1, past its window there; or only imagined.
Finality = Literal["sequenced", "posted", "final", "preview"]


class WideInteger(int):
    """An integer that is read from a number or a decimal string and always answered as a decimal string."""

    MINIMUM: ClassVar[int]
    MAXIMUM: ClassVar[int]
    # Whether a number below 2^53 is answered as text as well.
    IS_ALWAYS_TEXT: ClassVar[bool] = True


class Uint64(WideInteger):
    """0..2^64-1: amounts in micros, sequences, times."""

    MINIMUM = 0
    MAXIMUM = 2**64 - 1


class RepeatedUint64(Uint64):
    """One that is answered as it came: a number where JSON can carry it."""

    IS_ALWAYS_TEXT = False


class HexBytes(bytes):
    """Bytes that travel as 0x and two digits a byte; a binary frame may also carry them as they are."""

    SIZE: ClassVar[int | None] = None


class Bytes20(HexBytes):
    """An address."""

    SIZE = 20


def as_hex(value: bytes) -> str:
    """0x and two digits a byte."""
    return "0x" + value.hex()


def decode_value(kind: type, value: Any) -> Any:
    """msgspec's `dec_hook`; raises ValueError with a sentence for the caller."""
    if issubclass(kind, WideInteger):
        if isinstance(value, str) and DECIMAL.fullmatch(value):
            value = int(value)
        if type(value) is not int:
            raise ValueError("Expected an integer or its decimal digits in a string")
        if not kind.MINIMUM <= value <= kind.MAXIMUM:
            raise ValueError(f"Expected an integer of {kind.MINIMUM}..{kind.MAXIMUM}")
        return kind(value)
    if issubclass(kind, HexBytes):
        if isinstance(value, str) and HEXADECIMAL.fullmatch(value):
            value = bytes.fromhex(value[2:])
        if type(value) is not bytes:
            raise ValueError("Expected 0x and two hexadecimal digits a byte")
        if kind.SIZE is not None and len(value) != kind.SIZE:
            raise ValueError(f"Expected {kind.SIZE} bytes, got {len(value)}")
        return kind(value)
    raise NotImplementedError(f"no way to read {kind.__name__}")


def guard_type(kind: Any, is_leaf: Callable[[bytes], bool]) -> Any:
    """`kind` with all that msgspec would read as anything left unread and held to `is_leaf`; `kind` itself if none is.

    Read first, it keeps a tree from being built where the hook would only refuse it. A float is no type of a parameter.
    """
    assert kind is not float, "the API takes no floats"
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any or (isinstance(kind, type) and issubclass(kind, WideInteger | HexBytes)):
        return msgspec.Raw
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _guard_struct(kind, is_leaf)
    if not arguments or origin is Literal:
        return kind
    if origin is Annotated:
        inner, *metadata = arguments
        guarded = guard_type(inner, is_leaf)
        return kind if guarded is inner else Annotated[guarded, *metadata]
    guards = [guard_type(argument, is_leaf) for argument in arguments]
    if all(guard is argument for guard, argument in zip(guards, arguments, strict=True)):
        return kind
    if origin in (Union, types.UnionType):
        if msgspec.Raw not in guards:
            return functools.reduce(operator.or_, guards)
        assert set(guards) <= {msgspec.Raw, type(None)}, f"{kind} mixes what is read by msgspec and by hooks"
        return msgspec.Raw
    assert origin in (list, dict), f"{kind} is no type of a parameter"
    return origin[tuple(guards)]


def _guard_struct(kind: type[msgspec.Struct], is_leaf: Callable[[bytes], bool]) -> type[msgspec.Struct]:
    hints = get_type_hints(kind, include_extras=True)
    guards = {name: guard_type(hints[name], is_leaf) for name in kind.__struct_fields__}
    if all(guards[name] is hints[name] for name in guards):
        return kind
    unread = [name for name, guard in guards.items() if _is_unread(guard)]

    def check(read: msgspec.Struct) -> None:
        for name in unread:
            if not all(is_leaf(bytes(value)) for value in _raw_values(getattr(read, name))):
                raise ValueError(f"Expected text or a whole number of at most 39 digits as {name}")

    fields: list[Any] = [
        (field.name, guards[field.name]) if field.required else (field.name, guards[field.name], msgspec.UNSET)
        for field in msgspec.structs.fields(kind)
    ]
    return msgspec.defstruct(kind.__name__, fields, forbid_unknown_fields=True, namespace={"__post_init__": check})


def _is_unread(guard: Any) -> bool:
    return guard is msgspec.Raw or any(_is_unread(argument) for argument in get_args(guard))


def _raw_values(read: Any) -> Iterator[msgspec.Raw]:
    if isinstance(read, msgspec.Raw):
        yield read
    elif read is not msgspec.UNSET:
        for inner in read.values() if isinstance(read, dict) else read:
            yield from _raw_values(inner)


def encode_value(value: Any) -> str | int:
    """msgspec's `enc_hook`."""
    if isinstance(value, WideInteger):
        return str(int(value)) if value.IS_ALWAYS_TEXT or abs(value) >= MAX_NUMBER else int(value)
    if isinstance(value, HexBytes):
        return as_hex(value)
    raise NotImplementedError(f"no way to write {type(value).__name__}")


def value_schema(kind: type) -> dict[str, Any]:
    """msgspec's `schema_hook`: the JSON schema of a helper type."""
    if issubclass(kind, WideInteger):
        sign = "" if kind.MINIMUM == 0 else "-?"
        text = {"type": "string", "pattern": f"^{sign}(0|[1-9][0-9]*)$"}
        number = {"type": "integer", "minimum": kind.MINIMUM, "maximum": kind.MAXIMUM}
        return {"title": kind.__name__, "anyOf": [text, number]}
    if issubclass(kind, HexBytes):
        count = "*" if kind.SIZE is None else f"{{{kind.SIZE}}}"
        return {"title": kind.__name__, "type": "string", "pattern": f"^0x([0-9a-fA-F]{{2}}){count}$"}
    raise NotImplementedError(f"no schema for {kind.__name__}")


def finished_schema(schema: Any) -> Any:
    """A schema of msgspec's with integers as they travel: msgspec knows them as integers only."""
    if isinstance(schema, list):
        return [finished_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    form = schema.get(TRAVELS)
    if isinstance(form, str):
        rest = {name: value for name, value in schema.items() if name not in (TRAVELS, "type")}
        return {**_FORMS[form], **rest}
    return {name: finished_schema(value) for name, value in schema.items()}
