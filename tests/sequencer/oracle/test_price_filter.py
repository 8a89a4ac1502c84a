"""What a signer signs, holds on to and is silent about: old prices, jumps, prices that ticks cannot say."""

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
    assert watch.price_filter.held == []
    assert watch.sees(70_000, age=15_001) == [600_000, 300_000], "the one before is young enough"
    assert watch.price_filter.held == ["BTC"]


def test_a_wick_is_never_signed() -> None:
    watch = Watch()
    for _ in range(5):
        watch.sees(60_000)
    assert watch.sees(63_000) == [630_000, 300_000], "five per cent are no jump"
    # The last confirmed one is signed meanwhile: no reading of three that nothing confirms stops any market.
    for dollars in (30_000, 31_000):
        assert watch.sees(dollars) == [630_000, 300_000]
        assert watch.price_filter.held == ["BTC"]
    assert watch.sees(63_100) == [631_000, 300_000]
    assert watch.price_filter.held == []
    # It starts anew, and readings that contradict each other confirm nothing.
    for dollars in (30_000, 40_000, 40_100):
        assert watch.sees(dollars) == [631_000, 300_000]
    assert "BTC: moved from 631000 to 30000" in str(watch.sees(3_000)), "twenty seconds old"
    assert watch.sees(63_100) == [631_000, 300_000]


def test_a_crash_is_signed_ten_seconds_late() -> None:
    watch = Watch()
    watch.sees(60_000)
    assert watch.sees(36_000) == [600_000, 300_000]
    assert watch.sees(35_000) == [600_000, 300_000]
    assert watch.sees(35_100) == [351_000, 300_000]
    assert watch.sees(35_200) == [352_000, 300_000]


def test_a_price_is_held_for_as_long_as_its_reading_may_be_old() -> None:
    """By the time of the reading, not by that of the tick: nobody trades at an older price than without a hold."""
    for age, held in ((0, 3), (5_000, 2), (10_001, 0)):
        watch = Watch()
        watch.sees(60_000, age=age)
        signed = [watch.sees(30_000 + 10_000 * (place % 2)) for place in range(5)]
        assert [isinstance(each, list) for each in signed] == [place < held for place in range(5)]


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


def test_one_market_that_was_never_confirmed_silences_all() -> None:
    watch = Watch()
    watch.price_filter.begin_at({"BTC": 600_000, "ETH": 300_000})
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
    assert price_filter.prices(NOW, [Quote(70_000.0, NOW), Quote(0.25, NOW)]) == [600_000, 250]
    assert price_filter.held == ["BTC"]
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


# A source that is gone: three grid times held, three of silence, and more than half a minute without a price.
HELD, SILENT = 3, 3


def test_a_market_whose_source_is_gone_stops_the_others_for_half_a_minute_and_no_longer() -> None:
    gap = Gap()
    for _ in range(20):
        assert gap.sees(60_000) == [600_000, 300_000]
    last = gap.time
    for _ in range(HELD):
        assert gap.sees(None) == [600_000, 300_000]
    for _ in range(SILENT):
        assert gap.sees(None) == "BTC: no price"
        assert gap.price_filter.without == []
    assert gap.sees(None) == [0, 300_000]
    assert (gap.time - last, gap.price_filter.without) == (35_000, ["BTC"])
    # The tick before was held, so the venue's price was never too old to trade the others at.
    assert gap.time - (last + HELD * STEP) <= constants.MAX_PRICE_AGE
    # It is back at once, measured against what was signed of it last.
    assert gap.sees(60_100) == [601_000, 300_000]
    assert gap.price_filter.without == []
    # What it was without still counts for a minute, and what it has is held again.
    assert [gap.sees(None) for _ in range(HELD + 1)] == [[601_000, 300_000]] * HELD + [[0, 300_000]]


@pytest.mark.parametrize("third", [63_700.0, None])
def test_every_third_reading_of_one_market_stops_nothing(third: float | None) -> None:
    """A wick, or an answer that does not come in time: each tick is signed, so three in a row are always there."""
    gap = Gap()
    for place in range(720):
        assert gap.sees(third if place % 3 == 2 else 60_000) == [600_000, 300_000]
        assert gap.price_filter.without == []


def test_a_market_that_nothing_confirms_is_set_aside_alone() -> None:
    """Two answers by turns, from two machines behind one address: the other market goes on within half a minute."""
    gap = Gap()
    gap.sees(60_000)
    signed = [gap.sees(30_000 if place % 2 else 90_000) for place in range(100)]
    assert signed[:HELD] == [[600_000, 300_000]] * HELD
    assert all("BTC: moved" in str(each) for each in signed[HELD : HELD + SILENT])
    assert signed[HELD + SILENT :] == [[0, 300_000]] * (100 - HELD - SILENT)


def test_a_market_without_a_price_for_less_than_half_of_a_minute_is_not_set_aside() -> None:
    gap = Gap()
    for place in range(240):
        seen = gap.sees(None if place % 12 in range(6) else 60_000)
        assert gap.price_filter.without == []
        assert isinstance(seen, list) == (place % 12 not in range(HELD if place >= 6 else 0, 6))


def test_a_slow_signer_sets_a_market_aside_too() -> None:
    """It reads every other grid time: what counts is the part of its readings."""
    gap = Gap()
    gap.sees(60_000)
    seen = []
    for _ in range(6):
        gap.time += STEP
        seen.append(gap.sees(None))
    assert seen == [[600_000, 300_000], *["BTC: no price"] * 2, *[[0, 300_000]] * 3]


def test_nobody_is_told_that_no_market_has_a_price() -> None:
    gap = Gap()
    for _ in range(60_000 // STEP):
        assert isinstance(gap.sees(None, None), str)
    assert gap.sees(None, None) == "no market has a price"
    assert gap.sees(60_000, None) == [600_000, 0]
