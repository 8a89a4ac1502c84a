"""Real L1 nodes as processes of their own for tests: the embedded one and anvil."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from tests.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
# The program itself: what stands in .bin is a script that starts node to start it.
ANVIL = next(
    (ROOT / "node_modules" / "@foundry-rs").glob("anvil-*/bin/anvil"), ROOT / "node_modules" / ".bin" / "anvil"
)


@cache
def probe_initcode() -> bytes:
    """Deployment code of a contract that counts, logs, copies and fails on request."""
    from l1_bridge.contracts.compile import compile_to_artifact

    return compile_to_artifact(Path(__file__).parent / "Counter.vy").bytecode


class L1Node:
    """A running node: `url` is its JSON-RPC, `process` its process."""

    def __init__(self, url: str, process: subprocess.Popen[str]) -> None:
        self.url = url
        self.process = process

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self._wait()

    def kill(self) -> int:
        """SIGKILL, as a power cut to the process; the exit code."""
        self.process.kill()
        return self._wait()

    def _wait(self) -> int:
        code = self.process.wait(PATIENCE_SECONDS)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code


@contextmanager
def embedded_l1(datadir: Path, *options: str) -> Iterator[L1Node]:
    """The embedded L1 over `datadir` on a free port; stopped at the end unless the test did it."""
    command = [sys.executable, "-m", "l1_bridge.devnet.server", "--datadir", str(datadir), "--port", "0", *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ready = process.stdout.readline()
    if not ready:
        process.stdout.close()
        raise AssertionError(f"the embedded L1 ended with code {process.wait(PATIENCE_SECONDS)}")
    node = L1Node(json.loads(ready)["url"], process)
    try:
        yield node
    finally:
        if process.poll() is None:
            node.stop()


def refused_devnet(*options: str) -> Result:
    """The embedded L1 with options that it must refuse, in this process: it ends before it serves."""
    from l1_bridge.devnet import server

    opened: list[socket.socket] = []

    def opening(*options: int) -> socket.socket:
        opened.append(socket.socket(*options))
        return opened[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ETH_HASH_BACKEND", "pysha3")
        patch.setattr(server, "socket", SimpleNamespace(**(vars(socket) | {"socket": opening})))
        try:
            return CliRunner().invoke(server.main, options)
        finally:
            # Its end would close them.
            for listener in opened:
                listener.close()


def _drain(process: "subprocess.Popen[str]") -> None:
    """Reads what an L1 says until its pipe is closed, by whoever stops it."""
    with suppress(ValueError):
        deque(process.stdout or (), maxlen=0)


@contextmanager
def anvil(*options: str, epoch_slots: int = 1) -> Iterator[L1Node]:
    """anvil on a free port, two epochs to finality, of a block each; skips the test where it is not installed."""
    binary = str(ANVIL) if ANVIL.exists() else shutil.which("anvil")
    if binary is None:
        pytest.skip("anvil is not installed: npm install --no-save")
    command = [binary, "--port", "0", "--slots-in-an-epoch", str(epoch_slots), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(r"Listening on (\S+)", line)
        if found:
            break
    else:
        raise AssertionError(f"anvil ended with code {process.wait(PATIENCE_SECONDS)}")
    # It logs every call: a pipe that nobody reads fills up and stops it.
    reader = threading.Thread(target=_drain, args=(process,), daemon=True)
    reader.start()
    node = L1Node(f"http://{found[1]}", process)
    try:
        yield node
    finally:
        if process.poll() is None:
            node.stop()
        reader.join(PATIENCE_SECONDS)
