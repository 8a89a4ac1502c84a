"""Fixtures of the prover's tests against real L1 nodes."""

from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import pytest

from l1_bridge.client.client import L1Client
from l1_bridge.client.options import L1Options
from tests.l1_bridge.l1_nodes import L1Node, anvil
from tests.prover.world import NodeChain, World

POLL_SECONDS = 0.02


class Kept(NamedTuple):
    """A rollup and the snapshot of its chain, which going back to it uses up."""

    world: World
    snapshot: str


class Rollup:
    """One rollup on one node, bare and after its newest stage: tests go back to them instead of making them anew."""

    def __init__(self) -> None:
        self._bare: Kept | None = None
        self._staged: Kept | None = None
        self._stage: pytest.Mark | None = None

    async def at(self, client: L1Client, stage: pytest.Mark | None) -> World:
        """The rollup after `stage(build=..., **options)`, or with no more than a seat, for one test to change."""
        chain = NodeChain(client)
        if self._staged is not None and stage == self._stage:
            self._staged = await _back(client, self._staged)
            return self._staged.world.copy(chain)
        self._staged = None
        if self._bare is None:
            self._bare = await _kept(client, await World.make(chain))
        else:
            self._bare = await _back(client, self._bare)
        world = self._bare.world.copy(chain)
        if stage is not None:
            options = dict(stage.kwargs)
            await options.pop("build")(world, client, **options)
            self._staged, self._stage = await _kept(client, world), stage
        return world.copy(chain)


async def _kept(client: L1Client, world: World) -> Kept:
    return Kept(world, await client.call("evm_snapshot"))


async def _back(client: L1Client, kept: Kept) -> Kept:
    assert await client.call("evm_revert", [kept.snapshot])
    return await _kept(client, kept.world)


@pytest.fixture(scope="session")
def node() -> Iterator[L1Node]:
    """anvil, one for a session; who does not begin with `node_world` deploys contracts of his own."""
    with anvil("--max-persisted-states", "20000") as started:
        yield started


@pytest.fixture(scope="session")
def rollup(node: L1Node) -> Rollup:
    """The rollup on the session's node."""
    return Rollup()


@pytest.fixture
async def client(node: L1Node) -> AsyncIterator[L1Client]:
    """A client of the session's node."""
    async with L1Client(node.url, L1Options(poll_seconds=POLL_SECONDS)) as connected:
        yield connected


@pytest.fixture
async def node_world(client: L1Client, rollup: Rollup, request: pytest.FixtureRequest) -> World:
    """The rollup on the session's node, after the test's stage."""
    return await rollup.at(client, request.node.get_closest_marker("stage"))
