"""What is told to who listens, without sockets: in its order, and whatever the node answers or leaves unsaid."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import httpx
import msgspec
import pytest
import structlog
import trio
import trio.testing
from prometheus_client import CollectorRegistry

from sequencer.api.rpc.jsonrpc import JSON, Codec, Push, Session
from sequencer.api.rpc.limits import Limits
from sequencer.api.rpc.metrics import ApiMetrics
from sequencer.api.transport.http import WEBSOCKET_PATH
from sequencer.api.transport.port import Surroundings
from sequencer.client.client import NodeClient
from sequencer.client.feeds import Away, Opened, Told
from sequencer.gateway import streams
from sequencer.gateway.entrance import EXCHANGE, Gateway
from sequencer.gateway.exchange import Exchange
from sequencer.gateway.info import Info
from sequencer.gateway.streams import Streams
from sequencer.gateway.trader import Trader
from sequencer.schema.accounts import AccountView
from sequencer.schema.answers import AccountUpdate, Book, FillView, MarketView, OrderEvent, PostMortemView
from sequencer.schema.history import (
    CandlesPage,
    CandleView,
    FillsPage,
    FundingLeg,
    FundingPaymentsPage,
    FundingPaymentView,
    OwnFillView,
)
from tests.sequencer.answers import answer
from tests.sequencer.gateway.test_entrance import order, signed

pytestmark = pytest.mark.trio
USER = "0x" + "12" * 20
TRADER = cast(Trader, SimpleNamespace(account=17, placed={}))
BTC = answer(MarketView, name="BTC", price_decimals=1, size_decimals=5, price_ticks=600_000)
ADDRESS = "10.0.0.1"


class Recorder:
    """A connection's end that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def push(self, message: Push, codec: Codec, place: object) -> None:
        self.told.append(msgspec.json.decode(message.encoded(codec)))

    def overflow(self) -> None:
        raise AssertionError("nothing is told so fast here")


class World:
    """A gateway whose node answers as a test says."""

    def __init__(self, respond: Any) -> None:
        node = NodeClient("http://node", transport=httpx.MockTransport(respond))
        limits = Limits(address_burst=70, start_tokens=30, address_rate=1)
        self.registry = CollectorRegistry()
        self.streams = Streams(limits, lambda: 7)
        self.info = Info(node, {b"\x12" * 20: TRADER}, lambda: 7)
        around = Surroundings(
            log=structlog.wrap_logger(structlog.ReturnLogger(), processors=[]),
            clock=lambda: 0.0,
            new_incident=lambda: "this one",
        )
        exchange = Exchange([], self.info.markets, lambda: 7, 1_000)
        self.gateway = Gateway(self.info, exchange, self.streams, limits, ApiMetrics(self.registry), around)
        self.recorder = Recorder()
        self.session: Session = self.gateway.session(ADDRESS, self.recorder)

    async def hear(self, channel: str, data: Any, kind: Any = Told) -> None:
        """One frame of the node's."""

        async def follow(channel: str) -> None:
            raise AssertionError("nothing is listed meanwhile")

        await self.streams._heard(kind(channel, "one", 1, data), {USER: TRADER}, self.info, follow)

    async def say(self, message: Any, path: str = WEBSOCKET_PATH) -> Any:
        """What is answered; what waits for the answer runs behind it."""
        reply = await self.gateway.handle(JSON.encode(message), JSON, self.session, path=path)
        assert reply.body is not None
        answered = msgspec.json.decode(reply.body)
        self.recorder.told.append(answered)
        for callback in reply.after_answer:
            callback()
        return answered


def away(request: httpx.Request) -> httpx.Response:
    """A node that is not there."""
    raise httpx.ConnectError("away")


def subscription(kind: str, **named: str) -> dict[str, Any]:
    """A message that asks for one."""
    return {"method": "subscribe", "subscription": {"type": kind, **named}}


async def test_the_first_of_a_subscription_comes_behind_its_answer_and_before_the_rest() -> None:
    world = World(away)
    await world.hear("prices", [BTC], Opened)
    await world.hear("book:BTC", Book("BTC", [(600_000, 1)], []))
    await world.say(subscription("l2Book", coin="BTC"))
    await world.hear("book:BTC", Book("BTC", [(600_001, 1)], []))
    assert [told["channel"] for told in world.recorder.told] == ["subscriptionResponse", "l2Book", "l2Book"]
    prices = [told["data"]["levels"][0][0]["px"] for told in world.recorder.told[1:]]
    assert prices == ["60000", "60000.1"]
    # Of one that tells only what happens nothing comes first.
    await world.say(subscription("orderUpdates", user=USER))
    assert world.recorder.told[-1]["channel"] == "subscriptionResponse"


async def test_a_subscription_whose_first_cannot_be_had_is_none() -> None:
    world = World(away)
    refused = await world.say(subscription("userFills", user=USER))
    assert (refused["channel"], "cannot be reached" in refused["data"]) == ("error", True)
    assert (world.session.leave_by_channel, world.streams._listeners) == ({}, {})
    # The node is away: that is no incident of this process.
    assert world.registry.get_sample_value("catenary_api_incidents_total") == 0


