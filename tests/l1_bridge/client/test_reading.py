"""Ranges of blocks on nodes that cannot answer them whole: pages shrink, nothing is lost, nothing is endless."""

import contextlib
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx
import msgspec
import pytest
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1NoAnswer, L1Pruned, L1Rejected, L1TooLarge, L1Unavailable
from l1_bridge.client.following import Applied
from l1_bridge.client.options import L1Options
from l1_bridge.client.values import Log, Receipt

pytestmark = pytest.mark.trio

HEAD = 255
LOG_BYTES = 1_000
LIMIT_BYTES = 20_000


def hash_of(number: int) -> str:
    return f"0x{number + 1:064x}"


def header(number: int) -> dict[str, Any]:
    return {
        "number": hex(number),
        "hash": hash_of(number),
        "parentHash": hash_of(number - 1),
        "timestamp": hex(number),
        "transactions": ["0x" + "ee" * 32] * 8,
    }


def log_of(number: int, data_bytes: int) -> dict[str, Any]:
    return {
        "address": "0x" + "11" * 20,
        "topics": [],
        "data": "0x" + "22" * data_bytes,
        "blockNumber": hex(number),
        "blockHash": hash_of(number),
        "transactionHash": hash_of(number),
        "transactionIndex": "0x0",
        "logIndex": "0x0",
    }


class Node:
    """256 blocks with one log each, behind a front that may fail; `asked` are the ranges in order."""

    def __init__(self, front: Callable[[int, int], Awaitable[httpx.Response | None]] | None = None) -> None:
        self.asked: list[tuple[int, int]] = []
        self.front = front
        self.log_bytes = LOG_BYTES

    async def serve(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=body) if isinstance(body := await self.body(request), bytes) else body

    async def body(self, request: httpx.Request) -> bytes | httpx.Response:
        content = msgspec.json.decode(request.content)
        many = content if isinstance(content, list) else [content]
        if many[0]["params"][0] == "latest":
            return self.encoded(content, [header(HEAD)])
        if many[0]["method"] == "eth_getLogs":
            first, last = (int(many[0]["params"][0][key], 16) for key in ("fromBlock", "toBlock"))
        else:
            first, last = (int(many[index]["params"][0], 16) for index in (0, -1))
        self.asked.append((first, last))
        if self.front is not None and (failure := await self.front(first, last)) is not None:
            return failure
        if many[0]["method"] == "eth_getLogs":
            return self.encoded(content, [[log_of(number, self.log_bytes) for number in range(first, last + 1)]])
        return self.encoded(content, [header(number) for number in range(first, last + 1)])

    def encoded(self, content: Any, results: list[Any]) -> bytes:
        many = content if isinstance(content, list) else [content]
        answers = [
            {"jsonrpc": "2.0", "id": call["id"], "result": result} for call, result in zip(many, results, strict=True)
        ]
        return msgspec.json.encode(answers if isinstance(content, list) else answers[0])

    @asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator[L1Client]:
        """Not entered: the first request is the one under test."""
        client = L1Client("http://l1.invalid", L1Options(**options), transport=httpx.MockTransport(self.serve))
        try:
            yield client
        finally:
            await client.close()


def widths(asked: list[tuple[int, int]]) -> list[int]:
    return [last - first + 1 for first, last in asked]


async def numbers(client: L1Client, first: int = 0, last: int = HEAD) -> list[int]:
    return [log.block_number for log in await client.logs(None, [], first, last)]


async def headers(client: L1Client, first: int = 0, last: int = HEAD) -> list[int]:
    blocks = await client.blocks(first, last)
    return [block.number for block in blocks if block is not None]


READERS = pytest.mark.parametrize("read", [numbers, headers], ids=["logs", "headers"])


