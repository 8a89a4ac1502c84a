"""The whole life of a trader on the command line, against a real node and a real L1; and everything that can fail."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.keys import development_key
from prover.signing.receipts import acknowledged_digest
from prover.state import genesis
from sequencer.client.client import NodeClient
from sequencer.schema.answers import AcknowledgementView, WithdrawalProof
from sequencer.wallet.errors import BadProof, NotYet
from sequencer.wallet.units import parse_address
from sequencer.wallet.verified import WalletOptions
from sequencer.wallet.wallet import Wallet
from sequencer.wallet.word.promises import acknowledgement
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import A_WHILE_SECONDS, Node
from tests.sequencer.wallet_node import Shell, mode, still_node

DOLLAR = 1_000_000
POSTING_FEE = genesis.DEVNET_POSTING_FEE_MICROS


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One venue for all tests of this file."""
    with still_node(tmp_path_factory.mktemp("node")) as running:
        yield running


@pytest.fixture(scope="module")
def trader(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A wallet with play money and one account."""
    shell = Shell(node, tmp_path_factory.mktemp("trader"))
    shell.json("new", "--light-kdf")
    shell.environment["CATENARY_WALLET_ACCOUNT"] = str(shell.json("deposit", "--amount", "5000", "--faucet")["account"])
    return shell


@pytest.fixture(scope="module")
def other(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Somebody else's wallet with play money and one account."""
    shell = Shell(node, tmp_path_factory.mktemp("other"))
    shell.json("new", "--light-kdf")
    shell.json("faucet")
    shell.environment["CATENARY_WALLET_ACCOUNT"] = str(shell.json("deposit", "--amount", "5000")["account"])
    return shell


def own_account(shell: Shell) -> dict[str, Any]:
    """The only account of a wallet as `positions` shows it."""
    account: dict[str, Any] = shell.json("positions")["accounts"][0]
    return account


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def oracle_price(shell: Shell, tenths: int = 1000) -> str:
    """A price a few tenths of a percent from BTC's oracle price, on the grid."""
    markets = shell.json("prices")["markets"]
    price = float(next(market["oracle_price"] for market in markets if market["market"] == "BTC"))
    return str(round(price * tenths / 1000))


def test_the_life_of_an_order(trader: Shell, other: Shell) -> None:
    fair = oracle_price(trader)
    rested = trader.json("order", "--market", "btc", "--side", "buy", "--size", "0.01", "--price", fair, "--post-only")
    assert (rested["status"], rested["filled_lots"], rested["finality"]) == ("resting", "0", "sequenced")
    second = trader.json(
        "order", "--market", "BTC", "--side", "buy", "--size", "0.02", "--price", oracle_price(trader, 990)
    )
    assert second["slot"] == rested["slot"] + 1
    signed = trader.json("orders")
    assert [entry["status"] for entry in signed["signatures"][-2:]] == ["resting", "resting"]
    assert int(signed["open_exposure_micros"]) == sum(
        int(entry["value_micros"]) for entry in signed["signatures"] if entry["status"] == "resting"
    )
    sold = other.json(
        "order", "--market", "0", "--side", "sell", "--size", "0.010", "--price", fair, "--time-in-force", "ioc"
    )
    assert (sold["status"], sold["filled"], sold["fills"][0]["price"]) == ("filled", "0.01", fair)
    assert [position["size"] for position in own_account(trader)["positions"]] == ["0.01"]
    assert [position["size"] for position in own_account(other)["positions"]] == ["-0.01"]
    trader.json("cancel", "--slot", str(second["slot"]))
    assert own_account(trader)["open_orders"] == []
    statuses = {entry["digest"]: entry["status"] for entry in trader.json("orders")["signatures"]}
    assert statuses[second["digest"]] == "cancelled"


def test_a_preview_is_what_then_happens_and_every_number_is_explained(trader: Shell, other: Shell) -> None:
    fair = oracle_price(trader)
    trader.json("order", "--market", "BTC", "--side", "buy", "--size", "0.02", "--price", fair, "--slot", "90")
    sell = ("order", "--market", "BTC", "--side", "sell", "--size", "0.03", "--price", fair)
    signatures = len(other.json("orders")["signatures"])
    held, seen = own_account(other)["positions"], other.json("preview", *sell, password="wrong")
    assert (seen["status"], seen["code"], seen["refusal"]) == ("partially_filled", 0, "")
    assert len(other.json("orders")["signatures"]) == signatures
    assert held == seen["before"]["positions"]
    states = ("before", "after", "if_filled")
    assert {seen["finality"], *(seen[state]["finality"] for state in states)} == {"preview"}
    assert not {"open_orders", "posted"} & {field for state in states for field in seen[state]}
    other.json(*sell, "--slot", "91")
    after = own_account(other)
    assert [(leg["market"], leg["size"]) for leg in after["positions"]] == [
        (leg["market"], leg["size"]) for leg in seen["after"]["positions"]
    ]
    assert [power["market"] for power in seen["after"]["buying_power"]] == ["BTC", "ETH", "SOL"]
    for state in states:
        assert (seen[state]["margin_call_percent"], seen[state]["buying_power"] == []) == (0, False)
    # Short, it can sell less with every lot that is filled.
    sells = [float(seen[state]["buying_power"][0]["sell"]) for state in states]
    assert sells[0] > sells[1] > sells[2] > 0
    assert after["positions"][0]["liquidation_price"] is not None
    assert {power["market"] for power in after["buying_power"]} == {"BTC", "ETH", "SOL"}
    other.json("cancel", "--all")

    explained = {number["name"]: number for number in other.json("explain")["numbers"]}
    assert explained["equity"]["formula"] == "collateral + sum(unrealised)"
    equity = int(explained["equity"]["inputs"]["collateral"]) + sum(
        map(int, explained["equity"]["inputs"]["unrealised"])
    )
    assert int(explained["equity"]["value"]) == equity
    assert {"margin_call", "BTC.could_sell.room", "BTC.deleveraging_rank", "BTC.pending_funding"} <= explained.keys()
    only = other.json("explain", "--only", "btc.")["numbers"]
    assert {number["name"].partition(".")[0] for number in only} == {"BTC"}
    line, _ = other.fails(2, "explain", "--only", "nothing")
    assert "margin_ratio" in line

    shown = other.run("contribution", "--shock", "25.5", "--market", "btc")
    assert shown.exit_code == 0, shown.stderr
    assert "the price of BTC +25.50%" in shown.stdout
    found = other.json("contribution", "--shock", "-99")
    assert [leg["market"] for leg in found["legs"]] == ["BTC"]
    assert found["shock_bp"] == -9_900
    line, _ = other.fails(2, "contribution", "--shock", "-100")
    assert "by more than -100%" in line


def test_previews_of_money_and_of_what_is_refused(trader: Shell, other: Shell) -> None:
    account = trader.environment["CATENARY_WALLET_ACCOUNT"] or ""
    taken = trader.json("preview", "withdraw", "--amount", "10")
    assert taken["status"] == "applied"
    assert int(taken["before"]["equity_micros"]) - int(taken["after"]["equity_micros"]) == 10 * DOLLAR + POSTING_FEE
    refused = trader.json("preview", "withdraw", "--amount", "9999999")
    assert (refused["status"], refused["refusal"], refused["code"]) == ("refused", "COLLATERAL", 31)
    foreign = other.json("preview", "transfer", "--amount", "1", "--to-account", account)
    assert foreign["refusal"] == "NOT_OWNER"
    assert foreign["other_before"] == foreign["other_after"]
    assert (foreign["before"], foreign["finality"]) == (foreign["after"], "preview")
    shown = trader.run("preview", "order", "--market", "ETH", "--side", "buy", "--size", "0.1", "--price", "2000")
    assert "would be resting" in shown.stdout
    assert "if filled" in shown.stdout
    assert "ETH could buy" in shown.stdout
    both = other.run("preview", "transfer", "--amount", "1", "--to-account", account).stdout
    assert both.count("could sell") == 6, "a table for each of the two accounts"
    line, _ = trader.fails(2, "preview", "order", "--market", "DOGE", "--side", "buy", "--size", "1", "--price", "1")
    assert "there are BTC, ETH, SOL" in line
    line, _ = trader.fails(2, "preview", "transfer", "--amount", "1", "--to-account", "3")
    assert "no trader's account" in line


def test_cancel_all_reaches_every_order(other: Shell) -> None:
    low = oracle_price(other, 970)
    for _ in range(2):
        other.json("order", "--market", "BTC", "--side", "buy", "--size", "0.001", "--price", low)
    assert len(own_account(other)["open_orders"]) == 2
    other.json("cancel", "--all")
    assert own_account(other)["open_orders"] == []
    # The floor that it leaves behind does not stop the next order of the same millisecond.
    again = other.json(
        "order", "--market", "BTC", "--side", "buy", "--size", "0.001", "--price", low, "--expires", "1m"
    )
    assert again["status"] == "resting"
    other.json("cancel", "--all")


def test_receipts_are_kept_and_a_broken_one_is_told(trader: Shell, other: Shell) -> None:
    low, fair = oracle_price(trader, 970), oracle_price(trader)
    bid = ("order", "--market", "BTC", "--side", "buy", "--size", "0.001")
    rested = trader.json(*bid, "--price", low)
    trader.json("cancel", "--slot", str(rested["slot"]))
    *_, kept = trader.json("receipts")["receipts"]
    assert (kept["account"], kept["slot"]) == (rested["account"], rested["slot"])
    assert kept["sequence"] >= rested["sequence"]
    made = trader.json(*bid, "--price", fair)
    other.json(
        "order", "--market", "BTC", "--side", "sell", "--size", "0.001", "--price", fair, "--time-in-force", "ioc"
    )
    # As if the sequencer had given its word on what was filled then: once the batch is on L1 it is evidence.
    false = {**kept, "slot": made["slot"], "sequence": made["sequence"], "time_ms": 1}
    (path,) = trader.directory.glob("*.receipts.jsonl")
    before = path.read_bytes()
    path.write_bytes(before + json.dumps(false).encode() + b"\n")
    until = time.monotonic() + PATIENCE_SECONDS
    while trader.run("receipts").exit_code == 0:
        assert time.monotonic() < until
    line, summary = trader.fails(22, "receipts")
    assert "broken its word" in line
    assert "posted by the seat that signed it" in line
    assert [one["sequence"] for one in summary["evidence"]] == [made["sequence"]]
    path.write_bytes(before)
    assert trader.json("receipts")["receipts"][-1] == kept


def test_acknowledgements_are_kept_and_a_broken_one_is_evidence(trader: Shell, other: Shell, node: Node) -> None:
    fair = oracle_price(trader)
    bid = ("order", "--market", "BTC", "--side", "buy", "--size", "0.001")
    trader.json(*bid, "--price", fair)
    ask = ("order", "--market", "BTC", "--side", "sell", "--size", "0.001", "--price", fair, "--time-in-force", "ioc")
    sold = other.json(*ask)
    (path,) = other.directory.glob("*.acknowledged.jsonl")
    before = path.read_bytes()
    *_, kept = (json.loads(line) for line in before.splitlines())
    assert (kept["given"]["sequence"], kept["given"]["filled_lots"]) == (sold["sequence"], 100)
    told = other.json("receipts", "--broken")
    assert told["evidence"] == []
    assert other.json("receipts")["acknowledgements"] == len(before.splitlines())
    # As if the sequencer had acknowledged a lot more than it will post; what nobody signed is no evidence.
    false = {**kept["given"], "filled_lots": 101, "place": 0, "path": []}
    unsigned = json.dumps({**kept, "given": false}).encode() + b"\n"
    leaf = acknowledgement(msgspec.convert(false, AcknowledgementView, strict=False)).leaf
    signature = "0x" + development_key(0).sign(acknowledged_digest(node.domain, leaf)).hex()
    signed = json.dumps({**kept, "given": {**false, "signature": signature}}).encode() + b"\n"
    path.write_bytes(before + unsigned + signed)
    until = time.monotonic() + PATIENCE_SECONDS
    while other.run("receipts").exit_code == 0:
        assert time.monotonic() < until
    line, summary = other.fails(22, "receipts")
    assert "1 times the sequencer has broken its word: 101 lots of the order" in line
    (evidence,) = summary["evidence"]
    assert (evidence["lots"], evidence["is_there"], evidence["promise"]["given"]["signature"]) == (100, True, signature)
    assert evidence["chunk_began_ms"] > kept["given"]["time_ms"]
    assert other.json("receipts", "--broken")["evidence"] == [evidence]
    path.write_bytes(before)
    kept_now = other.json("receipts")["acknowledgements"]
    # The same of a file that somebody else has kept, as the page saves it.
    saved = path.with_name("account-18-promises.jsonl")
    saved.write_bytes(before + signed)
    assert other.fails(22, "receipts", "--also", str(saved))[1]["evidence"] == [evidence]
    saved.write_bytes(before)
    assert other.json("receipts", "--also", str(saved))["acknowledgements"] == 2 * kept_now
    saved.write_bytes(b"{}\n")
    assert "holds no promise" in other.fails(1, "receipts", "--also", str(saved))[0]


def test_a_trigger_waits_and_a_dry_run_signs_nothing(trader: Shell) -> None:
    base = ["order", "--market", "ETH", "--side", "buy", "--size", "0.1", "--price", "3000"]
    before = len(trader.json("orders")["signatures"])
    dry = trader.json(*base, "--dry-run", password="wrong")
    assert dry["typed_data"]["message"]["size_lots"] == 1_000
    assert dry["typed_data"]["message"]["limit_price_ticks"] == 300_000
    assert len(trader.json("orders")["signatures"]) == before
    armed = trader.json(*base, "--trigger-below", "1000.25", "--slot", "200")
    assert (armed["status"], armed["slot"]) == ("armed", 200)
    trader.json("cancel", "--slot", "200")
    line, _ = trader.fails(14, *base, "--reduce-only")
    assert "REDUCE_ONLY" in line


def test_a_bracket_stands_behind_its_entry_and_leaves_with_it(trader: Shell) -> None:
    placed = trader.json(
        "order", "--market", "BTC", "--side", "buy", "--usd", "100", "--price", oracle_price(trader, 980),
        "--stop", oracle_price(trader, 900), "--target", oracle_price(trader, 1_100), "--client-id", "entry-1",
    )  # fmt: skip
    assert (placed["status"], [one["status"] for one in placed["behind"]]) == ("resting", ["dormant", "dormant"])
    slots = [placed["slot"], *(one["slot"] for one in placed["behind"])]
    assert len(set(slots)) == 3
    trader.json("cancel", "--slot", str(placed["slot"]))
    assert own_account(trader)["open_orders"] == []
    line, summary = trader.fails(
        14, "order", "--market", "BTC", "--side", "buy", "--size", "0.00001", "--price", oracle_price(trader, 980),
        "--stop", oracle_price(trader, 900),
    )  # fmt: skip
    assert "TOO_SMALL" in line
    assert summary["taken"] == []


def test_an_order_at_the_market_is_filled_at_what_stands_there(trader: Shell, other: Shell) -> None:
    fair = oracle_price(trader)
    other.json("order", "--market", "BTC", "--side", "sell", "--size", "0.01", "--price", fair)
    asked = ("order", "--market", "BTC", "--side", "buy", "--size", "0.01", "--slippage", "0.1")
    bought = trader.json(*asked, "--client-id", "market-1", "--self-trade", "decrement", "--group", "7")
    assert (bought["status"], bought["fills"][0]["price"]) == ("filled", fair)
    trader.json("order", "--market", "BTC", "--side", "sell", "--size", "0.01", "--price", fair)
    other.json("order", "--market", "BTC", "--side", "buy", "--size", "0.01")
    assert own_account(trader)["open_orders"] == []


def test_money_goes_home(trader: Shell, node: Node) -> None:
    first = int(trader.environment["CATENARY_WALLET_ACCOUNT"] or 0)
    isolated = trader.json("deposit", "--amount", "10")["account"]
    trader.json("transfer", "--amount", "25.5", "--to-account", str(isolated))
    assert trader.json("positions", account=str(isolated))["accounts"][0]["collateral_micros"] == str(35_500_000)
    topped = trader.json("deposit", "--amount", "4.5", "--account", str(isolated))
    assert topped["account"] == isolated
    line, _ = trader.fails(2, "withdraw", "--amount", "1", account=None)
    assert f"accounts {first}, {isolated}: name one" in line

    recipient = "0x" + "ab" * 20
    # All but what posting costs.
    withdrawn = trader.json("withdraw", "--amount", "39.9995", "--recipient", recipient, account=str(isolated))
    index = str(withdrawn["withdrawal_index"])
    deadline = time.monotonic() + PATIENCE_SECONDS
    while "is final in" not in (line := trader.fails(20, "claim", index)[0]):
        assert time.monotonic() < deadline, line
        time.sleep(0.3)
    node.pass_time(A_WHILE_SECONDS)
    paid = trader.json("claim", index, "--wait", "--timeout", str(PATIENCE_SECONDS))
    assert (paid["recipient"].lower(), paid["amount_micros"]) == (recipient, str(40 * DOLLAR - POSTING_FEE))
    assert paid["gas_used"] < 175_000
    line, summary = trader.fails(15, "claim", index)
    assert "has been paid already" in line
    assert summary["error"] == "L1_REFUSED"

    posted = trader.json("positions", account=str(isolated))["accounts"][0]["posted"]
    assert posted["collateral_micros"] == "0"
    assert posted["batch"] >= paid["batch"]


def held_by(shell: Shell, account: int) -> dict[str, Any]:
    """One account as `positions` shows it."""
    found: dict[str, Any] = shell.json("positions", "--account", str(account))["accounts"][0]
    return found


def test_an_isolated_account_opens_trades_and_closes(trader: Shell, other: Shell) -> None:
    cross = int(trader.environment["CATENARY_WALLET_ACCOUNT"] or 0)
    fair = oracle_price(trader)
    other.json("order", "--market", "BTC", "--side", "sell", "--size", "0.01", "--price", fair, "--slot", "60")
    first = ("--side", "buy", "--size", "0.01", "--price", fair, "--time-in-force", "ioc")
    before = held_by(trader, cross)
    opened = trader.json("isolated", "open", "--market", "btc", "--amount", "101", *first)
    account = opened["account"]
    assert (opened["cross_account"], opened["order"]["account"]) == (cross, account)
    assert (opened["order"]["status"], opened["order"]["filled"]) == ("filled", "0.01")
    after = held_by(trader, cross)
    assert int(before["settled_micros"]) - int(after["settled_micros"]) == 101 * DOLLAR + POSTING_FEE
    assert [leg["size"] for leg in after["positions"]] == [leg["size"] for leg in before["positions"]]
    assert [leg["size"] for leg in held_by(trader, account)["positions"]] == ["0.01"]

    held = int(held_by(trader, account)["collateral_micros"])
    topped = trader.json("isolated", "topup", "--account", str(account), "--amount", "20")
    assert topped["cross_account"] == cross
    assert int(held_by(trader, account)["collateral_micros"]) - held == 20 * DOLLAR

    # An order of the account would open the position again: closing takes it away first.
    low = oracle_price(trader, 960)
    trader.json("order", "--market", "BTC", "--side", "buy", "--size", "0.01", "--price", low, account=str(account))
    close = ("isolated", "close", "--account", str(account))
    # The devnet's market maker bids thirty times as far away.
    line, summary = trader.fails(20, *close, "--slippage", "0.001%")
    assert "0.01 BTC" in line
    assert summary["again"] == f"catenary wallet isolated close --account {account}"
    left = held_by(trader, account)
    assert (left["open_orders"], [leg["size"] for leg in left["positions"]]) == ([], ["0.01"])
    assert int(left["collateral_micros"]) > 119 * DOLLAR

    # Somebody bids more than the market maker asks, so that there is a profit, which goes home and settles there.
    high = str(int(fair) + 100)
    bid = other.json("order", "--market", "BTC", "--side", "buy", "--size", "0.5", "--price", high)
    assert bid["status"] in ("resting", "partially_filled")
    # The owner's own bid in the other account stands first: it leaves and keeps nothing from being closed.
    own = trader.json(
        "order", "--market", "BTC", "--side", "buy", "--size", "0.01", "--price", str(int(high) + 1), "--post-only"
    )
    assert own["status"] == "resting"
    told = trader.json(*close)
    assert told["closed"]
    assert held_by(trader, cross)["open_orders"] == before["open_orders"]
    left = held_by(trader, account)
    assert (left["positions"], left["collateral_micros"]) == ([], "0")
    other.json("cancel", "--all")
    home = held_by(trader, cross)
    assert int(home["settled_micros"]) > int(after["settled_micros"]) + 99 * DOLLAR
    assert sum(int(part["amount_micros"]) for part in home["maturing"]) > 0


def test_an_isolated_account_without_position_goes_home_whole(trader: Shell, other: Shell) -> None:
    cross = trader.environment["CATENARY_WALLET_ACCOUNT"] or ""
    opened = trader.json("isolated", "open", "--market", "ETH", "--amount", "6")
    account = str(opened["account"])
    assert opened["creation_fee_micros"] == str(DOLLAR)
    closed = trader.json("isolated", "close", "--account", account)
    assert (closed["closed"], closed["moved_micros"]) == (True, str(5 * DOLLAR - POSTING_FEE))
    assert trader.json("isolated", "close", "--account", account)["moved_micros"] == "0"

    owned = len(trader.json("positions", account=None)["accounts"])
    for status, given, sentence in (
        (2, ("open", "--market", "BTC", "--amount", "1"), "is the creation fee"),
        (2, ("open", "--market", "BTC", "--amount", "5", "--side", "buy"), "takes --side, --size and --price"),
        (2, ("open", "--market", "DOGE", "--amount", "5"), "there are BTC"),
        (14, ("open", "--market", "BTC", "--amount", "9999999"), "COLLATERAL"),
        (2, ("topup", "--account", cross, "--amount", "5"), "is the cross account itself"),
        (14, ("topup", "--account", account, "--amount", "9999999"), "COLLATERAL"),
        (2, ("close", "--account", cross), "is the cross account itself"),
        (2, ("close", "--account", other.environment["CATENARY_WALLET_ACCOUNT"] or ""), "is not yours"),
        (2, ("close", "--account", account, "--slippage", "little"), "is not a decimal"),
    ):
        line, _ = trader.fails(status, "isolated", *given)
        assert sentence in line
    off_grid = ("--side", "buy", "--size", "0.0000001", "--price", "1")
    line, _ = trader.fails(2, "isolated", "open", "--market", "BTC", "--amount", "5", *off_grid)
    assert "off the grid" in line
    assert len(trader.json("positions", account=None)["accounts"]) == owned


def test_an_agent_trades_for_an_account_and_no_more(trader: Shell, other: Shell, node: Node, tmp_path: Path) -> None:
    account = trader.environment["CATENARY_WALLET_ACCOUNT"] or ""
    agent = Shell(node, tmp_path)
    address = agent.json("new", "--light-kdf")["address"]
    grant = ("agent", "set", "--agent", address, "--expires", "1h", "--first-slot", "100", "--last-slot", "109")
    low = oracle_price(trader, 970)
    order = ("order", "--account", account, "--market", "BTC", "--side", "buy", "--size", "0.001", "--price", low)
    line, _ = agent.fails(14, *order)
    assert "BAD_SIGNATURE" in line
    dry = trader.json(*grant, "--dry-run", password="wrong")
    assert dry["typed_data"]["primaryType"] == "SetAgent"
    assert held_by(trader, int(account))["agents"] == [None, None]

    given = trader.json(*grant)
    assert (given["agent_index"], given["first_slot"], given["last_slot"]) == (0, 100, 109)
    (shown, nobody) = held_by(trader, int(account))["agents"]
    assert nobody is None
    assert (shown["address"].lower(), shown["expires_at_ms"]) == (address.lower(), given["agent_expires_at_ms"])
    assert "who else may trade" in trader.run("positions").stdout
    rested = agent.json(*order)
    assert (rested["status"], rested["slot"], rested["account"]) == ("resting", 100, int(account))
    assert agent.json(*order)["slot"] == 101
    agent.json("cancel", "--account", account, "--slot", "100")
    assert [entry["slot"] for entry in held_by(trader, int(account))["open_orders"]] == [101]
    for refused in (("cancel", "--all"), ("cancel", "--slot", "99"), (*order, "--slot", "110")):
        line, _ = agent.fails(2, *refused, account=account)
        assert "its grant does not cover" in line
    for kind in (("withdraw",), ("transfer", "--to-account", str(int(account) + 1))):
        line, summary = agent.fails(14, *kind, "--account", account, "--amount", "1")
        assert "BAD_SIGNATURE" in line
        assert summary["recovered"] == address.lower()
    # The same agent again takes the place of its own grant, somebody else the other one.
    assert trader.json(*grant, "--last-slot", "150")["agent_index"] == 0
    third = other.json("address")["address"]
    assert trader.json("agent", "set", "--agent", third, "--expires", "30d")["agent_index"] == 1
    line, _ = trader.fails(2, "agent", "set", "--agent", "0x" + "13" * 20, "--expires", "1h")
    assert "has 2 agents already" in line
    own = trader.json("address")["address"]
    line, _ = trader.fails(2, "agent", "set", "--agent", own, "--expires", "1h")
    assert "an owner needs no grant" in line
    line, _ = trader.fails(2, *grant, "--first-slot", "110")
    assert "run from --first-slot" in line

    for index in ("0", "1"):
        trader.json("agent", "revoke", "--index", index)
    assert held_by(trader, int(account))["agents"] == [None, None]
    line, _ = agent.fails(14, *order)
    assert "BAD_SIGNATURE" in line
    trader.json("cancel", "--all")


def test_an_owner_bounds_leverage(trader: Shell) -> None:
    account = str(trader.json("isolated", "open", "--market", "BTC", "--amount", "101")["account"])
    order = ("order", "--market", "BTC", "--side", "buy", "--size", "0.01", "--price", oracle_price(trader, 970))
    dry = trader.json("leverage", "--max", "3", "--dry-run", account=account)
    assert dry["typed_data"]["message"]["initial_ppm"] == 333_334
    assert held_by(trader, int(account))["own_initial_ppm"] == 0
    trader.json("leverage", "--max", "3", account=account)
    assert held_by(trader, int(account))["own_initial_ppm"] == 333_334
    assert "at most 3.00x" in trader.run("positions", account=account).stdout
    # Some 680 dollars would need 220 of them.
    line, _ = trader.fails(14, *order, account=account)
    assert "MARGIN" in line
    trader.json("leverage", "--max", "none", account=account)
    assert trader.json(*order, account=account)["status"] == "resting"
    line, _ = trader.fails(2, "leverage", "--max", "0.5", account=account)
    assert "is below 1" in line
    assert trader.json("isolated", "close", "--account", account)["closed"]


def test_a_wallet_stays_with_the_rollup_that_it_first_used(node: Node, tmp_path: Path) -> None:
    shell = Shell(node, tmp_path)
    shell.json("new", "--light-kdf")
    first = shell.run("faucet")
    assert first.exit_code == 0, first.stderr
    assert f"notice: first use of rollup 0x{node.rollup.hex()}" in first.stderr.lower()
    for part in ("notice: its operator is 0x", "oracle signers: 0x", f"notice: a batch is final {A_WHILE_SECONDS} s"):
        assert part in first.stderr
    assert "notice:" not in shell.run("faucet").stderr

    pinned = tmp_path / "rollup.json"
    assert mode(pinned) == 0o600
    other = json.loads(pinned.read_text()) | {"rollup": "0x" + "77" * 20}
    pinned.write_text(json.dumps(other))
    line, summary = shell.fails(3, "deposit", "--amount", "5")
    assert summary["error"] == "WRONG_CHAIN"
    assert "is pinned to rollup 0x7777" in line
    assert "--rollup-address" in line
    # Looking is refused as well: the numbers would be of something else.
    shell.fails(3, "positions", "--account", "17")
    # Each of the ways out that it names: the flag, a directory of its own with the same key, another pin.
    shell.json("faucet", "--rollup-address", "0x" + node.rollup.hex())
    shell.fails(3, "faucet")
    assert "another --wallet-dir, where --keystore" in line
    elsewhere = ("--wallet-dir", str(tmp_path / "second"), "--keystore", str(tmp_path / "default.json"))
    assert shell.json("faucet", *elsewhere)["address"] == shell.json("address")["address"]
    assert f"the pin is in {pinned}; remove it" in line
    pinned.unlink()
    shell.json("faucet")


def test_watch_follows_in_both_fashions(trader: Shell) -> None:
    result = trader.run("watch", "--updates", "2", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    updates = [json.loads(line) for line in result.stdout.splitlines()]
    assert [update.get("finality") for update in updates] == ["sequenced", "sequenced", None]
    for part in ("settled_micros", "maturing", "own_initial_ppm", "agents", "grace_until_ms"):
        assert part in updates[0]
    shown = trader.run("watch", "--updates", "2")
    assert shown.stderr == ""
    first, second = shown.stdout.splitlines()
    for part in ("equity $", "margin ratio", "free $", "open orders"):
        assert part in first
        assert part in second


def test_a_keystore_is_private_and_never_overwritten(node: Node, tmp_path: Path) -> None:
    shell = Shell(node, tmp_path / "wallets")
    made = shell.json("new", "--light-kdf", "--keystore", "second")
    path = Path(made["keystore"])
    assert path == tmp_path / "wallets" / "second.json"
    assert mode(path) == 0o600
    content = path.read_bytes()
    assert json.loads(content)["version"] == 3
    assert json.loads(content)["crypto"]["kdf"] == "scrypt"
    _, summary = shell.fails(19, "new", "--light-kdf", "--keystore", str(path))
    assert summary["error"] == "KEYSTORE_EXISTS"
    assert path.read_bytes() == content
    assert shell.json("address", keystore="second", password=None)["address"] == made["address"]


def test_passwords_come_from_file_or_prompt(node: Node, tmp_path: Path) -> None:
    shell = Shell(node, tmp_path)
    password_file = tmp_path / "password"
    password_file.write_text("from a file\nsecond line\n")
    result = shell.run("new", "--light-kdf", typed="typed\ntyped\n", password=None)
    assert result.exit_code == 0, result.stderr
    mistyped = shell.run("new", "--light-kdf", "--keystore", "other", typed="typed\ntipped\n", password=None)
    assert mistyped.exit_code == 17
    assert not (tmp_path / "other.json").exists()
    shell.json("new", "--light-kdf", "--keystore", "third", "--password-file", str(password_file))
    deposit = ("deposit", "--amount", "5")
    # Right passwords get as far as the lack of money, wrong ones do not.
    shell.fails(16, *deposit, password="typed")
    shell.fails(17, *deposit, password="Typed")
    shell.fails(17, *deposit, password="")
    shell.fails(16, *deposit, keystore="third", password_file=str(password_file))
    shell.fails(17, *deposit, keystore="third", password_file=str(tmp_path / "missing"))
    _, summary = shell.fails(18, *deposit, keystore="fourth")
    assert summary["error"] == "KEYSTORE_MISSING"
    (tmp_path / "broken.json").write_text('{"version": 3}')
    shell.fails(18, *deposit, keystore="broken")


def test_an_address_that_is_not_the_keys_is_not_believed(node: Node, tmp_path: Path) -> None:
    shell = Shell(node, tmp_path)
    made = shell.json("new", "--light-kdf")
    path = Path(made["keystore"])
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "address": "13" * 20}))
    line, _ = shell.fails(18, "withdraw", "--amount", "1", "--account", "17")
    assert f"names another address than that of its key, {made['address']}" in line
    # A keystore need not name its address.
    path.write_text(json.dumps({name: value for name, value in content.items() if name != "address"}))
    shell.fails(16, "deposit", "--amount", "5")
    shell.fails(18, "address")


