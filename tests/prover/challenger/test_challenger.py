"""The challenger on real L1 nodes: it proves every theft once, and never anything that it does not know."""

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.keys import development_key
from l1_bridge.client.options import L1Options
from l1_bridge.contracts.artifact import bridge_artifact
from prover.challenger.verdicts import Verdicts
from prover.state.leveldb import LevelDbStore
from prover.state.store import MemoryStore
from prover.stf import constants
from tests.l1_bridge.l1_nodes import L1Node, embedded_l1
from tests.patience import PATIENCE_SECONDS
from tests.prover.challenger.liars import forged_word, reward_for_nobody, topic
from tests.prover.challenger.runs import Guard, command, mine, sent_by
from tests.prover.conftest import POLL_SECONDS
from tests.prover.l1_faults import Tamper, proxy
from tests.prover.world import (
    CHALLENGER,
    DOLLAR,
    PARAMETERS,
    Lie,
    NodeChain,
    World,
    false_tree,
    lied,
    open_head,
    opened,
    stolen,
)

pytestmark = pytest.mark.trio

ROOT = Path(__file__).parents[3]


# What it is for.


async def test_a_theft_is_proven_in_one_transaction_and_rolled_back(
    guard: Guard, world: World, client: L1Client
) -> None:
    before = await sent_by(client, CHALLENGER)
    good = await world.open_accounts()
    stolen = await world.steal()
    summary = await guard.once()

    assert summary.held
    assert (summary.valid, summary.fraud, summary.proofs_sent, summary.proofs_won, summary.rolled_back) == (1,) * 5
    assert await sent_by(client, CHALLENGER) == before + 1
    assert (await world.head()).batch_hash == good.batch_hash
    assert summary.root == good.batch.chunks[-1].post_root
    (fraud,) = [said for said in guard.said.names("batch") if said["verdict"] == "fraud"]
    assert (fraud["batch_hash"], fraud["chunk_index"]) == (stolen.batch_hash, 1)
    (mined,) = guard.said.names("proof_mined")
    assert mined["gas_used"] < 1_500_000
    assert mined["calldata_bytes"] < 20_000
    assert guard.alarms == []


async def test_whoever_asks_is_told_each_verdict(guard: Guard, world: World) -> None:
    board = Verdicts(1, world.bridge.address, lambda: 5)
    good = await world.open_accounts()
    stolen = await world.steal()
    await guard.once(verdicts=board)

    fraud, valid = board.newest_first
    assert (valid.batch_hash, valid.verdict, valid.is_rolled_back) == (good.batch_hash, "valid", False)
    assert (fraud.batch_hash, fraud.verdict, fraud.chunk, fraud.is_rolled_back) == (stolen.batch_hash, "fraud", 1, True)
    assert (board.heard.at_ms, board.heard.valid_tip, board.heard.alarms) == (5, 1, 0)


async def test_a_theft_behind_a_head_that_was_never_opened_is_proven(guard: Guard, world: World) -> None:
    good = await world.open_accounts()
    await world.deposit(2, DOLLAR)
    await world.steal(9_000 * DOLLAR, [Lie(2, claim=open_head)])
    summary = await guard.once()
    assert summary.held
    assert (summary.fraud, summary.proofs_sent, summary.proofs_won, summary.rolled_back) == (1,) * 4
    assert (await world.head()).batch_hash == good.batch_hash
    assert guard.alarms == []


@pytest.mark.stage(build=opened)
async def test_honest_batches_are_never_challenged(guard: Guard, world: World, client: L1Client) -> None:
    before = await sent_by(client, CHALLENGER)
    now = await world.now_ms()
    odd = now.to_bytes(6, "big") + b"\xff" * (constants.MAX_CHUNK_BYTES - 6)
    await world.commit([world.venue.trade(now), odd, odd[:6], bytes(6)])
    summary = await guard.once()
    assert (summary.held, summary.valid, summary.fraud) == (True, 2, 0)
    assert await sent_by(client, CHALLENGER) == before


@pytest.mark.stage(build=opened)
async def test_followed_live_a_theft_is_answered_while_it_runs(guard: Guard, world: World) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: guard.run(once=False))
        await guard.said.until("batch")
        await world.steal()
        await guard.said.until("rolled_back")
        nursery.cancel_scope.cancel()
    assert guard.summary.held
    assert guard.summary.proofs_sent == 1


async def test_the_reward_is_collected_when_it_is_due(node: L1Node, client: L1Client) -> None:
    world = await World.make(NodeChain(client))
    guard = Guard(world, node.url)
    await world.open_accounts()
    await world.steal()
    summary = await guard.once()
    assert (summary.proofs_won, summary.rewards_wei) == (1, 0)
    # Not before the parent is past its window.
    await mine(client, PARAMETERS.window_seconds - 60)
    assert (await guard.once()).rewards_wei == 0
    await mine(client, 61)
    assert (await guard.once(collect=False)).rewards_wei == 0
    selector = "0x" + bridge_artifact().functions["bond"].selector.hex()

    def forgetful(method: str, params: list[Any], result: Any) -> Any:
        return "0x" if method == "eth_call" and params[0]["data"].startswith(selector) else result

    assert (await guard.once(tamper=forgetful)).rewards_wei == 0
    assert (await guard.once()).rewards_wei == PARAMETERS.bond_wei // 2
    assert (await guard.once()).rewards_wei == 0
    (collected,) = guard.said.names("reward_collected")
    assert collected["prover"] == development_key(CHALLENGER).address


