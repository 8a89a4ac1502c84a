"""ccxt as it comes from PyPI, told nothing but another URL and sandboxMode."""

import pytest

from tests.sequencer.gateway.conftest import Programs

pytestmark = pytest.mark.slow

BTC = "BTC/USDC:USDC"


def test_reads_markets_books_and_balances(programs: Programs) -> None:
    markets = programs.call("ccxt", "load_markets")
    assert set(markets) == {BTC, "ETH/USDC:USDC", "SOL/USDC:USDC"}
    market = markets[BTC]
    assert (market["precision"]["amount"], market["contract"], market["settle"]) == (1e-05, True, "USDC")
    book = programs.call("ccxt", "fetch_order_book", BTC)
    assert book["bids"][0][0] < 60_000 < book["asks"][0][0]
    ticker = programs.call("ccxt", "fetch_tickers", [BTC])[BTC]
    assert ticker["info"]["oraclePx"] == "60000"
    assert programs.call("ccxt", "fetch_funding_rates", [BTC])[BTC]["markPrice"] == 60_000
    assert 4_900 < programs.call("ccxt", "fetch_balance")["USDC"]["total"] <= 5_000


def test_places_changes_and_cancels(programs: Programs) -> None:
    name = "0x" + "c7" * 16
    placed = programs.call("ccxt", "create_order", BTC, "limit", "buy", 0.002, 50_000, {"clientOrderId": name})
    (order,) = programs.call("ccxt", "fetch_open_orders", BTC)
    assert (order["id"], order["price"], order["amount"], order["clientOrderId"]) == (placed["id"], 50_000, 0.002, name)
    assert programs.call("ccxt", "fetch_order", placed["id"], BTC)["status"] == "open"

    edited = programs.call("ccxt", "edit_order", placed["id"], BTC, "limit", "buy", 0.003, 51_000)
    (order,) = programs.call("ccxt", "fetch_open_orders", BTC)
    assert (order["id"], order["price"], order["amount"]) == (edited["id"], 51_000, 0.003)

    assert programs.call("ccxt", "cancel_order", edited["id"], BTC)["status"] == "success"
    assert programs.call("ccxt", "fetch_open_orders", BTC) == []
    assert programs.call("ccxt", "fetch_order", edited["id"], BTC)["status"] == "canceled"
    # The slot of the first order is the second one's: of it is known that it was replaced.
    assert programs.call("ccxt", "fetch_order", placed["id"], BTC)["status"] == "canceled"
    kind, text = programs.fails("ccxt", "cancel_order", edited["id"], BTC)
    assert (kind, "already canceled" in text) == ("OrderNotFound", True)
    assert programs.fails("ccxt", "fetch_order", "1279", BTC)[0] == "OrderNotFound"


def test_cancels_by_its_own_name(programs: Programs) -> None:
    name = "0x" + "c8" * 16
    programs.call("ccxt", "create_order", BTC, "limit", "buy", 0.002, 50_000, {"clientOrderId": name, "postOnly": True})
    (cancelled,) = programs.call("ccxt", "cancel_orders", [], BTC, {"clientOrderId": [name]})
    assert cancelled["status"] == "success"
    assert programs.call("ccxt", "fetch_open_orders", BTC) == []


def test_takes_holds_and_leaves_a_position(programs: Programs) -> None:
    bought = programs.call("ccxt", "create_order", BTC, "market", "buy", 0.002, 60_000)
    assert (bought["filled"], bought["average"]) == (0.002, pytest.approx(60_000, rel=0.01))
    (position,) = programs.call("ccxt", "fetch_positions", [BTC])
    assert (position["side"], position["contracts"], position["marginMode"]) == ("long", 0.002, "cross")

    params = {"reduceOnly": True, "stopLossPrice": 55_000}
    stop = programs.call("ccxt", "create_order", BTC, "market", "sell", 0.002, 55_000, params)
    (order,) = programs.call("ccxt", "fetch_open_orders", BTC)
    assert (order["id"], order["stopLossPrice"], order["reduceOnly"]) == (stop["id"], 55_000, True)

    sold = programs.call("ccxt", "create_order", BTC, "market", "sell", 0.002, 60_000, {"reduceOnly": True})
    assert sold["filled"] == 0.002
    assert programs.call("ccxt", "fetch_positions", [BTC]) == []
    assert programs.call("ccxt", "fetch_open_orders", BTC) == []
    trades = programs.call("ccxt", "fetch_my_trades", BTC)
    assert {trade["side"] for trade in trades} == {"buy", "sell"}
    assert all(trade["fee"]["cost"] > 0 for trade in trades)
    orders = {order["id"]: order["status"] for order in programs.call("ccxt", "fetch_orders", BTC)}
    assert (orders[bought["id"]], orders[stop["id"]], orders[sold["id"]]) == ("closed", "canceled", "closed")
    assert programs.call("ccxt", "fetch_trades", BTC)


