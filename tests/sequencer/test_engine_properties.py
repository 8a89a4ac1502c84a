"""Seeded crowds through the engine: journal, store and bytecode agree on every root, whatever was sent."""

from collections import Counter

import pytest

from prover.stf import codes
from sequencer.engine import EngineLimits
from sequencer.order_book import Limits
from tests.sequencer.node_world import World
from tests.simulation.crowd import Crowd

STEPS = 700


def run(seed: int, limits: EngineLimits | None = None) -> tuple[World, Counter[tuple[str, str]]]:
    """A crowd's day."""
    world = World(limits=limits)
    crowd = Crowd(seed)
    seen: Counter[tuple[str, str]] = Counter()
    for _ in range(STEPS):
        world.now, operation = crowd.step(world.engine)
        outcome = world.process(operation)
        seen[codes.SENTENCE[outcome.code][0], outcome.status] += 1
    return world, seen


@pytest.mark.parametrize("seed", range(6))
def test_journal_store_and_bytecode_agree(seed: int) -> None:
    print(f"seed {seed}")
    world, seen = run(seed)
    world.check()
    assert seen["OK", "filled"] > 20
    assert seen["OK", "armed"] > 5


def test_small_books_and_small_chunks_change_nothing_of_that() -> None:
    world, seen = run(77, EngineLimits(book=Limits(orders=4, orders_of_account=2), chunk_bytes=600))
    world.check(flush_every=2)
    assert seen["FULL", ""] > 5
