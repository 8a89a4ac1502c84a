"""WebSockets on real sockets: calls, feeds, slow readers, resets and the end."""

import random
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgpack
import msgspec
import pytest
import trio
import trio.testing
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from sequencer.api.rpc.errors import PRIVATE, CallError
from sequencer.api.rpc.jsonrpc import Session
from sequencer.api.rpc.limits import Limits
from sequencer.api.transport.websocket import Outbox
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.api.conftest import Running

pytestmark = pytest.mark.trio
Start = Callable[..., Any]
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@asynccontextmanager
async def connect(node: Running, path: str = "/ws", **options: Any) -> AsyncIterator[WebSocketConnection]:
    """The stream is ours, since the client leaves it open when the server is the first to close."""
    async with await trio.open_tcp_stream("127.0.0.1", node.port) as stream, trio.open_nursery() as nursery:
        websocket = await wrap_client_stream(nursery, stream, f"127.0.0.1:{node.port}", path, **options)
        async with websocket:
            yield websocket
        nursery.cancel_scope.cancel()


def request(method: str, params: Any = None, identifier: Any = 1) -> Any:
    return {"jsonrpc": "2.0", "id": identifier, "method": method, "params": params or {}}


async def ask(websocket: WebSocketConnection, method: str, params: Any = None) -> Any:
    await websocket.send_message(msgspec.json.encode(request(method, params)).decode())
    return msgspec.json.decode(await websocket.get_message())


async def next_update(websocket: WebSocketConnection) -> tuple[int, Any]:
    message = msgspec.json.decode(await websocket.get_message())
    assert message["method"] == "catenary_subscription"
    return message["params"]["sequence"], message["params"]["data"]


async def read_to_the_end(websocket: WebSocketConnection, sequences: list[int]) -> None:
    while True:
        sequences.append((await next_update(websocket))[0])


async def read_answers(websocket: WebSocketConnection, answers: list[Any]) -> None:
    while True:
        message = msgspec.json.decode(await websocket.get_message())
        answers += [message] if "id" in message else []


async def test_text_is_json_and_binary_is_msgpack(start: Start) -> None:
    node: Running = await start()
    async with connect(node) as websocket:
        as_json = await ask(websocket, "echo", [7, "ü"])
        await websocket.send_message(msgpack.packb(request("echo", [7, "ü"])))
        binary = await websocket.get_message()
        assert isinstance(binary, bytes)
        assert msgpack.unpackb(binary) == as_json
        assert as_json["result"] == {"amount": "7", "text": "ü", "owner": None, "negative": "-4"}


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        b"\x82\xa2id\x01\xa2id\x02",
        b"\x81\x01\x02",
        b"\x81\x80\x02",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\x7f\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc7\x08\xff12345678",
        b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
        b"\x91" * 5_000 + b"\x01",
        b"\xa1\xff",
        b"\x01\x01",
    ],
)
async def test_bad_msgpack_is_a_parse_error(start: Start, frame: bytes) -> None:
    node: Running = await start()
    async with connect(node) as websocket:
        await websocket.send_message(frame)
        assert msgpack.unpackb(await websocket.get_message())["error"]["code"] == -32700
        assert (await ask(websocket, "echo", [1]))["result"]["amount"] == "1"


async def test_calls_start_in_order_and_wait_together(start: Start) -> None:
    node: Running = await start()
    texts = [*map(str, range(20)), "last"]
    async with connect(node) as websocket:
        for text in texts:
            await websocket.send_message(msgspec.json.encode(request("ordered", [1, text], text)).decode())
        answers = [msgspec.json.decode(await websocket.get_message()) for _ in texts]
    assert node.venue.started == texts
    assert sorted(answer["result"] for answer in answers) == sorted(texts)


async def test_no_more_calls_in_flight_than_the_bound(start: Start) -> None:
    node: Running = await start(Limits(calls_in_flight=3))
    async with connect(node) as websocket:
        for text in map(str, range(5)):
            await websocket.send_message(msgspec.json.encode(request("ordered", [1, text])).decode())
        await node.assert_alive()
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert node.venue.started == ["0", "1", "2"]
        node.venue.gate.set()
        for _ in range(5):
            await websocket.get_message()
    assert node.venue.started == ["0", "1", "2", "3", "4"]


