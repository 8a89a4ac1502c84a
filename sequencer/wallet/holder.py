"""The process of an unlocked session: holds one opened key behind a socket, signs 32 bytes at a time, and ends."""

import ctypes
import fcntl
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from sequencer.client.clock import wall_clock_ms
from sequencer.wallet.errors import WalletError
from sequencer.wallet.keys import Key, open_keystore
from sequencer.wallet.unlocked import (
    END,
    REQUEST_BYTES,
    SIGN,
    TELL,
    Session,
    Started,
    end,
    peer_uid,
    private_directory,
    socket_name,
)

MAX_CONNECTIONS: Final = 8
# From accepting a connection to its one request.
REQUEST_SECONDS: Final = 2.0
# How late a removed keystore, or the end, may be noticed while nobody asks.
CHECK_SECONDS: Final = 1.0
_SUCCESSION_SECONDS: Final = 10.0
_MAX_PASSWORD_BYTES: Final = 4_096
_PR_SET_DUMPABLE: Final = 4


def boot_seconds() -> float:
    """Seconds since the machine started, those included that it slept: an end is not put off by a closed lid."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Holder:
    """One key, one socket, one end. Every connection is asked who it is of, and asks one thing."""

    def __init__(
        self,
        key: Key,
        keystore: Path,
        path: str,
        seconds: float,
        clock: Callable[[], float] = boot_seconds,
        owner_of: Callable[[socket.socket], int] = peer_uid,
    ) -> None:
        """`path` is where the socket comes to stand, in a directory that is this user's alone."""
        self._key = key
        self._keystore = keystore
        self._path = path
        self._clock = clock
        self._owner_of = owner_of
        self._ends_at = clock() + seconds
        self._is_asked_to_end = False
        self._connections: dict[socket.socket, float] = {}
        self._keystore_identity = _identity(keystore)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
        before = os.umask(0o177)
        try:
            self._listener.bind(path)
        finally:
            os.umask(before)
        self._listener.listen(MAX_CONNECTIONS)
        self._socket_identity = _identity(path)

    @property
    def session(self) -> Session:
        """Whose key is held until when, by the wall clock."""
        left_ms = int(1_000 * max(0.0, self._ends_at - self._clock()))
        return Session(self._key.address, wall_clock_ms() + left_ms)

    @property
    def is_over(self) -> bool:
        """Whether nothing more is signed: the time is up, somebody said so, or keystore or socket are gone."""
        return (
            self._is_asked_to_end
            or self._clock() >= self._ends_at
            or _identity(self._keystore) != self._keystore_identity
            or _identity(self._path) != self._socket_identity
        )

    def step(self, most_seconds: float) -> None:
        """One round of waiting, at most so long, and answering."""
        has_room = len(self._connections) < MAX_CONNECTIONS
        watched = [*self._connections, *([self._listener] if has_room else [])]
        ready, _, _ = select.select(watched, [], [], most_seconds)
        now = self._clock()
        for found in ready:
            if found is not self._listener:
                self._answer(found)
                self._drop(found)
            else:
                self._accept(now)
        for late in [connection for connection, deadline in self._connections.items() if deadline <= now]:
            self._drop(late)

    def run(self) -> None:
        """Answers until it is over."""
        while not self.is_over:
            self.step(max(0.0, min(CHECK_SECONDS, self._ends_at - self._clock())))

    def close(self) -> None:
        """Takes the socket away, unless another stands there by now."""
        for connection in list(self._connections):
            self._drop(connection)
        self._listener.close()
        if _identity(self._path) == self._socket_identity:
            os.unlink(self._path)

    def _accept(self, now: float) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        connection.setblocking(False)
        if self._owner_of(connection) == os.geteuid():
            self._connections[connection] = now + REQUEST_SECONDS
        else:
            connection.close()

    def _drop(self, connection: socket.socket) -> None:
        del self._connections[connection]
        connection.close()

    def _answer(self, connection: socket.socket) -> None:
        """Answers one request; whatever is none, or comes too late, gets no answer."""
        with suppress(OSError):
            request = connection.recv(REQUEST_BYTES + 1)
            if len(request) != REQUEST_BYTES or self.is_over:
                return
            kind, digest = request[:1], request[1:]
            if kind == SIGN:
                connection.send(self._key.sign(digest))
            elif kind == TELL:
                connection.send(self.session.encode())
            elif kind == END:
                self._is_asked_to_end = True
                connection.send(END)


def _identity(path: Path | str) -> tuple[int, int, int] | None:
    # With the time: another file may get the number of one that was removed.
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def protect_memory() -> None:
    """No core dump, and no other process of this user reads the memory; root still can, and it may be swapped out."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def _succeed(directory: Path, place: str, address: bytes) -> None:
    """Ends an earlier session of this address and removes what it left; this process keeps the lock while it is."""
    handle = os.open(f"{place}/{socket_name(address)}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = boot_seconds() + _SUCCESSION_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if boot_seconds() > deadline:
                raise WalletError("another session of this key does not end: kill its process") from None
        end(directory, address)
        time.sleep(0.05)
    with suppress(FileNotFoundError):
        os.unlink(f"{place}/{socket_name(address)}")


def main(arguments: list[str]) -> None:
    """Reads the password from stdin, tells on stdout how it went, and stays in the background."""
    keystore, directory, seconds = Path(arguments[0]), Path(arguments[1]), int(arguments[2])
    # The command that started this waits for what is said, and then for nothing: the holder is nobody's child.
    if os.fork() != 0:
        os._exit(0)
    try:
        protect_memory()
        key = open_keystore(keystore, sys.stdin.buffer.read(_MAX_PASSWORD_BYTES).decode())
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with private_directory(directory) as place:
            if place is None:
                raise WalletError(f"others may enter {directory}: chmod 700 it, and no session of yours is in reach")
            _succeed(directory, place, key.address)
            _hold(Holder(key, keystore, f"{place}/{socket_name(key.address)}", seconds))
    except WalletError as error:
        _say(Started(error=error.name, sentence=str(error)))
    except OSError as error:
        _say(Started(error=WalletError.name, sentence=f"no session in {directory}: {error}"))


def _say(started: Started) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(started))
    sys.stdout.buffer.flush()


def _hold(holder: Holder) -> None:
    def stop(number: int, frame: Any) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    try:
        _say(Started(holder.session.address.hex(), holder.session.ends_at_ms))
        null = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):
            os.dup2(null, standard)
        holder.run()
    finally:
        holder.close()


if __name__ == "__main__":
    main(sys.argv[1:])