def test_what_cannot_be_reached_is_said_in_one_line(trader: Shell) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    order = ("order", "--market", "BTC", "--side", "buy", "--size", "0.01", "--price", "1000")
    line, summary = trader.fails(10, *order, node_url=nowhere)
    assert nowhere in line
    assert summary["error"] == "NODE_UNREACHABLE"
    line, summary = trader.fails(3, *order, l1_rpc_url=nowhere)
    assert nowhere in line
    assert summary["error"] == "L1_UNREACHABLE"
    # The L1 is no node, and the node is no L1.
    trader.fails(14, *order, node_url=trader.environment["CATENARY_WALLET_L1_RPC_URL"])
    trader.fails(3, *order, l1_rpc_url=trader.environment["CATENARY_WALLET_NODE_URL"])
    line, summary = trader.fails(3, *order, rollup_address="0x" + "77" * 20)
    assert summary["error"] == "WRONG_CHAIN"
    # Looking needs no L1, but says so.
    result = trader.run("positions", l1_rpc_url=nowhere)
    assert result.exit_code == 0
    assert "warning: nothing here is checked against L1" in result.stderr
    assert "posted: not proven" in result.stdout


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"--size": "0.000001"}, "the smallest step is 0.00001 BTC"),
        ({"--price": "60000.25"}, "the smallest step is 0.1 dollars"),
        ({"--size": "0"}, "is zero"),
        ({"--size": "-1"}, "is not a decimal number"),
        ({"--price": "6e4"}, "is not a decimal number"),
        ({"--market": "DOGE"}, "there are BTC, ETH, SOL"),
        ({"--expires": "25h"}, "may live 86400 s at most"),
        ({"--expires": "11s", "--time-in-force": "ioc"}, "may live 10 s at most"),
        ({"--expires": "soon"}, "is not a duration"),
        ({"--trigger-above": "1", "--trigger-below": "2"}, "one trigger"),
    ],
)
def test_bad_input_names_what_is_wrong(trader: Shell, changes: dict[str, str], sentence: str) -> None:
    given = {"--market": "BTC", "--side": "buy", "--size": "0.01", "--price": "60000", **changes}
    line, summary = trader.fails(2, "order", *(part for option in given.items() for part in option))
    assert sentence in line
    assert summary["error"] == "BAD_INPUT"


