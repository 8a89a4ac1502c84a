"""What a revert says for itself."""

import pytest
from eth_abi.abi import encode

from l1_bridge.client.errors import revert_reason


def test_a_revert_gives_its_reason() -> None:
    assert revert_reason(bytes.fromhex("08c379a0") + encode(["string"], ["too late"])) == "too late"
    assert revert_reason(bytes.fromhex("4e487b71") + encode(["uint256"], [17])) == "panic 0x11"


@pytest.mark.parametrize(
    "data", [b"", b"\x08\xc3\x79\xa0", b"\x08\xc3\x79\xa0" + b"\xff" * 64, b"\x01\x02\x03\x04"], ids=bytes.hex
)
def test_revert_data_without_a_reason_gives_none(data: bytes) -> None:
    assert revert_reason(data) == ""
