"""Simulated prices: alike for all signers, and how far signers may be made to differ."""

import itertools

import pytest
import trio

from prover.stf import constants
from sequencer.oracle.price_sources import NoisyPrices, PriceSource, Quote, SimulatedPrices
from tests.sequencer.oracle_world import prices

STEP = constants.TICK_STEP
NOW = 1_800_000_000_000


def test_a_simulated_price_is_a_function_of_seed_and_time() -> None:
    def source(seed: int) -> SimulatedPrices:
        return SimulatedPrices(seed, [60_000.0, 150.0], 2.0, 100_000)

    running = source(1)
    times = [NOW + step * STEP for step in range(100)]
    path = [prices(running, time) for time in times]
    assert [prices(source(1), time) for time in times[::33]] == path[::33]
    assert prices(running, times[0]) == path[0]
    assert prices(source(2), NOW) != path[0]
    assert all(0.5 < (dollars or 0) / 60_000.0 < 2 for dollars, _ in path)


def test_a_new_block_of_six_hours_begins_where_the_last_one_ended() -> None:
    boundary = NOW - NOW % (6 * 3_600_000) + 6 * 3_600_000
    source = SimulatedPrices(7, [60_000.0], 0.0, 0)
    before, after = (prices(source, time)[0] or 0.0 for time in (boundary - STEP, boundary))
    assert after == pytest.approx(before, rel=0.002)


def two_hours(source: PriceSource) -> list[list[float | None]]:
    """Prices at each grid time, in one run: a start of the event loop costs more than a price."""

    async def walk() -> list[list[float | None]]:
        times = [NOW - NOW % STEP + step * STEP for step in range(1_440)]
        return [[quote.dollars if quote else None for quote in await source.quotes(time)] for time in times]

    return trio.run(walk)


@pytest.mark.slow
def test_jumps_come_as_often_and_as_far_as_was_asked() -> None:
    source = SimulatedPrices(3, [60_000.0, 3_000.0], 60.0, 200_000)
    path = two_hours(source)
    moves = [[(b or 0) / (a or 1) for a, b in zip(one, two, strict=True)] for one, two in itertools.pairwise(path)]
    jumps = [move for move in moves if abs(move[0] - 1) > 0.05]
    # Two hours of one a minute. Markets jump together, up by a fifth or down by a sixth.
    assert 80 <= len(jumps) <= 160
    assert all((move[0] > 1) == (move[1] > 1) for move in jumps)
    assert {round(move[0], 1) for move in jumps} == {0.8, 1.2}
    calm = SimulatedPrices(3, [60_000.0], 0.0, 200_000)
    quiet = [dollars or 0.0 for (dollars,) in two_hours(calm)]
    assert all(abs(b / a - 1) < 0.01 for a, b in itertools.pairwise(quiet))


def test_signers_differ_by_the_noise_and_no_more() -> None:
    class Flat:
        async def quotes(self, time_ms: int) -> list[Quote | None]:
            """Always the same."""
            return [Quote(100.0, time_ms), None]

    seen = [prices(NoisyPrices(Flat(), 1_000, index), NOW) for index in range(7)]
    assert len({dollars for dollars, _ in seen}) == 7
    assert all(99.9 <= (dollars or 0) <= 100.1 and nothing is None for dollars, nothing in seen)
    assert prices(NoisyPrices(Flat(), 1_000, 3), NOW) == seen[3]
