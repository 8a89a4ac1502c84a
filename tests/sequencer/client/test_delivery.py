"""Orders whose answer was lost: sent again as they were signed, and done once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from prover.stf import constants
from sequencer.client.client import NodeClient
from sequencer.client.clock import wall_clock_ms
from sequencer.client.delivery import delivered, placed
from sequencer.client.errors import Misfit, NodeUnreachable, Rejected
from sequencer.devnet.signing_account import SigningAccount
from sequencer.schema.answers import OrderResult
from tests.sequencer.node_process import Node, funded, node_inside, still_prices

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node whose prices stand still."""
    directory: Path = tmp_path_factory.mktemp("delivery") / "node"
    with node_inside(directory, "--no-oracle") as node, still_prices(node.url, node.domain):
        yield node


@pytest.fixture(scope="module")
def account(node: Node) -> SigningAccount:
    """One that has money."""
    account = SigningAccount(b"\x77" * 32, node.domain, wall_clock_ms)
    trio.run(funded, node, [account], 1_000 * 10**6)
    return account


class Lossy(httpx.AsyncBaseTransport):
    """Passes every question on, and loses some of the answers or puts another in their place."""

    def __init__(self, *losses: bytes | None) -> None:
        self.sent = 0
        self._losses = iter(losses)
        self._through = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent += 1
        loss = next(self._losses, b"")
        if loss is None or not loss:
            response = await self._through.handle_async_request(request)
            if loss is None:
                await response.aread()
                raise httpx.ReadError("the answer is lost")
            return response
        return httpx.Response(200, content=loss)

    async def aclose(self) -> None:
        await self._through.aclose()


def deliver(node: Node, transport: Lossy, *placings: Any, within_seconds: float = 60.0) -> Any:
    """What became of placings."""

    async def main() -> Any:
        async with NodeClient(node.url, transport=transport) as client:
            return await delivered(client, placings, within_seconds=within_seconds)

    return trio.run(main)


def placing(account: SigningAccount, slot: int, **terms: Any) -> Any:
    """A bid that rests."""
    return (*account.order(0, constants.BUY, 100, 590_000, slot), terms)


def test_an_order_whose_answers_were_lost_is_taken_once(node: Node, account: SigningAccount) -> None:
    transport = Lossy(None, None)
    (result,) = deliver(node, transport, placing(account, 1, client_id="mine"))
    assert isinstance(result, OrderResult)
    assert (result.status, result.client_id, transport.sent) == ("resting", "mine", 3)
    open_orders = node.client.call("catenary_openOrders", account=account.account)
    assert [order["order_id"] for order in open_orders] == [result.order_id]
    told = node.client.call("catenary_order", order_id=result.order_id)["events"]
    assert [event["event"] for event in told] == ["accepted", "resting"]


def test_a_refusal_is_no_reason_to_send_again(node: Node, account: SigningAccount) -> None:
    transport = Lossy()
    fields, signature, terms = placing(account, 2)
    refused, taken = deliver(node, transport, ({**fields, "size_lots": 101}, signature, terms), placing(account, 3))
    assert isinstance(refused, Rejected)
    assert (refused.rejection, taken.status, transport.sent) == ("BAD_SIGNATURE", "resting", 1)


@pytest.mark.trio
async def test_of_one_order_a_refusal_is_raised(node: Node, account: SigningAccount) -> None:
    async with NodeClient(node.url, transport=Lossy(None)) as client:
        # What is asked beside an order may be left out.
        assert (await placed(client, account.order(0, constants.BUY, 100, 590_000, 11))).status == "resting"
        fields, signature = account.order(0, constants.BUY, 100, 590_000, 12)
        with pytest.raises(Rejected, match="BAD_SIGNATURE"):
            await placed(client, ({**fields, "size_lots": 101}, signature))


def busy(name: str) -> bytes:
    """One order's answer of a node that takes nothing now."""
    error = '{"code":-32003,"message":"Not now.","data":{"name":"' + name + '"}}'
    return b'{"jsonrpc":"2.0","id":1,"result":[{"error":' + error.encode() + b"}]}"


@pytest.mark.parametrize("name", ["BACKLOG", "NOT_POSTABLE", "QUEUE_ONLY"])
def test_where_nothing_is_taken_any_more_the_first_sending_is_asked_about(
    node: Node, account: SigningAccount, name: str
) -> None:
    order = placing(account, 4)
    (result,) = deliver(node, Lossy(None, busy(name)), order)
    assert isinstance(result, OrderResult)
    assert result.status == "resting"
    # Of one that never came the refusal stands.
    (refused,) = deliver(node, Lossy(b"{", busy(name)), placing(account, 5))
    assert isinstance(refused, Rejected)
    assert refused.rejection == name


def refusing(name: str) -> bytes:
    """A refusal of the whole call, of which nothing was read."""
    error = '{"code":-32003,"message":"Not now.","data":{"name":"' + name + '"}}'
    return b'{"jsonrpc":"2.0","id":1,"error":' + error.encode() + b"}"


def test_a_call_that_is_not_read_the_second_time_says_nothing_of_the_first(node: Node, account: SigningAccount) -> None:
    (result,) = deliver(node, Lossy(None, refusing("SHUTTING_DOWN")), placing(account, 8))
    assert isinstance(result, OrderResult)
    assert result.status == "resting"
    # Of one that never came, and of one that is refused at once, the refusal stands.
    (refused,) = deliver(node, Lossy(b"{", refusing("SHUTTING_DOWN")), placing(account, 9))
    assert isinstance(refused, Rejected)
    with pytest.raises(Rejected, match="SHUTTING_DOWN"):
        deliver(node, Lossy(refusing("SHUTTING_DOWN")), placing(account, 9))


def test_a_call_that_was_begun_and_not_ended_is_sent_again(node: Node, account: SigningAccount) -> None:
    order, transport = placing(account, 11), Lossy(refusing("TIMEOUT"), None)
    (result,) = deliver(node, transport, order)
    assert isinstance(result, OrderResult)
    assert (result.status, transport.sent) == ("resting", 3)
    with pytest.raises(NodeUnreachable, match="TIMEOUT"):
        deliver(node, Lossy(*[refusing("TIMEOUT")] * 100), order, within_seconds=0.5)


def test_where_a_node_does_not_say_what_became_of_the_first_it_is_unknown(node: Node, account: SigningAccount) -> None:
    with pytest.raises(NodeUnreachable, match="whether the order was taken is unknown"):
        deliver(node, Lossy(None, busy("NOT_POSTABLE"), refusing("RATE_LIMITED")), placing(account, 10))


def test_without_any_answer_it_is_unknown(node: Node, account: SigningAccount) -> None:
    with pytest.raises(NodeUnreachable, match="lost"):
        deliver(node, Lossy(*[None] * 100), placing(account, 6), within_seconds=0.5)


def test_an_answer_of_another_version_is_not_asked_for_again(node: Node, account: SigningAccount) -> None:
    transport = Lossy(b'{"jsonrpc":"2.0","id":1,"result":[7]}')
    with pytest.raises(Misfit):
        deliver(node, transport, placing(account, 7))
    assert transport.sent == 1
