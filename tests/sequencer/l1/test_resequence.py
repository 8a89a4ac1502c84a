"""What L1 will never take is void: the venue goes back to its last posted chunk, says so, and goes on."""

import os
import signal
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Unavailable
from l1_bridge.client.keys import development_key
from l1_bridge.client.options import L1Options
from prover.signing.signed import recovered
from prover.state.leveldb import LevelDbStore
from prover.state.store import MemoryStore
from prover.stf import codes, constants
from sequencer.client.client import NodeClient
from sequencer.client.clock import wall_clock_ms
from sequencer.devnet.funding import fund
from sequencer.engine.engine import Engine
from sequencer.engine.records import Input
from sequencer.l1.poster import Overdue
from sequencer.l1.resequence import MOST_REPLACED, STATE, Kept, rebuild, resequence, settle
from sequencer.node import node
from sequencer.node.config import NodeConfig
from sequencer.sequencing.staged_store import BufferedStore
from tests.l1_bridge.l1_nodes import anvil
from tests.patience import PATIENCE_SECONDS
from tests.sequencer.l1.test_poster import Site, site
from tests.sequencer.node_world import (
    BUY,
    DOLLAR,
    DOMAIN,
    FIRST,
    PRICES,
    RECIPIENT,
    SELL,
    World,
    check_chunks,
    check_conservation,
    deposit,
    genesis,
    key,
    order,
    owner,
    picture,
    request,
    signed_order,
    signed_request,
)

PRICE = PRICES[0]
LAG_SECONDS = 3_600
STEPS = ("rebuilding", "built", "old one away", "swapped")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[Any]:
    """No log lines between the tests' dots."""
    with structlog.testing.capture_logs() as lines:
        yield lines


def traded() -> tuple[World, MemoryStore, bytes]:
    """A world of six chunks and an open one, the store as it stood after three, and an order of the void part."""
    world = World(2, funds=False)
    world.order(0, SELL, PRICE, slot=2)
    world.order(1, BUY, PRICE, 300, slot=2)
    world.request(constants.WITHDRAW, 0, amount=DOLLAR, recipient=RECIPIENT)
    for _ in range(3):
        world.seal()
        world.tick()
    assert world.engine.chunk_count == 3
    then = deepcopy(world.store)
    void = signed_order(order(world.now, FIRST + 1, BUY, PRICE, 200, slot=3), key(1))
    assert world.process(void).status == "filled"
    world.request(constants.WITHDRAW, 1, amount=DOLLAR, recipient=RECIPIENT)
    world.process(deposit(owner(7), 1_000 * DOLLAR))
    for _ in range(3):
        world.seal()
        world.tick()
    assert world.engine.chunk_count == 6
    world.order(1, BUY, PRICE - 50, slot=4)
    return world, then, void


def rebuilt(world: World, kept: int) -> tuple[MemoryStore, Any]:
    """The store that a rebuild makes."""
    new = MemoryStore()
    tail = world.journal[world.engine.cursor :]
    return new, rebuild(world.store, new, Kept(DOMAIN, genesis(), kept, len(world.journal)), tail)


def test_the_state_is_that_of_the_last_posted_chunk_and_nothing_behind_it_is_left() -> None:
    world, then, _ = traded()
    new, voided = rebuilt(world, 3)
    engine, expected = Engine(BufferedStore(new), DOMAIN), picture(Engine(BufferedStore(then), DOMAIN))
    empty = {"books": [[]] * 16, "depth": [([], [])] * 16, "armed": [[]] * 16, "cursor": len(world.journal)}
    assert picture(engine) == expected | empty
    assert voided.operations == {"order": 2, "fill": 1, "withdraw": 1}
    assert (voided.entries, voided.kept_chunks, voided.void_chunks, voided.inputs) == (1, 3, 3, 1)
    assert voided.operation_count == 5
    assert engine.chunk_with_root(world.engine.state.root) is None
    assert engine.chunk_record(4) is None
    assert [record.chunk for record in engine.withdrawals] == [1]
    check_chunks(new, engine, funds=False)
    check_conservation(engine)


def test_where_every_chunk_was_posted_only_open_inputs_are_void() -> None:
    world, _, _ = traded()
    new, voided = rebuilt(world, 6)
    engine = Engine(BufferedStore(new), DOMAIN)
    assert engine.state.root == world.engine.state.root
    assert (engine.cursor, voided.kept_chunks, voided.void_chunks, voided.inputs) == (len(world.journal), 6, 0, 1)
    check_chunks(new, engine, funds=False)


def test_before_the_first_batch_the_state_is_the_genesis() -> None:
    world, _, _ = traded()
    new, voided = rebuilt(world, 0)
    begun = Engine(BufferedStore(World(funds=False).store), DOMAIN)
    assert Engine(BufferedStore(new), DOMAIN).state.root == begun.state.root
    assert (voided.entries, voided.void_chunks) == (3, 6)


