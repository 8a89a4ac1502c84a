"""Every deadline under a mock clock, over memory streams; and a stream that breaks in its own way."""

from typing import Any

import pytest
import structlog
import trio
import trio.testing
from prometheus_client import CollectorRegistry
from trio.testing import MockClock, memory_stream_pair

from sequencer.api.rpc.limits import Limits
from sequencer.api.transport.server import ApiConfig, Server, Surroundings
from tests.sequencer.api.conftest import Venue
from tests.sequencer.api.transport.test_http import call_bytes, request_bytes
from tests.sequencer.api.transport.test_websocket import HANDSHAKE

pytestmark = pytest.mark.trio


def small_server(venue: Venue, collectors: CollectorRegistry, **limits: Any) -> Server:
    log = structlog.wrap_logger(structlog.ReturnLogger(), processors=[])
    config = ApiConfig(port=0, limits=Limits(**limits))
    around = Surroundings(log=log, clock=trio.current_time)
    return Server(config, venue.registry, metrics=collectors, epoch="run", surroundings=around)


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
