"""The process of an unlocked session, step by step under a clock moved by hand."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sequencer.wallet.holder import MAX_CONNECTIONS, REQUEST_SECONDS, Holder
from sequencer.wallet.keys import Key
from sequencer.wallet.unlocked import END, SIGN, TELL, peer_uid
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.wallet_node import mode

KEY = Key(b"\x05" * 32)
DIGEST = bytes(range(32))
SECONDS = 60.0
RECEIVE_SECONDS = float(PATIENCE_SECONDS)


class Stage:
    """A holder on a socket, its clock, and clients of it."""

    def __init__(self, directory: Path) -> None:
        self.now = 1_000.0
        self.uid: int | None = None
        self.keystore = directory / "default.json"
        self.keystore.write_text("{}")
        self.path = directory / "session"
        self.holder = Holder(KEY, self.keystore, str(self.path), SECONDS, lambda: self.now, self._owner_of)
        self.clients: list[socket.socket] = []

    def _owner_of(self, connection: socket.socket) -> int:
        return peer_uid(connection) if self.uid is None else self.uid

    def client(self, request: bytes | None = None) -> socket.socket:
        """A connection that the holder has accepted or may accept, with a request on its way."""
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        client.settimeout(RECEIVE_SECONDS)
        client.connect(str(self.path))
        self.clients.append(client)
        if request is not None:
            client.send(request)
        return client

    def steps(self) -> None:
        """As many rounds as bring every request that is there to its answer."""
        for _ in range(2 * MAX_CONNECTIONS):
            self.holder.step(0)

    def answer(self, request: bytes) -> bytes:
        """The answer to one request; empty where there is none."""
        client = self.client(request)
        self.steps()
        return client.recv(100)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    for client in made.clients:
        client.close()
    made.holder.close()


def is_unanswered(client: socket.socket) -> bool:
    """Whether the connection is still open and nothing has come."""
    client.setblocking(False)
    try:
        client.recv(100)
    except BlockingIOError:
        return True
    finally:
        client.settimeout(RECEIVE_SECONDS)
    return False


def test_a_digest_is_signed_as_by_the_key_and_only_its_user_reaches_the_socket(stage: Stage) -> None:
    assert stage.answer(SIGN + DIGEST) == KEY.sign(DIGEST)
    assert mode(stage.path) == 0o600
    assert stage.answer(TELL + bytes(32))[:20] == KEY.address


def test_another_user_gets_no_answer(stage: Stage) -> None:
    stage.uid = os.geteuid() + 1
    client = stage.client()
    stage.steps()
    assert client.recv(100) == b""
    stage.uid = None
    assert stage.answer(SIGN + DIGEST) == KEY.sign(DIGEST)


@pytest.mark.parametrize(
    "request_",
    [b"\x00", SIGN, SIGN + DIGEST[1:], SIGN + DIGEST + b"\x00", b"X" + DIGEST, b"\xff" * 5_000],
    ids=["a byte", "no digest", "a byte less", "a byte more", "another letter", "long"],
)
def test_garbage_gets_no_answer_and_the_next_one_does(stage: Stage, request_: bytes) -> None:
    assert stage.answer(request_) == b""
    assert stage.answer(SIGN + DIGEST) == KEY.sign(DIGEST)


def test_a_connection_has_one_request(stage: Stage) -> None:
    client = stage.client(SIGN + DIGEST)
    stage.steps()
    assert client.recv(100) == KEY.sign(DIGEST)
    assert client.recv(100) == b""


def test_two_clients_at_once_are_both_answered(stage: Stage) -> None:
    first, second = stage.client(), stage.client(SIGN + DIGEST)
    stage.steps()
    assert second.recv(100) == KEY.sign(DIGEST)
    first.send(SIGN + DIGEST[::-1])
    stage.steps()
    assert first.recv(100) == KEY.sign(DIGEST[::-1])


def test_silent_connections_are_bounded_and_end(stage: Stage) -> None:
    silent = [stage.client() for _ in range(MAX_CONNECTIONS)]
    stage.steps()
    waiting = stage.client(SIGN + DIGEST)
    stage.steps()
    assert is_unanswered(waiting)
    stage.now += REQUEST_SECONDS
    stage.steps()
    assert waiting.recv(100) == KEY.sign(DIGEST)
    assert [client.recv(100) for client in silent] == [b""] * MAX_CONNECTIONS


def test_it_ends_at_its_time_and_not_before(stage: Stage) -> None:
    stage.now += SECONDS - 1
    assert not stage.holder.is_over
    assert stage.answer(SIGN + DIGEST) == KEY.sign(DIGEST)
    late = stage.client(SIGN + DIGEST)
    stage.holder.step(0)
    stage.now += 1
    assert stage.holder.is_over
    stage.steps()
    assert late.recv(100) == b""
    stage.holder.run()
    stage.holder.close()
    assert not stage.path.exists()


def test_whoever_may_sign_may_end_it(stage: Stage) -> None:
    assert stage.answer(END + bytes(32)) == END
    assert stage.holder.is_over
    assert stage.answer(SIGN + DIGEST) == b""


@pytest.mark.parametrize("is_replaced", [False, True])
def test_without_its_keystore_nothing_is_signed(stage: Stage, is_replaced: bool) -> None:
    if is_replaced:
        other = stage.keystore.with_suffix(".new")
        other.write_text("{}")
        other.replace(stage.keystore)
    else:
        stage.keystore.unlink()
    assert stage.answer(SIGN + DIGEST) == b""
    assert stage.holder.is_over


def test_a_socket_that_another_put_there_is_left_alone(stage: Stage) -> None:
    stage.path.unlink()
    assert stage.holder.is_over
    stage.path.write_text("somebody else's")
    stage.holder.close()
    assert stage.path.read_text() == "somebody else's"
