"""`catenary oracle` as its operator has it: a process beside a real node, and every way to ask for the wrong thing."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from eth_account import Account

from prover.cli.main import cli
from prover.cli.running import EXIT_BROKEN, EXIT_USAGE
from prover.signing import signatures
from prover.signing.reports import signed_report
from prover.stf import codes
from sequencer.client.clock import wall_clock_ms
from sequencer.devnet.prices import devnet_signer_keys
from sequencer.schema.answers import MarketView
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.answers import answer
from tests.sequencer.node_process import ROOT, node_inside
from tests.sequencer.node_world import BRIDGE

STATUS = {
    "chain_id": 31_337,
    "rollup_address": "0x" + BRIDGE.hex(),
    "referee_address": "0x" + "12" * 20,
    "token_address": "0x" + "13" * 20,
    "l1_block": 0,
    "law_version": 2,
    "state_root": "0x" + "00" * 32,
    "sequenced": {"chunk": 0, "operations": 0, "timestamp_ms": 0, "queue_count": 0},
    "posted": {"batch": 0, "chunks": 0, "root": ""},
    "final": {"batch": 0},
    "now_ms": 0,
    "grace_until_ms": 0,
    "ready": True,
    "reasons": [],
}
BTC: dict[str, Any] = msgspec.to_builtins(answer(MarketView, name="BTC", size_decimals=5, price_decimals=1))


class Answering(BaseHTTPRequestHandler):
    """Answers in JSON and says nothing of it."""

    def answer(self, content: dict[str, Any]) -> None:
        """200 with this content."""
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing to say."""


@contextmanager
def told_node(**changes: Any) -> Iterator[str]:
    """Something that answers like a node with one market, changed as told; it takes no reports.

    later: what it lists once it was told a report of one market, which it refuses for that. takes: it takes all.
    """
    later, listed = changes.pop("later", None), changes.pop("markets", [BTC])
    takes = changes.pop("takes", False)
    answers = {"catenary_status": {**STATUS, **changes}, "catenary_markets": listed}
    if takes:
        answers["catenary_report"] = {"status": "counted", "received": 1, "quorum": 5}

    class Handler(Answering):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer: dict[str, Any] = {"jsonrpc": "2.0", "id": asked["id"]}
            if asked["method"] in answers:
                answer["result"] = answers[asked["method"]]
            elif later is not None and asked["method"] == "catenary_report":
                answers["catenary_markets"] = later
                answer["error"] = {"code": -33_000 - codes.QUORUM, "message": "no", "data": {"name": "QUORUM"}}
            else:
                answer["error"] = {"code": -32021, "message": "no", "data": {"name": "NO_REPORTS"}}
            self.answer(answer)

    with serving(Handler) as url:
        yield url


@contextmanager
def shop(*answers: dict[str, Any]) -> Iterator[str]:
    """A source of prices: what stands at /0, /1 and so on."""

    class Handler(Answering):
        def do_GET(self) -> None:
            self.answer(answers[int(self.path[1:])])

    with serving(Handler) as url:
        yield url


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """An HTTP server on a free port."""
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def oracle(*options: str, **environment: str) -> Result:
    """One run in this process."""
    return CliRunner().invoke(cli, ["oracle", "--json", "--log-level", "error", *options], env=environment)


def refused(*options: str, status: int = EXIT_USAGE) -> str:
    """What a run that must fail says."""
    result = oracle(*options)
    assert result.exit_code == status, (result.output, result.exception)
    return result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "--signer-index"),
        (("--signer-index", "7"), "is not in the range"),
        (("--signer-index", "0", "--source", "recorded"), "needs --series"),
        (("--signer-index", "0", "--source", "http"), "needs --http-price"),
        (("--signer-index", "0", "--start-price", "BTC"), "is not market=dollars"),
        (("--signer-index", "0", "--start-price", "BTC=-1"), "not a price"),
        (("--signer-index", "0", "--http-price", "BTC=ftp://x#p"), "URL#path"),
        (("--signer-index", "0", "--market", "BTC=7"), "0 to 6 decimals"),
        (("--signer-index", "0", "--beta", "BTC=nan"), "between -10 and 10"),
        (("--signer-index", "0", "--keystore", "missing.json", "--password-file", "missing"), "cannot be read"),
        (("--drill", "--signer-index", "0"), "all signers of a devnet"),
    ],
)
def test_what_does_not_go_together(options: tuple[str, ...], words: str) -> None:
    assert words in refused(*options)


