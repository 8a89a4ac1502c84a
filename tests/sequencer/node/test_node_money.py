"""Money on its whole way: in from L1, traded, out again, posted, final, claimed; and nothing posted that is wrong."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Rejected
from l1_bridge.client.keys import development_key
from l1_bridge.client.options import L1Options
from l1_bridge.codec import batch, calls
from l1_bridge.contracts.artifact import load_artifact
from l1_bridge.hashing import keccak
from prover.contracts.deployment import view
from prover.state import genesis
from prover.state.leveldb import LevelDbStore
from prover.stf import constants, encoding, margin
from sequencer.client.clock import wall_clock_ms
from sequencer.devnet.signing_account import SigningAccount
from sequencer.engine.records import SealedChunk
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import (
    A_WHILE_SECONDS,
    Node,
    deployment_of,
    funded,
    node_inside,
    refused_node,
    some_l1,
    still_prices,
)
from tests.sequencer.node_world import BUY, DOLLAR, IOC, LOTS, SELL, key

RECIPIENT = b"\x77" * 20


def raw(text: str) -> bytes:
    """Bytes of 0x-hex."""
    return bytes.fromhex(text.removeprefix("0x"))


def root_of(words: list[str]) -> bytes:
    """The state root of nine commitment words, as the bridge computes it."""
    assert len(words) == 9
    return keccak(b"".join(raw(word) for word in words))


def commitment_of(words: list[str]) -> batch.Commitment:
    """The commitment of nine words."""
    return batch.Commitment.decode(b"".join(raw(word) for word in words))


async def proof_until(node: Node, method: str, is_enough: Any, **params: Any) -> dict[str, Any]:
    """The answer to a method, once there is one that is enough."""
    with trio.fail_after(PATIENCE_SECONDS):
        while True:
            answer = node.client.answer(method, **params)
            if "result" in answer and is_enough(answer["result"]):
                result: dict[str, Any] = answer["result"]
                return result
            assert "result" in answer or answer["error"]["data"]["name"] == "NOT_READY", answer
            await trio.sleep(0.1)


async def l1_root(l1: L1Client, node: Node, number: int) -> bytes:
    """The last root of a batch, by the bridge's word."""
    answer = await l1.eth_call(node.rollup, calls.encode_call("record", number))
    return calls.decode_record(calls.BatchRecord, answer).last_root


async def story(node: Node) -> None:
    client = node.client
    traders = [SigningAccount(key(index), node.domain, wall_clock_ms) for index in range(2)]
    await funded(node, traders, 5_000 * DOLLAR)
    price = client.call("catenary_markets")[0]["price_ticks"]
    for trader, side, force in ((traders[0], SELL, constants.GOOD_TILL_TIME), (traders[1], BUY, IOC)):
        order, signature = trader.order(0, side, LOTS, price, 1, force)
        answer = client.call("catenary_order", order=order, signature="0x" + signature.hex())
    assert answer["status"] == "filled"
    account = traders[1].account
    before = int(client.call("catenary_account", account=account)["collateral_micros"])
    amount = 1_234 * DOLLAR + 567
    fields, signature = traders[1].withdrawal(amount, RECIPIENT, slot=9)
    fields = {name: "0x" + value.hex() if isinstance(value, bytes) else value for name, value in fields.items()}
    booked = client.call("catenary_withdraw", request=fields, signature="0x" + signature.hex())
    index = booked["withdrawal_index"]
    assert (booked["finality"], index) == ("sequenced", 0)
    left = int(client.call("catenary_account", account=account)["collateral_micros"])
    assert left == before - amount - genesis.DEVNET_POSTING_FEE_MICROS
    first = client.call("catenary_withdrawals", recipient="0x" + RECIPIENT.hex())
    assert [(entry["index"], entry["amount_micros"]) for entry in first] == [(0, str(amount))]

    async with L1Client(node.l1_url, L1Options(poll_seconds=0.1)) as l1:
        token = load_artifact("MockDollar")
        dollars = deployment_of(node).token

        # Posted: proven against the bridge's root, not by the node's word.
        proof = await proof_until(node, "catenary_withdrawalProof", lambda _: True, index=index)
        commitment = commitment_of(proof["commitment"])
        assert root_of(proof["commitment"]) == commitment.root()
        assert commitment.root() == await l1_root(l1, node, proof["batch"])
        leaf = encoding.withdrawal_hash(index, raw(proof["recipient"]), int(proof["amount_micros"]))
        siblings = [raw(sibling) for sibling in proof["proof"]]
        assert batch.merkle_root(leaf, index, siblings) == commitment.withdrawals_root
        assert batch.merkle_root(keccak(leaf), index, siblings) != commitment.withdrawals_root

        claim = calls.encode_claim(proof["batch"], commitment, batch.Withdrawal(index, RECIPIENT, amount), siblings)
        payer = development_key(7)
        with pytest.raises(L1Rejected, match="NOT_FINAL"):
            await l1.send(payer, node.rollup, claim, gas=500_000)

        def shows_withdrawal(found: dict[str, Any]) -> bool:
            leaf = encoding.account_from_payload(raw(found["leaf"])) if found["leaf"] != "0x" else None
            return leaf is not None and margin.collateral(leaf) == before - amount - genesis.DEVNET_POSTING_FEE_MICROS

        member = await proof_until(node, "catenary_proof", shows_withdrawal, account=account)
        posted = commitment_of(member["commitment"])
        assert posted.root() == await l1_root(l1, node, member["batch"])
        seen = encoding.account_from_payload(raw(member["leaf"]))
        place = account << constants.SLOT_BITS
        path = [raw(sibling) for sibling in member["path"]]
        assert seen.owner == traders[1].address
        assert encoding.unpack(seen.positions[0]).size == LOTS
        assert batch.merkle_root(encoding.account_hash(seen), place, path) == posted.tree_root
        absent = await proof_until(node, "catenary_proof", lambda _: True, account=9_999)
        assert absent["leaf"] == "0x"
        nothing = batch.merkle_root(bytes(32), 9_999 << constants.SLOT_BITS, [raw(item) for item in absent["path"]])
        assert nothing != posted.tree_root or absent["batch"] == member["batch"]

        # Final: the window is over, the bridge pays, once.
        await trio.to_thread.run_sync(node.pass_time, A_WHILE_SECONDS)
        with trio.fail_after(PATIENCE_SECONDS):
            while client.call("catenary_withdrawals", recipient="0x" + RECIPIENT.hex())[0]["finality"] != "final":
                await trio.sleep(0.1)
        assert await view(l1, token, dollars, "balanceOf", RECIPIENT) == 0
        await l1.send(payer, node.rollup, claim, gas=500_000)
        assert await view(l1, token, dollars, "balanceOf", RECIPIENT) == amount
        with pytest.raises(L1Rejected):
            await l1.send(payer, node.rollup, claim, gas=500_000)


