"""Keystore V3 files: made once, never overwritten, readable by their owner alone."""

import os
import secrets
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from l1_bridge.addresses import checksum_address
from l1_bridge.client.keystore import PasswordMismatch, decrypt, encrypt
from prover.signing import signatures
from prover.signing.recover import CURVE_ORDER
from sequencer.wallet.errors import KeystoreExists, KeystoreMissing, WalletError, WrongPassword

# scrypt's n as geth sets it: about a second and 256 MB; the light one is for play money.
SCRYPT_STANDARD: Final = 2**18
SCRYPT_LIGHT: Final = 2**12
_MAX_KEYSTORE_BYTES: Final = 65_536


class SigningKey(Protocol):
    """Whoever signs 32 bytes for one address: a key in memory, or a session that keeps one."""

    @property
    def address(self) -> bytes:
        """20 bytes."""

    def sign(self, digest: bytes) -> bytes:
        """64-byte compact signature (EIP-2098) of 32 bytes."""


class Key:
    """A private key in memory; it never shows itself."""

    def __init__(self, private_key: bytes) -> None:
        self._private_key = private_key
        self.address = signatures.address_of(private_key)

    def sign(self, digest: bytes) -> bytes:
        """64-byte compact signature (EIP-2098) of 32 bytes."""
        return signatures.sign(self._private_key, digest)

    def __repr__(self) -> str:
        return f"Key({checksum_address(self.address)})"


def keystore_path(directory: Path, keystore: str) -> Path:
    """A keystore by its file, or by a name in the wallet directory."""
    if os.sep in keystore or keystore.endswith(".json"):
        return Path(keystore).expanduser()
    return directory.expanduser() / f"{keystore}.json"


def create_keystore(path: Path, password: str, scrypt_n: int = SCRYPT_STANDARD) -> Key:
    """A new random key in a new file of mode 0600; KeystoreExists rather than overwrite anything."""
    if os.path.lexists(path):
        raise KeystoreExists(f"{path} exists already; a keystore is never overwritten: choose another name")
    private_key = _random_key()
    key = Key(private_key)
    content = msgspec.json.encode(encrypt(private_key, key.address, password, scrypt_n))
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise WalletError(f"{path} cannot be written: {error.strerror}") from None
    try:
        # Exclusive creation: of two processes that make the same wallet, one is refused.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeystoreExists(f"{path} exists already; a keystore is never overwritten: choose another name") from None
    except OSError as error:
        raise WalletError(f"{path} cannot be written: {error.strerror}") from None
    with os.fdopen(handle, "wb") as file:
        file.write(content + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return key


def _random_key() -> bytes:
    while True:
        drawn = secrets.token_bytes(32)
        if 0 < int.from_bytes(drawn, "big") < CURVE_ORDER:
            return drawn


def keystore_address(path: Path) -> bytes:
    """The address that a keystore names, without its password; only `open_keystore` proves it."""
    named = _read(path).get("address")
    try:
        address = bytes.fromhex(str(named).removeprefix("0x"))
    except ValueError:
        address = b""
    if len(address) != 20:
        raise KeystoreMissing(f"{path} names no address: open it with its password instead")
    return address


def open_keystore(path: Path, password: str) -> Key:
    """The key in a keystore; takes a second of CPU. WrongPassword or KeystoreMissing where there is none to have."""
    content = _read(path)
    try:
        key = Key(decrypt(content, password))
    except PasswordMismatch:
        raise WrongPassword(f"the password does not open {path}") from None
    except ValueError as error:
        raise KeystoreMissing(f"{path} is no keystore of version 3: {error}") from None
    # The address in the file is not covered by the password: whoever changed it wants something sent there.
    if "address" in content and keystore_address(path) != key.address:
        raise KeystoreMissing(f"{path} names another address than that of its key, {checksum_address(key.address)}")
    return key


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_MAX_KEYSTORE_BYTES), type=dict[str, Any])
    except FileNotFoundError:
        raise KeystoreMissing(f"there is no keystore at {path}: make one with `catenary wallet new`") from None
    except OSError as error:
        raise KeystoreMissing(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise KeystoreMissing(f"{path} is no keystore of version 3") from None
