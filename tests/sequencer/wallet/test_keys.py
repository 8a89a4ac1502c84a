"""Keystores: private, never overwritten, opened by their password alone, and the address in them not believed."""

import json
from pathlib import Path

import pytest

from l1_bridge.addresses import checksum_address
from sequencer.wallet.errors import KeystoreExists, KeystoreMissing, WalletError, WrongPassword
from sequencer.wallet.keys import (
    SCRYPT_LIGHT,
    Key,
    create_keystore,
    keystore_address,
    keystore_path,
    open_keystore,
)
from tests.sequencer.wallet_node import mode

PASSWORD = "correct horse"
DIGEST = bytes(range(32))


def test_a_new_key_is_in_a_file_of_its_own_and_comes_back_by_its_password(tmp_path: Path) -> None:
    path = tmp_path / "wallets" / "default.json"
    made = create_keystore(path, PASSWORD, SCRYPT_LIGHT)
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)
    opened = open_keystore(path, PASSWORD)
    assert (opened.address, opened.sign(DIGEST)) == (made.address, made.sign(DIGEST))
    assert keystore_address(path) == made.address
    with pytest.raises(WrongPassword, match="does not open"):
        open_keystore(path, PASSWORD + " ")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "default.json"
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(KeystoreExists):
        create_keystore(path, PASSWORD, SCRYPT_LIGHT)
    path.unlink()
    path.write_text("kept")
    with pytest.raises(KeystoreExists):
        create_keystore(path, PASSWORD, SCRYPT_LIGHT)
    assert path.read_text() == "kept"
    with pytest.raises(WalletError, match="cannot be written"):
        create_keystore(path / "below a file.json", PASSWORD, SCRYPT_LIGHT)


def test_the_address_in_the_file_is_proven_by_opening_it(tmp_path: Path) -> None:
    path = tmp_path / "default.json"
    made = create_keystore(path, PASSWORD, SCRYPT_LIGHT)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "address": "13" * 20}))
    with pytest.raises(
        KeystoreMissing, match=f"another address than that of its key, {checksum_address(made.address)}"
    ):
        open_keystore(path, PASSWORD)
    path.write_text(json.dumps({name: value for name, value in content.items() if name != "address"}))
    assert open_keystore(path, PASSWORD).address == made.address
    with pytest.raises(KeystoreMissing, match="names no address"):
        keystore_address(path)


@pytest.mark.parametrize("content", [b"", b"no JSON", b"[]", b"\xff", b"{}", b'{"version": 3}', b'{"crypto": 1}'])
def test_what_is_no_keystore_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "default.json"
    with pytest.raises(KeystoreMissing, match="there is no keystore at"):
        open_keystore(path, PASSWORD)
    path.write_bytes(content)
    with pytest.raises(KeystoreMissing):
        open_keystore(path, PASSWORD)


def test_a_keystore_is_called_by_its_file_or_by_its_name(tmp_path: Path) -> None:
    assert keystore_path(tmp_path, "default") == tmp_path / "default.json"
    assert keystore_path(tmp_path, "other.json") == Path("other.json")
    assert keystore_path(tmp_path, "/else/where") == Path("/else/where")


def test_a_key_does_not_show_itself() -> None:
    private_key = b"\x07" * 32
    shown = repr(Key(private_key))
    assert private_key.hex() not in shown
    assert checksum_address(Key(private_key).address) in shown
