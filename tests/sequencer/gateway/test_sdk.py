"""hyperliquid-python-sdk as it comes from PyPI, told nothing but another base_url."""

import time
from typing import Any

import pytest

from tests.patience import PATIENCE_SECONDS
from tests.sequencer.gateway.conftest import SIGNER, Programs, World

pytestmark = pytest.mark.slow

GTC = {"limit": {"tif": "Gtc"}}
ALO = {"limit": {"tif": "Alo"}}
IOC = {"limit": {"tif": "Ioc"}}


def status_of(answer: Any) -> Any:
    """The one status of an order action."""
    assert answer["status"] == "ok", answer
    (status,) = answer["response"]["data"]["statuses"]
    return status


def numbers(programs: Programs) -> list[int]:
    """Open orders' numbers, the oldest first."""
    return sorted(order["oid"] for order in programs.call("info", "open_orders", SIGNER))


def test_reads_markets_and_books(programs: Programs) -> None:
    meta, contexts = programs.call("info", "meta_and_asset_ctxs")
    assert [(each["name"], each["szDecimals"]) for each in meta["universe"]] == [("BTC", 5), ("ETH", 4), ("SOL", 2)]
    assert contexts[0]["oraclePx"] == "60000"
    assert set(programs.call("info", "all_mids")) == {"BTC", "ETH", "SOL"}
    book = programs.call("info", "l2_snapshot", "BTC")
    bids, asks = book["levels"]
    assert float(bids[0]["px"]) < 60_000 < float(asks[0]["px"])


def test_reads_an_account(programs: Programs, world: World) -> None:
    state = programs.call("info", "user_state", SIGNER)
    assert state["marginSummary"]["accountValue"] == "4999.9995"
    assert state["assetPositions"] == []
    assert state == {
        **programs.call("info", "user_state", world.owner.json("address")["address"]),
        "time": state["time"],
    }


def test_places_reads_and_cancels_an_order(programs: Programs) -> None:
    status = status_of(programs.call("exchange", "order", "BTC", True, 0.002, 50_000, GTC))
    number = status["resting"]["oid"]
    (order,) = programs.call("info", "frontend_open_orders", SIGNER)
    assert (order["oid"], order["limitPx"], order["sz"], order["side"]) == (number, "50000", "0.002", "B")
    told = programs.call("info", "query_order_by_oid", SIGNER, number)
    assert (told["status"], told["order"]["status"], told["order"]["order"]["oid"]) == ("order", "open", number)

    assert status_of(programs.call("exchange", "cancel", "BTC", number)) == "success"

    assert numbers(programs) == []
    told = programs.call("info", "query_order_by_oid", SIGNER, number)
    assert (told["order"]["status"], told["order"]["order"]["limitPx"]) == ("canceled", "50000")
    refused = status_of(programs.call("exchange", "cancel", "BTC", number))
    assert refused == {"error": "Order was never placed, already canceled, or filled. asset=0"}


def test_an_order_has_its_own_name_and_the_same_name_twice_is_one_order(programs: Programs) -> None:
    cloid = {"cloid": "0x" + "12" * 16}
    first = status_of(programs.call("exchange", "order", "ETH", False, 0.1, 4_000, GTC, cloid=cloid))
    again = status_of(programs.call("exchange", "order", "ETH", False, 0.1, 4_000, GTC, cloid=cloid))
    assert again == first
    assert numbers(programs) == [first["resting"]["oid"]]
    told = programs.call("info", "query_order_by_cloid", SIGNER, cloid)
    assert (told["order"]["order"]["oid"], told["order"]["order"]["cloid"]) == (numbers(programs)[0], cloid["cloid"])

    assert status_of(programs.call("exchange", "cancel_by_cloid", "ETH", cloid)) == "success"

    assert numbers(programs) == []
    refused = status_of(programs.call("exchange", "cancel_by_cloid", "ETH", cloid))
    assert refused == {"error": "Order was never placed, already canceled, or filled. asset=1"}
    used = status_of(programs.call("exchange", "order", "ETH", False, 0.1, 4_000, GTC, cloid=cloid))
    assert used["error"].startswith(f"cloid {cloid['cloid']} is of order {first['resting']['oid']}, which left: cancel")


