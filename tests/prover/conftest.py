"""Fixtures of the prover's tests against real L1 nodes."""

import collections
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from l1_bridge.l1_client import L1Client
from tests.l1_bridge.l1_nodes import L1Node, anvil
from tests.prover.world import NodeChain, World

POLL_SECONDS = 0.02


@pytest.fixture(scope="module")
def node() -> Iterator[L1Node]:
    """anvil, one for a module; every test deploys contracts of its own."""
    with anvil() as started:
        # It logs every request: a pipe that nobody reads would stop it.
        assert started.process.stdout is not None
        reader = threading.Thread(target=collections.deque, args=(started.process.stdout, 0), daemon=True)
        reader.start()
        yield started
        started.process.terminate()
        reader.join()
        started.stop()


@pytest.fixture
async def client(node: L1Node) -> AsyncIterator[L1Client]:
    """A client of the module's node."""
    async with L1Client(node.url, poll_seconds=POLL_SECONDS) as connected:
        yield connected


@pytest.fixture
async def node_world(client: L1Client) -> World:
    """A rollup on the module's node."""
    return await World.make(NodeChain(client))
