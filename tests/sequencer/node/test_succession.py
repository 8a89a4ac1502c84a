"""Operators come and go, the venue stays: a node rebuilt from L1 goes on where the last batch ended."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.keys import development_key
from l1_bridge.client.options import L1Options
from l1_bridge.codec import calls
from prover.challenger.challenger import Challenger, Settings
from prover.contracts.deployment import DeploymentRecord
from prover.history.history import ChainReplay
from prover.state.store import MemoryStore
from prover.stf import codes, constants, encoding
from sequencer.demo.lying_sequencer import lie
from sequencer.devnet.funding import fund
from sequencer.node import node
from sequencer.node.checking import check
from sequencer.node.config import DatadirUnusable, NodeConfig
from sequencer.node.datadir import answered, ask, is_held
from sequencer.node.node import Running
from sequencer.sequencing.sequencer import NotTaken
from tests.l1_bridge.l1_nodes import anvil
from tests.patience import PATIENCE_SECONDS
from tests.prover.challenger.runs import Recorder
from tests.sequencer.node_world import (
    BUY,
    DOLLAR,
    FIRST,
    IOC,
    PRICES,
    SELL,
    key,
    order,
    owner,
    request,
    signed_order,
    signed_request,
    tick,
)

pytestmark = pytest.mark.trio
TRADERS = 2


@pytest.fixture(autouse=True)
def quiet() -> Iterator[Any]:
    """No log lines between the tests' dots."""
    with structlog.testing.capture_logs() as lines:
        yield lines


class Stage:
    """An L1, and operators who come up on it one after another."""

    def __init__(self, url: str, client: L1Client, directory: Path) -> None:
        self.url = url
        self.client = client
        self.directory = directory
        self.rollup = b""

    def config(self, name: str, **changes: Any) -> NodeConfig:
        """What an operator of that name says; the first one deploys."""
        options: dict[str, Any] = {
            "datadir": self.directory / name, "port": 0, "l1_rpc_url": self.url, "is_maker_running": False,
            "post_seconds": 0.05, "seal_seconds": 0.05, "rollup_address": self.rollup,
            "is_deploy_allowed": not self.rollup,
        }  # fmt: skip
        return NodeConfig(**{**options, **changes})

    @asynccontextmanager
    async def up(self, name: str, **changes: Any) -> AsyncIterator[Running]:
        """A node that runs as long as the body."""
        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                running: Running = await nursery.start(node.run, self.config(name, **changes))
                self.rollup = running.deployment.bridge
                yield running
                nursery.cancel_scope.cancel()

    async def funded(self, running: Running) -> None:
        """Two accounts with money."""
        deposits = [(owner(trader), 100_000 * DOLLAR) for trader in range(TRADERS)]
        await fund(self.client, development_key(5), running.deployment.token, running.deployment.bridge, deposits)
        await self.client.call("anvil_mine", ["0x4"])
        while len(running.engine.accounts_of(owner(TRADERS - 1))) == 0:
            await trio.sleep(0.02)


@asynccontextmanager
async def stage(directory: Path, *options: str) -> AsyncIterator[Stage]:
    """An L1 of its own; by its options, with blocks by the clock if none are given."""
    with anvil(*options or ("--block-time", "0.2")) as l1:
        async with L1Client(l1.url, L1Options(poll_seconds=0.02)) as client:
            yield Stage(l1.url, client, directory)


async def traded(running: Running, **changes: Any) -> None:
    """The two traders meet at the oracle's price."""
    venue, domain = running.sequencer, running.deployment.domain
    price = running.engine.globals.risk.price[0]
    for trader, side, force in ((0, SELL, {}), (1, BUY, {"time_in_force": IOC})):
        given = order(venue.now_ms(), FIRST + trader, side, price, slot=3, **{**force, **changes})
        outcome = await venue.submit(signed_order(given, key(trader), domain))
        assert outcome.code == codes.OK, codes.SENTENCE[outcome.code]
    assert outcome.status == "filled"


async def posted(running: Running) -> None:
    """Until L1 holds all that was taken before the call."""
    await running.sequencer.submit(b"")
    sealed = running.engine.chunk_count
    while running.view.posted_chunks < sealed:
        await trio.sleep(0.02)


