"""What a node's answers mean, and that no answer of a broken or hostile one is mistaken for a good one."""

import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import trio
from trio.testing import MockClock

from sequencer.client.client import NodeClient
from sequencer.client.errors import NodeUnreachable, Rejected
from sequencer.schema.accounts import BuyingPower, Outlook, PositionView, Preview
from sequencer.schema.answers import OrderResult, RequestResult
from sequencer.schema.history import (
    CandlesPage,
    EquityPage,
    FillsPage,
    FundingPaymentsPage,
    FundingRatesPage,
    OrdersPage,
    TradesPage,
    TransfersPage,
)
from sequencer.schema.params import UnsignedOperation
from sequencer.schema.writing import to_wire
from tests.sequencer.answers import answer

ROOT = Path(__file__).parents[3]
Respond = Callable[[httpx.Request], httpx.Response]


def ask(respond: Respond, question: Callable[[NodeClient], Awaitable[Any]]) -> Any:
    """The answer to one question put to a node that responds so."""

    async def main() -> Any:
        async with NodeClient("http://node", transport=httpx.MockTransport(respond)) as client:
            return await question(client)

    return trio.run(main)


def answering(**answer: Any) -> Respond:
    """A node that answers every call the same."""

    def respond(request: httpx.Request) -> httpx.Response:
        identity = msgspec.json.decode(request.content)["id"]
        return httpx.Response(200, content=msgspec.json.encode({"jsonrpc": "2.0", "id": identity, **answer}))

    return respond


def test_params_go_by_name_and_text() -> None:
    seen: list[dict[str, Any]] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(msgspec.json.decode(request.content))
        return answering(result=[18, 17])(request)

    assert ask(respond, lambda node: node.accounts(b"\xab" * 20)) == [17, 18]
    assert seen == [{"jsonrpc": "2.0", "id": 1, "method": "catenary_accounts", "params": {"owner": "0x" + "ab" * 20}}]
    assert to_wire([2**53, 2**53 + 1, -(2**53) - 1, True, b"\x01"]) == [
        2**53,
        str(2**53 + 1),
        str(-(2**53) - 1),
        True,
        "0x01",
    ]


@pytest.mark.parametrize("answer", [{"result": 1, "error": "no"}, {"error": "no"}, {"error": 7}, {}])
def test_an_error_of_another_shape_is_no_answer(answer: dict[str, Any]) -> None:
    with pytest.raises(NodeUnreachable, match="not a Catenary node"):
        ask(answering(**answer), lambda node: node.call("catenary_status"))
    assert ask(answering(result=1, error=None), lambda node: node.call("catenary_status")) == 1


def test_a_rejection_carries_name_code_and_data() -> None:
    error = {"code": -33006, "message": "No.", "data": {"name": "BAD_SIGNATURE", "recovered": "0x01", "digest": "0x02"}}
    with pytest.raises(Rejected, match="BAD_SIGNATURE: No") as caught:
        ask(answering(error=error), lambda node: node.status())
    assert (caught.value.code, caught.value.rejection) == (-33006, "BAD_SIGNATURE")
    assert caught.value.data == {"recovered": "0x01", "digest": "0x02", "code": -33006, "rejection": "BAD_SIGNATURE"}


def limited(retry_after_ms: object, times: int) -> Respond:
    """A node that has no room for so many calls, and then answers."""
    refusals = iter(range(times))
    data = {"name": "RATE_LIMITED", "retry_after_ms": retry_after_ms}
    refused = answering(error={"code": -32000, "message": "Too many.", "data": data})

    def respond(request: httpx.Request) -> httpx.Response:
        return answering(result=[17])(request) if next(refusals, None) is None else refused(request)

    return respond


def waited(respond: Respond) -> float:
    """Seconds that a question waits until it is answered; the timeout is ten."""

    async def main() -> float:
        async with NodeClient("http://node", timeout_seconds=10, transport=httpx.MockTransport(respond)) as client:
            began = trio.current_time()
            assert await client.accounts(bytes(20)) == [17]
            return trio.current_time() - began

    return trio.run(main, clock=MockClock(autojump_threshold=0))


def test_what_a_node_has_not_begun_is_asked_again_when_it_says() -> None:
    assert waited(limited(142, 3)) == pytest.approx(3 * 0.142)
    assert waited(limited(0, 3)) == pytest.approx(3 * 0.05)
    for refused in (limited(10_001, 1), limited(2_600, 4), limited(0, 300), limited("142", 1), limited(-1.5, 1)):
        with pytest.raises(Rejected, match="RATE_LIMITED"):
            waited(refused)


def test_a_batch_is_answered_order_by_order() -> None:
    placed = answer(OrderResult, status="resting", order_id="0x" + "01" * 10)
    result = [
        {"result": msgspec.to_builtins(placed)},
        {"error": {"code": -33030, "message": "No.", "data": {"name": "MARGIN"}}},
    ]
    orders: list[tuple[dict[str, Any], bytes]] = [({}, b""), ({}, b"")]
    done, refused = ask(answering(result=result), lambda node: node.orders(orders))
    assert done == placed
    assert isinstance(refused, Rejected)
    assert refused.rejection == "MARGIN"
    with pytest.raises(NodeUnreachable, match="another number of orders"):
        ask(answering(result=result[:1]), lambda node: node.orders(orders))


