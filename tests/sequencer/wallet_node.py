"""A real node on a real L1 as processes, and the command line of a wallet against them."""

import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import IO, Any

from click.testing import CliRunner, Result

from prover.cli.main import cli
from prover.signing.typed_data import domain_separator
from tests.l1_bridge.l1_nodes import ANVIL, anvil
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import still_prices

ROOT = Path(__file__).parents[2]
WINDOW_SECONDS = 3
BLOCK_SECONDS = 0.2


class RunningNode:
    """Where the node, its L1 and its rollup are."""

    def __init__(self, ready: dict[str, Any]) -> None:
        self.url: str = ready["url"]
        self.l1_url: str = ready["l1_rpc_url"]
        self.rollup: str = ready["rollup_address"]
        self.chain_id: int = ready["chain_id"]

    @property
    def domain(self) -> bytes:
        """What is signed for it."""
        return domain_separator(self.chain_id, bytes.fromhex(self.rollup.removeprefix("0x")))


def _drain(stream: IO[str]) -> None:
    """Reads on, so that a talkative L1 never waits for a full pipe."""
    with suppress(ValueError):
        deque(stream, maxlen=0)


@contextmanager
def running_node(datadir: Path, *more: str) -> Iterator[RunningNode]:
    """`catenary node` on free ports, stopped at the end; on anvil with fast blocks, else on the embedded L1."""
    with ExitStack() as stack:
        options = ["--datadir", str(datadir), "--port", "0", "--window", str(WINDOW_SECONDS), "--json"]
        options += ["--seal-seconds", "0.2", "--post-interval", "0.3", "--log-level", "error", *more]
        if ANVIL.exists():
            l1 = stack.enter_context(anvil("--block-time", str(BLOCK_SECONDS)))
            Thread(target=_drain, args=(l1.process.stdout,), daemon=True).start()
            options += ["--l1-rpc-url", l1.url, "--deploy"]
        else:
            options += ["--l1-port", "0"]
        command = [sys.executable, "-c", "from prover.cli.main import main; main()", "node", *options]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            ready = process.stdout.readline()
            assert ready, f"the node ended with {process.wait(PATIENCE_SECONDS)}"
            yield RunningNode(json.loads(ready))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_SECONDS)
            process.stdout.close()


@contextmanager
def still_node(datadir: Path, *more: str) -> Iterator[RunningNode]:
    """The same with ticks that move no price: what a wallet reads twice differs by what was done in between alone."""
    with running_node(datadir, "--no-oracle", *more) as node, still_prices(node.url, node.domain):
        yield node


class Shell:
    """One trader's command line: `catenary wallet` with the environment of that trader."""

    def __init__(self, node: RunningNode, directory: Path, password: str = "correct horse") -> None:
        self.directory = directory
        self.environment: dict[str, str | None] = {
            "CATENARY_WALLET_NODE_URL": node.url,
            "CATENARY_WALLET_L1_RPC_URL": node.l1_url,
            "CATENARY_WALLET_DIR": str(directory),
            "CATENARY_WALLET_PASSWORD": password,
            "CATENARY_WALLET_POLL_INTERVAL": "0.1",
        }

    def run(self, *arguments: str, typed: str | None = None, **environment: str | None) -> Result:
        """One command; `environment` by the last part of its name, None to unset."""
        changed = {f"CATENARY_WALLET_{name.upper()}": value for name, value in environment.items()}
        return CliRunner().invoke(cli, ["wallet", *arguments], input=typed, env={**self.environment, **changed})

    def json(self, *arguments: str, **environment: str | None) -> dict[str, Any]:
        """The summary of a command that succeeds."""
        result = self.run(*arguments, "--json", **environment)
        assert result.exit_code == 0, (arguments, result.stderr)
        summary: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
        assert summary["ok"] is True
        return summary

    def fails(self, status: int, *arguments: str, **environment: str | None) -> tuple[str, dict[str, Any]]:
        """The one line on stderr and the summary of a command that fails with a status."""
        result = self.run(*arguments, "--json", **environment)
        assert result.exit_code == status, (arguments, result.exit_code, result.stderr, result.exception)
        lines = [line for line in result.stderr.splitlines() if not line.startswith(("warning: ", "notice: "))]
        assert len(lines) == 1, result.stderr
        assert lines[0].startswith("error: ")
        summary: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
        assert summary["ok"] is False
        return lines[0], summary


def trader_of(node: RunningNode, directory: Path) -> Shell:
    """A wallet with 5,000 dollars of play money in one account."""
    shell = Shell(node, directory)
    shell.json("new", "--light-kdf")
    shell.environment["CATENARY_WALLET_ACCOUNT"] = str(shell.json("deposit", "--amount", "5000", "--faucet")["account"])
    return shell


def mode(path: Path) -> int:
    """The permission bits of a file."""
    return os.stat(path).st_mode & 0o777