async def test_a_subscription_has_no_gap(start: Start) -> None:
    node: Running = await start()
    state = {"price": 1}
    feed = node.server.feeds.open("ticks", lambda: state)
    feed.publish({"price": 1})
    async with connect(node) as websocket:
        answer = await ask(websocket, "catenary_subscribe", ["ticks"])
        assert answer["result"] == {
            "channel": "ticks",
            "epoch": "run.1",
            "sequence": 1,
            "snapshot": {"price": 1},
            "updates": [],
        }
        feed.publish({"price": 2})
        feed.publish({"price": 3})
        assert [await next_update(websocket) for _ in range(2)] == [(2, {"price": 2}), (3, {"price": 3})]
        again = await ask(websocket, "catenary_subscribe", ["ticks"])
        assert again["error"]["data"]["name"] == "ALREADY_SUBSCRIBED"
        left = await ask(websocket, "catenary_unsubscribe", ["ticks"])
        assert left["result"]["sequence"] == 3
        feed.publish({"price": 4})
        twice = await ask(websocket, "catenary_unsubscribe", ["ticks"])
        assert twice["error"]["data"]["name"] == "NOT_SUBSCRIBED"
        missed = await ask(websocket, "catenary_subscribe", {"channel": "ticks", "since": 2, "epoch": "run.1"})
        assert missed["result"]["snapshot"] is None
        assert [update["sequence"] for update in missed["result"]["updates"]] == [3, 4]
        assert node.sample("catenary_api_subscriptions") == 1
    while node.sample("catenary_api_connections"):
        await trio.testing.wait_all_tasks_blocked()
    assert node.sample("catenary_api_subscriptions") == 0
    assert not feed.subscriptions


async def test_who_gathers_is_told_in_few_pieces_and_answered_at_once(start: Start) -> None:
    node: Running = await start()
    feed = node.server.feeds.open("ticks", dict)
    pieces: list[bytes] = []

    async def sent(stream: trio.SocketStream) -> None:
        async for data in stream:
            pieces.append(bytes(data))

    async with (
        await trio.open_tcp_stream("127.0.0.1", node.port) as stream,
        trio.open_nursery() as nursery,
    ):
        await stream.send_all(HANDSHAKE.replace(b"/ws ", b"/ws?gather_ms=1000 "))
        nursery.start_soon(sent, stream)
        call = msgspec.json.encode(request("catenary_subscribe", ["ticks"]))
        await stream.send_all(masked(call))
        while not any(b'"snapshot"' in piece for piece in pieces):
            await trio.testing.wait_all_tasks_blocked(0.01)
        began = trio.current_time()
        for number in range(50):
            feed.publish({"price": number})
            await trio.testing.wait_all_tasks_blocked()
        # What was on its way, and one a second.
        most = 3 + int(trio.current_time() - began)
        told = len(pieces)
        await stream.send_all(masked(msgspec.json.encode(request("echo", [7], "asked"))))
        while not any(b'"asked"' in piece for piece in pieces):
            await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
    everything = b"".join(pieces)
    assert everything.count(b"catenary_subscription") == 50
    # What had been told before goes out before the answer.
    assert everything.rindex(b"catenary_subscription") < everything.index(b'"asked"')
    assert told <= most


def masked(body: bytes) -> bytes:
    """A client's text frame, with a mask that changes nothing."""
    return bytes((0x81, 0x80 | len(body))) + bytes(4) + body if len(body) < 126 else _long(body)


def _long(body: bytes) -> bytes:
    return bytes((0x81, 0x80 | 126)) + struct.pack(">H", len(body)) + bytes(4) + body


@pytest.mark.parametrize("query", ["gather_ms=1001", "gather_ms=-1", "gather_ms=x", "gather_ms=1&gather_ms=2"])
async def test_nobody_gathers_for_longer_than_a_second(start: Start, query: str) -> None:
    node: Running = await start()
    async with await trio.open_tcp_stream("127.0.0.1", node.port) as stream:
        await stream.send_all(HANDSHAKE.replace(b"/ws ", b"/ws?" + query.encode() + b" "))
        refused = await stream.receive_some()
    assert refused.startswith(b"HTTP/1.1 400")
    assert b"gather_ms is a whole number of 0 to 1000." in refused


