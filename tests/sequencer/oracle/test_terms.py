"""What a signer asks nodes of the venue, and what it takes from none."""

from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import pytest
import trio

from sequencer.client.client import NodeClient
from sequencer.client.errors import Misfit
from sequencer.oracle.price_sources import Market
from sequencer.oracle.terms import Expected, TermsDiffer, agreed_terms, awaited_terms
from tests.sequencer.node_world import BRIDGE, CHAIN_ID
from tests.sequencer.oracle_world import MARKETS, TERMS, OracleWorld

MINUTE: Final = 60.0


class Lacking(httpx.AsyncBaseTransport):
    """A node whose status lacks a field until some time of trio's clock; away at times, where the test says so."""

    def __init__(self, world: OracleWorld, until: float, away: range = range(0)) -> None:
        self._node = world.transport
        self._until = until
        self._away = away

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """One call."""
        if int(trio.current_time()) in self._away:
            raise httpx.ConnectError("nobody listens")
        response = await self._node.handle_async_request(request)
        answer = msgspec.json.decode(response.content)
        if trio.current_time() < self._until and isinstance(answer["result"], dict):
            del answer["result"]["law_version"]
        return httpx.Response(200, content=msgspec.json.encode(answer))


async def waited(world: OracleWorld, *transports: Lacking) -> float:
    """Trio's seconds until the terms stand."""
    began = trio.current_time()
    nodes = [NodeClient(f"http://node{index}", transport=transport) for index, transport in enumerate(transports)]
    assert (await awaited_terms(nodes, Expected()))[1] == TERMS
    return trio.current_time() - began


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


@pytest.mark.trio
async def test_a_node_of_another_version_is_waited_for_a_minute(
    world: OracleWorld, autojump_clock: trio.testing.MockClock
) -> None:
    began = trio.current_time()
    with pytest.raises(Misfit, match=r"answer of http://node0 to catenary_status does not fit: .*law_version"):
        await waited(world, Lacking(world, float("inf")))
    assert MINUTE <= trio.current_time() - began < MINUTE + 5


@pytest.mark.trio
async def test_one_that_is_replaced_within_the_minute_is_taken(
    world: OracleWorld, autojump_clock: trio.testing.MockClock
) -> None:
    assert await waited(world, Lacking(world, trio.current_time() + MINUTE - 5)) < MINUTE
    assert await waited(world, Lacking(world, float("inf")), Lacking(world, trio.current_time())) == 0


@pytest.mark.trio
async def test_beside_one_that_does_not_answer_nothing_is_given_up(
    world: OracleWorld, autojump_clock: trio.testing.MockClock
) -> None:
    now = int(trio.current_time())
    away = Lacking(world, now, range(now, now + 300))
    assert 290 < await waited(world, Lacking(world, float("inf")), away) < 310
    # Each answer that is none begins the minute anew.
    flickering = Lacking(world, trio.current_time() + 100, range(int(trio.current_time()) + 50, now + 360))
    assert 95 < await waited(world, flickering) < 105
