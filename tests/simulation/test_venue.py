"""Seeded venues that die and come back; long campaigns of the same: `python -m tests.soak venue`."""

from collections import Counter

import pytest

from sequencer.sequencing.journal import JournalError
from tests.simulation.venue import POINTS, simulate

SEEDS = 8
STEPS = 400


def test_a_venue_that_dies_again_and_again_is_the_one_that_never_did() -> None:
    crashes: Counter[str] = Counter()
    acknowledged = truncated = 0
    for seed in range(SEEDS):
        print(f"seed {seed}")
        summary = simulate(seed, STEPS)
        crashes.update(summary["crashes"])
        acknowledged += summary["acknowledged"]
        truncated += summary["truncated"]
    assert acknowledged > SEEDS * STEPS // 3
    assert truncated > acknowledged // 2
    assert set(crashes) == set(POINTS)


def test_a_venue_that_dies_between_two_chunks_of_one_input_is_the_one_that_never_did() -> None:
    between = 0
    for seed in range(0, 10, 2):
        print(f"seed {seed}")
        between += simulate(seed, STEPS, sweeps=0.5)["restarts_between"]
    assert between > 1


@pytest.mark.parametrize("seed", range(2))
def test_a_disk_that_lies_is_found_out(seed: int) -> None:
    print(f"seed {seed}")
    with pytest.raises((AssertionError, JournalError), match=r"acknowledged|The journal ends at"):
        simulate(seed, 5 * STEPS, is_disk_lying=True)


def test_an_even_seed_is_the_same_run_every_time() -> None:
    assert simulate(4, 150) == simulate(4, 150)