@pytest.mark.parametrize("query", ["", "?", "?gather_ms=0", "?gather_ms=1000", "?who=a+bot"])
async def test_gathering_is_asked_for_by_the_address(start: Start, query: str) -> None:
    node: Running = await start()
    async with connect(node, "/ws" + query) as websocket:
        assert "result" in await ask(websocket, "echo", [1])


async def test_a_gathering_outbox_waits_for_the_time_an_answer_half_of_its_room_or_the_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def told(outbox: Outbox, count: int) -> None:
        for number in range(count):
            assert outbox.tell(b"%d" % number, None, is_whole=False)

    async def gathered(then: Callable[[Outbox], object]) -> tuple[float, bytes | None]:
        """How long it gathered, and what it gave, where so much happens a second later."""
        outbox = Outbox(8, 1_000)
        told(outbox, 1)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(outbox.gather, 60)
            await trio.sleep(1)
            then(outbox)
        return trio.current_time() - began, await outbox.take()

    assert await gathered(lambda outbox: told(outbox, 2)) == (60, b"001")
    assert await gathered(lambda outbox: outbox.offer(b"answer")) == (1, b"0answer")
    assert await gathered(lambda outbox: told(outbox, 3)) == (1, b"0012")
    assert await gathered(lambda outbox: outbox.tell(bytes(499), None, is_whole=False)) == (1, b"0" + bytes(499))
    assert await gathered(lambda outbox: outbox.finish(b"end", drop=True)) == (1, b"end")
    # What was answered before holds nothing up again.
    outbox = Outbox(8, 1_000)
    outbox.offer(b"answer")
    assert await outbox.take() == b"answer"
    began = trio.current_time()
    await outbox.gather(60)
    assert trio.current_time() - began == 60


async def test_a_subscription_in_msgpack_carries_the_same_objects(start: Start) -> None:
    node: Running = await start()
    feed = node.server.feeds.open("ticks", lambda: {"price": 1})
    async with connect(node) as websocket:
        await websocket.send_message(msgpack.packb(request("catenary_subscribe", ["ticks"])))
        assert msgpack.unpackb(await websocket.get_message())["result"]["snapshot"] == {"price": 1}
        feed.publish({"price": 2})
        update = msgpack.unpackb(await websocket.get_message())["params"]
        assert update == {"channel": "ticks", "epoch": "run.1", "sequence": 1, "data": {"price": 2}}


async def test_bounds_on_subscriptions_and_channels(start: Start) -> None:
    node: Running = await start(Limits(connection_subscriptions=2, node_subscriptions=3, node_channels=4))
    node.server.feeds.family("account.", lambda key: (lambda: {"account": key}) if key.isdigit() else None)
    async with connect(node) as first, connect(node) as second:
        assert (await ask(first, "catenary_subscribe", ["account.x"]))["error"]["data"]["name"] == "NO_CHANNEL"
        assert (await ask(first, "catenary_subscribe", ["account.1"]))["result"]["snapshot"] == {"account": "1"}
        assert "result" in await ask(first, "catenary_subscribe", ["account.2"])
        third = await ask(first, "catenary_subscribe", ["account.3"])
        assert third["error"]["data"] == {"name": "TOO_MANY_SUBSCRIPTIONS", "most": 2}
        assert "result" in await ask(second, "catenary_subscribe", ["account.3"])
        fourth = await ask(second, "catenary_subscribe", ["account.4"])
        assert fourth["error"]["data"] == {"name": "TOO_MANY_SUBSCRIPTIONS"}