def test_rejections_carry_the_laws_name(trader: Shell, other: Shell) -> None:
    line, summary = trader.fails(14, "withdraw", "--amount", "9999999")
    assert "COLLATERAL: The amount is more than the account's settled collateral, or nothing may leave." in line
    assert summary["code"] == -33_031
    line, summary = trader.fails(14, "withdraw", "--amount", "1", account=other.environment["CATENARY_WALLET_ACCOUNT"])
    assert "BAD_SIGNATURE" in line
    assert summary["recovered"] == trader.json("address")["address"].lower()
    assert summary["expected_owner"] == other.json("address")["address"].lower()
    assert summary["digest"] in line
    statuses = [entry["status"] for entry in trader.json("orders")["signatures"]]
    assert statuses[-2:] == ["refused", "refused"]
    line, _ = trader.fails(14, "order", "--market", "BTC", "--side", "buy", "--size", "0.00001", "--price", "60000")
    assert "TOO_SMALL" in line


def test_deposits_need_money_a_minimum_and_an_account_of_ones_own(trader: Shell, other: Shell) -> None:
    line, _ = trader.fails(
        2, "deposit", "--amount", "5", "--account", other.environment["CATENARY_WALLET_ACCOUNT"] or ""
    )
    assert "is somebody else's" in line
    line, _ = trader.fails(14, "deposit", "--amount", "5", "--account", "1000")
    assert "NO_ACCOUNT" in line
    line, summary = trader.fails(16, "deposit", "--amount", "100000000")
    assert summary["error"] == "INSUFFICIENT_FUNDS"
    assert "$100,000,000.00 are needed on L1" in line
    line, _ = trader.fails(2, "deposit", "--amount", "0.5")
    assert "$1.00 at least" in line


