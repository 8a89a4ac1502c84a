"""The L1 client against both real nodes: money, contracts, logs, and what goes wrong on the way."""

import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import trio
from eth_abi.abi import encode

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Rejected, L1Unavailable, L1WrongChain, revert_reason
from l1_bridge.client.keys import Signer, development_key
from l1_bridge.client.options import L1Options
from l1_bridge.client.values import as_block, to_hex
from l1_bridge.hashing import keccak
from tests.l1_bridge.l1_nodes import L1Node, anvil, embedded_l1, probe_initcode
from tests.patience import PATIENCE_SECONDS

GAS = 1_000_000
COUNTED = keccak(b"Counted(address,uint256,uint256)")

pytestmark = pytest.mark.trio


def selector(signature: str) -> bytes:
    return keccak(signature.encode())[:4]


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


@pytest.fixture(scope="module", params=["embedded", "anvil"])
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[L1Node]:
    opened = anvil() if request.param == "anvil" else embedded_l1(tmp_path_factory.mktemp("l1"), "--max-ahead", "600")
    with opened as running:
        yield running


@pytest.fixture
async def client(node: L1Node) -> AsyncIterator[L1Client]:
    async with L1Client(node.url, L1Options(chain_id=31337)) as opened:
        yield opened


async def test_transfer_moves_wei_and_counts_the_nonce(client: L1Client) -> None:
    sender, recipient = development_key(1), bytes(19) + b"\x77"
    before, nonce = await client.balance(recipient), await client.nonce(sender.address)
    receipt = await client.send(sender, recipient, value=12345, gas=21_000)
    assert receipt.succeeded
    assert receipt.gas_used == 21_000
    assert receipt.logs == ()
    assert await client.balance(recipient) == before + 12345
    assert await client.nonce(sender.address) == nonce + 1
    assert await client.receipt(receipt.transaction_hash) == receipt
    block = await client.block(receipt.block_number)
    assert block is not None
    assert block.hash == receipt.block_hash
    assert as_block(await client.call("eth_getBlockByHash", [to_hex(block.hash), False])) == block


async def test_development_keys_hold_ten_thousand_ether_at_genesis(client: L1Client) -> None:
    for index in range(10):
        assert await client.balance(development_key(index).address, 0) == 10_000 * 10**18
    assert await client.balance(bytes(19) + b"\x66", 0) == 0


async def test_contract_is_deployed_called_and_logs(client: L1Client) -> None:
    owner = development_key(2)
    probe, receipt = await client.deploy(owner, probe_initcode(), gas=GAS)
    assert receipt.contract_address == probe
    assert len(await client.code(probe)) > 100
    assert await client.code(probe, receipt.block_number - 1) == b""
    receipts = [await client.send(owner, probe, selector("increase()"), gas=GAS) for _ in range(3)]
    assert await client.eth_call(probe, selector("count()")) == word(3)
    assert await client.eth_call(probe, selector("count()"), receipts[0].block_number) == word(1)
    assert await client.word(probe, selector("count()")) == 3
    # Nothing is no zero.
    with pytest.raises(L1Unavailable, match="with 0 bytes, not with a word"):
        await client.word(probe, selector("count()"), receipt.block_number - 1)
    assert await client.storage(probe, 0) == 3
    text = bytes(range(200))
    copied = await client.eth_call(probe, selector("copied(bytes)") + encode(["bytes"], [text]))
    assert text in copied
    first, last = receipts[0].block_number, receipts[-1].block_number
    logs = await client.logs(probe, [], first, last)
    assert [log.data for log in logs] == [word(1), word(2), word(3)]
    assert logs == [log for receipt in receipts for log in receipt.logs]
    assert logs[0].topics == (COUNTED, bytes(12) + owner.address, word(1))


async def test_logs_are_filtered_and_paged(client: L1Client, node: L1Node) -> None:
    owner, other = development_key(3), development_key(4)
    probe, _ = await client.deploy(owner, probe_initcode(), gas=GAS)
    receipts = [await client.send(who, probe, selector("increase()"), gas=GAS) for who in (owner, other, owner, other)]
    first, last = receipts[0].block_number, receipts[-1].block_number
    sender = bytes(12) + other.address

    async def counts(*topics: bytes | list[bytes] | None, address: bytes | list[bytes] | None = probe) -> list[int]:
        return [int.from_bytes(log.data, "big") for log in await client.logs(address, topics, first, last)]

    assert await counts() == [1, 2, 3, 4]
    assert await counts(COUNTED, sender) == [2, 4]
    assert await counts(None, None, word(1)) == [1, 3]
    assert await counts(None, None, [word(1), word(0)]) == [1, 2, 3, 4]
    assert await counts(COUNTED, sender, word(1)) == []
    assert await counts(sender) == []
    assert await counts(address=[bytes(20), probe]) == [1, 2, 3, 4]
    assert await counts(address=bytes(20)) == []
    async with L1Client(node.url, L1Options(page_blocks=1)) as one_by_one:
        paged = await one_by_one.logs(probe, [], 0, last)
        assert paged == await client.logs(probe, [], 0, last)
        assert len(paged) == 4