def test_a_wrong_password_opens_no_key(tmp_path: Path) -> None:
    keystore, password = tmp_path / "key.json", tmp_path / "password"
    keystore.write_bytes(msgspec.json.encode(Account.encrypt(devnet_signer_keys()[0], "right", iterations=4_096)))
    password.write_text("wrong\n")
    words = refused("--signer-index", "0", "--keystore", str(keystore), "--password-file", str(password))
    assert "made with another password" in words


def test_beside_devnets_nothing_is_left_to_a_nodes_word() -> None:
    address = "0x" + BRIDGE.hex()
    fixed = ["--signer-index", "0", "--chain-id", "1", "--rollup-address", address, "--market", "BTC=1"]
    with told_node(chain_id=1) as url:
        for left_out in (2, 4, 6):
            options = fixed[:left_out] + fixed[left_out + 2 :]
            assert "--chain-id, --rollup-address and --market are required" in refused(*options, "--node-url", url)
        assert "--keystore is required" in refused(*fixed, "--node-url", url)


def test_a_node_of_another_venue_gets_no_signature() -> None:
    with told_node() as url:
        node = ("--signer-index", "0", "--node-url", url)
        assert "has the chain 31337, expected was 1" in refused(*node, "--chain-id", "1")
        assert "has the rollup" in refused(*node, "--rollup-address", "0x" + "22" * 20)
        assert "has the list of markets BTC:1" in refused(*node, "--market", "BTC=2")


def test_every_market_needs_a_price(tmp_path: Path) -> None:
    series = tmp_path / "eth.csv"
    series.write_text("timestamp,close\n2022-01-01,3700\n2022-01-02,3800\n")
    with told_node() as url:
        node = ("--signer-index", "0", "--node-url", url)
        recorded = ("--source", "recorded", "--series", f"ETH={series}")
        assert "Market BTC has no price" in refused(*node, *recorded)
        assert "Market BTC has no price" in refused(*node, "--source", "http", "--http-price", "ETH=http://x#p")
        assert "cannot be read" in refused(*node, "--source", "recorded", "--series", "BTC=missing.csv")


def test_a_promise_that_does_not_hold_is_no_success() -> None:
    with told_node() as url:
        result = oracle("--signer-index", "3", "--ticks", "1", CATENARY_ORACLE_NODE_URL=url)
    assert result.exit_code == EXIT_BROKEN
    *_, report, summary = (json.loads(line) for line in result.stdout.splitlines())
    assert report["answers"] == {url: "NO_REPORTS"}
    assert summary == {"event": "summary", "signer_index": 3, "grid_times": 1, "signed": 1, "taken": 0}


def reported(*options: str) -> list[int]:
    """The prices of the only report of a run that keeps its promise."""
    result = oracle("--signer-index", "3", "--ticks", "1", *options)
    assert result.exit_code == 0, (result.output, result.exception)
    *_, report, summary = (json.loads(line) for line in result.stdout.splitlines())
    assert set(report["answers"].values()) == {"counted"}
    assert summary == {"event": "summary", "signer_index": 3, "grid_times": 1, "signed": 1, "taken": 1}
    prices: list[int] = report["prices_ticks"]
    return prices


def test_a_recording_is_signed(tmp_path: Path) -> None:
    series = tmp_path / "btc.csv"
    series.write_text("timestamp,close\n" + "".join(f"2022-01-01T00:0{minute}:00Z,46216.5\n" for minute in range(3)))
    recorded = ("--source", "recorded", "--series", f"BTC={series}")
    with told_node(takes=True) as url:
        assert reported("--node-url", url, *recorded) == [462_165]
    # One that is made of it: half its moves, of which there are none, from a start of its own.
    made = ("--beta", "DOGE=0.5", "--beta-noise-ppm", "0", "--start-price", "DOGE=0.25")
    with told_node(takes=True, markets=[BTC, DOGE]) as url:
        assert reported("--node-url", url, *recorded, *made) == [462_165, 250]
    # Played once, and long ago.
    with told_node(takes=True) as url:
        result = oracle("--signer-index", "3", "--ticks", "1", "--node-url", url, *recorded, "--play-from-ms", "0")
    assert result.exit_code == EXIT_BROKEN
    silent = json.loads(result.stdout.splitlines()[-2])
    assert (silent["event"], silent["reason"]) == ("silent", "BTC: no price")


