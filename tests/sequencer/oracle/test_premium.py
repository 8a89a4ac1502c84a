"""The premium: impact prices, the clamp, and books of every kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sequencer.oracle.premium import impact_ppb, premium_ppb
from tests.sequencer.node_world import DOLLAR


def test_impact_prices() -> None:
    # 600 dollars at 60,000 and 400 at 50,000.
    levels = [(600_000, 1_000), (500_000, 5_000)]
    assert impact_ppb(levels, 600_000, 600 * DOLLAR) == 1_000_000_000
    assert impact_ppb(levels, 500_000, 600 * DOLLAR) == 1_200_000_000
    # 1,000 dollars buy 0.01 + 0.008 coins: 55,555.55 dollars each.
    assert impact_ppb(levels, 600_000, 1_000 * DOLLAR) == 925_925_925
    assert impact_ppb(levels, 600_000, 600 * DOLLAR + 2_500 * DOLLAR + 1) is None
    assert impact_ppb([], 600_000, 1) is None
    assert impact_ppb([(0, 5), (-3, 5), (600_000, 0), (600_000, 1_000)], 600_000, 600 * DOLLAR) == 1_000_000_000


@pytest.mark.parametrize(
    ("bids", "asks", "expected"),
    [
        ([], [], 0),
        ([(599_990, 10_000)], [(600_010, 10_000)], 0),
        ([(600_480, 10_000)], [(601_000, 10_000)], 100_000),
        ([(599_000, 10_000)], [(599_520, 10_000)], -100_000),
        ([(600_480, 10_000)], [], 100_000),
        ([], [(599_520, 10_000)], -100_000),
        # Too thin to measure.
        ([(700_000, 10)], [(700_100, 10_000)], 0),
        ([(1_200_000, 10_000)], [(1_200_100, 10_000)], 500_000),
        ([(1, 2**40)], [(2, 2**40)], -500_000),
    ],
)
def test_premiums(bids: list[tuple[int, int]], asks: list[tuple[int, int]], expected: int) -> None:
    assert premium_ppb(bids, asks, 600_000, 1_000 * DOLLAR, 500_000) == expected


sides = st.lists(st.tuples(st.integers(-5, 2**48), st.integers(-5, 2**56)), max_size=6)


@given(bids=sides, asks=sides, index=st.integers(1, 2**48 - 1), notional=st.integers(1, 10**15))
def test_whatever_a_node_shows_the_premium_can_be_signed(
    bids: list[tuple[int, int]], asks: list[tuple[int, int]], index: int, notional: int
) -> None:
    assert -500_000 <= premium_ppb(bids, asks, index, notional, 500_000) <= 500_000
