"""Every deadline under a mock clock, over memory streams; and a stream that breaks in its own way."""

from typing import Any

import pytest
import structlog
import trio
import trio.testing
from prometheus_client import CollectorRegistry
from trio.testing import MockClock, memory_stream_pair

from sequencer.api.rpc.limits import Limits
from sequencer.api.transport.port import ApiConfig, Surroundings
from sequencer.api.transport.server import Server
from tests.sequencer.api.conftest import Venue
from tests.sequencer.api.transport.test_http import call_bytes, request_bytes
from tests.sequencer.api.transport.test_websocket import HANDSHAKE

pytestmark = pytest.mark.trio

PING = b"\x89\x00"


def small_server(venue: Venue, collectors: CollectorRegistry, **limits: Any) -> Server:
    log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[])
    config = ApiConfig(port=0, limits=Limits(**limits))
    around = Surroundings(log=log, clock=trio.current_time)
    return Server(config, venue.registry, metrics=collectors, epoch="run", surroundings=around)


def masked(opcode: int, payload: bytes) -> bytes:
    """A client's frame under the mask of zeros; its payload is shorter than 126 bytes."""
    return bytes([opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


async def read_all(stream: trio.abc.ReceiveStream) -> bytes:
    return b"".join([bytes(piece) async for piece in stream])


@pytest.mark.parametrize(
    ("sent", "seconds", "answer"),
    [
        (b"", 60, b""),
        (b"POST / HT", 10, b"TOO_SLOW"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1234", 10, b"TOO_SLOW"),
        (request_bytes(call_bytes("slow", [1])), 30 + 60, b"TIMEOUT"),
        (HANDSHAKE, 60, b"IDLE"),
    ],
)
async def test_a_deadline_ends_what_waits(
    autojump_clock: MockClock, sent: bytes, seconds: float, answer: bytes
) -> None:
    server = small_server(Venue(), CollectorRegistry(), linger_seconds=1)
    client, connection = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.handle_stream, connection)
        started_at = trio.current_time()
        await client.send_all(sent)
        assert answer in await read_all(client)
        assert seconds <= trio.current_time() - started_at <= seconds + 1


async def test_a_silent_peer_is_left_and_one_that_answers_pings_is_kept(autojump_clock: MockClock) -> None:
    server = small_server(Venue(), CollectorRegistry(), idle_seconds=60, linger_seconds=1)
    lively, of_lively = memory_stream_pair()
    silent, of_silent = memory_stream_pair()
    heard = bytearray()

    async def answer_pings() -> None:
        async for piece in lively:
            heard.extend(piece)
            if PING in piece:
                await lively.send_all(masked(0x8A, b""))

    async with trio.open_nursery() as nursery:
        for client, connection in ((lively, of_lively), (silent, of_silent)):
            nursery.start_soon(server.handle_stream, connection)
            await client.send_all(HANDSHAKE)
        nursery.start_soon(answer_pings)
        received = await read_all(silent)
        assert PING in received
        assert b"\x0f\xa9IDLE" in received
        # Ten times as long as the silent one was borne with, and it is still answered.
        await trio.sleep(600)
        assert heard.count(PING) >= 10
        await lively.send_all(masked(0x81, call_bytes("echo", [1])))
        await trio.sleep(1)
        assert b'"amount":"1"' in heard
        nursery.cancel_scope.cancel()


async def test_the_end_of_a_silent_peer_is_one_and_that_of_a_cancelled_server_is_not(
    autojump_clock: MockClock,
) -> None:
    venue = Venue()
    server = small_server(venue, CollectorRegistry(), idle_seconds=60, linger_seconds=1)
    silent, of_silent = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.handle_stream, of_silent)
        await silent.send_all(HANDSHAKE + masked(0x81, call_bytes("at_end", [1, "silent"])))
        await read_all(silent)
    assert venue.ended == ["silent"]
    other, of_other = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.handle_stream, of_other)
        await other.send_all(HANDSHAKE + masked(0x81, call_bytes("at_end", [1, "cancelled"])))
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert venue.ended == ["silent"]


async def test_a_peer_that_takes_nothing_is_given_up(autojump_clock: MockClock) -> None:
    server = small_server(Venue(), CollectorRegistry(), send_seconds=5)
    client, connection = trio.testing.lockstep_stream_pair()
    started_at = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, request_bytes(call_bytes("echo", [1])))
        await server.handle_stream(connection)
        assert trio.current_time() - started_at == pytest.approx(5)


class BrokenStream(trio.abc.Stream):
    """A transport with a bug."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        raise RuntimeError("a bug in a transport")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        raise RuntimeError("a bug in a transport")

    async def wait_send_all_might_not_block(self) -> None:
        raise RuntimeError("a bug in a transport")

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_an_exception_in_one_connection_stays_there() -> None:
    collectors = CollectorRegistry()
    await small_server(Venue(), collectors).handle_stream(BrokenStream())
    assert collectors.get_sample_value("catenary_api_incidents_total") == 1
    assert collectors.get_sample_value("catenary_api_connections") == 0


async def test_a_cancellation_still_passes() -> None:
    server = small_server(Venue(), CollectorRegistry())
    client, connection = memory_stream_pair()
    await client.send_all(HANDSHAKE)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.handle_stream, connection)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught


async def test_who_owes_waits_before_he_is_spoken_to_and_few_wait_at_a_time(autojump_clock: MockClock) -> None:
    collectors = CollectorRegistry()
    server = small_server(Venue(), collectors, pausing_connections=2, connections=3)
    server.dispatcher.session("").owe(10**9)
    began = trio.current_time()
    clients = []
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            client, connection = memory_stream_pair()
            clients.append(client)
            nursery.start_soon(server.handle_stream, connection)
            await trio.testing.wait_all_tasks_blocked()
        # The third one waits for nothing, and nobody's place is taken meanwhile.
        assert b"TOO_MANY_CONNECTIONS" in await read_all(clients[2])
        assert trio.current_time() == began
        assert collectors.get_sample_value("catenary_api_connections") == 0
        assert collectors.get_sample_value("catenary_api_connections_pausing") == 2
        for client in clients[:2]:
            await client.send_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert (await read_all(client)).startswith(b"HTTP/1.1 200")
        assert trio.current_time() == began + 1
        assert collectors.get_sample_value("catenary_api_connections_pausing") == 0
