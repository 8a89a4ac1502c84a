"""Operations and queue entries as bytes: their lengths are the law's, and the law reads what was written."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prover.signing import operations
from prover.stf import constants, containers, encoding

SENDER = b"\x0a" * 20
MOVE = containers.Rescue(maker=3, market=1, account=17, other=18, lots=25_000)


@given(st.binary(min_size=constants.SET_MARKET_LENGTH, max_size=constants.SET_MARKET_LENGTH))
def test_parameters_of_a_market_are_read_as_written(payload: bytes) -> None:
    assert operations.market_payload(operations.market_parameters(payload)) == payload


@given(st.binary(min_size=constants.SET_VENUE_LENGTH, max_size=constants.SET_VENUE_LENGTH))
def test_parameters_of_the_venue_are_read_as_written(payload: bytes) -> None:
    assert operations.venue_payload(operations.venue_parameters(payload)) == payload


@pytest.mark.parametrize("change", [-1, 1])
def test_parameters_of_another_length_are_refused(change: int) -> None:
    with pytest.raises(ValueError, match="parameters of a market"):
        operations.market_parameters(bytes(constants.SET_MARKET_LENGTH + change))
    with pytest.raises(ValueError, match="parameters of a venue"):
        operations.venue_parameters(bytes(constants.SET_VENUE_LENGTH + change))


def test_what_no_field_can_hold_is_not_written() -> None:
    nothing = operations.market_parameters(bytes(constants.SET_MARKET_LENGTH))
    with pytest.raises(OverflowError):
        operations.market_payload(msgspec.structs.replace(nothing, initial_ppm=2**24))


@pytest.mark.parametrize(
    ("tag", "length", "carried"),
    [
        (constants.LIQUIDATE, 12, ("maker", "account", "lots")),
        (constants.TAKE_OVER, 12, ("market", "account", "lots")),
        (constants.CLOSE_STEP, 12, ("market", "other", "lots")),
        (constants.DELEVERAGE, 15, ("market", "account", "other", "lots")),
        (constants.UNWIND, 9, ("maker", "lots")),
    ],
)
def test_the_law_reads_a_rescue_as_it_was_written(tag: int, length: int, carried: tuple[str, ...]) -> None:
    written = operations.rescue_bytes(tag, MOVE)
    read = encoding.rescue(tag, int.from_bytes(written[1:].ljust(32, b"\x00"), "big"))
    assert (written[0], len(written)) == (tag, length)
    assert [getattr(read, name) for name in carried] == [getattr(MOVE, name) for name in carried]


def test_an_entry_is_tag_sender_time_length_and_payload() -> None:
    payload = operations.forced_rescue_payload(1, 17, 25_000)
    assert operations.entry_bytes(constants.FORCED_RESCUE, SENDER, 5, payload) == (
        bytes([constants.FORCED_RESCUE]) + SENDER + (5).to_bytes(6, "big") + b"\x00\x0b" + payload
    )


def test_an_order_s_name_has_its_account_slot_and_sequence() -> None:
    assert operations.order_name(0x0A0B0C, 0x0D, 0x010203040506) == "0x0a0b0c0d010203040506"
    assert operations.order_name(0, 1, 0) == "0x00000001000000000000"
