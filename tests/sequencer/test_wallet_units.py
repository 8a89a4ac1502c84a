"""Decimals to integers and back without losing or inventing anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sequencer.wallet_errors import BadInput
from sequencer.wallet_units import (
    checksum_address,
    money_text,
    parse_address,
    parse_duration,
    parse_money,
    parse_units,
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
    assert [parse_duration(text) for text in ("500ms", "30s", "10m", "24h")] == [500, 30_000, 600_000, 86_400_000]
    for text in ("", "30", "s", "0s", "-1s", "1.5h", "1d", "1 h 2"):
        with pytest.raises(BadInput, match="is not a duration"):
            parse_duration(text)


# The examples of EIP-55.
CHECKSUMMED = (
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0xde709f2102306220921060314715629080e2fb77",
)


@pytest.mark.parametrize("text", CHECKSUMMED)
def test_addresses_carry_their_checksum(text: str) -> None:
    assert checksum_address(parse_address(text)) == text
    assert parse_address(text.lower()) == parse_address("0x" + text[2:].upper()) == parse_address(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1Beaed", "checksum"),
        ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe", "not an address"),
        ("5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "not an address"),
        ("0x" + "00" * 20, "zero address"),
    ],
)
def test_mistyped_addresses_are_refused(text: str, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        parse_address(text)
