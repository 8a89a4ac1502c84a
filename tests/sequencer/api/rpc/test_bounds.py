"""What a message may cost before anybody looks at it: bounds by method, type and bytes, and what is still taken."""

import json
import time
import tracemalloc
from types import SimpleNamespace
from typing import Any, Final

import msgpack
import msgspec
import pytest
import structlog
import trio
from prometheus_client import CollectorRegistry
from trio.testing import memory_stream_pair

from sequencer.api.methods.operations import Operations
from sequencer.api.rpc.errors import CallError
from sequencer.api.rpc.handlers import register
from sequencer.api.rpc.jsonrpc import (
    JSON,
    MAX_ENVELOPE_BYTES,
    MSGPACK,
    Call,
    Codec,
    JsonCodec,
    Method,
    MsgpackCodec,
    Registry,
)
from sequencer.api.rpc.limits import PARAMS_BYTES, Limits, TokenBucket
from sequencer.api.transport.http import PIECES_A_TURN
from sequencer.api.transport.port import ApiConfig, Surroundings
from sequencer.api.transport.server import Server
from tests.sequencer.api.conftest import Echo, Echoed, Running, Start, Venue
from tests.sequencer.api.transport.test_http import call_bytes
from tests.sequencer.api.transport.test_websocket import HANDSHAKE, connect

pytestmark = pytest.mark.trio
SIZE: Final = 990_000


