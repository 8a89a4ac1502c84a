"""Sealed chunks on their way to a real L1: all, in order, only what the bytecode confirms, again after a reorg."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import httpx
import msgspec
import pytest
import structlog
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Rejected, L1Unavailable
from l1_bridge.client.following import Applied, Follower, Reverted
from l1_bridge.client.keys import development_key
from l1_bridge.client.options import L1Options
from l1_bridge.codec import batch, calls
from l1_bridge.codec.events import BatchCommitted, decode_log
from l1_bridge.contracts.artifact import ArtifactError
from prover.contracts.deployment import Deployment, deploy
from prover.stf import constants, encoding
from sequencer.client.clock import wall_clock_ms
from sequencer.engine.money.posting import is_dear
from sequencer.l1.bridge_view import BridgeView
from sequencer.l1.poster import (
    MAX_BATCH_BYTES,
    Clocks,
    ForeignHead,
    Poster,
    SeatTaken,
    batch_length,
    byte_micros,
    ether_micros,
)
from sequencer.l1.preflight import PreflightFailed
from tests.l1_bridge.l1_nodes import anvil
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_world import ETH, PRICES, World, genesis, owner

pytestmark = pytest.mark.trio
OPERATOR = development_key(0)
CLOCKS = Clocks(wall_clock_ms)
_ENTRY_FEE_WEI = 10**14


@pytest.fixture(autouse=True)
def quiet() -> Any:
    """No log lines between the tests' dots."""
    with structlog.testing.capture_logs() as lines:
        yield lines


class Wire(httpx.AsyncBaseTransport):
    """A transport that can be cut; `refused` are (method, tag) which the node behind it does not take.

    blind: how many more times it answers with no logs, in time and with status 200. is_mute: to each call with nothing.
    meanwhile: what happens once, while a call of the bridge with that name is on its way.
    """

    def __init__(self) -> None:
        self.is_cut = False
        self.refused: set[tuple[str, str]] = set()
        self.blind = 0
        self.is_mute = False
        self.meanwhile: tuple[str, Callable[[], object]] | None = None
        self.failed = trio.Event()
        self._inner = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One request, or ConnectError while the wire is cut."""
        if self.is_cut:
            self.failed.set()
            raise httpx.ConnectError("the wire is cut")
        asked = msgspec.json.decode(request.content)
        if self.blind and b"eth_getLogs" in request.content:
            self.blind -= 1
            return httpx.Response(200, json={"id": asked["id"], "result": []})
        if self.meanwhile is not None and calls.encode_call(self.meanwhile[0]).hex().encode() in request.content:
            (_, happens), self.meanwhile = self.meanwhile, None
            happens()
        if self.is_mute and b"eth_call" in request.content:
            return httpx.Response(200, json={"id": asked["id"], "result": "0x"})
        if (
            self.refused
            and isinstance(asked, dict)
            and (asked["method"], asked["params"][-1:]) in [(method, [tag]) for method, tag in self.refused]
        ):
            return httpx.Response(200, json={"id": asked["id"], "error": {"code": -32602, "message": "invalid block"}})
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Closes what is below."""
        await self._inner.aclose()


