"""The ABI codec against eth-abi: the same bytes for every value, and nothing read but the canonical encoding."""

from typing import Any

import pytest
from eth_abi.abi import decode as decode_by_eth_abi
from eth_abi.abi import encode as encode_by_eth_abi
from hypothesis import given, settings
from hypothesis import strategies as st

from l1_bridge.contracts.abi import AbiError, decode, encode

WORD_BITS = 256
EXAMPLES = 60

widths = st.integers(1, WORD_BITS // 8).map(lambda count: 8 * count)
simple_types = st.one_of(
    st.sampled_from(["bool", "address", "bytes", "string", "uint256", "int256", "bytes32"]),
    widths.map("uint{}".format),
    widths.map("int{}".format),
    st.integers(1, 32).map("bytes{}".format),
)
types = st.recursive(
    simple_types,
    lambda inner: st.one_of(
        inner.map("{}[]".format),
        st.builds("{}[{}]".format, inner, st.integers(1, 3)),
        st.lists(inner, min_size=1, max_size=3).map(lambda members: f"({','.join(members)})"),
    ),
    max_leaves=6,
)


def members_of(kind: str) -> list[str]:
    """The types in a tuple's brackets."""
    members, depth, start = [], 0, 1
    for at, letter in enumerate(kind):
        depth += (letter == "(") - (letter == ")")
        if (letter == "," and depth == 1) or depth == 0:
            members.append(kind[start:at])
            start = at + 1
    return members


def values_of(kind: str) -> st.SearchStrategy[Any]:
    """Values as they are decoded: arrays as tuples, addresses in small letters."""
    if kind.endswith("]"):
        inner, _, count = kind[:-1].rpartition("[")
        least, most = (int(count), int(count)) if count else (0, 3)
        return st.lists(values_of(inner), min_size=least, max_size=most).map(tuple)
    if kind.startswith("("):
        return st.tuples(*map(values_of, members_of(kind)))
    simple = {
        "bool": st.booleans(),
        "address": st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex()),
        "bytes": st.binary(max_size=70),
        "string": st.text(max_size=40),
    }
    if kind in simple:
        return simple[kind]
    if kind.startswith("bytes"):
        return st.binary(min_size=int(kind[5:]), max_size=int(kind[5:]))
    bits = int(kind.removeprefix("u").removeprefix("int"))
    return st.integers(0, (1 << bits) - 1) if kind.startswith("u") else st.integers(-1 << bits - 1, (1 << bits - 1) - 1)


cases = st.lists(types, max_size=4).flatmap(
    lambda kinds: st.tuples(st.just(kinds), st.tuples(*(values_of(kind) for kind in kinds)))
)


@given(cases)
@settings(max_examples=2 * EXAMPLES)
def test_encodes_as_eth_abi_does_and_decodes_what_it_encoded(case: tuple[list[str], tuple[Any, ...]]) -> None:
    kinds, values = case
    data = encode(kinds, values)
    assert data == encode_by_eth_abi(kinds, values)
    assert decode(kinds, data) == values == decode_by_eth_abi(kinds, data)


def is_canonical(kinds: list[str], data: bytes) -> bool:
    """What eth-abi reads, and writes again in the same bytes."""
    try:
        return bool(encode_by_eth_abi(kinds, decode_by_eth_abi(kinds, data)) == data)
    except Exception:
        return False


@given(cases, st.data())
@settings(max_examples=2 * EXAMPLES)
def test_accepts_of_changed_bytes_exactly_the_canonical(case: tuple[list[str], tuple[Any, ...]], drawn: Any) -> None:
    kinds, values = case
    data = bytearray(encode(kinds, values))
    for _ in range(drawn.draw(st.integers(1, 3))):
        at = drawn.draw(st.integers(0, len(data)))
        # words of small numbers, where offsets and lengths stand, are changed as often as values
        at = drawn.draw(st.sampled_from([at, at | 31]))
        change = drawn.draw(st.sampled_from(["set", "cut", "grow"]))
        if change == "set" and at < len(data):
            data[at] = drawn.draw(st.sampled_from([0, 1, 31, 32, 64, 96, 128, 255]))
        elif change == "cut":
            del data[at : at + 32]
        else:
            data[at:at] = bytes(32)
    read = None
    try:
        read = decode(kinds, bytes(data))
    except ValueError:
        assert not is_canonical(kinds, bytes(data))
    else:
        assert is_canonical(kinds, bytes(data))
        assert read == decode_by_eth_abi(kinds, bytes(data))


def word(value: int) -> bytes:
    """One word."""
    return value.to_bytes(32, "big")


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("uint8", word(256)),
        ("int8", word(128)),
        ("bool", word(2)),
        ("address", word(1 << 160)),
        ("bytes31", word(1)),
        ("bytes", word(32) + word(1) + b"ab".ljust(32, b"\0")),
        ("bytes", word(64) + word(0) + word(0)),
        ("bytes", word(32) + word((1 << 256) - 1)),
        ("string", word(32) + word(1) + b"\xff".ljust(32, b"\0")),
        ("uint256[]", word(32) + word((1 << 255) - 1)),
        ("(bytes,bytes)", word(32) + word(64) + word(64) + word(0)),
        ("uint256", word(1) + b"\0"),
        ("uint256", word(1)[:31]),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} bytes",
)
def test_refuses_bytes_that_are_no_canonical_encoding(kind: str, data: bytes) -> None:
    with pytest.raises((AbiError, UnicodeDecodeError)):
        decode([kind], data)
    assert not is_canonical([kind], data)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("uint8", 256),
        ("uint8", -1),
        ("int8", 128),
        ("uint256", True),
        ("uint256", "1"),
        ("bool", 1),
        ("address", bytes(19)),
        ("address", 20),
        ("bytes32", bytes(31)),
        ("bytes", "text"),
        ("string", b"bytes"),
        ("uint256[2]", (1,)),
        ("(bool,bool)", (True,)),
    ],
)
def test_refuses_a_value_that_is_not_of_its_type(kind: str, value: Any) -> None:
    with pytest.raises(AbiError):
        encode([kind], [value])


def test_takes_addresses_as_bytes_or_text() -> None:
    assert encode(["address"], [b"\xab" * 20]) == encode(["address"], ["0x" + "Ab" * 20]) == bytes(12) + b"\xab" * 20
