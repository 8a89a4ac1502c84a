"""Fixtures of the challenger's tests."""

import pytest

from tests.l1_bridge.l1_nodes import L1Node
from tests.prover.challenger.runs import Guard
from tests.prover.world import World


@pytest.fixture
def world(node_world: World) -> World:
    return node_world


@pytest.fixture
def guard(world: World, node: L1Node) -> Guard:
    return Guard(world, node.url)
