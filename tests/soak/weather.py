"""Bad weather: faults of L1 nodes, reorganisations, fee spikes, dropped transactions, kills and clocks that jump.

Nine cases of ten are played in one process on a fake clock (`weather_scene`), the tenth with processes and anvil behind
a faulting proxy (`weather_real`). Whatever the weather was, once it is good node and challenger end where the bridge
is, every deposit is booked once, no bond is lost, nobody honest is accused, and whoever says "ready" can post.
"""

import os
from collections import Counter
from collections.abc import Callable
from multiprocessing import get_context
from random import Random
from typing import Any, Final

from tests.soak.weather_real import play_real
from tests.soak.weather_scene import Played, play

HARM: Final = ("stuck", "double_credits", "lost_bonds", "ready_but_unpostable", "false_verdicts")
_REAL_IN: Final = 10
_CASES_OF_A_PROCESS: Final = 20


def run(cases: int, seed: int, real: int = -1, workers: int = 1) -> tuple[dict[str, Any], list[str]]:
    """Plays so many cases; `real` of them with processes, a tenth where it is negative."""
    real = cases // _REAL_IN if real < 0 else real
    random = Random(seed)
    seeds = [random.randrange(2**32) for _ in range(cases)]
    played = _played(play, seeds[real:], workers) + _played(play_real, seeds[:real], workers)
    harm: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    violations = []
    for case in played:
        harm.update(case.harm)
        seen.update(case.seen)
        if case.harm:
            violations.append(f"case {case.seed}: {', '.join(case.harm)}: {case.ended}")
    summary = {"cases": len(played), "simulated": cases - real, "real": real}
    return {"faults": dict(sorted(seen.items()))} | summary | {kind: harm[kind] for kind in HARM}, violations


def _played(play_one: Callable[[int], Played], seeds: list[int], workers: int) -> list[Played]:
    if workers <= 1:
        return [play_one(seed) for seed in seeds]
    # A process each for a while: an EVM's memory is not given back.
    os.environ.setdefault("ETH_HASH_BACKEND", "pysha3")
    with get_context("spawn").Pool(workers, maxtasksperchild=_CASES_OF_A_PROCESS) as pool:
        return pool.map(play_one, seeds, chunksize=1)
