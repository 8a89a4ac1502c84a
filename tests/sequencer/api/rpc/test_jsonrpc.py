"""The decoder without I/O: total on every input, in both codecs."""

import json
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prover.stf.codes import OK, SENTENCE
from sequencer.api.rpc.errors import ALL_ERRORS, LAW_ERRORS, TRANSPORT_ERRORS, CallError, law_error
from sequencer.api.rpc.jsonrpc import (
    JSON,
    MAX_DEPTH,
    MSGPACK,
    BadRequest,
    Call,
    Codec,
    Registry,
    Request,
    failure,
    read_call,
    read_request,
    split,
    success,
)
from sequencer.schema.values import Bytes20, HexBytes, Uint64, decode_value
from sequencer.schema.writing import to_json, to_msgpack
from tests.sequencer.api.conftest import Int64


class Everything(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    amount: Uint64
    signed: Int64 = Int64(0)
    owner: Bytes20 | None = None
    blob: HexBytes = HexBytes(b"")
    numbers: list[int] = []
    words: dict[str, str] = {}


async def _handler(params: Everything, call: Call) -> Everything:
    return params


def registry() -> Registry:
    filled = Registry()
    filled.add("everything", _handler, params=Everything, result=Everything, description="All types.")
    return filled


def work_through(codec: Codec, body: bytes) -> None:
    """What the dispatcher does before the handler; only CallError may come out, and every answer can be written."""
    filled = registry()
    try:
        calls = split(codec, body, 100)
    except CallError as error:
        failure(codec, None, error)
        return
    for call in [body] if calls is None else calls:
        request = read_call(codec, call)
        try:
            if isinstance(request, BadRequest):
                raise request.error
            success(codec, request.id, filled.find(request.method).bind(codec, bytes(request.params)))
        except CallError as error:
            failure(codec, request.id, error)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
near_calls = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | values,
        "id": st.integers() | st.text() | values,
        "method": st.just("everything") | st.text() | values,
        "params": values
        | st.dictionaries(st.sampled_from(["amount", "signed", "owner", "blob", "numbers", "words"]), values),
    },
)


@settings(max_examples=300)
@given(st.binary(max_size=200), st.sampled_from([JSON, MSGPACK]))
def test_random_bytes_never_raise(body: bytes, codec: Codec) -> None:
    work_through(codec, body)


@settings(max_examples=300)
@given(st.text(alphabet='[]{}",:\\u0d8f123456789eE+-.truefalsn \x00é', max_size=80))
def test_almost_json_never_raises(text: str) -> None:
    work_through(JSON, text.encode())


@settings(max_examples=400)
@given(near_calls | st.lists(near_calls, max_size=3), st.binary(max_size=3), st.integers(0, 400))
def test_almost_calls_never_raise(message: Any, noise: bytes, place: int) -> None:
    text = json.dumps(message).encode()
    work_through(JSON, text)
    work_through(JSON, text[:place] + noise + text[place:])
    try:
        packed = msgpack.packb(message)
    except (OverflowError, ValueError):
        return
    work_through(MSGPACK, packed)
    work_through(MSGPACK, packed[:place] + noise + packed[place:])


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b'{"a":1} 2', "trailing"),
        (b'{"a":1,"a":2}', "twice"),
        (b'{"a":{"b":1,"\\u0062":2}}', "twice"),
        (b"[NaN]", "invalid"),
        (b"[Infinity]", "invalid"),
        (b"[1e999]", "out of range"),
        (b"[" + b"9" * 5_000 + b"]", "out of range"),
        (b'["\xff"]', "UTF-8"),
        (b'["\\ud800"]', "."),
        (b'["\\udc00\\ud800"]', "."),
        (b"\xef\xbb\xbf{}", "invalid"),
        ('["x"]'.encode("utf-16"), "."),
        (b"[" * 100_000, f"deeper than {MAX_DEPTH}"),
        (b"[" * 100_000 + b"]" * 100_000, f"deeper than {MAX_DEPTH}"),
        (b"[" * (MAX_DEPTH + 2) + b"]" * (MAX_DEPTH + 2), f"deeper than {MAX_DEPTH}"),
        (b'{"a":' * 500 + b"1" + b"}" * 500, f"deeper than {MAX_DEPTH}"),
    ],
)
def test_malformed_json_says_why(body: bytes, word: str) -> None:
    with pytest.raises(CallError) as raised:
        JSON.decode(body)
    assert raised.value.error.name == "PARSE_ERROR"
    assert word in raised.value.detail


