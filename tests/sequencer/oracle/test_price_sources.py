"""Recorded, simulated and HTTP prices, and what keeps a signer from signing them."""

import gzip
import itertools
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from prover.stf import constants
from sequencer.oracle.price_sources import (
    Guard,
    HttpPrice,
    HttpPrices,
    Market,
    NoisyPrices,
    Quote,
    RecordedPrices,
    Series,
    Silent,
    SimulatedPrices,
    SourceError,
    derived,
    parse_http_price,
    read_series,
)

MINUTE = 60_000
STEP = constants.TICK_STEP
# 2022-01-01 00:00 UTC.
NEW_YEAR = 1_640_995_200_000
NOW = 1_800_000_000_000
MARKET_DATA = os.environ.get("CATENARY_MARKET_DATA", "")
SERIES = Path(MARKET_DATA) / "btc-perp-1m-2022-01.csv.gz"


def prices(source: Any, time: int) -> list[float | None]:
    """What a source quotes, in dollars."""
    return [quote.dollars if quote else None for quote in trio.run(source.quotes, time)]


def minutes(*closes: float) -> Series:
    """A close a minute from New Year on."""
    return Series([NEW_YEAR + MINUTE * place for place in range(len(closes))], list(closes))


# Recorded.


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
    guard = Guard([Market("BTC", 1)], 15_000, 100_000, 3)
    # An hour a second, five hours a grid time: the crash of 21 January within a minute, every close signed.
    signed = [guard.prices(NOW + step * STEP, trio.run(source.quotes, NOW + step * STEP))[0] for step in range(149)]
    assert min(signed) == pytest.approx(336_000, rel=0.03)
    assert max(signed) == pytest.approx(477_000, rel=0.03)


# Simulated.


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


def test_jumps_come_as_often_and_as_far_as_was_asked() -> None:
    source = SimulatedPrices(3, [60_000.0, 3_000.0], 60.0, 200_000)
    path = [prices(source, NOW - NOW % STEP + step * STEP) for step in range(1_440)]
    moves = [[(b or 0) / (a or 1) for a, b in zip(one, two, strict=True)] for one, two in itertools.pairwise(path)]
    jumps = [move for move in moves if abs(move[0] - 1) > 0.05]
    # Two hours of one a minute. Markets jump together, up by a fifth or down by a sixth.
    assert 80 <= len(jumps) <= 160
    assert all((move[0] > 1) == (move[1] > 1) for move in jumps)
    assert {round(move[0], 1) for move in jumps} == {0.8, 1.2}
    calm = SimulatedPrices(3, [60_000.0], 0.0, 200_000)
    quiet = [prices(calm, NOW - NOW % STEP + step * STEP)[0] or 0.0 for step in range(1_440)]
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


# HTTP.


class Shop:
    """An HTTP source that answers what a test sets."""

    def __init__(self, *urls_and_paths: str) -> None:
        self.answers: dict[str, Any] = {}
        self.failures: list[tuple[str, str]] = []
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        wanted = [[parse_http_price(text) for text in of_market.split(" ")] for of_market in urls_and_paths]
        self.source = HttpPrices(client, wanted, lambda: NOW, lambda url, why: self.failures.append((url, why)), 15_000)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        given = self.answers[request.url.path]
        if isinstance(given, Exception):
            raise given
        return given if isinstance(given, httpx.Response) else httpx.Response(200, json=given)

    def quotes(self) -> list[Quote | None]:
        """What the source quotes now."""
        return trio.run(self.source.quotes, NOW)


def test_where_a_price_stands() -> None:
    assert parse_http_price("https://x.example/a?b=c#result.0.price") == HttpPrice(
        "https://x.example/a?b=c", ("result", "0", "price")
    )
    assert parse_http_price("http://x.example#p,data.time").time_path == ("data", "time")
    for wrong in ("", "https://x.example", "https://x.example#", "ftp://x.example#p", "x#p", "file:///etc/passwd#p"):
        with pytest.raises(ValueError, match="URL#path"):
            parse_http_price(wrong)