class Site:
    """A rollup on an L1 of its own, an engine for it, and what a node has around the two."""

    def __init__(self, client: L1Client, wire: Wire, deployment: Deployment) -> None:
        self.client = client
        self.wire = wire
        self.deployment = deployment
        self.world = self.another_world()
        self.poster = self.another_poster(self.world)
        self.view = BridgeView(deployment.identity, self.world.engine)
        self._follower: Follower = client.follow(deployment.bridge, 0)
        self.reverted = 0

    def another_world(self, shift_ms: int = 0) -> World:
        """An engine at this rollup's genesis; its clock lies behind L1's, as a sealed chunk's has to."""
        start = wall_clock_ms() - 1_000_000
        start += shift_ms - start % constants.TICK_STEP
        return World(domain=self.deployment.domain, start=start, funds=False)

    def another_poster(self, world: World) -> Poster:
        """A poster of the same key."""
        clocks = Clocks(lambda: world.now)
        return Poster(self.client, OPERATOR, self.deployment, world.engine, clocks, post_seconds=0.02)

    def seal(self, count: int) -> None:
        """So many chunks of one tick each."""
        for _ in range(count):
            assert self.world.tick().code == 0
            self.world.seal()

    async def follow(self) -> None:
        """Brings the view to L1's head."""
        while events := await self._follower.poll():
            for event in events:
                self.reverted += isinstance(event, Reverted)
                assert isinstance(event, Applied | Reverted)
                self.view.apply(event)

    async def head(self) -> int:
        """Number of the newest batch on L1."""
        record, _ = await self.poster.head()
        return record.number

    async def posted(self) -> list[tuple[bytes, bytes]]:
        """(body, post-root) of every chunk in the bridge's logs, in their order."""
        block = await self.client.block()
        assert block is not None
        found: list[tuple[bytes, bytes]] = []
        for log in await self.client.logs(self.deployment.bridge, [], 0, block.number):
            event = decode_log(self.deployment.identity, log)
            if isinstance(event, BatchCommitted):
                found += [(chunk.body, chunk.post_root) for chunk in event.batch.chunks]
        return found


@asynccontextmanager
async def site(url: str = "") -> AsyncIterator[Site]:
    """A fresh rollup on a fresh anvil or on the L1 that is named, the seat taken."""
    with nullcontext() if url else anvil() as l1:
        wire = Wire()
        async with L1Client(
            url if l1 is None else l1.url, L1Options(poll_seconds=0.02, attempts=1), transport=wire
        ) as client:
            deployment = await deploy(client, OPERATOR, genesis())
            built = Site(client, wire, deployment)
            await built.poster.take_seat("http://127.0.0.1:1")
            yield built


async def test_every_sealed_chunk_is_posted_once_and_in_order() -> None:
    async with site() as here:
        assert not await here.poster.post_once()
        here.seal(30)
        assert await here.poster.post_once()
        here.seal(2)
        assert await here.poster.post_once()
        assert not await here.poster.post_once()
        assert await here.head() == 2
        assert await here.posted() == [(chunk.body, chunk.post_root) for chunk in here.world.sealed]
        await here.follow()
        assert [posted.chunk_count for posted in here.view.batches] == [batch.MAX_CHUNKS, 32 - batch.MAX_CHUNKS]
        assert here.view.posted_chunks == 32
        assert here.view.batches[-1].last_root == here.world.engine.state.root
        # What is proven of an account is proven against the root on L1.
        state = here.view.posted_state()
        commitment = batch.Commitment.decode(here.world.sealed[-1].commitment)
        assert state.root == commitment.tree_root
        assert encoding.account_from_payload(state.payload(0)).owner == owner(99)


async def test_who_holds_the_seat_keeps_it_and_nobody_else_gets_it() -> None:
    async with site() as here:
        await here.poster.take_seat("again")
        other = Poster(here.client, development_key(1), here.deployment, here.world.engine, CLOCKS)
        with pytest.raises(SeatTaken, match="held by 0xf39fd6e5"):
            await other.take_seat("mine")
        seat = await other.seat()
        assert (seat.holder, seat.bond_id) == (OPERATOR.address, 1)
        taken = await here.client.block("latest")
        assert taken is not None
        assert 0 < seat.taken_at <= taken.timestamp