def test_prices_over_http_are_signed() -> None:
    answers = [{"result": {"last": [text]}} for text in ("60000.04", "60000.16", "1.5")]
    with told_node(takes=True) as url, shop(*answers) as prices:
        several = [part for place in range(3) for part in ("--http-price", f"BTC={prices}/{place}#result.last.0")]
        # The median of three, to the nearest tick.
        assert reported("--node-url", url, "--source", "http", *several) == [600_000]
        assert reported("--node-url", url, "--source", "http", *several[2:4]) == [600_002]


def test_a_signer_goes_on_with_the_markets_that_are_listed() -> None:
    with told_node(later=[BTC, DOGE]) as url:
        result = oracle("--signer-index", "3", "--ticks", "2", "--node-url", url)
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["markets"] for event in events if event["event"] == "ready"] == [["BTC"], ["BTC", "DOGE"]]
    assert [len(event["prices_ticks"]) for event in events if event["event"] == "report"] == [1, 2]


DOGE = BTC | {"index": 1, "name": "DOGE", "size_decimals": 3, "price_decimals": 3}


def markets_signed(*options: str) -> list[int]:
    """How many prices each report of two grid times has."""
    result = oracle("--signer-index", "3", "--ticks", "2", *options)
    events = [json.loads(line) for line in result.stdout.splitlines()]
    return [len(event["prices_ticks"]) for event in events if event["event"] == "report"]


def test_a_node_that_lists_other_markets_afterwards_is_not_followed() -> None:
    with told_node(later=[BTC | {"name": "DOGE"}]) as url:
        assert markets_signed("--node-url", url) == [1, 1]


def test_one_lying_node_of_two_neither_ends_a_signer_nor_mutes_it() -> None:
    with told_node(markets=[BTC | {"name": "DOGE"}]) as liar, told_node() as honest:
        assert markets_signed("--node-url", liar, "--node-url", honest, "--market", "BTC=1") == [1, 1]
    with told_node() as short, told_node(markets=[BTC, DOGE]) as whole:
        assert markets_signed("--node-url", short, "--node-url", whole) == [2, 2]


def test_a_process_with_a_keystore_completes_a_real_nodes_quorum(tmp_path: Path) -> None:
    keystore, password = tmp_path / "key.json", tmp_path / "password"
    keystore.write_bytes(msgspec.json.encode(Account.encrypt(devnet_signer_keys()[6], "word", iterations=4_096)))
    password.write_text("word\n")
    with node_inside(tmp_path / "node", "--no-oracle") as node:
        assert [market["price_ticks"] for market in node.client.call("catenary_markets")] == [0, 0, 0]
        command = [
            sys.executable,
            "-m",
            "prover.cli.main",
            "oracle",
            "--json",
            "--node-url",
            node.url,
            "--signer-index",
            "6",
        ]
        options = ["--keystore", str(keystore), "--password-file", str(password), "--ticks", "1"]
        starts = ["--start-price", "BTC=50000"]
        process = subprocess.run(
            [*command, *options, *starts], cwd=ROOT, capture_output=True, timeout=PATIENCE_SECONDS, check=True
        )
        *_, said, summary = (json.loads(line) for line in process.stdout.splitlines())
        assert summary["taken"] == 1
        assert said["answers"] == {node.url: "counted"}
        assert said["prices_ticks"][0] == pytest.approx(500_000, rel=0.1)
        # Four more, in the words of the API; the last one makes the tick.
        for index in (5, 0, 3, 1):
            prices = [price - 1 + index for price in said["prices_ticks"]]
            sign = partial(signatures.sign, devnet_signer_keys()[index])
            report = signed_report(node.domain, sign, said["time_ms"], index, prices, [0, 0, 0])
            fields = {**msgspec.structs.asdict(report), "signature": "0x" + report.signature.hex()}
            status = node.client.call("catenary_report", **fields)["status"]
        assert status == "tick"
        while not (found := node.client.call("catenary_reports", time_ms=said["time_ms"])[0])["code"]:
            assert wall_clock_ms() < said["time_ms"] + PATIENCE_SECONDS * 1_000
        assert found["code"] == "OK"
        assert found["chosen"] == [0, 1, 3, 5, 6]
        assert found["reports"][0]["signature"] == said["signature"]
        market = node.client.call("catenary_markets")[0]
        assert market["tick_time_ms"] == said["time_ms"]
        # In order: -1, 0 (signer 1's and signer 6's), +2, +4.
        assert market["price_ticks"] == said["prices_ticks"][0]
