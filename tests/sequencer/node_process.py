"""`catenary node` as a process of its own or on a thread, and a plain client: what operators and strangers have."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Any, Final, Self

import httpx
import msgspec
import structlog
import trio
from click.testing import CliRunner

from l1_bridge.client.client import L1Client
from l1_bridge.client.keys import development_key
from l1_bridge.client.options import L1Options
from prover.cli.main import cli
from prover.contracts.deployment import Deployment
from prover.signing.reports import signed_report
from prover.signing.signatures import sign
from prover.signing.typed_data import domain_separator
from prover.stf import constants
from sequencer.client.clock import wall_clock_ms
from sequencer.devnet.funding import fund
from sequencer.devnet.prices import DEVNET_QUORUM, devnet_signer_keys
from sequencer.devnet.signing_account import SigningAccount
from sequencer.node.commands import NodeOptions, config_of
from sequencer.node.commands import node as node_command
from sequencer.node.node import Running, run
from tests.l1_bridge.l1_nodes import ANVIL, L1Node, anvil, embedded_l1
from tests.patience import PATIENCE_SECONDS

ROOT: Final = Path(__file__).parents[2]
# Of BTC, ETH and SOL, in ticks: what `still_prices` says.
PRICES: Final = (600_000, 300_000, 1_500_000)
# Of a challenge window or a delay that a test lets pass on L1: too long for the slowest machine to pass by itself.
A_WHILE_SECONDS: Final = PATIENCE_SECONDS if ANVIL.exists() else 3
FAST: Final = ("--no-maker", "--seal-seconds", "0.1", "--post-interval", "0.2", "--log-level", "warning")
# A call that the node has not begun, for its caller had asked too much, is sent so often at most.
_ASKED_AGAIN: Final = 40


class Node:
    """A node that is ready, whatever it runs in."""

    def __init__(self, url: str, l1_url: str, rollup: bytes, chain_id: int) -> None:
        self.url = url
        self.l1_url = l1_url
        self.rollup = rollup
        self.chain_id = chain_id
        self.domain = domain_separator(chain_id, rollup)
        self.client = Client(url)

    def l1_time_ms(self) -> int:
        """The time of L1's latest block, of whole seconds: what was signed in the same second may be later than it."""
        asked = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": ["latest", False]}
        answer = httpx.post(self.l1_url, json=asked, trust_env=False, verify=False, timeout=PATIENCE_SECONDS)
        return int(answer.json()["result"]["timestamp"], 16) * 1_000

    def pass_time(self, seconds: int) -> None:
        """L1's clock moves on at once where it is anvil's; the embedded L1's moves by itself alone."""
        if ANVIL.exists():
            for method, params in (("evm_increaseTime", [seconds]), ("evm_mine", [])):
                asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
                answer = httpx.post(self.l1_url, json=asked, trust_env=False, verify=False, timeout=PATIENCE_SECONDS)
                assert "error" not in answer.json(), answer.text


class NodeProcess(Node):
    """A node that said that it is ready."""

    def __init__(self, process: subprocess.Popen[str], ready: dict[str, Any]) -> None:
        rollup = bytes.fromhex(ready["rollup_address"].removeprefix("0x"))
        super().__init__(ready["url"], ready["l1_rpc_url"], rollup, ready["chain_id"])
        self.process = process
        self.ready = ready

    @property
    def l1_process(self) -> int:
        """The embedded L1's process id."""
        # Any thread may have started it.
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        children = [child for task in tasks for child in task.read_text().split()]
        for child in children:
            if b"l1_bridge.devnet.server" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
        raise AssertionError(f"no L1 among {children}")

    def kill(self) -> None:
        """kill -9 of the node alone."""
        self.process.kill()
        self._ended()

    def kill_with_l1(self) -> None:
        """kill -9 of the node and of its L1 at one moment."""
        l1_process = self.l1_process
        # Stopped first, so that neither sees the other's end.
        os.kill(self.process.pid, signal.SIGSTOP)
        os.kill(l1_process, signal.SIGKILL)
        self.process.kill()
        self._ended()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self._ended()

    def _ended(self) -> int:
        code = self.process.wait(PATIENCE_SECONDS)
        self.client.close()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code


class Client:
    """JSON-RPC by HTTP, with nothing done for the caller but to wait where it asked too much."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, trust_env=False, verify=False, timeout=PATIENCE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._http.close()

    def post(self, body: bytes) -> Any:
        """What the node answers to these bytes."""
        return self._http.post("/", content=body).json()

    def answer(self, method: str, **params: Any) -> dict[str, Any]:
        """The whole answer to a call."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        for _ in range(_ASKED_AGAIN):
            answer: dict[str, Any] = self.post(body)
            refusal = answer.get("error", {}).get("data", {})
            if refusal.get("name") != "RATE_LIMITED":
                break
            time.sleep(refusal["retry_after_ms"] / 1_000)
        return answer

    def call(self, method: str, **params: Any) -> Any:
        """The result of a call that succeeds."""
        answer = self.answer(method, **params)
        assert "result" in answer, answer
        return answer["result"]

    def refused(self, method: str, **params: Any) -> tuple[int, str, dict[str, Any]]:
        """(code, name, data) of a call that fails."""
        answer = self.answer(method, **params)
        assert "error" in answer, answer
        error = answer["error"]
        assert isinstance(error["message"], str)
        assert error["message"]
        data = dict(error["data"])
        return error["code"], data.pop("name"), data

    def status(self) -> dict[str, Any]:
        """catenary_status."""
        status: dict[str, Any] = self.call("catenary_status")
        return status


def command(*options: str) -> list[str]:
    """The command line of a node."""
    return [sys.executable, "-c", "from prover.cli.main import main; main()", "node", "--json", *options]


