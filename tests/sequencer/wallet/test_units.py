"""Decimals to integers and back without losing or inventing anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sequencer.wallet.errors import BadInput
from sequencer.wallet.units import (
    leverage_text,
    money_text,
    move_text,
    parse_address,
    parse_duration,
    parse_leverage,
    parse_money,
    parse_units,
    percent_text,
    time_text,
    times_text,
    units_text,
)


@given(st.integers(1, 2**64), st.integers(0, 6))
def test_what_is_written_is_read_back(value: int, decimals: int) -> None:
    assert parse_units(units_text(value, decimals), decimals, "size", "BTC") == value
    assert units_text(-value, decimals) == "-" + units_text(value, decimals)
    assert parse_money(money_text(value).replace(",", "")) == value


@pytest.mark.parametrize(
    ("text", "decimals", "value"),
    [("0.25", 5, 25_000), ("60000.5", 1, 600_005), ("1", 0, 1), (" 1.500 ", 1, 15), ("0.10", 1, 1), ("007", 0, 7)],
)
def test_decimals_are_exact(text: str, decimals: int, value: int) -> None:
    assert parse_units(text, decimals, "size", "BTC") == value


@pytest.mark.parametrize(
    "text", ["", "-1", "+1", "1e3", "0x10", "1,000", ".5", "5.", "NaN", "inf", "١", "1_000", "1 0"]
)
def test_what_is_no_decimal_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is not a decimal number"):
        parse_units(text, 6, "size", "BTC")


@pytest.mark.parametrize(("text", "step"), [("0.000001", "0.00001"), ("1.000010000001", "0.00001")])
def test_off_the_grid_names_the_step(text: str, step: str) -> None:
    with pytest.raises(BadInput, match=f"the smallest step is {step} BTC"):
        parse_units(text, 5, "size", "BTC")


@pytest.mark.parametrize("text", ["0", "0.0", "000.000000"])
def test_zero_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is zero"):
        parse_units(text, 6, "size", "BTC")


def test_durations() -> None:
    assert [parse_duration(text) for text in ("500ms", "30s", "10m", "24h", "7d")] == [
        500,
        30_000,
        600_000,
        86_400_000,
        604_800_000,
    ]
    for text in ("", "30", "s", "0s", "-1s", "1.5h", "1w", "1 h 2"):
        with pytest.raises(BadInput, match="is not a duration"):
            parse_duration(text)


@pytest.mark.parametrize(
    ("text", "initial_ppm", "shown"),
    [
        ("5", 200_000, "at most 5.00x"),
        ("2.5x", 400_000, "at most 2.50x"),
        # Rounded up, so that the bound is never above what was asked for.
        ("3", 333_334, "at most 3.00x"),
        ("7", 142_858, "at most 7.00x"),
        ("1", 1_000_000, "at most 1.00x"),
        ("none", 0, "none"),
    ],
)
def test_leverage_is_bounded_by_an_initial_fraction(text: str, initial_ppm: int, shown: str) -> None:
    assert parse_leverage(text) == initial_ppm
    assert leverage_text(initial_ppm) == shown


@pytest.mark.parametrize("text", ["0", "0.999999", "-1", "much", ""])
def test_what_is_no_leverage_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_leverage(text)


def test_times_are_shown_in_utc() -> None:
    assert time_text(1_800_000_000_999) == "2027-01-15 08:00:00 UTC"
    assert time_text(2**60) == f"{2**60} ms"


def test_fractions_are_shown_rounded_up_and_never_as_nothing() -> None:
    assert [percent_text(ppm) for ppm in (0, 1, 999_999, 1_000_000, 1_000_001, None)] == [
        "0.00%", "0.01%", "100.00%", "100.00%", "100.01%", "no equity",
    ]  # fmt: skip
    assert [times_text(ppm) for ppm in (0, 1, 12_345_678, None)] == ["0.00x", "0.01x", "12.35x", "no equity"]
    assert [move_text(*move) for move in ((0, -1), (483, -1), (12_000, 1), (None, 1))] == [
        "-0.00%", "-4.83%", "+120.00%", "never",
    ]  # fmt: skip


def test_a_mistyped_address_is_bad_input() -> None:
    assert parse_address("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed").hex().startswith("5aaeb605")
    with pytest.raises(BadInput, match="checksum"):
        parse_address("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1Beaed")
