"""The challenger's port: what it answers, to whom, and what it refuses."""

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
import trio
import trio.testing

from prover.challenger.monitor import CONNECTION_SECONDS, MOST_CONNECTIONS, CannotListenError, Monitor
from prover.challenger.verdicts import SILENT_MS, Verdicts
from prover.history.records import Verdict
from tests.prover.challenger.test_verdicts import ROLLUP, Clock, judged

pytestmark = pytest.mark.trio


class Told:
    """A monitor over a clock, and what a socket to it says."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.verdicts = Verdicts(31_337, ROLLUP, self.clock)
        self.monitor = Monitor(self.verdicts)

    async def asked(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, body; zero where nothing was answered."""
        ours, theirs = trio.testing.memory_stream_pair()
        received = b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.monitor.handle, theirs)
            with suppress(trio.BrokenResourceError):
                await ours.send_all(request)
                await ours.send_eof()
            async for piece in ours:
                received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        return int(first.split()[1]) if first else 0, dict(line.split(": ", 1) for line in lines), body

    async def get(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """The same of a plain question."""
        return await self.asked(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())


@pytest.fixture
def told() -> Told:
    """One that has judged two batches."""
    found = Told()
    found.verdicts.notice(judged(1))
    found.verdicts.notice(judged(2, Verdict.FRAUD, chunk_index=1))
    found.verdicts.looked(2, 1, 1)
    return found


async def test_verdicts_are_told_to_any_page(told: Told) -> None:
    status, headers, body = await told.get("/verdicts?newest")
    assert (status, headers["content-type"], headers["access-control-allow-origin"]) == (200, "application/json", "*")
    assert headers["cache-control"] == "no-store"
    assert [(one["batch"], one["verdict"]) for one in json.loads(body)["verdicts"]] == [(2, "fraud"), (1, "valid")]


async def test_health_is_that_l1_was_heard(told: Told) -> None:
    status, _, body = await told.get("/health")
    assert (status, json.loads(body)["is_silent"]) == (200, False)
    told.clock.now_ms += SILENT_MS + 1
    status, _, body = await told.get("/health")
    assert (status, json.loads(body)["is_silent"]) == (503, True)


async def test_metrics_count_verdicts(told: Told) -> None:
    status, _, body = await told.get("/metrics")
    lines = body.decode().splitlines()
    assert status == 200
    assert {"catenary_challenger_tip 2", "catenary_challenger_valid_tip 1", "catenary_challenger_alarms 1"} < set(lines)
    assert 'catenary_challenger_verdicts{verdict="fraud"} 1' in lines
    assert 'catenary_challenger_verdicts{verdict="unknown"} 0' in lines


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 404),
        (b"POST /verdicts HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /verdicts HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000, 400),
        (b"", 0),
        (b"GET /verd", 400),
    ],
)
async def test_anything_else_is_refused(told: Told, request_: bytes, status: int) -> None:
    assert (await told.asked(request_))[0] == status


async def test_who_says_nothing_is_left_and_more_than_all_are_not_heard(
    told: Told, autojump_clock: trio.testing.MockClock
) -> None:
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(MOST_CONNECTIONS):
            nursery.start_soon(told.monitor.handle, trio.testing.memory_stream_pair()[1])
        await trio.testing.wait_all_tasks_blocked()
        assert (await told.get("/health"))[0] == 0
    assert trio.current_time() - began == CONNECTION_SECONDS
    assert (await told.get("/health"))[0] == 200


async def test_a_port_that_is_taken_is_one_sentence(told: Told) -> None:
    serve: Callable[..., Awaitable[None]] = told.monitor.serve
    async with trio.open_nursery() as nursery:
        url = await nursery.start(serve, 0)
        port = int(url.rpartition(":")[2])
        with pytest.raises(CannotListenError, match=f"Port {port} of 127.0.0.1 is in use"):
            await Told().monitor.serve(port)
        nursery.cancel_scope.cancel()
