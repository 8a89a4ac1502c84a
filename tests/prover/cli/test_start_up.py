"""How soon a command stands: processor time against that of an empty Python, in the same run."""

import os
import resource
import subprocess
import sys

import pytest

from tests.prover.cli.test_main import ROOT

HELP_LIMIT = 5.0
# The smallest of so many runs at most: a busy machine makes single runs dear, and none cheaper than it is.
ROUNDS = 30
COMMANDS = (
    ("--help",),
    ("challenger", "--help"),
    ("verify", "--help"),
    ("node", "--help"),
    ("demo", "--help"),
    ("bench", "--help"),
    ("oracle", "--help"),
    ("wallet", "--help"),
    ("wallet", "order", "--help"),
    ("wallet", "isolated", "open", "--help"),
    ("wallet", "govern", "list", "--help"),
)


def cpu_seconds(*arguments: str) -> float:
    """User and system time of one Python process, with compiled modules as every installation has them."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_help_costs_less_than_five_times_an_empty_python(arguments: tuple[str, ...]) -> None:
    empty = helped = float("inf")
    for done in range(ROUNDS):
        empty = min(empty, cpu_seconds("-c", "pass"))
        helped = min(helped, cpu_seconds("-c", "from prover.cli.main import main; main()", *arguments))
        if done >= 2 and helped <= HELP_LIMIT * empty:
            return
    pytest.fail(f"{helped * 1000:.0f} ms are {helped / empty:.1f} times the {empty * 1000:.0f} ms of an empty Python")


def test_a_command_that_imports_the_event_loop_is_seen() -> None:
    empty = min(cpu_seconds("-c", "pass") for _ in range(3))
    assert min(cpu_seconds("-c", "import click, trio, httpx") for _ in range(3)) > HELP_LIMIT * empty
