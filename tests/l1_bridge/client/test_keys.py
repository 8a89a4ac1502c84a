"""Signers from keys and keystores; the well-known ones of every devnet."""

import json

import pytest

from l1_bridge.client.keys import DEVELOPMENT_KEYS, Signer, development_key


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
