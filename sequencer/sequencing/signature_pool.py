"""Signatures are checked in processes of their own: beside a busy engine a thread would be fifteen times slower.

Rows of concurrent callers share pieces; a piece goes to whichever worker has room. How many pieces a worker holds is
bounded, so that callers wait where the workers cannot keep up.
"""

import math
import os
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog
import trio

from prover.signing import signatures
from sequencer.sequencing.signature_worker import ADDRESS_LENGTH, COUNT_LENGTH, ROW_LENGTH

PIECE_ROWS: Final = 32
MAX_PIECE_ROWS: Final = 100
# One that a worker is at, and one that waits in its pipe while the answer travels.
PIECES_IN_FLIGHT: Final = 2
# A hundred rows take about five milliseconds: who needs seconds hangs.
ANSWER_SECONDS: Final = 30.0
# Deaths in a row, of workers that had not answered once, after which another start is hopeless.
_HOPELESS_STARTS: Final = 3
_STOP_SECONDS: Final = 2.0
_ROOT: Final = Path(__file__).resolve().parents[2]
_COMMAND: Final = (sys.executable, "-s", "-P", "-m", "sequencer.sequencing.signature_worker")


class VerifierError(Exception):
    """Signatures could not be checked; nothing is known of them."""

    code = "VERIFIER"


class VerifierDied(VerifierError):
    """The worker that had the rows died or hung; another one has been started, so that asking again may do."""

    code = "VERIFIER_DIED"


class VerifiersStopped(VerifierError):
    """The pool is not running any more."""

    code = "VERIFIERS_STOPPED"


class VerifiersHopeless(VerifierError):
    """Workers die as soon as they are started."""

    code = "VERIFIERS_HOPELESS"


class _Job:
    """Rows of one caller that travel together, and where the answer goes."""

    __slots__ = ("answer", "done", "rows")

    def __init__(self, rows: Sequence[bytes]) -> None:
        self.rows = rows
        self.answer: list[bytes] | VerifierError | None = None
        self.done = trio.Event()

    def settle(self, answer: list[bytes] | VerifierError) -> None:
        if self.answer is None:
            self.answer = answer
            self.done.set()


def signed_row(domain: bytes, operation: bytes) -> bytes:
    """What a worker takes of an operation with one signer, whole and of a known tag: digest, compact signature."""
    return signatures.signed_digest(domain, operation) + operation[-64:]


def default_worker_count() -> int:
    """A core is left to the engine; on two cores two workers fill what engine and disk leave over."""
    return max(2, len(os.sched_getaffinity(0)) - 1)