async def test_what_a_byte_costs_follows_from_l1_s_price_of_gas_and_what_ether_is_worth() -> None:
    # 119 bytes at 64 gas each are 7,616 gas: a dollar at 4,000 dollars an ether and 32.8 gwei.
    ether, gwei = 4_000 * 10**6, 10**9
    assert [byte_micros(price * gwei, ether) for price in (0, 1, 32, 33, 500)] == [0, 256, 8_192, 8_448, 128_000]
    assert [is_dear(byte_micros(price * gwei, ether)) for price in (32, 33)] == [False, True]
    assert byte_micros(7, ether) == 1
    globals = World(1).engine.globals
    assert ether_micros(globals) == PRICES[ETH] * 10 ** globals.markets[ETH].label[31]
    globals.risk.price[ETH] = 0
    assert ether_micros(globals) is None
    globals.market_count = 1
    assert ether_micros(globals) is None


async def test_l1_s_price_of_gas_is_asked_before_each_batch(quiet: list[dict[str, object]]) -> None:
    async with site() as here, trio.open_nursery() as nursery:
        here.seal(1)
        assert not here.poster.byte_micros
        await here.client.call("anvil_setNextBlockBaseFeePerGas", [hex(10**12)])
        await here.client.call("anvil_mine", [])
        await here.poster.look_at_gas()
        assert is_dear(here.poster.byte_micros)
        await here.client.call("anvil_setNextBlockBaseFeePerGas", [hex(10**9)])
        await here.client.call("anvil_mine", [])
        nursery.start_soon(here.poster.run)
        with trio.fail_after(PATIENCE_SECONDS):
            while is_dear(here.poster.byte_micros):
                await trio.sleep(0.01)
        assert [line["event"] for line in quiet if str(line["event"]).startswith("l1.")] == ["l1.dear", "l1.cheap"]
        nursery.cancel_scope.cancel()


async def test_an_outage_is_waited_out() -> None:
    async with site() as here, trio.open_nursery() as nursery:
        here.seal(2)
        here.wire.is_cut = True
        with pytest.raises(L1Unavailable):
            await here.poster.post_once()
        nursery.start_soon(here.poster.run)
        await here.wire.failed.wait()
        with trio.fail_after(PATIENCE_SECONDS):
            while not here.poster.trouble:
                await trio.sleep(0.01)
            here.seal(1)
            here.wire.is_cut = False
            while here.poster.batches_posted == 0 or here.poster.trouble:
                await trio.sleep(0.01)
        assert await here.posted() == [(chunk.body, chunk.post_root) for chunk in here.world.sealed]
        nursery.cancel_scope.cancel()


async def test_nothing_is_built_on_a_head_that_is_not_ours() -> None:
    async with site() as here:
        foreign = here.another_world(shift_ms=constants.TICK_STEP)
        foreign.tick()
        foreign.seal()
        assert await here.another_poster(foreign).post_once()
        here.seal(1)
        with pytest.raises(ForeignHead, match="batch 1"):
            await here.poster.post_once()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.poster.run)
            with trio.fail_after(PATIENCE_SECONDS):
                while "batch 1" not in here.poster.trouble:
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        assert len(await here.posted()) == 1
        await here.follow()
        assert (here.view.posted_chunks, here.view.batches[-1].chunks) == (0, None)


def tampered(world: World, number: int, **changes: Any) -> None:
    """Another record of a chunk in the store."""
    chunk = world.engine.chunk_record(number)
    assert chunk is not None
    record = msgspec.msgpack.encode(msgspec.structs.replace(chunk, **changes))
    world.store.write({b"mchunk" + number.to_bytes(8, "big"): record}, sync=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"post_root": b"\x13" * 32}, "chunk 2: this node says 0x1313"), ({"witness": bytes(96)}, "refuses the witness")],
)
async def test_what_the_bytecode_does_not_confirm_is_never_committed(changes: dict[str, bytes], words: str) -> None:
    async with site() as here:
        here.seal(3)
        tampered(here.world, 2, **changes)
        with pytest.raises(PreflightFailed, match=words):
            await here.poster.post_once()
        # The task ends with it, and the node with the task.
        with pytest.raises(PreflightFailed):
            await here.poster.run()
        assert await here.head() == 0


