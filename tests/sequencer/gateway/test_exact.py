"""Decimals and numbers of another venue, exactly or not at all."""

import pytest

from prover.signing.operations import order_name as venues_name
from sequencer.gateway.exact import dollars, is_cloid, mean_price, oid, oid_of, order_name, place_of, ratio, steps


@pytest.mark.parametrize(
    ("text", "decimals", "value"),
    [("0.002", 5, 200), ("50000", 1, 500_000), ("1.10", 1, 11), ("0", 3, 0), ("0.0", 3, 0), ("007", 0, 7)],
)
def test_a_decimal_on_the_grid_is_so_many_steps(text: str, decimals: int, value: int) -> None:
    assert steps(text, decimals) == value


@pytest.mark.parametrize(
    "text", ["0.0021", "1e3", "-1", "+1", "", ".5", "5.", " 1", "1\n", "٣", "0x10", "1" * 21, "NaN"]
)
def test_what_is_off_the_grid_or_no_decimal_is_none(text: str) -> None:
    assert steps(text, 3) is None


def test_an_order_has_a_number_of_slot_and_sequence() -> None:
    sequence = 1_800_000_000_000
    number = oid(255, sequence)
    assert number < 2**53
    assert place_of(number) == (255, sequence)
    assert oid_of(venues_name(17, 255, sequence)) == number
    assert order_name(17, number) == venues_name(17, 255, sequence)
    assert oid(1, sequence + 1) > number


@pytest.mark.parametrize("number", [-1, 0, 256, 2**56 + 1, 2**64])
def test_what_is_no_number_of_an_order_is_none(number: int) -> None:
    assert place_of(number) is None


def test_quotients_are_rounded_to_the_nearest() -> None:
    assert [
        ratio(*each) for each in [(1, 3, 4), (2, 3, 4), (-1, 3, 4), (1, 2, 0), (-1, 2, 0), (5, 0, 2), (1, 8, 3)]
    ] == [
        "0.3333",
        "0.6667",
        "-0.3333",
        "1",
        "-1",
        "0",
        "0.125",
    ]
    assert mean_price(600_001 * 2 + 600_002, 3, 1) == "60000.13333"
    assert dollars(-1_500_001) == "-1.500001"


@pytest.mark.parametrize(
    ("text", "holds"), [("0x" + "aB" * 16, True), ("0x" + "a" * 31, False), ("ab" * 17, False), (7, False)]
)
def test_a_cloid_is_16_bytes(text: object, holds: bool) -> None:
    assert is_cloid(text) is holds
