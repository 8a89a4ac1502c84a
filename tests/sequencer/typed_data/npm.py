"""viem and ethers in one process of node for all tests: starting it costs more than all that it signs."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.patience import PATIENCE_SECONDS

ROOT: Final = Path(__file__).parents[3]
SCRIPT: Final = Path(__file__).parent / "sign.mjs"

# A private key and typed data -> by library its digest, signature and signer, for each.
NpmWallets = Callable[[bytes, list[dict[str, Any]]], list[dict[str, Any]]]


@contextmanager
def npm_wallets() -> Iterator[NpmWallets]:
    """Both libraries, until the end; skips the test where they are not installed."""
    node = shutil.which("node")
    if node is None or not all((ROOT / "node_modules" / library).exists() for library in ("viem", "ethers")):
        pytest.skip("viem and ethers are not installed: npm install --no-save")
    process = subprocess.Popen([node, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    asked, answered = process.stdin, process.stdout

    def sign(private_key: bytes, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
        print(json.dumps({"privateKey": "0x" + private_key.hex(), "cases": cases}), file=asked, flush=True)
        results: list[dict[str, Any]] = json.loads(answered.readline())
        return results

    try:
        yield sign
    finally:
        asked.close()
        answered.close()
        process.wait(PATIENCE_SECONDS)
