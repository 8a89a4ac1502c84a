"""A node on another chain than its L1: it says so, takes nothing that it could not post, and begins no history anew."""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.keys import development_key
from l1_bridge.client.options import L1Options
from l1_bridge.codec import calls
from prover.stf import encoding
from sequencer.client.clock import wall_clock_ms
from sequencer.devnet.funding import fund
from sequencer.l1.resequence import STATE
from sequencer.l1.seating import forget_word
from sequencer.node import node
from sequencer.node.config import CannotStart, DatadirUnusable, L1Unusable, NodeConfig
from sequencer.node.node import Running
from tests.l1_bridge.l1_nodes import L1Node, anvil
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_world import DOLLAR, owner

pytestmark = pytest.mark.trio


@pytest.fixture(autouse=True)
def quiet() -> Any:
    """No log lines between the tests' dots."""
    with structlog.testing.capture_logs() as lines:
        yield lines


def config(datadir: Path, l1: L1Node, **changes: Any) -> NodeConfig:
    """A node without a market maker that posts at once."""
    usual: dict[str, Any] = {"port": 0, "l1_rpc_url": l1.url, "is_maker_running": False, "seal_seconds": 0.1}
    return NodeConfig(datadir=datadir, **{**usual, "post_seconds": 0.05, "is_deploy_allowed": True, **changes})


@asynccontextmanager
async def up(given: NodeConfig, wall_ms: Callable[[], int] = wall_clock_ms) -> AsyncIterator[Running]:
    """A node that runs as long as it is asked."""
    async with trio.open_nursery() as nursery:
        yield await nursery.start(node.run, given, wall_ms)
        nursery.cancel_scope.cancel()


async def refusal(given: NodeConfig, kind: type[CannotStart]) -> str:
    """Why a node does not come up."""
    found: list[BaseException] = []
    try:
        async with up(given):
            raise AssertionError("it came up")
    except* CannotStart as errors:
        found = [errors]
        while isinstance(found[0], BaseExceptionGroup):
            found = [*found[0].exceptions]
    assert type(found[0]) is kind, found
    return str(found[0])


async def until(true: Callable[[], bool]) -> None:
    """Waits for what must come."""
    with trio.fail_after(PATIENCE_SECONDS):
        while not true():
            await trio.sleep(0.02)


async def ready(running: Running) -> tuple[int, list[str]]:
    """What /ready says: its status, and the codes."""
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=PATIENCE_SECONDS) as http:
        answer = await http.get(f"{running.url}/ready")
    return answer.status_code, [reason["code"] for reason in answer.json()["reasons"]]


async def metric(running: Running, name: str) -> str:
    """The value of a metric, with its label; who has asked for `/ready` all the time may have to wait for it."""
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=PATIENCE_SECONDS) as http:
        with trio.fail_after(PATIENCE_SECONDS):
            while True:
                lines = (await http.get(f"{running.url}/metrics")).text.splitlines()
                found = [line for line in lines if line.startswith(f"catenary_{name} ")]
                if found:
                    return found[0].rsplit(" ", 1)[1]
                await trio.sleep(0.05)


async def until_ready(running: Running, *codes: str) -> None:
    """Waits until /ready says exactly this."""
    with trio.fail_after(PATIENCE_SECONDS):
        while await ready(running) != (503 if codes else 200, [*codes]):
            await trio.sleep(0.05)


async def served(datadir: Path, l1: L1Node) -> bytes:
    """A rollup that was served from a datadir, with a batch of it on L1; the bridge's address."""
    async with up(config(datadir, l1)) as running:
        await until(lambda: running.view.posted_chunks > 0)
        await until_ready(running)
        assert await metric(running, "ready") == "1.0"
        return running.deployment.bridge


