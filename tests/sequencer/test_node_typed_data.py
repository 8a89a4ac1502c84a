"""Any wallet can trade: the node's typed data, signed by viem, ethers and eth-account, is taken by a real node."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from eth_account import Account

from sequencer.node import wall_clock_ms
from sequencer.trader import Trader
from tests.sequencer.node_process import ROOT, NodeProcess, funded, running
from tests.sequencer.node_world import DOLLAR, key

SCRIPT = Path(__file__).parent / "typed_data" / "sign.mjs"

Signs = Callable[[bytes, dict[str, Any]], str]


def by_eth_account(private_key: bytes, typed_data: dict[str, Any]) -> str:
    """A signature by eth-account."""
    signed = Account.sign_typed_data(private_key, full_message=typed_data)
    return "0x" + bytes(signed.signature).hex()


def by_npm(library: str) -> Signs:
    """A signature by one of the two wallet libraries of npm."""

    def sign(private_key: bytes, typed_data: dict[str, Any]) -> str:
        node = shutil.which("node")
        if node is None or not (ROOT / "node_modules" / library).exists():
            pytest.skip(f"{library} is not installed: npm install --no-save")
        request = json.dumps({"privateKey": "0x" + private_key.hex(), "cases": [typed_data]})
        done = subprocess.run(
            [node, str(SCRIPT)], input=request, capture_output=True, text=True, timeout=60, check=True
        )
        signature: str = json.loads(done.stdout)[0][library]["signature"]
        return signature

    return sign


SIGNERS: dict[str, Signs] = {"eth-account": by_eth_account, "viem": by_npm("viem"), "ethers": by_npm("ethers")}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NodeProcess, int, bytes]]:
    with running(tmp_path_factory.mktemp("typed-data")) as process:
        trader = Trader(key(0), process.domain, wall_clock_ms)
        trio.run(funded, process, [trader], 10_000 * DOLLAR)
        yield process, trader.account, key(0)


@pytest.mark.parametrize("library", SIGNERS)
def test_the_node_takes_an_order_that_another_library_signed(
    node: tuple[NodeProcess, int, bytes], library: str
) -> None:
    process, account, private_key = node
    wanted = {"kind": "order", "account": account, "market": 0, "side": 0, "size_lots": 1_000, "post_only": True}
    price = process.client.call("catenary_markets")[0]["price_ticks"] * 99 // 100
    answer = process.client.call("catenary_typedData", operation={**wanted, "limit_price_ticks": price})
    order = {name: value for name, value in answer["operation"].items() if name != "kind"}
    signature = SIGNERS[library](private_key, answer["typed_data"])
    taken = process.client.call("catenary_order", order=order, signature=signature)
    assert taken["status"] == "resting"
    # The same signature under another price is nobody's.
    code, name, data = process.client.refused(
        "catenary_order", order={**order, "limit_price_ticks": price - 1}, signature=signature
    )
    assert (code, name) == (-33_006, "BAD_SIGNATURE")
    assert set(data) == {"recovered", "expected_owner", "digest"}


@pytest.mark.parametrize("library", SIGNERS)
def test_the_node_takes_a_cancel_all_that_another_library_signed(
    node: tuple[NodeProcess, int, bytes], library: str
) -> None:
    process, account, private_key = node
    answer = process.client.call("catenary_typedData", operation={"kind": "cancel_all", "account": account})
    request = {name: value for name, value in answer["operation"].items() if name != "kind"}
    signature = SIGNERS[library](private_key, answer["typed_data"])
    assert process.client.call("catenary_cancelAll", request=request, signature=signature)["code"] == 0
    assert process.client.call("catenary_openOrders", account=account) == []
