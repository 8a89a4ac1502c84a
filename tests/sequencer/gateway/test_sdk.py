"""hyperliquid-python-sdk as it comes from PyPI, told nothing but another base_url."""

from typing import Any

import pytest

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
