"""The pre-flight: what the shipped bytecode says of sealed chunks, asked of worker processes before L1 is.

The EVM library holds the interpreter while it replays, and keeps about 48 kB of each chunk for ever. So it runs in
processes of its own, and a worker is replaced after so many chunks, before what it keeps shows.
"""

import hashlib
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
import structlog
import trio

from prover.contracts.referee import LocalReferee, RefereeRefused
from sequencer.engine.records import SealedChunk
from sequencer.l1.preflight_worker import LENGTH_BYTES, Asked, Verdict

PERCENT: Final = 100
_COMMAND: Final = (sys.executable, "-s", "-P", "-m", "sequencer.l1.preflight_worker")
_ROOT: Final = Path(__file__).resolve().parents[2]
# A full chunk takes 10 ms: who needs a minute hangs.
_ANSWER_SECONDS: Final = 60.0
# Deaths over one chunk after which it is not asked again.
_MOST_DEATHS: Final = 3
_STOP_SECONDS: Final = 2.0
_ASKED_AT_ONCE: Final = 8


class PreflightFailed(Exception):
    """The referee disagrees with a sealed chunk, or cannot be asked: it must never be committed."""


class PreflightPolicy(msgspec.Struct, frozen=True):
    """How much is asked. percent: of all chunks, drawn by their roots, so that nobody picks which.

    chunks_of_worker: after so many a worker is replaced; 500 keep some 24 MB. seconds_of_batch: once a batch has taken
    so long, the rest of its chunks is left unasked; None: never.
    """

    percent: int = PERCENT
    chunks_of_worker: int = 500
    seconds_of_batch: float | None = None

    def asks(self, chunk: SealedChunk) -> bool:
        """Whether a chunk is among those that are asked about."""
        draw = hashlib.sha256(chunk.post_root).digest()
        return int.from_bytes(draw[:8], "big") * PERCENT < self.percent << 64


Verdicts = Callable[[Sequence[SealedChunk]], Awaitable[list[Verdict]]]


class LocalVerdicts:
    """Asks a referee in this process, in a thread: for tests, and for whoever posts little."""

    def __init__(self, domain: bytes) -> None:
        self._domain = domain
        self._referee = LocalReferee()

    async def __call__(self, chunks: Sequence[SealedChunk]) -> list[Verdict]:
        """The referee's word on each."""
        return [await trio.to_thread.run_sync(self._ask, chunk) for chunk in chunks]

    def _ask(self, chunk: SealedChunk) -> Verdict:
        try:
            return Verdict(self._referee.replay(self._domain, chunk.pre_root, chunk.body, chunk.witness))
        except RefereeRefused as error:
            return Verdict(refusal=str(error))


