"""The contract ABI, as far as our contracts go: values -> the one canonical encoding, and back from nothing else.

eth-abi is not used here: it imports a grammar and a schema library, nine tenths of what a wallet took to start.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final, Protocol

_WORD_BYTES: Final = 32


class AbiError(ValueError):
    """A value that its type cannot hold, or bytes that are not the canonical encoding of their types."""


class _Kind(Protocol):
    """One ABI type: `size` bytes in place, or a word that says where, if it is dynamic."""

    size: int
    dynamic: bool

    def encode(self, value: Any) -> bytes: ...

    def decode(self, data: bytes, at: int) -> tuple[Any, int]:
        """(value, where it ends)."""


class _Word:
    size, dynamic = _WORD_BYTES, False


class _Integer(_Word):
    def __init__(self, bits: int, *, signed: bool) -> None:
        self._bits, self._signed = bits, signed

    def encode(self, value: Any) -> bytes:
        if type(value) is not int or not self._holds(value):
            raise AbiError(f"{value!r} is no {'' if self._signed else 'u'}int{self._bits}")
        return value.to_bytes(_WORD_BYTES, "big", signed=self._signed)

    def decode(self, data: bytes, at: int) -> tuple[int, int]:
        value = int.from_bytes(_slice(data, at, _WORD_BYTES), "big", signed=self._signed)
        if not self._holds(value):
            raise AbiError(f"byte {at} begins more than {self._bits} bits")
        return value, at + _WORD_BYTES

    def _holds(self, value: int) -> bool:
        return -1 << self._bits - 1 <= value < 1 << self._bits - 1 if self._signed else 0 <= value < 1 << self._bits


class _Bool(_Word):
    def encode(self, value: Any) -> bytes:
        if type(value) is not bool:
            raise AbiError(f"{value!r} is no bool")
        return value.to_bytes(_WORD_BYTES, "big")

    def decode(self, data: bytes, at: int) -> tuple[bool, int]:
        value, end = _Integer(1, signed=False).decode(data, at)
        return value == 1, end


class _Address(_Word):
    """Taken as 20 bytes or 0x and 40 digits, given as the latter in small letters."""

    def encode(self, value: Any) -> bytes:
        raw = bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else value
        if not isinstance(raw, bytes) or len(raw) != 20:
            raise AbiError(f"{value!r} is no address")
        return bytes(12) + raw

    def decode(self, data: bytes, at: int) -> tuple[str, int]:
        value, end = _Integer(160, signed=False).decode(data, at)
        return f"0x{value:040x}", end


class _FixedBytes(_Word):
    def __init__(self, length: int) -> None:
        self._length = length

    def encode(self, value: Any) -> bytes:
        if not isinstance(value, bytes) or len(value) != self._length:
            raise AbiError(f"{value!r} is no bytes{self._length}")
        return value.ljust(_WORD_BYTES, b"\0")

    def decode(self, data: bytes, at: int) -> tuple[bytes, int]:
        return _padded(data, at, self._length), at + _WORD_BYTES


class _Bytes:
    size, dynamic = _WORD_BYTES, True

    def __init__(self, *, text: bool) -> None:
        self._text = text

    def encode(self, value: Any) -> bytes:
        raw = value.encode() if self._text and isinstance(value, str) else value
        if not isinstance(raw, bytes) or isinstance(value, bytes) is self._text:
            raise AbiError(f"a {type(value).__name__} is no {'string' if self._text else 'bytes'}")
        return len(raw).to_bytes(_WORD_BYTES, "big") + raw + bytes(-len(raw) % _WORD_BYTES)

    def decode(self, data: bytes, at: int) -> tuple[bytes | str, int]:
        length, start = _Integer(256, signed=False).decode(data, at)
        raw = _padded(data, start, length)
        # not UTF-8 raises UnicodeDecodeError, a ValueError
        return raw.decode() if self._text else raw, start + length + -length % _WORD_BYTES


class _Tuple:
    """(T, U), and T[k] as k times the same."""

    def __init__(self, kinds: Sequence[_Kind]) -> None:
        self._kinds = kinds
        self.dynamic = any(kind.dynamic for kind in kinds)
        self.size = _WORD_BYTES if self.dynamic else sum(kind.size for kind in kinds)

    def encode(self, value: Any) -> bytes:
        return _encode_all(self._kinds, value)

    def decode(self, data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        return _decode_all(self._kinds, data, at)


class _Array:
    size, dynamic = _WORD_BYTES, True

    def __init__(self, item: _Kind) -> None:
        self._item = item

    def encode(self, value: Any) -> bytes:
        return len(value).to_bytes(_WORD_BYTES, "big") + _encode_all((self._item,) * len(value), value)

    def decode(self, data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        count, start = _Integer(256, signed=False).decode(data, at)
        if count * self._item.size > len(data) - start:
            raise AbiError(f"byte {at} announces {count} items, more than {len(data)} bytes hold")
        return _decode_all((self._item,) * count, data, start)


def _slice(data: bytes, at: int, length: int) -> bytes:
    if length > len(data) - at:
        raise AbiError(f"{length} bytes from byte {at} on are more than {len(data)} hold")
    return data[at : at + length]


def _padded(data: bytes, at: int, length: int) -> bytes:
    whole = _slice(data, at, length + -length % _WORD_BYTES)
    if any(whole[length:]):
        raise AbiError(f"the {length} bytes from byte {at} on are not filled up with zeros")
    return whole[:length]


def _encode_all(kinds: Sequence[_Kind], values: Any) -> bytes:
    if len(values) != len(kinds):
        raise AbiError(f"{len(values)} values are not {len(kinds)}")
    tail_at = sum(kind.size for kind in kinds)
    heads, tails = [], []
    for kind, value in zip(kinds, values, strict=True):
        encoded = kind.encode(value)
        if kind.dynamic:
            heads.append(tail_at.to_bytes(_WORD_BYTES, "big"))
            tails.append(encoded)
            tail_at += len(encoded)
        else:
            heads.append(encoded)
    return b"".join(heads + tails)


def _decode_all(kinds: Sequence[_Kind], data: bytes, start: int) -> tuple[tuple[Any, ...], int]:
    values = []
    at, tail_at = start, start + sum(kind.size for kind in kinds)
    for kind in kinds:
        if kind.dynamic:
            # Invariant: tails lie in order without gap or overlap, so no byte is read as two values.
            offset, at = _Integer(256, signed=False).decode(data, at)
            if offset != tail_at - start:
                raise AbiError(f"an offset of {offset} is not {tail_at - start}")
            value, tail_at = kind.decode(data, tail_at)
        else:
            value, at = kind.decode(data, at)
        values.append(value)
    return tuple(values), tail_at


@cache
def _kind(name: str) -> _Kind:
    if name.endswith("]"):
        item, _, count = name[:-1].rpartition("[")
        return _Tuple((_kind(item),) * int(count)) if count else _Array(_kind(item))
    if name.startswith("("):
        return _Tuple(tuple(map(_kind, _members(name[1:-1]))))
    simple: dict[str, _Kind] = {
        "bool": _Bool(),
        "address": _Address(),
        "bytes": _Bytes(text=False),
        "string": _Bytes(text=True),
    }
    if name in simple:
        return simple[name]
    if name.startswith("bytes"):
        return _FixedBytes(int(name.removeprefix("bytes")))
    return _Integer(int(name.removeprefix("u").removeprefix("int")), signed=name.startswith("int"))


def _members(names: str) -> list[str]:
    """The types between the commas that stand in no inner tuple."""
    members, depth = [""], 0
    for letter in names:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            members.append("")
        else:
            members[-1] += letter
    return members


def encode(types: Sequence[str], values: Sequence[Any]) -> bytes:
    """The canonical encoding; AbiError where a value is not of its type."""
    return _encode_all([_kind(name) for name in types], values)


def decode(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """The values whose canonical encoding the bytes are, arrays as tuples; ValueError where there are none."""
    values, end = _decode_all([_kind(name) for name in types], data, 0)
    if end != len(data):
        raise AbiError(f"{len(data) - end} bytes follow")
    return values
