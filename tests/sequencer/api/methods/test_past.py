"""What the past is told as: pages with cursors, in the words of the API, and refusals that say what is wrong."""

from typing import Any

import pytest

from sequencer.api.rpc.errors import CallError
from sequencer.history.records import FILLS, Kept
from tests.sequencer.desk import Desk
from tests.sequencer.node_world import BUY, FIRST, PRICES, SELL, START

pytestmark = pytest.mark.trio
PRICE = PRICES[0]


async def trade(desk: Desk, count: int, first: int = 1) -> None:
    """So many fills of one price each."""
    for step in range(first, first + count):
        await desk.order(0, SELL, PRICE + step, 100, slot=step)
        await desk.order(1, BUY, PRICE + step, 100, slot=step)


async def refused(desk: Desk, name: str, **params: Any) -> str:
    """The name of the refusal."""
    with pytest.raises(CallError) as error:
        await desk.ask(name, **params)
    return error.value.error.name


async def test_fills_have_role_own_fee_and_what_they_left(desk: Desk) -> None:
    await trade(desk, 1)
    (made,) = (await desk.ask("catenary_fills", account=FIRST))["fills"]
    (taken,) = (await desk.ask("catenary_fills", account=FIRST + 1))["fills"]
    assert (made["side"], made["role"], made["size_lots"], made["position_lots"]) == ("sell", "maker", 100, -100)
    assert (taken["side"], taken["role"], taken["counterparty"], taken["market"]) == ("buy", "taker", FIRST, "BTC")
    (fill,) = (await desk.ask("catenary_trades", market="BTC"))["trades"]
    assert (made["fee_micros"], taken["fee_micros"]) == (fill["maker_fee_micros"], fill["taker_fee_micros"])
    assert (made["order_id"], taken["order_id"]) == (fill["maker_order_id"], fill["taker_order_id"])
    assert (made["realised_micros"], made["time_ms"]) == ("0", START)


async def test_pages_go_back_and_on_while_rows_come(desk: Desk) -> None:
    await trade(desk, 5)
    page = await desk.ask("catenary_fills", account=FIRST, limit=2)
    assert [fill["price_ticks"] - PRICE for fill in page["fills"]] == [5, 4]
    await trade(desk, 2, first=6)
    older = await desk.ask("catenary_fills", account=FIRST, limit=2, before=page["older"])
    assert [fill["price_ticks"] - PRICE for fill in older["fills"]] == [3, 2]
    newer = await desk.ask("catenary_fills", account=FIRST, after=page["newer"])
    assert [fill["price_ticks"] - PRICE for fill in newer["fills"]] == [6, 7]
    end = await desk.ask("catenary_fills", account=FIRST, after=newer["newer"])
    assert (end["fills"], end["older"], end["newer"]) == ([], "", newer["newer"])
    last = await desk.ask("catenary_fills", account=FIRST, limit=9, before=older["older"])
    assert ([fill["price_ticks"] - PRICE for fill in last["fills"]], last["older"]) == ([1], "")
    none = await desk.ask("catenary_fills", account=FIRST, from_ms=START + 1)
    assert none["fills"] == []


async def test_a_cursor_that_leads_nowhere_is_refused_by_name(desk: Desk) -> None:
    await trade(desk, 4)
    page = await desk.ask("catenary_fills", account=FIRST, limit=4)
    both = {"account": FIRST, "before": page["newer"], "after": page["newer"]}
    assert await refused(desk, "catenary_fills", **both) == "INVALID_PARAMS"
    assert await refused(desk, "catenary_fills", account=FIRST, after="3-1") == "CURSOR_UNKNOWN"
    assert await refused(desk, "catenary_fills", account=FIRST, before="ffff-1") == "CURSOR_UNKNOWN"
    first = (await desk.ask("catenary_fills", account=FIRST, limit=3))["older"]
    desk.venue.history.kept = {"fills": Kept(1, 400)}
    desk.venue.history.let_go(desk.clock.now, 99)
    assert desk.venue.history.lists.ends(FILLS, FIRST) == (3, 4)
    assert await refused(desk, "catenary_fills", account=FIRST, after=first) == "CURSOR_GONE"
    for wrong in ({"limit": 0}, {"limit": 501}, {"before": "x"}, {"after": "1" * 35}, {"from_ms": -1}):
        assert await refused(desk, "catenary_fills", account=FIRST, **wrong) == "INVALID_PARAMS"
    assert await refused(desk, "catenary_fills", account=99_999) == "NO_ACCOUNT"
    assert await refused(desk, "catenary_trades", market="DOGE") == "NO_MARKET"
    assert await refused(desk, "catenary_candles", market="BTC", interval="2m") == "INVALID_PARAMS"


async def test_candles_rates_transfers_and_statistics(desk: Desk) -> None:
    await trade(desk, 3)
    told = await desk.ask("catenary_candles", market="BTC", interval="1m")
    (candle,) = told["candles"]
    assert (told["market"], told["interval"], told["source"]) == ("BTC", "1m", "trades")
    assert (candle["open_ticks"], candle["close_ticks"], candle["volume_lots"], candle["trades"]) == (
        PRICE + 1, PRICE + 3, 300, 3
    )  # fmt: skip
    oracle = await desk.ask("catenary_candles", market=0, interval="1h", source="oracle")
    assert [candle["close_ticks"] for candle in oracle["candles"]] == [PRICE]
    (rate,) = (await desk.ask("catenary_fundingRates", market="BTC"))["rates"]
    assert (rate["hour_ms"], rate["price_ticks"]) == (START - START % 3_600_000, PRICE)
    (came,) = (await desk.ask("catenary_transfers", account=FIRST))["transfers"]
    assert (came["kind"], came["other"], came["withdrawal"]) == ("deposit", None, None)
    (only,) = await desk.ask("catenary_statistics", market="BTC")
    assert (only["volume_lots"], only["volume_micros"], only["trades"]) == (300, str(100 * (3 * PRICE + 6)), 3)
    assert (only["open_interest_lots"], only["price_ticks"]) == (300, PRICE)
    every = await desk.ask("catenary_statistics")
    assert [(one["market"], one["close_ticks"]) for one in every][:2] == [("BTC", PRICE + 3), ("ETH", None)]


async def test_orders_are_paged_back_from_the_newest(desk: Desk) -> None:
    await trade(desk, 5)
    await desk.order(0, SELL, PRICE + 90, 100, slot=9)
    page = await desk.ask("catenary_orderHistory", account=FIRST, limit=2)
    assert [order["status"] for order in page["orders"]] == ["resting", "filled"]
    assert page["orders"][1]["events"][-1]["event"] == "filled"
    assert [order["terms"]["limit_price_ticks"] - PRICE for order in page["orders"]] == [90, 5]
    await desk.order(0, SELL, PRICE + 91, 100, slot=10)
    older = await desk.ask("catenary_orderHistory", account=FIRST, limit=3, before=page["older"])
    assert [order["fills"][0]["price_ticks"] - PRICE for order in older["orders"]] == [4, 3, 2]
    last = await desk.ask("catenary_orderHistory", account=FIRST, limit=3, before=older["older"])
    assert (len(last["orders"]), last["older"]) == (1, "")
    assert await refused(desk, "catenary_orderHistory", account=FIRST, before="01-1") == "CURSOR_UNKNOWN"
    assert await refused(desk, "catenary_orderHistory", account=FIRST, limit=51) == "INVALID_PARAMS"