async def passed_on(l1: L1Node, bridge: bytes, key: int, has_block: bool = True) -> None:
    """Whoever holds the seat by this key leaves it, and it is open; without a block by the time of the next one."""
    async with L1Client(l1.url, L1Options(poll_seconds=0.02)) as client:
        newest = await client.newest_block()
        await client.send(development_key(key), bridge, calls.encode_call("resign", newest.timestamp + 60), gas=400_000)
        await client.call("evm_increaseTime", [60])
        if has_block:
            await client.call("evm_mine", [])


async def bonds(l1: L1Node, bridge: bytes) -> int:
    """How many were put up."""
    async with L1Client(l1.url, L1Options(poll_seconds=0.02)) as client:
        return int.from_bytes(await client.eth_call(bridge, calls.encode_call("bond_count")), "big")


async def test_nobody_bonds_behind_a_history_that_is_not_his(tmp_path: Path) -> None:
    with anvil() as l1:
        bridge = await served(tmp_path / "one", l1)
        shutil.copytree(tmp_path / "one", tmp_path / "two")
        # Of other prices: two stores that are given the same have the same history.
        async with up(config(tmp_path / "two", l1, is_posting=False, oracle_seed=2)) as reading:
            # What it was given may be unposted still, and is in both: chunks of its own are behind that.
            given = reading.engine.chunk_count
            await until(lambda: reading.engine.chunk_count > given + 1)
        await passed_on(l1, bridge, 0)
        async with up(config(tmp_path / "one", l1, development_key=1, is_seat_wanted=True)) as running:
            # What it has at its start may stand in both, posted or not.
            common = running.engine.chunk_count
            await until(lambda: running.view.posted_chunks > common + 1)
        await passed_on(l1, bridge, 1)
        before = await bonds(l1, bridge)
        words = await refusal(config(tmp_path / "two", l1, is_seat_wanted=True), DatadirUnusable)
        assert words.startswith("OTHER_HISTORY: Batch ")
        assert f"posted by 0x{development_key(1).address.hex()}" in words
        assert "never had its root" in words
        assert (before, await bonds(l1, bridge)) == (2, 2)


async def test_a_store_says_itself_of_which_rollup_it_is(tmp_path: Path, quiet: list[dict[str, Any]]) -> None:
    datadir = tmp_path / "one"
    with anvil() as l1:
        bridge = await served(datadir, l1)
        record = datadir / "deployment.json"
        kept = record.read_bytes()
        record.unlink()
        async with up(config(datadir, l1)) as running:
            assert running.deployment.bridge == bridge
            await until_ready(running)
        assert record.read_bytes() == kept
        assert [line["rollup"] for line in quiet if line["event"] == "deployment.restored"] == ["0x" + bridge.hex()]
        # Another rollup's record beside this state.
        await served(tmp_path / "two", l1)
        shutil.copy(tmp_path / "two" / "deployment.json", record)
        assert "is not of the rollup that deployment.json names" in await refusal(config(datadir, l1), DatadirUnusable)
        record.unlink()
        shutil.rmtree(datadir / STATE)
        assert "neither a state nor a deployment" in await refusal(config(datadir, l1), DatadirUnusable)


async def test_of_two_nodes_with_one_key_the_one_whose_batches_are_not_its_own_stops(tmp_path: Path) -> None:
    with anvil() as l1:
        await served(tmp_path / "one", l1)
        shutil.copytree(tmp_path / "one", tmp_path / "two")
        # Each of other prices: two stores that are given the same have the same history.
        async with up(config(tmp_path / "one", l1, is_posting=False, oracle_seed=1)) as first:
            await until(lambda: first.engine.chunk_count > first.view.posted_chunks)
        async with up(config(tmp_path / "two", l1, post_seconds=600, oracle_seed=2)) as second:
            await until(lambda: second.engine.chunk_count > second.view.posted_chunks)
            assert await ready(second) == (200, [])
            async with up(config(tmp_path / "one", l1)) as first:
                await until_ready(second, "SECOND_NODE")
                await until_ready(first)
            assert await metric(second, 'not_ready{reason="SECOND_NODE"}') == "1.0"
            assert await metric(second, "ready") == "0.0"
        assert (await refusal(config(tmp_path / "two", l1), DatadirUnusable)).startswith("SECOND_NODE")