def test_a_changed_order_stands_in_the_place_of_the_old_one(programs: Programs) -> None:
    old = status_of(programs.call("exchange", "order", "BTC", True, 0.002, 50_000, GTC))["resting"]["oid"]

    new = status_of(programs.call("exchange", "modify_order", old, "BTC", True, 0.003, 51_000, GTC))["resting"]["oid"]

    (order,) = programs.call("info", "open_orders", SIGNER)
    assert (order["oid"], order["limitPx"], order["sz"]) == (new, "51000", "0.003")
    gone = status_of(programs.call("exchange", "modify_order", old, "BTC", True, 0.003, 51_000, GTC))
    assert gone["error"].startswith("Cannot modify canceled or filled order.")
    assert status_of(programs.call("exchange", "cancel", "BTC", new)) == "success"


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (("BTC", True, 0.002, 70_000, ALO), "Post only order would have immediately matched, bbo was "),
        (("BTC", True, 0.002, 50_000, IOC), "Order could not immediately match against any resting orders. asset=0"),
        (("BTC", True, 0.0001, 50_000, GTC), "Order must have minimum value of $10. asset=0"),
        (("BTC", True, 100, 59_900, GTC), "Insufficient margin to place order. asset=0"),
        (("BTC", True, 0.002, 50_000.05, GTC), "Price must be divisible by tick size. asset=0"),
        (("BTC", True, 0.0020001, 50_000, GTC), "Order has invalid size. asset=0"),
        (("BTC", True, 0, 50_000, GTC), "Order has zero size. asset=0"),
        (("BTC", True, 0.002, 50_000, GTC, True), "Reduce only order would increase position. asset=0"),
        (("BTC", True, 0.002, 50_000, {"limit": {"tif": "Fok"}}), "A limit order is Gtc, Ioc or Alo. asset=0"),
    ],
)
def test_a_refused_order_says_why_in_the_words_that_programs_read(
    programs: Programs, order: tuple[Any, ...], words: str
) -> None:
    status = status_of(programs.call("exchange", "order", *order))
    assert status["error"].startswith(words), status
    assert numbers(programs) == []


def test_of_a_batch_each_order_has_its_own_result(programs: Programs) -> None:
    def asked(price: float, cloid: str) -> dict[str, Any]:
        return {
            "coin": "SOL",
            "is_buy": True,
            "sz": 1,
            "limit_px": price,
            "order_type": GTC,
            "reduce_only": False,
            "cloid": {"cloid": cloid},
        }

    orders = [asked(100, "0x" + "a1" * 16), asked(100.123456, "0x" + "a2" * 16), asked(101, "0x" + "a3" * 16)]
    answer = programs.call("exchange", "bulk_orders", orders)
    statuses = answer["response"]["data"]["statuses"]
    assert [next(iter(status)) for status in statuses] == ["resting", "error", "resting"]
    assert statuses[1] == {"error": "Price must be divisible by tick size. asset=2"}

    cancels = [{"coin": "SOL", "oid": number} for number in (*numbers(programs), 7)]
    answer = programs.call("exchange", "bulk_cancel", cancels)
    assert answer["response"]["data"]["statuses"][:2] == ["success", "success"]
    assert "error" in answer["response"]["data"]["statuses"][2]


def linked(world: World) -> dict[float, tuple[int, str]]:
    """Of each open order that waits for a trigger: its group and its entry, by the trigger's price."""
    (view,) = world.owner.json("positions")["accounts"]
    waiting = [one for one in view["open_orders"] if one["trigger_price"] is not None]
    return {float(one["trigger_price"].replace(",", "")): (one["group"], one["after"]) for one in waiting}


