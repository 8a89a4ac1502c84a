"""A venue's history on a real L1, replayed by a challenger and rebuilt by a node, both into LevelDB, in one run."""

import random
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import structlog
import trio

from l1_bridge.client.keys import development_key
from prover.history.history import ChainReplay
from prover.history.verify import verify
from prover.state.leveldb import LevelDbStore
from sequencer.devnet.funding import fund
from sequencer.l1.rebuild import rebuild_state
from sequencer.l1.resequence import STATE
from tests.sequencer.l1.test_poster import Site, site
from tests.sequencer.l1.test_rebuild import consume, record_of, rows
from tests.sequencer.node_world import BUY, DOLLAR, IOC, PRICES, SELL, owner

_TRADERS: Final = 12
_ORDERS: Final = 40
# Of the challenger's rate, which writes no witness and no chunk: what a rebuild reaches at least.
PROMISED: Final = 0.5


def run(rounds: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """So many rounds of orders, some chunks each."""
    with structlog.testing.capture_logs():
        return trio.run(_measured, rounds, random.Random(seed))


async def _measured(rounds: int, chance: random.Random) -> tuple[dict[str, Any], list[str]]:
    async with site() as here:
        await _played(here, rounds, chance)
        with tempfile.TemporaryDirectory(prefix="catenary-rebuild-") as name:
            directory = Path(name)
            store = LevelDbStore(directory / "replay")
            started = time.perf_counter()
            token, replay = here.deployment.token, ChainReplay(store, here.deployment.identity)
            report = await verify(here.client, replay, token, tell=lambda notice: None)
            replay_seconds = time.perf_counter() - started
            store.close()
            started = time.perf_counter()
            told = await rebuild_state(here.client, record_of(here), directory, here.world.now, lambda batch, of: None)
            rebuild_seconds = time.perf_counter() - started
            store = LevelDbStore(directory / STATE)
            is_same = rows(store) == rows(here.world.store)
            store.close()
    ratio = replay_seconds / rebuild_seconds
    violations = []
    if not report.equal or not is_same or told.root != "0x" + report.root.hex():
        violations.append("what was rebuilt is not what the engine wrote")
    if ratio < PROMISED:
        violations.append(f"the rebuild reaches {ratio:.2f} of the challenger's rate, promised is {PROMISED}")
    summary = {
        "batches": told.batches,
        "chunks": told.chunks,
        "operations": report.operations,
        "replay_operations_per_second": round(report.operations / replay_seconds),
        "rebuild_operations_per_second": round(report.operations / rebuild_seconds),
        "ratio": round(ratio, 3),
        "rows_equal": is_same,
    }
    return summary, violations


async def _played(here: Site, rounds: int, chance: random.Random) -> None:
    """Crossing orders of many traders, each round sealed, and all of it on L1."""
    world = here.world
    deposits = [(owner(trader), 1_000_000 * DOLLAR) for trader in range(_TRADERS)]
    await fund(here.client, development_key(3), here.deployment.token, here.deployment.bridge, deposits)
    await consume(here)
    for _ in range(rounds):
        world.tick()
        for _ in range(_ORDERS):
            world.now += 1
            maker, taker = chance.sample(range(_TRADERS), 2)
            side, lots = chance.choice([BUY, SELL]), chance.randrange(200, 400)
            world.order(maker, side, PRICES[0], lots, slot=chance.randrange(1, 100))
            world.order(taker, BUY + SELL - side, PRICES[0], lots, slot=100, time_in_force=IOC)
        world.seal()
    while await here.poster.post_once():
        pass
