"""Addresses as people write them <-> 20 bytes, with their checksum (EIP-55)."""

import re
from typing import Final

from l1_bridge.hashing import keccak

# ASCII digits only: no digit of another script that looks like one.
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)


class AddressError(ValueError):
    """What is no address, or one with a typing error; one sentence."""


def checksum_address(address: bytes) -> str:
    """EIP-55: 0x and forty hexadecimal digits whose case carries a checksum."""
    plain = address.hex()
    case = keccak(plain.encode()).hex()
    return "0x" + "".join(digit.upper() if case[i] >= "8" else digit for i, digit in enumerate(plain))


def address_bytes(text: str) -> bytes:
    """20 bytes of what a program wrote: any case, no checksum asked for; AddressError for another shape."""
    if _ADDRESS.fullmatch(text) is None:
        raise AddressError(f"{text!r} is not an address: 0x and forty hexadecimal digits")
    return bytes.fromhex(text[2:])


def parse_address(text: str) -> bytes:
    """20 bytes of what a person wrote; AddressError for a wrong shape, a failed checksum or the zero address."""
    text = text.strip()
    address = address_bytes(text)
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()) and checksum_address(address) != text:
        raise AddressError(f"{text} fails its checksum: at least one character is wrong")
    if address == bytes(20):
        raise AddressError("the zero address can receive nothing")
    return address
