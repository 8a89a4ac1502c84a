"""The key that pays on L1: whose it is, and what a password file says."""

import json
from pathlib import Path

import pytest
from eth_account import Account

from prover.cli import keys, running


def test_without_a_key_only_a_devnet_is_served(tmp_path: Path) -> None:
    with pytest.raises(running.CommandFailed, match="--keystore is required"):
        keys.load_signer(1, None, None, 0)
    assert keys.load_signer(31_337, None, None, 0).address.hex().startswith("f39fd6")


def test_a_keystore_pays_and_a_wrong_password_is_one_line(tmp_path: Path) -> None:
    key = b"\x07" * 32
    keystore, password = tmp_path / "key.json", tmp_path / "password"
    keystore.write_text(json.dumps(Account.encrypt(key, "secret", kdf="scrypt", iterations=2)))
    password.write_text("secret\n")
    assert keys.load_signer(1, keystore, password, 0).address == bytes.fromhex(Account.from_key(key).address[2:])
    password.write_text("wrong\n")
    with pytest.raises(running.CommandFailed, match="keystore cannot be opened"):
        keys.load_signer(1, keystore, password, 0)
    password.write_text("")
    with pytest.raises(running.CommandFailed, match="empty"):
        keys.load_signer(1, keystore, password, 0)
    with pytest.raises(running.CommandFailed, match="cannot be read"):
        keys.load_signer(1, tmp_path / "absent", password, 0)


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"secret", "secret"),
        (b"secret\nsecond line\n", "secret"),
        (b"secret\r\n", "secret"),
        # What only some readers of lines take for an end of one belongs to the password.
        (b"form\x0cfeed\n", "form\x0cfeed"),
        ("line\u2028separator\x85\n".encode(), "line\u2028separator\x85"),
        (b"carriage\rreturn\n", "carriage\rreturn"),
        (b" spaces \n", " spaces "),
    ],
)
def test_a_password_is_the_first_line_of_its_file(tmp_path: Path, content: bytes, password: str) -> None:
    (tmp_path / "password").write_bytes(content)
    assert keys.read_password(tmp_path / "password") == password


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "is empty"), (b"\nsecret\n", "is empty"), (b"\r\nsecret\n", "is empty"), (b"\xff\n", "is not text")],
)
def test_a_file_without_a_password_in_its_first_line_is_refused(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "password").write_bytes(content)
    with pytest.raises(keys.PasswordUnreadable, match=sentence):
        keys.read_password(tmp_path / "password")
