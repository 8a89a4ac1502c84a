"""One nonce on its way into a block: fees that rise, the cap that they stop at, the floor that calldata costs."""

from typing import Any

import httpx
import msgspec
import pytest
import rlp
import trio
import trio.testing

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Rejected, L1Timeout, L1Unavailable, L1Unconfirmed
from l1_bridge.client.keys import development_key
from l1_bridge.client.options import L1Options
from l1_bridge.client.sending import floor_gas
from tests.l1_bridge.l1_nodes import anvil
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.trio
GWEI = 10**9


class NeverMining:
    """A node that takes every transaction and puts none into a block; `fees` are what each was worth."""

    def __init__(self) -> None:
        self.fees: list[int] = []

    def serve(self, request: httpx.Request) -> httpx.Response:
        """One call."""
        call = msgspec.json.decode(request.content)
        result = self.answer(call["method"], call["params"])
        return httpx.Response(200, content=msgspec.json.encode({"jsonrpc": "2.0", "id": call["id"], "result": result}))

    def answer(self, method: str, params: list[Any]) -> Any:
        """What it knows."""
        if method == "eth_sendRawTransaction":
            fields = rlp.decode(bytes.fromhex(params[0][4:]))
            self.fees.append(int.from_bytes(fields[3], "big"))
            return "0x" + bytes(32).hex()
        if method == "eth_getBlockByNumber":
            hashes = {"hash": "0x" + "11" * 32, "parentHash": "0x" + "22" * 32}
            return {"number": "0x1", "timestamp": "0x1", "baseFeePerGas": hex(GWEI // 2), **hashes}
        numbers = {"eth_chainId": 31_337, "eth_getTransactionCount": 0, "eth_maxPriorityFeePerGas": GWEI}
        return hex(numbers[method]) if method in numbers else None


async def test_an_unmined_transaction_is_sent_again_with_higher_fees() -> None:
    with anvil("--no-mining") as node:
        async with L1Client(node.url, L1Options(resubmit_seconds=0.2, poll_seconds=0.05)) as client:
            sender, seen = development_key(0), set[str]()
            receipts = []

            async def send() -> None:
                receipts.append(await client.send(sender, bytes(20), value=1, gas=21_000, confirmations=2))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(send)
                with trio.fail_after(PATIENCE_SECONDS):
                    while len(seen) < 3:
                        pool = await client.call("txpool_content")
                        for waiting in pool["pending"].values():
                            seen |= {item["maxFeePerGas"] for item in waiting.values()}
                        await trio.sleep(0.02)
                    assert not receipts
                    await client.call("evm_mine")
                    await client.call("evm_mine")
            assert receipts[0].succeeded
            assert await client.nonce(sender.address) == 1


async def test_fees_rise_to_the_cap_and_the_deadline_ends_the_wait(autojump_clock: trio.testing.MockClock) -> None:
    node = NeverMining()
    options = L1Options(resubmit_seconds=2, max_fee_wei=3 * GWEI)
    client = L1Client("http://l1.invalid", options, transport=httpx.MockTransport(node.serve))
    with pytest.raises(L1Timeout) as stuck:
        await client.send(development_key(0), bytes(20), gas=21_000, timeout_seconds=60)
    await client.close()
    assert node.fees[0] == 2 * GWEI
    assert node.fees == sorted(set(node.fees))
    assert 3 * GWEI * 8 // 9 < node.fees[-1] <= 3 * GWEI
    assert len(stuck.value.transaction_hashes) == len(node.fees)


@pytest.mark.parametrize(("silent_after", "sent"), [(0, 0), (1, 1), (3, 1)])
async def test_a_node_that_falls_silent_leaves_word_of_what_was_sent(
    autojump_clock: trio.testing.MockClock, silent_after: int, sent: int
) -> None:
    node, asked = NeverMining(), 0

    def serve(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += b"eth_sendRawTransaction" in request.content or bool(node.fees)
        if asked > silent_after or silent_after == 0:
            raise httpx.ConnectError("gone")
        return node.serve(request)

    client = L1Client("http://l1.invalid", L1Options(attempts=2), transport=httpx.MockTransport(serve))
    with pytest.raises(L1Unavailable, match="gone") as lost:
        await client.send(development_key(0), bytes(20), gas=21_000)
    await client.close()
    assert isinstance(lost.value, L1Unconfirmed) is bool(sent)
    if isinstance(lost.value, L1Unconfirmed):
        assert len(lost.value.transaction_hashes) == sent


async def test_gas_below_the_floor_is_refused_before_anything_is_signed() -> None:
    node = NeverMining()
    client = L1Client("http://l1.invalid", transport=httpx.MockTransport(node.serve))
    with pytest.raises(L1Rejected, match="below the calldata floor of 21040"):
        await client.send(development_key(0), bytes(20), b"\x01", gas=21_039)
    await client.close()
    assert node.fees == []


async def test_the_calldata_floor_weighs_zero_bytes_a_quarter() -> None:
    assert floor_gas(b"") == 21_000
    assert floor_gas(bytes(3)) == 21_030
    assert floor_gas(b"\x01\x00\x02") == 21_090