async def test_a_bond_is_put_up_only_where_the_operator_says_so(tmp_path: Path) -> None:
    with anvil() as l1:
        bridge = await served(tmp_path / "one", l1)
        await passed_on(l1, bridge, 0)
        words = await refusal(config(tmp_path / "one", l1), CannotStart)
        assert words.startswith("SEAT_OPEN")
        assert "--take-seat" in words
        # A lost datadir comes back from L1, and asks all the same.
        given = config(tmp_path / "two", l1, rollup_address=bridge)
        assert (await refusal(given, CannotStart)).startswith("SEAT_OPEN")
        assert await bonds(l1, bridge) == 1
        async with up(config(tmp_path / "one", l1, is_seat_wanted=True)) as running:
            await until_ready(running)
        # Its own by now: there is nothing to be put up.
        async with up(config(tmp_path / "one", l1)) as running:
            await until_ready(running)
        assert await bonds(l1, bridge) == 2
        # A service says the same at each start, and that is one word.
        await passed_on(l1, bridge, 0)
        for _ in range(2):
            words = await refusal(config(tmp_path / "one", l1, is_seat_wanted=True), CannotStart)
            assert words.startswith("SEAT_LOST")
        assert await bonds(l1, bridge) == 2
        assert forget_word(tmp_path / "one")
        async with up(config(tmp_path / "one", l1, is_seat_wanted=True)) as running:
            await until_ready(running)
        assert await bonds(l1, bridge) == 3
        given = config(tmp_path / "one", l1, development_key=1)
        assert (await refusal(given, L1Unusable)).startswith("OTHER_SEAT")


@pytest.mark.parametrize("datadir", ["one", "two"])
async def test_a_seat_whose_time_has_come_is_free_before_a_block_says_so(tmp_path: Path, datadir: str) -> None:
    """By the node that served from it, and by one that another key begins from L1."""
    with anvil() as l1:
        bridge = await served(tmp_path / "one", l1)
        key = 0 if datadir == "one" else 1
        given = config(tmp_path / datadir, l1, rollup_address=bridge, development_key=key)
        await passed_on(l1, bridge, 0, has_block=False)
        assert (await refusal(given, CannotStart)).startswith("SEAT_OPEN")
        given = config(tmp_path / datadir, l1, rollup_address=bridge, development_key=key, is_seat_wanted=True)
        async with up(given) as running:
            posted = running.view.posted_chunks
            await until(lambda: running.view.posted_chunks > posted)
            await until_ready(running)
        assert await bonds(l1, bridge) == 2


async def test_a_deposit_that_a_reorganisation_took_stops_trading_until_the_store_is_resequenced(
    tmp_path: Path, quiet: list[dict[str, Any]]
) -> None:
    with anvil() as l1:
        await served(tmp_path / "one", l1)
        async with L1Client(l1.url, L1Options(poll_seconds=0.02)) as client:
            snapshot = await client.call("evm_snapshot", [])
            payer = development_key(3)
            # A node that posts nothing: what it takes stands in no batch that would be reorganised with it.
            reading = config(tmp_path / "one", l1, is_posting=False)
            async with up(reading) as running:
                token, bridge = running.deployment.token, running.deployment.bridge
                await fund(client, payer, token, bridge, [(owner(0), 1_000 * DOLLAR)])
                await client.call("anvil_mine", ["0x4"])
                await until(lambda: bool(running.engine.accounts_of(owner(0))))
                await until_ready(running)
            assert await client.call("evm_revert", [snapshot])
            await client.call("anvil_mine", ["0x10"])
            # Neither a restart nor another one forgets it.
            for _ in range(2):
                async with up(config(tmp_path / "one", l1)) as running:
                    await until_ready(running, "OTHER_QUEUE")
                    assert running.engine.accounts_of(owner(0))
            await fund(client, payer, token, bridge, [(owner(1), 1_000 * DOLLAR)])
            await client.call("anvil_mine", ["0x4"])
            quiet.clear()
            async with up(config(tmp_path / "one", l1)) as running:
                (told,) = [line for line in quiet if line["event"].startswith("RE-SEQUENCED")]
                assert "L1's queue does not have" in told["event"]
                assert running.engine.accounts_of(owner(0)) == []
                await until(lambda: bool(running.engine.accounts_of(owner(1))))
                await until_ready(running)
                posted = running.view.posted_chunks
                await until(lambda: running.view.posted_chunks > posted)


