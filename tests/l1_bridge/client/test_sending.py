"""The one sender of a key: the oldest nonce first, what waits replaced, gaps filled, a cap that binds every version."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
import structlog
import trio
from trio.testing import MockClock as Clock

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Rejected, L1Superseded, L1Timeout, L1Unavailable, L1Unconfirmed
from l1_bridge.client.keys import development_key
from l1_bridge.client.options import L1Options
from l1_bridge.client.sending import Terms, floor_gas
from l1_bridge.client.values import Receipt
from tests.l1_bridge.l1_nodes import anvil
from tests.l1_bridge.simulated_l1 import SimulatedL1, Transaction
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.trio
GWEI = 10**9
KEY = development_key(0)
OURS = Terms(replaces=True)


@pytest.fixture(autouse=True)
def lines() -> Any:
    """The log, instead of lines between the tests' dots."""
    with structlog.testing.capture_logs() as captured:
        yield captured


class Chain:
    """A simulated L1 that has a block every twelve seconds unless a test makes them, and clients of it."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.l1 = SimulatedL1(trio.current_time)
        self._nursery = nursery

    def client(self, serve: Callable[[httpx.Request], httpx.Response] | None = None, **options: Any) -> L1Client:
        """A process of its own: what it knows it has read."""
        return L1Client("http://l1", L1Options(**options), transport=httpx.MockTransport(serve or self.l1.serve))

    def start(self, client: L1Client, data: bytes = b"", terms: Terms = OURS) -> "Sent":
        """Sends in the background."""
        sent = Sent(trio.CancelScope())
        self._nursery.start_soon(sent.run, client, data, terms)
        return sent

    @property
    def waiting(self) -> dict[int, Transaction]:
        """The key's transactions in the pool."""
        return self.l1.pool.get(KEY.address, {})

    @property
    def mined(self) -> list[bytes]:
        """What was mined of the key, by its data."""
        return [body.data for block in self.l1.blocks for body in block.bodies]


class Sent:
    """One call of send, and what became of it."""

    def __init__(self, scope: trio.CancelScope) -> None:
        self.scope = scope
        self.receipt: Receipt | None = None
        self.error: Exception | None = None
        self._over = trio.Event()

    async def ended(self) -> None:
        """Returns once it is mined or has failed."""
        await self._over.wait()

    async def run(self, client: L1Client, data: bytes, terms: Terms) -> None:
        """Sends to nobody."""
        with self.scope:
            try:
                self.receipt = await client.send(KEY, bytes(20), data, gas=100_000, terms=terms)
            except Exception as error:
                self.error = error
        self._over.set()


@pytest.fixture
async def chain(autojump_clock: Clock) -> AsyncIterator[Chain]:
    async with trio.open_nursery() as nursery:
        yield Chain(nursery)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def blocks_every(chain: Chain, seconds: float) -> AsyncIterator[None]:
    """Blocks by the clock meanwhile."""

    async def mine() -> None:
        while True:
            await trio.sleep(seconds)
            chain.l1.mine()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(mine)
        yield
        nursery.cancel_scope.cancel()


async def test_an_unmined_transaction_is_sent_again_with_higher_fees() -> None:
    with anvil("--no-mining") as node:
        async with L1Client(node.url, L1Options(resubmit_seconds=0.2, poll_seconds=0.05)) as client:
            sender, seen = development_key(0), set[str]()
            receipts = []

            async def send() -> None:
                receipts.append(await client.send(sender, bytes(20), value=1, gas=21_000, terms=Terms(confirmations=2)))

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


async def test_fees_rise_to_the_cap_and_the_deadline_ends_the_wait(
    autojump_clock: Clock, chain: Chain, lines: list[Any]
) -> None:
    client = chain.client(resubmit_seconds=2, max_fee_wei=5 * GWEI)
    fees = set()
    sent = chain.start(client, terms=Terms(timeout_seconds=60))
    for _ in range(61):
        await trio.sleep(1)
        fees |= {item.max_fee for item in chain.waiting.values()}
        assert len(client.waiting) == (sent.error is None)
    assert isinstance(sent.error, L1Timeout)
    assert min(fees) == 3 * GWEI
    assert 5 * GWEI * 8 // 9 < max(fees) <= 5 * GWEI
    assert len(sent.error.transaction_hashes) == len(fees)
    assert "the cap lets no more be added" in str(sent.error)
    assert len([line for line in lines if "the cap lets" in line["why"]]) == 1, "once a minute"
    assert client.waiting == ()
    await client.close()


