"""The drill of docs/operating.md by its own lines: one operator is slashed, another goes on from L1, wallets trade."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.l1_bridge.l1_nodes import anvil
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node_process import ROOT

HEAD: Final = "\n## Drill\n"


def lines_of(document: str) -> str:
    """The shell lines of the section."""
    section = document.split(HEAD)[1].split("\n## ")[0]
    (block,) = section.split("```sh\n")[1:]
    return block.split("```")[0]


def free_port() -> int:
    """One that nobody has just now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_two_operators_by_the_lines_of_the_document_alone(tmp_path: Path) -> None:
    script = lines_of((ROOT / "docs" / "operating.md").read_text())
    assert script.count("catenary node") == 2
    with anvil("--block-time", "0.2") as l1:
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "L1": l1.url,
            "FIRST": str(free_port()),
            "SECOND": str(free_port()),
            "CATENARY_NODE_MONITOR_PORT": "0",
            "CATENARY_WALLET_PASSWORD": "drill",
        }
        drill = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            said, _ = drill.communicate(timeout=2 * PATIENCE_SECONDS)
        finally:
            # Whatever of it still runs, nodes in the background too.
            with suppress(ProcessLookupError):
                os.killpg(drill.pid, signal.SIGKILL)
            drill.wait()
    assert drill.returncode == 0, said
    assert "the seat is held" in said, said
