"""What every test run has: its cost in processor time, and the line between what stays in memory and what does not."""

import gc
import os
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest
import structlog
from hypothesis import HealthCheck, is_hypothesis_test, settings

from tests.processor_time import ProcessorTime

# A module is compiled once, as in every installation, and not again by each process that a test starts: half of what
# those cost where the environment forbids to keep it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# How long a draw takes says how busy the machine is, and nothing of the law.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

TESTS: Final = Path(__file__).parent
NOT_SLOW: Final = "not slow"
# Campaigns, and whatever is compiled.
SLOW_FOLDERS: Final = ("twins", "vectors", "simulation", "soak", "benchmarks", "browser", "l1_bridge/contracts")
# How a test module starts a process, a node, a compiler or a crowd, by itself or with a helper of these names.
STARTS: Final = re.compile(
    r"\b(subprocess|run_process|l1_nodes|node_process|wallet_node|embedded_l1|law_variants|vectors\.probe|Verifiers"
    r"|simulation\.crowd|typed_data\.npm)\b"
)
SAYS_SO: Final = re.compile(r"^pytestmark = .*\bmark\.slow\b", re.M)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command that a test runs in this process says how it is logged; the next test's logs are as they were."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def pytest_configure(config: pytest.Config) -> None:
    """Counts from here on."""
    config.pluginmanager.register(ProcessorTime(), "processor_time")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Whether a file that is slow as a whole need not even be imported."""
    return True if config.option.markexpr == NOT_SLOW and is_slow(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what does not stay in memory, and what tries random cases; `make quick` runs the rest."""
    for item in items:
        is_random = isinstance(item, pytest.Function) and is_hypothesis_test(item.obj)
        if is_slow(item.path) or is_random or "node" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end, so no collection looks at them again, and fewer look at what a test makes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@cache
def is_slow(path: Path) -> bool:
    """Whether a test file stands with the campaigns, says so of itself or starts something."""
    beside = path.relative_to(TESTS).as_posix()
    if path.is_dir() or not path.name.startswith("test_"):
        return beside in SLOW_FOLDERS
    text = path.read_text()
    is_among_slow = beside.startswith(tuple(f"{folder}/" for folder in SLOW_FOLDERS))
    return is_among_slow or bool(STARTS.search(text) or SAYS_SO.search(text))
