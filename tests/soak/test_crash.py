"""The crash campaign: how its prices are made, what full liquidation is, and a small crash where the recording is."""

import json
import os
from pathlib import Path

import msgspec
import pytest

from prover.stf import constants, containers, encoding
from tests.sequencer.node_world import BTC, DOLLAR, FIRST
from tests.soak import crash
from tests.soak.__main__ import main
from tests.soak.crash import Full, Minute, NoSeries, deepest, derivations, derived, judged, ladder, walked

FALL = [Minute("", 400_000, 401_000, 390_000, 391_000), Minute("", 391_000, 396_000, 390_500, 395_000)]
MAINTENANCE = [12_000, 12_000, 30_000]


def is_recorded() -> bool:
    """Whether the series is where CATENARY_MARKET_DATA says."""
    named = Path(os.environ.get("CATENARY_MARKET_DATA", ""))
    return named.is_file() or (named / crash.SERIES).is_file()


def test_a_minute_is_walked_against_its_direction_first() -> None:
    assert walked(FALL) == [401_000, 390_000, 391_000, 390_500, 396_000, 395_000]


def test_the_window_is_the_deepest_fall() -> None:
    closes = [100] * 60 + [100 - step for step in range(61)] + [40] * 60
    minutes = [Minute(str(at), price, price, price, price) for at, price in enumerate(closes)]
    found = deepest(minutes, 1)
    assert (found[0].close, found[-1].close, len(found)) == (100, 40, 61)
    assert deepest(minutes, 0) == deepest(minutes, 1_000) == minutes


def test_eth_and_sol_are_a_function_of_the_path_and_the_seed() -> None:
    path = walked(FALL) * 20
    prices = derived(path, 7)
    assert prices == derived(path, 7)
    assert prices[:50] == derived(path[:50], 7)
    assert [btc for btc, _, _ in prices] == path
    assert [eth for _, eth, _ in prices] != [eth for _, eth, _ in derived(path, 8)]
    assert derivations(7) != derivations(8)


def test_a_derived_step_is_beta_times_the_step_of_btc_and_bounded_noise() -> None:
    for seed in range(20):
        rules = derivations(seed)
        before, after = derived([400_000, 396_000], seed)
        for place, rule in enumerate(rules, start=1):
            step_ppm = (after[place] - before[place]) * constants.PPM / before[place]
            assert abs(step_ppm + 10 * rule.beta_milli) <= rule.noise_ppm + 5
        assert 1_050 <= rules[0].beta_milli <= 1_400
        assert 1_200 <= rules[1].beta_milli <= 1_900


def test_a_move_makes_a_ladder_wider_and_thinner() -> None:
    calm, wild = ladder(BTC, 400_000, 0, 100), ladder(BTC, 400_000, 10_000, 100)
    for bids, asks in (calm, wild):
        assert bids == sorted(bids, reverse=True)
        assert asks == sorted(asks)
        assert bids[0][0] < 400_000 < asks[0][0]
    assert wild[0][0][0] < calm[0][0][0]
    assert wild[1][0][1] < calm[1][0][1]


def long(full: Full, dollars: int, lots: int, price: int) -> None:
    """An account that has bought."""
    positions = [containers.EMPTY] * constants.MARKETS
    positions[BTC] = encoding.pack(lots, lots * price, 0)
    row = msgspec.structs.replace(encoding.no_account(), settled=dollars * DOLLAR, positions=positions)
    full.enter(FIRST, row)


def prices(btc: int) -> tuple[int, int, int]:
    """Of a moment at which ETH and SOL stand still."""
    return btc, 300_000, 1_500_000


def books(*bids: tuple[int, int]) -> list[tuple[crash.Ladder, crash.Ladder]]:
    """Bids for BTC, each there once for every maker."""
    return [(list(bids), []), ([], []), ([], [])]


def test_full_liquidation_sells_everything_and_waits_for_the_rest() -> None:
    full = Full([0, 0, 0], is_like_for_like=False)
    long(full, 2_000, 250_000, 400_000)
    full.tick(prices(400_000), prices(395_000), books((394_900, 10**6)), MAINTENANCE)
    assert not full.first_equity, "judged at the better of the last two prices"
    full.tick(prices(395_000), prices(395_000), books((394_900, 50_000)), MAINTENANCE)
    assert full.first_equity == {FIRST: 750 * DOLLAR}
    assert full.held[FIRST] == {BTC: (150_000, 250_000 * 400_000 - 100_000 * 394_900)}
    full.tick(prices(397_000), prices(397_000), books((396_900, 75_000)), MAINTENANCE)
    assert full.held[FIRST] == {}
    assert full.money[FIRST] == 2_000 * DOLLAR - 100_000 * 5_100 - 150_000 * 3_100
    assert full.taken.total() == 250_000 * 100
    assert not full.is_closing()


def test_like_for_like_full_liquidation_pays_the_fee_and_keeps_the_limits() -> None:
    full = Full([0, 0, 0], is_like_for_like=True)
    long(full, 2_000, 250_000, 400_000)
    full.tick(prices(395_000), prices(395_000), books((394_900, 125_000)), MAINTENANCE)
    fee = 2 * (125_000 * 394_900 * 12_000 // 10**6 // 10)
    assert full.money[FIRST] == 750 * DOLLAR - 250_000 * 100 - fee
    assert full.funds[BTC] == fee
    far = Full([0, 0, 0], is_like_for_like=True)
    # 850 dollars of 1,185: at most 1.5 * 1.2% * (1 - 850 / 1185), half a percent, below the oracle price.
    long(far, 2_100, 250_000, 400_000)
    far.tick(prices(395_000), prices(395_000), books((392_500, 125_000)), MAINTENANCE)
    assert far.held[FIRST] == {BTC: (250_000, 250_000 * 400_000)}


def test_below_zero_the_fund_pays_while_it_can() -> None:
    full = Full([100 * DOLLAR, 0, 0], is_like_for_like=False)
    long(full, 1_000, 250_000, 400_000)
    full.tick(prices(395_000), prices(395_000), books(), MAINTENANCE)
    assert (full.money[FIRST], full.held[FIRST], full.funds[BTC]) == (0, {}, 0)
    assert (full.counts["fund_paid"], full.counts["unpaid"]) == (100 * DOLLAR, 150 * DOLLAR)


def test_a_liquidation_dearer_than_selling_everything_is_a_violation() -> None:
    def told(kept_ppm: int, taken: int) -> dict[str, int]:
        return {"liquidated": 1, "kept_ppm": kept_ppm, "taken_on_all_of_the_path_micros": taken}

    assert judged("ample", {"gentle": told(9, 5), "full_like_for_like": told(8, 6)}) == []
    assert len(judged("ample", {"gentle": told(8, 6), "full_like_for_like": told(9, 5)})) == 2


def test_without_the_recording_the_campaign_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CATENARY_MARKET_DATA", str(tmp_path))
    with pytest.raises(NoSeries, match="CATENARY_MARKET_DATA"):
        main(["crash", "--accounts", "2", "--seed", "1"])


@pytest.mark.skipif(not is_recorded(), reason="CATENARY_MARKET_DATA names no folder with the BTC series")
def test_three_hours_of_the_crash(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crash", "--accounts", "40", "--hours", "3", "--seed", "3", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (summary["accounts"], summary["violations"]) == (40, 0)
    assert summary["liquidations"] > 0
    assert all(told["conservation_held"] for told in summary["scenes"].values())
    assert all(told["gentle"]["below_zero_at_end"] == 0 for told in summary["scenes"].values())
