"""A node without the seat has what L1 has: batch by batch, back with every roll-back, and nothing of a lie."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import httpx
import msgspec
import pytest
import structlog
import trio

from l1_bridge.client.keys import development_key
from prover.state.leveldb import LevelDbStore
from sequencer.client.clock import wall_clock_ms
from sequencer.demo.lying_sequencer import lie
from sequencer.devnet.funding import fund
from sequencer.devnet.signing_account import SigningAccount
from sequencer.engine.records import NOT_BEFORE_KEY, VOID_KEY, WRITE_KEY
from sequencer.history.records import FILLS, TRADES
from sequencer.l1 import follower as followers
from sequencer.l1 import resequence
from sequencer.l1.follower import FOLLOWING as FOLLOWING_CODE
from sequencer.l1.resequence import STATE
from sequencer.node.config import DatadirUnusable
from sequencer.node.datadir import lineage_of
from sequencer.node.node import Running
from tests.l1_bridge.weather import Fault, Weather, weather_proxy
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.node.test_succession import able, positions, posted, proven, stage, traded
from tests.sequencer.node_world import BUY, DOLLAR, FIRST, LOTS, PRICES, key, owner

pytestmark = pytest.mark.trio
FOLLOWING: dict[str, Any] = {"is_following": True, "is_posting": False, "is_oracle_simulated": False}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[Any]:
    """No log lines between the tests' dots."""
    with structlog.testing.capture_logs() as lines:
        yield lines


