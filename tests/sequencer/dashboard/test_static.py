"""The page's own tests, by node's test runner; without a node on the machine they are skipped, and said so."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from sequencer.dashboard.page import STATIC
from sequencer.views.margin_calls import EASING, LEVELS
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.dashboard import given

pytestmark = pytest.mark.slow
TESTS = Path(__file__).parent / "static"


@pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine: the page's own tests are skipped")
def test_the_page_by_its_own_tests(tmp_path: Path) -> None:
    names = [str(path) for path in sorted(TESTS.rglob("*.test.mjs"))]
    handed = tmp_path / "given.json"
    handed.write_text(
        json.dumps(
            {"chain": given.chain(), "proofs": given.proofs(), "access": given.access(), "promises": given.promises()}
        )
    )
    ended = subprocess.run(
        ["node", "--test", *names],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
        env={**os.environ, "CATENARY_GIVEN": str(handed)},
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_page_knows_the_levels_of_margin_calls() -> None:
    text = (STATIC / "pictures" / "pool_shape.js").read_text()
    assert f"export const CALL_LEVELS = {list(LEVELS)};" in text
    assert f"export const EASING = {EASING};" in text
