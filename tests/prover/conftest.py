"""Fixtures of the prover's tests against real L1 nodes."""

from collections.abc import AsyncIterator, Iterator

import pytest

from l1_bridge.client.client import L1Client
from l1_bridge.client.options import L1Options
from tests.l1_bridge.l1_nodes import L1Node, anvil
from tests.prover.world import NodeChain, World

POLL_SECONDS = 0.02


@pytest.fixture(scope="module")
def node() -> Iterator[L1Node]:
    """anvil, one for a module; every test deploys contracts of its own."""
    with anvil() as started:
        yield started


@pytest.fixture
async def client(node: L1Node) -> AsyncIterator[L1Client]:
    """A client of the module's node."""
    async with L1Client(node.url, L1Options(poll_seconds=POLL_SECONDS)) as connected:
        yield connected


@pytest.fixture
async def node_world(client: L1Client) -> World:
    """A rollup on the module's node."""
    return await World.make(NodeChain(client))