class WorkerVerdicts:
    """Asks referees in worker processes; `run` must be running. replaced: workers that had had enough; died: others."""

    def __init__(
        self,
        domain: bytes,
        policy: PreflightPolicy,
        worker_count: int = 1,
        *,
        command: Sequence[str] = _COMMAND,
        answer_seconds: float = _ANSWER_SECONDS,
    ) -> None:
        assert worker_count > 0
        self.replaced = self.died = 0
        self.worker_pids: set[int] = set()
        self._domain = domain
        self._policy = policy
        self._worker_count = worker_count
        self._command = tuple(command)
        self._answer_seconds = answer_seconds
        self._send, self._receive = trio.open_memory_channel["_Job"](0)
        self._log = structlog.get_logger("preflight")

    async def __call__(self, chunks: Sequence[SealedChunk]) -> list[Verdict]:
        """The referee's word on each, in order; PreflightFailed where none could be had."""
        jobs = [_Job(Asked(self._domain, one.pre_root, one.body, one.witness)) for one in chunks]
        for job in jobs:
            await self._send.send(job)
        for job in jobs:
            await job.done.wait()
        return [job.verdict() for job in jobs]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keeps the workers until cancelled; leaves none behind."""
        async with trio.open_nursery() as nursery:
            for _ in range(self._worker_count):
                nursery.start_soon(self._keep)
            task_status.started()

    async def _keep(self) -> None:
        left: _Job | None = None
        while True:
            # Started once there is something to ask: a node that posts nothing carries no EVM.
            job = left or await self._receive.receive()
            left = None
            process = await self._started()
            try:
                asked = 0
                while asked < self._policy.chunks_of_worker:
                    job.found = await self._ask(process, job.asked)
                    if job.found is None:
                        job.deaths += 1
                        break
                    job.done.set()
                    asked += 1
                    if asked < self._policy.chunks_of_worker:
                        job = await self._receive.receive()
            finally:
                await self._end(process)
            if job.found is not None:
                self.replaced += 1
                continue
            self.died += 1
            self._log.warning("preflight.died", deaths=job.deaths)
            if job.deaths < _MOST_DEATHS:
                left = job
            else:
                job.done.set()

    async def _started(self) -> trio.Process:
        process = await trio.lowlevel.open_process(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"PYTHONPATH": str(_ROOT)}
        )
        self.worker_pids.add(process.pid)
        return process

    async def _ask(self, process: trio.Process, asked: Asked) -> Verdict | None:
        """The worker's word; None where it died or hung."""
        assert process.stdin is not None
        assert process.stdout is not None
        body = msgspec.msgpack.encode(asked)
        answer = b""
        with trio.move_on_after(self._answer_seconds):
            try:
                await process.stdin.send_all(len(body).to_bytes(LENGTH_BYTES, "big") + body)
                while len(answer) < LENGTH_BYTES or len(answer) < LENGTH_BYTES + int.from_bytes(
                    answer[:LENGTH_BYTES], "big"
                ):
                    piece = bytes(await process.stdout.receive_some())
                    if not piece:
                        return None
                    answer += piece
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return None
            return msgspec.msgpack.decode(answer[LENGTH_BYTES:], type=Verdict)
        return None

    async def _end(self, process: trio.Process) -> None:
        with trio.CancelScope(shield=True):
            assert process.stdin is not None
            assert process.stdout is not None
            await process.stdin.aclose()
            with trio.move_on_after(_STOP_SECONDS):
                await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()
            await process.stdout.aclose()
            self.worker_pids.discard(process.pid)


class _Job:
    """One chunk, and what was found of it."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.found: Verdict | None = None
        self.deaths = 0
        self.done = trio.Event()

    def verdict(self) -> Verdict:
        if self.found is None:
            raise PreflightFailed(f"{self.deaths} pre-flight workers died over one chunk: it was not judged")
        return self.found


class Preflight:
    """Judges what is about to be posted, each chunk once. checked, left_out: how many were judged, and were not."""

    def __init__(
        self, verdicts: Verdicts, policy: PreflightPolicy, clock: Callable[[], float] = trio.current_time
    ) -> None:
        self.checked = self.left_out = 0
        self._verdicts = verdicts
        self._policy = policy
        self._clock = clock
        self._judged_to = 0
        self._log = structlog.get_logger("preflight")

    async def judge(self, chunks: Sequence[SealedChunk]) -> None:
        """Lets the referee judge those that it has not judged yet; PreflightFailed."""
        began, most = self._clock(), self._policy.seconds_of_batch
        new = [chunk for chunk in chunks if chunk.number > self._judged_to]
        for at in range(0, len(new), _ASKED_AT_ONCE):
            some = new[at : at + _ASKED_AT_ONCE]
            is_late = most is not None and self._clock() - began >= most
            asked = [] if is_late else [chunk for chunk in some if self._policy.asks(chunk)]
            for chunk, verdict in zip(asked, await self._verdicts(asked), strict=True):
                _require(chunk, verdict)
            self.checked += len(asked)
            self.left_out += len(some) - len(asked)
            if len(asked) < len(some):
                self._log.info("preflight.left_out", chunks=len(some) - len(asked), behind=some[0].number, late=is_late)
            self._judged_to = some[-1].number


def _require(chunk: SealedChunk, verdict: Verdict) -> None:
    if verdict.root is None:
        raise PreflightFailed(f"the referee refuses the witness of chunk {chunk.number}: {verdict.refusal}")
    if verdict.root != chunk.post_root:
        raise PreflightFailed(
            f"chunk {chunk.number}: this node says 0x{chunk.post_root.hex()}, the referee 0x{verdict.root.hex()}"
        )