def test_options_come_from_flag_environment_and_file(trader: Shell, tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    config = tmp_path / "wallet.toml"
    config.write_text(f'[common]\nl1-rpc-url = "{nowhere}"\n[wallet.order]\nmarket = "ETH"\nside = "sell"\n')
    order = ("order", "--size", "0.1", "--price", "3000", "--dry-run", "--config", str(config))
    # The environment wins over the file, a flag over both.
    assert trader.json(*order)["typed_data"]["message"]["market"] == 1
    assert trader.json(*order, order_market="SOL", order_side="buy")["typed_data"]["message"]["market"] == 2
    assert trader.json(*order, "--market", "BTC", order_market="SOL")["typed_data"]["message"]["market"] == 0
    line, _ = trader.fails(3, *order, l1_rpc_url=None)
    assert nowhere in line


def test_a_node_that_lies_about_a_withdrawal_gets_no_claim(trader: Shell, node: Node, tmp_path: Path) -> None:
    index = trader.json("withdraw", "--amount", "3")["withdrawal_index"]

    class LyingNode(NodeClient):
        """Claims that the withdrawal goes to somebody else."""

        async def withdrawal_proof(self, index: int) -> WithdrawalProof:
            honest = await super().withdrawal_proof(index)
            return msgspec.structs.replace(honest, recipient="0x" + "13" * 20)

    async def main() -> None:
        address = parse_address(trader.json("address")["address"])
        async with NodeClient(node.url) as honest, LyingNode(node.url) as lying, L1Client(node.l1_url) as l1:
            believer = Wallet(honest, l1, address, tmp_path, options=WalletOptions(poll_seconds=0.1))
            with pytest.raises(NotYet, match="is final in"):
                await posted(believer)
            liar = Wallet(lying, l1, address, tmp_path)
            with pytest.raises(BadProof, match="does not lead from the withdrawal"):
                await liar.verified.withdrawal(index)
            # So L1 is asked alone, and no batch of it that is final has this one.
            with pytest.raises(NotYet, match=f"withdrawal {index} is in no final batch, .* by L1's log alone"):
                await liar.bridge.claim(index, wait=False, timeout_seconds=10)

    async def posted(believer: Wallet) -> None:
        with trio.fail_after(PATIENCE_SECONDS):
            while True:
                try:
                    await believer.verified.withdrawal(index)
                except NotYet:
                    await trio.sleep(0.1)
                else:
                    await believer.bridge.claim(index, wait=False, timeout_seconds=0)

    trio.run(main)


def test_an_unlocked_wallet_signs_without_the_password(trader: Shell) -> None:
    order = ("order", "--market", "BTC", "--side", "buy", "--size", "0.001", "--price", oracle_price(trader, 970))
    trader.fails(17, *order, password="wrong")
    trader.json("unlock", "--minutes", "5")
    try:
        placed = trader.json(*order, password="wrong")
        assert placed["status"] == "resting"
        trader.json("cancel", "--slot", str(placed["slot"]), password="wrong")
        # An L1 transaction too, by its digest.
        account = trader.environment["CATENARY_WALLET_ACCOUNT"] or ""
        trader.json("deposit", "--amount", "2", "--account", account, password="wrong")
    finally:
        assert trader.json("lock")["was_unlocked"]
    trader.fails(17, *order, password="wrong")
