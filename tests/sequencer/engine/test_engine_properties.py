"""Seeded crowds through the engine: journal, store and bytecode agree on every root, whatever was sent."""

from collections import Counter

import pytest

from prover.stf import codes, constants
from sequencer.engine.engine import EngineLimits
from sequencer.engine.order_book import Limits
from tests.sequencer.node_world import World
from tests.simulation.crowd import Crowd

STEPS = 700


def run(
    seed: int, limits: EngineLimits | None = None, gap_at: int | None = None
) -> tuple[World, Counter[tuple[str, str]]]:
    """A crowd's day; `gap_at` is the step before which ticks are missing for longer than the law forgives."""
    world = World(limits=limits)
    crowd = Crowd(seed)
    seen: Counter[tuple[str, str]] = Counter()
    for step in range(STEPS):
        crowd.now += constants.TICK_GAP + constants.TICK_STEP if step == gap_at else 0
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
    assert seen["AGENT_LIMITS", ""] > 0


def test_missing_ticks_and_the_grace_after_them() -> None:
    world, seen = run(7, gap_at=STEPS // 2)
    world.check()
    assert seen["GRACE", ""] > 10
    assert seen["OK", "filled"] > 10


def test_small_books_and_small_chunks_change_nothing_of_that() -> None:
    world, seen = run(77, EngineLimits(book=Limits(orders=4, orders_of_account=2), chunk_bytes=600))
    world.check(flush_every=2)
    assert seen["FULL", ""] > 5
