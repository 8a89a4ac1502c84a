"""The outage drill of `catenary oracle` against a real node: a minute and a half of silence, so not in the suite."""

import json
import tempfile
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from prover.cli.main import cli
from tests.sequencer.node_process import running

# Phase, signers that speak: five are a quorum.
PHASES = [("all speak", 7), ("two silent", 5), ("three silent", 4), ("all back", 7)]


def run(rounds: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """So many drills, each on a new node; the seed has nothing to choose."""
    broken: list[str] = []
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as directory, running(Path(directory), "--no-oracle") as node:
            options = ["--drill", "--json", "--node-url", node.url, "--l1-rpc-url", node.l1_url, "--log-level", "error"]
            result = CliRunner().invoke(cli, ["oracle", *options])
        said = [json.loads(line) for line in result.stdout.splitlines()]
        held = [(phase["phase"], phase["speaking"]) for phase in said[:-1] if phase["is_held"]]
        if result.exit_code or held != PHASES:
            broken.append(f"drill {number}: exit code {result.exit_code}, held {held}, {result.stderr}")
    return {"rounds": rounds, "violations": len(broken)}, broken
