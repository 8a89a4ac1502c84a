"""A transaction that waits and a dearer one at its nonce: one of them is mined, and nothing else is ever signed."""

import httpx
import msgspec
import pytest
import trio
from trio.testing import MockClock as Clock

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Rejected, L1Unavailable
from l1_bridge.client.keys import development_key
from l1_bridge.client.replacing import find, replace
from l1_bridge.client.sending import Terms
from l1_bridge.client.values import to_hex
from tests.l1_bridge.client.test_sending import GWEI, KEY, Chain, blocks_every
from tests.l1_bridge.simulated_l1 import Transaction

pytestmark = pytest.mark.trio
TERMS = Terms(timeout_seconds=300)
DATA = b"\x07" * 40


async def stuck(chain: Chain, client: L1Client) -> Transaction:
    """One that a program sent before it ended, at three gwei while L1 asks for a hundred."""
    sent = chain.start(client, DATA, Terms())
    await trio.sleep(1)
    sent.scope.cancel()
    chain.l1.base_fee = 100 * GWEI
    (found,) = chain.waiting.values()
    return found


@pytest.mark.parametrize("is_dropped", [False, True])
async def test_the_same_goes_at_the_same_nonce_and_dearer(autojump_clock: Clock, is_dropped: bool) -> None:
    async with trio.open_nursery() as nursery:
        chain = Chain(nursery)
        before = await stuck(chain, chain.client())
        async with blocks_every(chain, 12):
            done = await replace(chain.client(), KEY, before.hash, TERMS, is_dropped=is_dropped)
        (block,) = [block for block in chain.l1.blocks if block.bodies]
        (mined,) = block.bodies
        assert (done.nonce, done.is_original, done.receipt.succeeded) == (before.nonce, False, True)
        assert (mined.hash, mined.nonce) == (done.receipt.transaction_hash, before.nonce)
        assert mined.max_fee > before.max_fee * 9 // 8
        assert (mined.data, mined.to) == ((b"", KEY.address) if is_dropped else (DATA, bytes(20)))
        nursery.cancel_scope.cancel()


async def test_what_was_mined_meanwhile_is_told_and_nothing_is_paid_twice(autojump_clock: Clock) -> None:
    async with trio.open_nursery() as nursery:
        chain = Chain(nursery)
        before = await stuck(chain, chain.client())
        chain.l1.base_fee = GWEI
        mined = False

        def late(request: httpx.Request) -> httpx.Response:
            """A block comes after its receipt was asked for in vain."""
            nonlocal mined
            answer = chain.l1.serve(request)
            if b"eth_getTransactionReceipt" in request.content and not mined:
                mined = True
                chain.l1.mine()
            return answer

        for client in (chain.client(late), chain.client()):
            done = await replace(client, KEY, before.hash, TERMS)
            assert (done.is_original, done.receipt.transaction_hash) == (True, before.hash)
        assert chain.mined == [DATA]
        assert not chain.waiting
        nursery.cancel_scope.cancel()


async def test_an_earlier_one_that_waits_goes_first(autojump_clock: Clock) -> None:
    async with trio.open_nursery() as nursery:
        chain = Chain(nursery)
        first = await stuck(chain, chain.client())
        raw, second = KEY.sign_transaction(
            {"type": 2, "chainId": chain.l1.chain_id, "nonce": 1, "maxFeePerGas": 3 * GWEI, "gas": 50_000}
            | {"maxPriorityFeePerGas": GWEI, "to": bytes(20), "value": 0, "data": b"", "accessList": []}
        )
        chain.l1.answer("eth_sendRawTransaction", [to_hex(raw)])
        async with blocks_every(chain, 12):
            nursery.start_soon(replace, chain.client(), KEY, second, TERMS)
            await trio.sleep(60)
            assert chain.mined == []
            await replace(chain.client(), KEY, first.hash, TERMS)
            await trio.sleep(60)
        assert chain.mined == [DATA, b""]
        nursery.cancel_scope.cancel()


async def test_what_is_not_known_or_is_another_keys_is_refused(autojump_clock: Clock) -> None:
    async with trio.open_nursery() as nursery:
        chain = Chain(nursery)
        before = await stuck(chain, chain.client())
        with pytest.raises(L1Rejected, match="knows no such transaction"):
            await replace(chain.client(), KEY, bytes(32), TERMS)
        with pytest.raises(L1Rejected, match="is a transaction of 0x"):
            await replace(chain.client(), development_key(1), before.hash, TERMS)
        assert list(chain.waiting.values()) == [before]
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "change",
    [{"to": "0x" + "11" * 20}, {"value": "0x1"}, {"input": "0x"}, {"nonce": "0x5"}, {"r": "0x0"}, {"to": None}],
    ids=lambda change: next(iter(change)),
)
async def test_what_a_node_makes_of_it_is_never_signed(autojump_clock: Clock, change: dict[str, str]) -> None:
    async with trio.open_nursery() as nursery:
        chain = Chain(nursery)
        before = await stuck(chain, chain.client())

        def lying(request: httpx.Request) -> httpx.Response:
            answer = msgspec.json.decode(chain.l1.serve(request).content)
            if b"eth_getTransactionByHash" in request.content:
                answer["result"] |= change
            return httpx.Response(200, json=answer)

        with pytest.raises(L1Unavailable):
            await find(chain.client(lying), before.hash)
        with pytest.raises(L1Unavailable):
            await replace(chain.client(lying), KEY, before.hash, TERMS)
        assert list(chain.waiting.values()) == [before]
        nursery.cancel_scope.cancel()
