"""Which of many random chunks become golden cases: together they show each pair of the table and branch of the law.

A branch is a step from one line of `prover/stf` to another, as coverage.py counts them. Chunks are known by the number
in which a campaign plays them, so that a check plays the same ones without counting anything.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from coverage import Coverage

LAW: Final = Path(__file__).parents[2] / "prover" / "stf"
# A pair of operation and code, or a file of the law and two of its lines.
Mark = tuple[int, int] | tuple[str, int, int]


class Branches:
    """What runs of the Python twin took, each alone."""

    def __init__(self) -> None:
        self._coverage = Coverage(branch=True, data_file=None, include=[str(LAW / "*.py")], config_file=False)
        self._files = [str(path) for path in sorted(LAW.glob("*.py"))]

    def of(self, run: Callable[[], object]) -> frozenset[Mark]:
        """The steps that one run takes."""
        self._coverage.erase()
        self._coverage.start()
        try:
            run()
        finally:
            self._coverage.stop()
        return frozenset(self._steps())

    def untaken(self, run: Callable[[], object]) -> set[tuple[str, str]]:
        """File and text of each line of the law that a run leaves by fewer ways than there are."""
        self.of(run)
        return {
            (Path(name).name, Path(name).read_text().splitlines()[line - 1].strip())
            for name in self._files
            for line, (exits, taken) in self._coverage.branch_stats(name).items()
            if taken < exits
        }

    def _steps(self) -> Iterator[Mark]:
        data = self._coverage.get_data()
        for name in self._files:
            for before, after in data.arcs(name) or ():
                yield Path(name).name, before, after


def picked(marks: Sequence[frozenset[Any]], sizes: Sequence[int]) -> dict[int, set[Any]]:
    """Numbers of few and small runs that show together what all show, and for what each is picked.

    The rarest mark first, by the smallest run that shows it; then whatever the others show as well goes.
    """
    showing: dict[Any, list[int]] = {}
    for number, shown in enumerate(marks):
        for mark in shown:
            showing.setdefault(mark, []).append(number)
    chosen: list[int] = []
    missing = set(showing)
    for mark in sorted(showing, key=lambda mark: (len(showing[mark]), str(mark))):
        if mark in missing:
            number = min(showing[mark], key=lambda number: (sizes[number], number))
            chosen.append(number)
            missing -= marks[number]
    for number in sorted(chosen, key=lambda number: (-sizes[number], number)):
        others = frozenset().union(*(marks[other] for other in chosen if other != number))
        if marks[number] <= others:
            chosen.remove(number)
    wanted: dict[int, set[Any]] = {}
    covered: set[Any] = set()
    for number in sorted(chosen, key=lambda number: (sizes[number], number)):
        wanted[number] = set(marks[number]) - covered
        covered |= marks[number]
    return wanted


def shortened(parts: Sequence[bytes], keeps: Callable[[Sequence[bytes]], bool]) -> list[bytes]:
    """The parts without those that can be left out, one after another, from the last to the first."""
    left = list(parts)
    length = len(left)
    while length:
        length //= 2
        step = max(1, length)
        for at in range(len(left) - step, -1, -step):
            fewer = left[:at] + left[at + step :]
            if keeps(fewer):
                left = fewer
        if step == 1:
            break
    return left