@contextmanager
def running(datadir: Path, *options: str) -> Iterator[NodeProcess]:
    """A node over `datadir` and its embedded L1 on free ports; stopped unless the test did."""
    flags = ["--datadir", str(datadir), "--port", "0", "--l1-port", "0", *FAST, *options]
    process = subprocess.Popen(command(*flags), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ready = process.stdout.readline()
    if '"ready"' not in ready:
        process.stdout.close()
        raise AssertionError(f"the node ended with code {process.wait(PATIENCE_SECONDS)}: {ready}")
    node = NodeProcess(process, json.loads(ready))
    try:
        yield node
    finally:
        if process.poll() is None:
            node.stop()


@contextmanager
def some_l1(datadir: Path, *options: str) -> Iterator[L1Node]:
    """anvil with fast blocks where it is installed, else the embedded L1; both know --chain-id."""
    with anvil("--block-time", "0.2", *options) if ANVIL.exists() else embedded_l1(datadir, *options) as l1:
        yield l1


# How it was logged before the first of those inside, who need not leave in the order in which they came.
_BEFORE: list[dict[str, Any]] = []


@contextmanager
def own_logging() -> Iterator[None]:
    """Whatever is logged as inside, it is logged as before the first one behind the last one."""
    _BEFORE.append(_BEFORE[0] if _BEFORE else structlog.get_config())
    try:
        yield
    finally:
        before = _BEFORE.pop()
        if not _BEFORE:
            structlog.configure(**before)


@contextmanager
def node_inside(datadir: Path, *options: str, usual: tuple[str, ...] = FAST) -> Iterator[Node]:
    """What `catenary node` runs, on a thread of the tests, on an L1 of its own where none is named.

    For tests of what a node answers; those of its process, signals and exits start one by `running`.
    """
    with ExitStack() as stack:
        flags = [
            "--datadir",
            str(datadir),
            "--port",
            "0",
            "--verifiers",
            "0",
            "--preflight-workers",
            "0",
            *usual,
            *options,
        ]
        if "--l1-rpc-url" not in options:
            flags += ["--l1-rpc-url", stack.enter_context(some_l1(datadir.with_name("l1"))).url, "--deploy"]
        with node_command.make_context("node", flags) as context:
            config = config_of(NodeOptions(**context.params))
        stack.enter_context(own_logging())
        # Its log would end up in whatever a test captures just then.
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
        is_up, started, ended = Event(), [], trio.Event()

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                running: Running = await nursery.start(run, config)
                started.append((trio.lowlevel.current_trio_token(), running))
                is_up.set()
                await ended.wait()
                nursery.cancel_scope.cancel()

        thread = stack.enter_context(ThreadPoolExecutor(1, "node"))
        outcome: Future[None] = thread.submit(trio.run, main)
        outcome.add_done_callback(lambda _: is_up.set())
        assert is_up.wait(PATIENCE_SECONDS)
        if outcome.done():
            outcome.result()
        token, running = started[0]
        node = Node(running.url, running.l1_url, running.deployment.bridge, running.deployment.chain_id)
        try:
            yield node
        finally:
            node.client.close()
            token.run_sync_soon(ended.set)
            outcome.result(PATIENCE_SECONDS)


def report(client: Client, domain: bytes, time_ms: int, prices: list[int]) -> str:
    """A quorum's reports of one time and no premium; what the last one made of them, "" where it was refused."""
    status = ""
    for index, key in enumerate(devnet_signer_keys()[:DEVNET_QUORUM]):
        made = signed_report(domain, partial(sign, key), time_ms, index, prices, [0] * len(prices))
        fields = {**msgspec.structs.asdict(made), "signature": "0x" + made.signature.hex()}
        status = client.answer("catenary_report", **fields).get("result", {}).get("status", "")
    return status


@contextmanager
def still_prices(url: str, domain: bytes, prices: Sequence[int] = PRICES) -> Iterator[None]:
    """Ticks that move no price and no funding of a node with --no-oracle, so that what is read twice is the same.

    prices: read anew at each tick, so that whoever changes them moves them.
    """
    ended, first = Event(), Event()

    def speak() -> None:
        with Client(url) as client:
            while not ended.is_set():
                now = wall_clock_ms()
                try:
                    status = report(client, domain, now - now % constants.TICK_STEP, list(prices))
                except httpx.HTTPError:
                    # A node that a test has killed or held up.
                    status = ""
                if status == "tick":
                    first.set()
                ended.wait((constants.TICK_STEP - wall_clock_ms() % constants.TICK_STEP + 20) / 1_000)

    thread = Thread(target=speak, daemon=True)
    thread.start()
    try:
        assert first.wait(PATIENCE_SECONDS), "no tick"
        yield
    finally:
        ended.set()
        thread.join(PATIENCE_SECONDS)


def refused_process(*options: str) -> subprocess.CompletedProcess[str]:
    """A node that must not come up."""
    return subprocess.run(
        command(*FAST, *options), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


def refused_node(*options: str) -> subprocess.CompletedProcess[str]:
    """The same in this process: what it says, and its exit code."""
    arguments = ["node", "--json", "--verifiers", "0", *FAST, *options]
    with own_logging():
        result = CliRunner().invoke(cli, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)


async def funded(node: Node, traders: list[SigningAccount], micros: int) -> None:
    """Deposits for each trader on L1, and waits until the node has opened their accounts."""
    async with L1Client(node.l1_url, L1Options(poll_seconds=0.1)) as l1:
        status = node.client.status()
        token = bytes.fromhex(status["token_address"][2:])
        await fund(l1, development_key(8), token, node.rollup, [(trader.address, micros) for trader in traders])
    with trio.fail_after(PATIENCE_SECONDS):
        for trader in traders:
            while not (accounts := node.client.call("catenary_accounts", owner="0x" + trader.address.hex())):
                await trio.sleep(0.05)
            trader.account = accounts[0]


def deployment_of(node: Node) -> Deployment:
    """The contracts as the node names them."""
    status = node.client.status()
    return Deployment(
        node.chain_id,
        node.rollup,
        bytes.fromhex(status["referee_address"][2:]),
        bytes.fromhex(status["token_address"][2:]),
    )