async def test_revert_reason_reaches_the_caller(client: L1Client) -> None:
    owner = development_key(5)
    probe, _ = await client.deploy(owner, probe_initcode(), gas=GAS)
    failing = selector("fail(string)") + encode(["string"], ["the seat is taken"])
    with pytest.raises(L1Rejected, match="the seat is taken") as called:
        await client.eth_call(probe, failing)
    assert called.value.code == 3
    assert revert_reason(called.value.data) == "the seat is taken"
    nonce = await client.nonce(owner.address)
    with pytest.raises(L1Rejected, match="the seat is taken") as sent:
        await client.send(owner, probe, failing, gas=GAS)
    assert sent.value.code == 3
    assert await client.nonce(owner.address) == nonce + 1
    assert await client.eth_call(probe, selector("count()")) == word(0)


async def test_refused_transactions_leave_no_trace(client: L1Client) -> None:
    pauper = Signer(keccak(b"pauper"))
    with pytest.raises(L1Rejected, match=r"(?i)insufficient funds"):
        await client.send(pauper, bytes(20), value=1, gas=21_000)
    with pytest.raises(L1Rejected, match="below the calldata floor of 61000"):
        await client.send(development_key(6), bytes(20), b"\x01" * 1000, gas=60_999)
    assert await client.nonce(pauper.address) == 0


async def test_sends_of_one_signer_queue_up(client: L1Client) -> None:
    sender = development_key(7)
    start = await client.nonce(sender.address)
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(lambda: client.send(sender, bytes(20), gas=21_000))
    assert await client.nonce(sender.address) == start + 5


async def test_a_batch_keeps_its_order_and_raises_its_first_error(client: L1Client) -> None:
    calls: list[tuple[str, list[object]]] = [("eth_chainId", [])]
    calls += [("eth_getBlockByNumber", [hex(0), False])] * 150
    results = await client.batch(calls)
    assert results[0] == "0x7a69"
    assert len({json.dumps(result, sort_keys=True) for result in results[1:]}) == 1
    with pytest.raises(L1Rejected):
        await client.batch([("eth_chainId", []), ("eth_noSuchMethod", [])])


async def test_another_chain_is_refused(node: L1Node) -> None:
    with pytest.raises(L1WrongChain, match="serves chain 31337, not chain 1"):
        async with L1Client(node.url, L1Options(chain_id=1)):
            pass


async def test_a_chain_that_is_asked_for_again_is_not_the_one_that_is_signed_for(
    node: L1Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def elsewhere(client: L1Client, method: str) -> str:
        return "0x1"

    async with L1Client(node.url) as client:
        await client.chain_id()
        monkeypatch.setattr(L1Client, "call", elsewhere)
        assert [await client.chain_id(), await client.chain_id(again=True)] == [31_337, 1]
        assert await client.chain_id() == 31_337
    monkeypatch.undo()
    async with L1Client(node.url, L1Options(chain_id=31_337)) as client:
        monkeypatch.setattr(L1Client, "call", elsewhere)
        with pytest.raises(L1WrongChain):
            await client.chain_id(again=True)


async def test_a_lost_answer_does_not_send_twice(node: L1Node) -> None:
    sender = development_key(8)
    lost: list[bytes] = []
    async with (
        httpx.AsyncClient(trust_env=False, verify=False, timeout=PATIENCE_SECONDS) as real,
        L1Client(node.url) as client,
    ):

        async def deaf(request: httpx.Request) -> httpx.Response:
            answer = await real.post(node.url, content=request.content, headers={"Content-Type": "application/json"})
            if b"eth_sendRawTransaction" in request.content and not lost:
                lost.append(request.content)
                raise httpx.ReadError("the connection broke")
            return httpx.Response(200, content=answer.content)

        start = await client.nonce(sender.address)
        async with L1Client(node.url, transport=httpx.MockTransport(deaf)) as unlucky:
            receipt = await unlucky.send(sender, bytes(20), value=1, gas=21_000)
        assert lost
        assert receipt.succeeded
        assert await client.nonce(sender.address) == start + 1


async def test_gas_is_the_same_on_both_nodes(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The fork's rules: calldata floor, warm coinbase, initcode charge, refunds, MCOPY."""
    used: list[list[int]] = []
    for opened in (embedded_l1(tmp_path_factory.mktemp("l1"), "--max-ahead", "600"), anvil()):
        with opened as running:
            async with L1Client(running.url) as client:
                owner = development_key(0)
                probe, receipt = await client.deploy(owner, probe_initcode(), gas=GAS)
                sent = [receipt]
                for data in (
                    selector("increase()"),
                    selector("increase()") + b"\x01" * 5000,
                    selector("fill(uint256)") + word(7),
                    selector("fill(uint256)") + word(0),
                    selector("fill(uint256)") + word(0) + bytes(9000),
                ):
                    sent.append(await client.send(owner, probe, data, gas=3_000_000))
                used.append([receipt.gas_used for receipt in sent])
    assert used[0] == used[1]