def positions(running: Running) -> list[list[int]]:
    """Lots of each trader in each market."""
    accounts = [running.engine.account(FIRST + trader) for trader in range(TRADERS)]
    return [[encoding.unpack(position).size for position in account.positions] for account in accounts]


async def able(running: Running) -> None:
    """Until orders that are signed now are taken."""
    while running.sequencer.now_ms() < running.engine.orders.not_before_ms:
        await trio.sleep(0.05)


async def test_a_node_whose_datadir_is_gone_is_rebuilt_from_l1_and_trades_on(tmp_path: Path, quiet: Any) -> None:
    async with stage(tmp_path) as here:
        async with here.up("node") as before:
            await here.funded(before)
            await traded(before)
            await posted(before)
            held = positions(before)
            old = order(before.sequencer.now_ms(), FIRST, SELL, before.engine.globals.risk.price[0], slot=9)
            chunks = before.view.posted_chunks
        shutil.rmtree(tmp_path / "node")
        quiet.clear()
        async with here.up("node") as after:
            done = [line for line in quiet if line["event"] == "rebuild.done"]
            assert (len(done), done[0]["chunks"] >= chunks, done[0]["log_level"]) == (1, True, "warning")
            assert [line["of"] for line in quiet if line["event"] == "rebuild.progress"][-1] == done[0]["batches"]
            assert positions(after) == held
            # It may have been cancelled, by a receipt that went with the datadir.
            signed = signed_order(old, key(0), after.deployment.domain)
            assert (await after.sequencer.submit(signed)).code == codes.CANCELLED
            await able(after)
            await traded(after)
            await posted(after)
        # What was rebuilt is a datadir like others.
        async with here.up("node") as again:
            assert again.engine.chunk_count >= after.engine.chunk_count