async def test_a_slow_reader_gets_a_prefix_without_a_gap_and_is_told_to_come_back(start: Start) -> None:
    node: Running = await start(Limits(queue_messages=8, socket_send_bytes=4_096))
    feed = node.server.feeds.open("ticks", lambda: None)
    async with connect(node, message_queue_size=1, receive_buffer_size=1_024) as websocket:
        await ask(websocket, "catenary_subscribe", ["ticks"])
        published = 0
        while feed.subscriptions:
            feed.publish("x" * 20_000)
            published += 1
            assert published < 5_000
            await trio.testing.wait_all_tasks_blocked()
        await node.assert_alive()
        sequences: list[int] = []
        with pytest.raises(ConnectionClosed) as closed:
            await read_to_the_end(websocket, sequences)
        assert closed.value.reason.code == 4008
        assert closed.value.reason.reason.startswith("SLOW_CONSUMER")
        assert sequences == list(range(1, len(sequences) + 1))
        assert 0 < len(sequences) < published
    assert node.sample("catenary_api_websockets_closed_total", reason="SLOW_CONSUMER") == 1
    async with connect(node) as websocket:
        again = {"channel": "ticks", "since": sequences[-1], "epoch": "run.1"}
        updates = (await ask(websocket, "catenary_subscribe", again))["result"]["updates"]
        assert [update["sequence"] for update in updates] == list(range(sequences[-1] + 1, published + 1))


async def test_a_slow_reader_of_states_is_told_the_newest_alone_and_stays(start: Start) -> None:
    node: Running = await start(Limits(queue_messages=8, socket_send_bytes=4_096))
    feed = node.server.feeds.open("ticks", lambda: None)
    async with connect(node, message_queue_size=1, receive_buffer_size=1_024) as websocket:
        await ask(websocket, "catenary_subscribe", ["ticks"])
        for number in range(500):
            feed.publish(f"{number}" + "x" * 20_000, is_whole=True)
            if number % 50 == 0:
                await trio.testing.wait_all_tasks_blocked()
        assert feed.subscriptions
        sequences: list[int] = []
        with trio.fail_after(PATIENCE_SECONDS):
            while not sequences or sequences[-1] < 500:
                sequences.append((await next_update(websocket))[0])
        assert sequences == sorted(set(sequences))
        assert len(sequences) < 250
        assert (await ask(websocket, "echo", {"amount": 5}))["result"]["amount"] == "5"


async def test_who_reads_too_slowly_is_answered_before_he_is_told_to_go(start: Start) -> None:
    node: Running = await start(Limits(queue_messages=8, socket_send_bytes=4_096))
    feed = node.server.feeds.open("ticks", lambda: None)
    async with connect(node, message_queue_size=1, receive_buffer_size=1_024) as websocket:
        await ask(websocket, "catenary_subscribe", ["ticks"])
        await websocket.send_message(msgspec.json.encode(request("slow", [1, "asked"], 77)).decode())
        await node.venue.entered.wait()
        while feed.subscriptions:
            feed.publish("x" * 20_000)
            await trio.testing.wait_all_tasks_blocked()
        node.venue.gate.set()
        answers: list[Any] = []
        with pytest.raises(ConnectionClosed) as closed:
            await read_answers(websocket, answers)
        assert closed.value.reason.reason.startswith("SLOW_CONSUMER")
        assert [(answer["id"], answer["result"]) for answer in answers] == [(77, "asked")]


async def test_who_may_hear_no_more_is_told_nothing_more_and_to_go(start: Start) -> None:
    node: Running = await start(Limits(socket_send_bytes=4_096))
    feed = node.server.feeds.open("ticks", lambda: None)
    async with connect(node, message_queue_size=1, receive_buffer_size=1_024) as websocket:
        await ask(websocket, "catenary_subscribe", ["ticks"])
        for number in range(40):
            feed.publish(f"{number}" + "x" * 20_000)

        def refuse(channel: str, session: Session) -> None:
            raise CallError(PRIVATE)

        node.server.feeds.admit = refuse
        node.server.feeds.review("tic")
        assert not feed.subscriptions
        heard: list[int] = []

        async def listen() -> None:
            while True:
                heard.append((await next_update(websocket))[0])

        with pytest.raises(ConnectionClosed) as closed:
            await listen()
        assert len(heard) < 40
        assert (closed.value.reason.code, closed.value.reason.reason[:8]) == (4010, "PRIVATE:")


