"""HTTP on real sockets: answers, every refusal, and a node that goes on."""

import random
import re
import socket
import struct
from collections.abc import Callable
from typing import Any

import httpx
import msgpack
import msgspec
import pytest
import trio
import trio.testing
from prometheus_client import CollectorRegistry

from sequencer.api.methods.standing import Standing
from sequencer.api.rpc.limits import Limits
from sequencer.api.transport.http import Access
from sequencer.api.transport.port import ApiConfig, CannotListenError
from sequencer.api.transport.server import Server
from sequencer.l1.postable import Reason, reasons
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.api.conftest import Running, Venue
from tests.sequencer.l1.test_postable import CASES, GOOD

Start = Callable[..., Any]
pytestmark = pytest.mark.trio
RESET = struct.pack("ii", 1, 0)


def call_bytes(method: str, params: Any = None, identifier: Any = 1) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": identifier, "method": method, "params": params or {}})


def request_bytes(body: bytes, *headers: str) -> bytes:
    head = "\r\n".join(("POST / HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *headers))
    return head.encode() + b"\r\n\r\n" + body


async def exchange(port: int, data: bytes) -> bytes:
    """Sends bytes, ends our side and reads to the end."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        received = b""
        try:
            await stream.send_all(data)
            await stream.send_eof()
            async for piece in stream:
                received += piece
        except trio.BrokenResourceError:
            pass
        return received


async def test_call_by_name_and_by_position(start: Start) -> None:
    node: Running = await start()
    owner = "0x" + "ab" * 20
    by_name = await node.call("echo", {"amount": "18446744073709551615", "text": "ü", "owner": owner}, "a")
    expected = {"amount": "18446744073709551615", "text": "ü", "owner": owner, "negative": "-9223372036854775808"}
    assert by_name == {"jsonrpc": "2.0", "id": "a", "result": expected}
    assert (await node.call("echo", [2**64 - 1, "ü", owner], "a")) == by_name


@pytest.mark.parametrize(
    ("method", "params", "code", "name"),
    [
        ("nothing", {}, -32601, "METHOD_NOT_FOUND"),
        ("echo", {"amount": 1, "txet": "misspelt"}, -32602, "INVALID_PARAMS"),
        ("echo", {}, -32602, "INVALID_PARAMS"),
        ("echo", {"amount": -1}, -32602, "INVALID_PARAMS"),
        ("echo", {"amount": 2**64}, -32602, "INVALID_PARAMS"),
        ("echo", {"amount": "0x10"}, -32602, "INVALID_PARAMS"),
        ("echo", {"amount": 1.0}, -32602, "INVALID_PARAMS"),
        ("echo", {"amount": True}, -32602, "INVALID_PARAMS"),
        ("echo", {"amount": 1, "owner": "0xab"}, -32602, "INVALID_PARAMS"),
        ("echo", [1, "", None, 4], -32602, "INVALID_PARAMS"),
        ("refuse", {}, -33028, "MAKER_MARGIN"),
        ("not_ready", {}, -32005, "NOT_READY"),
        ("large", [9_000_000], -32001, "TOO_LARGE"),
        ("catenary_subscribe", ["ticks"], -32009, "NOT_STREAMING"),
        ("catenary_unsubscribe", ["ticks"], -32009, "NOT_STREAMING"),
    ],
)
async def test_refusals_have_a_code_a_name_and_a_sentence(
    start: Start, method: str, params: Any, code: int, name: str
) -> None:
    node: Running = await start()
    answer = await node.call(method, params, 9)
    assert answer["id"] == 9
    assert answer["error"]["code"] == code
    assert answer["error"]["data"]["name"] == name
    assert answer["error"]["message"].endswith(".")
    if name == "MAKER_MARGIN":
        assert answer["error"]["data"] == {"name": name, "account": 7}


@pytest.mark.parametrize("method", ["fail", "unwritable"])
async def test_a_bug_is_an_incident_and_not_a_traceback(start: Start, method: str) -> None:
    node: Running = await start(new_incident=lambda: "incident-1")
    answer = await node.post(call_bytes(method))
    assert answer.json()["error"]["data"] == {"name": "INTERNAL", "incident": "incident-1"}
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert node.sample("catenary_api_incidents_total") == 1
    await node.assert_alive()


async def test_batch_with_partial_failure_and_notifications(start: Start) -> None:
    node: Running = await start()
    batch = [
        {"jsonrpc": "2.0", "id": 1, "method": "echo", "params": [1]},
        {"jsonrpc": "2.0", "method": "echo", "params": [2]},
        {"jsonrpc": "2.0", "id": 2, "method": "fail"},
        {"jsonrpc": "1.0", "id": 3, "method": "echo"},
        5,
        {"jsonrpc": "2.0", "id": None, "method": "refuse"},
    ]
    answers = (await node.post(msgspec.json.encode(batch))).json()
    assert [answer["id"] for answer in answers] == [1, 2, 3, None, None]
    assert [answer.get("error", {}).get("code") for answer in answers] == [None, -32603, -32600, -32600, -33028]


async def test_only_notifications_get_an_empty_answer(start: Start) -> None:
    node: Running = await start()
    answer = await node.post(b'[{"jsonrpc":"2.0","method":"slow_or_not"}]')
    assert (answer.status_code, answer.content) == (204, b"")


async def test_batch_bounds(start: Start) -> None:
    node: Running = await start(Limits(batch_calls=3, answer_bytes=1_000))
    one = {"jsonrpc": "2.0", "id": 1, "method": "large", "params": [450]}
    assert len((await node.post(msgspec.json.encode([one] * 3))).json()) == 3
    assert (await node.post(msgspec.json.encode([one] * 3))).json()[2]["error"]["data"]["name"] == "TOO_LARGE"
    too_many = (await node.post(msgspec.json.encode([one] * 4))).json()
    assert too_many["error"]["data"] == {"name": "BATCH_TOO_LARGE", "most": 3}
    assert (await node.post(b"[]")).json()["error"]["data"]["name"] == "INVALID_REQUEST"


async def test_calls_of_a_batch_start_in_order_and_wait_together(start: Start) -> None:
    node: Running = await start()
    texts = [*map(str, range(20)), "last"]
    batch = [{"jsonrpc": "2.0", "id": text, "method": "ordered", "params": [1, text]} for text in texts]
    answers = (await node.post(msgspec.json.encode(batch))).json()
    assert node.venue.started == texts
    assert [answer["result"] for answer in answers] == texts


async def test_msgpack_over_http(start: Start) -> None:
    node: Running = await start()
    body = msgpack.packb(
        {"jsonrpc": "2.0", "id": 1, "method": "echo", "params": {"amount": 2**64 - 1, "owner": b"a" * 20}}
    )
    answer = await node.post(body, **{"content-type": "application/msgpack"})
    assert answer.headers["content-type"] == "application/msgpack"
    assert msgpack.unpackb(answer.content)["result"]["amount"] == "18446744073709551615"


async def test_pipelined_requests_are_answered_in_order(start: Start) -> None:
    node: Running = await start()
    requests = b"".join(request_bytes(call_bytes("echo", [number], number)) for number in range(10))
    received = await exchange(node.port, requests)
    assert [received.find(b'"id":%d' % number) for number in range(10)] == sorted(
        received.find(b'"id":%d' % number) for number in range(10)
    )
    assert received.count(b"HTTP/1.1 200") == 10


@pytest.mark.parametrize(
    ("data", "status", "name"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400", b"BAD_HTTP"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400", b"BAD_HTTP"),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", b"413", b"TOO_LARGE"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000001\r\n\r\n", b"413", b"TOO_LARGE"),
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"10000\r\n"
            + b"y" * 65536
            + b"\r\n"
            + (b"10000\r\n" + b"y" * 65536 + b"\r\n") * 20,
            b"413",
            b"TOO_LARGE",
        ),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", b"400", b"BAD_HTTP"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400", b"BAD_HTTP"),
        (b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404", b"NO_PATH"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"405", b"WRONG_METHOD"),
        (b"POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", b"405", b"WRONG_METHOD"),
        (b"DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"405", b"WRONG_METHOD"),
        (b"GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400", b"BAD_HTTP"),
        (b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n", b"400", b"BAD_HTTP"),
        (
            b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n"
            b"Sec-WebSocket-Version: 13\r\nContent-Length: 3\r\n\r\nabcabc",
            b"403",
            b"FORBIDDEN_HOST",
        ),
        (b"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"403", b"FORBIDDEN_HOST"),
        (b"GET /health HTTP/1.1\r\nHost: 127.0.0.1@evil.example\r\n\r\n", b"403", b"FORBIDDEN_HOST"),
        (b"GET /health HTTP/1.1\r\nHost: localhost.evil.example:9545\r\n\r\n", b"403", b"FORBIDDEN_HOST"),
        (b"GET /health HTTP/1.1\r\nHost: [::1\r\n\r\n", b"403", b"FORBIDDEN_HOST"),
    ],
)
async def test_bad_http_is_refused_by_status_and_name(start: Start, data: bytes, status: bytes, name: bytes) -> None:
    node: Running = await start(Limits(linger_seconds=0.2))
    received = await exchange(node.port, data)
    assert received.startswith(b"HTTP/1.1 " + status)
    assert name in received
    assert node.sample("catenary_api_refused_total", reason=name.decode()) == 1
    await node.assert_alive()


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost.evil.example", "file://", "http://["]
)
async def test_foreign_pages_may_not_call(start: Start, origin: str) -> None:
    node: Running = await start()
    answer = await node.post(call_bytes("echo", [1]), Origin=origin)
    assert (answer.status_code, answer.json()["error"]["data"]["name"]) == (403, "FORBIDDEN_ORIGIN")
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:9545", "http://[::1]:1"])
async def test_local_pages_may_call(start: Start, origin: str) -> None:
    node: Running = await start()
    answer = await node.post(call_bytes("echo", [1]), Origin=origin)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == origin


async def test_names_and_pages_that_the_operator_allows_may_call_and_none_beside_them(start: Start) -> None:
    node: Running = await start(access=Access(frozenset({"venue.example"}), frozenset({"https://page.example"})))
    for host, origin, status in (
        ("venue.example", "https://page.example", 200),
        ("VENUE.example:443", "http://localhost:3000", 200),
        ("127.0.0.1", "https://page.example", 200),
        ("venue.example.evil", "https://page.example", 403),
        ("venue.example", "http://page.example", 403),
        ("venue.example", "https://page.example:444", 403),
        ("venue.example", "https://venue.example", 403),
    ):
        answer = await node.post(call_bytes("echo", [1]), Host=host, Origin=origin)
        assert answer.status_code == status, (host, origin)
        assert answer.headers.get("access-control-allow-origin") == (origin if status == 200 else None)


async def test_an_answer_says_how_many_tokens_are_left(start: Start) -> None:
    node: Running = await start(Limits(start_tokens=50, connection_rate=1e-9), clock=lambda: 0.0)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{node.port}", timeout=PATIENCE_SECONDS) as client:
        for left in (49, 48):
            answer = await client.post("/", content=call_bytes("echo", [1]))
            assert answer.headers["ratelimit"] == f'"connection";r={left}'


async def test_each_reason_why_a_node_cannot_post_is_read_at_ready(start: Start) -> None:
    facts = GOOD
    standing = Standing(lambda: reasons(facts))
    node: Running = await start(why_not_ready=standing.why_not)
    assert (await node.get("/ready")).json()["reasons"][0]["code"] == "STARTING"
    standing.is_up = True
    for changes, code, _, is_blocking, words in CASES:
        facts = msgspec.structs.replace(GOOD, **changes)
        answer = await node.get("/ready")
        assert answer.status_code == (503 if is_blocking else 200), code
        told = answer.json()["reasons"]
        assert [reason["code"] for reason in told] == ([code] if is_blocking else [])
        assert all(re.search(words, reason["sentence"]) for reason in told)
        facts = GOOD
        good = await node.get("/ready")
        assert (good.status_code, good.json()) == (200, {"ready": True, "reasons": []})


async def test_pages_health_readiness_metrics(start: Start) -> None:
    told = [[Reason("BEHIND", "The L1 is behind.")], []]
    node: Running = await start(why_not_ready=lambda: told.pop(0))
    assert (await node.get("/health")).json() == {"healthy": True}
    behind = await node.get("/ready")
    assert (behind.status_code, behind.json()) == (
        503,
        {"ready": False, "reasons": [{"code": "BEHIND", "sentence": "The L1 is behind."}]},
    )
    assert (await node.get("/ready")).status_code == 200
    await node.call("echo", [1])
    assert 'catenary_api_calls_total{method="echo",outcome="OK"} 1.0' in (await node.get("/metrics")).text
    assert (await node.get("/pages/a/b")).text == "/pages/a/b"
    broken = await node.get("/pages/broken")
    assert (broken.status_code, broken.json()["error"]["data"]["name"]) == (500, "INTERNAL")
    await node.assert_alive()


async def test_head_preflight_and_expect(start: Start) -> None:
    node: Running = await start()
    head = await exchange(node.port, b"HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"content-length: 16" in head
    assert head.endswith(b"\r\n\r\n")
    preflight = b"OPTIONS / HTTP/1.1\r\nHost: localhost\r\nOrigin: %s\r\n\r\n"
    assert b"allow-methods: POST" in await exchange(node.port, preflight % b"http://localhost:3000")
    assert b"FORBIDDEN_ORIGIN" in await exchange(node.port, preflight % b"https://evil.example")
    patient = await exchange(node.port, request_bytes(call_bytes("echo", [1]), "Expect: 100-continue"))
    assert b"HTTP/1.1 200" in patient


async def test_two_hundred_garbage_bodies_change_nothing(start: Start) -> None:
    node: Running = await start()
    seeded = random.Random(20_261_122)
    good = call_bytes("echo", {"amount": 1, "text": "abc"})
    for number in range(200):
        body = bytearray(good if number % 2 else seeded.randbytes(seeded.randrange(300)))
        for _ in range(seeded.randrange(1, 5)):
            if body:
                body[seeded.randrange(len(body))] = seeded.randrange(256)
        kind = "Content-Type: application/msgpack" if number % 3 == 0 else "X-Nothing: 1"
        received = await exchange(node.port, request_bytes(bytes(body), kind, "Connection: close"))
        assert received.startswith((b"HTTP/1.1 200", b"HTTP/1.1 204"))
    await node.assert_alive()
    assert node.sample("catenary_api_incidents_total") == 0


async def test_vanishing_clients_do_not_end_the_node(start: Start) -> None:
    node: Running = await start()
    whole = request_bytes(call_bytes("large", [4_000_000]))
    for cut in (0, 1, 20, len(whole) - 1, len(whole)):
        for data in (whole[:cut], whole * 2):
            stream = await trio.open_tcp_stream("127.0.0.1", node.port)
            await stream.send_all(data)
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            stream.socket.close()
    await node.assert_alive()
    assert node.sample("catenary_api_incidents_total") == 0


async def test_a_request_that_trickles_is_given_up(start: Start) -> None:
    node: Running = await start(Limits(request_seconds=0.1))
    async with await trio.open_tcp_stream("127.0.0.1", node.port) as stream:
        await stream.send_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345")
        received = await stream.receive_some()
        assert received.startswith(b"HTTP/1.1 408")
        assert b"TOO_SLOW" in received


async def test_a_call_that_takes_too_long(start: Start) -> None:
    node: Running = await start(Limits(call_seconds=0.05))
    answer = await node.call("slow", [1])
    assert (answer["error"]["code"], answer["error"]["data"]) == (-32007, {"name": "TIMEOUT"})
    assert node.venue.finished == []


async def test_rate_limit_with_an_injected_clock(start: Start) -> None:
    now = [100.0]
    node: Running = await start(Limits(connection_rate=2, connection_burst=3), clock=lambda: now[0])
    call = {"jsonrpc": "2.0", "id": 1, "method": "echo", "params": [1]}
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{node.port}", trust_env=False, verify=False, timeout=PATIENCE_SECONDS
    ) as client:
        answers = (await client.post("/", content=msgspec.json.encode([call] * 5))).json()
        assert [answer.get("error", {}).get("data") for answer in answers] == [
            None,
            None,
            None,
            {"name": "RATE_LIMITED", "retry_after_ms": 500},
            {"name": "RATE_LIMITED", "retry_after_ms": 500},
        ]
        now[0] += 0.5
        assert "result" in (await client.post("/", content=msgspec.json.encode(call))).json()
        assert (await client.post("/", content=b"garbage")).json()["error"]["data"]["name"] == "RATE_LIMITED"


async def test_rate_limit_of_one_connection_leaves_the_others_alone(start: Start) -> None:
    node: Running = await start(Limits(connection_rate=1, connection_burst=2), clock=lambda: 0.0)
    call = {"jsonrpc": "2.0", "id": 1, "method": "echo", "params": [1]}
    answers = (await node.post(msgspec.json.encode([call] * 3))).json()
    assert [answer.get("error", {}).get("code") for answer in answers] == [None, None, -32000]
    await node.assert_alive()


async def test_too_many_connections(start: Start) -> None:
    node: Running = await start(Limits(connections=1))
    async with await trio.open_tcp_stream("127.0.0.1", node.port) as first:
        await first.send_all(request_bytes(call_bytes("slow", [1])))
        while not node.venue.started:
            await trio.sleep(0)
        async with await trio.open_tcp_stream("127.0.0.1", node.port) as second:
            assert b"TOO_MANY_CONNECTIONS" in await second.receive_some()


async def test_connections_that_say_nothing_lock_nobody_out(start: Start) -> None:
    node: Running = await start(Limits(connections=3))
    health = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with await trio.open_tcp_stream("127.0.0.1", node.port) as used:
        await used.send_all(health)
        assert (await used.receive_some()).startswith(b"HTTP/1.1 200")
        streams = [await trio.open_tcp_stream("127.0.0.1", node.port) for _ in range(6)]
        # One that has begun a request and does not end it has not asked either.
        await streams[-1].send_all(b"POST / HTTP/1.1\r\nHost: loc")
        for _ in range(3):
            assert (await node.get("/health")).status_code == 200
        # Whoever has asked once keeps his connection while there are others to end.
        await used.send_all(health)
        assert (await used.receive_some()).startswith(b"HTTP/1.1 200")
        for stream in streams:
            await stream.aclose()


async def test_a_page_costs_tokens_and_whether_the_node_lives_none(start: Start) -> None:
    bounds = Limits(connection_burst=40, connection_rate=1, longest_pause_seconds=0)
    node: Running = await start(bounds, clock=lambda: 0.0)
    url = f"http://127.0.0.1:{node.port}"
    async with httpx.AsyncClient(base_url=url, trust_env=False, verify=False, timeout=PATIENCE_SECONDS) as client:
        codes = [(await client.get(path)).status_code for path in ("/metrics", "/openrpc.json", "/metrics")]
        assert codes == [200, 200, 429]
    async with httpx.AsyncClient(base_url=url, trust_env=False, verify=False, timeout=PATIENCE_SECONDS) as client:
        assert {(await client.get(path)).status_code for path in ["/health", "/ready"] * 50} == {200}
    # A folder's files are ready to be sent, and a browser asks for many.
    async with httpx.AsyncClient(base_url=url, trust_env=False, verify=False, timeout=PATIENCE_SECONDS) as client:
        codes = [(await client.get(f"/pages/{number}")).status_code for number in range(41)]
        assert codes == [200] * 40 + [429]


async def test_a_page_whose_tokens_come_soon_waits_for_them(start: Start) -> None:
    # As a browser that comes again and again: its address has nothing left for a new connection.
    node: Running = await start(Limits(address_burst=1, address_rate=0.001, connection_rate=500))
    url = f"http://127.0.0.1:{node.port}"
    for _ in range(2):
        async with httpx.AsyncClient(base_url=url, trust_env=False, verify=False, timeout=PATIENCE_SECONDS) as client:
            codes = [(await client.get(path)).status_code for path in ("/openrpc.json", *["/pages/a"] * 30)]
            assert codes == [200] * 31


async def test_metrics_are_read_once_a_second(start: Start) -> None:
    now = [0.0]
    node: Running = await start(clock=lambda: now[0])

    async def told() -> str:
        lines = (await node.get("/metrics")).text.splitlines()
        return next(line for line in lines if line.startswith("catenary_api_incidents_total"))

    assert (await told()).endswith(" 0.0")
    node.server.dispatcher.incident(ValueError("of a test"))
    assert (await told()).endswith(" 0.0")
    now[0] = 1.0
    assert (await told()).endswith(" 1.0")


async def test_an_idle_connection_is_closed(start: Start) -> None:
    node: Running = await start(Limits(idle_seconds=0.05))
    async with await trio.open_tcp_stream("127.0.0.1", node.port) as stream:
        assert await stream.receive_some() == b""


async def test_a_port_in_use_is_one_sentence(start: Start) -> None:
    node: Running = await start()
    second = Server(ApiConfig(port=node.port), Venue().registry, metrics=CollectorRegistry(), epoch="run")
    with pytest.raises(CannotListenError, match=rf"^Port {node.port} of 127\.0\.0\.1 is in use .*\.$"):
        await second.serve()


async def test_shutdown_answers_what_runs_and_takes_nothing_more(start: Start, nursery: trio.Nursery) -> None:
    node: Running = await start()
    answers: list[Any] = []

    async def call_slowly() -> None:
        answers.append(await node.call("slow", [1, "running"]))

    nursery.start_soon(call_slowly)
    await node.venue.entered.wait()
    async with await trio.open_tcp_stream("127.0.0.1", node.port) as idle:
        await idle.send_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await idle.receive_some()).startswith(b"HTTP/1.1 200")
        node.server.stop()
        assert await idle.receive_some() == b""
    with pytest.raises(OSError, match="all attempts to connect"):
        await trio.open_tcp_stream("127.0.0.1", node.port)
    node.venue.gate.set()
    while node.is_served:
        await trio.testing.wait_all_tasks_blocked()
    assert answers == [{"jsonrpc": "2.0", "id": 1, "result": "running"}]


async def test_shutdown_gives_up_at_the_deadline(start: Start, nursery: trio.Nursery) -> None:
    node: Running = await start(Limits(drain_seconds=0.1))
    received: list[bytes] = []

    async def call_slowly() -> None:
        received.append(await exchange(node.port, request_bytes(call_bytes("slow", [1]))))

    nursery.start_soon(call_slowly)
    await node.venue.entered.wait()
    node.server.stop()
    while node.is_served:
        await trio.testing.wait_all_tasks_blocked(0.01)
    assert node.venue.finished == []


async def test_a_body_is_paid_for_before_it_is_read(start: Start) -> None:
    node: Running = await start(Limits(connection_burst=40, connection_rate=1, token_bytes=1_000), clock=lambda: 0.0)
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000\r\n\r\n"
    body = call_bytes("echo", [1]).ljust(50_000)
    # What costs more than the burst costs the burst: the first takes all that a new connection has.
    async with await trio.open_tcp_stream("127.0.0.1", node.port) as stream:
        await stream.send_all(head + body)
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
        await stream.send_all(head)
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 429")


async def test_an_answer_says_how_long_it_took(start: Start) -> None:
    node: Running = await start()
    answer = await node.post(call_bytes("echo", [1]))
    parts = [part.partition(";dur=") for part in answer.headers["server-timing"].split(", ")]
    assert [name for name, _, _ in parts] == ["node", "away"]
    assert all(float(took) >= 0 for _, _, took in parts)


async def test_a_port_of_its_own_tells_of_the_node(start: Start) -> None:
    node: Running = await start()
    node.server.dispatcher.incident(ValueError("of a test"))
    async with trio.open_nursery() as nursery:
        monitor = node.server.monitor(0)
        port = await nursery.start(monitor.serve)
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False, verify=False, timeout=PATIENCE_SECONDS) as client:
            assert "catenary_api_incidents_total 1.0" in (await client.get("/metrics")).text
            assert (await client.get("/health")).json() == {"healthy": True}
            assert (await client.get("/ready")).json()["ready"] is True
            node.server.dispatcher.is_draining = True
            assert (await client.get("/ready")).status_code == 503
            call = {"jsonrpc": "2.0", "id": 1, "method": "echo", "params": [1]}
            assert (await client.post("/", json=call)).json()["error"]["data"]["name"] == "METHOD_NOT_FOUND"
        nursery.cancel_scope.cancel()
