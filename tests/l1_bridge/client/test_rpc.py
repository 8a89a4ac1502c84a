"""One request over HTTP: nothing that a node answers, or does not, gets past the client."""

import contextlib
from functools import partial

import httpx
import pytest
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1TooLarge, L1Unavailable
from l1_bridge.client.options import L1Options

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