async def test_the_cap_of_one_transaction_binds_its_replacements(autojump_clock: Clock, chain: Chain) -> None:
    client = chain.client(resubmit_seconds=2)
    sent = chain.start(client, terms=Terms(timeout_seconds=100, max_fee_wei=4 * GWEI))
    await trio.sleep(99)
    assert 4 * GWEI * 8 // 9 < chain.waiting[0].max_fee <= 4 * GWEI
    await trio.sleep(2)
    assert isinstance(sent.error, L1Timeout)
    await client.close()


async def test_after_a_restart_what_waits_is_replaced_at_its_nonce(autojump_clock: Clock, chain: Chain) -> None:
    """Nonce 0 waits at 3 gwei, the base fee becomes 100, the process is killed and another one starts."""
    before = chain.client()
    old = chain.start(before, b"old")
    await trio.sleep(1)
    old.scope.cancel()
    chain.l1.base_fee = 100 * GWEI
    chain.l1.mine()
    assert chain.waiting[0].max_fee == 3 * GWEI
    again = chain.client()
    sent = chain.start(again, b"new")
    await trio.sleep(2)
    assert list(chain.waiting) == [0]
    chain.l1.mine()
    await trio.sleep(2)
    assert sent.receipt is not None
    assert chain.mined == [b"new"]
    await before.close()
    await again.close()


async def test_several_that_wait_are_replaced_the_oldest_first_and_none_is_mined_twice(
    autojump_clock: Clock, chain: Chain
) -> None:
    client = chain.client()
    for nonce in (0, 1, 2):
        fields = {"type": 2, "chainId": 31_337, "data": b"old %d" % nonce, "value": 0, "gas": 100_000, "to": bytes(20)}
        fees = {"nonce": nonce, "maxFeePerGas": 20 * GWEI, "maxPriorityFeePerGas": 2 * GWEI, "accessList": []}
        raw, _ = KEY.sign_transaction(fields | fees)
        await client.call("eth_sendRawTransaction", ["0x" + raw.hex()])
    chain.l1.base_fee = 50 * GWEI
    for data in (b"first", b"second"):
        sent = chain.start(client, data)
        await trio.sleep(2)
        chain.l1.mine()
        await trio.sleep(2)
        assert sent.receipt is not None
    assert chain.mined == [b"first", b"second"]
    assert [item.data for item in chain.waiting.values()] == [b"old 2"]
    await client.close()


async def test_what_waits_at_an_unknown_fee_is_outbid_up_to_the_cap_and_then_waited_for(
    autojump_clock: Clock, chain: Chain
) -> None:
    rich = chain.client()
    old = chain.start(rich, b"old", Terms(max_fee_wei=90 * GWEI))
    chain.l1.base_fee = 44 * GWEI
    await trio.sleep(1)
    old.scope.cancel()
    chain.l1.base_fee = GWEI
    poor = chain.client(max_fee_wei=95 * GWEI)
    sent = chain.start(poor, b"new", Terms(replaces=True, timeout_seconds=30))
    await trio.sleep(20)
    assert chain.waiting[0].data == b"old"
    assert [waiting.why for waiting in poor.waiting] == ["what waits under nonce 0 offers as much as the cap"]
    chain.l1.mine()
    await trio.sleep(5)
    # The next nonce is free, and what was never taken is sent there: nothing of it was ever in a pool.
    chain.l1.mine()
    await trio.sleep(2)
    assert sent.receipt is not None
    assert chain.mined == [b"old", b"new"]
    await rich.close()
    await poor.close()


async def test_a_wallet_waits_for_its_earlier_transaction_and_never_takes_its_place(
    autojump_clock: Clock, chain: Chain
) -> None:
    told: list[str] = []
    client = chain.client()
    first = chain.start(client, b"first")
    await trio.sleep(1)
    first.scope.cancel()
    again = chain.client()
    second = chain.start(again, b"second", Terms(timeout_seconds=50, tell=told.append))
    await trio.sleep(51)
    assert isinstance(second.error, L1Timeout)
    assert second.error.transaction_hashes == ()
    assert "nothing was sent; an earlier transaction of this key, nonce 0, waits" in str(second.error)
    assert told == ["waiting for L1: an earlier transaction of this key, nonce 0, waits to be mined"]
    assert [item.data for item in chain.waiting.values()] == [b"first"]
    third = chain.start(again, b"third", Terms())
    async with blocks_every(chain, 12):
        await trio.sleep(40)
    assert third.receipt is not None
    assert chain.mined == [b"first", b"third"]
    await client.close()
    await again.close()