def test_prices_from_json_as_sources_write_it() -> None:
    shop = Shop("http://x.example/one#result.XBT.c.0", "http://x.example/two#price,time")
    shop.answers = {
        "/one": {"result": {"XBT": {"c": ["60000.5", "0.1"]}}},
        "/two": {"price": 3_000, "time": NOW // 1_000 - 7},
    }
    assert shop.quotes() == [Quote(60_000.5, NOW), Quote(3_000.0, NOW - 7_000)]
    shop.answers["/two"] = {"price": 3_000, "time": "2027-01-15T08:00:00Z"}
    assert shop.quotes()[1] == Quote(3_000.0, NOW)
    # Brackets in a string nest nothing.
    shop.answers["/two"] = {"note": '\\"' + "[" * 100, "price": 3_000, "time": NOW}
    assert shop.quotes()[1] == Quote(3_000.0, NOW)
    # A time of the future makes no price younger.
    shop.answers["/two"] = {"price": 3_000, "time": NOW + 10**9}
    assert shop.quotes()[1] == Quote(3_000.0, NOW)
    assert shop.failures == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"price": 1, "time": NOW - 15_001}, "15001 ms old"),
        ({"price": 0, "time": NOW}, "above 0"),
        ({"price": -1, "time": NOW}, "above 0"),
        ({"price": True, "time": NOW}, "no number"),
        ({"price": None, "time": NOW}, "no number"),
        ({"price": "nan", "time": NOW}, "above 0"),
        ({"price": "1e999", "time": NOW}, "above 0"),
        ({"price": "much", "time": NOW}, "could not convert"),
        ({"price": 1}, "has no time"),
        ({"price": 1, "time": "soon"}, "soon"),
        ([], "has no price"),
        (httpx.Response(200, content=b"<html>"), "not JSON"),
        (httpx.Response(200, content=b"[" * 100_000), "nested deeper than 32"),
        (httpx.Response(200, content=b'{"[": ' * 100_000), "nested deeper than 32"),
        (httpx.Response(200, content=b'["' + b"[" * 100_000), "nested deeper than 32"),
        (httpx.Response(503, json={"price": 1, "time": NOW}), "HTTP status 503"),
        (httpx.Response(302, headers={"location": "http://169.254.169.254/"}), "HTTP status 302"),
        (httpx.Response(200, content=b" " * (1 << 20) + b"{}"), "larger than"),
        (httpx.ConnectError("refused"), "refused"),
    ],
)
def test_what_is_no_price(answer: Any, words: str) -> None:
    shop = Shop("http://x.example/one#price,time")
    shop.answers = {"/one": answer}
    assert shop.quotes() == [None]
    ((url, reason),) = shop.failures
    assert url == "http://x.example/one"
    assert words in reason


def test_of_several_sources_the_median_of_those_that_answer() -> None:
    shop = Shop(" ".join(f"http://x.example/{name}#price" for name in "abc"))
    shop.answers = {"/a": {"price": 10}, "/b": {"price": 12}, "/c": {"price": 1_000}}
    assert shop.quotes() == [Quote(12.0, NOW)]
    shop.answers["/b"] = httpx.Response(500)
    assert shop.quotes() == [Quote(10.0, NOW)]
    shop.answers = dict.fromkeys(("/a", "/b", "/c"), httpx.ConnectError("refused"))
    assert shop.quotes() == [None]


def test_a_source_that_hangs_is_left() -> None:
    class Hanging(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await trio.sleep_forever()
            raise AssertionError

    client = httpx.AsyncClient(transport=Hanging())
    failures: list[str] = []
    source = HttpPrices(
        client, [[parse_http_price("http://x.example#p")]], lambda: NOW, lambda url, why: failures.append(why)
    )
    assert trio.run(source.quotes, NOW, clock=trio.testing.MockClock(autojump_threshold=0)) == [None]
    assert failures == ["no answer in 3 s"]


# Guards.


class Watch:
    """A guard over two markets, one reading a grid time."""

    def __init__(self) -> None:
        self.guard = Guard([Market("BTC", 1), Market("ETH", 2)], 15_000, 50_000, 3)
        self.time = NOW

    def sees(self, btc: float, eth: float = 3_000.0, age: int = 0) -> list[int] | str:
        """The ticks that are signed, or why none are."""
        self.time += STEP
        try:
            return self.guard.prices(self.time, [Quote(btc, self.time - age), Quote(eth, self.time)])
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


def test_one_market_silences_all() -> None:
    watch = Watch()
    watch.sees(60_000)
    assert watch.sees(30_000, 9_000.0) == (
        "BTC: moved from 600000 to 300000 ticks, seen 1 times; ETH: moved from 300000 to 900000 ticks, seen 1 times"
    )
    guard = Guard([Market("BTC", 1)], 15_000, 50_000, 3)
    with pytest.raises(Silent, match="BTC: no price"):
        guard.prices(NOW, [None])
    with pytest.raises(Silent, match="another number of markets"):
        guard.prices(NOW, [])


@pytest.mark.parametrize("dollars", [0.04, 2.0**48])
def test_a_price_that_ticks_cannot_say(dollars: float) -> None:
    assert "cannot be written in ticks" in str(Watch().sees(dollars))
