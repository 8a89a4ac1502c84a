"""Seeded runs of everybody around the bridge: money, chain, seat and bonds are the model's after every step."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from l1_bridge.contracts.artifact import Artifact
from tests.l1_bridge.simulation import Simulation

STEPS = 200


@contextmanager
def named_failure(place: str) -> Iterator[None]:
    """Says where in a run a check failed."""
    try:
        yield
    except AssertionError as failure:
        raise AssertionError(f"{place}: {failure}") from failure


@pytest.mark.parametrize("seed", range(8))
def test_the_bridge_does_what_the_model_does(stub_referee: Artifact, seed: int) -> None:
    simulation = Simulation(seed, stub_referee)
    for step in range(STEPS):
        with named_failure(f"seed {seed}, step {step}"):
            simulation.step()


def test_the_runs_reach_every_act(stub_referee: Artifact) -> None:
    reached: set[str] = set()
    for seed in range(20, 23):
        simulation = Simulation(seed, stub_referee)
        for _ in range(STEPS):
            simulation.step()
        reached |= set(simulation.succeeded)
    assert reached == {
        "take_seat",
        "deposit",
        "commit",
        "lie",
        "prove",
        "claim",
        "resign",
        "unseat",
        "withdraw_bond",
        "collect_reward",
        "wait",
    }