class Verifiers:
    """A pool of signature workers; `run` must be running. `worker_pids` are alive, `restarts` counts replaced ones."""

    def __init__(
        self,
        worker_count: int | None = None,
        *,
        piece_rows: int = PIECE_ROWS,
        answer_seconds: float = ANSWER_SECONDS,
        command: Sequence[str] = _COMMAND,
    ) -> None:
        """`piece_rows`: rows that are sent at once, from 1 to 100; fewer answer sooner, more cost less."""
        assert 0 < piece_rows <= MAX_PIECE_ROWS
        self.worker_count = default_worker_count() if worker_count is None else worker_count
        assert self.worker_count > 0
        self.worker_pids: set[int] = set()
        self.restarts = 0
        self._piece_rows = piece_rows
        self._answer_seconds = answer_seconds
        self._command = tuple(command)
        self._failure: VerifiersHopeless | None = None
        self._hopeless_starts = 0
        # Nobody's rows wait in here: a caller waits until a worker takes them.
        self._send, self._receive = trio.open_memory_channel[_Job](0)
        self._log = structlog.get_logger("verifiers")

    @property
    def waiting(self) -> int:
        """Pieces that callers hold because every worker is full; each caller holds one at a time."""
        return self._send.statistics().tasks_waiting_send

    async def recover(self, rows: Sequence[bytes]) -> list[bytes]:
        """The address behind each row of 96 bytes, in their order, twenty zero bytes for nobody; VerifierError."""
        assert all(len(row) == ROW_LENGTH for row in rows)
        jobs = [_Job(rows[at : at + self._piece_rows]) for at in range(0, len(rows), self._piece_rows)]
        addresses: list[bytes] = []
        try:
            for job in jobs:
                await self._send.send(job)
        except trio.BrokenResourceError as error:
            raise VerifiersStopped("the signature workers have been stopped") from error
        for job in jobs:
            await job.done.wait()
            assert job.answer is not None, "a job is done when it has its answer"
            if isinstance(job.answer, VerifierError):
                raise job.answer
            addresses += job.answer
        return addresses

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keeps the workers alive until cancelled, and leaves none behind; VerifiersHopeless."""
        with self._receive:
            async with trio.open_nursery() as nursery:
                for _ in range(self.worker_count):
                    nursery.start_soon(self._keep_worker, nursery.cancel_scope)
                task_status.started()
        if self._failure is not None:
            raise self._failure

    async def _keep_worker(self, pool: trio.CancelScope) -> None:
        while True:
            worker = await _Worker.start(self._command, self._receive, self._piece_rows, self._answer_seconds)
            self.worker_pids.add(worker.process.pid)
            try:
                reason = await worker.live()
            finally:
                self.worker_pids.discard(worker.process.pid)
            self._hopeless_starts = 0 if worker.has_answered else self._hopeless_starts + 1
            if self._hopeless_starts >= _HOPELESS_STARTS:
                self._failure = VerifiersHopeless(f"{self._hopeless_starts} signature workers died unused: {reason}")
                pool.cancel()
                return
            self.restarts += 1
            self._log.warning("verifier.restarted", reason=reason)


class _Worker:
    """One process and the pieces that it holds, the oldest first: it answers them in order."""

    def __init__(
        self,
        process: trio.Process,
        jobs: trio.MemoryReceiveChannel[_Job],
        piece_rows: int,
        answer_seconds: float,
    ) -> None:
        self.process = process
        self.has_answered = False
        self._jobs = jobs
        self._piece_rows = piece_rows
        self._answer_seconds = answer_seconds
        self._pieces: deque[list[_Job]] = deque()
        self._room = trio.Semaphore(PIECES_IN_FLIGHT)
        self._patience = trio.CancelScope()

    @classmethod
    async def start(
        cls, command: Sequence[str], jobs: trio.MemoryReceiveChannel[_Job], piece_rows: int, answer_seconds: float
    ) -> "_Worker":
        """Starts the process. Of this one's environment it gets nothing but where the code lies."""
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"PYTHONPATH": str(_ROOT)}
        )
        return cls(process, jobs, piece_rows, answer_seconds)

    async def live(self) -> str:
        """Feeds the process until it dies or hangs, and says what happened; the process is gone afterwards."""
        failure: VerifierError = VerifiersStopped("the signature workers have been stopped")
        reason = ""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._feed)
                with self._patience:
                    await self._collect()
                    reason = "it ended"
                reason = reason or f"it gave no answer for {self._answer_seconds} seconds"
                failure = VerifierDied(f"the signature worker that had these rows is gone: {reason}")
                nursery.cancel_scope.cancel()
        finally:
            for piece in self._pieces:
                for job in piece:
                    job.settle(failure)
            with trio.CancelScope(shield=True):
                await self._end(at_once=bool(reason))
        return f"{reason} (exit code {self.process.returncode})"

    async def _feed(self) -> None:
        stdin = self.process.stdin
        assert stdin is not None
        while True:
            await self._room.acquire()
            piece = await self._take()
            row_count = sum(len(job.rows) for job in piece)
            if not self._pieces:
                self._expect_answer()
            self._pieces.append(piece)
            try:
                await stdin.send_all(
                    row_count.to_bytes(COUNT_LENGTH, "big") + b"".join([row for job in piece for row in job.rows])
                )
            except trio.BrokenResourceError:
                # It died; the end of its stdout says so too.
                return

    async def _take(self) -> list[_Job]:
        """Rows for one piece: the first that come, and what else waits and fits."""
        piece = [await self._jobs.receive()]
        row_count = len(piece[0].rows)
        # A job has at most `piece_rows`, so that one more never passes the largest piece.
        while row_count < self._piece_rows and row_count + self._piece_rows <= MAX_PIECE_ROWS:
            try:
                job = self._jobs.receive_nowait()
            except trio.WouldBlock:
                break
            piece.append(job)
            row_count += len(job.rows)
        return piece

    async def _collect(self) -> None:
        stdout = self.process.stdout
        assert stdout is not None
        answers = b""
        while data := await stdout.receive_some():
            answers += data
            while self._pieces:
                size = ADDRESS_LENGTH * sum(len(job.rows) for job in self._pieces[0])
                if len(answers) < size:
                    break
                at = 0
                for job in self._pieces.popleft():
                    end = at + ADDRESS_LENGTH * len(job.rows)
                    job.settle([answers[i : i + ADDRESS_LENGTH] for i in range(at, end, ADDRESS_LENGTH)])
                    at = end
                answers = answers[size:]
                self.has_answered = True
                self._room.release()
                self._patience.deadline = math.inf
                if self._pieces:
                    self._expect_answer()

    def _expect_answer(self) -> None:
        self._patience.deadline = trio.current_time() + self._answer_seconds

    async def _end(self, at_once: bool) -> None:
        """Lets the process end by closing its stdin, or kills it; it is reaped either way."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        await self.process.stdin.aclose()
        if not at_once:
            with trio.move_on_after(_STOP_SECONDS):
                await self.process.wait()
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        await self.process.stdout.aclose()