def filled(unit: bytes) -> bytes:
    return b"[" + b",".join([unit] * (SIZE // (len(unit) + 1))) + b"]"


JSON_SHAPES: Final = {
    "floats": filled(b"1e300"),
    "tiny floats": filled(b"2.2250738585072012e-308"),
    "integers": filled(b"1"),
    "long integers": filled(b"9" * 4_300),
    "one integer": b"[" + b"9" * SIZE + b"]",
    "empty arrays": filled(b"[]"),
    "empty objects": filled(b"{}"),
    "nested": filled(b"[" * 31 + b"]" * 31),
    "deep": b"[" * (SIZE // 2) + b"]" * (SIZE // 2),
    "strings": filled(b'""'),
    "one string": b'["' + b"a" * SIZE + b'"]',
    "escapes": b'["' + b"\\u00e9" * (SIZE // 6) + b'"]',
    "keys": b"{" + b",".join(b'"%06d":1' % number for number in range(SIZE // 11)) + b"}",
    "one key": b"{" + b",".join([b'"amount":1'] * (SIZE // 11)) + b"}",
    "spaces": b"[" + b" " * SIZE + b"]",
}
MSGPACK_SHAPES: Final = {
    "integers": b"\xdd" + SIZE.to_bytes(4, "big") + b"\x01" * SIZE,
    "arrays": b"\xdc\x03\xc0" + (b"\xdc\x03\xff" + b"\x90" * 1_023) * 960,
    "floats": b"\xdc\x01\x00" + (b"\xdc\x01\xa0" + b"\xcb\x7e\x37\xe4\x3c\x88\x00\x75\x9c" * 416) * 256,
    "deep": b"\x91" * SIZE + b"\x01",
    "one string": b"\x91\xdb" + SIZE.to_bytes(4, "big") + b"a" * SIZE,
    "keys": b"\x91\xdf" + (SIZE // 8).to_bytes(4, "big") + b"".join(b"\xa6%06d\x01" % n for n in range(SIZE // 8)),
    "no such items": b"\x91\xdd\xff\xff\xff\xff\x01",
}
SHAPES: Final = [
    *(pytest.param(JSON, name, shape, id=f"json-{name}") for name, shape in JSON_SHAPES.items()),
    *(pytest.param(MSGPACK, name, shape, id=f"msgpack-{name}") for name, shape in MSGPACK_SHAPES.items()),
]


def members(codec: Codec, **raw: bytes) -> bytes:
    """A call of the given already encoded members."""
    call = {"jsonrpc": codec.encode("2.0"), "id": codec.encode(1), "method": codec.encode("echo"), **raw}
    return codec.join_object(list(call.items()))


def places(codec: Codec, shape: bytes) -> dict[str, bytes]:
    """A shape wherever a message has room for it."""
    return {
        "body": shape,
        "params": members(codec, params=shape),
        "parameter": members(codec, params=codec.join_object([("amount", shape)])),
        "unknown method": members(codec, method=codec.encode("nothing"), params=shape),
        "id": members(codec, id=shape, params=codec.encode({"amount": 1})),
        "method": members(codec, method=shape),
        "unknown member": members(codec, more=shape, params=codec.encode({"amount": 1})),
        "batch": codec.join([members(codec, params=shape)]),
    }


def expected(place: str, name: str) -> tuple[str, str | None]:
    """The name of the error and of the limit."""
    if name in ("deep", "no such items"):
        return "PARSE_ERROR", None
    if place == "unknown method":
        return "METHOD_NOT_FOUND", None
    if place in ("params", "parameter", "batch"):
        return "TOO_LARGE", "params_bytes"
    if place == "body":
        return {
            "one integer": ("PARSE_ERROR", None),
            "one string": ("INVALID_REQUEST", None),
            "escapes": ("INVALID_REQUEST", None),
            "spaces": ("INVALID_REQUEST", None),
        }.get(name, ("BATCH_TOO_LARGE", None))
    return "TOO_LARGE", "envelope_bytes"


def server(venue: Venue, **limits: Any) -> Server:
    log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[])
    config = ApiConfig(port=0, limits=Limits(**limits))
    return Server(config, venue.registry, metrics=CollectorRegistry(), epoch="run", surroundings=Surroundings(log=log))


async def answer_to(node: Server, codec: Codec, body: bytes) -> Any:
    """The first answer, plain."""
    reply = await node.dispatcher.handle(body, codec, node.dispatcher.session())
    assert reply.body is not None
    answer = codec.decode(reply.body)
    return answer[0] if isinstance(answer, list) else answer


@pytest.mark.parametrize(("codec", "name", "shape"), SHAPES)
async def test_a_large_body_is_refused_by_name(codec: Codec, name: str, shape: bytes) -> None:
    node = server(Venue())
    for place, body in places(codec, shape).items():
        if place == "body" and (codec is MSGPACK or name in ("keys", "one key")):
            continue
        error = (await answer_to(node, codec, body))["error"]
        assert (error["data"]["name"], error["data"].get("limit")) == expected(place, name), place
        if error["data"].get("limit") == "params_bytes":
            assert (error["data"]["most"], error["data"]["method"]) == (PARAMS_BYTES, "echo")
        if error["data"].get("limit") == "envelope_bytes":
            assert error["data"]["most"] == MAX_ENVELOPE_BYTES


@pytest.mark.parametrize("name", ["floats", "empty arrays", "keys"])
async def test_over_both_transports(start: Start, name: str) -> None:
    node: Running = await start()
    body = members(JSON, params=JSON_SHAPES[name])
    packed = members(MSGPACK, params=MSGPACK_SHAPES["arrays"])
    answers = [
        (await node.post(body)).json(),
        msgpack.unpackb((await node.post(packed, **{"content-type": "application/msgpack"})).content),
    ]
    async with connect(node) as websocket:
        await websocket.send_message(body.decode())
        answers.append(msgspec.json.decode(await websocket.get_message()))
        await websocket.send_message(packed)
        answers.append(msgpack.unpackb(await websocket.get_message()))
    assert [answer["error"]["data"].get("limit") for answer in answers] == ["params_bytes"] * 4
    assert [answer["id"] for answer in answers] == [1] * 4
    await node.assert_alive()


class CountingJson(JsonCodec):
    """Counts what is read as plain objects."""

    def __init__(self) -> None:
        self.plain_bytes = 0

    def decode(self, body: bytes) -> Any:
        self.plain_bytes += len(body)
        return super().decode(body)


class CountingMsgpack(MsgpackCodec):
    """Counts what is read as plain objects."""

    def __init__(self) -> None:
        self.plain_bytes = 0

    def decode(self, body: bytes) -> Any:
        self.plain_bytes += len(body)
        return super().decode(body)


@pytest.mark.parametrize(("codec", "name", "shape"), SHAPES)
async def test_of_a_refused_body_no_tree_is_built(codec: Codec, name: str, shape: bytes) -> None:
    node = server(Venue())
    for place, body in places(codec, shape).items():
        if place == "body":
            continue
        counting: Any = CountingJson() if codec is JSON else CountingMsgpack()
        session = node.dispatcher.session()
        tracemalloc.start()
        try:
            await node.dispatcher.handle(body, counting, session)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert counting.plain_bytes <= MAX_ENVELOPE_BYTES, place
        assert peak < 4 * len(body) + 65_536, place


async def test_a_body_of_floats_costs_a_part_of_reading_them() -> None:
    node = server(Venue())
    floats = b"[" + b",".join([b"1e300"] * 50_000) + b"]"
    few = b"[" + b",".join([b"1e300"] * 1_600) + b"]"
    small = members(JSON, params=JSON.join_object([("amount", few)]))
    bodies = [
        *places(JSON, floats).values(),
        JSON.join([small] * (len(floats) // len(small))),
        JSON.join([few] * (len(floats) // len(few))),
    ]
    started_at = time.process_time()
    msgspec.json.decode(floats)
    plain_seconds = time.process_time() - started_at
    for body in bodies:
        started_at = time.process_time()
        await answer_to(node, JSON, body)
        assert time.process_time() - started_at < plain_seconds / 4


@pytest.mark.parametrize(
    "params",
    [
        b'{"amount":1.0}',
        b'{"amount":1e3}',
        b'{"amount":[1e300,1e300]}',
        b'{"amount":{}}',
        b'{"amount":' + b"1" * 40 + b"}",
        b'{"amount":1,"owner":[]}',
        b"[[1e300]]",
        b"[1,2]",
        b"[1,[1e300]]",
    ],
)
async def test_a_parameter_of_another_shape_is_refused_unread(params: bytes) -> None:
    error = (await answer_to(server(Venue()), JSON, members(JSON, params=params)))["error"]
    assert error["data"]["name"] == "INVALID_PARAMS"


@pytest.mark.parametrize("codec", [JSON, MSGPACK])
async def test_a_small_call_is_taken_as_before(codec: Codec) -> None:
    node = server(Venue())
    owner = "0x" + "ab" * 20
    for params in (
        {"amount": "18446744073709551615", "text": ':"\u00fc', "owner": owner},
        {"amount": 2**64 - 1, "text": ':"\u00fc', "owner": owner},
        ["18446744073709551615", ':"\u00fc', owner],
    ):
        answer = await answer_to(node, codec, members(codec, params=codec.encode(params), more=codec.encode({"a": 1})))
        assert answer["result"]["amount"] == "18446744073709551615"
        assert (answer["result"]["text"], answer["result"]["owner"]) == (':"\u00fc', owner)
    nothing = await answer_to(node, codec, members(codec, params=codec.encode({"amount": 1, "owner": None})))
    assert nothing["result"]["owner"] is None


async def test_escaped_text_is_taken_and_does_not_hide_a_repeated_key() -> None:
    node = server(Venue())
    good = await answer_to(node, JSON, members(JSON, params=b'{"amount":1,"text":"\\u003a:\\\\u003a"}'))
    assert good["result"]["text"] == "::\\u003a"
    bad = await answer_to(node, JSON, members(JSON, params=b'{"amount":1,"text":"","text":"\\u003a:\\u003a"}'))
    assert bad["error"]["data"]["name"] == "PARSE_ERROR"


REPEATS: Final = [
    (JSON, b'{"jsonrpc":"2.0","id":1,"method":"echo","params":{"amount":1,"amount":1}}'),
    (JSON, b'{"jsonrpc":"2.0","id":1,"method":"echo","params":{"amount":1,"amo\\u0075nt":1}}'),
    (JSON, b'{"jsonrpc":"2.0","id":1,"method":"fail","method":"echo","params":{"amount":1}}'),
    (JSON, b'{"jsonrpc":"2.0","id":1,"method":"echo","params":[2],"params":{"amount":1}}'),
    (JSON, b'{"jsonrpc":"2.0","id":1,"method":"echo","x":1,"x":1,"params":{"amount":1}}'),
    (MSGPACK, b"\x84\xa7jsonrpc\xa32.0\xa2id\x01\xa6method\xa4echo\xa6params\x82\xa6amount\x01\xa6amount\x01"),
    (MSGPACK, b"\x85\xa7jsonrpc\xa32.0\xa2id\x01\xa2id\x01\xa6method\xa4echo\xa6params\x81\xa6amount\x01"),
    (MSGPACK, b"\x84\xa7jsonrpc\xa32.0\xa2id\x01\xa6method\xa4echo\xa6params\xde\x07\xd0" + b"\xa6amount\x01" * 2_000),
]


@pytest.mark.parametrize(("codec", "body"), REPEATS)
async def test_a_repeated_key_is_refused(codec: Codec, body: bytes) -> None:
    error = (await answer_to(server(Venue()), codec, body))["error"]
    assert (error["data"]["name"], "twice" in error["message"]) == ("PARSE_ERROR", True)


async def test_keys_read_over_are_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    def search(*_: Any, **__: Any) -> None:
        raise AssertionError

    monkeypatch.setattr("sequencer.api.rpc.jsonrpc.json", SimpleNamespace(loads=search))
    params = b"{" + b",".join([b'"amount":[1,1,1]'] * 900) + b',"amount":1}'
    with pytest.raises(CallError, match="twice"):
        Venue().registry.find("echo").bind(JSON, params)


@pytest.mark.parametrize("codec", [JSON, MSGPACK])
async def test_the_envelope_is_bounded_to_the_byte(codec: Codec) -> None:
    node = server(Venue())
    params = codec.encode({"amount": 1})
    spare = MAX_ENVELOPE_BYTES - len(members(codec, params=b"", more=codec.encode("x" * 1_000))) + 1_000
    largest = members(codec, params=params, more=codec.encode("x" * spare))
    assert len(largest) - len(params) == MAX_ENVELOPE_BYTES
    assert "result" in await answer_to(node, codec, largest)
    refused = await answer_to(node, codec, members(codec, params=params, more=codec.encode("x" * (spare + 1))))
    assert refused["error"]["data"]["limit"] == "envelope_bytes"


@pytest.mark.parametrize("codec", [JSON, MSGPACK])
async def test_params_are_bounded_to_the_byte(codec: Codec) -> None:
    node = server(Venue())
    spare = PARAMS_BYTES - len(codec.encode({"amount": 1, "text": "x" * 1_000})) + 1_000
    largest = codec.encode({"amount": 1, "text": "x" * spare})
    assert len(largest) == PARAMS_BYTES
    assert "result" in await answer_to(node, codec, members(codec, params=largest))
    one_more = codec.encode({"amount": 1, "text": "x" * (spare + 1)})
    assert (await answer_to(node, codec, members(codec, params=one_more)))["error"]["data"]["limit"] == "params_bytes"


def orders_method() -> Method:
    registry = Registry()
    unused: Any = SimpleNamespace(engine=None)
    register(registry, Operations(unused, unused, unused, unused, lambda: True, bytes, unused))
    return registry.find("catenary_orders")


def longest_orders(count: int) -> dict[str, Any]:
    order = {
        "account": 2**24 - 1, "market": 255, "side": 1, "size_lots": str(2**64 - 1),
        "limit_price_ticks": str(2**64 - 1), "slot": 255, "sequence": str(2**64 - 1),
        "created_at_ms": str(2**64 - 1), "expires_at_ms": str(2**64 - 1), "time_in_force": 3, "post_only": False,
        "reduce_only": False, "trigger": 3, "trigger_price_ticks": str(2**64 - 1), "max_fee_ppm": 2**16 - 1,
        "max_posting_fee_micros": 2**24 - 1,
    }  # fmt: skip
    return {"orders": [{"order": order, "signature": "0x" + "ab" * 65}] * count}


@pytest.mark.parametrize("codec", [JSON, MSGPACK])
async def test_the_largest_legal_batch_of_orders_is_taken(codec: Codec) -> None:
    method = orders_method()
    given: Any = method.bind(codec, codec.encode(longest_orders(100)))
    assert len(given.orders) == 100
    with pytest.raises(CallError) as raised:
        method.bind(codec, codec.encode(longest_orders(101)))
    assert raised.value.error.name == "INVALID_PARAMS"


async def test_a_batch_of_orders_is_bounded_to_the_byte() -> None:
    method = orders_method()
    indented = json.dumps(longest_orders(100), indent=2).encode()
    largest = indented + b" " * (method.params_bytes - len(indented))
    given: Any = method.bind(JSON, largest)
    assert len(given.orders) == 100
    with pytest.raises(CallError) as raised:
        method.bind(JSON, largest + b" ")
    assert raised.value.data == {"limit": "params_bytes", "most": method.params_bytes, "method": "catenary_orders"}


async def test_a_batch_too_long_ends_the_reading() -> None:
    """What follows the first call too many is not even looked at: it is no JSON."""
    node = server(Venue())
    one = members(JSON, params=b'{"amount":1}')
    assert "result" in await answer_to(node, JSON, JSON.join([one] * 100))
    refused = await answer_to(node, JSON, JSON.join([one] * 101)[:-1] + b",\xff\xff")
    assert refused["error"]["data"] == {"name": "BATCH_TOO_LARGE", "most": 100}


async def test_a_method_cannot_ask_for_what_is_not_bounded() -> None:
    class Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
        rate: float

    async def handler(params: Rate, call: Call) -> None:
        return None

    with pytest.raises(AssertionError, match="no floats"):
        Registry().add("rate", handler, params=Rate, result=None, description="Has a float.")


async def test_a_connection_pays_for_its_bytes_before_they_are_read() -> None:
    node = server(Venue(), connection_burst=40, connection_rate=1, token_bytes=1_024)
    node.dispatcher._clock = lambda: 0.0
    session = node.dispatcher.session()
    counting = CountingJson()
    large = members(JSON, params=b"[" + b" " * 16_000 + b"]")
    names: list[str] = []
    for body in (large, large, large, b"{" * 30_000, members(JSON, params=b'{"amount":1}')):
        before = counting.plain_bytes
        reply = await node.dispatcher.handle(body, counting, session)
        answer = msgspec.json.decode(reply.body or b"")
        names.append(answer["error"]["data"]["name"] if "error" in answer else "OK")
        assert (counting.plain_bytes == before) == (names[-1] == "RATE_LIMITED")
    # 40 tokens: twice fifteen and one; the third body and the garbage cost more than is left, the small call does not.
    assert names == ["INVALID_PARAMS", "INVALID_PARAMS", "RATE_LIMITED", "RATE_LIMITED", "OK"]


async def test_a_call_weighs_what_its_params_are() -> None:
    venue = Venue()
    venue.registry.add(
        "heavy", venue.echo, params=Echo, result=Echoed, description="Weighs.", weigh=lambda given: int(given.amount)
    )
    node = server(venue, connection_burst=150, connection_rate=1)
    node.dispatcher._clock = lambda: 0.0
    session = node.dispatcher.session()
    names: list[str] = []
    for method, amount in (("heavy", 100), ("heavy", 100), ("heavy", 40), ("heavy", 10), ("echo", 1)):
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"amount": amount}}
        answer = msgspec.json.decode(
            (await node.dispatcher.handle(msgspec.json.encode(call), JSON, session)).body or b""
        )
        names.append(answer["error"]["data"]["name"] if "error" in answer else "OK")
    # The second had to pay for having come; the rest of it was not there, and nothing of it was done.
    assert names == ["OK", "RATE_LIMITED", "OK", "RATE_LIMITED", "OK"]


async def test_who_asks_again_when_he_was_told_to_is_served() -> None:
    venue, now = Venue(), [0.0]
    venue.registry.add(
        "heavy", venue.echo, params=Echo, result=Echoed, description="Weighs.", weigh=lambda given: int(given.amount)
    )
    node = server(venue, connection_burst=150, connection_rate=1, token_bytes=1_024)
    node.dispatcher._clock = lambda: now[0]
    session = node.dispatcher.session()
    weighing = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "heavy", "params": {"amount": 100}})
    for body in (weighing, weighing, members(JSON, params=b"[" + b" " * 16_000 + b"]"), weighing, b"{" * 30_000):
        names: list[str] = []
        while "RATE_LIMITED" in names[-1:] or not names:
            reply = await node.dispatcher.handle(body, JSON, session)
            data = JSON.decode(reply.body or b"").get("error", {}).get("data", {})
            names.append(data.get("name", "OK"))
            now[0] += data.get("retry_after_ms", 0) / 1_000
            # Once for the bytes, and once for what only who has read them knows.
            assert len(names) <= 3, names


async def test_what_is_owed_is_paid_before_anything_else() -> None:
    now = [0.0]
    bucket = TokenBucket(10, 100, lambda: now[0])
    bucket.owe(150)
    assert bucket.wait_seconds() == pytest.approx(5.1)
    now[0] = 5.1
    assert bucket.wait_seconds() == 0


async def test_a_connection_begins_with_a_part_of_its_burst() -> None:
    node = server(Venue(), connection_burst=40, start_tokens=20, connection_rate=1)
    large = members(JSON, params=b"[" + b" " * 16_000 + b"]")
    session = node.dispatcher.session()
    replies = [await node.dispatcher.handle(large, JSON, session) for _ in range(2)]
    names = [JSON.decode(reply.body or b"")["error"]["data"]["name"] for reply in replies]
    assert names == ["INVALID_PARAMS", "RATE_LIMITED"]
    assert (await answer_to(node, JSON, large))["error"]["data"]["name"] == "INVALID_PARAMS"


async def test_what_costs_more_than_the_burst_costs_the_burst() -> None:
    now = [0.0]
    bucket = TokenBucket(10, 100, lambda: now[0])
    assert bucket.wait_seconds(1_000) == 0
    bucket.take(1_000)
    assert bucket.wait_seconds(1_000) == 10
    assert bucket.wait_seconds(50) == 5
    now[0] = 5
    assert bucket.wait_seconds(50) == 0
    bucket.take(50)
    assert bucket.wait_seconds() == pytest.approx(0.1)


def chunked(body: bytes) -> bytes:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"


def fragmented(body: bytes) -> bytes:
    first, *more = (b"\x81\0\0\0\0%c" % byte for byte in body)
    return HANDSHAKE + b"\x01" + first + b"".join(b"\x00" + piece for piece in more) + b"\x80\x80\0\0\0\0"


@pytest.mark.parametrize("whole", [chunked, fragmented])
async def test_the_pieces_of_one_message_let_others_have_their_turn(whole: Any) -> None:
    node = server(Venue())
    body = call_bytes("echo", {"amount": 1, "text": "x" * 6_400})
    client, connection = memory_stream_pair()
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    await client.send_all(whole(body))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.handle_stream, connection)
        nursery.start_soon(take_turns)
        received = b""
        while b"xxxx" not in received:
            received += await client.receive_some()
        nursery.cancel_scope.cancel()
    assert turns >= len(body) // PIECES_A_TURN


async def test_connections_of_one_address_begin_with_what_is_left_of_it() -> None:
    now = [0.0]
    limits = {"start_tokens": 30, "address_burst": 70, "address_rate": 1, "connection_rate": 1}
    node = server(Venue(), **limits)
    node.dispatcher._clock = lambda: now[0]

    def first_tokens(address: str) -> int:
        session = node.dispatcher.session(address)
        return next(cost for cost in range(100, -1, -1) if cost == 0 or session.bucket.wait_seconds(cost) == 0)

    assert [first_tokens("10.0.0.1") for _ in range(4)] == [30, 30, 10, 0]
    assert first_tokens("10.0.0.2") == 30
    now[0] = 20.0
    assert first_tokens("10.0.0.1") == 20


async def test_what_one_connection_owes_its_address_owes_too() -> None:
    node = server(Venue(), start_tokens=30, address_burst=70, address_rate=1)
    node.dispatcher._clock = lambda: 0.0
    session = node.dispatcher.session("10.0.0.1")
    session.owe(50)
    assert session.bucket.wait_seconds() > 0
    assert node.dispatcher.session("10.0.0.1").bucket.wait_seconds() > 0
    assert node.dispatcher.session("10.0.0.2").bucket.wait_seconds() == 0
    # Who hangs up and comes again waits until he is read.
    pauses = [node.dispatcher.pause_seconds(address) for address in ("10.0.0.1", "10.0.0.2", "10.0.0.3")]
    assert pauses == [1, 0, 0]


async def test_addresses_that_owe_nothing_are_forgotten_when_there_are_too_many() -> None:
    now = [0.0]
    node = server(Venue(), addresses=3, start_tokens=10, address_rate=1)
    node.dispatcher._clock = lambda: now[0]
    for index in range(3):
        node.dispatcher.session(f"10.0.0.{index}")
    now[0] = 5.0
    node.dispatcher.session("10.0.0.0")
    now[0] = 12.0
    node.dispatcher.session("10.0.0.9")
    assert set(node.dispatcher._addresses) == {"10.0.0.0", "10.0.0.9"}
