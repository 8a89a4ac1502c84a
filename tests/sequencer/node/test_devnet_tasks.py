"""What a devnet gets from its node: a price at every grid time, the same for the same seed."""

from pathlib import Path

import pytest
import trio
import trio.testing

from prover.stf import constants
from sequencer.node.devnet_tasks import simulate_oracle
from tests.sequencer.node_world import DOMAIN
from tests.sequencer.oracle_world import OracleWorld

pytestmark = pytest.mark.trio


async def prices(directory: Path, seed: int, steps: int) -> list[int]:
    """BTC's price after each of so many grid times."""
    world = OracleWorld(directory, is_taking=False)
    found: list[int] = []
    async with trio.open_nursery() as nursery:
        await nursery.start(world.venue.run)
        await nursery.start(simulate_oracle, world.venue, world.reports, DOMAIN, seed)
        for _ in range(steps):
            last = world.tick_time
            assert last % constants.TICK_STEP == 0
            found.append(world.venue.engine.globals.risk.price[0])
            while world.tick_time == last:
                await trio.sleep(0.5)
        nursery.cancel_scope.cancel()
    return found


async def test_prices_come_by_themselves_and_follow_from_the_seed(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    once = await prices(tmp_path / "once", 7, 4)
    assert len(set(once)) > 1
    assert await prices(tmp_path / "again", 7, 4) == once
    assert await prices(tmp_path / "other", 8, 4) != once