async def asked(url: str, method: str, **params: Any) -> dict[str, Any]:
    """What a node answers."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_SECONDS) as client:
        answer: dict[str, Any] = (await client.post(url, json=body)).json()
    return answer


async def same(follower: Running, sequencer: Running) -> None:
    """Until the follower has everything that the sequencer has posted."""
    posted_root = sequencer.view.batches[-1].last_root
    while follower.engine.chunk_with_root(posted_root) is None:
        await trio.sleep(0.02)


async def test_it_has_what_was_posted_and_tells_it(tmp_path: Path, quiet: Any) -> None:
    async with stage(tmp_path) as here, here.up("first") as first:
        await here.funded(first)
        await posted(first)
        async with here.up("reader", **FOLLOWING) as reader:
            told: list[Any] = []

            class Ear:
                def sequenced(self, outcome: Any) -> None:
                    told.append(outcome)

            reader.sequencer.listeners.append(Ear())
            await traded(first)
            await posted(first)
            await same(reader, first)
            assert reader.engine.accounts_of(owner(0)) == [FIRST]
            assert positions(reader) == positions(first)
            assert list(reader.engine.withdrawals) == list(first.engine.withdrawals)
            assert [entry.index for entry in reader.engine.entries] == [0, 1, 2, 3, 4]
            lists = first.sequencer.history.lists
            own = reader.sequencer.history.lists
            assert [fill for outcome in told for fill in outcome.fills] == [lists.last(TRADES, 0).fill]
            assert own.last(TRADES, 0).fill == lists.last(TRADES, 0).fill
            assert own.last(FILLS, FIRST) == msgspec.structs.replace(
                lists.last(FILLS, FIRST), mark=own.last(FILLS, FIRST).mark
            )
            status = (await asked(reader.url, "catenary_status"))["result"]
            assert (status["ready"], status["posted"]["root"]) == (True, status["state_root"])
            account = (await asked(reader.url, "catenary_account", account=FIRST))["result"]
            assert account["positions"][0]["size_lots"] != 0
            proof = await asked(reader.url, "catenary_proof", account=FIRST)
            assert "result" in proof, proof
            # It takes nothing.
            trader = SigningAccount(key(0), reader.deployment.domain, wall_clock_ms)
            trader.account = FIRST
            given, signature = trader.order(0, BUY, LOTS, PRICES[0], 5)
            refused = await asked(reader.url, "catenary_order", order=given, signature="0x" + signature.hex())
            assert (refused["error"]["data"]["name"], FOLLOWING_CODE in str(refused)) == ("NOT_POSTABLE", True)
        # A restart reads on, and replays nothing.
        quiet.clear()
        async with here.up("reader", **FOLLOWING) as reader:
            await same(reader, first)
            assert not [line for line in quiet if line["event"] == "rebuild.started"]


async def test_who_has_followed_can_take_the_seat(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        async with here.up("first") as first:
            async with here.up("reader", **FOLLOWING) as reader:
                await here.funded(first)
                await traded(first)
                await posted(first)
                await same(reader, first)
            held = positions(first)
        lineage = lineage_of(tmp_path / "reader" / "journal")
        assert lineage is not None
        assert lineage.root == ""
        async with here.up("reader") as heir:
            assert positions(heir) == held
            await able(heir)
            await traded(heir)
            await posted(heir)


async def test_a_lie_is_not_followed_and_what_comes_after_its_proof_is(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        async with here.up("first") as first:
            await here.funded(first)
            await traded(first)
            await posted(first)
        async with here.up("reader", **FOLLOWING) as reader:
            url, root = reader.url, reader.engine.state.root
            await lie(here.url, here.rollup, 0, tmp_path / "liar")
            # It comes up again by itself, where it was, at the state before the lie.
            await told(url, "CONTRADICTED")
            status = (await asked(url, "catenary_status"))["result"]
            assert status["state_root"] == "0x" + root.hex()
            await proven(here, first)
            async with here.up("second", operator=development_key(1), is_seat_wanted=True) as second:
                await posted(second)
                wanted = "0x" + second.view.batches[-1].last_root.hex()
                while wanted not in await roots(url):
                    await trio.sleep(0.05)
                # The bridge's newest batch is known a moment before the state is there.
                while not await is_ready(url):
                    await trio.sleep(0.05)
        # Whoever comes later reads the lie in L1's logs, and passes over it.
        shutil.rmtree(tmp_path / "reader")
        async with here.up("reader", **FOLLOWING) as reader:
            assert reader.engine.state.root == second.view.batches[-1].last_root


async def is_ready(url: str) -> bool:
    """What a node says of itself; it is not while it comes up."""
    try:
        return bool((await asked(url, "catenary_status"))["result"]["ready"])
    except httpx.HTTPError:
        return False


async def roots(url: str) -> list[str]:
    """Where a node stands; nowhere while it comes up."""
    try:
        status = (await asked(url, "catenary_status"))["result"]
    except httpx.HTTPError:
        return []
    return [status["posted"]["root"], status["state_root"]]


async def told(url: str, code: str) -> None:
    """Until a node says that it is not ready for a reason."""
    async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_SECONDS) as client:
        while True:
            try:
                answer = await client.get(url + "/ready")
                if code in answer.text:
                    return
            except httpx.HTTPError:
                pass
            await trio.sleep(0.05)


async def test_what_l1_lost_is_lost_here_too(tmp_path: Path) -> None:
    async with stage(tmp_path, "--accounts", "10") as here:
        async with here.up("first") as first:
            await here.funded(first)
            await posted(first)
            snapshot = await here.client.call("evm_snapshot", [])
            await traded(first)
            await posted(first)
            await here.client.call("anvil_mine", ["0x4"])
        async with here.up("reader", **FOLLOWING) as reader:
            before = reader.engine.chunk_count
            assert reader.engine.state.root == reader.view.batches[-1].last_root
        await here.client.call("evm_revert", [snapshot])
        async with here.up("reader", **FOLLOWING) as reader:
            assert reader.engine.chunk_count < before
            assert reader.engine.state.root == reader.view.batches[-1].last_root
        # L1 goes back every day, and holds all of it: no copy is left behind each time.
        assert not [*tmp_path.rglob("state.replaced*")]


def rows(datadir: Path) -> dict[bytes, bytes]:
    """What the store of a node that is down holds, but for the numbers of its writes and what is told of voids."""
    with closing(LevelDbStore(datadir / STATE, is_strict=True)) as store:
        return {key: value for key, value in store.iterate(b"") if not key.startswith((WRITE_KEY, VOID_KEY))}


@pytest.mark.parametrize("is_remembered", [True, False])
async def test_a_step_back_costs_what_went_back_and_tells_owners_until_it_comes_again(
    tmp_path: Path, is_remembered: bool
) -> None:
    reader_at = tmp_path / "reader"
    async with stage(tmp_path, "--accounts", "10") as here:
        async with here.up("first") as first:
            await here.funded(first)
            await posted(first)
        async with here.up("reader", **FOLLOWING) as reader:
            chunks, root = reader.engine.chunk_count, reader.engine.state.root
        before = rows(reader_at)
        snapshot = await here.client.call("evm_snapshot", [])
        with patch.object(followers, "_MOST_UNDONE", 256 if is_remembered else 1):
            async with here.up("first") as first, here.up("reader", **FOLLOWING) as reader:
                for _ in range(2):
                    await traded(first)
                    await posted(first)
                    await same(reader, first)
                assert not reader.engine.voided_of(FIRST)
        await here.client.call("evm_revert", [snapshot])
        with patch.object(resequence, "rebuild", wraps=resequence.rebuild) as rewritten:
            async with here.up("reader", **FOLLOWING) as reader:
                assert (reader.engine.chunk_count, reader.engine.state.root) == (chunks, root)
                assert reader.engine.voided_of(FIRST)
        assert rewritten.called is not is_remembered
        after = rows(reader_at)
        if is_remembered:
            # Since when nothing older is taken stays as it was.
            assert after.pop(NOT_BEFORE_KEY) > before.pop(NOT_BEFORE_KEY)
            assert after == before
        # The sequencer posts again what L1 has dropped: none of it is void then, here or after a restart.
        async with here.up("first") as first, here.up("reader", **FOLLOWING) as reader:
            await posted(first)
            await same(reader, first)
            assert not reader.engine.voided_of(FIRST)
        async with here.up("reader", **FOLLOWING) as reader:
            assert not reader.engine.voided_of(FIRST)


async def test_an_entry_that_no_batch_has_taken_hides_nothing_from_the_next_start(tmp_path: Path, quiet: Any) -> None:
    async with stage(tmp_path, "--accounts", "10") as here:
        async with here.up("first") as first:
            await here.funded(first)
            await posted(first)
        async with here.up("reader", **FOLLOWING) as reader:
            known = reader.engine.view.commitment.queue_taken
        token, bridge = first.deployment.token, first.deployment.bridge
        await fund(here.client, development_key(3), token, bridge, [(owner(1), 10 * DOLLAR)])
        for _ in range(2):
            await here.client.call("anvil_mine", ["0x8"])
            async with here.up("reader", **FOLLOWING) as reader:
                assert reader.engine.view.commitment.queue_taken == known
        # Nobody has said less than the bridge holds, and all of L1 is not read anew.
        assert not [line for line in quiet if line["event"] == "l1.logs_missing"]


async def test_a_sequencers_datadir_is_not_followed_in(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        async with here.up("first") as first:
            await posted(first)
        with pytest.raises(ExceptionGroup) as refused:
            async with here.up("first", **FOLLOWING):
                raise AssertionError
        (error,) = refused.value.exceptions
        assert isinstance(error, DatadirUnusable)
        assert "is a sequencer's" in str(error)


async def test_one_that_cannot_read_l1_says_so_until_it_has_read_all_of_it(tmp_path: Path) -> None:
    async with stage(tmp_path) as here, here.up("first") as first:
        await posted(first)
        weather = Weather(Random(1), [], trio.current_time)
        with patch("sequencer.l1.following.PATIENCE_SECONDS", 0.5):
            async with (
                weather_proxy(weather, here.url) as url,
                here.up("reader", l1_rpc_url=url, **FOLLOWING) as reader,
            ):
                await same(reader, first)
                # Nobody listens; then somebody does, who leaves out the logs of what is new.
                for kind in ("silent", "late logs"):
                    weather.faults = [Fault(kind, 0, float("inf"))]
                    await told(reader.url, "UNREAD")
                    weather.faults = []
                    await posted(first)
                    await same(reader, first)
                    while not await is_ready(reader.url):
                        await trio.sleep(0.05)


async def soft(url: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What a follower shows as not posted, once it is so."""
    while True:
        told: dict[str, Any] = (await asked(url, "catenary_soft", market="BTC"))["result"]
        if holds(told):
            return told
        await trio.sleep(0.05)


