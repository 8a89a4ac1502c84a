"""A real node, a real gateway as a process, and unmodified programs of another venue, one of each for all tests."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from l1_bridge.hashing import keccak
from prover.signing.signatures import address_of
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import ROOT, Node
from tests.sequencer.wallet_node import Shell, still_node, trader_of

PROGRAMS = ROOT / ".venv" / "programs" / "bin" / "python"
SIGNER_KEY = keccak(b"a fresh key of a program of another venue")
SIGNER = "0x" + address_of(SIGNER_KEY).hex()


class World(msgspec.Struct, frozen=True):
    """A venue, an owner's wallet on it, and the gateway's URL."""

    node: Node
    owner: Shell
    account: int
    url: str
    client: httpx.Client

    def post(self, path: str, body: Any) -> Any:
        """What the gateway answers, which is always HTTP 200."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = self.client.post(path, content=content)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def info(self, kind: str, **question: Any) -> Any:
        """The answer to one question."""
        return self.post("/info", {"type": kind, **question})


class Programs:
    """Another venue's programs, in their own environment."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def answer(self, on: str, call: str, *args: Any, **named: Any) -> dict[str, Any]:
        """What a call gives or raises."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"on": on, "call": call, "args": args, "named": named}) + "\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told

    def call(self, on: str, call: str, *args: Any, **named: Any) -> Any:
        """The result of a call that succeeds."""
        answer = self.answer(on, call, *args, **named)
        assert "ok" in answer, answer
        return answer["ok"]

    def fails(self, on: str, call: str, *args: Any, **named: Any) -> tuple[str, str]:
        """Type and text of what a call raises."""
        answer = self.answer(on, call, *args, **named)
        assert "error" in answer, answer
        kind, text = answer["error"]
        return kind, text


@contextmanager
def running_gateway(owner: Shell, *options: str) -> Iterator[str]:
    """`catenary gateway` as a process, on a free port; its URL."""
    command = [sys.executable, "-c", "from prover.cli.main import main; main()", "gateway", "--json", "--port", "0"]
    environment = owner.environment
    shared = ["--node-url", str(environment["CATENARY_WALLET_NODE_URL"])]
    shared += ["--l1-rpc-url", str(environment["CATENARY_WALLET_L1_RPC_URL"]), "--wallet-dir", str(owner.directory)]
    process = subprocess.Popen([*command, *shared, *options], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        ready = process.stdout.readline()
        assert '"ready"' in ready, ready
        yield json.loads(ready)["url"]
    finally:
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0
        process.stdout.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An account with 5,000 dollars whose owner has let the gateway's key trade, and a maker to trade with."""
    directory = tmp_path_factory.mktemp("gateway")
    password = directory / "password"
    password.write_text("correct horse\n")
    with still_node(directory / "node", "--private-channels") as node:
        owner = trader_of(node, directory / "wallets")
        account = int(str(owner.environment["CATENARY_WALLET_ACCOUNT"]))
        agent = owner.json("new", "--light-kdf", "--keystore", "agent")["address"]
        owner.json("agent", "set", "--agent", agent, "--expires", "1d")
        options = ("--signer", SIGNER, str(account), "agent", "--password-file", str(password))
        with (
            running_gateway(owner, *options) as url,
            httpx.Client(base_url=url, trust_env=False, verify=False, timeout=PATIENCE_SECONDS) as client,
        ):
            yield World(node, owner, account, url, client)


@pytest.fixture(scope="module")
def programs(world: World) -> Iterator[Programs]:
    """The SDK and ccxt against the gateway."""
    if not PROGRAMS.exists():
        pytest.skip("the SDK and ccxt are not installed: `make setup` installs them")
    driver = Path(__file__).with_name("driver.py")
    command = [str(PROGRAMS), str(driver), world.url, "0x" + SIGNER_KEY.hex(), SIGNER]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert json.loads(process.stdout.readline())["ok"]
        yield Programs(process)
    finally:
        process.stdin.close()
        process.wait(PATIENCE_SECONDS)
        process.stdout.close()
