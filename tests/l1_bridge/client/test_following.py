"""Following blocks and logs: the events, replayed, are always one chain, whatever the chain does meanwhile."""

import random
from typing import Any, cast

import httpx
import msgspec
import pytest
import structlog
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1ReorgTooDeep, L1Unavailable
from l1_bridge.client.following import Applied, Depth, Follower, Reverted, block_at
from l1_bridge.client.keys import development_key
from l1_bridge.client.options import L1Options
from l1_bridge.client.values import Block
from l1_bridge.hashing import keccak
from tests.l1_bridge.l1_nodes import anvil, embedded_l1, probe_initcode

pytestmark = pytest.mark.trio

INCREASE = keccak(b"increase()")[:4]


class Replay:
    """What a consumer of the events believes: a stack of blocks, checked at every event."""

    def __init__(self) -> None:
        self.applied: list[Applied] = []

    def take(self, events: list[Applied | Reverted]) -> None:
        for event in events:
            if isinstance(event, Reverted):
                assert self.applied.pop().block == event.block
                continue
            if self.applied:
                assert event.block.parent_hash == self.applied[-1].block.hash
                assert event.block.number == self.applied[-1].block.number + 1
            assert all(log.block_hash == event.block.hash for log in event.logs)
            self.applied.append(event)

    @property
    def counts(self) -> list[int]:
        return [int.from_bytes(log.data, "big") for event in self.applied for log in event.logs]


async def drain(follower: Follower, replay: Replay) -> int:
    """Poll until nothing is new; how many events came."""
    total = 0
    while events := await follower.poll():
        replay.take(events)
        total += len(events)
    return total


async def test_follows_the_embedded_l1_and_resumes(tmp_path: Any) -> None:
    with embedded_l1(tmp_path, "--max-ahead", "600", "--block-period", "0") as node:
        async with L1Client(node.url) as client:
            owner = development_key(0)
            probe, _ = await client.deploy(owner, probe_initcode(), gas=1_000_000)
            replay, follower = Replay(), client.follow(probe, 0)
            await client.send(owner, probe, INCREASE, gas=100_000)
            assert await drain(follower, replay) == 3
            assert replay.counts == [1]
            resumed = client.follow(probe, 0, resume=follower.remembered)
            await client.send(owner, probe, INCREASE, gas=100_000)
            assert await drain(resumed, replay) == 1
            assert replay.counts == [1, 2]
            assert await drain(client.follow(bytes(20), 0), nobody := Replay()) == 4
            assert nobody.counts == []


async def test_finalized_lags_behind_latest(tmp_path: Any) -> None:
    with embedded_l1(tmp_path, "--max-ahead", "600", "--block-period", "0", "--finality-depth", "3") as node:
        async with L1Client(node.url) as client:
            owner = development_key(0)
            probe, _ = await client.deploy(owner, probe_initcode(), gas=1_000_000)
            finalized, behind = client.follow(probe, 0, depth="finalized"), client.follow(probe, 0, depth=3)
            seen, also = Replay(), Replay()
            for _ in range(3):
                await client.send(owner, probe, INCREASE, gas=100_000)
                await drain(finalized, seen)
                await drain(behind, also)
            assert seen.counts == also.counts == []
            await client.send(owner, probe, INCREASE, gas=100_000)
            await drain(finalized, seen)
            await drain(behind, also)
            assert seen.counts == also.counts == [1]


@pytest.mark.parametrize(
    ("finalized", "expected"),
    [
        # number and time of the finalized block, of a chain of a hundred blocks of 12 seconds
        ((40, 480), 40),
        ((0, 0), 36),
        (None, 36),
        ((39, 100), 39),
    ],
)
async def test_where_finality_stalls_what_is_deep_enough_counts(
    finalized: tuple[int, int] | None, expected: int
) -> None:
    def block(number: int, time: int) -> Block:
        return Block(number=number, hash=bytes(32), parent_hash=bytes(32), timestamp=time, base_fee_wei=0)

    class Reader:
        async def block(self, at: str | int) -> Block | None:
            if at == "finalized":
                return None if finalized is None else block(*finalized)
            return block(100, 1_200) if at == "latest" else block(int(at), 12 * int(at))

    found = await block_at(cast(L1Client, Reader()), Depth("finalized", stalled_seconds=720, blocks=64))
    assert found is not None
    assert found.number == expected


async def test_survives_a_reorganisation_of_anvil() -> None:
    with anvil() as node:
        async with L1Client(node.url) as client:
            owner = development_key(0)
            probe, _ = await client.deploy(owner, probe_initcode(), gas=1_000_000)
            replay, follower = Replay(), client.follow(probe, 0)
            for _ in range(4):
                await client.send(owner, probe, INCREASE, gas=100_000)
            await drain(follower, replay)
            assert replay.counts == [1, 2, 3, 4]
            before = [event.block for event in replay.applied]
            await client.call("anvil_reorg", [3, []])
            events = await follower.poll()
            assert events == [Reverted(block) for block in reversed(before[-3:])]
            replay.take(events)
            assert replay.counts == [1]
            await drain(follower, replay)
            head = await client.block()
            assert replay.applied[-1].block == head
            await client.send(owner, probe, INCREASE, gas=100_000)
            await drain(follower, replay)
            assert replay.counts == [1, 2]


