"""Addresses as people and programs write them."""

import pytest

from l1_bridge.addresses import AddressError, address_bytes, checksum_address, parse_address

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
    with pytest.raises(AddressError, match=sentence):
        parse_address(text)


def test_a_program_needs_no_checksum_but_the_same_shape() -> None:
    text = CHECKSUMMED[0]
    assert address_bytes(text.lower()) == address_bytes(text.swapcase().replace("0X", "0x")) == parse_address(text)
    assert address_bytes("0x" + "00" * 20) == bytes(20)
    for wrong in (text[2:], text + "0", f" {text}", "0x" + "\u0661" * 40):
        with pytest.raises(AddressError, match="not an address"):
            address_bytes(wrong)
