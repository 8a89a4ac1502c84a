"""Fixtures of the prover's tests against real L1 nodes."""

from collections.abc import AsyncIterator, Iterator

import pytest

from l1_bridge.client.client import L1Client
from l1_bridge.client.options import L1Options
from tests.l1_bridge.l1_nodes import L1Node, anvil
from tests.prover.world import NodeChain, World, deploy_law

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


@pytest.fixture(scope="module")
def laws(node: L1Node) -> dict[str, bytes]:
    """The law's address on the module's node, once a test has deployed it."""
    return {}


@pytest.fixture
async def node_world(client: L1Client, node: L1Node, laws: dict[str, bytes]) -> World:
    """A rollup on the module's node."""
    chain = NodeChain(client)
    if node.url not in laws:
        laws[node.url] = await deploy_law(chain)
    return await World.make(chain, law=laws[node.url])
