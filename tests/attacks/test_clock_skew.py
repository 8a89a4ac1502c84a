"""A sequencer whose clock is half a minute off L1's: nothing is lost, and nothing is gained."""

import pytest

from l1_bridge.codec.events import BatchCommitted
from tests.l1_bridge.evm import Reverted
from tests.prover.world import EvmChain, World

pytestmark = pytest.mark.trio
HALF_A_MINUTE = 30


class Skewed(World):
    """A rollup whose sequencer reads another clock than L1's."""

    skew_seconds = 0

    async def now_ms(self) -> int:
        """L2 time by the sequencer's own clock."""
        return await super().now_ms() + 1_000 * self.skew_seconds


async def rollup(skew_seconds: int) -> Skewed:
    """A rollup with two accounts, from then on with a skew."""
    found = await Skewed.make(EvmChain())
    assert isinstance(found, Skewed)
    await found.open_accounts()
    chain(found).pass_time(60)
    found.skew_seconds = skew_seconds
    return found


def chain(of: World) -> EvmChain:
    assert isinstance(of.chain, EvmChain)
    return of.chain


async def traded(on: World) -> BatchCommitted:
    """A batch with a tick and a trade at the sequencer's time."""
    now = await on.now_ms()
    return await on.commit([[on.venue.tick(now), *on.venue.trade(now)]])


@pytest.mark.parametrize("skew_seconds", [-HALF_A_MINUTE, -5, 0])
async def test_a_clock_behind_l1_is_taken_at_once(skew_seconds: int) -> None:
    found = await rollup(skew_seconds)
    event = await traded(found)
    assert (await found.head()).batch_hash == event.batch.batch_hash(found.bridge)


@pytest.mark.parametrize("skew_seconds", [5, HALF_A_MINUTE])
async def test_a_clock_ahead_of_l1_waits_for_it_and_loses_nothing(skew_seconds: int) -> None:
    found = await rollup(skew_seconds)
    now = await found.now_ms()
    bodies = [[found.venue.tick(now), *found.venue.trade(now)]]
    before = await found.head()
    with pytest.raises(Reverted, match="TIMESTAMP_AHEAD"):
        await found.commit(bodies)
    found.venue.go_back(1)
    chain(found).pass_time(skew_seconds - 1)
    with pytest.raises(Reverted, match="TIMESTAMP_AHEAD"):
        await found.commit([body_at(now, bodies)])
    found.venue.go_back(1)
    chain(found).pass_time(1)
    # The very same bytes: what was sealed stays sealed.
    event = await found.commit([body_at(now, bodies)])
    assert event.batch.header.parent_hash == before.batch_hash
    assert event.batch.commitment.timestamp_ms == now


def body_at(now_ms: int, bodies: list[list[bytes]]) -> bytes:
    """The bytes of the one chunk, sealed at its time."""
    return now_ms.to_bytes(6, "big") + b"".join(bodies[0])