async def test_a_batch_that_a_reorganisation_dropped_is_posted_again() -> None:
    async with site() as here:
        here.seal(2)
        assert await here.poster.post_once()
        here.seal(1)
        assert await here.poster.post_once()
        await here.follow()
        assert here.view.posted_chunks == 3
        assert here.view.posted_state().chunks == 3
        await here.client.call("anvil_reorg", [2, []])
        await here.follow()
        assert (here.reverted, here.view.posted_chunks, here.view.batches) == (2, 0, [])
        assert here.view.posted_state().chunks == 0
        while await here.poster.post_once():
            pass
        await here.follow()
        assert here.view.posted_chunks == 3
        commitment = batch.Commitment.decode(here.world.sealed[-1].commitment)
        assert here.view.posted_state().root == commitment.tree_root
        assert await here.posted() == [(chunk.body, chunk.post_root) for chunk in here.world.sealed]


async def test_a_node_ahead_of_its_l1_posts_what_l1_has_reached_and_pays_for_nothing_else(
    quiet: list[dict[str, Any]],
) -> None:
    async with site() as here:
        here.seal(1)
        # Far ahead of L1, whose clock goes on meanwhile: what is sealed now lies in its future.
        here.world.now = wall_clock_ms() + 1_000 * PATIENCE_SECONDS
        here.seal(2)
        nonce = await here.client.nonce(OPERATOR.address)
        assert await here.poster.post_once()
        await here.follow()
        assert here.view.posted_chunks == 1
        for _ in range(3):
            assert not await here.poster.post_once()
        assert await here.client.nonce(OPERATOR.address) == nonce + 1
        # It is said once, however often it is asked.
        (waits,) = [line for line in quiet if line["event"] == "post.waits"]
        assert waits["chunk"] == 2
        assert 0 < waits["ahead_of_l1_seconds"] <= PATIENCE_SECONDS + constants.TICK_STEP / 1_000
        await here.client.call("evm_increaseTime", [2 * PATIENCE_SECONDS])
        await here.client.call("evm_mine")
        assert await here.poster.post_once()
        await here.follow()
        assert here.view.posted_chunks == 3


async def test_a_refusal_is_known_before_it_is_paid() -> None:
    async with site() as here:
        here.seal(1)
        # Another key gives the seat up and takes it: this one is refused for good.
        opens_at = (await here.client.newest_block()).timestamp + 60
        await here.client.send(OPERATOR, here.deployment.bridge, calls.encode_call("resign", opens_at), gas=300_000)
        await here.client.call("evm_increaseTime", [60])
        await here.client.call("evm_mine")
        successor = Poster(here.client, development_key(1), here.deployment, here.world.engine, CLOCKS)
        await successor.take_seat("http://127.0.0.1:2")
        nonce = await here.client.nonce(OPERATOR.address)
        with pytest.raises(L1Rejected, match="NOT_SEAT_HOLDER"):
            await here.poster.post_once()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.poster.run)
            with trio.fail_after(PATIENCE_SECONDS):
                while not here.poster.trouble:
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        assert here.poster.trouble.startswith("NOT_SEAT_HOLDER")
        assert await here.client.nonce(OPERATOR.address) == nonce


async def test_a_node_that_does_not_take_the_pending_tag_or_simulate_at_all_holds_no_batch_up(
    quiet: list[dict[str, Any]],
) -> None:
    async with site() as here:
        here.seal(1)
        here.wire.refused = {(method, "pending") for method in ("eth_call", "eth_getBlockByNumber")}
        assert await here.poster.post_once()
        assert [line for line in quiet if line["event"] == "post.not_simulated"] == []
        here.seal(1)
        # Whatever is asked at the newest block but the bridge's own words is refused too.
        simulated = here.client.eth_call

        async def refusing(to: bytes, data: bytes, *rest: Any, **options: Any) -> bytes:
            if "sender" in options:
                raise L1Rejected(-32601, "this node runs nothing")
            return await simulated(to, data, *rest, **options)

        here.client.eth_call = refusing  # type: ignore[method-assign,assignment]
        assert await here.poster.post_once()
        assert [line["event"] for line in quiet if line["event"] == "post.not_simulated"] == ["post.not_simulated"]
        assert await here.head() == 2


