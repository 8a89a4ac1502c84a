"""An unlocked session as commands find it: the real process, what it leaves behind, and sockets not to believe."""

import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from sequencer.wallet import unlocked
from sequencer.wallet.errors import KeystoreMissing, WalletError, WrongPassword
from sequencer.wallet.holder import Holder
from sequencer.wallet.keys import SCRYPT_LIGHT, Key, create_keystore
from tests.sequencer.wallet_node import mode

PASSWORD = "correct horse"
DIGEST = bytes(range(32))
OTHER = Key(b"\x09" * 32)
HEAVY = ("trio", "httpx", "click", "rich")


class Safe:
    """A wallet directory with one keystore."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.keystore = directory / "default.json"
        self.key = create_keystore(self.keystore, PASSWORD, SCRYPT_LIGHT)
        self.socket = directory / unlocked.socket_name(self.key.address)

    def start(self, password: str = PASSWORD) -> unlocked.Session:
        """A session of a quarter of an hour in a process of its own."""
        return unlocked.start(self.directory, self.keystore, password, 900)

    def find(self) -> unlocked.Session | None:
        """The session that a command would use."""
        return unlocked.find(self.directory, self.key.address)

    def sign(self) -> bytes:
        """A signature by the session."""
        return unlocked.UnlockedKey(self.directory, self.key.address).sign(DIGEST)

    def process(self) -> int:
        """The holder's number, by the kernel's word."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
            connection.connect(str(self.socket))
            packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            number: int = struct.unpack("3i", packed)[0]
            return number


@pytest.fixture
def safe(tmp_path: Path) -> Iterator[Safe]:
    """A directory with a short path, whose session ends with the test."""
    made = Safe(tmp_path)
    yield made
    for path in tmp_path.glob("*.unlocked"):
        if not path.is_socket():
            path.unlink()
    made.directory.chmod(0o700)
    if made.socket.exists():
        made.socket.chmod(0o600)
    unlocked.end(made.directory, made.key.address)


def test_a_session_signs_as_the_keystore_does_until_it_is_locked(safe: Safe) -> None:
    assert safe.find() is None
    session = safe.start()
    assert session.address == safe.key.address
    assert safe.find() is not None
    assert safe.sign() == safe.key.sign(DIGEST)
    held = unlocked.key_of(safe.directory, safe.keystore)
    assert held is not None
    assert (held.address, held.sign(DIGEST)) == (safe.key.address, safe.key.sign(DIGEST))
    assert mode(safe.socket) == 0o600

    # Nobody's child, without a terminal, a dump of memory or the command's environment.
    process = Path(f"/proc/{safe.process()}")
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    assert fields[1] != str(os.getpid())
    assert fields[4] == "0"
    limits = next(line for line in (process / "limits").read_text().splitlines() if line.startswith("Max core"))
    assert limits.split()[4:6] == ["0", "0"]
    try:
        assert b"PASSWORD" not in (process / "environ").read_bytes()
    except PermissionError:
        assert os.geteuid() != 0, "root reads everything"

    assert unlocked.end(safe.directory, safe.key.address)
    assert safe.find() is None
    assert unlocked.key_of(safe.directory, safe.keystore) is None
    with pytest.raises(WalletError, match="has ended: run the command again"):
        safe.sign()
    assert not unlocked.end(safe.directory, safe.key.address)


def test_the_next_session_takes_the_place_of_a_killed_one_and_of_a_living_one(safe: Safe) -> None:
    safe.start()
    killed = safe.process()
    os.kill(killed, signal.SIGKILL)
    _until_gone(killed)
    assert safe.socket.is_socket()
    assert safe.find() is None
    safe.start()
    living = safe.process()
    assert living != killed
    safe.start()
    assert safe.process() != living
    assert safe.sign() == safe.key.sign(DIGEST)
    _until_gone(living)


def test_a_session_that_is_told_to_stop_takes_its_socket_away(safe: Safe) -> None:
    safe.start()
    process = safe.process()
    os.kill(process, signal.SIGTERM)
    _until_gone(process)
    assert not safe.socket.exists()


def test_a_session_ends_when_its_keystore_is_removed(safe: Safe) -> None:
    safe.start()
    process = safe.process()
    safe.keystore.unlink()
    _until_gone(process)
    assert not safe.socket.exists()


def _until_gone(process: int) -> None:
    """Waits for the end of a process that is nobody's child here."""
    handle = os.pidfd_open(process) if Path(f"/proc/{process}").exists() else None
    if handle is None:
        return
    try:
        ready, _, _ = select.select([handle], [], [], 60)
        assert ready, "it goes on"
    finally:
        os.close(handle)


def test_what_is_wrong_is_said_by_the_command_that_started_it(safe: Safe) -> None:
    with pytest.raises(WrongPassword, match="does not open"):
        safe.start("wrong horse")
    with pytest.raises(KeystoreMissing, match="no keystore at"):
        unlocked.start(safe.directory, safe.directory / "missing.json", PASSWORD, 900)
    safe.directory.chmod(0o750)
    with pytest.raises(WalletError, match=r"others may enter .*: chmod 700 it"):
        safe.start()
    assert not safe.socket.exists()


@contextmanager
def answering(path: Path, key: Key, keystore: Path) -> Iterator[None]:
    """A holder of a key at a socket, in a thread of this process."""
    holder = Holder(key, keystore, str(path), 900)
    thread = Thread(target=holder.run)
    thread.start()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        thread.join()
        holder.close()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.chmod(0o660),
        lambda path: path.chmod(0o606),
        pytest.param(
            lambda path: os.chown(path, 12_345, -1),
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away"),
        ),
        lambda path: (path.unlink(), path.write_text(""), path.chmod(0o600)),
        lambda path: (path.rename(path.with_suffix(".far")), path.symlink_to(path.with_suffix(".far"))),
    ],
    ids=["its group may write", "everybody may write", "another's", "a file", "a link"],
)
def test_a_socket_that_is_not_ones_own_is_not_used(safe: Safe, spoil: Callable[[Path], object]) -> None:
    with answering(safe.socket, safe.key, safe.keystore):
        assert safe.find() is not None
        spoil(safe.socket)
        with pytest.raises(WalletError, match="no session of yours: not used"):
            safe.find()
        with pytest.raises(WalletError, match="no session of yours: not used"):
            safe.sign()


def test_nothing_is_asked_in_a_directory_that_others_may_enter(safe: Safe) -> None:
    with answering(safe.socket, safe.key, safe.keystore):
        safe.directory.chmod(0o701)
        assert safe.find() is None
        safe.directory.chmod(0o700)
        assert safe.find() is not None


def test_the_signature_of_another_key_is_not_believed(safe: Safe) -> None:
    with answering(safe.socket, OTHER, safe.keystore):
        assert safe.find() is None
        with pytest.raises(WalletError, match="signature of another key"):
            safe.sign()


def test_a_keystore_that_names_nobody_has_no_session(safe: Safe) -> None:
    with answering(safe.socket, safe.key, safe.keystore):
        assert unlocked.key_of(safe.directory, safe.keystore) is not None
        nameless = safe.directory / "nameless.json"
        nameless.write_text('{"version": 3}')
        assert unlocked.key_of(safe.directory, nameless) is None


def test_the_process_loads_no_more_than_it_needs() -> None:
    program = "import sequencer.wallet.holder, sys; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert not set(HEAVY) & set(shown.split())