async def test_an_error_of_ours_is_told_with_its_incident_and_leaves_no_subscription() -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise RuntimeError("ours")

    world = World(broken)
    refused = await world.say(subscription("userFills", user=USER))
    assert "this one" in refused["data"]
    assert (world.session.leave_by_channel, world.streams._listeners) == ({}, {})
    assert world.registry.get_sample_value("catenary_api_incidents_total") == 1


async def test_an_order_in_a_market_that_was_not_told_yet_ends_nothing() -> None:
    world = World(away)
    await world.hear("prices", [BTC], Opened)
    await world.say(subscription("orderUpdates", user=USER))
    events = [
        answer(OrderEvent, order_id="0x" + "0" * 19 + "1", market=market, event="filled", status="filled", side="buy")
        for market in ("DOGE", "BTC")
    ]
    await world.hear("orders:17", events)
    (update,) = world.recorder.told[-1]["data"]
    assert (update["order"]["coin"], update["status"]) == ("BTC", "filled")


async def test_a_signature_of_nobody_is_owed_by_the_address() -> None:
    world = World(away)
    assert world.gateway.pause_seconds(ADDRESS) == 0
    await world.say({"method": "ping"})
    assert world.gateway.pause_seconds(ADDRESS) == 0
    refused = await world.say(signed(order()), EXCHANGE)
    assert refused["response"].startswith("User or API Wallet")
    assert world.gateway.pause_seconds(ADDRESS) > 0


def candle(start: int, close: int) -> CandleView:
    """One of a minute."""
    return answer(CandleView, start_ms=start, close_ticks=close)


async def test_candles_are_told_as_they_change_and_followed_from_the_first_listener_on() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        asked = msgspec.json.decode(request.content)
        result: Any = [BTC] if asked["method"] == "catenary_markets" else answer(CandlesPage, candles=[candle(60, 10)])
        return httpx.Response(
            200, content=JSON.encode({"jsonrpc": "2.0", "id": asked["id"], "result": msgspec.to_builtins(result)})
        )

    world, followed = World(respond), list[str]()

    async def follow(channel: str) -> None:
        followed.append(channel)

    await world.hear("prices", [BTC], Opened)
    world.streams._follow = follow
    refused = await world.say(subscription("candle", coin="BTC", interval="2m"))
    assert "none of 1m" in refused["data"]
    await world.say(subscription("candle", coin="BTC", interval="1m"))
    assert followed == ["candles:BTC:1m"]
    await world.hear("candles:BTC:1m", [candle(0, 5), candle(60, 10)], Opened)
    await world.hear("candles:BTC:1m", [candle(0, 5), candle(60, 11)])
    await world.hear("candles:BTC:1m", [candle(60, 12), candle(120, 13)])
    told = [message["data"] for message in world.recorder.told if message["channel"] == "candle"]
    assert [(each["t"], each["c"]) for each in told] == [(60, "1"), (60, "1.1"), (60, "1.2"), (120, "1.3")]


async def test_funding_is_told_once_as_it_is_booked() -> None:
    legs = [answer(FundingLeg, market="BTC", size_lots=-100, owed_nanos=-5 * 10**14)]
    pages = {
        "": answer(FundingPaymentsPage, newer="1"),
        "1": answer(FundingPaymentsPage, newer="2", payments=[answer(FundingPaymentView, time_ms=9, positions=legs)]),
        "2": answer(FundingPaymentsPage, newer="2"),
    }
    gone: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        asked = msgspec.json.decode(request.content)
        told = {"jsonrpc": "2.0", "id": asked["id"]}
        after = asked["params"].get("after", "")
        if after in gone:
            error = {"code": -32024, "message": "gone", "data": {"name": "CURSOR_GONE"}}
            return httpx.Response(200, content=JSON.encode({**told, "error": error}))
        result: Any = [BTC] if asked["method"] == "catenary_markets" else pages[after]
        return httpx.Response(200, content=JSON.encode({**told, "result": msgspec.to_builtins(result)}))

    world = World(respond)
    await world.hear("prices", [BTC], Opened)
    view = answer(AccountUpdate, account=17)
    # Before anybody listens nothing is asked.
    await world.hear("account:17", view)
    await world.say(subscription("userFundings", user=USER))
    for _ in range(3):
        await world.hear("account:17", view)
    told = [message["data"] for message in world.recorder.told if message["channel"] == "userFundings"]
    assert told == [
        {"isSnapshot": True, "user": USER, "fundings": []},
        {
            "user": USER,
            "fundings": [
                {"time": 9, "coin": "BTC", "usdc": "0.5", "szi": "-0.001", "fundingRate": None, "nSamples": None}
            ],
        },
    ]
    # Where the node lost the place it is found again, and what lies between is not told as new.
    gone.append("2")
    await world.hear("account:17", view)
    assert world.streams._paid == {USER: "1"}
    await world.say({"method": "unsubscribe", "subscription": {"type": "userFundings", "user": USER}})
    assert world.streams._paid == {}


