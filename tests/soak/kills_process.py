"""`catenary node` in a process that is killed: forked from a server that has imported it, so that a start costs little.

What runs is the command itself, with its own options, locks and files; SIGKILL reaches it at any moment.
"""

import json
import os
import sys
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import trio

from prover.cli.main import main
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import FAST, Node

_CONTEXT: Final = get_context("forkserver")
_LOOK_SECONDS: Final = 0.02


def prepare() -> None:
    """The server imports what every node would, what it imports only when it runs too."""
    of_a_run = (
        "eth_keys",
        "eth_hash.backends.pycryptodome",
        "httpcore",
        "anyio",
        "l1_bridge.client.keystore",
        "pyrevm",
    )
    _CONTEXT.set_forkserver_preload([__name__, "sequencer.node.node", "sequencer.node.commands", *of_a_run])


def _serve(said: str, arguments: list[str]) -> None:
    """The command, in a process of its own; its lines in a file."""
    out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(out, 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    sys.argv = ["catenary", "node", "--json", *arguments]
    main()


class KilledNode:
    """One run of the command, from its start to its end."""

    def __init__(self, datadir: Path, l1_url: str, key: int, *options: str) -> None:
        self._said = datadir.with_name(datadir.name + ".said")
        self._said.unlink(missing_ok=True)
        usual = ("--port", "0", "--verifiers", "0", "--preflight-workers", "0", "--development-key", str(key), *FAST)
        arguments = ["--datadir", str(datadir), "--l1-rpc-url", l1_url, *usual, *options]
        self._process = _CONTEXT.Process(target=_serve, args=(str(self._said), arguments), daemon=True)
        self._process.start()

    @property
    def has_ended(self) -> bool:
        """Whether it is gone."""
        return not self._process.is_alive()

    @property
    def code(self) -> int | None:
        """Its exit code, negative for a signal."""
        return self._process.exitcode

    @property
    def last(self) -> dict[str, Any]:
        """The last whole line that it said, nothing where there is none."""
        lines = self._said.read_text().split("\n")[:-1] if self._said.exists() else []
        return json.loads(lines[-1]) if lines else {}

    async def ready(self) -> Node | None:
        """The node once it says that it is up; None where it has ended before."""
        with trio.move_on_after(PATIENCE_SECONDS):
            while True:
                is_over, told = self.has_ended, self.last
                if told.get("event") == "ready":
                    rollup = bytes.fromhex(told["rollup_address"].removeprefix("0x"))
                    return Node(told["url"], told["l1_rpc_url"], rollup, told["chain_id"])
                if is_over:
                    return None
                await trio.sleep(_LOOK_SECONDS)
        raise AssertionError(f"the node has said neither that it is up nor its end; its last line: {self.last}")

    def kill(self) -> None:
        """SIGKILL, and until it is gone."""
        self._process.kill()
        self._process.join(PATIENCE_SECONDS)