async def test_a_base_fee_above_the_cap_is_waited_out_and_no_longer(
    autojump_clock: Clock, chain: Chain, lines: list[Any]
) -> None:
    chain.l1.base_fee = 600 * GWEI
    client = chain.client()
    sent = chain.start(client)
    await trio.sleep(70)
    assert not chain.waiting
    assert client.waiting[0].why == "L1 asks for 600 gwei per gas, the cap is 500"
    assert [line["why"] for line in lines] == ["L1 asks for 600 gwei per gas, the cap is 500"] * 2
    chain.l1.base_fee = GWEI
    await trio.sleep(3)
    chain.l1.mine()
    await trio.sleep(2)
    assert sent.receipt is not None
    await client.close()


async def test_a_fee_spike_while_it_waits_is_followed_at_once(autojump_clock: Clock, chain: Chain) -> None:
    client = chain.client()
    sent = chain.start(client)
    await trio.sleep(1)
    chain.l1.base_fee = 80 * GWEI
    chain.l1.mine()
    await trio.sleep(3)
    assert chain.waiting[0].max_fee > 80 * GWEI
    chain.l1.mine()
    await trio.sleep(2)
    assert sent.receipt is not None
    await client.close()


async def test_what_a_pool_has_dropped_is_sent_again(autojump_clock: Clock, chain: Chain) -> None:
    client = chain.client()
    sent = chain.start(client)
    await trio.sleep(1)
    known = chain.waiting[0].raw
    chain.l1.forget()
    await trio.sleep(10)
    assert chain.waiting[0].raw == known, "the same bytes: two versions are not needed"
    chain.l1.mine()
    await trio.sleep(2)
    assert sent.receipt is not None
    await client.close()


@pytest.mark.parametrize("depth", [1, 2, 30])
async def test_a_gap_that_a_reorganisation_left_is_filled_with_what_stood_there(
    autojump_clock: Clock, chain: Chain, depth: int
) -> None:
    client = chain.client()
    async with blocks_every(chain, 12):
        first = chain.start(client, b"first")
        await trio.sleep(30)
        assert first.receipt is not None
    second = chain.start(client, b"second")
    await trio.sleep(1)
    assert list(chain.waiting) == [1]
    for _ in range(depth - 2):
        chain.l1.mine(takes=False)
    chain.l1.reorganise(depth + 3, keeps=lambda _: False)
    assert chain.mined == []
    async with blocks_every(chain, 12):
        await trio.sleep(60)
    assert second.receipt is not None
    assert chain.mined == [b"first", b"second"]
    await client.close()


async def test_a_gap_of_another_process_is_not_filled_with_what_would_be_mined_twice(
    autojump_clock: Clock, chain: Chain
) -> None:
    before = chain.client()
    first = chain.start(before, b"first")
    await trio.sleep(1)
    chain.l1.mine()
    await trio.sleep(2)
    assert first.receipt is not None
    again = chain.client(resubmit_seconds=10)
    second = chain.start(again, b"second")
    await trio.sleep(1)
    chain.l1.reorganise(1, keeps=lambda _: False)
    await trio.sleep(40)
    assert isinstance(second.error, L1Timeout)
    assert "nonce 0 left the chain" in str(second.error)
    # Whoever decides anew begins at the oldest nonce.
    third = chain.start(again, b"third")
    async with blocks_every(chain, 12):
        await trio.sleep(30)
    assert third.receipt is not None
    assert chain.mined == [b"third", b"second"]
    await before.close()
    await again.close()


async def test_a_mined_transaction_that_a_reorganisation_dropped_is_sent_again_before_it_is_believed(
    autojump_clock: Clock,
    chain: Chain,
) -> None:
    client = chain.client()
    sent = chain.start(client, b"first", Terms(confirmations=3))
    await trio.sleep(1)
    chain.l1.mine()
    await trio.sleep(2)
    chain.l1.reorganise(1, keeps=lambda _: False)
    assert chain.mined == []
    await trio.sleep(10)
    async with blocks_every(chain, 12):
        await trio.sleep(60)
    assert sent.receipt is not None
    assert chain.mined == [b"first"]
    await client.close()


async def test_another_transaction_in_its_place_ends_the_wait(autojump_clock: Clock, chain: Chain) -> None:
    client, other = chain.client(), chain.client()
    sent = chain.start(client, b"ours")
    await trio.sleep(1)
    chain.start(other, b"theirs")
    await trio.sleep(1)
    assert chain.waiting[0].data == b"theirs"
    chain.l1.mine()
    await trio.sleep(10)
    assert isinstance(sent.error, L1Superseded)
    assert chain.mined == [b"theirs"]
    await client.close()
    await other.close()


