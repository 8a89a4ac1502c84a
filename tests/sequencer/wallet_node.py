"""A real node on a real L1, and the command line of a wallet against them."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, TypeAlias

from click.testing import CliRunner, Result

from prover.cli.main import cli
from tests.sequencer.node_process import A_WHILE_SECONDS, Node, node_inside, still_prices


@contextmanager
def running_node(datadir: Path, *more: str) -> Iterator[Node]:
    """A node with a maker and a short window, stopped at the end."""
    usual = ("--window", str(A_WHILE_SECONDS), "--seal-seconds", "0.2", "--post-interval", "0.3")
    with node_inside(datadir, *more, usual=usual) as node:
        yield node


@contextmanager
def still_node(datadir: Path, *more: str) -> Iterator[Node]:
    """The same with ticks that move no price: what a wallet reads twice differs by what was done in between alone."""
    with running_node(datadir, "--no-oracle", *more) as node, still_prices(node.url, node.domain):
        yield node


class Shell:
    """One trader's command line: `catenary wallet` with the environment of that trader."""

    def __init__(self, node: Node, directory: Path, password: str = "correct horse") -> None:
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


def trader_of(node: Node, directory: Path) -> Shell:
    """A wallet with 5,000 dollars of play money in one account."""
    shell = Shell(node, directory)
    shell.json("new", "--light-kdf")
    shell.environment["CATENARY_WALLET_ACCOUNT"] = str(shell.json("deposit", "--amount", "5000", "--faucet")["account"])
    return shell


Answer: TypeAlias = dict[str, Any] | bytes | None


@contextmanager
def lying_node(answer_to: Callable[[str, dict[str, Any]], Answer]) -> Iterator[str]:
    """What a node says that says what it likes: a JSON-RPC answer, any bytes, or, for None, nothing at all."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            said = answer_to(asked["method"], asked["params"])
            if said is None:
                self.close_connection = True
                return
            body = (
                said if isinstance(said, bytes) else json.dumps({"jsonrpc": "2.0", "id": asked["id"], **said}).encode()
            )
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def mode(path: Path) -> int:
    """The permission bits of a file."""
    return os.stat(path).st_mode & 0o777