def test_a_changed_stop_keeps_its_links(world: World, programs: Programs) -> None:
    def guard(price: float, kind: str) -> dict[str, Any]:
        order_type = {"trigger": {"isMarket": True, "triggerPx": price, "tpsl": kind}}
        asked = {"coin": "BTC", "is_buy": False, "sz": 0.002, "order_type": order_type, "reduce_only": True}
        return {**asked, "limit_px": price * 0.9}

    entry = {"coin": "BTC", "is_buy": True, "sz": 0.002, "limit_px": 50_000, "order_type": GTC, "reduce_only": False}
    programs.call("exchange", "bulk_orders", [entry, guard(60_000, "tp"), guard(45_000, "sl")], grouping="normalTpsl")
    before = linked(world)
    group, after = before[45_000]
    assert before == {60_000: (group, after), 45_000: (group, after)}
    assert group > 0
    assert after
    orders = programs.call("info", "frontend_open_orders", SIGNER)
    (stop,) = [one for one in orders if one["triggerPx"] == "45000"]
    changed = {"trigger": {"isMarket": True, "triggerPx": 46_000, "tpsl": "sl"}}
    status = status_of(
        programs.call("exchange", "modify_order", stop["oid"], "BTC", False, 0.002, 41_400, changed, True)
    )
    assert "resting" in status
    assert linked(world) == {60_000: (group, after), 46_000: (group, after)}
    (resting,) = [one for one in programs.call("info", "open_orders", SIGNER) if one["limitPx"] == "50000"]
    assert status_of(programs.call("exchange", "cancel", "BTC", resting["oid"])) == "success"
    # What waited for it goes with it.
    assert numbers(programs) == []


def test_opens_protects_and_closes_a_position(programs: Programs) -> None:
    filled = status_of(programs.call("exchange", "market_open", "BTC", True, 0.002))["filled"]
    assert filled["totalSz"] == "0.002"
    (held,) = programs.call("info", "user_state", SIGNER)["assetPositions"]
    position = held["position"]
    assert (position["coin"], position["szi"], position["leverage"]["type"]) == ("BTC", "0.002", "cross")
    assert float(position["entryPx"]) == pytest.approx(float(filled["avgPx"]))
    fills = programs.call("info", "user_fills", SIGNER)
    assert sum(float(fill["sz"]) for fill in fills if fill["oid"] == filled["oid"]) == pytest.approx(0.002)
    assert all(fill["crossed"] and fill["side"] == "B" and float(fill["fee"]) > 0 for fill in fills)
    assert programs.call("info", "user_fills_by_time", SIGNER, fills[0]["time"] + 1) == []

    def guard(price: float, kind: str) -> dict[str, Any]:
        trigger = {"isMarket": True, "triggerPx": price, "tpsl": kind}
        asked = {"coin": "BTC", "is_buy": False, "sz": 0, "order_type": {"trigger": trigger}, "reduce_only": True}
        return {**asked, "limit_px": price * 0.9}

    answer = programs.call(
        "exchange", "bulk_orders", [guard(70_000, "tp"), guard(55_000, "sl")], grouping="positionTpsl"
    )
    assert ["resting" in status for status in answer["response"]["data"]["statuses"]] == [True, True]
    orders = programs.call("info", "frontend_open_orders", SIGNER)
    told = {(order["orderType"], order["triggerPx"], order["triggerCondition"], order["sz"]) for order in orders}
    assert told == {
        ("Take Profit Market", "70000", "Price above 70000", "0.002"),
        ("Stop Market", "55000", "Price below 55000", "0.002"),
    }

    closed = status_of(programs.call("exchange", "market_close", "BTC"))["filled"]
    assert closed["totalSz"] == "0.002"
    assert programs.call("info", "user_state", SIGNER)["assetPositions"] == []
    # With the position goes what protected it.
    assert numbers(programs) == []
    history = programs.call("info", "historical_orders", SIGNER)
    assert {each["status"] for each in history} >= {"filled", "canceled", "reduceOnlyCanceled"}