def another_prover(method: str, params: list[Any], result: Any) -> Any:
    """A node that says somebody else has proven."""
    if method != "eth_getLogs":
        return result
    stranger = "0x" + bytes(31).hex() + "07"
    return [
        log | {"topics": [*log["topics"][:3], stranger]} if log["topics"][0] == topic("RolledBack") else log
        for log in result
    ]


@pytest.mark.parametrize(
    ("lie", "is_gap"),
    [
        # Released in another age, to somebody else, paid already, or owed under another bond.
        (forged_word("RolledBack", 7, 2**40), False),
        (another_prover, False),
        (reward_for_nobody(1), False),
        (forged_word("RolledBack", 4, 7), True),
        (forged_word("BatchCommitted", 2, 7), True),
    ],
    ids=["late", "another prover", "paid", "another bond", "another bond of its batch"],
)
async def test_no_log_of_one_node_takes_a_reward_away(
    node: L1Node, client: L1Client, lie: Tamper, is_gap: bool
) -> None:
    world = await World.make(NodeChain(client))
    guard = Guard(world, node.url)
    await world.open_accounts()
    await world.steal()
    assert (await guard.once()).proofs_won == 1
    # All of it is read once more, by a node that lies about the logs and not about the bridge.
    guard.store = MemoryStore()
    assert (await guard.once(tamper=lie)).rewards_wei == 0
    await mine(client, PARAMETERS.window_seconds + 1)
    assert (await guard.once()).rewards_wei == PARAMETERS.bond_wei // 2
    assert ("HISTORY" in guard.alarms) is is_gap


# What it must not act on.


TOPIC = next("0x" + topic.hex() for topic, event in bridge_artifact().events.items() if event.name == "BatchCommitted")


def changed_logs(change: Callable[[str], str | None]) -> Tamper:
    """A node that changes the data of committed batches, or leaves the log out."""

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        if method != "eth_getLogs":
            return result
        told = []
        for log in result:
            data = change(log["data"]) if log["topics"][0] == TOPIC else log["data"]
            if data is not None:
                told.append(log | {"data": data})
        return told

    return tamper


@pytest.mark.stage(build=stolen)
@pytest.mark.parametrize(
    "change",
    [lambda data: data[:-64], lambda data: data[:-200] + "ee" + data[-198:], lambda data: "0x", lambda data: None],
    ids=["cut", "other bytes", "no bytes", "no log"],
)
async def test_missing_bytes_send_nothing_until_a_node_has_them(
    guard: Guard, world: World, client: L1Client, change: Callable[[str], str | None]
) -> None:
    before = await sent_by(client, CHALLENGER)
    summary = await guard.once(tamper=changed_logs(change))
    assert not summary.held
    assert set(guard.alarms) == {"HISTORY"}
    assert await sent_by(client, CHALLENGER) == before
    # The next run asks again from genesis on.
    summary = await guard.once()
    assert (summary.held, summary.proofs_won) == (True, 1)


# Reorganisations, outages and crashes.


@pytest.mark.stage(build=lied)
async def test_an_outage_of_the_l1_is_waited_out(guard: Guard, world: World) -> None:
    failures = 40

    def flaky(method: str, params: list[Any], result: Any) -> Any:
        nonlocal failures
        failures -= 1
        if failures > 0 and method != "eth_chainId":
            raise httpx.ConnectError("down")
        return result

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: guard.run(once=False, tamper=flaky))
        with trio.fail_after(PATIENCE_SECONDS):
            await guard.said.until("rolled_back")
        nursery.cancel_scope.cancel()
    assert (guard.summary.held, guard.summary.proofs_sent, guard.alarms) == (True, 1, [])


@pytest.mark.stage(build=opened)
async def test_a_reorganisation_that_drops_the_bad_batch_leaves_nothing_to_prove(
    guard: Guard, world: World, client: L1Client
) -> None:
    snapshot = await client.call("evm_snapshot")
    await world.steal()
    assert (await guard.once(role=None)).fraud == 1
    await client.call("evm_revert", [snapshot])
    world.venue.go_back(1)
    await mine(client, 7)
    await world.commit([world.venue.trade(await world.now_ms())])
    before = await sent_by(client, CHALLENGER)
    summary = await guard.once()
    assert (summary.held, summary.valid, summary.fraud, summary.reorganisations) == (True, 1, 0, 1)
    assert await sent_by(client, CHALLENGER) == before


