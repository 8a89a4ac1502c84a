"""The chunks that golden cases are picked from: those of a campaign, and those that the tests of the law run.

First few that together show each pair of the law's table, each branch of the Python twin, and each field that an
operation makes larger, smaller or another; then whatever notices a fault of that twin which they do not.
"""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from prover.state import witness
from prover.state.state import State
from prover.stf import constants
from prover.stf.replay import operation_length
from tests.soak.twins import CHUNKS_A_WORLD, Campaign
from tests.soak.world import WORLDS, World
from tests.twins import venue
from tests.vectors.picking import Branches, picked, shortened
from tests.vectors.reading import Given, decided, read
from tests.vectors.writes import written

SEED: Final = 20_261_122
CHUNKS: Final = 2_016
ROOT: Final = Path(__file__).parents[2]
TESTS: Final = ("tests/prover/stf", "tests/attacks")
# Each chunk of these is a case, whatever others show.
CORNER_TESTS: Final = (
    "corners",
    "exact_corners",
    "exact_debts",
    "exact_markets",
    "exact_rescues",
    "market_corners",
    "rescue_corners",
)
CORNERS: Final = tuple(f"tests/prover/stf/test_{name}.py" for name in CORNER_TESTS)
CORNER: Final = "corner"
Visit = Callable[[int, str, State, bytes], None]


class Numbered(Campaign):
    """A campaign on the Python twin alone; each chunk is shown before it is played: number, kind, state and body."""

    def __init__(self, visit: Visit) -> None:
        super().__init__(0, SEED, print)
        self.visit = visit

    def run_scene(self, state: State, body: bytes) -> None:
        self.visit(self.chunks, "scene", state, body)
        self.count(venue.Played(state, body, self.recover))

    def run_body(self, name: str, state: State, body: bytes) -> venue.Played:
        self.visit(self.chunks, name, state, body)
        played = venue.Played(state, body, self.recover)
        state.seal(played.chunk)
        self.count(played)
        return played

    def play(self, chunks: int) -> None:
        """Each kind of world in turn, until so many chunks are played."""
        turn = 0
        while self.chunks < chunks:
            world = World(WORLDS[turn % len(WORLDS)], self.rng)
            turn += 1
            for chunk in range(CHUNKS_A_WORLD):
                if self.chunks < chunks:
                    self.chunk(world, chunk)


def given(name: str, state: State, body: bytes) -> Given:
    """A chunk that is not played yet on its state."""
    return Given(name, body, witness.build(state.tree, venue.Played(state, body).chunk))


def of_campaign() -> list[Given]:
    """Each chunk of the campaign, by its number."""
    found: list[Given] = []
    Numbered(lambda number, name, state, body: found.append(given(f"{name} {number}", state, body))).play(CHUNKS)
    return found


def of_tests(*paths: str) -> list[Given]:
    """Each chunk that a test of the law, or of these paths, runs through both twins."""
    found: list[Given] = []
    plain = venue.run_body

    class Named:
        """Says which test is running."""

        name = ""

        def pytest_runtest_logstart(self, nodeid: str) -> None:
            """As pytest calls it."""
            file, _, test = nodeid.partition("::")
            self.name = f"{CORNER} {test}" if file in CORNERS else test

    named = Named()

    def run_body(state: State, body: bytes) -> venue.Outcome:
        outcome = plain(state, body)
        found.append(Given(f"{named.name} {len(found)}", body, outcome.witness))
        return outcome

    venue.run_body = run_body
    try:
        assert pytest.main(["-qq", *(str(ROOT / path) for path in paths or TESTS)], plugins=[named]) == 0
    finally:
        venue.run_body = plain
    return found


def with_corners(held: Sequence[Given]) -> list[Given]:
    """Chunks that were chosen before, and each chunk of a corner as the law has it now."""
    return [*(chunk for chunk in held if not chunk.name.startswith(CORNER)), *of_tests(*CORNERS)]


def marks_of(branches: Branches, chunk: Given) -> frozenset[Any]:
    """Pairs, branches, and what each operation makes of each field; a corner shows itself."""
    codes: list[int] = []
    steps = branches.of(lambda: codes.extend(read(venue.DOMAIN, chunk.body, chunk.witness).operation_codes))
    own = {chunk.name} if chunk.name.startswith(CORNER) else set[str]()
    writes = {(tag, *what) for tag, every in written(venue.DOMAIN, [chunk]).items() for what in every}
    return steps | own | writes | set(zip(venue.tags_of(chunk.body), codes, strict=True))


def picks(mutants: int = 0) -> list[Given]:
    """The chosen ones, shortened where their states can be had again."""
    branches = Branches()
    pool = of_tests() + of_campaign()
    marks = [marks_of(branches, chunk) for chunk in pool]
    wanted = picked(marks, [len(chunk.body) for chunk in pool])
    chosen = {pool[at].name: pool[at] for at in wanted}
    needed = {pool[at].name: marks for at, marks in wanted.items()}

    def shorten(number: int, name: str, state: State, body: bytes) -> None:
        if (name := f"{name} {number}") in chosen:
            time, *parts = parts_of(body)

            def keeps(fewer: Sequence[bytes]) -> bool:
                return needed[name] <= marks_of(branches, given(name, state, b"".join([time, *fewer])))

            chosen[name] = given(name, state, b"".join([time, *shortened(parts, keeps)]))

    Numbered(shorten).play(CHUNKS)
    return [*chosen.values(), *noticing(list(chosen.values()), pool, mutants)]


def parts_of(body: bytes) -> list[bytes]:
    """A body's time and operations; what cannot be decoded is the last."""
    parts, at = [body[: constants.TIMESTAMP_LENGTH]], constants.TIMESTAMP_LENGTH
    while at < len(body):
        length = operation_length(body, at) or len(body) - at
        parts.append(body[at : at + length])
        at += length
    return parts


def noticing(chosen: Sequence[Given], pool: Sequence[Given], mutants: int) -> list[Given]:
    """Chunks of the pool that notice those of so many faults of the Python twin which the chosen ones do not."""
    if not mutants:
        return []
    from tests.soak.mutants import drawn, first_to_notice

    cases = [decided(venue.DOMAIN, chunk) for chunk in [*chosen, *sorted(pool, key=lambda chunk: len(chunk.body))]]
    by_name = {chunk.name: chunk for chunk in pool}
    more: list[Given] = []
    tried = [mutant for mutant in drawn(random.Random(SEED)) if mutant.file.endswith(".py")][:mutants]
    for mutant in tried:
        first = first_to_notice(mutant, venue.DOMAIN, cases)
        if first is not None and first >= len(chosen) + len(more):
            case = cases.pop(first)
            cases.insert(len(chosen) + len(more), case)
            more.append(by_name[case["name"]])
    return more
