"""How integers past 2^53 and byte strings travel: as text outside, as their own types inside."""

import re
from typing import Any, ClassVar

import msgspec

DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,38})", re.ASCII)
HEXADECIMAL = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)


class WideInteger(int):
    """An integer that is read from a number or a decimal string and always answered as a decimal string."""

    MINIMUM: ClassVar[int]
    MAXIMUM: ClassVar[int]


class Uint64(WideInteger):
    """0..2^64-1: amounts in micros, sequences, times."""

    MINIMUM = 0
    MAXIMUM = 2**64 - 1


class Int64(WideInteger):
    """-2^63..2^63-1: signed amounts in micros."""

    MINIMUM = -(2**63)
    MAXIMUM = 2**63 - 1


class Int128(WideInteger):
    """-2^127..2^127-1: products of size and price before they are rounded."""

    MINIMUM = -(2**127)
    MAXIMUM = 2**127 - 1


class HexBytes(bytes):
    """Bytes that travel as 0x and two digits a byte; a binary frame may also carry them as they are."""

    SIZE: ClassVar[int | None] = None


class Bytes20(HexBytes):
    """An address."""

    SIZE = 20


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


def encode_value(value: Any) -> str:
    """msgspec's `enc_hook`."""
    if isinstance(value, WideInteger):
        return str(int(value))
    if isinstance(value, HexBytes):
        return "0x" + value.hex()
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


def to_json(value: object) -> bytes:
    """The JSON text of any answer, helper types included."""
    return msgspec.json.encode(value, enc_hook=encode_value)


def to_msgpack(value: object) -> bytes:
    """The msgpack bytes of any answer: the same objects as in JSON."""
    return msgspec.msgpack.encode(value, enc_hook=encode_value)
