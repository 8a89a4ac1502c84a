"""The whole story on both L1s, as a user plays it: processes of their own, and figures that come from L1 alone."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.l1_bridge.l1_nodes import anvil
from tests.patience import PATIENCE_SECONDS


@pytest.fixture(params=["embedded", "anvil"])
def l1_options(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    if request.param == "embedded":
        yield []
        return
    with anvil() as node:
        yield ["--l1-rpc-url", node.url]


def test_demo(l1_options: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "prover.cli.main", "demo", "--json", "--window", "10", "--datadir", str(tmp_path)]
    ended = subprocess.run([*command, *l1_options], capture_output=True, timeout=3 * PATIENCE_SECONDS, check=False)
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.returncode == 0, (lines[-3:], ended.stderr.decode()[-2_000:])
    summary = lines[-1]
    assert summary["event"] == "summary"
    assert summary["deposits"] == 13
    assert summary["margin_calls"][0] >= 50
    assert summary["margin_calls"] == sorted(set(summary["margin_calls"]))
    assert summary["liquidations"] >= 1
    assert 0 < summary["liquidation_closed_ppm"] < 900_000
    assert summary["liquidation_equity_kept_ppm"] > 800_000
    assert summary["fills"] >= 200
    assert summary["orders"] >= summary["fills"]
    assert summary["batches_posted"] >= 3
    assert summary["fraud_proof_transactions"] == 1
    assert summary["fraud_proof_gas"] <= 10_000_000
    assert summary["fraud_proof_calldata_bytes"] <= 100_000
    assert summary["rolled_back_batches"] == 1
    assert summary["stolen_micros_prevented"] > 0
    assert summary["withdrawal_claimed"] is True
    assert summary["conservation_error_micros"] == 0
    assert summary["verified_roots_equal"] is True
    assert summary["l1"].startswith("anvil" if l1_options else "catenary-devnet")
