"""Signers from keys and keystores, the well-known ones of every devnet, and one that signs digests alone."""

import json
from typing import Any

import pytest

from l1_bridge.client.keys import DEVELOPMENT_KEYS, DigestSigner, Signer, development_key
from prover.signing.signatures import address_of, sign

KEY = DEVELOPMENT_KEYS[3]
FIELDS = {
    "type": 2,
    "chainId": 31_337,
    "nonce": 0,
    "gas": 21_000,
    "maxFeePerGas": 2 * 10**9,
    "maxPriorityFeePerGas": 1,
    "value": 0,
    "data": b"",
    "to": b"\x11" * 20,
    "accessList": [],
}


def test_signers_come_from_keys_and_keystores() -> None:
    from eth_account import Account

    assert development_key(0).address.hex() == "f39fd6e51aad88f6f4ce6ab8827279cfffb92266"
    assert development_key(9).address.hex() == "a0ee7a142d267c1f36714e4a8f75612f20a79720"
    assert DEVELOPMENT_KEYS[0].hex() not in repr(development_key(0))
    keystore = json.dumps(Account.encrypt(DEVELOPMENT_KEYS[3], "secret", kdf="pbkdf2", iterations=2))
    assert Signer.from_keystore(keystore, "secret").address == development_key(3).address
    for content, password in ((keystore, "wrong"), ("{}", "secret"), ("nonsense", "secret"), ("[]", "secret")):
        with pytest.raises(ValueError, match="keystore"):
            Signer.from_keystore(content, password)
    for key in (bytes(32), b"\xff" * 32, b"\x01" * 31):
        with pytest.raises(ValueError, match="private key"):
            Signer(key)
    for index in (-1, 10):
        with pytest.raises(ValueError, match="0 to 9"):
            development_key(index)


def test_a_keystore_that_names_another_address_is_not_opened() -> None:
    from eth_account import Account

    keystore = Account.encrypt(KEY, "secret", kdf="pbkdf2", iterations=2)
    assert keystore["address"].lower() == development_key(3).address.hex()
    without = {name: value for name, value in keystore.items() if name != "address"}
    assert Signer.from_keystore(json.dumps(without), "secret").address == development_key(3).address
    for named in (development_key(4).address.hex(), "", None, 7):
        with pytest.raises(ValueError, match="another address"):
            Signer.from_keystore(json.dumps(keystore | {"address": named}), "secret")


def test_a_signer_signs_digests_as_the_law_reads_them() -> None:
    for number in range(8):
        digest = bytes([number]) * 32
        assert development_key(3).sign(digest) == sign(KEY, digest)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"nonce": 127, "value": 10**18},
        {"nonce": 128, "data": b"\x00"},
        {"nonce": 2**40, "data": b"\x7f"},
        {"data": b"\x80"},
        {"data": b"\x01" * 55},
        {"data": b"\x01" * 56},
        {"data": bytes(256), "to": None},
        {"data": b"\xff" * 70_000, "chainId": 1},
    ],
)
def test_both_signers_make_the_same_transaction(changes: dict[str, Any]) -> None:
    fields = {name: value for name, value in (FIELDS | changes).items() if value is not None}
    by_digest = DigestSigner(address_of(KEY), lambda digest: sign(KEY, digest))
    assert by_digest.address == Signer(KEY).address
    assert by_digest.sign_transaction(fields) == Signer(KEY).sign_transaction(fields)


def test_another_key_makes_another_transaction() -> None:
    other = DEVELOPMENT_KEYS[4]
    by_digest = DigestSigner(address_of(other), lambda digest: sign(other, digest))
    assert by_digest.sign_transaction(dict(FIELDS)) != Signer(KEY).sign_transaction(dict(FIELDS))
