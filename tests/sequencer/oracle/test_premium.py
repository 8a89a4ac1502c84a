"""The premium: impact prices, the clamp, and books of every kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sequencer.oracle.premium import OF_INTEREST_PPM, Measured, PremiumRule, impact_ppb, premium_ppb
from tests.sequencer.node_world import DOLLAR

RULE = PremiumRule(1_000 * DOLLAR, 500_000)


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
    assert premium_ppb(bids, asks, Measured(600_000), RULE) == expected


def test_a_book_that_is_thin_beside_all_positions_counts_in_proportion() -> None:
    """Who is short a million dollars bids for two thousand, 0.4% above the price, and everybody would pay him 500."""
    bids, long = [(602_400, 3_340)], 100 * 100_000
    whole = premium_ppb(bids, [], Measured(600_000), RULE)
    assert whole == 500_000
    # A hundredth of six million dollars are sixty thousand.
    shown = 602_400 * 3_340
    wanted = long * 600_000 * OF_INTEREST_PPM // 10**6
    thin = premium_ppb(bids, [], Measured(600_000, long), RULE)
    assert thin == 4_000_000 * shown // wanted // 8 < whole // 29
    assert premium_ppb([(602_400, 100_000)], [], Measured(600_000, long), RULE) == whole
    # It is never measured through less than was asked for.
    assert premium_ppb(bids, [], Measured(600_000, 1), RULE) == whole
    assert premium_ppb([(602_400, 1)], [], Measured(600_000, 1), RULE) == 0


def test_what_nobody_can_trade_at_is_no_book() -> None:
    """An order that stands outside the band is refused whoever meets it: it risks nothing."""
    for band, expected in ((49_999, 0), (50_000, 500_000)):
        assert premium_ppb([(630_000, 10_000)], [], Measured(600_000, band_ppm=band), RULE) == expected
        assert premium_ppb([], [(570_000, 10_000)], Measured(600_000, band_ppm=band), RULE) == -expected
    # What stands behind it counts alone.
    bids = [(660_000, 10_000), (600_480, 10_000)]
    assert premium_ppb(bids, [], Measured(600_000, band_ppm=50_000), RULE) == 100_000


sides = st.lists(st.tuples(st.integers(-5, 2**48), st.integers(-5, 2**56)), max_size=6)


@given(bids=sides, asks=sides, index=st.integers(1, 2**48 - 1), notional=st.integers(1, 10**15))
def test_whatever_a_node_shows_the_premium_can_be_signed(
    bids: list[tuple[int, int]], asks: list[tuple[int, int]], index: int, notional: int
) -> None:
    for against in (Measured(index), Measured(index, 2**56, 50_000)):
        assert -500_000 <= premium_ppb(bids, asks, against, PremiumRule(notional, 500_000)) <= 500_000
