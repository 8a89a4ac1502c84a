"""Long campaigns against the venue: crowds through the engine, and venues that die at every point of their writing."""

from collections import Counter
from random import Random
from typing import Any, Final

from prover.stf import codes
from sequencer.engine.engine import EngineLimits
from sequencer.engine.order_book import Limits
from tests.sequencer.node_world import World
from tests.simulation.crowd import Crowd
from tests.simulation.venue import simulate

_CROWD_STEPS: Final = 1_500
_SIMULATION_STEPS: Final = 600


def run(cases: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """At least `cases` operations, half of them beside crashes: the summary, and one line for each violation."""
    random = Random(seed)
    broken: list[str] = []
    crashes: Counter[str] = Counter()
    by_code: Counter[str] = Counter()
    done = runs = chunks = between = 0
    while done < cases:
        chosen = random.randrange(2**32)
        runs += 1
        try:
            if runs % 2:
                done += _CROWD_STEPS
                chunks += _crowd(chosen, random, by_code)
            else:
                done += _SIMULATION_STEPS
                summary = simulate(chosen, _SIMULATION_STEPS, sweeps=random.choice((0.0, 0.01, 0.5)))
                crashes.update(summary["crashes"])
                by_code.update(summary["by_code"])
                chunks += summary["chunks"]
                between += summary["restarts_between"]
        except Exception as error:
            kind = "crowd" if runs % 2 else "simulation"
            broken.append(f"{kind} of seed {chosen}: {type(error).__name__}: {str(error)[:300]}")
    summary = {
        "cases": done,
        "runs": runs,
        "chunks": chunks,
        "restarts_between": between,
        "violations": len(broken),
        "crashes": dict(sorted(crashes.items())),
        "by_code": dict(sorted(by_code.items())),
    }
    return summary, broken


def _crowd(seed: int, random: Random, by_code: Counter[str]) -> int:
    limits = EngineLimits()
    if random.random() < 0.5:
        book = Limits(orders=random.randrange(2, 40), orders_of_account=random.randrange(1, 7))
        limits = EngineLimits(book=book, chunk_bytes=random.randrange(200, 6_400))
    world = World(limits=limits)
    crowd = Crowd(seed)
    for _ in range(_CROWD_STEPS):
        world.now, operation = crowd.step(world.engine)
        by_code[codes.SENTENCE[world.process(operation).code][0]] += 1
    world.check(flush_every=random.randrange(1, 9))
    return world.engine.chunk_count