HOUR_MS = 3_600_000


async def sealed_while(running: Running, count: int) -> list[int]:
    """The times of the next chunks, and how far they are ahead of this machine's clock."""
    first = running.engine.chunk_count
    await until(lambda: running.engine.chunk_count >= first + count)
    found = [running.engine.chunk_record(number) for number in range(first + 1, first + count + 1)]
    return [encoding.commitment_from_bytes(chunk.commitment).timestamp - wall_clock_ms() for chunk in found if chunk]


@pytest.mark.parametrize("skew", [HOUR_MS, -HOUR_MS])
async def test_a_jump_of_the_machines_clock_is_not_sequenced(
    tmp_path: Path, skew: int, quiet: list[dict[str, Any]]
) -> None:
    now = 0

    def wall_ms() -> int:
        return wall_clock_ms() + now

    with anvil() as l1:
        async with up(config(tmp_path / "one", l1), wall_ms) as running:
            await until_ready(running)
            now = skew
            await until_ready(running, "CLOCK")
            assert abs(float(await metric(running, "clock_skew_ms")) - skew) < HOUR_MS // 2
            # Prices go on, by the right time, and L1 takes them.
            assert all(abs(ahead) < HOUR_MS // 2 for ahead in await sealed_while(running, 2))
            posted = running.view.posted_chunks
            await until(lambda: running.view.posted_chunks > posted)
            now = 0
            await until_ready(running)
            now = skew
            await until_ready(running, "CLOCK")
        # A restart within the jump.
        async with up(config(tmp_path / "one", l1), wall_ms) as running:
            await until_ready(running, "CLOCK")
            assert all(abs(ahead) < HOUR_MS // 2 for ahead in await sealed_while(running, 2))
            now = 0
            await until_ready(running)
    told = [line["reasons"] for line in quiet if line["event"].startswith("postable.")]
    assert told.count(["CLOCK"]) == 3


async def test_an_l1_that_was_moved_ahead_ends_no_node_and_makes_nothing_void_before_the_clocks_agree(
    tmp_path: Path, quiet: list[dict[str, Any]]
) -> None:
    def resequenced() -> int:
        return sum(line["event"].startswith("RE-SEQUENCED") for line in quiet)

    given, hours = tmp_path / "one", 2 * HOUR_MS
    with anvil() as l1:
        async with up(config(given, l1)) as running:
            await until_ready(running)
            async with L1Client(l1.url, L1Options(poll_seconds=0.02)) as client:
                await client.call("evm_increaseTime", [hours // 1_000])
                await client.call("evm_mine", [])
            await until_ready(running, "L1_AHEAD")
            posted = running.poster.batches_posted if running.poster else 0
            # Prices go on, nothing of it is posted, and the node stays as it is, also where it is started again.
            await sealed_while(running, 3)
            assert running.poster is not None
            assert running.poster.batches_posted == posted
            assert await ready(running) == (503, ["L1_AHEAD"])
        async with up(config(given, l1)) as running:
            await until_ready(running, "L1_AHEAD")
            await sealed_while(running, 3)
            assert await ready(running) == (503, ["L1_AHEAD"])
        assert resequenced() == 0
        async with up(config(given, l1), lambda: wall_clock_ms() + hours) as running:
            assert resequenced() == 1
            await until_ready(running)
            posted = running.view.posted_chunks
            await until(lambda: running.view.posted_chunks > posted)