def test_a_stop_and_a_target_come_with_their_entry_and_leave_with_it(programs: Programs) -> None:
    guards = {
        "stopLoss": {"triggerPrice": 48_000, "price": 47_000},
        "takeProfit": {"triggerPrice": 70_000, "price": 69_000},
    }
    entry = programs.call("ccxt", "create_order", BTC, "limit", "buy", 0.002, 50_000, guards)
    orders = programs.call("ccxt", "fetch_open_orders", BTC)
    assert {(order["side"], order["triggerPrice"]) for order in orders} == {
        ("buy", None),
        ("sell", 48_000),
        ("sell", 70_000),
    }
    programs.call("ccxt", "cancel_order", entry["id"], BTC)
    assert programs.call("ccxt", "fetch_open_orders", BTC) == []
    told = {programs.call("ccxt", "fetch_order", order["id"], BTC)["status"] for order in orders}
    assert told == {"canceled"}


@pytest.mark.parametrize(
    ("order", "kind"),
    [
        (("limit", "buy", 0.002, 70_000, {"postOnly": True}), "InvalidOrder"),
        (("limit", "buy", 0.0001, 50_000), "InvalidOrder"),
        (("limit", "buy", 100, 59_900), "InsufficientFunds"),
        (("limit", "buy", 0.002, 50_000, {"reduceOnly": True}), "InvalidOrder"),
        (("limit", "buy", 0.002, 50_000, {"timeInForce": "Ioc"}), "InvalidOrder"),
    ],
)
def test_raises_its_own_errors(programs: Programs, order: tuple[object, ...], kind: str) -> None:
    assert programs.fails("ccxt", "create_order", BTC, *order)[0] == kind
    assert programs.call("ccxt", "fetch_open_orders", BTC) == []


def test_sets_the_switch(programs: Programs) -> None:
    assert programs.call("ccxt", "cancel_all_orders_after", 3_600_000)["status"] == "ok"


def test_what_an_agent_cannot_sign_is_an_error_that_can_be_read(programs: Programs) -> None:
    kind, text = programs.fails("ccxt", "set_leverage", 5, BTC)
    assert (kind, "catenary wallet leverage" in text) == ("ExchangeError", True)
    assert "catenary wallet isolated" in programs.fails("ccxt", "add_margin", BTC, 5)[1]
    assert "owner to sign" in programs.fails("ccxt", "withdraw", "USDC", 5, "0x" + "12" * 20)[1]


def test_a_bot_of_the_mainnet_is_told_what_its_signature_would_be(programs: Programs) -> None:
    kind, text = programs.fails("mainnet", "create_order", BTC, "limit", "buy", 0.002, 50_000)
    assert kind == "ExchangeError"
    assert 'source \\"a\\"' in text
    assert "valid on Hyperliquid's mainnet" in text
    assert programs.call("ccxt", "fetch_open_orders", BTC) == []


def test_reads_what_was(programs: Programs) -> None:
    programs.call("ccxt", "create_order", BTC, "market", "buy", 0.002, 60_000)
    programs.call("ccxt", "create_order", BTC, "market", "sell", 0.002, 60_000, {"reduceOnly": True})
    candles = programs.call("ccxt", "fetch_ohlcv", BTC, "1m")
    assert all(low <= close <= high for _, _, high, low, close, _ in candles)
    assert sum(volume for *_, volume in candles) >= 0.004
    assert isinstance(programs.call("ccxt", "fetch_funding_rate_history", BTC), list)
    assert isinstance(programs.call("ccxt", "fetch_funding_history", BTC), list)
    (deposit,) = programs.call("ccxt", "fetch_deposits")
    assert deposit["amount"] == 5_000
    assert programs.call("ccxt", "fetch_tickers", [BTC])[BTC]["quoteVolume"] > 0
