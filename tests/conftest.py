"""What every test run has: its cost in processor time, and the line between what stays in memory and what does not."""

import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.processor_time import ProcessorTime

# A module is compiled once, as in every installation, and not again by each process that a test starts: half of what
# those cost where the environment forbids to keep it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

TESTS: Final = Path(__file__).parent
# Campaigns, and whatever is compiled.
SLOW_FOLDERS: Final = ("twins", "vectors", "simulation", "soak", "benchmarks", "browser", "l1_bridge/contracts")
# How a test module starts a process, a node or a compiler, by itself or with a helper of these names.
STARTS: Final = re.compile(
    r"\b(subprocess|run_process|l1_nodes|node_process|wallet_node|law_variants|vectors\.probe|Verifiers)\b"
)


def pytest_configure(config: pytest.Config) -> None:
    """Counts from here on."""
    config.pluginmanager.register(ProcessorTime(), "processor_time")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what does not stay in memory; `make quick` runs the rest."""
    for item in items:
        if is_slow(item.path) or "node" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


@cache
def is_slow(path: Path) -> bool:
    """Whether a test file stands with the campaigns or starts something."""
    beside = path.relative_to(TESTS).as_posix()
    return beside.startswith(tuple(f"{folder}/" for folder in SLOW_FOLDERS)) or bool(STARTS.search(path.read_text()))
