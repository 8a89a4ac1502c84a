"""A node whose L1 is away when it starts: it goes on from what it knew, and posts once L1 is back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from unittest.mock import patch

import msgspec
import pytest
import structlog
import trio

from l1_bridge.client.client import L1Client
from sequencer.l1.known import KNOWN
from sequencer.node import node as nodes
from sequencer.node.config import L1Away, L1Unusable, NodeConfig
from sequencer.node.node import Running, run
from tests.l1_bridge.l1_nodes import anvil
from tests.l1_bridge.weather import Ask, Fault, Weather, weather_proxy
from tests.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.trio
AWAY = Fault("silent", 0, float("inf"))


def config_on(url: str, datadir: Path) -> NodeConfig:
    """A node that deploys its own rollup, and has prices."""
    return NodeConfig(
        datadir=datadir,
        port=0,
        l1_rpc_url=url,
        is_deploy_allowed=True,
        is_maker_running=False,
        seal_seconds=0.2,
        post_seconds=0.2,
    )


@asynccontextmanager
async def up(config: NodeConfig) -> AsyncIterator[Running]:
    """A node while it runs."""
    async with trio.open_nursery() as nursery:
        yield await nursery.start(run, config)
        nursery.cancel_scope.cancel()


async def until_posted(running: Running) -> None:
    """Waits until L1 holds all that was sealed when it is asked."""
    sealed = running.engine.chunk_count
    with trio.fail_after(PATIENCE_SECONDS):
        while running.engine.chunk_count <= sealed or running.view.posted_chunks < sealed:
            await trio.sleep(0.05)


async def test_an_outage_and_a_crash_stop_no_trading(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as lines, anvil("--block-time", "0.2") as l1:
        weather = Weather(Random(1), [], trio.current_time)
        async with weather_proxy(weather, l1.url) as url:
            config = config_on(url, tmp_path / "node")
            async with up(config) as running:
                await until_posted(running)
            weather.faults = [AWAY]
            # A first start has nothing to go on from.
            with pytest.RaisesGroup(L1Away):
                async with up(msgspec.structs.replace(config, datadir=tmp_path / "other")):
                    raise AssertionError("up without an L1")
            async with up(config) as running:
                sealed, posted = running.engine.chunk_count, running.view.posted_chunks
                with trio.fail_after(PATIENCE_SECONDS):
                    while running.engine.chunk_count < sealed + 2:
                        await trio.sleep(0.05)
                assert running.view.posted_chunks == posted
                weather.faults = []
                await until_posted(running)
                async with L1Client(l1.url) as client:
                    assert running.poster is not None
                    head, _ = await running.poster.head()
                    assert running.engine.chunk_with_root(head.last_root) is not None
                    assert await client.chain_id() == 31_337
    said = [line["event"] for line in lines]
    assert said.index("l1.away") < said.index("l1.back")


class Deaf(Weather):
    """While `is_deaf` a call is taken and never answered: its sender waits for as long as he likes."""

    is_deaf = False

    async def respond(self, content: bytes, ask: Ask) -> tuple[int, bytes]:
        """As the L1 says, or never."""
        if self.is_deaf:
            await trio.sleep_forever()
        return await super().respond(content, ask)


async def test_an_l1_that_takes_calls_and_answers_none_is_away_as_soon_as_any_other(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as lines, anvil("--block-time", "0.2") as l1:
        weather = Deaf(Random(1), [], trio.current_time)
        async with weather_proxy(weather, l1.url) as url:
            config = config_on(url, tmp_path / "node")
            async with up(config) as running:
                await until_posted(running)
            weather.is_deaf = True
            with patch.object(nodes, "AWAY_SECONDS", 0.2), trio.fail_after(PATIENCE_SECONDS):
                async with up(config) as running:
                    sealed = running.engine.chunk_count
                    while running.engine.chunk_count < sealed + 2:
                        await trio.sleep(0.05)
    (away,) = [line["why"] for line in lines if line["event"] == "l1.away"]
    assert "has not said in 0.2 s" in away


async def test_an_l1_that_comes_back_as_another_one_ends_the_node(tmp_path: Path) -> None:
    with structlog.testing.capture_logs(), anvil("--block-time", "0.2") as l1, anvil("--block-time", "0.2") as other:
        weather = Weather(Random(1), [], trio.current_time)
        async with weather_proxy(weather, l1.url) as url:
            config = config_on(url, tmp_path / "node")
            async with up(config) as running:
                await until_posted(running)
            assert (config.datadir / KNOWN).exists()
        weather.faults = [AWAY]
        async with weather_proxy(weather, other.url) as url:
            refused = pytest.RaisesExc(L1Unusable, match="not the shipped contracts")
            with pytest.RaisesGroup(refused, flatten_subgroups=True):
                async with up(msgspec.structs.replace(config, l1_rpc_url=url)):
                    weather.faults = []
                    with trio.fail_after(PATIENCE_SECONDS):
                        await trio.sleep_forever()
