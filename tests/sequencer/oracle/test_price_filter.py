"""When a signer stays silent: old prices, jumps that nothing confirms, prices that ticks cannot say."""

import pytest

from prover.stf import constants
from sequencer.oracle.price_filter import PriceFilter, Silent
from sequencer.oracle.price_sources import Market, Quote
from tests.sequencer.oracle_world import MARKETS

STEP = constants.TICK_STEP
NOW = 1_800_000_000_000
DOGE = Market("DOGE", 3)


class Watch:
    """A filter over two markets, one reading a grid time."""

    def __init__(self) -> None:
        self.price_filter = PriceFilter([Market("BTC", 1), Market("ETH", 2)], 15_000, 50_000, 3, 60_000)
        self.time = NOW

    def sees(self, btc: float, eth: float = 3_000.0, age: int = 0) -> list[int] | str:
        """The ticks that are signed, or why none are."""
        self.time += STEP
        try:
            return self.price_filter.prices(self.time, [Quote(btc, self.time - age), Quote(eth, self.time)])
        except Silent as silent:
            return str(silent)


def test_old_prices_are_not_signed() -> None:
    watch = Watch()
    assert watch.sees(60_000, age=15_000) == [600_000, 300_000]
    assert watch.sees(60_000, age=15_001) == "BTC: the price is 15001 ms old"
    assert watch.sees(60_000) == [600_000, 300_000]


def test_a_wick_is_never_signed() -> None:
    watch = Watch()
    watch.sees(60_000)
    assert watch.sees(63_000) == [630_000, 300_000], "five per cent are no jump"
    assert watch.sees(30_000) == "BTC: moved from 630000 to 300000 ticks, seen 1 times"
    assert watch.sees(31_000) == "BTC: moved from 630000 to 310000 ticks, seen 2 times"
    assert watch.sees(63_100) == [631_000, 300_000]
    # It starts anew, and readings that contradict each other confirm nothing.
    assert "seen 1 times" in watch.sees(30_000)
    assert "seen 1 times" in watch.sees(40_000)
    assert "seen 2 times" in watch.sees(40_100)
    assert watch.sees(63_100) == [631_000, 300_000]


def test_a_crash_is_signed_before_the_last_tick_is_stale() -> None:
    watch = Watch()
    watch.sees(60_000)
    last = watch.time
    assert isinstance(watch.sees(36_000), str)
    assert isinstance(watch.sees(35_000), str)
    assert watch.sees(35_100) == [351_000, 300_000]
    assert watch.time - last <= constants.MAX_PRICE_AGE - STEP
    assert watch.sees(35_200) == [352_000, 300_000]


def test_a_first_reading_far_from_the_venues_last_price_waits_to_be_confirmed() -> None:
    watch = Watch()
    watch.price_filter.begin_at({"BTC": 600_000})
    assert watch.sees(6_000) == "BTC: moved from 600000 to 60000 ticks, seen 1 times"
    assert watch.sees(60_100) == [601_000, 300_000]
    # What it has signed itself counts more than what the venue had when it came.
    watch.price_filter.begin_at({"BTC": 1, "ETH": 1})
    assert watch.sees(60_200) == [602_000, 300_000]
    fresh = Watch()
    fresh.price_filter.begin_at({"DOGE": 1})
    assert fresh.sees(6_000) == [60_000, 300_000]


def test_one_market_silences_all() -> None:
    watch = Watch()
    watch.sees(60_000)
    assert watch.sees(30_000, 9_000.0) == (
        "BTC: moved from 600000 to 300000 ticks, seen 1 times; ETH: moved from 300000 to 900000 ticks, seen 1 times"
    )
    price_filter = PriceFilter([Market("BTC", 1)], 15_000, 50_000, 3, 60_000)
    with pytest.raises(Silent, match="BTC: no price"):
        price_filter.prices(NOW, [None])
    with pytest.raises(Silent, match="another number of markets"):
        price_filter.prices(NOW, [])


@pytest.mark.parametrize("dollars", [0.04, 2.0**48])
def test_a_price_that_ticks_cannot_say(dollars: float) -> None:
    assert "cannot be written in ticks" in str(Watch().sees(dollars))


def test_a_filter_that_follows_forgets_nothing() -> None:
    price_filter = PriceFilter([], 15_000, 50_000, 3, 60_000)
    price_filter.follow(MARKETS[:1])
    assert price_filter.prices(NOW, [Quote(60_000.0, NOW)]) == [600_000]
    price_filter.follow((MARKETS[0], DOGE))
    with pytest.raises(Silent, match="BTC: moved"):
        price_filter.prices(NOW, [Quote(70_000.0, NOW), Quote(0.25, NOW)])
    assert price_filter.prices(NOW, [Quote(60_000.0, NOW), Quote(0.25, NOW)]) == [600_000, 250]


class Gap:
    """A filter over two markets of which one may have no quote."""

    def __init__(self) -> None:
        self.price_filter = PriceFilter([Market("BTC", 1), Market("ETH", 2)], 15_000, 50_000, 3, 60_000)
        self.time = NOW

    def sees(self, btc: float | None, eth: float | None = 3_000.0) -> list[int] | str:
        """The ticks that are signed, or why none are."""
        self.time += STEP
        quotes = [None if dollars is None else Quote(dollars, self.time) for dollars in (btc, eth)]
        try:
            return self.price_filter.prices(self.time, quotes)
        except Silent as silent:
            return str(silent)


def test_a_market_whose_source_is_gone_stops_the_others_for_a_minute_and_no_longer() -> None:
    gap = Gap()
    assert gap.sees(60_000) == [600_000, 300_000]
    for _ in range(60_000 // STEP):
        assert gap.sees(None) == "BTC: no price"
        assert gap.price_filter.without == []
    assert gap.sees(None) == [0, 300_000]
    assert gap.price_filter.without == ["BTC"]
    # It is back at once, measured against what was signed of it last.
    assert gap.sees(60_100) == [601_000, 300_000]
    assert gap.price_filter.without == []
    # A short gap begins anew.
    assert gap.sees(None) == "BTC: no price"


def test_a_jump_that_nothing_confirms_is_no_missing_price() -> None:
    gap = Gap()
    gap.sees(60_000)
    for place in range(100):
        assert "BTC: moved" in str(gap.sees(30_000 if place % 2 else 90_000))


def test_nobody_is_told_that_no_market_has_a_price() -> None:
    gap = Gap()
    for _ in range(2 * 60_000 // STEP):
        assert isinstance(gap.sees(None, None), str)
    assert gap.sees(None, None) == "no market has a price"
    assert gap.sees(60_000, None) == [600_000, 0]
