"""The processes that a story is played by: an L1, a node, and whoever else speaks one JSON object a line."""

import os
import sys
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

import trio

from sequencer.demo.child import Child


class Company:
    """Starts processes, reads what they say, and ends them."""

    def __init__(self, datadir: Path, nursery: trio.Nursery) -> None:
        self._datadir = datadir
        self._nursery = nursery
        self._children: list[Child] = []

    async def spawn(self, name: str, command: list[str]) -> Child:
        """A process in a session of its own, so that Ctrl-C reaches it through its story alone."""
        process = await trio.lowlevel.open_process(
            command, stdout=PIPE, stderr=DEVNULL, stdin=DEVNULL, start_new_session=True, env=dict(os.environ)
        )
        child = Child(name, process)
        self._children.append(child)
        self._nursery.start_soon(child.read)
        return child

    async def embedded_l1(self) -> str:
        """The URL of a devnet's L1."""
        command = [sys.executable, "-m", "l1_bridge.devnet.server", "--datadir", str(self._datadir / "l1")]
        child = await self.spawn("the embedded L1", [*command, "--port", "0", "--max-ahead", "60"])
        url: str = (await child.said("ready"))["url"]
        return url

    async def node(
        self, l1_url: str, key: int, *, rollup: str = "", window_seconds: int = 20
    ) -> tuple[Child, dict[str, Any]]:
        """A node of a new rollup, or of one that is there, without prices and quotes of its own; what it said."""
        command = [*catenary("node"), "--l1-rpc-url", l1_url, "--datadir", str(self._datadir / "node")]
        command += ["--port", "0", "--development-key", str(key), "--json", "--post-interval", "2"]
        command += ["--no-oracle", "--no-maker"]
        command += (
            ["--rollup-address", rollup, "--take-seat"] if rollup else ["--deploy", "--window", str(window_seconds)]
        )
        child = await self.spawn("the node", command)
        return child, await child.said("ready")

    async def stop(self) -> None:
        """Ends all of them, the last first."""
        for child in reversed(self._children):
            await child.stop()


def catenary(command: str) -> list[str]:
    """The start of a command line of this installation."""
    return [sys.executable, "-m", "prover.cli.main", command]


def l1_options(l1_url: str, rollup: bytes) -> list[str]:
    """Where and which."""
    return ["--l1-rpc-url", l1_url, "--rollup-address", "0x" + rollup.hex()]
