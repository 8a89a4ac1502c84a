"""An unlocked session, as wallet commands see it: where its socket is, what may be asked there, and of whom."""

import os
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from l1_bridge.addresses import checksum_address
from prover.signing.recover import recover_fast
from prover.stf import signatures
from sequencer.wallet.errors import KeystoreMissing, WalletError, WrongPassword
from sequencer.wallet.keys import keystore_address

# A request is one packet: what is asked, and the digest to be signed or zeros.
SIGN, TELL, END = b"S", b"T", b"E"
REQUEST_BYTES: Final = 33
# The longest answer, a compact signature; TELL is answered by an address and a time in 8 bytes, END by its own letter.
ANSWER_BYTES: Final = 64
_ANSWER_SECONDS: Final = 5.0
# Opening a keystore takes a second of CPU, on a busy machine many.
_START_SECONDS: Final = 120.0
_CREDENTIALS: Final = struct.Struct("3i")
_TOLD: Final = struct.Struct(">20sQ")


class Session(msgspec.Struct, frozen=True):
    """One key that is open, and until when."""

    address: bytes
    ends_at_ms: int

    def encode(self) -> bytes:
        """The answer to TELL."""
        return _TOLD.pack(self.address, self.ends_at_ms)


class Started(msgspec.Struct, frozen=True):
    """What a holder says before it goes into the background: until when it holds whose key, or why it does not."""

    address: str = ""
    ends_at_ms: int = 0
    error: str = ""
    sentence: str = ""


class UnlockedKey:
    """A key that another process keeps; this one sees signatures of it only."""

    def __init__(self, directory: Path, address: bytes) -> None:
        self._directory = directory
        self.address = address

    def sign(self, digest: bytes) -> bytes:
        """64-byte compact signature (EIP-2098) of 32 bytes; WalletError where the session has ended since."""
        answer = _ask(self._directory, self.address, SIGN + digest)
        if answer is None or len(answer) != ANSWER_BYTES:
            raise WalletError("the unlocked session has ended: run the command again, with the password")
        r, parity_and_s = int.from_bytes(answer[:32], "big"), int.from_bytes(answer[32:], "big")
        if signatures.recover(digest, r, parity_and_s, recover_fast) != self.address:
            raise WalletError("the unlocked session gave a signature of another key: `catenary wallet lock` ends it")
        return answer


def socket_name(address: bytes) -> str:
    """The socket of an address in the wallet's directory."""
    return f"0x{address.hex()[:16]}.unlocked"


def peer_uid(connection: socket.socket) -> int:
    """The user at the other end, by the kernel's word."""
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(packed)[1]
    return uid


@contextmanager
def private_directory(directory: Path) -> Iterator[str | None]:
    """A short path to a directory that is this user's alone, as it was when it was looked at; else None.

    Through the open handle: a socket's path is at most 107 bytes long, and nobody exchanges the directory in between.
    """
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        found = os.fstat(handle)
        is_private = found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077
        yield f"/proc/self/fd/{handle}" if is_private else None
    finally:
        os.close(handle)


def _ask(directory: Path, address: bytes, request: bytes) -> bytes | None:
    """The answer of a session; None where there is none. WalletError for a socket that is not this user's own."""
    with private_directory(directory) as place:
        if place is None:
            return None
        path = f"{place}/{socket_name(address)}"
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return None
        own = (found.st_uid, stat.S_IFMT(found.st_mode), stat.S_IMODE(found.st_mode))
        if own != (os.geteuid(), stat.S_IFSOCK, 0o600):
            raise WalletError(f"{directory / socket_name(address)} is no session of yours: not used; remove it")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.settimeout(_ANSWER_SECONDS)
            try:
                connection.connect(path)
                if peer_uid(connection) != os.geteuid():
                    raise WalletError(f"{directory / socket_name(address)} is somebody else's: not used")
                connection.send(request)
                return connection.recv(ANSWER_BYTES + 1)
            except OSError:
                # Killed and its socket left behind, ended in this moment, or stopped: there is nobody to ask.
                return None


def find(directory: Path, address: bytes) -> Session | None:
    """The session that holds this address's key."""
    answer = _ask(directory, address, TELL + bytes(32))
    if answer is None or len(answer) != _TOLD.size:
        return None
    session = Session(*_TOLD.unpack(answer))
    return session if session.address == address else None


def key_of(directory: Path, keystore: Path) -> UnlockedKey | None:
    """The key of a keystore where a session holds it; None for one that names no address."""
    try:
        address = keystore_address(keystore)
    except KeystoreMissing:
        return None
    return None if find(directory, address) is None else UnlockedKey(directory, address)


def end(directory: Path, address: bytes) -> bool:
    """Ends a session; False where there was none."""
    return _ask(directory, address, END + bytes(32)) == END


def start(directory: Path, keystore: Path, password: str, seconds: int) -> Session:
    """Starts the process that holds the key; it takes the place of an earlier one. Raises as `open_keystore` does."""
    # The password goes through a pipe and the key nowhere; what the environment holds is not for a process that stays.
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ}
    arguments = [str(keystore.absolute()), str(directory.absolute()), str(seconds)]
    try:
        outcome = subprocess.run(
            [sys.executable, "-P", "-m", "sequencer.wallet.holder", *arguments],
            input=password.encode(),
            capture_output=True,
            env=kept,
            start_new_session=True,
            timeout=_START_SECONDS,
        )
        started = msgspec.json.decode(outcome.stdout, type=Started)
    except (OSError, subprocess.TimeoutExpired, msgspec.DecodeError) as error:
        raise WalletError(f"the session's process did not start: {error}") from None
    if started.error:
        kinds = {kind.name: kind for kind in (WrongPassword, KeystoreMissing)}
        raise kinds.get(started.error, WalletError)(started.sentence)
    session = find(directory, bytes.fromhex(started.address))
    if session is None:
        raise WalletError(f"the session of {checksum_address(bytes.fromhex(started.address))} ended at once")
    return session
