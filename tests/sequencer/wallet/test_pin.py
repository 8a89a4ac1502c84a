"""A wallet directory is for one rollup: the one that it first used, unless its user names another."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from l1_bridge.addresses import checksum_address
from sequencer.wallet.errors import WalletError, WrongChain
from sequencer.wallet.pin import RollupPin, introduction
from sequencer.wallet.trust import Venue
from tests.sequencer.wallet.test_typed_data import VENUE
from tests.sequencer.wallet_node import mode


def elsewhere(**changes: Any) -> Venue:
    """The same venue, found somewhere else."""
    return msgspec.structs.replace(VENUE, location=msgspec.structs.replace(VENUE.location, **changes))


def test_the_first_use_pins_and_is_told(tmp_path: Path) -> None:
    pin = RollupPin(tmp_path / "wallets" / "rollup.json")
    assert pin.known() is None
    assert pin.admit(VENUE, is_named=False)
    assert mode(pin.path) == 0o600
    assert list(pin.path.parent.iterdir()) == [pin.path]
    told = "\n".join(introduction(VENUE, pin))
    for part in (
        checksum_address(VENUE.rollup),
        "chain 31337",
        "0x" + "01" * 32,
        f"operator is {checksum_address(VENUE.operator)}",
        "2 of 2 oracle signers",
        *(checksum_address(signer) for signer in VENUE.oracle_signers),
        "final 30 s after",
        str(pin.path),
    ):
        assert part in told
    # Once: another use of the same rollup says nothing, named or not.
    assert not RollupPin(pin.path).admit(VENUE, is_named=False)
    assert not RollupPin(pin.path).admit(VENUE, is_named=True)


@pytest.mark.parametrize(
    "changes",
    [{"chain_id": 1}, {"genesis_block_hash": b"\x09" * 32}, {"rollup": b"\x12" * 20}, {"genesis_root": b"\x09" * 32}],
)
def test_another_rollup_is_refused_unless_it_is_named(tmp_path: Path, changes: dict[str, Any]) -> None:
    pin = RollupPin(tmp_path / "rollup.json")
    pin.admit(VENUE, is_named=False)
    kept = pin.path.read_bytes()
    known = pin.known()
    assert known is not None
    assert known.rollup == checksum_address(VENUE.rollup)
    other = elsewhere(**changes)
    with pytest.raises(WrongChain, match=f"--rollup-address {checksum_address(other.rollup)} if you mean it"):
        pin.admit(other, is_named=False)
    assert not pin.admit(other, is_named=True)
    # Naming it once does not make it the wallet's own.
    assert pin.path.read_bytes() == kept
    with pytest.raises(WrongChain, match="is pinned to rollup"):
        pin.admit(other, is_named=False)
    assert not pin.admit(VENUE, is_named=False)


def test_new_code_at_the_same_place_is_the_same_rollup(tmp_path: Path) -> None:
    # What the code is, the wallet examines every time; the pin says which rollup was meant.
    pin = RollupPin(tmp_path / "rollup.json")
    assert pin.admit(VENUE, is_named=True)
    assert not pin.admit(elsewhere(shipped_hash=b"\x09" * 32), is_named=False)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no JSON",
        b"{}",
        b'{"chain_id": "31337"}',
        b'{"chain_id": 1, "genesis_block_hash": "0x", "rollup": "0x12"}',
        b"\xff",
    ],
)
def test_a_damaged_pin_is_no_first_use(tmp_path: Path, content: bytes) -> None:
    pin = RollupPin(tmp_path / "rollup.json")
    pin.path.write_bytes(content)
    for is_named in (False, True):
        with pytest.raises(WalletError, match="remove it to pin the next one"):
            pin.admit(VENUE, is_named)
    assert pin.path.read_bytes() == content


def test_of_two_first_uses_one_wins(tmp_path: Path) -> None:
    pin = RollupPin(tmp_path / "rollup.json")

    class Slow(RollupPin):
        """Looks before the other process has written."""

        asked = 0

        def _load(self) -> Any:
            self.asked += 1
            return None if self.asked == 1 else super()._load()

    assert pin.admit(VENUE, is_named=False)
    assert not Slow(pin.path).admit(VENUE, is_named=False)
    with pytest.raises(WrongChain):
        Slow(pin.path).admit(elsewhere(chain_id=1), is_named=False)


def test_a_pin_that_cannot_be_kept_is_said(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(WalletError, match=r"rollup\.json cannot be"):
        RollupPin(blocked / "rollup.json").admit(VENUE, is_named=False)
