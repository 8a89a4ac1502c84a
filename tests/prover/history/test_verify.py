"""verify rebuilds everything from L1 alone, and sees every way in which the bridge and the law may differ."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.codec.batch import Withdrawal as Leaf
from l1_bridge.codec.batch import WithdrawalTree
from l1_bridge.codec.calls import encode_claim, encode_prove_fraud
from l1_bridge.contracts.artifact import load_artifact
from prover.history.history import ChainReplay
from prover.history.verify import Report, verify
from prover.state.store import MemoryStore
from tests.l1_bridge.l1_nodes import L1Node
from tests.prover.l1_faults import Tampering
from tests.prover.world import CHALLENGER, DOLLAR, PARAMETERS, TRADERS, Lie, World, false_tree, opened

pytestmark = pytest.mark.trio

ROOT = Path(__file__).parents[3]


@pytest.fixture
def world(node_world: World) -> World:
    return node_world


async def report(world: World, client: L1Client, **options: Any) -> Report:
    """From an empty store."""
    replay = ChainReplay(MemoryStore(), world.bridge)
    return await verify(client, replay, world.token, tell=lambda notice: None, **options)


@pytest.mark.stage(build=opened)
async def test_an_honest_history_is_equal_and_conserves_all_money(world: World, client: L1Client) -> None:
    now = await world.now_ms()
    await world.commit([world.venue.trade(now), [world.venue.withdraw(0, 17, now, 70 * DOLLAR)]])
    final = await world.commit()
    await world.deposit(2, 500 * DOLLAR)
    before_claim = await report(world, client)
    await client.call("evm_increaseTime", [PARAMETERS.window_seconds])
    leaf = Leaf(0, TRADERS[0], 70 * DOLLAR)
    proof = WithdrawalTree([leaf.leaf()]).proof(0)
    await world.send(CHALLENGER, encode_claim(3, final.batch.commitment, leaf, proof))

    after_claim = await report(world, client)
    for seen, unclaimed in ((before_claim, 70 * DOLLAR), (after_claim, 0)):
        assert seen.held
        assert seen.root == seen.l1_root == final.batch.chunks[-1].post_root
        assert (seen.batches, seen.chunks, seen.operations) == (3, 4, 7)
        assert (seen.conservation_error_micros, seen.vault_error_micros) == (0, 0)
        assert (seen.accounts, seen.positions, seen.unclaimed_micros) == (2, 2, unclaimed)
        assert seen.waiting_deposits_micros == 500 * DOLLAR
    assert after_claim.vault_micros == before_claim.vault_micros - 70 * DOLLAR


@pytest.mark.stage(build=opened)
async def test_a_fraud_that_stands_is_not_equal_and_named(world: World, client: L1Client) -> None:
    stolen = await world.steal()
    await world.commit()
    seen = await report(world, client)
    assert not seen.held
    assert not seen.equal
    assert (seen.batches, seen.l1_batches) == (1, 3)
    assert seen.l1_root != seen.root != stolen.batch.chunks[-1].post_root
    assert seen.first_fault == "batch 2 is a fraud from chunk 1 on"
    assert seen.conservation_error_micros == 0


@pytest.mark.stage(build=opened)
async def test_after_the_roll_back_it_is_equal_again_and_at_an_earlier_block_still_not(
    world: World, client: L1Client
) -> None:
    await world.commit([[]], [Lie(0, claim=false_tree)])
    replay = ChainReplay(MemoryStore(), world.bridge)
    standing = await verify(client, replay, world.token, tell=lambda notice: None)
    dispute = replay.dispute()
    assert dispute is not None
    await world.send(CHALLENGER, encode_prove_fraud(dispute.batch, dispute.chunk_index, dispute.witness))
    assert (await report(world, client)).held
    assert not (await report(world, client, until=standing.l1_block)).equal


@pytest.mark.stage(build=opened)
async def test_a_node_that_hides_a_batch_is_not_equal(world: World, node: L1Node, client: L1Client) -> None:
    hidden = await world.commit()

    def tamper(method: str, params: list[Any], result: Any) -> Any:
        return (
            [log for log in result if hidden.batch_hash.hex() not in "".join(log["topics"])]
            if (method == "eth_getLogs")
            else result
        )

    async with L1Client(node.url, transport=Tampering(tamper)) as lying:
        seen = await report(world, lying)
    assert not seen.held
    assert seen.first_fault == "the bridge is at batch 2, its logs at batch 1"


@pytest.mark.stage(build=opened)
async def test_money_that_is_missing_in_the_vault_or_the_token_is_seen(
    world: World, node: L1Node, client: L1Client
) -> None:
    from l1_bridge.contracts.artifact import bridge_artifact

    vault = "0x" + bridge_artifact().functions["vault_micros"].selector.hex()
    balance = "0x" + load_artifact("MockDollar").functions["balanceOf"].selector.hex()

    def one_less(selector: str) -> Tampering:
        def tamper(method: str, params: list[Any], result: Any) -> Any:
            if method == "eth_call" and params[0]["data"].startswith(selector):
                return f"0x{int(result, 16) - 1:064x}"
            return result

        return Tampering(tamper)

    async with L1Client(node.url, transport=one_less(vault)) as lying:
        seen = await report(world, lying)
    assert (seen.equal, seen.held, seen.vault_error_micros) == (True, False, -1)
    async with L1Client(node.url, transport=one_less(balance)) as lying:
        seen = await report(world, lying)
    assert (seen.equal, seen.held) == (True, False)
    assert "the token says" in seen.first_fault


@pytest.mark.stage(build=opened)
@pytest.mark.parametrize("lying", [False, True], ids=["honest", "lying"])
async def test_the_command_ends_with_the_summary_and_a_code(
    world: World, node: L1Node, tmp_path: Path, lying: bool
) -> None:
    await world.commit([[]], [Lie(0, claim=false_tree)] if lying else [])
    bridge = "0x" + world.bridge.address.hex()
    arguments = ["verify", "--l1-rpc-url", node.url, "--rollup-address", bridge, "--datadir", str(tmp_path), "--json"]
    ended = await trio.run_process(
        [sys.executable, "-m", "prover.cli.main", *arguments], cwd=ROOT, capture_stdout=True, check=False
    )
    *batches, summary = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [batch["verdict"] for batch in batches] == ["valid", "fraud" if lying else "valid"]
    assert ended.returncode == int(lying)
    assert (summary["event"], summary["equal"], summary["batches"]) == ("summary", not lying, 1 if lying else 2)
    assert summary.keys() >= {"root", "l1_root", "chunks", "operations", "conservation_error_micros", "accounts"}
    assert summary["l1_root"] == "0x" + (await world.head()).last_root.hex()
    again = await trio.run_process(
        [sys.executable, "-m", "prover.cli.main", *arguments], cwd=ROOT, capture_stderr=True, check=False
    )
    assert again.returncode == 4
    assert b"is not empty" in again.stderr