async def test_no_answer_is_not_that_nobody_has_bonded_or_that_nothing_is_owed() -> None:
    async with site() as here:
        assert not await here.poster.is_seat_new()
        here.wire.is_mute = True
        with pytest.raises(L1Unavailable, match="with 0 bytes"):
            await here.poster.is_seat_new()
        with pytest.raises(ArtifactError):
            await here.poster.head_and_owed()


async def test_what_is_owed_is_asked_of_one_block() -> None:
    async with site() as here:
        _, _, owed = await here.poster.head_and_owed()
        assert owed is None
        asked, word = list[object](), here.client.word

        async def late(to: bytes, data: bytes, block: str | int = "latest") -> int:
            """An entry comes behind the block that was chosen, before the queue's length is asked."""
            await _enqueue(here)
            asked.append(block)
            return await word(to, data, block)

        with patch.object(here.client, "word", late):
            _, _, owed = await here.poster.head_and_owed()
        assert (owed, len(asked), isinstance(asked[0], int)) == (None, 1, True)
        _, _, owed = await here.poster.head_and_owed()
        assert owed is not None
        assert owed.enqueued_at == (await here.client.newest_block()).timestamp


async def test_what_a_block_says_that_is_replaced_meanwhile_is_not_believed() -> None:
    async with site() as here:
        snapshot, word = await here.client.call("evm_snapshot", []), here.client.word
        await _enqueue(here)

        async def reorganised(to: bytes, data: bytes, block: str | int = "latest") -> int:
            length = await word(to, data, block)
            await here.client.call("evm_revert", [snapshot])
            await here.client.call("evm_increaseTime", [60])
            await here.client.call("evm_mine", [])
            await here.client.call("evm_mine", [])
            return length

        with patch.object(here.client, "word", reorganised), pytest.raises(L1Unavailable, match="has replaced"):
            await here.poster.head_and_owed()


async def _enqueue(here: Site) -> None:
    """An entry of the queue that needs no money in the venue."""
    data = calls.encode_call("enqueue", constants.FORCED_RESCUE, bytes(constants.FORCED_RESCUE_LENGTH))
    await here.client.send(OPERATOR, here.deployment.bridge, data, value=_ENTRY_FEE_WEI, gas=500_000)


@pytest.mark.parametrize(
    ("chunks", "late_ms", "taken"),
    [
        ("n1 n2", None, 2),
        ("n1 n4", 5, 2),
        ("n1 n5", 5, 1),
        ("n5", 5, 0),
        ("n1 q5", 5, 1),
        ("q5 q6 n7", 5, 2),
        # Late by a later chunk alone, and so not without it.
        ("q4 q5", 5, 2),
        ("q4", 5, 0),
        ("q5", None, 0),
    ],
)
async def test_all_chunks_of_a_batch_serve_the_queue_alone_or_none_does(
    chunks: str, late_ms: int | None, taken: int
) -> None:
    pairs = [(int(each[1:]), bytes([128 * (each[0] == "q")]) + bytes(5)) for each in chunks.split()]
    assert batch_length(pairs, late_ms) == taken


async def test_a_batch_has_so_many_chunks_and_bytes_at_most() -> None:
    assert batch_length([(1, bytes(6))] * 25, None) == batch.MAX_CHUNKS
    most = bytes(MAX_BATCH_BYTES - 6)
    assert [batch_length([(1, bytes(6)), (1, most + more)], None) for more in (b"", b"1")] == [2, 1]