async def test_own_fills_are_told_once_though_trades_name_nobody() -> None:
    rows: list[OwnFillView] = []
    asked: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        given = msgspec.json.decode(request.content)
        told = {"jsonrpc": "2.0", "id": given["id"]}
        if given["method"] == "catenary_markets":
            return httpx.Response(200, content=JSON.encode({**told, "result": [msgspec.to_builtins(BTC)]}))
        after = given["params"].get("after", "")
        asked.append(after)
        fills = rows[int(after) :] if after else rows[::-1]
        page = answer(FillsPage, fills=fills, newer=str(len(rows)))
        return httpx.Response(200, content=JSON.encode({**told, "result": msgspec.to_builtins(page)}))

    def filled() -> list[OrderEvent]:
        return [answer(OrderEvent, order_id="0x" + "0" * 20, market="BTC", event="filled", status="filled", side="buy")]

    world = World(respond)
    await world.hear("prices", [BTC], Opened)
    rows.append(answer(OwnFillView, market="BTC", side="buy", chunk=1))
    # Nobody listens: nothing is asked.
    await world.hear("orders:17", filled())
    assert asked == []
    await world.say(subscription("userFills", user=USER))
    await world.say(subscription("userEvents", user=USER))
    trade = answer(FillView, market="BTC", taker_side="buy", chunk=2, maker=None, taker=None)
    rows.append(answer(OwnFillView, market="BTC", side="sell", chunk=2, role="maker", fee_micros=7))
    await world.hear("trades:BTC", trade)
    await world.hear("orders:17", filled())
    # A rescue fills without an order of its account's; and one came while the node was away.
    rows.append(answer(OwnFillView, market="BTC", side="sell", chunk=3, role="liquidation"))
    await world.hear("account:17", answer(AccountUpdate, account=17, rescue=answer(PostMortemView)))
    await world.hear("account:17", answer(AccountUpdate, account=17))
    rows.append(answer(OwnFillView, market="BTC", side="buy", chunk=4))
    await world.hear("account:17", answer(AccountView, account=17), Opened)
    told = {
        kind: [one["data"] for one in world.recorder.told if one["channel"] == kind] for kind in ("userFills", "user")
    }
    first, *others = told["userFills"]
    assert (first["isSnapshot"], [fill["tid"] >> 20 for fill in first["fills"]]) == (True, [1])
    assert [[fill["tid"] >> 20 for fill in each["fills"]] for each in others] == [[2], [3], [4]]
    assert [each["fills"] for each in told["user"]] == [each["fills"] for each in others]
    assert (others[0]["fills"][0]["crossed"], others[0]["fills"][0]["fee"]) == (False, "0.000007")
    assert asked == ["", "", "1", "2", "3"]
    for kind in ("userFills", "userEvents"):
        assert world.streams._filled == {USER: "4"}
        await world.say({"method": "unsubscribe", "subscription": {"type": kind, "user": USER}})
    assert world.streams._filled == {}


async def test_a_gateway_of_many_accounts_is_ready_once_all_channels_are_open_and_says_what_it_waits_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    accounts = range(17, 117)
    traders = {f"0x{number:040x}": cast(Trader, SimpleNamespace(account=number, placed={})) for number in accounts}
    asked: list[tuple[int, int]] = []
    send, receive = trio.open_memory_channel[Any](0)

    class Wide:
        """In place of connections."""

        follow = None

        def __aiter__(self) -> Any:
            return receive

    @asynccontextmanager
    async def wide(url: str, channels: list[str], most: int, **named: Any) -> AsyncIterator[Wide]:
        asked.append((len(channels), most))
        yield Wide()

    def respond(request: httpx.Request) -> httpx.Response:
        told = {
            "jsonrpc": "2.0",
            "id": msgspec.json.decode(request.content)["id"],
            "result": [msgspec.to_builtins(BTC)],
        }
        return httpx.Response(200, content=JSON.encode(told))

    monkeypatch.setattr(streams, "wide_feeds", wide)
    world, ready = World(respond), list[str]()
    lines = list[dict[str, Any]]()
    world.streams._log = SimpleNamespace(warning=lambda event, **fields: lines.append({"event": event, **fields}))
    async with trio.open_nursery() as nursery:

        async def start() -> None:
            await nursery.start(world.streams.run, "http://node", traders, world.info, 64)
            ready.append("ready")

        nursery.start_soon(start)
        await send.send(Opened("prices", "one", 1, [BTC]))
        await send.send(Opened("book:BTC", "one", 1, Book("BTC", [], [])))
        await send.send(Away("TOO_MANY_SUBSCRIPTIONS: too many", 15.0))
        await send.send(Opened("trades:BTC", "one", 1, []))
        for account in accounts:
            assert ready == []
            await send.send(Opened(f"account:{account}", "one", 1, answer(AccountView, account=account)))
            await send.send(Opened(f"orders:{account}", "one", 1, []))
        await trio.testing.wait_all_tasks_blocked()
        assert ready == ["ready"]
        nursery.cancel_scope.cancel()
    assert asked == [(203, 64)]
    (line,) = lines
    assert (line["event"], line["why"], line["channels_missing"]) == (
        "gateway.away",
        "TOO_MANY_SUBSCRIPTIONS: too many",
        201,
    )