def test_an_order_is_asked_for_and_a_switch_is_set() -> None:
    placed = answer(OrderResult, status="cancelled", order_id="0x" + "01" * 10)
    found = ask(answering(result=msgspec.to_builtins(placed)), lambda node: node.fate(account=17, client_id="x"))
    assert found == placed
    done = answer(RequestResult)
    set_to = ask(answering(result=msgspec.to_builtins(done)), lambda node: node.schedule_cancel({}, b"", 5))
    assert set_to == done


def test_what_a_preview_does_not_tell_is_not_filled_in() -> None:
    position = answer(PositionView, market="BTC", size_lots=5, cost_micros=6)
    power = [BuyingPower("BTC", 7, 8)]
    owner = "0x" + "01" * 20
    state = answer(Outlook, account=17, owner=owner, positions=[position], margin_call_percent=50, buying_power=power)
    asked = UnsignedOperation(kind="withdraw", account=17)
    seen = answer(Preview, status="applied", before=state, after=state, operation=asked, finality="preview")

    def preview(result: dict[str, Any]) -> Any:
        return ask(answering(result=result), lambda node: node.preview({}))

    assert preview(msgspec.to_builtins(seen)) == seen
    for place, name in (
        ((), "finality"),
        (("after",), "finality"),
        (("after",), "margin_call_percent"),
        (("before",), "buying_power"),
        (("before", "positions", 0), "deleveraging_rank"),
    ):
        told = found = msgspec.to_builtins(seen)
        for step in place:
            found = found[step]
        del found[name]
        with pytest.raises(NodeUnreachable, match=name):
            preview(told)


@pytest.mark.parametrize(
    "respond",
    [
        lambda request: httpx.Response(200, content=b"<html>"),
        lambda request: httpx.Response(502, content=b""),
        lambda request: httpx.Response(200, content=b"[]"),
        lambda request: httpx.Response(200, content=b"{}"),
        lambda request: httpx.Response(200, content=b'{"error": "no"}'),
        lambda request: httpx.Response(200, content=b"\xff" * 10),
        lambda request: httpx.Response(200, content=b" " * (17 << 20)),
        answering(result=None),
        answering(result={"chain_id": 1}),
        answering(result=[]),
    ],
)
def test_nonsense_is_no_answer(respond: Respond) -> None:
    with pytest.raises(NodeUnreachable):
        ask(respond, lambda node: node.status())


DEEP_ANSWER = """
import httpx, trio
import sequencer.wallet.commands.wallet
from sequencer.client.client import NodeClient
from sequencer.client.errors import NodeUnreachable

async def main():
    respond = httpx.MockTransport(lambda request: httpx.Response(200, content=b"[" * 1_000_000))
    async with NodeClient("http://node", transport=respond) as client:
        try:
            await client.status()
        except NodeUnreachable:
            print("refused")

trio.run(main)
"""


def test_an_answer_nested_without_end_is_no_answer() -> None:
    # In a process of its own with nothing but the wallet loaded: libraries of the prover raise the recursion limit so
    # far that decoding this would overflow the C stack.
    done = subprocess.run([sys.executable, "-c", DEEP_ANSWER], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr


def test_nobody_there() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    with pytest.raises(NodeUnreachable, match="connection refused"):
        ask(respond, lambda node: node.status())

    async def bad_url() -> None:
        async with NodeClient("ftp://node") as client:
            await client.status()

    with pytest.raises(NodeUnreachable):
        trio.run(bad_url)


def test_a_silent_node_is_given_up() -> None:
    async def respond(request: httpx.Request) -> httpx.Response:
        await trio.sleep_forever()
        raise AssertionError

    async def main() -> None:
        async with NodeClient("http://node", timeout_seconds=30, transport=httpx.MockTransport(respond)) as client:
            with pytest.raises(NodeUnreachable, match="no answer in 30 s"):
                await client.status()
        assert trio.current_time() - start == pytest.approx(30)

    clock = MockClock(autojump_threshold=0)
    start = clock.current_time()
    trio.run(main, clock=clock)


def test_pages_of_the_past_are_asked_for_by_their_spans() -> None:
    seen: list[dict[str, Any]] = []
    kinds = {
        "catenary_fills": FillsPage,
        "catenary_trades": TradesPage,
        "catenary_candles": CandlesPage,
        "catenary_fundingPayments": FundingPaymentsPage,
        "catenary_fundingRates": FundingRatesPage,
        "catenary_transfers": TransfersPage,
        "catenary_equity": EquityPage,
        "catenary_orderHistory": OrdersPage,
    }

    def respond(request: httpx.Request) -> httpx.Response:
        asked = msgspec.json.decode(request.content)
        seen.append(asked["params"])
        kind = kinds.get(asked["method"])
        return answering(result=[] if kind is None else to_wire(msgspec.to_builtins(answer(kind))))(request)

    async def main(node: NodeClient) -> list[Any]:
        span = {"after": "1-1", "limit": 3}
        return [
            await node.fills(17, **span),
            await node.trades("BTC", **span),
            await node.candles("BTC", "1m", source="oracle", from_ms=5),
            await node.funding_payments(17),
            await node.funding_rates(0),
            await node.transfers(17),
            await node.equity(17),
            await node.order_history(17, before="2-2"),
            await node.statistics("BTC"),
        ]

    told = ask(respond, main)
    assert [type(one) for one in told] == [*kinds.values(), list]
    assert seen[0] == {"account": 17, "after": "1-1", "limit": 3}
    assert seen[2] == {"market": "BTC", "interval": "1m", "source": "oracle", "from_ms": 5}
    assert seen[7] == {"account": 17, "before": "2-2", "limit": 20}
