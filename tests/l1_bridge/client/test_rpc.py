"""One request over HTTP: nothing that a node answers, or does not, gets past the client."""

import contextlib
from functools import partial
from typing import Any

import httpx
import msgspec
import pytest
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Busy, L1Rejected, L1Reverted, L1TooLarge, L1Unavailable
from l1_bridge.client.options import L1Options
from l1_bridge.client.rpc import JsonRpc, without_secrets

pytestmark = pytest.mark.trio


async def test_an_absent_node_is_unavailable_after_the_last_attempt() -> None:
    attempts = 0

    def broken(_: httpx.Request) -> httpx.Response:
        nonlocal attempts
        attempts += 1
        raise httpx.ConnectError("refused")

    async with trio.open_nursery() as nursery:
        client = L1Client("http://l1.invalid", L1Options(attempts=3), transport=httpx.MockTransport(broken))
        with pytest.raises(L1Unavailable, match="refused"):
            await client.chain_id()
        await client.close()
        nursery.cancel_scope.cancel()
    assert attempts == 3


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"7",
        b'{"jsonrpc":"2.0","id":1}',
        b'{"result":7}',
        b'{"result":"0xzz"}',
        b"[]",
        b"[" * 9999,
        b'"\xff"',
    ],
    ids=repr,
)
async def test_nonsense_from_a_node_is_unavailable(answer: bytes) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=answer))
    client = L1Client("http://l1.invalid", L1Options(attempts=2), transport=transport)
    with pytest.raises(L1Unavailable):
        await client.chain_id()
    await client.close()


async def test_an_endless_answer_is_cut_off() -> None:
    async def flood(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.receive_some(4096)
            await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                await stream.send_all(b"1000\r\n" + b" " * 4096 + b"\r\n")

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, host="127.0.0.1"), flood, 0)
        port = listeners[0].socket.getsockname()[1]
        client = L1Client(f"http://127.0.0.1:{port}", L1Options(answer_limit_bytes=1 << 16))
        with pytest.raises(L1TooLarge, match="more than 65536 bytes"):
            await client.chain_id()
        await client.close()
        nursery.cancel_scope.cancel()


async def test_a_silent_node_times_out_and_can_be_cancelled(autojump_clock: trio.testing.MockClock) -> None:
    async def silent(_: httpx.Request) -> httpx.Response:
        await trio.sleep_forever()
        raise AssertionError

    client = L1Client(
        "http://l1.invalid", L1Options(attempts=2, timeout_seconds=3), transport=httpx.MockTransport(silent)
    )
    start = trio.current_time()
    with pytest.raises(L1Unavailable, match="no answer in 3 s"):
        await client.chain_id()
    assert 6 <= trio.current_time() - start < 7
    with trio.move_on_after(1) as scope:
        await client.chain_id()
    assert scope.cancelled_caught
    await client.close()


def refused(request: dict[str, Any], code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request["id"], "error": {"code": code, "message": message}}


class Limited:
    """A node that refuses every `period`th of all requests with status 200 and an error, and counts upwards."""

    def __init__(self, period: int, *, code: int = 429, message: str = "Too Many Requests") -> None:
        self.period = period
        self.error = code, message
        self.asked = 0

    def serve(self, http: httpx.Request) -> httpx.Response:
        asked = msgspec.json.decode(http.content)
        answers = [self.answer(request) for request in (asked if isinstance(asked, list) else [asked])]
        return httpx.Response(200, content=msgspec.json.encode(answers if isinstance(asked, list) else answers[0]))

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        self.asked += 1
        if self.asked % self.period == 0:
            return refused(request, *self.error)
        return {"jsonrpc": "2.0", "id": request["id"], "result": request["params"][0]}


@pytest.mark.parametrize("period", [2, 4, 10])
async def test_a_rate_limit_within_a_good_answer_is_waited_out(
    autojump_clock: trio.testing.MockClock, period: int
) -> None:
    client = L1Client("http://l1.invalid", transport=httpx.MockTransport(Limited(period).serve))
    assert [await client.call("echo", [number]) for number in range(30)] == list(range(30))
    # Of a batch only what was refused is asked again, so that a long one ends too.
    assert await client.batch([("echo", [number]) for number in range(250)]) == list(range(250))
    await client.close()


async def test_a_rate_limit_without_an_end_is_unavailable_and_no_rejection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    node = Limited(1)
    client = L1Client("http://l1.invalid", L1Options(attempts=4), transport=httpx.MockTransport(node.serve))
    with pytest.raises(L1Busy, match="Too Many Requests"):
        await client.call("echo", [1])
    assert node.asked == 4
    with pytest.raises(L1Busy):
        await client.batch([("echo", [1]), ("echo", [2])])
    await client.close()


