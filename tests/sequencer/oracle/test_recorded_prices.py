"""Recorded series: how they are read, played and derived from each other."""

import gzip
import os
from pathlib import Path

import pytest
import trio

from prover.stf import constants
from sequencer.oracle.price_filter import PriceFilter
from sequencer.oracle.price_sources import Market, Quote, SourceError
from sequencer.oracle.recorded_prices import RecordedPrices, Series, derived, read_series
from tests.sequencer.oracle_world import prices

MINUTE = 60_000
STEP = constants.TICK_STEP
# 2022-01-01 00:00 UTC.
NEW_YEAR = 1_640_995_200_000
NOW = 1_800_000_000_000
MARKET_DATA = os.environ.get("CATENARY_MARKET_DATA", "")
SERIES = Path(MARKET_DATA) / "btc-perp-1m-2022-01.csv.gz"


def minutes(*closes: float) -> Series:
    """A close a minute from New Year on."""
    return Series([NEW_YEAR + MINUTE * place for place in range(len(closes))], list(closes))


def test_a_recording_is_read_whole_or_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "closes.csv"
    head = "timestamp,open,close\n"
    good = head + "2022-01-01 00:00:00.000000,1,46216.5\n2022-01-01T00:01:00+00:00,1,46300\n"
    path.write_text(good)
    assert read_series(path) == minutes(46216.5, 46300.0)
    packed = tmp_path / "closes.csv.gz"
    packed.write_bytes(gzip.compress(good.encode()))
    assert read_series(packed) == read_series(path)
    path.write_text(f"close,timestamp\n1.5,{NEW_YEAR // 1_000}\n2.5,{NEW_YEAR + MINUTE}\n")
    assert read_series(path) == minutes(1.5, 2.5)
    first = "2022-01-01,1,5\n"
    for content, words in (
        (head + first + "yesterday,1,5\n", "line 3"),
        (head + first + "2022-01-01,1,5\n", "line 3: its time is not after"),
        (head + first + "2022-01-02,1,0\n", "line 3: a close is a number above 0"),
        (head + first + "2022-01-02,1,nan\n", "line 3: a close is a number above 0"),
        (head + first + "2022-01-02,1\n", "line 3"),
        ("time,close\n1,2\n", "line 2"),
        (head + first, "fewer than two rows"),
        ("", "fewer than two rows"),
    ):
        path.write_text(content)
        with pytest.raises(SourceError, match=words):
            read_series(path)
    packed.write_bytes(gzip.compress(good.encode())[:-9])
    with pytest.raises(SourceError, match="cannot be read"):
        read_series(packed)
    with pytest.raises(SourceError, match="cannot be read"):
        read_series(tmp_path / "missing.csv")


def test_a_recording_is_played_once_from_its_start() -> None:
    source = RecordedPrices([minutes(100.0, 110.0, 120.0), minutes(5.0, 6.0, 7.0)], start_ms=NOW)
    assert prices(source, NOW - STEP) == [None, None]
    assert prices(source, NOW) == [100.0, 5.0]
    assert prices(source, NOW + MINUTE - STEP) == [100.0, 5.0]
    assert prices(source, NOW + MINUTE) == [110.0, 6.0]
    assert prices(source, NOW + 2 * MINUTE) == [120.0, 7.0]
    assert prices(source, NOW + 2 * MINUTE + STEP) == [None, None]


def test_time_can_be_scaled() -> None:
    fast = RecordedPrices([minutes(100.0, 110.0, 120.0)], speed=12.0, start_ms=NOW)
    assert [prices(fast, NOW + step * STEP) for step in range(4)] == [[100.0], [110.0], [120.0], [None]]
    slow = RecordedPrices([minutes(100.0, 110.0)], speed=0.5, start_ms=NOW)
    assert [prices(slow, NOW + half * MINUTE) for half in (0, 1, 2, 3)] == [[100.0], [100.0], [110.0], [None]]


def test_without_a_start_all_signers_play_the_same_round() -> None:
    series = minutes(100.0, 110.0, 120.0)
    one, other = RecordedPrices([series]), RecordedPrices([series])
    seen = [prices(one, NOW + step * STEP)[0] for step in range(48)]
    assert set(seen) == {100.0, 110.0}
    assert [prices(other, NOW + step * STEP)[0] for step in reversed(range(48))] == seen[::-1]
    assert seen[:24] == seen[24:]


def test_a_gap_in_a_recording_ages() -> None:
    series = Series([NEW_YEAR, NEW_YEAR + 10 * MINUTE], [100.0, 110.0])
    (quote,) = trio.run(RecordedPrices([series], start_ms=NOW).quotes, NOW + 5 * MINUTE)
    assert quote == Quote(100.0, NOW + 5 * MINUTE - 4 * MINUTE)
    (faster,) = trio.run(RecordedPrices([series], speed=60.0, start_ms=NOW).quotes, NOW + STEP)
    assert faster == Quote(100.0, NOW + STEP - 4_000)


def test_series_must_have_time_in_common() -> None:
    later = Series([NEW_YEAR + 10 * MINUTE, NEW_YEAR + 11 * MINUTE], [1.0, 2.0])
    with pytest.raises(SourceError, match="no time in common"):
        RecordedPrices([minutes(1.0, 2.0), later])


def test_a_derived_market_follows_by_its_beta() -> None:
    base = minutes(100.0, 110.0, 55.0)
    exact = derived(base, 10.0, 2.0, 0.0, "0/ETH")
    assert exact.times_ms == base.times_ms
    assert exact.closes == pytest.approx([10.0, 12.1, 3.025])
    noisy = derived(base, 10.0, 2.0, 0.001, "0/ETH")
    assert noisy == derived(base, 10.0, 2.0, 0.001, "0/ETH")
    assert noisy != derived(base, 10.0, 2.0, 0.001, "0/SOL")
    assert noisy.closes == pytest.approx(exact.closes, rel=0.02)


@pytest.mark.skipif(not SERIES.is_file(), reason="CATENARY_MARKET_DATA names no folder with the BTC series")
def test_a_month_of_real_closes() -> None:
    series = read_series(SERIES)
    assert len(series.closes) > 40_000
    assert (min(series.closes) > 30_000, max(series.closes) < 50_000) == (True, True)
    source = RecordedPrices([series], speed=3_600.0, start_ms=NOW)
    kept = PriceFilter([Market("BTC", 1)], 15_000, 100_000, 3, 60_000)
    # An hour a second, five hours a grid time: the crash of 21 January within a minute, every close signed.
    signed = [kept.prices(NOW + step * STEP, trio.run(source.quotes, NOW + step * STEP))[0] for step in range(149)]
    assert min(signed) == pytest.approx(336_000, rel=0.03)
    assert max(signed) == pytest.approx(477_000, rel=0.03)
