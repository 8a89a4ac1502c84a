"""The six steps as a newcomer plays them: processes of their own, and each command's own words."""

import subprocess
import sys

from tests.patience import PATIENCE_SECONDS


def test_practice_plays_from_the_deposit_to_the_exit() -> None:
    command = [sys.executable, "-m", "prover.cli.main", "practice", "--yes"]
    ended = subprocess.run(
        command, capture_output=True, timeout=3 * PATIENCE_SECONDS, check=False, stdin=subprocess.DEVNULL
    )
    said = ended.stdout.decode()
    assert ended.returncode == 0, (said[-3_000:], ended.stderr.decode()[-2_000:])
    places = [
        said.index(part)
        for part in (
            "$ catenary wallet deposit --amount 5000 --faucet",
            "$ catenary wallet preview order --market BTC --side buy",
            "would be filled, 1 fill",
            "$ catenary wallet contribution",
            "margin call at 50%",
            "--reduce-only",
            "$ catenary wallet post-mortem",
            "liquidation of",
            "of the equity before it is still there",
            "$ catenary wallet leave",
            "$ catenary wallet claim 0 --wait",
            "are back at your address on L1",
        )
    ]
    assert places == sorted(places)
    assert "Traceback" not in ended.stderr.decode()
