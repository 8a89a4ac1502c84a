"""What is not posted is asked and heard as such, and is empty where there is no stream."""

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from sequencer.api.rpc.errors import CallError
from sequencer.api.rpc.limits import Limits
from sequencer.api.rpc.metrics import ApiMetrics
from sequencer.api.rpc.subscriptions import Feeds
from sequencer.schema.soft import SoftOf
from sequencer.schema.subscriptions import Subscribed
from sequencer.schema.writing import to_wire
from sequencer.soft.methods import CHANNELS, Soft
from sequencer.views.markets import market_views
from tests.sequencer.soft.test_tail import AT
from tests.sequencer.soft.test_told import GLOBALS, L1, PRICES, fill

pytestmark = pytest.mark.trio


def shown() -> tuple[Soft, L1]:
    """The methods over a stream that has told two fills."""
    l1 = L1()
    soft = Soft(l1.engine, l1.lists, AT, "http://venue")
    soft.tail.told = l1.told
    l1.tell(fill(1), fill(2))
    return soft, l1


async def test_it_is_asked_and_marked() -> None:
    soft, l1 = shown()
    l1.told.answered(PRICES, Subscribed(PRICES, "one", 0, to_wire(market_views(GLOBALS)), []))
    every = await soft.soft(SoftOf(), None)
    assert (every.posted, every.standing.standing, every.standing.source) == (False, "away", "http://venue")
    assert [one.chunk for one in every.fills] == [1, 2]
    assert every.markets == market_views(GLOBALS)
    one = await soft.soft(SoftOf("BTC", 1), None)
    assert ([told.chunk for told in one.fills], [market.name for market in one.markets]) == ([2], ["BTC"])
    assert (await soft.soft(SoftOf("ETH"), None)).fills == []
    with pytest.raises(CallError):
        await soft.soft(SoftOf("DOGE"), None)
    assert msgspec.json.decode(msgspec.json.encode(to_wire(one)))["posted"] is False


async def test_it_is_heard_until_l1_tells_it() -> None:
    soft, l1 = shown()
    feeds = Feeds("run", Limits(), ApiMetrics(CollectorRegistry()))
    soft.open_feeds(feeds)
    assert [channel.name for channel in CHANNELS] == [channel.name for channel in feeds.channels]
    trades = feeds._find("soft_trades:BTC")
    state = trades.state_since(None, None)
    assert (state.snapshot["posted"], [one["chunk"] for one in state.snapshot["fills"]]) == (False, [1, 2])
    l1.tell(fill(3))
    soft._publish("trades:BTC")
    l1.told.posted = lambda outcome: l1.told.forget()
    l1.post(1, fill(1))
    soft._publish("")
    heard = [one["data"]["fills"] for one in trades.state_since(0, trades.epoch).updates]
    assert [[one["chunk"] for one in fills] for fills in heard] == [[1, 2, 3], []]
    assert feeds._find("soft").sequence == 1
    with pytest.raises(CallError):
        feeds._find("soft_book:DOGE")