def test_what_waits_and_takes_at_once_only_reduces(programs: Programs) -> None:
    trigger = {"trigger": {"isMarket": True, "triggerPx": 70_000, "tpsl": "sl"}}
    status = status_of(programs.call("exchange", "order", "BTC", True, 0.002, 71_000, trigger))
    assert "reduceOnly" in status["error"]
    waiting = {"trigger": {"isMarket": False, "triggerPx": 70_000, "tpsl": "sl"}}
    number = status_of(programs.call("exchange", "order", "BTC", True, 0.002, 71_000, waiting))["resting"]["oid"]
    (order,) = programs.call("info", "frontend_open_orders", SIGNER)
    assert (order["orderType"], order["isTrigger"], order["triggerPx"]) == ("Stop Limit", True, "70000")
    assert status_of(programs.call("exchange", "cancel", "BTC", number)) == "success"


def test_a_switch_is_set_and_taken_back(programs: Programs) -> None:
    number = status_of(programs.call("exchange", "order", "BTC", True, 0.002, 50_000, GTC))["resting"]["oid"]
    now = int(time.time() * 1_000)
    assert programs.call("exchange", "schedule_cancel", now + 1_000)["status"] == "err"
    assert programs.call("exchange", "schedule_cancel", now + 3_600_000)["status"] == "ok"
    assert programs.call("exchange", "schedule_cancel", None)["status"] == "ok"
    assert numbers(programs) == [number]
    assert programs.call("exchange", "schedule_cancel", int(time.time() * 1_000) + 20_000)["status"] == "ok"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while numbers(programs) and time.monotonic() < deadline:
        time.sleep(0.2)
    told = programs.call("info", "query_order_by_oid", SIGNER, number)
    assert told["order"]["status"] == "scheduledCancel"


@pytest.mark.parametrize(
    ("call", "args", "words"),
    [
        ("update_leverage", (5, "BTC"), "catenary wallet leverage"),
        ("update_leverage", (5, "BTC", False), "catenary wallet leverage"),
        ("update_isolated_margin", (5, "BTC"), "catenary wallet isolated"),
        ("usd_transfer", (5, SIGNER), "is for the account's owner to sign"),
        ("withdraw_from_bridge", (5, SIGNER), "is for the account's owner to sign"),
        ("approve_agent", (), "is for the account's owner to sign"),
        ("create_sub_account", ("second",), "does not do 'createSubAccount'"),
    ],
)
def test_what_an_agent_cannot_sign_is_refused_in_a_sentence(
    programs: Programs, call: str, args: tuple[Any, ...], words: str
) -> None:
    answer = programs.call("exchange", call, *args)
    answer = answer[0] if isinstance(answer, list) else answer
    assert answer["status"] == "err"
    assert words in answer["response"]


def test_an_action_expires(programs: Programs) -> None:
    programs.call("exchange", "set_expires_after", 1_700_000_000_000)
    try:
        answer = programs.call("exchange", "order", "BTC", True, 0.002, 50_000, GTC)
    finally:
        programs.call("exchange", "set_expires_after", None)
    assert answer["response"].startswith("The action expired at 1700000000000")
    assert numbers(programs) == []


def test_what_the_venue_does_not_tell_is_said_and_not_made_up(programs: Programs) -> None:
    answer = programs.call("info", "portfolio", SIGNER)
    assert answer["response"].startswith("Catenary's gateway does not answer 'portfolio'")


