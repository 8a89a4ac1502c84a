"""What a signer asks nodes of the venue, and what it takes from none."""

from pathlib import Path
from typing import Any

import pytest
import trio

from sequencer.oracle.price_sources import Market
from sequencer.oracle.terms import Expected, TermsDiffer, agreed_terms
from tests.sequencer.node_world import BRIDGE, CHAIN_ID
from tests.sequencer.oracle_world import MARKETS, TERMS, OracleWorld


@pytest.fixture
async def world(tmp_path: Path, nursery: trio.Nursery) -> Any:
    world = OracleWorld(tmp_path)
    await world.start(nursery)
    yield world
    nursery.cancel_scope.cancel()


@pytest.mark.trio
async def test_terms_are_the_nodes_as_far_as_the_operator_left_them_open(
    world: OracleWorld, mock_clock: trio.testing.MockClock
) -> None:
    node = world.client()
    assert await agreed_terms(node, Expected()) == TERMS
    assert await agreed_terms(node, Expected(CHAIN_ID, BRIDGE, MARKETS)) == TERMS
    for wrong, words in (
        (Expected(chain_id=1), "has the chain 31337, expected was 1"),
        (Expected(rollup_address=b"\x22" * 20), "has the rollup 0x11"),
        (Expected(markets=(Market("ETH", 2), Market("BTC", 1), Market("SOL", 4))), "expected was ETH:2 BTC:1 SOL:4"),
        (Expected(markets=MARKETS[:2]), "list of markets"),
    ):
        with pytest.raises(TermsDiffer, match=words):
            await agreed_terms(node, wrong)
