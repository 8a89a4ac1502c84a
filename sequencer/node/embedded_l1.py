"""An L1 of the node's own: a process that lives and ends with it."""

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE
from typing import Final

import trio

from sequencer.node.config import L1Unusable

_STARTUP_SECONDS: Final = 60.0
_PREDECESSOR_SECONDS: Final = 10.0


@asynccontextmanager
async def embedded_l1(datadir: Path, port: int) -> AsyncIterator[str]:
    """An embedded L1 as a process of its own; gives its URL. L1Unusable where it does not come up."""
    await _predecessor_gone(datadir)
    command = [sys.executable, "-m", "l1_bridge.devnet.server", "--datadir", str(datadir), "--port", str(port)]
    command.append("--exit-with-stdin")
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
            raise L1Unusable(f"The embedded L1 did not start: {reason} (--l1-port chooses another port)")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_drain, process.stdout)
            nursery.start_soon(_drain, process.stderr)
            yield str(json.loads(line)["url"])
            nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
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