def test_its_websocket_hears_books_trades_orders_and_fills(programs: Programs) -> None:
    kinds: list[dict[str, str]] = [
        {"type": "l2Book", "coin": "ETH"},
        {"type": "bbo", "coin": "ETH"},
        {"type": "trades", "coin": "ETH"},
        {"type": "allMids"},
        {"type": "activeAssetCtx", "coin": "ETH"},
        {"type": "activeAssetData", "coin": "ETH", "user": SIGNER},
        {"type": "userFills", "user": SIGNER},
        {"type": "userEvents", "user": SIGNER},
        {"type": "orderUpdates", "user": SIGNER},
        {"type": "webData2", "user": SIGNER},
        {"type": "candle", "coin": "ETH", "interval": "1m"},
        {"type": "userFundings", "user": SIGNER},
    ]
    for kind in kinds:
        programs.call("heard", "subscribe", kind)
    first = {"l2Book", "bbo", "allMids", "activeAssetCtx", "userFills", "userFundings"}
    told = awaited(programs, lambda told: first <= set(told))
    assert told["userFundings"][0]["isSnapshot"] is True

    filled = status_of(programs.call("exchange", "market_open", "ETH", True, 0.01))["filled"]

    told = awaited(
        programs, lambda told: {"trades", "user", "orderUpdates", "candle"} <= set(told) and len(told["userFills"]) > 1
    )
    candle = told["candle"][-1]
    assert (candle["s"], candle["i"], candle["T"] - candle["t"], candle["n"] > 0) == ("ETH", "1m", 59_999, True)
    fill = told["userFills"][-1]["fills"][-1]
    assert (fill["oid"], fill["coin"], fill["side"]) == (filled["oid"], "ETH", "B")
    assert told["user"][-1]["fills"][-1] == fill
    assert told["userFills"][0]["isSnapshot"] is True
    assert fill in programs.call("info", "user_fills", SIGNER)
    updates = [each for message in told["orderUpdates"] for each in message]
    assert (updates[-1]["order"]["oid"], updates[-1]["status"]) == (filled["oid"], "filled")
    assert status_of(programs.call("exchange", "market_close", "ETH"))["filled"]["totalSz"] == "0.01"


def awaited(programs: Programs, is_there: Any) -> dict[str, list[Any]]:
    """What the WebSocket has told, by channel, once it is there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        told: dict[str, list[Any]] = {}
        for message in programs.call("heard", "messages"):
            told.setdefault(message["channel"], []).append(message["data"])
        if is_there(told):
            return told
        assert time.monotonic() < deadline, sorted(told)
        time.sleep(0.1)


def test_what_the_sequencer_promised_is_kept_for_the_agents_wallet(programs: Programs, world: World) -> None:
    path = world.owner.directory / f"{world.owner.json('address', keystore='agent')['address']}.acknowledged.jsonl"
    number = status_of(programs.call("exchange", "order", "BTC", True, 0.002, 50_000, GTC))["resting"]["oid"]
    deadline = time.monotonic() + PATIENCE_SECONDS
    # Those of earlier orders may still come.
    while f'"sequence":{number >> 8},' not in (path.read_text() if path.exists() else ""):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    before = len(path.read_text().splitlines())
    assert status_of(programs.call("exchange", "cancel", "BTC", number)) == "success"
    kept = world.owner.json("receipts", keystore="agent")
    assert kept["acknowledgements"] >= before


def test_reads_what_was(programs: Programs, world: World) -> None:
    programs.call("exchange", "market_open", "SOL", True, 1)
    programs.call("exchange", "market_close", "SOL")
    now = int(time.time() * 1_000)
    candles = programs.call("info", "candles_snapshot", "SOL", "1m", now - 3_600_000, now + 60_000)
    assert sum(candle["n"] for candle in candles) >= 2
    assert all(float(candle["l"]) <= float(candle["c"]) <= float(candle["h"]) for candle in candles)
    assert candles == sorted(candles, key=lambda candle: candle["t"])
    assert programs.call("info", "candles_snapshot", "SOL", "1m", 0, 1_000) == []
    assert programs.call("info", "candles_snapshot", "SOL", "3m", 0, now)["status"] == "err"
    rates = programs.call("info", "funding_history", "SOL", now - 7_200_000)
    assert {rate["coin"] for rate in rates} == {"SOL"}
    assert isinstance(programs.call("info", "user_funding_history", SIGNER, now - 7_200_000), list)
    ledger = programs.call("info", "user_non_funding_ledger_updates", SIGNER, 0)
    assert (ledger[0]["delta"]["type"], ledger[0]["delta"]["usdc"]) == ("deposit", "5000")
    fills = programs.call("info", "user_fills_by_time", SIGNER, 0)
    closed = next(fill for fill in fills if fill["coin"] == "SOL")
    assert (closed["startPosition"], closed["side"]) == ("1", "A")
    assert float(closed["closedPnl"]) < 0
    _, contexts = programs.call("info", "meta_and_asset_ctxs")
    assert float(contexts[2]["dayNtlVlm"]) > 0
    trades = world.info("recentTrades", coin="SOL")
    assert trades[0]["time"] >= trades[-1]["time"]
