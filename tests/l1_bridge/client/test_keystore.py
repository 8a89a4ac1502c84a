"""Keystores against eth-account's: what one writes the other reads, and what is none is said to be none."""

import copy
from typing import Any

import pytest
from eth_account import Account

from l1_bridge.client.keystore import NotAKeystore, PasswordMismatch, decrypt, encrypt

KEY = bytes(range(1, 33))
ADDRESS = bytes.fromhex(Account.from_key(KEY).address[2:])
LIGHT = 2**4


@pytest.mark.parametrize("password", ["secret", "ünïcödé \u2028 words", ""])
@pytest.mark.parametrize("kind", ["scrypt", "pbkdf2"])
def test_reads_what_eth_account_writes(kind: Any, password: str) -> None:
    written = Account.encrypt(KEY, password, kdf=kind, iterations=LIGHT)
    assert decrypt(written, password) == KEY
    with pytest.raises(PasswordMismatch, match="MAC"):
        decrypt(written, password + "x")


def test_writes_what_eth_account_reads() -> None:
    written = encrypt(KEY, ADDRESS, "secret", LIGHT)
    assert bytes(Account.decrypt(written, "secret")) == KEY == decrypt(written, "secret")
    by_other = Account.encrypt(KEY, "secret", kdf="scrypt", iterations=LIGHT)
    assert {*written} == {*by_other}
    assert {*written["crypto"]} == {*by_other["crypto"]}
    assert {*written["crypto"]["kdfparams"]} == {*by_other["crypto"]["kdfparams"]}
    assert written["address"] == by_other["address"].removeprefix("0x").lower()
    assert [len(part) for part in written["id"].split("-")] == [8, 4, 4, 4, 12]
    assert encrypt(KEY, ADDRESS, "secret", LIGHT)["crypto"]["ciphertext"] != written["crypto"]["ciphertext"]


def test_reads_the_test_vector_of_the_format() -> None:
    # Web3 Secret Storage's own vector, with pbkdf2.
    sealed = {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
        "kdf": "pbkdf2",
        "kdfparams": {
            "c": 262_144,
            "dklen": 32,
            "prf": "hmac-sha256",
            "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
        },
        "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
    }
    key = bytes.fromhex("7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d")
    assert decrypt({"version": 3, "crypto": sealed}, "testpassword") == key
    assert decrypt({"version": 3, "Crypto": sealed}, "testpassword") == key


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), 1),
        (("version",), None),
        (("crypto",), []),
        (("crypto", "cipher"), "aes-256-cbc"),
        (("crypto", "kdf"), "argon2"),
        (("crypto", "kdfparams"), {}),
        (("crypto", "kdfparams", "n"), 3),
        (("crypto", "kdfparams", "n"), 2**40),
        (("crypto", "kdfparams", "n"), -1),
        (("crypto", "kdfparams", "r"), 2**70),
        (("crypto", "kdfparams", "dklen"), 16),
        (("crypto", "kdfparams", "salt"), "no hex"),
        (("crypto", "ciphertext"), 7),
        (("crypto", "cipherparams"), None),
    ],
)
def test_what_is_no_keystore_is_said_to_be_none(path: tuple[str, ...], value: Any) -> None:
    content = copy.deepcopy(encrypt(KEY, ADDRESS, "secret", LIGHT))
    place: Any = content
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(NotAKeystore):
        decrypt(content, "secret")


def test_a_key_of_another_length_is_none() -> None:
    with pytest.raises(NotAKeystore, match="length"):
        decrypt(encrypt(KEY[:31], ADDRESS, "secret", LIGHT), "secret")