def test_nesting_up_to_the_bound_is_read() -> None:
    body = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert JSON.encode(JSON.decode(body)) == body
    assert MSGPACK.encode(MSGPACK.decode(b"\x91" * (MAX_DEPTH - 1) + b"\x90")) == b"\x91" * (MAX_DEPTH - 1) + b"\x90"


@pytest.mark.parametrize(
    "value",
    [
        5,
        "x",
        None,
        {},
        {"jsonrpc": "2.0"},
        {"jsonrpc": 2.0, "id": 1, "method": "m"},
        {"jsonrpc": "2.0", "id": 1, "method": 5},
        {"jsonrpc": "2.0", "id": 1, "method": "m", "params": 5},
        {"jsonrpc": "2.0", "id": 1, "method": "m", "params": None},
        {"jsonrpc": "2.0", "id": 1.5, "method": "m"},
        {"jsonrpc": "2.0", "id": True, "method": "m"},
        {"jsonrpc": "2.0", "id": {}, "method": "m"},
        {"jsonrpc": "2.0", "id": 2**63, "method": "m"},
        {"jsonrpc": "2.0", "id": "x" * 129, "method": "m"},
    ],
)
def test_what_is_no_call(value: Any) -> None:
    request = read_request(value)
    assert isinstance(request, BadRequest)
    assert request.error.error.name == "INVALID_REQUEST"


def test_calls_and_notifications() -> None:
    call = {"jsonrpc": "2.0", "id": "x" * 128, "method": "m", "params": [1], "more": 1}
    assert read_request(call) == Request("m", [1], "x" * 128, False)
    assert read_request({"jsonrpc": "2.0", "method": "m"}) == Request("m", {}, None, True)
    assert read_request({"jsonrpc": "2.0", "id": None, "method": "m"}) == Request("m", {}, None, False)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Uint64, "18446744073709551615", 2**64 - 1),
        (Uint64, 0, 0),
        (Int64, "-9223372036854775808", -(2**63)),
        (Bytes20, "0x" + "Ab" * 20, b"\xab" * 20),
        (HexBytes, "0x", b""),
        (HexBytes, b"raw", b"raw"),
    ],
)
def test_values_that_are_read(kind: type, value: Any, expected: Any) -> None:
    assert msgspec.convert(value, kind, dec_hook=decode_value) == expected


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Uint64, "18446744073709551616"),
        (Uint64, "-1"),
        (Uint64, "01"),
        (Uint64, "+1"),
        (Uint64, " 1"),
        (Uint64, "1_0"),
        (Uint64, "१"),
        (Uint64, ""),
        (Uint64, "9" * 1_000_000),
        (Uint64, 1.0),
        (Uint64, True),
        (Uint64, None),
        (Int64, 2**63),
        (Bytes20, "0x" + "ab" * 19),
        (Bytes20, "ab" * 20),
        (Bytes20, "0x" + "zz" * 20),
        (HexBytes, "0xa"),
        (HexBytes, "0xab\n"),
        (HexBytes, [1]),
    ],
)
def test_values_that_are_refused(kind: type, value: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(value, kind, dec_hook=decode_value)


def test_values_are_written_as_text_in_both_codecs() -> None:
    value = Everything(Uint64(2**64 - 1), Int64(-5), owner=Bytes20(b"\x01" * 20))
    as_json = msgspec.json.decode(to_json(value))
    assert as_json == msgpack.unpackb(to_msgpack(value))
    assert (as_json["amount"], as_json["signed"], as_json["owner"]) == ("18446744073709551615", "-5", "0x" + "01" * 20)


def test_the_error_table_is_stable_and_without_doubles() -> None:
    assert len({error.code for error in ALL_ERRORS}) == len(ALL_ERRORS)
    assert len({error.name for error in ALL_ERRORS}) == len(ALL_ERRORS)
    assert all(-32099 <= error.code <= -32000 for error in TRANSPORT_ERRORS)
    assert {error.code: error.name for error in LAW_ERRORS} == {
        -33000 - code: SENTENCE[code][0] for code in SENTENCE if code != OK
    }
    with pytest.raises(AssertionError):
        law_error(OK)


def test_a_registry_refuses_what_would_mislead_callers() -> None:
    class Lenient(msgspec.Struct):
        pass

    async def lenient(params: Lenient, call: Call) -> None:
        return None

    filled = registry()
    with pytest.raises(AssertionError, match="twice"):
        filled.add("everything", _handler, params=Everything, result=None, description="")
    with pytest.raises(AssertionError, match="misspelt"):
        filled.add("lenient", lenient, params=Lenient, result=None, description="")