@READERS
async def test_an_answer_above_the_limit_is_asked_for_in_halves(read: Callable[..., Awaitable[list[int]]]) -> None:
    node = Node()
    async with node.client(answer_limit_bytes=LIMIT_BYTES) as client:
        assert await read(client) == list(range(HEAD + 1))
        # too large is too large: nothing was asked for twice unchanged
        assert len(set(node.asked)) == len(node.asked)
        wide = widths(node.asked)[0]
        assert widths(node.asked)[:3] == [wide, wide // 2, wide // 4]
        # what the node can answer is remembered: of the next range at most a third of the requests is in vain
        node.asked.clear()
        assert await read(client) == list(range(HEAD + 1))
        starts = [first for first, _ in node.asked]
        assert (len(starts) - len(set(starts))) * 3 <= len(starts)


@READERS
async def test_a_page_that_times_out_is_asked_for_in_parts(
    read: Callable[..., Awaitable[list[int]]], autojump_clock: trio.testing.MockClock
) -> None:
    async def slow(first: int, last: int) -> httpx.Response | None:
        if last - first >= 8:
            await trio.sleep_forever()
        return None

    node = Node(slow)
    async with node.client(timeout_seconds=20) as client:
        started = trio.current_time()
        assert await read(client, 0, 15) == list(range(16))
        # one wait, no patience: sixteen, then two, three, four, ...
        assert trio.current_time() - started == pytest.approx(20)
        assert widths(node.asked)[:4] == [16, 2, 3, 4]
        node.asked.clear()
        assert await read(client) == list(range(HEAD + 1))
        waited = sum(width > 8 for width in widths(node.asked))
        assert waited * 4 <= len(node.asked)


@READERS
@pytest.mark.parametrize("answered", ["never", "html", "gateway"])
async def test_one_block_without_an_answer_ends_it(
    read: Callable[..., Awaitable[list[int]]], answered: str, autojump_clock: trio.testing.MockClock
) -> None:
    async def silent(first: int, last: int) -> httpx.Response | None:
        if answered == "gateway":
            return httpx.Response(504, text="<html>")
        if answered == "html" and first == last:
            return httpx.Response(502, text="<html>")
        await trio.sleep_forever()
        return None

    node = Node(silent)
    async with node.client(timeout_seconds=20, attempts=5) as client:
        started = trio.current_time()
        expected = L1Unavailable if answered == "html" else L1NoAnswer
        with pytest.raises(expected, match=r"no answer in 20 s|HTTP status 50[24]"):
            await read(client, 0, 63)
        # every attempt on the one block, one on everything wider, and one on its receipts in the place of its logs
        by_receipt = read is numbers and answered != "html"
        assert widths(node.asked) == [64, 8, 1, 1, 1, 1, 1] + [1] * by_receipt
        seconds = {"never": (7 + by_receipt) * 20, "html": 2 * 20, "gateway": 0}[answered]
        assert seconds <= trio.current_time() - started < seconds + 10


@READERS
async def test_one_block_too_large_is_a_typed_error(read: Callable[..., Awaitable[list[int]]]) -> None:
    node = Node()
    async with node.client(answer_limit_bytes=500) as client:
        with pytest.raises(L1TooLarge, match="more than 500 bytes"):
            await read(client, 0, 7)
    assert node.asked == [(0, 7), (0, 3), (0, 1), (0, 0)] + [(0, 0)] * (read is numbers)


@pytest.mark.parametrize(
    ("status", "code"),
    [(200, -32005), (200, -32602), (413, -32614), (400, -32000)],
    ids=["limit", "parameters", "http-413", "http-400"],
)
async def test_a_refusal_halves_whatever_its_code(status: int, code: int) -> None:
    async def narrow(first: int, last: int) -> httpx.Response | None:
        if last - first < 3:
            return None
        error = {"code": code, "message": "range of 256 exceeds limit of 3"}
        return httpx.Response(status, json={"jsonrpc": "2.0", "id": 1, "error": error})

    node = Node(narrow)
    async with node.client(page_blocks=8) as client:
        assert await numbers(client, 0, 9) == list(range(10))
    answered = [item for item in node.asked if item[1] - item[0] < 3]
    assert [number for first, last in answered for number in range(first, last + 1)] == list(range(10))


async def test_a_refusal_of_one_block_is_raised() -> None:
    async def refuse(first: int, last: int) -> httpx.Response | None:
        error = {"code": -32602, "message": "no such address"}
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": 1, "error": error})

    node = Node(refuse)
    async with node.client() as client:
        with pytest.raises(L1Rejected, match="no such address"):
            await numbers(client, 0, 3)
    assert widths(node.asked) == [4, 2, 1, 1]


class Capped(Node):
    """Refuses the logs of block 2, which eight transactions have filled, and gives each receipt."""

    def __init__(self) -> None:
        super().__init__()
        self.receipts = 0
        self.changed: dict[str, Any] | None = {}

    def hashes(self, number: int) -> list[str]:
        return [f"0x{number:060x}{at:04x}" for at in range(8)]

    async def body(self, request: httpx.Request) -> bytes | httpx.Response:
        call = msgspec.json.decode(request.content)
        if isinstance(call, dict) and call["method"] == "eth_getBlockByNumber" and call["params"][0] == "0x2":
            return self.encoded(call, [header(2) | {"transactions": self.hashes(2)}])
        if isinstance(call, dict) and call["method"] == "eth_getTransactionReceipt":
            self.receipts += 1
            at = self.hashes(2).index(call["params"][0])
            told = self.receipt(at)
            if at == 5:
                told = None if self.changed is None else told | self.changed
            return self.encoded(call, [told])
        if isinstance(call, dict) and call["method"] == "eth_getLogs":
            first, last = (int(call["params"][0][key], 16) for key in ("fromBlock", "toBlock"))
            if first <= 2 <= last:
                error = {"code": -32602, "message": "Log response size exceeded"}
                return httpx.Response(200, json={"jsonrpc": "2.0", "id": call["id"], "error": error})
        return await super().body(request)

    def receipt(self, at: int) -> dict[str, Any]:
        topics = [f"0x{at:064x}", "0x" + "aa" * 32]
        mine = log_of(2, 10) | {"logIndex": hex(2 * at), "topics": topics[: 1 + at % 2]}
        another = log_of(2, 10) | {"logIndex": hex(2 * at + 1), "address": "0x" + "12" * 20, "topics": topics}
        return {
            "transactionHash": self.hashes(2)[at],
            "blockNumber": "0x2",
            "blockHash": hash_of(2),
            "status": "0x1",
            "gasUsed": "0x1",
            "logs": [mine, another],
        }


OURS = b"\x11" * 20


@pytest.mark.parametrize(
    ("address", "topics", "places"),
    [
        (OURS, [], [0, 2, 4, 6, 8, 10, 12, 14]),
        (None, [], list(range(16))),
        ([OURS, b"\x12" * 20], [(3).to_bytes(32, "big")], [6, 7]),
        (OURS, [[(3).to_bytes(32, "big"), (4).to_bytes(32, "big")]], [6, 8]),
        (OURS, [None, b"\xaa" * 32], [2, 6, 10, 14]),
        (b"\x13" * 20, [], []),
    ],
)
async def test_a_block_whose_logs_are_too_much_is_read_receipt_by_receipt(
    address: Any, topics: list[Any], places: list[int]
) -> None:
    node = Capped()
    async with node.client() as client:
        logs = await client.logs(address, topics, 0, 5)
    assert [log.log_index for log in logs if log.block_number == 2] == places
    assert sorted({log.block_number for log in logs} - {2}) == [0, 1, 3, 4, 5]
    assert node.receipts == 8


@pytest.mark.parametrize(
    "changed", [None, {"blockHash": hash_of(3)}, {"blockHash": "0x00"}], ids=["missing", "another block", "garbage"]
)
async def test_a_receipt_that_is_missing_is_no_empty_one(changed: dict[str, Any] | None) -> None:
    node = Capped()
    node.changed = changed
    async with node.client() as client:
        with pytest.raises(L1Rejected, match="size exceeded"):
            await client.logs(OURS, [], 0, 5)


async def test_what_is_not_kept_any_more_is_asked_for_once() -> None:
    async def refuse(first: int, last: int) -> httpx.Response | None:
        error = {"code": 4444, "message": "pruned history unavailable: block 0 is before 9, the oldest that is kept"}
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": 1, "error": error})

    node = Node(refuse)
    async with node.client() as client:
        with pytest.raises(L1Pruned, match="the oldest that is kept"):
            await numbers(client, 0, 3)
    assert widths(node.asked) == [4]


async def test_a_proxy_that_finds_the_request_too_large_gets_smaller_ones() -> None:
    async def proxy(first: int, last: int) -> httpx.Response | None:
        return httpx.Response(413, text="<html>") if last - first >= 25 else None

    node = Node(proxy)
    async with node.client() as client:
        assert await headers(client) == list(range(HEAD + 1))
    assert widths(node.asked)[:3] == [100, 50, 25]


async def test_a_follower_takes_a_dense_history_in_the_pages_that_the_node_can_answer() -> None:
    node = Node()
    async with node.client(answer_limit_bytes=LIMIT_BYTES) as client:
        follower = client.follow(None, 0)
        seen = []
        while events := await follower.poll():
            seen += events
        assert [event.block.number for event in seen] == list(range(HEAD + 1))
        assert all(isinstance(event, Applied) and len(event.logs) == 1 for event in seen)


@pytest.mark.parametrize(("most_bytes", "blocks"), [(1, 15), (22_500, 15), (22_501, 30), (10**9, HEAD + 1)])
async def test_a_follower_holds_no_more_logs_than_memory_is_meant_for(
    monkeypatch: pytest.MonkeyPatch, most_bytes: int, blocks: int
) -> None:
    monkeypatch.setattr("l1_bridge.client.following.MOST_LOG_BYTES", most_bytes)
    node = Node()
    async with node.client(page_blocks=15) as client:
        client.options = msgspec.structs.replace(client.options, page_blocks=1_000)
        follower = client.follow(None, 0)
        assert [event.block.number for event in await follower.poll()] == list(range(blocks))
        seen = blocks
        while events := await follower.poll():
            assert events[0].block.number == seen
            seen += len(events)
        assert seen == HEAD + 1


async def test_a_follower_gives_each_log_once_and_in_its_order() -> None:
    class Muddled(Node):
        """Three logs a block, backwards, and one of them twice."""

        def encoded(self, content: Any, results: list[Any]) -> bytes:
            if isinstance(results[0], list):
                every = [log | {"logIndex": hex(index)} for log in results[0] for index in (2, 1, 0, 1)]
                results = [every[::-1]]
            return super().encoded(content, results)

    async with Muddled().client() as client:
        events = await client.follow(None, 0).poll()
    assert len(events) == HEAD + 1
    for event in events:
        assert isinstance(event, Applied)
        assert [(log.block_number, log.log_index) for log in event.logs] == [(event.block.number, i) for i in range(3)]


async def test_a_follower_says_that_a_block_is_too_large_and_waits_for_no_better_answer() -> None:
    node = Node()
    node.log_bytes = LIMIT_BYTES

    async def handle(_: object) -> None:
        raise AssertionError("nothing was applied")

    async with node.client(answer_limit_bytes=LIMIT_BYTES) as client:
        follower = client.follow(None, 0)
        with pytest.raises(L1TooLarge):
            await follower.poll()
        with pytest.raises(L1TooLarge):
            await follower.run(handle)
        assert follower.next_block == 0


async def test_large_answers_over_a_real_connection() -> None:
    """In pieces and without a length, so that only the bytes themselves tell; an unfinished generator is a warning."""
    node = Node()

    async def serve(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            received = b""
            while True:
                while b"\r\n\r\n" not in received:
                    if not (piece := await stream.receive_some(65_536)):
                        return
                    received += piece
                head, _, received = received.partition(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                while len(received) < length:
                    received += await stream.receive_some(65_536)
                content, received = received[:length], received[length:]
                body = await node.body(httpx.Request("POST", "http://l1.invalid", content=content))
                assert isinstance(body, bytes)
                await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for start in range(0, len(body), 3_000):
                    part = body[start : start + 3_000]
                    await stream.send_all(b"%x\r\n%b\r\n" % (len(part), part))
                await stream.send_all(b"0\r\n\r\n")

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, host="127.0.0.1"), serve, 0)
        port = listeners[0].socket.getsockname()[1]
        client = L1Client(f"http://127.0.0.1:{port}", L1Options(answer_limit_bytes=LIMIT_BYTES))
        assert await numbers(client) == list(range(HEAD + 1))
        assert await headers(client) == list(range(HEAD + 1))
        await client.close()
        nursery.cancel_scope.cancel()
    assert widths(node.asked)[0] == HEAD + 1


class Generous(httpx.AsyncBaseTransport):
    """A page of one block is a megabyte of logs without data."""

    def __init__(self, count: int) -> None:
        self._count = count

    def _answer(self, method: str, params: list[Any]) -> Any:
        if method == "eth_chainId":
            return "0x1"
        if method == "eth_getBlockByNumber":
            number = self._count if params[0] == "latest" else int(params[0], 16)
            words = {name: f"0x{number + at:064x}" for name, at in (("hash", 1), ("parentHash", 0))}
            return {"number": hex(number), "timestamp": "0x1", **words}
        first, stop = (int(params[0][name], 16) for name in ("fromBlock", "toBlock"))
        return None if first != stop else [_log(first, index) for index in range(2_500)]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One HTTP request."""
        asked = msgspec.json.decode(request.content)
        answers = []
        for each in asked if isinstance(asked, list) else [asked]:
            found = self._answer(each["method"], each["params"])
            refused = {"error": {"code": -32602, "message": "query exceeds max results"}}
            answers.append({"jsonrpc": "2.0", "id": each["id"]} | (refused if found is None else {"result": found}))
        return httpx.Response(200, content=msgspec.json.encode(answers if isinstance(asked, list) else answers[0]))


def _log(block: int, index: int) -> dict[str, Any]:
    words = {"blockHash": f"0x{block + 1:064x}", "transactionHash": f"0x{index:064x}"}
    places = {"blockNumber": hex(block), "transactionIndex": "0x0", "logIndex": hex(index)}
    return {"address": "0x" + "11" * 20, "topics": [], "data": "0x", **words, **places}


async def test_logs_without_data_count_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty pages of 2,500 such logs, a megabyte each."""
    monkeypatch.setattr("l1_bridge.client.following.MOST_LOG_BYTES", 4 << 20)
    async with L1Client("http://l1.test", L1Options(attempts=1), transport=Generous(40)) as client:
        follower = client.follow(b"\x11" * 20, 1)
        tracemalloc.start()
        try:
            events = await follower.poll()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert len(events) == 4
    assert peak < 16 << 20


async def test_receipts_of_a_block_are_filtered_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty transactions with a megabyte of logs each: a stranger's are not held, of wanted ones no more than 32."""
    header = {"number": "0x1", "timestamp": "0x1", "hash": f"0x{2:064x}", "parentHash": f"0x{1:064x}"}

    def answer(request: httpx.Request) -> httpx.Response:
        asked = msgspec.json.decode(request.content)
        if asked["method"] == "eth_getLogs":
            return httpx.Response(200, json={"id": asked["id"], "error": {"code": -32602, "message": "too many"}})
        result = {"eth_chainId": "0x1"}.get(asked["method"], header | {"transactions": [f"0x{1:064x}"] * 40})
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": asked["id"], "result": result})

    author = b"\x22" * 20

    async def receipt(reader: L1Client, transaction_hash: bytes) -> Receipt:
        log = Log(author, (), bytes(1 << 20), 1, (2).to_bytes(32, "big"), transaction_hash, 0, 0)
        return Receipt(transaction_hash, 1, log.block_hash, True, 1, 1, None, (log,))

    monkeypatch.setattr(L1Client, "receipt", receipt)
    transport = httpx.MockTransport(answer)
    async with L1Client("http://l1.test", L1Options(attempts=1), transport=transport) as client:
        tracemalloc.start()
        try:
            assert await client.logs(b"\x11" * 20, [], 1, 1) == []
            _, peak = tracemalloc.get_traced_memory()
            assert peak < 8 << 20
            author = b"\x11" * 20
            with pytest.raises(L1Rejected):
                await client.logs(author, [], 1, 1)
        finally:
            tracemalloc.stop()
