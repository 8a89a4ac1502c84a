"""The pre-flight in workers: the referee's own word, workers that are replaced, die or hang, and what is left out."""

import os
import signal
import sys
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from sequencer.engine.records import SealedChunk
from sequencer.l1.preflight import LocalVerdicts, Preflight, PreflightFailed, PreflightPolicy, WorkerVerdicts
from sequencer.l1.preflight_worker import Verdict
from tests.sequencer.node_world import BUY, DOMAIN, PRICES, SELL, World

pytestmark = pytest.mark.trio
# Answers each message with a root of 32 zero bytes, and dies when it is told to.
PLAIN = """
import sys, msgspec
while head := sys.stdin.buffer.read(4):
    domain, root, body, witness = msgspec.msgpack.decode(sys.stdin.buffer.read(int.from_bytes(head, "big")))
    if body == b"die":
        sys.exit(3)
    answer = msgspec.msgpack.encode([bytes(32), ""])
    sys.stdout.buffer.write(len(answer).to_bytes(4, "big") + answer)
    sys.stdout.buffer.flush()
"""


@pytest.fixture(scope="module")
def sealed() -> list[SealedChunk]:
    world = World(traders=2)
    for slot in range(1, 4):
        world.order(0, SELL, PRICES[0], slot=slot)
        world.order(1, BUY, PRICES[0], slot=slot)
        world.seal()
    return world.sealed


def plain(chunks_of_worker: int = 500, **options: Any) -> WorkerVerdicts:
    """Workers that need no EVM."""
    policy = PreflightPolicy(chunks_of_worker=chunks_of_worker)
    return WorkerVerdicts(DOMAIN, policy, command=(sys.executable, "-c", PLAIN), **options)


async def test_a_worker_says_what_the_referee_here_does(sealed: list[SealedChunk], nursery: trio.Nursery) -> None:
    wrong = msgspec.structs.replace(sealed[-1], pre_root=bytes(32))
    workers = WorkerVerdicts(DOMAIN, PreflightPolicy())
    await nursery.start(workers.run)
    told = await workers([*sealed, wrong])
    assert told == await LocalVerdicts(DOMAIN)([*sealed, wrong])
    assert [verdict.root for verdict in told[:-1]] == [chunk.post_root for chunk in sealed]
    assert (told[-1].root, bool(told[-1].refusal)) == (None, True)
    nursery.cancel_scope.cancel()


async def test_a_worker_is_replaced_before_what_it_keeps_shows(
    sealed: list[SealedChunk], nursery: trio.Nursery
) -> None:
    workers = plain(chunks_of_worker=2)
    await nursery.start(workers.run)
    assert workers.worker_pids == set()
    seen = set()
    for _ in range(5):
        assert await workers(sealed[:1]) == [Verdict(bytes(32))]
        seen |= workers.worker_pids
    assert workers.replaced == 2
    assert workers.died == 0
    nursery.cancel_scope.cancel()


async def test_a_worker_that_is_killed_is_replaced_and_its_chunk_asked_again(
    sealed: list[SealedChunk], nursery: trio.Nursery
) -> None:
    workers = plain()
    await nursery.start(workers.run)
    await workers(sealed[:1])
    (pid,) = workers.worker_pids
    os.kill(pid, signal.SIGKILL)
    assert await workers(sealed[:2]) == [Verdict(bytes(32))] * 2
    assert workers.worker_pids != {pid}
    assert workers.died == 1
    nursery.cancel_scope.cancel()


async def test_a_chunk_over_which_workers_die_is_not_judged_and_holds_up_no_other(
    sealed: list[SealedChunk], nursery: trio.Nursery
) -> None:
    workers = plain()
    await nursery.start(workers.run)
    deadly = msgspec.structs.replace(sealed[0], body=b"die")
    with pytest.raises(PreflightFailed, match="3 pre-flight workers died"):
        await workers([deadly])
    assert await workers(sealed[:1]) == [Verdict(bytes(32))]
    assert workers.died == 3
    nursery.cancel_scope.cancel()


async def test_a_worker_that_hangs_is_dead(sealed: list[SealedChunk], nursery: trio.Nursery) -> None:
    command = (sys.executable, "-c", "import sys; sys.stdin.buffer.read()")
    workers = WorkerVerdicts(DOMAIN, PreflightPolicy(), command=command, answer_seconds=0.05)
    await nursery.start(workers.run)
    with pytest.raises(PreflightFailed, match="died"):
        await workers(sealed[:1])
    nursery.cancel_scope.cancel()


async def test_no_worker_is_left_behind(sealed: list[SealedChunk]) -> None:
    workers = plain(worker_count=2)
    async with trio.open_nursery() as inner:
        await inner.start(workers.run)
        await workers(sealed)
        pids = set(workers.worker_pids)
        assert pids
        inner.cancel_scope.cancel()
    assert workers.worker_pids == set()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


class Asked:
    """Verdicts that are right, each so many seconds of a clock."""

    def __init__(self, seconds: float = 0) -> None:
        self.numbers: list[int] = []
        self.now = 0.0
        self._seconds = seconds

    async def __call__(self, chunks: Any) -> list[Verdict]:
        self.numbers += [chunk.number for chunk in chunks]
        self.now += self._seconds * len(chunks)
        return [Verdict(chunk.post_root) for chunk in chunks]


def numbered(count: int) -> list[SealedChunk]:
    """So many chunks with roots of their own."""
    roots = [number.to_bytes(32, "big") for number in range(1, count + 1)]
    return [SealedChunk(at, b"", b"", root, b"", b"", 0, 0, []) for at, root in enumerate(roots, start=1)]


async def test_each_chunk_is_judged_once() -> None:
    asked = Asked()
    preflight = Preflight(asked, PreflightPolicy())
    for stop in (3, 3, 5):
        await preflight.judge(numbered(stop))
    assert (asked.numbers, preflight.checked, preflight.left_out) == ([1, 2, 3, 4, 5], 5, 0)


@pytest.mark.parametrize(("percent", "least", "most"), [(0, 0, 0), (25, 180, 320), (100, 1_000, 1_000)])
async def test_so_many_percent_are_asked_about(percent: int, least: int, most: int) -> None:
    asked = Asked()
    preflight = Preflight(asked, PreflightPolicy(percent))
    await preflight.judge(numbered(1_000))
    assert least <= preflight.checked <= most
    assert preflight.checked + preflight.left_out == 1_000


async def test_a_batch_that_takes_too_long_goes_on_without() -> None:
    asked = Asked(seconds=1)
    preflight = Preflight(asked, PreflightPolicy(seconds_of_batch=10), lambda: asked.now)
    await preflight.judge(numbered(40))
    assert asked.numbers == list(range(1, 17))
    await preflight.judge(numbered(42))
    assert asked.numbers == [*range(1, 17), 41, 42]


async def test_a_lie_and_a_refusal_stop_it() -> None:
    async def lying(chunks: Any) -> list[Verdict]:
        return [Verdict(bytes(32)) for _ in chunks]

    async def refusing(chunks: Any) -> list[Verdict]:
        return [Verdict(refusal="no witness") for _ in chunks]

    for verdicts, words in (
        (lying, "chunk 1: this node says"),
        (refusing, "refuses the witness of chunk 1: no witness"),
    ):
        preflight = Preflight(verdicts, PreflightPolicy())
        for _ in range(2):
            with pytest.raises(PreflightFailed, match=words):
                await preflight.judge(numbered(1))