def test_money_comes_in_is_traded_and_comes_home(tmp_path: Path) -> None:
    # No funding between one reading of an account and the next.
    with (
        node_inside(tmp_path / "node", "--window", str(A_WHILE_SECONDS), "--no-oracle") as node,
        still_prices(node.url, node.domain),
    ):
        trio.run(story, node)


async def head_root(url: str, bridge: bytes) -> bytes:
    """The root that the newest batch on L1 ends in, once nothing of the operator's waits there."""
    operator = development_key(0).address
    async with L1Client(url, L1Options(poll_seconds=0.1)) as client:
        while await client.nonce(operator, "pending") != await client.nonce(operator):
            await trio.sleep(0.05)
        head = await client.eth_call(bridge, calls.encode_call("head"))
    return calls.decode_record(calls.BatchRecord, head).last_root


def test_a_node_stops_before_it_commits_what_the_bytecode_does_not_confirm(tmp_path: Path) -> None:
    async def sealed_two(node: Node) -> None:
        with trio.fail_after(PATIENCE_SECONDS):
            while True:
                status = node.client.status()
                if status["sequenced"]["chunk"] > status["posted"]["chunks"] + 1:
                    return
                await trio.sleep(0.05)

    datadir = tmp_path / "node"
    with some_l1(tmp_path / "l1") as l1:
        options = ("--l1-rpc-url", l1.url)
        place = None
        while place is None:
            with node_inside(datadir, "--post-interval", "600", "--deploy", *options) as node:
                trio.run(sealed_two, node)
            # A batch may have been on its way when it ended: what is wrong has to stand behind what L1 holds.
            root = trio.run(head_root, l1.url, node.rollup)
            store = LevelDbStore(datadir / "state")
            posted = int.from_bytes(store.get(b"mroot" + root) or b"", "big")
            if store.get(b"mchunk" + (posted + 1).to_bytes(8, "big")) is None:
                store.close()
            else:
                place = b"mchunk" + (posted + 1).to_bytes(8, "big")
        record = store.get(place)
        assert record is not None
        lie = msgspec.structs.replace(msgspec.msgpack.decode(record, type=SealedChunk), post_root=b"\x13" * 32)
        store.write({place: msgspec.msgpack.encode(lie)}, sync=True)
        store.close()
        ended = refused_node("--datadir", str(datadir), "--port", "0", *options)
    told = [line for line in ended.stderr.splitlines() if "STOPPED" in line]
    assert len(told) == 1, ended.stderr
    assert f"chunk {posted + 1}" in told[0]
    assert "Traceback" not in ended.stderr
    last = json.loads(ended.stdout.splitlines()[-1])
    assert (ended.returncode, last["event"], last["exit_code"]) == (1, "failed", 1)