async def test_a_reader_that_never_reads_is_cut_off(start: Start) -> None:
    node: Running = await start(Limits(queue_messages=2, socket_send_bytes=4_096, send_seconds=0.05))
    feed = node.server.feeds.open("ticks", lambda: None)
    stream = await trio.open_tcp_stream("127.0.0.1", node.port)
    async with stream:
        frame = msgspec.json.encode(request("catenary_subscribe", ["ticks"]))
        await stream.send_all(HANDSHAKE + bytes([0x81, 0x80 | len(frame), 0, 0, 0, 0]) + frame)
        while not feed.subscriptions:
            await trio.testing.wait_all_tasks_blocked()
        while feed.subscriptions:
            feed.publish("x" * 100_000)
            await trio.testing.wait_all_tasks_blocked()
        while node.sample("catenary_api_connections"):
            await trio.testing.wait_all_tasks_blocked(0.01)
    await node.assert_alive()


async def test_an_oversized_message_is_refused(start: Start) -> None:
    node: Running = await start(Limits(body_bytes=10_000))
    async with connect(node) as websocket:
        await websocket.send_message("x" * 10_001)
        with pytest.raises(ConnectionClosed) as closed:
            await websocket.get_message()
        assert closed.value.reason.code == 1009
    await node.assert_alive()


async def test_foreign_pages_and_names_get_no_websocket(start: Start) -> None:
    node: Running = await start()
    for header in (b"Origin: https://evil.example", b"Origin: null", b"Origin: http://localhost\r\nOrigin: http://a.b"):
        async with await trio.open_tcp_stream("127.0.0.1", node.port) as stream:
            await stream.send_all(HANDSHAKE[:-2] + header + b"\r\n\r\n")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 403")
    async with connect(node, extra_headers=[(b"Origin", b"http://localhost:3000")]) as websocket:
        assert "result" in await ask(websocket, "echo", [1])
    assert node.sample("catenary_api_refused_total", reason="FORBIDDEN_ORIGIN") == 3


@pytest.mark.parametrize(
    "header",
    [
        b"Sec-WebSocket-Protocol: \xff",
        b"Sec-WebSocket-Extensions: \xff",
        b"Content-Length: 3",
        b"Sec-WebSocket-Version: 12",
        b"Connection: close",
    ],
)
async def test_an_odd_handshake_is_no_incident(start: Start, header: bytes) -> None:
    node: Running = await start(Limits(linger_seconds=0.05))
    async with await trio.open_tcp_stream("127.0.0.1", node.port) as stream:
        await stream.send_all(HANDSHAKE[:-2] + header + b"\r\n\r\nabcdef")
        assert (await stream.receive_some()).startswith((b"HTTP/1.1 400", b"HTTP/1.1 101"))
    await node.assert_alive()
    assert node.sample("catenary_api_incidents_total") == 0


