"""Keystore V3 files (Web3 Secret Storage): a private key under a password, read and written.

Neither eth-account nor eth-keyfile does it here: both import a pairing library, ten times what a signature takes.
"""

import hashlib
import hmac
import secrets
from itertools import pairwise
from typing import Any, Final

from l1_bridge.hashing import keccak

_SCRYPT_R: Final = 8
_SCRYPT_P: Final = 1
_DERIVED_BYTES: Final = 32
# What scrypt may take of memory: 1 GiB is n = 2^20, four times what geth asks for.
_MEMORY_BYTES: Final = (1 << 30) + (1 << 24)
_MAX_ITERATIONS: Final = 10**7


class NotAKeystore(ValueError):
    """The content is no keystore of version 3, or of a kind that nobody writes; one sentence."""


class PasswordMismatch(ValueError):
    """The keystore was made with another password: MAC mismatch."""


def decrypt(content: dict[str, Any], password: str) -> bytes:
    """The 32 bytes of the private key; takes as long as its maker chose. NotAKeystore or PasswordMismatch."""
    try:
        if int(content["version"]) != 3:
            raise NotAKeystore(f"version {content['version']} is not 3")
        sealed = content["crypto"] if "crypto" in content else content["Crypto"]
        if sealed["cipher"] != "aes-128-ctr":
            raise NotAKeystore(f"cipher {sealed['cipher']} is not aes-128-ctr")
        cipher_text, mac = bytes.fromhex(sealed["ciphertext"]), bytes.fromhex(sealed["mac"])
        counter = bytes.fromhex(sealed["cipherparams"]["iv"])
        derived = _derived(sealed["kdf"], sealed["kdfparams"], password.encode())
    except (KeyError, TypeError, AttributeError) as error:
        raise NotAKeystore(f"{error} is missing or of a wrong type") from None
    except (MemoryError, OverflowError) as error:
        raise NotAKeystore(f"it asks for too much: {error}") from None
    except NotAKeystore:
        raise
    except ValueError as error:
        raise NotAKeystore(str(error)) from None
    if not hmac.compare_digest(keccak(derived[16:32] + cipher_text), mac):
        raise PasswordMismatch("MAC mismatch: it was made with another password")
    if len(cipher_text) != 32 or len(counter) != 16:
        raise NotAKeystore("its key or its counter has a wrong length")
    return _aes(derived, counter, cipher_text)


def encrypt(private_key: bytes, address: bytes, password: str, scrypt_n: int) -> dict[str, Any]:
    """A keystore's content, with a fresh salt and counter; scrypt takes 1 KiB of memory times `scrypt_n`."""
    salt, counter, identity = secrets.token_bytes(32), secrets.token_bytes(16), secrets.token_hex(16)
    parameters = {"dklen": _DERIVED_BYTES, "n": scrypt_n, "p": _SCRYPT_P, "r": _SCRYPT_R, "salt": salt.hex()}
    derived = _derived("scrypt", parameters, password.encode())
    cipher_text = _aes(derived, counter, private_key)
    ends = (0, 8, 12, 16, 20, 32)
    return {
        "address": address.hex(),
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": counter.hex()},
            "ciphertext": cipher_text.hex(),
            "kdf": "scrypt",
            "kdfparams": parameters,
            "mac": keccak(derived[16:32] + cipher_text).hex(),
        },
        "id": "-".join(identity[start:end] for start, end in pairwise(ends)),
        "version": 3,
    }


def _derived(kind: str, parameters: dict[str, Any], password: bytes) -> bytes:
    salt, length = bytes.fromhex(parameters["salt"]), int(parameters["dklen"])
    if length != _DERIVED_BYTES:
        raise NotAKeystore(f"a derived key of {length} bytes is not {_DERIVED_BYTES}")
    if kind == "scrypt":
        n, r, p = (int(parameters[name]) for name in ("n", "r", "p"))
        return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=_MEMORY_BYTES, dklen=length)
    if kind == "pbkdf2":
        if parameters["prf"] != "hmac-sha256":
            raise NotAKeystore(f"{parameters['prf']} is not hmac-sha256")
        if not 0 < int(parameters["c"]) <= _MAX_ITERATIONS:
            raise NotAKeystore(f"{parameters['c']} iterations are none, or too many")
        return hashlib.pbkdf2_hmac("sha256", password, salt, int(parameters["c"]), length)
    raise NotAKeystore(f"key derivation {kind} is neither scrypt nor pbkdf2")


def _aes(derived: bytes, counter: bytes, text: bytes) -> bytes:
    # a command that opens no keystore is spared its import
    from Crypto.Cipher import AES

    cipher = AES.new(derived[:16], AES.MODE_CTR, nonce=b"", initial_value=counter)
    return cipher.encrypt(text)
