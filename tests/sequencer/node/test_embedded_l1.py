"""An L1 of the node's own: up while it is needed, gone afterwards, and a port that is taken is said."""

import os
import resource
import signal
import socket
from functools import partial
from pathlib import Path
from unittest.mock import patch

import pytest
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Unavailable
from l1_bridge.client.options import L1Options
from sequencer.node.config import DatadirUnusable, L1Unusable
from sequencer.node.embedded_l1 import embedded_l1, has_chain
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.trio


async def test_it_answers_as_long_as_it_is_needed(tmp_path: Path) -> None:
    async with embedded_l1(tmp_path / "l1", 0) as l1, L1Client(l1.url, L1Options(attempts=1)) as client:
        assert await client.block(0) is not None
    gone = L1Client(l1.url, L1Options(attempts=1))
    with pytest.raises(L1Unavailable):
        await gone.chain_id()
    await gone.close()


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(L1Unusable, match=f"{port}.*--l1-port"):
            async with embedded_l1(tmp_path / "l1", port):
                raise AssertionError


async def test_a_disk_that_takes_nothing_is_no_matter_of_ports_or_damage(tmp_path: Path) -> None:
    """No file of the L1's may grow, which to a program is a disk without room."""
    limited = partial(trio.lowlevel.open_process, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1)))
    said = "did not start: .*chain cannot be opened: IO error: .* the disk needs room"
    with patch("trio.lowlevel.open_process", limited), pytest.raises(DatadirUnusable, match=said):
        async with embedded_l1(tmp_path / "l1", 0):
            raise AssertionError


async def test_files_of_a_chain_that_are_damaged_begin_no_new_one(tmp_path: Path) -> None:
    path = tmp_path / "l1"
    assert not has_chain(path)
    async with embedded_l1(path, 0):
        assert has_chain(path)
    (current,) = path.rglob("CURRENT")
    named = current.read_bytes()
    current.unlink()
    before = sorted(entry.name for entry in current.parent.glob("*.l*"))
    assert has_chain(path)
    with pytest.raises(L1Unusable, match="does not exist"):
        async with embedded_l1(path, 0):
            raise AssertionError
    assert sorted(entry.name for entry in current.parent.glob("*.l*")) == before
    assert not current.exists()
    # Nor is what cannot be read a traceback.
    current.write_bytes(named)
    for table in current.parent.glob("*.l*"):
        table.write_bytes(b"\x07" * max(100, table.stat().st_size))
    with pytest.raises(L1Unusable, match="cannot be opened") as refused:
        async with embedded_l1(path, 0):
            raise AssertionError
    assert "Traceback" not in str(refused.value)


async def test_one_that_is_killed_is_started_again_where_it_was(tmp_path: Path) -> None:
    async with embedded_l1(tmp_path / "l1", 0) as l1, L1Client(l1.url, L1Options(attempts=1)) as client:
        first = await client.block(0)
        for restarts in (1, 2):
            killed = l1.pid
            os.kill(killed, signal.SIGKILL)
            with trio.fail_after(PATIENCE_SECONDS):
                while l1.pid == killed or l1.restarts < restarts:
                    await trio.sleep(0.05)
            again = await client.block(0)
            assert again is not None
            assert first is not None
            assert again.hash == first.hash
    assert l1.restarts == 2
    with pytest.raises(ProcessLookupError):
        os.kill(l1.pid, 0)