async def test_a_state_that_is_gone_behind_its_journal_is_no_new_venue(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        async with here.up("node") as running:
            await here.funded(running)
            await posted(running)
        shutil.rmtree(tmp_path / "node" / "state")
        with pytest.raises(ExceptionGroup) as refused:
            async with here.up("node"):
                raise AssertionError
        (error,) = refused.value.exceptions
        assert isinstance(error, DatadirUnusable)
        assert "no state: `catenary datadir repair` builds it again" in str(error)
        assert not (tmp_path / "node" / "state").exists()


async def test_nothing_is_rebuilt_for_who_cannot_post(tmp_path: Path) -> None:
    async with stage(tmp_path) as here, here.up("first") as first:
        await posted(first)
        with pytest.raises(ExceptionGroup) as refused:
            async with here.up("second", operator=development_key(1)):
                raise AssertionError
        assert f"held by 0x{development_key(0).address.hex()}" in str(refused.value.exceptions[0])
    assert not (tmp_path / "second").exists()


async def test_one_operator_is_slashed_and_another_goes_on_from_l1(tmp_path: Path, quiet: Any) -> None:
    async with stage(tmp_path) as here:
        async with here.up("first") as first:
            await here.funded(first)
            await traded(first)
            await posted(first)
        await lie(here.url, here.rollup, 0, tmp_path / "liar")
        # While the lie stands nobody builds on it.
        with pytest.raises(ExceptionGroup) as refused:
            async with here.up("second"):
                raise AssertionError
        assert "`catenary challenger` proves that" in str(refused.value.exceptions[0])
        assert not (tmp_path / "second").exists()
        await proven(here, first)
        with pytest.raises(ExceptionGroup) as refused:
            async with here.up("second", operator=development_key(1)):
                raise AssertionError
        (unseated,) = refused.value.exceptions
        assert isinstance(unseated, ExceptionGroup)
        assert "--take-seat" in str(unseated.exceptions[0])
        async with here.up("second", operator=development_key(1), is_seat_wanted=True) as second:
            await able(second)
            await traded(second)
            await posted(second)
            assert second.view.rolled_back == 1
            assert second.view.batches[-1].committer == development_key(1).address


async def proven(here: Stage, running: Running) -> None:
    """A challenger that knows L1 alone."""
    replay = ChainReplay(MemoryStore(), running.deployment.identity)

    settings = Settings(signer=development_key(3), poll_seconds=0.05)
    await Challenger(here.client, replay, Recorder(), settings).run(True)


async def ticked(running: Running) -> None:
    """Prices of now."""
    venue = running.sequencer
    now = venue.now_ms()
    time = now - now % constants.TICK_STEP
    if time > running.engine.globals.tick_time:
        outcome = await venue.submit(tick(time, domain=running.deployment.domain))
        assert outcome.code == codes.OK


async def test_a_planned_hand_over_loses_nothing_and_takes_three_blocks_at_most(tmp_path: Path) -> None:
    # A block for each transaction, and prices by hand: so the blocks of the gap can be counted.
    by_hand: dict[str, Any] = {"is_oracle_simulated": False}
    async with stage(tmp_path, "--accounts", "10") as here:
        async with here.up("first", **by_hand) as first:
            domain, venue = first.deployment.domain, first.sequencer
            await here.funded(first)
            await ticked(first)
            await traded(first)
            resting = order(venue.now_ms(), FIRST, SELL, PRICES[0] + 50, slot=7)
            cancelled = order(venue.now_ms(), FIRST, SELL, PRICES[0] + 60, slot=8)
            for given in (resting, cancelled):
                assert (await venue.submit(signed_order(given, key(0), domain))).code == codes.OK
            await here.client.send(
                development_key(1), first.deployment.bridge, calls.encode_call("bond_ahead", "http://next", 1),
                value=20 * 10**18, gas=600_000,
            )  # fmt: skip
            soft = request(venue.now_ms(), FIRST, slot=8, sequence=cancelled.sequence, max_posting_fee=0)
            assert (await venue.submit(signed_request(constants.CANCEL, soft, key(0), domain))).code == codes.OK
            # What came before may be on its way still, in as many batches as the machine is slow.
            await posted(first)
            last = (await here.client.newest_block()).number
            await ticked(first)
            await traded(first)
            ask(tmp_path / "first", 2)
            while answered(tmp_path / "first") is None:
                await trio.sleep(0.02)
            told = answered(tmp_path / "first") or {}
            assert (told["refused"], told["bond_id"], told["open_orders"]) == ("", 2, 1)
            # Whatever comes meanwhile was not acknowledged.
            late = order(venue.now_ms(), FIRST + 1, BUY, PRICES[0] - 50, slot=9)
            with pytest.raises(NotTaken):
                await venue.submit(signed_order(late, key(1), domain))
        while is_held(tmp_path / "first"):
            await trio.sleep(0.02)
        shutil.copytree(tmp_path / "first", tmp_path / "second")
        async with here.up("second", operator=development_key(1), **by_hand) as second:
            assert (await here.client.newest_block()).number - last <= 3
            venue = second.sequencer
            assert [given.slot for given, _, _ in second.engine.open_orders(FIRST)] == [7]
            assert (await venue.submit(signed_order(cancelled, key(0), domain))).status == "cancelled"
            await ticked(second)
            given = order(venue.now_ms(), FIRST + 1, BUY, PRICES[0] + 50, slot=4, time_in_force=IOC)
            assert (await venue.submit(signed_order(given, key(1), domain))).status == "filled"
            await posted(second)
            assert second.view.batches[-1].committer == development_key(1).address


async def test_a_seat_is_not_handed_to_who_has_paid_no_bond(tmp_path: Path) -> None:
    async with stage(tmp_path) as here, here.up("first") as first:
        for bond_id, sentence in ((1, "its own bond's"), (2, "bond 2 is not whole")):
            ask(tmp_path / "first", bond_id)
            while (told := answered(tmp_path / "first")) is None:
                await trio.sleep(0.02)
            assert sentence in told["refused"]
        # It goes on as if nobody had asked.
        await here.funded(first)
        await traded(first)
        await posted(first)


async def test_what_is_final_takes_less_room_and_everything_is_proven_as_before(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        async with here.up("node", window_seconds=1, kept_witnesses=0) as running:
            await here.funded(running)
            await traded(running)
            await posted(running)
            while (first := running.engine.chunk_record(1)) is None or first.witness:
                await running.sequencer.submit(b"")
                await trio.sleep(0.05)
            chunk = running.engine.chunk_record(running.view.posted_chunks)
            assert chunk is not None
            root = encoding.commitment_from_bytes(chunk.commitment).tree_root
            assert running.view.posted_state().root == root
        record = DeploymentRecord.decode((tmp_path / "node" / "deployment.json").read_bytes())
        assert check(tmp_path / "node" / "state", tmp_path / "node" / "journal", record).findings == []
        async with here.up("node") as again:
            assert again.engine.chunk_count >= running.engine.chunk_count
