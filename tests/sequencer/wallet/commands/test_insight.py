"""How shocks are read, and a rescue is told."""

import msgspec
import pytest

from sequencer.schema.accounts import Contribution, Saved, Shocked
from sequencer.schema.answers import PostMortemView
from sequencer.wallet.commands.grid import Grid
from sequencer.wallet.commands.insight import _basis_points, _contribution_shown, post_mortem_text
from sequencer.wallet.errors import BadInput
from sequencer.wallet.trust import ListedMarket
from tests.sequencer.answers import answer

GRID = Grid([ListedMarket(0, "BTC", 5, 100, 450, 50_000)])


@pytest.mark.parametrize(
    ("text", "basis_points"),
    [("-10", -1_000), ("25.5", 2_550), ("+0.01%", 1), ("-99.99", -9_999), ("1000", 100_000), (" 3 ", 300)],
)
def test_a_shock_is_read_in_percent(text: str, basis_points: int) -> None:
    assert _basis_points(text) == basis_points


@pytest.mark.parametrize("text", ["", "-", "x", "1.234", "1e2", "-100", "1000.01", "१", "1.२", "0x5", "5-"])
def test_a_shock_that_is_none_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput):
        _basis_points(text)


@pytest.mark.parametrize(
    ("saved", "told"), [(5, ": $0.000005 saved"), (0, ", nothing is saved now"), (-1, ", nothing is")]
)
def test_nothing_saved_is_said_in_words(saved: int, told: str) -> None:
    sharing = answer(Saved, saved_micros=saved, together_micros=0, isolated_micros=0)
    found = answer(Contribution, saved=sharing, shocked=answer(Shocked, market=None, margin_ratio_ppm=None))
    lines = [line for line in _contribution_shown(found, GRID) if isinstance(line, str)]
    assert told in lines[0]


def rescued(**changes: object) -> PostMortemView:
    """A gentle liquidation of 7.00411 bitcoins."""
    found = answer(
        PostMortemView,
        number=3,
        kind="liquidation",
        account=29,
        market="BTC",
        lots=700_411,
        quote_micros=700_411 * 592_907,
        price_ticks=592_907,
        oracle_price_ticks=593_020,
        previous_price_ticks=593_026,
        judged_price_ticks=593_026,
        zero_price_ticks=586_802,
        tick_time_ms=1_800_000_000_000,
        signers=[0, 1, 2, 3, 6],
        judged_equity_micros=9_084_120_000,
        judged_maintenance_micros=10_385_000_000,
        counted_at="judged_prices",
        equity_before_micros=9_084_120_000,
        initial_before_micros=17_308_000_000,
        maintenance_before_micros=10_385_000_000,
        equity_after_micros=8_990_000_000,
        initial_after_micros=8_980_000_000,
        maintenance_after_micros=5_380_000_000,
        one_lot_less_equity_micros=9_000_750_001,
        one_lot_less_initial_micros=9_000_760_000,
        fee_micros=49_000_000,
        paid_by_fund_micros=0,
        counterparty=18,
    )
    return msgspec.structs.replace(found, **changes)


def test_a_post_mortem_is_told_in_dollars_and_units() -> None:
    assert post_mortem_text(rescued(), GRID) == [
        "3. liquidation of 7.00411 BTC of account 29, 2027-01-15 08:00:00 UTC",
        "   judged at $59302.6: oracle $59302, the tick before $59302.6; signed by oracle signers 0, 1, 2, 3, 6",
        "   before: equity $9,084.12, maintenance $10,385.00, initial $17,308.00, at the judged prices",
        "   account 18 took it at $59290.7, $415,278.584777 in all; zero price $58680.2, rounded for the account",
        "   after:  equity $8,990.00, maintenance $5,380.00, initial $8,980.00",
        "   with one lot less, after its fee: equity $9,000.750001, initial $9,000.76",
        "   fee $49.00, to the insurance account",
    ]


def test_a_post_mortem_without_an_order_tells_what_was_paid_by_whom_and_at_which_prices() -> None:
    taken = rescued(
        kind="take_over",
        quote_micros=700_411 * 586_802 - 1,
        price_ticks=586_802,
        judged_equity_micros=6_000_000_000,
        counted_at="last_tick",
        one_lot_less_equity_micros=None,
        one_lot_less_initial_micros=None,
        fee_micros=0,
        paid_by_fund_micros=12_500_000,
        counterparty=1,
    )
    lines = post_mortem_text(taken, GRID)
    assert lines[0].startswith("3. take over of 7.00411 BTC")
    # What the law judged is told apart where it is not what it paid by.
    assert lines[2:5] == [
        "   judged: equity $6,000.00, maintenance $10,385.00",
        "   before: equity $9,084.12, maintenance $10,385.00, initial $17,308.00, at the last tick's prices",
        "   account 1 took it at $58680.2, $411,002.575621 in all; zero price $58680.2, both rounded for the account",
    ]
    assert lines[6:] == ["   the insurance account gave $12.50 beyond the oracle price"]
    unwound = rescued(kind="unwinding", zero_price_ticks=None)
    assert post_mortem_text(unwound, GRID)[3].endswith("at $59290.7, $415,278.584777 in all")