async def test_compression_is_never_agreed(start: Start) -> None:
    node: Running = await start()
    async with await trio.open_tcp_stream("127.0.0.1", node.port) as stream:
        await stream.send_all(HANDSHAKE[:-2] + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
        accepted = await stream.receive_some()
        assert accepted.startswith(b"HTTP/1.1 101")
        assert b"xtensions" not in accepted


async def test_garbage_frames_and_resets_do_not_end_the_node(start: Start) -> None:
    node: Running = await start(Limits(linger_seconds=0.05))
    feed = node.server.feeds.open("ticks", lambda: None)
    seeded = random.Random(20_261_123)
    frame = msgspec.json.encode(request("catenary_subscribe", ["ticks"]))
    subscribe = bytes([0x81, 0x80 | len(frame), 0, 0, 0, 0]) + frame
    for number in range(60):
        data = [b"\x81\x81\0\0\0\0a" * 50 + b"\x88\x82\0\0\0\0\x03\xe8" + subscribe, subscribe, b"\xff" * 50][
            number % 3
        ]
        garbage = seeded.randbytes(seeded.randrange(200))
        stream = await trio.open_tcp_stream("127.0.0.1", node.port)
        await stream.send_all(HANDSHAKE + data + garbage)
        if number % 2:
            await stream.receive_some()
            feed.publish(number)
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.socket.close()
        feed.publish(number)
    await node.assert_alive()
    while node.sample("catenary_api_connections"):
        await trio.testing.wait_all_tasks_blocked(0.01)
    assert not feed.subscriptions
    assert node.sample("catenary_api_incidents_total") == 0


async def test_a_vanished_client_cancels_what_it_waits_for(start: Start) -> None:
    node: Running = await start()
    stream = await trio.open_tcp_stream("127.0.0.1", node.port)
    frame = msgspec.json.encode(request("slow", [1, "gone"]))
    await stream.send_all(HANDSHAKE + bytes([0x81, 0x80 | len(frame), 0, 0, 0, 0]) + frame)
    await node.venue.entered.wait()
    await stream.aclose()
    while node.sample("catenary_api_connections"):
        await trio.testing.wait_all_tasks_blocked(0.01)
    assert node.venue.finished == []
    await node.assert_alive()


async def test_shutdown_answers_what_runs_and_says_goodbye(start: Start) -> None:
    node: Running = await start()
    async with connect(node) as websocket:
        await websocket.send_message(msgspec.json.encode(request("slow", [1, "running"])).decode())
        await node.venue.entered.wait()
        node.server.stop()
        await trio.testing.wait_all_tasks_blocked(0.01)
        node.venue.gate.set()
        assert msgspec.json.decode(await websocket.get_message())["result"] == "running"
        with pytest.raises(ConnectionClosed) as closed:
            await websocket.get_message()
        assert (closed.value.reason.code, closed.value.reason.reason) == (1001, "SHUTTING_DOWN")
    while node.is_served:
        await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(httpx.ConnectError):
        await node.get("/health")


async def test_a_websocket_that_listens_to_nothing_makes_room_and_one_that_listens_does_not(start: Start) -> None:
    node: Running = await start(Limits(connections=1))
    node.server.feeds.open("ticks", lambda: 1)
    async with connect(node) as silent:
        assert (await node.get("/health")).status_code == 200
        with pytest.raises(ConnectionClosed) as closed:
            await silent.get_message()
        assert (closed.value.reason.code, closed.value.reason.reason) == (4009, "IDLE")
    while node.sample("catenary_api_connections"):
        await trio.sleep(0)
    async with connect(node) as listening:
        await ask(listening, "catenary_subscribe", ["ticks"])
        assert (await node.get("/health")).status_code == 503


async def test_what_was_asked_for_the_end_is_done_once_however_the_connection_ends(start: Start) -> None:
    node: Running = await start()
    async with connect(node) as websocket:
        for text in ("before", "closed"):
            await ask(websocket, "at_end", [0, text])
        assert node.venue.ended == []
    async with connect(node) as websocket:
        await ask(websocket, "at_end", [0, "taken back"])
        await ask(websocket, "at_end", [0, ""])
    async with connect(node) as websocket:
        await ask(websocket, "at_end", [0, "reset"])
        stream = websocket._stream
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.socket.close()
    while node.sample("catenary_api_connections"):
        await trio.testing.wait_all_tasks_blocked(0.01)
    assert node.venue.ended == ["closed", "reset"]


async def test_what_was_asked_for_the_end_is_not_done_where_the_node_stops(start: Start) -> None:
    node: Running = await start()
    async with connect(node) as websocket:
        await ask(websocket, "at_end", [0, "stopped"])
        node.server.stop()
        with pytest.raises(ConnectionClosed):
            await websocket.get_message()
    while node.is_served:
        await trio.testing.wait_all_tasks_blocked(0.01)
    assert node.venue.ended == []


async def test_a_websocket_whose_end_means_something_makes_room_for_nobody(start: Start) -> None:
    node: Running = await start(Limits(connections=1))
    async with connect(node) as websocket:
        await ask(websocket, "at_end", [0, "evicted"])
        with pytest.raises(httpx.HTTPStatusError):
            (await node.get("/health")).raise_for_status()
        await ask(websocket, "at_end", [0, ""])
    assert node.venue.ended == []