def test_void_orders_do_not_come_back_by_anybodys_hand_and_new_ones_are_taken() -> None:
    world, then, void = traded()
    new, _ = rebuilt(world, 3)
    armed = signed_order(order(world.now, FIRST + 1, BUY, PRICE - 50, slot=4), key(1))
    for store, code, of_open_chunk in ((new, codes.USED, codes.USED), (then, codes.OK, codes.OK)):
        engine = Engine(BufferedStore(store), DOMAIN)
        for operation, expected in ((void, code), (armed, of_open_chunk)):
            given = Input(world.now, operation, recovered(DOMAIN, operation))
            # The law itself would take both again, as the store without the memory of them shows.
            assert engine.process(given).code == expected
    world.engine = Engine(BufferedStore(new), DOMAIN)
    world.store = new
    assert world.process(deposit(owner(7), 1_000 * DOLLAR)).account == FIRST + 2
    world.tick()
    world.order(0, SELL, PRICE)
    assert world.order(1, BUY, PRICE).status == "filled"
    world.seal()
    check_chunks(new, world.engine, funds=False)
    check_conservation(world.engine)


def test_a_damaged_record_is_no_ground_to_build_on() -> None:
    world, _, _ = traded()
    kept = world.store.get(b"mchunk" + (2).to_bytes(8, "big"))
    assert kept is not None
    world.store.write({b"mchunk" + (3).to_bytes(8, "big"): kept}, sync=True)
    with pytest.raises(AssertionError, match="first that is void stands on the last"):
        rebuilt(world, 3)