async def test_survives_a_chain_that_went_back() -> None:
    with anvil() as node:
        async with L1Client(node.url) as client:
            owner = development_key(0)
            probe, _ = await client.deploy(owner, probe_initcode(), gas=1_000_000)
            snapshot = await client.call("evm_snapshot")
            replay, follower = Replay(), client.follow(probe, 0)
            for _ in range(3):
                await client.send(owner, probe, INCREASE, gas=100_000)
            await drain(follower, replay)
            assert await client.call("evm_revert", [snapshot])
            # A shorter chain alone is no reorganisation: the node may only lag.
            assert await drain(follower, replay) == 0
            for _ in range(5):
                await client.send(development_key(1), probe, INCREASE, gas=100_000)
            await drain(follower, replay)
            assert replay.counts == [1, 2, 3, 4, 5]
            assert len(replay.applied) == 7


async def test_a_reorganisation_beyond_memory_is_an_error() -> None:
    with anvil() as node:
        async with L1Client(node.url) as client:
            replay, follower = Replay(), client.follow(None, 0, memory_blocks=4)
            await client.call("anvil_mine", [hex(10)])
            await drain(follower, replay)
            await client.call("anvil_reorg", [3, []])
            assert await drain(follower, replay) == 6
            await client.call("anvil_reorg", [6, []])
            for _ in range(2):
                with pytest.raises(L1ReorgTooDeep, match="none of the 4 remembered blocks up to 10"):
                    await follower.poll()


class FakeChain:
    """A chain in memory that may change before any answer; for moments no real node can be stopped at."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.blocks: list[dict[str, Any]] = []
        self.unstable = True
        self.grow(5)

    def grow(self, count: int) -> None:
        for _ in range(count):
            number = len(self.blocks)
            parent = self.blocks[-1]["hash"] if self.blocks else "0x" + "00" * 32
            block = {"number": hex(number), "hash": "0x" + self.random.randbytes(32).hex(), "parentHash": parent}
            self.blocks.append(block | {"timestamp": hex(number), "logs": self.random.randrange(3)})

    def step(self) -> None:
        if self.random.random() < 0.4:
            self.grow(self.random.randrange(3))
        if len(self.blocks) > 2 and self.random.random() < 0.2:
            depth = self.random.randrange(1, min(8, len(self.blocks)))
            del self.blocks[-depth:]
            self.grow(self.random.randrange(depth + 2))

    def logs(self, first: int, last: int) -> list[dict[str, Any]]:
        return [
            {
                "address": "0x" + "11" * 20,
                "topics": [],
                "data": block["hash"],
                "blockNumber": block["number"],
                "blockHash": block["hash"],
                "transactionHash": block["hash"],
                "transactionIndex": "0x0",
                "logIndex": hex(index),
            }
            for block in self.blocks[first : last + 1]
            for index in range(block["logs"])
        ]

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if self.unstable:
            self.step()
        method, params = request["method"], request["params"]
        if method == "eth_getLogs":
            result: Any = self.logs(int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16))
        else:
            number = len(self.blocks) - 1 if params[0] == "latest" else int(params[0], 16)
            result = self.blocks[number] if number < len(self.blocks) else None
        return {"jsonrpc": "2.0", "id": request["id"], "result": result}

    def serve(self, request: httpx.Request) -> httpx.Response:
        if self.unstable and self.random.random() < 0.05:
            raise httpx.ReadError("broken")
        content = msgspec.json.decode(request.content)
        many = isinstance(content, list)
        return httpx.Response(200, json=[self.answer(item) for item in content] if many else self.answer(content))


@pytest.mark.parametrize("seed", range(20))
async def test_events_are_one_chain_whatever_happens_between_answers(seed: int) -> None:
    chain = FakeChain(seed)
    client = L1Client(
        "http://l1.invalid", L1Options(attempts=1, page_blocks=4), transport=httpx.MockTransport(chain.serve)
    )
    replay, follower = Replay(), client.follow(bytes(20), 0, memory_blocks=10_000)
    for _ in range(120):
        try:
            replay.take(await follower.poll())
        except L1Unavailable:
            # The failure must not have cost an event: the replay goes on being checked against the next ones.
            continue
    chain.unstable = False
    chain.grow(10)
    await drain(follower, replay)
    assert [event.block.hash.hex() for event in replay.applied] == [block["hash"][2:] for block in chain.blocks]
    assert [len(event.logs) for event in replay.applied] == [block["logs"] for block in chain.blocks]
    await client.close()


async def test_run_waits_out_an_absent_node(autojump_clock: trio.testing.MockClock) -> None:
    chain = FakeChain(1)
    chain.unstable = False
    down, seen = True, []

    def serve(request: httpx.Request) -> httpx.Response:
        if down:
            raise httpx.ConnectError("refused")
        return chain.serve(request)

    client = L1Client("http://l1.invalid", transport=httpx.MockTransport(serve))

    async def handle(event: Applied | Reverted) -> None:
        seen.append(event.block)
        if len(seen) == 6:
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        with structlog.testing.capture_logs() as lines:
            nursery.start_soon(client.follow(None, 0).run, handle)
            await trio.sleep(150)
        assert seen == []
        # It is asked all the time, and says so about once a minute.
        assert [line["event"] for line in lines] == ["l1.not_followed"] * 3
        assert all(line["next_block"] == 0 and "refused" in line["error"] for line in lines)
        down = False
        await trio.sleep(10)
        assert len(seen) == 5
        chain.grow(1)
        await trio.sleep(10)
    assert [block.number for block in seen] == list(range(6))
    assert isinstance(seen[0], Block)
    await client.close()