async def test_what_is_not_posted_is_shown_beside_and_as_such(tmp_path: Path) -> None:
    async with stage(tmp_path) as here, here.up("first") as first:
        await here.funded(first)
        await posted(first)
        async with here.up("reader", **FOLLOWING, soft_from=first.url) as reader:
            await soft(reader.url, lambda told: told["standing"]["standing"] == "open")
            # From here on no block comes, and so no batch.
            await here.client.call("evm_setIntervalMining", [0])
            await traded(first)
            told = await soft(reader.url, lambda told: told["fills"] != [])
            assert (told["posted"], [fill["maker"] for fill in told["fills"]]) == (False, [FIRST])
            assert [market["name"] for market in told["markets"]] == ["BTC"]
            assert positions(reader) == [[0] * len(held) for held in positions(first)]
            assert (await asked(reader.url, "catenary_fills", account=FIRST))["result"]["fills"] == []
            assert (await asked(reader.url, "catenary_account", account=FIRST))["result"]["positions"] == []
            await here.client.call("evm_setIntervalMining", [1])
            # Then it is L1's to tell.
            await posted(first)
            told = await soft(reader.url, lambda told: told["fills"] == [])
            assert (told["standing"]["standing"], positions(reader)) == ("open", positions(first))
            refused = await asked(reader.url, "catenary_soft", market="DOGE")
            assert refused["error"]["data"]["name"] == "NO_MARKET"