async def test_a_rate_limit_while_it_waits_does_not_lose_sight_of_it(autojump_clock: Clock, chain: Chain) -> None:
    limited = False

    def serve(request: httpx.Request) -> httpx.Response:
        if limited:
            return httpx.Response(200, json={"id": 1, "error": {"code": 429, "message": "Too Many Requests"}})
        return chain.l1.serve(request)

    client = chain.client(serve)
    sent = chain.start(client)
    await trio.sleep(1)
    limited = True
    await trio.sleep(60)
    chain.l1.mine()
    limited = False
    await trio.sleep(10)
    assert sent.receipt is not None
    await client.close()


@pytest.mark.parametrize("sent", [False, True])
async def test_a_node_that_falls_silent_leaves_word_of_what_was_sent(
    autojump_clock: Clock, chain: Chain, sent: bool
) -> None:
    is_silent = False

    def serve(request: httpx.Request) -> httpx.Response:
        nonlocal is_silent
        is_silent |= not sent and b"eth_getTransactionCount" in request.content
        if is_silent:
            raise httpx.ConnectError("gone")
        is_silent |= b"eth_sendRawTransaction" in request.content
        return chain.l1.serve(request)

    client = chain.client(serve, attempts=2)
    with pytest.raises(L1Unavailable, match="gone") as lost:
        await client.send(KEY, bytes(20), gas=21_000)
    await client.close()
    assert isinstance(lost.value, L1Unconfirmed) is sent
    if isinstance(lost.value, L1Unconfirmed):
        assert list(lost.value.transaction_hashes) == [chain.waiting[0].hash]


async def test_the_same_bytes_go_to_the_other_nodes_and_any_of_them_may_have_them_mined(
    autojump_clock: Clock, chain: Chain
) -> None:
    """The first node takes a transaction and passes nothing on, for ever; with another one it is mined."""

    def swallowing(request: httpx.Request) -> httpx.Response:
        body = msgspec.json.decode(request.content)
        answers = {"eth_sendRawTransaction": "0x" + "00" * 32, "eth_getTransactionReceipt": None}
        if body["method"] not in answers:
            return chain.l1.serve(request)
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": body["id"], "result": answers[body["method"]]})

    alone = chain.start(chain.client(swallowing), b"alone", Terms(replaces=True, timeout_seconds=60))
    async with blocks_every(chain, 12):
        await alone.ended()
    assert isinstance(alone.error, L1Timeout)
    assert chain.mined == []

    terms = Terms(replaces=True, timeout_seconds=60, others=(chain.client(),))
    sent = chain.start(chain.client(swallowing), b"proof", terms)
    async with blocks_every(chain, 12):
        await sent.ended()
    assert sent.receipt is not None
    assert chain.mined == [b"proof"]


@pytest.mark.parametrize("state", ["dead", "hanging", "refusing"])
async def test_another_node_that_fails_holds_nothing_up(autojump_clock: Clock, chain: Chain, state: str) -> None:
    async def failing(request: httpx.Request) -> httpx.Response:
        if state == "dead":
            raise httpx.ConnectError("refused")
        if state == "hanging":
            await trio.sleep_forever()
        body = msgspec.json.decode(request.content)
        error = {"code": -32000, "message": "already known"}
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": body["id"], "error": error})

    other = L1Client("http://other", L1Options(), transport=httpx.MockTransport(failing))
    began = trio.current_time()
    sent = chain.start(chain.client(), b"proof", Terms(replaces=True, others=(other,)))
    async with blocks_every(chain, 12):
        await sent.ended()
    assert sent.receipt is not None
    assert chain.mined == [b"proof"]
    assert trio.current_time() - began < 60


async def test_gas_below_the_floor_is_refused_before_anything_is_signed(autojump_clock: Clock, chain: Chain) -> None:
    client = chain.client()
    with pytest.raises(L1Rejected, match="below the calldata floor of 21040"):
        await client.send(KEY, bytes(20), b"\x01", gas=21_039)
    await client.close()
    assert not chain.waiting


async def test_the_calldata_floor_weighs_zero_bytes_a_quarter() -> None:
    assert floor_gas(b"") == 21_000
    assert floor_gas(bytes(3)) == 21_030
    assert floor_gas(b"\x01\x00\x02") == 21_090
