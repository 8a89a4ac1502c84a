"""The node as its operator has it: killed at any moment, started again, and refusing to start where it must not."""

import json
import os
import select
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import trio

from l1_bridge.addresses import address_bytes
from l1_bridge.client.client import L1Client
from l1_bridge.client.keys import Signer, development_key
from l1_bridge.client.options import L1Options
from prover.contracts import deployment
from prover.signing.signatures import address_of
from prover.state import genesis
from sequencer.client.clock import wall_clock_ms
from sequencer.devnet.prices import devnet_signer_keys
from sequencer.devnet.signing_account import SigningAccount
from sequencer.node.config import CannotStart, DatadirUnusable, L1Unusable, NodeConfig
from sequencer.node.node import run
from tests.l1_bridge.l1_nodes import ANVIL, anvil
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import (
    Client,
    NodeProcess,
    funded,
    node_inside,
    refused_node,
    refused_process,
    running,
    some_l1,
    still_prices,
)
from tests.sequencer.node_world import BUY, DOLLAR, LOTS, SELL, key


class Stream:
    """A client that sends one order after the other until its node is gone, and keeps what was acknowledged."""

    def __init__(self, node: NodeProcess, trader: SigningAccount, side: int, price: int) -> None:
        self.acknowledged: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.enough = threading.Event()
        self._url = node.url
        self._trader = trader
        self._side = side
        self._price = price
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def join(self) -> None:
        """Waits until the node's end has ended it."""
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        sent = 0
        sequence = 0
        with Client(self._url) as client:
            while True:
                # One clock tick an order, so that none replaces another by accident.
                while (now := wall_clock_ms()) <= sequence:
                    pass
                sequence = now
                # Every third order rests away from the market, in a slot of its own.
                resting = sent % 3 == 0
                price = self._price + (-1 if self._side == BUY else 1) * (2_000 if resting else 0)
                slot = 10 + sent // 3 % 200 if resting else 1
                order, signature = self._trader.order(0, self._side, LOTS // 10, price, slot)
                sent += 1
                try:
                    answer = client.call("catenary_order", order=order, signature="0x" + signature.hex())
                except httpx.HTTPError:
                    return
                self.acknowledged.append((order, answer))
                if len(self.acknowledged) >= 30:
                    self.enough.set()


def filled_lots(client: Client, account: int) -> int:
    """Lots of BTC that an account holds, longs positive."""
    positions = client.call("catenary_account", account=account)["positions"]
    return sum(position["size_lots"] for position in positions)


def check_acknowledged(client: Client, account: int, sign: int, streams: list[Stream], others: list[Stream]) -> None:
    """Every acknowledged order is there: in its slot, or executed; none more than what was in flight besides."""
    open_orders = {order["slot"]: order for order in client.call("catenary_openOrders", account=account)}
    newest: dict[int, tuple[dict[str, Any], dict[str, Any]]] = {}
    for stream in streams:
        for order, answer in stream.acknowledged:
            assert answer["status"] in ("resting", "filled", "partially_filled", "expired")
            newest[order["slot"]] = (order, answer)
    for slot, (order, answer) in newest.items():
        if slot >= 10 and answer["status"] == "resting":
            assert open_orders[slot]["sequence"] >= order["sequence"], (order, answer, open_orders[slot])
    # An acknowledged fill is in the answer to its taker; the maker's side of it is in the other stream's answers.
    own = sum(answer["filled_lots"] for stream in streams for _, answer in stream.acknowledged)
    given = sum(answer["filled_lots"] for stream in others for _, answer in stream.acknowledged)
    # Each kill leaves at most one order of each side that was executed and never answered.
    slack = LOTS // 10 * (len(streams) + len(others))
    assert own + given <= sign * filled_lots(client, account) <= own + given + slack


def killed_and_its_l1_ends_with_it(node: NodeProcess) -> None:
    """kill -9 of the node alone; nobody is left to stop the L1 that it started."""
    orphan = node.l1_process
    watch = os.pidfd_open(orphan)
    node.kill()
    # The descriptor of a process becomes readable when the process has ended.
    assert select.select([watch], [], [], PATIENCE_SECONDS)[0] == [watch]
    os.close(watch)


def stopped_in_peace(node: NodeProcess) -> None:
    """SIGTERM is no failure."""
    assert node.stop() == 0


def test_what_was_acknowledged_survives_every_end_and_an_l1_ends_with_its_node(tmp_path: Path) -> None:
    ends: list[Callable[[NodeProcess], None]] = [
        killed_and_its_l1_ends_with_it,
        NodeProcess.kill_with_l1,
        stopped_in_peace,
    ]
    sellers: list[Stream] = []
    buyers: list[Stream] = []
    accounts: list[int] = []
    rollup = b""
    chunks = 0
    for number in range(len(ends) + 1):
        with running(tmp_path / "node", "--no-oracle") as node, still_prices(node.url, node.domain):
            # Prices that moved while a slow machine starts it again would trade through what rests.
            traders = [SigningAccount(key(index), node.domain, wall_clock_ms) for index in range(2)]
            if number == 0:
                trio.run(funded, node, traders, 1_000_000 * DOLLAR)
                accounts = [trader.account for trader in traders]
                rollup = node.rollup
            for trader, account in zip(traders, accounts, strict=True):
                trader.account = account
                assert node.client.call("catenary_accounts", owner="0x" + trader.address.hex()) == [account]
            assert node.rollup == rollup
            check_acknowledged(node.client, accounts[0], -1, sellers, buyers)
            check_acknowledged(node.client, accounts[1], 1, buyers, sellers)
            status = node.client.status()
            assert status["sequenced"]["chunk"] >= chunks
            if number == len(ends):
                break
            price = node.client.call("catenary_markets")[0]["price_ticks"]
            sellers.append(Stream(node, traders[0], SELL, price))
            buyers.append(Stream(node, traders[1], BUY, price))
            assert sellers[-1].enough.wait(PATIENCE_SECONDS)
            assert buyers[-1].enough.wait(PATIENCE_SECONDS)
            chunks = node.client.status()["sequenced"]["chunk"]
            ends[number](node)
            sellers[-1].join()
            buyers[-1].join()
    assert sum(answer["filled_lots"] for stream in buyers for _, answer in stream.acknowledged) > 0


# Where it must not start.


def told(result: Any, code: int, *words: str) -> None:
    """One clear line on stderr, the exit code, the same in JSON, and no traceback."""
    # A node that runs beside, in this process, may say meanwhile that it waits for L1's clock.
    lines = [line for line in result.stderr.splitlines() if '"event": "post.waits"' not in line]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in lines[0]
    assert result.returncode == code, result.stderr
    last = json.loads(result.stdout.splitlines()[-1])
    assert (last["event"], last["exit_code"]) == ("failed", code)


def refusal(config: NodeConfig, kind: type[CannotStart]) -> str:
    """Why a node in this process does not start; which exit code is whose, the tests of the command tell."""
    found: list[BaseException] = []
    try:
        trio.run(run, config)
    except* CannotStart as errors:
        found = [*errors.exceptions]
        while isinstance(found[0], BaseExceptionGroup):
            found = [*found[0].exceptions]
    (error,) = found
    assert type(error) is kind
    return str(error)


def test_where_it_does_not_start_beside_a_running_one(tmp_path: Path) -> None:
    free = ("--port", "0", "--l1-port", "0")
    with node_inside(tmp_path / "node") as node:
        told(refused_process("--datadir", str(tmp_path / "node"), *free), 4, "in use by another node")
        port = node.url.rsplit(":", 1)[1]
        told(
            refused_node("--datadir", str(tmp_path / "b"), "--port", port, "--l1-port", "0"),
            2,
            port,
            "in use by another",
        )
        l1_port = node.l1_url.rsplit(":", 1)[1]
        told(
            refused_node("--datadir", str(tmp_path / "c"), "--port", "0", "--l1-port", l1_port),
            3,
            "embedded L1",
            l1_port,
        )
        # Its L1 is somebody's already: another node may read it, not post to the same bridge.
        told(
            refused_node("--datadir", str(tmp_path / "d"), "--port", "0", "--l1-rpc-url", node.l1_url),
            2,
            "--rollup-address",
            "--deploy",
        )
        token = address_bytes(node.client.status()["token_address"])
        for bridge, *words in (
            (b"\x22" * 20, "there is no contract"),
            (node.rollup, "seat", "held by"),
            (token, "not the shipped"),
        ):
            config = NodeConfig(
                datadir=tmp_path / "e",
                port=0,
                l1_rpc_url=node.l1_url,
                rollup_address=bridge,
                operator=development_key(5),
            )
            reason = refusal(config, L1Unusable)
            assert all(word in reason for word in words), reason
        assert node.client.status()["ready"] is True
    # What failed left nothing behind, and what runs was not touched.
    assert {path.name for path in tmp_path.iterdir()} - {"l1"} == {"node"}
    assert (tmp_path / "node" / "deployment.json").exists()


def test_without_an_l1(tmp_path: Path) -> None:
    for url in ("http://127.0.0.1:1", "nonsense"):
        result = refused_node("--datadir", str(tmp_path / "node"), "--port", "0", "--l1-rpc-url", url)
        told(result, 3, "L1")
        assert not (tmp_path / "node").exists()


def test_a_datadir_of_another_chain_or_rollup_or_broken(tmp_path: Path) -> None:
    datadir = tmp_path / "node"
    with some_l1(tmp_path / "one") as first, some_l1(tmp_path / "two", "--chain-id", "1337") as second:
        options = ("--datadir", str(datadir), "--port", "0")
        with node_inside(datadir, "--l1-rpc-url", first.url, "--deploy") as node:
            assert node.client.status()["chain_id"] == 31_337
        told(refused_node(*options, "--l1-rpc-url", second.url), 2, "chain 1337", "--keystore")
        record = json.loads((datadir / "deployment.json").read_text())
        config = NodeConfig(datadir=datadir, port=0, l1_rpc_url=first.url)
        (datadir / "deployment.json").write_text(json.dumps(record | {"chain_id": 1}))
        reason = refusal(config, DatadirUnusable)
        assert "chain 1," in reason
        assert "31337" in reason
        (datadir / "deployment.json").write_text(json.dumps(record))
        other = msgspec.structs.replace(config, rollup_address=b"\x22" * 20)
        assert "belongs to the rollup" in refusal(other, DatadirUnusable)
        (datadir / "deployment.json").write_text("{")
        told(refused_node(*options, "--l1-rpc-url", first.url), 4, "damaged")
        (datadir / "deployment.json").write_text(json.dumps(record))
        with node_inside(datadir, "--l1-rpc-url", first.url) as node:
            assert node.rollup.hex() == record["rollup_address"]
    told(refused_node("--datadir", "/proc/nowhere", "--port", "0", "--l1-port", "0"), 4, "/proc/nowhere")
    (tmp_path / "file").write_text("")
    told(refused_node("--datadir", str(tmp_path / "file"), "--port", "0", "--l1-port", "0"), 4, "cannot be used")


@pytest.mark.skipif(not ANVIL.exists(), reason="anvil is not installed: npm install --no-save")
def test_a_node_joins_a_rollup_that_others_deployed(tmp_path: Path) -> None:
    async def rolled_out(url: str, signer: Signer) -> bytes:
        async with L1Client(url, L1Options(poll_seconds=0.05)) as l1:
            signers = [address_of(signing) for signing in devnet_signer_keys()]
            opened = await deployment.deploy(l1, signer, genesis.genesis_bytes(signer.address, signers, 5))
            return opened.bridge

    with anvil() as l1:
        bridge = trio.run(rolled_out, l1.url, development_key(2))
        chosen = ("--l1-rpc-url", l1.url, "--rollup-address", "0x" + bridge.hex(), "--development-key", "2")
        # Nobody has said that a bond is to be put up.
        told(refused_node("--datadir", str(tmp_path / "node"), "--port", "0", *chosen), 2, "SEAT_OPEN", "20 ether")
        assert not (tmp_path / "node").exists()
        chosen += ("--take-seat",)
        with node_inside(tmp_path / "node", *chosen) as node:
            assert node.rollup == bridge