def on_disk(directory: Path, store: MemoryStore) -> None:
    """The same entries in LevelDB."""
    written = LevelDbStore(directory / STATE)
    written.write(dict(store.iterate(b"")), sync=True)
    written.close()


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_it_has_happened_or_not(tmp_path: Path, step: str) -> None:
    world, _, _ = traded()
    new, voided = rebuilt(world, 3)
    on_disk(tmp_path, world.store)

    def die(reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def tail() -> Iterator[Input]:
        die("rebuilding")
        yield from world.journal[world.engine.cursor :]

    child = os.fork()
    if child == 0:
        store = LevelDbStore(tmp_path / STATE)
        resequence(tmp_path, store, Kept(DOMAIN, genesis(), 3, len(world.journal)), tail(), die)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    settle(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if ".replaced." not in path.name] == [STATE]
    store = LevelDbStore(tmp_path / STATE)
    is_done = Engine(BufferedStore(store), DOMAIN).chunk_count == 3
    assert is_done == (step in ("old one away", "swapped"))
    if not is_done:
        # The old one is whole, and the next start does it again.
        assert dict(store.iterate(b"")) == dict(world.store.iterate(b""))
        journaled = iter(world.journal[world.engine.cursor :])
        assert resequence(tmp_path, store, Kept(DOMAIN, genesis(), 3, len(world.journal)), journaled) == voided
        store = LevelDbStore(tmp_path / STATE)
    assert dict(store.iterate(b"")) == dict(new.iterate(b""))
    store.close()


def test_of_stores_that_were_replaced_the_newest_stay(tmp_path: Path) -> None:
    world, _, _ = traded()
    on_disk(tmp_path, world.store)

    def replaced() -> list[str]:
        return sorted(path.name for path in tmp_path.iterdir() if path.name != STATE)

    def again(**most: int) -> None:
        store = LevelDbStore(tmp_path / STATE)
        resequence(tmp_path, store, Kept(DOMAIN, genesis(), 3, len(world.journal)), iter(()), **most)

    for _ in range(MOST_REPLACED):
        again()
    assert replaced() == [f"{STATE}.replaced.{number}" for number in range(1, MOST_REPLACED + 1)]
    again()
    assert replaced() == [f"{STATE}.replaced.{number}" for number in range(2, MOST_REPLACED + 2)]
    # Of what an operator has put away himself, and named, nothing goes.
    (tmp_path / f"{STATE}.replaced.kept").mkdir()
    again(most=0)
    assert replaced() == [f"{STATE}.replaced.kept"]


async def later(here: Site, seconds: int) -> None:
    """Moves L1's clock and mines a block."""
    await here.client.call("evm_increaseTime", [seconds])
    await here.client.call("evm_mine", [])


@pytest.mark.trio
async def test_what_begins_too_late_is_past_help_whatever_is_sealed_behind_it() -> None:
    async with site() as here:
        here.seal(2)
        assert await here.poster.post_once()
        taken_ms = here.world.now
        assert await here.poster.overdue_behind("latest", taken_ms) is None
        here.seal(1)
        assert await here.poster.overdue_behind("latest") is None
        await later(here, LAG_SECONDS)
        here.world.now += LAG_SECONDS * 1_000
        here.seal(1)
        assert await here.poster.overdue_behind("latest") == 2
        with pytest.raises(Overdue, match=r"behind chunk 2 .* a restart re-sequences"):
            await here.poster.run()
        block = await here.client.block("latest")
        assert block is not None
        # Where the final part of L1 does not hold the same head yet, nothing is given up.
        before_the_batch = block.number - 2
        with pytest.raises(L1Unavailable, match="not final yet"):
            await here.poster.overdue_behind(before_the_batch)


@pytest.mark.trio
async def test_what_was_taken_and_is_in_no_chunk_is_past_help_as_well() -> None:
    async with site() as here:
        here.seal(2)
        assert await here.poster.post_once()
        taken_ms = here.world.now
        await later(here, LAG_SECONDS)
        here.world.now += LAG_SECONDS * 1_000
        assert await here.poster.overdue_behind("latest") is None
        assert await here.poster.overdue_behind("latest", taken_ms) == 2
        assert await here.poster.overdue_behind("latest", taken_ms + LAG_SECONDS * 1_000) is None


@pytest.mark.trio
async def test_a_node_that_was_cut_off_for_too_long_goes_on_from_what_was_posted(tmp_path: Path, quiet: Any) -> None:
    hours = 8 * 3_600

    def long_ago() -> int:
        return wall_clock_ms() - hours * 1_000

    with anvil("--timestamp", str(long_ago() // 1_000)) as l1:
        options: dict[str, Any] = {
            "datadir": tmp_path, "port": 0, "l1_rpc_url": l1.url, "is_deploy_allowed": True, "is_maker_running": False,
            "post_seconds": 0.05,
        }  # fmt: skip
        async with trio.open_nursery() as nursery, L1Client(l1.url, L1Options(poll_seconds=0.02)) as client:
            up = await nursery.start(node.run, NodeConfig(**options), long_ago)
            await fund(client, development_key(3), up.deployment.token, up.deployment.bridge, [(owner(0), 10**9)])
            await client.call("anvil_mine", ["0x4"])
            # Until the deposit itself is posted, not only chunks before it.
            while not up.engine.accounts_of(owner(0)) or up.engine.entries[-1].chunk > up.view.posted_chunks:
                await trio.sleep(0.02)
            nursery.cancel_scope.cancel()
        domain = up.deployment.domain
        async with trio.open_nursery() as nursery, L1Client(l1.url, L1Options(poll_seconds=0.02)) as client:
            up = await nursery.start(node.run, NodeConfig(**options, is_posting=False), long_ago)
            await fund(client, development_key(3), up.deployment.token, up.deployment.bridge, [(owner(1), 10**9)])
            await client.call("anvil_mine", ["0x4"])
            while not up.engine.accounts_of(owner(1)):
                await trio.sleep(0.02)
            first = up.sequencer.now_ms() - 100
            for index in range(30):
                cancel = request(up.sequencer.now_ms(), FIRST, slot=9, sequence=first + index)
                await up.sequencer.submit(signed_request(constants.CANCEL, cancel, key(0), domain))
                await up.sequencer.submit(b"")
            posted, sealed = up.view.posted_chunks, up.engine.chunk_count
            assert sealed > posted + 24
            nursery.cancel_scope.cancel()
        async with trio.open_nursery() as nursery, L1Client(l1.url, L1Options(poll_seconds=0.02)) as client:
            await client.call("evm_increaseTime", [hours])
            await client.call("evm_mine", [])
            quiet.clear()
            up = await nursery.start(node.run, NodeConfig(**options))
            (told,) = [line for line in quiet if line["event"].startswith("RE-SEQUENCED")]
            assert (told["kept_chunks"], told["void_chunks"], told["entries"]) == (posted, sealed - posted, 1)
            assert told["operations"]["cancel"] + told["inputs"] >= 30
            # Its owner finds which of his operations are void, whoever asks for the account.
            async with NodeClient(up.url) as api:
                void = await api.voided(FIRST)
                assert len(void) == told["operations"]["cancel"] + told["inputs"]
                assert {(one.operation, one.slot, one.send_again) for one in void} == {("cancel", 9, "as_signed")}
                assert (await api.account(FIRST)).has_voided
            # The deposit is consumed again, from L1.
            assert up.engine.accounts_of(owner(1)) == [FIRST + 1]
            with trio.fail_after(PATIENCE_SECONDS):
                while up.view.posted_chunks <= posted:
                    await trio.sleep(0.05)
            assert up.view.batches[-1].chunks is not None
            nursery.cancel_scope.cancel()
        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                again = await nursery.start(node.run, NodeConfig(**options))
                assert again.engine.chunk_count >= up.engine.chunk_count
                nursery.cancel_scope.cancel()