async def test_a_reorganisation_deeper_than_the_memory_begins_again(
    guard: Guard, world: World, client: L1Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prover.challenger.challenger.MEMORY_BLOCKS", 2)
    await world.open_accounts()
    snapshot = await client.call("evm_snapshot")
    for _ in range(3):
        await world.commit()
    assert (await guard.once()).tip == 4
    await client.call("evm_revert", [snapshot])
    world.venue.go_back(1)
    for _ in range(4):
        await mine(client, 7)
    await world.commit([[]], [Lie(0, claim=false_tree)])
    summary = await guard.once()
    assert guard.alarms == ["REORG_TOO_DEEP"]
    assert (summary.held, summary.proofs_won, summary.tip) == (True, 1, 1)


class Running:
    """A command that runs and says what happens."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self.said: list[dict[str, Any]] = []
        self._buffer = b""

    async def until(self, name: str) -> dict[str, Any]:
        """The first event of this name."""
        while not (found := [said for said in self.said if said["event"] == name]):
            await self._read()
        return found[0]

    async def stopped(self) -> dict[str, Any]:
        """The last line after SIGTERM; the exit code is 0."""
        self.process.send_signal(signal.SIGTERM)
        while await self._read():
            pass
        assert await self.process.wait() == 0
        return self.said[-1]

    async def _read(self) -> bool:
        assert self.process.stdout is not None
        received = await self.process.stdout.receive_some()
        *lines, self._buffer = (self._buffer + received).split(b"\n")
        self.said += [json.loads(line) for line in lines]
        return bool(received)


@asynccontextmanager
async def running(arguments: list[str]) -> AsyncIterator[Running]:
    """The command; killed as by a power cut if it is still there at the end."""
    process = await trio.lowlevel.open_process(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        with trio.fail_after(PATIENCE_SECONDS):
            yield Running(process)
    finally:
        if process.poll() is None:
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            assert process.stdout is not None
            await process.stdout.aclose()


@pytest.mark.stage(build=stolen)
@pytest.mark.parametrize("after", [False, True], ids=["before it is sent", "after it is sent"])
async def test_killed_in_the_middle_of_a_dispute_it_sends_one_proof_in_all(
    world: World, node: L1Node, client: L1Client, tmp_path: Path, after: bool
) -> None:
    before = await sent_by(client, CHALLENGER)
    await client.call("evm_setAutomine", [False])
    try:
        async with (
            proxy(node.url, "eth_sendRawTransaction", after=after) as between,
            running(command(world, between.url, tmp_path)),
        ):
            await between.held.wait()
        pending = await client.nonce(development_key(CHALLENGER).address, "pending")
        assert pending == before + after
        async with running(command(world, node.url, tmp_path)) as again:
            await again.until("proof_waiting" if after else "proof_sent")
            while await client.nonce(development_key(CHALLENGER).address, "pending") == before:
                await trio.sleep(POLL_SECONDS)
            await client.call("evm_mine")
            await again.until("rolled_back")
            summary = await again.stopped()
        assert (summary["event"], summary["held"], summary["proofs_won"]) == ("summary", True, 1)
        assert summary["proofs_sent"] == (0 if after else 1)
    finally:
        await client.call("evm_setAutomine", [True])
    assert await sent_by(client, CHALLENGER) == before + 1
    assert (await world.head()).number == 1


@pytest.mark.stage(build=stolen)
async def test_a_proof_in_a_process_of_its_own_never_imports_the_venue(
    world: World, node: L1Node, client: L1Client, tmp_path: Path
) -> None:
    arguments = command(world, node.url, tmp_path, "--once")[3:]
    program = (
        "import sys\n"
        "from prover.cli.main import cli\n"
        "try:\n"
        f"    cli({arguments!r})\n"
        "except SystemExit as end:\n"
        "    assert not [name for name in sys.modules if name.split('.')[0] == 'sequencer'], sys.modules\n"
        "    assert 'prover.challenger.challenger' in sys.modules\n"
        "    raise\n"
    )
    ended = await trio.run_process([sys.executable, "-c", program], cwd=ROOT, capture_stdout=True)
    summary = json.loads(ended.stdout.splitlines()[-1])
    assert (summary["held"], summary["proofs_won"], summary["tip"]) == (True, 1, 1)


async def test_on_the_embedded_l1_a_theft_is_proven_and_rolled_back(tmp_path: Path) -> None:
    # No blocks but those of transactions: who replays, proves and is up to the head "once" needs more than a second for
    # it on a busy machine, and may always find a block more.
    with embedded_l1(tmp_path / "l1", "--block-period", "0") as running:
        options = L1Options(poll_seconds=POLL_SECONDS, timeout_seconds=PATIENCE_SECONDS)
        async with L1Client(running.url, options) as client:
            world = await World.make(NodeChain(client))
            await world.open_accounts()
            await world.steal()
            store = LevelDbStore(tmp_path / "replay")
            guard = Guard(world, running.url)
            guard.store = store  # type: ignore[assignment]
            summary = await guard.once()
            store.close()
            assert (summary.held, summary.proofs_won, summary.alarms) == (True, 1, 0)
            assert (await world.head()).number == 1
