"""What a devnet gets from its node: a price at every grid time, the same for the same seed."""

from pathlib import Path

import pytest
import trio
import trio.testing

from prover.stf import constants
from sequencer.client.errors import Rejected
from sequencer.node.devnet_tasks import simulate_oracle
from sequencer.schema.answers import MovedPrice
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


async def test_a_price_is_moved_where_it_is_simulated(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    still = (await prices(tmp_path / "still", 7, 3))[2]
    world = OracleWorld(tmp_path / "moved", is_taking=False)
    async with trio.open_nursery() as nursery:
        await nursery.start(world.venue.run)
        await nursery.start(simulate_oracle, world.venue, world.reports, DOMAIN, 7)
        async with world.client() as client:
            # Once each, and of one step no more than a step may.
            for ppm, moved in ((-12_000, -12_000), (-12_000, -20_000), (3_000, -17_000)):
                assert await client.move_price("BTC", ppm) == MovedPrice("BTC", moved)
            for _ in range(2):
                last = world.tick_time
                while world.tick_time == last:
                    await trio.sleep(0.5)
            assert world.venue.engine.globals.risk.price[0] == pytest.approx(still * 0.983, rel=1e-5)
            for market, ppm, name in (("BTC", 20_001, "INVALID_PARAMS"), ("DOGE", 1, "NO_MARKET")):
                with pytest.raises(Rejected) as refused:
                    await client.move_price(market, ppm)
                assert refused.value.rejection == name
        nursery.cancel_scope.cancel()


async def test_prices_of_signers_are_moved_by_nobody(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    world = OracleWorld(tmp_path)
    async with world.client() as client:
        with pytest.raises(Rejected) as refused:
            await client.move_price("BTC", 1)
    assert refused.value.rejection == "SIGNED_PRICES"
    assert world.reports.taken_moves() == {}


async def test_prices_come_by_themselves_and_follow_from_the_seed(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    once = await prices(tmp_path / "once", 7, 4)
    assert len(set(once)) > 1
    assert await prices(tmp_path / "again", 7, 4) == once
    assert await prices(tmp_path / "other", 8, 4) != once