async def test_what_is_refused_for_good_is_asked_once() -> None:
    node = Limited(1, code=-32601, message="no such method")
    client = L1Client("http://l1.invalid", transport=httpx.MockTransport(node.serve))
    with pytest.raises(L1Rejected, match="no such method"):
        await client.call("echo", [1])
    assert node.asked == 1
    await client.close()


@pytest.mark.parametrize(("status", "headers"), [(408, {}), (429, {"Retry-After": "7"}), (502, {}), (522, {})])
async def test_a_busy_status_is_waited_out_as_long_as_it_asks_for(
    autojump_clock: trio.testing.MockClock, status: int, headers: dict[str, str]
) -> None:
    answers = [httpx.Response(status, headers=headers, content=b'{"error":{"code":-32000,"message":"no"}}')]
    answers.append(httpx.Response(200, content=b'{"id":1,"result":"0x7"}'))
    client = L1Client("http://l1.invalid", transport=httpx.MockTransport(lambda _: answers.pop(0)))
    started = trio.current_time()
    assert await client.chain_id() == 7
    await client.close()
    assert (trio.current_time() - started >= 7) is bool(headers)


@pytest.mark.parametrize("code", [-32000, -32602, -32005])
async def test_a_node_that_refuses_the_tag_pending_answers_for_its_newest_block(
    autojump_clock: trio.testing.MockClock, code: int
) -> None:
    def serve(http: httpx.Request) -> httpx.Response:
        request = msgspec.json.decode(http.content)
        if "pending" in request["params"]:
            return httpx.Response(200, content=msgspec.json.encode(refused(request, code, "pending is not available")))
        header = {"number": "0x1", "hash": "0x" + "11" * 32, "parentHash": "0x" + "22" * 32, "timestamp": "0x7b"}
        result = {"eth_getBlockByNumber": header, "eth_call": "0x01", "eth_getTransactionCount": "0x5"}
        return httpx.Response(200, json={"id": request["id"], "result": result[request["method"]]})

    client = L1Client("http://l1.invalid", L1Options(attempts=2), transport=httpx.MockTransport(serve))
    assert await client.next_timestamp() == 123
    assert await client.eth_call(bytes(20), b"", "pending") == b"\x01"
    assert await client.nonce(bytes(20), "pending") == 5
    await client.close()


async def test_a_verdict_on_the_pending_block_is_a_verdict() -> None:
    def serve(http: httpx.Request) -> httpx.Response:
        request = msgspec.json.decode(http.content)
        assert request["params"][-1] == "pending"
        return httpx.Response(200, content=msgspec.json.encode(refused(request, 3, "execution reverted: TOO_OLD")))

    client = L1Client("http://l1.invalid", transport=httpx.MockTransport(serve))
    with pytest.raises(L1Reverted) as verdict:
        await client.eth_call(bytes(20), b"", "pending")
    await client.close()
    assert verdict.value.reason == "TOO_OLD"


@pytest.mark.parametrize(("tag", "is_refused"), [("finalized", False), ("safe", False), ("latest", True)])
async def test_no_finalized_block_is_none_and_no_newest_block_is_an_error(tag: str, is_refused: bool) -> None:
    def serve(http: httpx.Request) -> httpx.Response:
        request = msgspec.json.decode(http.content)
        return httpx.Response(200, content=msgspec.json.encode(refused(request, -39001, "finalized block not found")))

    client = L1Client("http://l1.invalid", L1Options(attempts=1), transport=httpx.MockTransport(serve))
    with pytest.raises(L1Rejected) if is_refused else contextlib.nullcontext():
        assert await client.block(tag) is None
    await client.close()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ("http://127.0.0.1:8545/", "http://127.0.0.1:8545"),
        ("https://l1.example/v2/KEY", "https://l1.example/..."),
        ("https://user:word@l1.example:99/?key=KEY", "https://l1.example:99/..."),
    ],
)
async def test_a_url_is_told_without_what_may_be_a_key(url: str, told: str) -> None:
    assert without_secrets(url) == told


async def test_an_error_names_the_node_and_no_key() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    rpc = JsonRpc("https://l1.example/v2/KEY", L1Options(attempts=1), transport=httpx.MockTransport(away))
    with pytest.raises(L1Unavailable) as error:
        await rpc.call("eth_chainId")
    assert "https://l1.example/..." in str(error.value)
    assert "KEY" not in str(error.value)
    await rpc.close()
