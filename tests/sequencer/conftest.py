"""Fixtures of the node's tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.sequencer.desk import Desk
from tests.sequencer.node_world import DOLLAR, START, deposit, owner, tick
from tests.sequencer.typed_data.npm import NpmWallets, npm_wallets


@pytest.fixture(scope="session")
def other_wallets() -> Iterator[NpmWallets]:
    """How viem and ethers sign."""
    with npm_wallets() as sign:
        yield sign


@pytest.fixture
async def desk(tmp_path: Path, nursery: trio.Nursery) -> Any:
    """Four traders with ten thousand dollars each, and the first tick."""
    desk = Desk(tmp_path)
    await nursery.start(desk.venue.run)
    for index in range(4):
        await desk.venue.submit(deposit(owner(index), 10_000 * DOLLAR))
    await desk.venue.submit(tick(START))
    desk.channels.names()
    yield desk
    nursery.cancel_scope.cancel()
