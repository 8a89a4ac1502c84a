"""An L1 of the node's own: a process that lives and ends with it, and is started again when it dies."""

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from typing import Final

import structlog
import trio

from sequencer.node.config import WRITABLE, CannotStart, DatadirUnusable, L1Unusable, is_of_the_disk

_STARTUP_SECONDS: Final = 60.0
_PREDECESSOR_SECONDS: Final = 10.0
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 30.0
# More than a day of blocks a second, two weeks of a venue that nobody uses.
_HISTORY_BLOCKS: Final = 100_000


def has_chain(directory: Path) -> bool:
    """Whether an embedded L1 has ever run in a directory, and something of it is left."""
    return any(path.suffix in (".ldb", ".log") or path.name == "CURRENT" for path in directory.rglob("*"))


class EmbeddedL1:
    """One process at a time on one port. url: where it answers; restarts: how often it had to be started anew."""

    def __init__(self, datadir: Path, port: int, history_blocks: int) -> None:
        self.url = ""
        self.restarts = 0
        self.pid = 0
        self.failure: CannotStart | None = None
        self._datadir = datadir
        self._port = port
        self._history_blocks = history_blocks
        self._log = structlog.get_logger("l1")

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keeps it running until cancelled; where the first start fails, `failure` says why."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            began = trio.current_time()
            try:
                async with _process(self._datadir, self._port, self._history_blocks) as (process, url):
                    self.pid = process.pid
                    if not self.url:
                        self.url, self._port = url, int(url.rpartition(":")[2])
                        task_status.started()
                    await process.wait()
                    self._log.error("l1.died", exit_code=process.returncode, restarts=self.restarts)
            except CannotStart as error:
                if not self.url:
                    self.failure = error
                    task_status.started()
                    return
                self._log.error("l1.not_restarted", error=str(error), next_in_seconds=pause)
            # What lives long may die again at once; what dies at once is given more and more time.
            is_lasting = trio.current_time() - began >= _LONGEST_PAUSE_SECONDS
            pause = _FIRST_PAUSE_SECONDS if is_lasting else min(2 * pause, _LONGEST_PAUSE_SECONDS)
            await trio.sleep(pause)
            self.restarts += 1


@asynccontextmanager
async def embedded_l1(datadir: Path, port: int, window_seconds: int = 0) -> AsyncIterator[EmbeddedL1]:
    """An embedded L1 that is started again when it dies. L1Unusable, DatadirUnusable where it does not come up.

    window_seconds: of whoever challenges; what is younger than two of them is kept, for no block is shorter than one.
    """
    embedded = EmbeddedL1(datadir, port, _HISTORY_BLOCKS + 2 * window_seconds)
    async with trio.open_nursery() as nursery:
        await nursery.start(embedded.run)
        if embedded.failure is None:
            yield embedded
        nursery.cancel_scope.cancel()
    if embedded.failure is not None:
        raise embedded.failure


@asynccontextmanager
async def _process(datadir: Path, port: int, history_blocks: int) -> AsyncIterator[tuple[trio.Process, str]]:
    """The process and its URL; it ends with the context. L1Unusable, DatadirUnusable where it does not come up."""
    await _predecessor_gone(datadir)
    command = [sys.executable, "-m", "l1_bridge.devnet.server", "--datadir", str(datadir), "--port", str(port)]
    command += ["--history-blocks", str(history_blocks), "--exit-with-stdin"]
    # A group of its own: the terminal's Ctrl-C reaches the node first, which then ends its L1. The pipe to its stdin is
    # never written to: it closes with the node, however the node ends.
    process = await trio.lowlevel.open_process(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        line = b""
        with trio.move_on_after(_STARTUP_SECONDS):
            while not line.endswith(b"\n"):
                piece = await process.stdout.receive_some(4096)
                if not piece:
                    break
                line += piece
        if not line.endswith(b"\n"):
            said = await process.stderr.receive_some(4096)
            reason = said.decode(errors="replace").strip() or "no answer"
            if is_of_the_disk(OSError(reason)):
                raise DatadirUnusable(f"The embedded L1 did not start: {reason.removeprefix('Error: ')}. {WRITABLE}")
            raise L1Unusable(f"The embedded L1 did not start: {reason} (--l1-port chooses another port).")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_drain, process.stdout)
            nursery.start_soon(_drain, process.stderr)
            yield process, str(json.loads(line)["url"])
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            with suppress(ProcessLookupError):
                process.terminate()
            with trio.move_on_after(10):
                await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()
            await process.stdin.aclose()
            await process.stdout.aclose()
            await process.stderr.aclose()


async def _predecessor_gone(datadir: Path) -> None:
    """Waits for the embedded L1 of a node that was killed: it ends by itself, but not before its last call."""
    try:
        left_behind = int(json.loads((datadir / "devnet.json").read_text())["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    with trio.move_on_after(_PREDECESSOR_SECONDS):
        while _is_running(left_behind):
            await trio.sleep(0.05)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        # No such file system here: then the signal has told.
        return True
    except OSError:
        return False
    # Where nobody reaps orphans, a dead one stays as a name without locks or sockets.
    return state != "Z"


async def _drain(stream: trio.abc.ReceiveStream) -> None:
    async for _ in stream:
        pass
