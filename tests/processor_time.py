"""What the tests cost in processor time: of this process, of its workers and of every process that they have ended.

Wall-clock time says how busy the machine was; this says what the tests did. The sum of the last whole run stays in
the cache folder, where `python -m tests.soak house` reads it.
"""

import json
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[1]
LAST_WHOLE_RUN: Final = ROOT / ".pytest_cache" / "processor_time.json"
SLOWEST: Final = 10


def seconds() -> float:
    """Processor seconds so far, of this process and of the children that it has waited for."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


class ProcessorTime:
    """The plugin: a figure for each test, in whichever process it ran, and the sum."""

    def __init__(self) -> None:
        self._of_test: dict[str, float] = {}
        self._of_workers = 0.0
        self._deselected = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """A module's fixtures count for the test that is first to ask for them, their ends for the last."""
        before = seconds()
        try:
            return (yield)
        finally:
            self._of_test[item.nodeid] = seconds() - before

    def pytest_deselected(self) -> None:
        """A run that leaves tests out is no whole run."""
        self._deselected = True

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A worker hands its figures over; the main process keeps the sum of a whole run."""
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["processor_time"] = json.dumps(
                [seconds(), self._of_test, self._deselected],
            )

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """What a worker has handed over."""
        if handed := getattr(node, "workeroutput", {}).get("processor_time"):
            spent, of_test, deselected = json.loads(handed)
            self._of_workers += spent
            self._of_test |= of_test
            self._deselected |= deselected

    def pytest_terminal_summary(self, terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
        """The dearest tests and the sum."""
        # Whoever waits for workers counts them as children, too.
        spent = own_seconds() + self._of_workers if self._of_workers else seconds()
        report: list[str] = [
            f"{cost:7.1f} s  {name}"
            for name, cost in sorted(self._of_test.items(), key=lambda each: -each[1])[:SLOWEST]
        ]
        terminalreporter.section(f"processor time: {spent:.0f} s, the dearest tests")
        for line in report:
            terminalreporter.write_line(line)
        asked = config.option
        is_part = self._deselected or asked.keyword or asked.markexpr or config.args != config.getini("testpaths")
        is_whole = not (is_part or asked.collectonly)
        if is_whole and exitstatus == pytest.ExitCode.OK:
            LAST_WHOLE_RUN.parent.mkdir(exist_ok=True)
            LAST_WHOLE_RUN.write_text(json.dumps({"seconds": round(spent, 1), "tests": len(self._of_test)}) + "\n")


def own_seconds() -> float:
    """Processor seconds of this process without its children."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime
