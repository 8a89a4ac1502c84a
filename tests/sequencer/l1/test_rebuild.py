"""A datadir that is gone comes back from L1: the rows that the engine itself had written, but what L1 never saw."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from l1_bridge.client.client import L1Client
from l1_bridge.client.errors import L1Unavailable
from l1_bridge.client.keys import DigestSigner, development_key
from l1_bridge.client.options import L1Options
from l1_bridge.codec import batch, calls
from l1_bridge.codec.events import BatchCommitted, Enqueued, decode_log
from prover.challenger.challenger import Challenger, Settings
from prover.contracts.deployment import Deployment, DeploymentRecord
from prover.history.history import ChainReplay
from prover.signing import operations, signatures
from prover.state.leveldb import LevelDbStore
from prover.state.store import MemoryStore
from prover.stf import codes, constants, encoding, margin
from sequencer.devnet.funding import fund
from sequencer.engine.engine import Engine
from sequencer.engine.records import (
    CURSOR_KEY,
    HEAD_KEY,
    IDENTITY_KEY,
    LIFE_KEY,
    NOT_BEFORE_KEY,
    ORDER_KEY,
    RECEIPTS_KEY,
    RESCUE_KEY,
    RING_KEY,
    TAKEN_KEY,
    WRITE_KEY,
    Input,
)
from sequencer.history.lists import Lists
from sequencer.history.records import FILLS, HISTORY_KEY, LISTED_KEY, MOVEMENTS, PAYMENTS, TRADES, Kind
from sequencer.l1.rebuild import UNFINISHED, Contradicted, genesis_state, rebuild_state
from sequencer.l1.resequence import STATE
from sequencer.sequencing.staged_store import BufferedStore
from sequencer.views.books import voided_view
from tests.prover.challenger.runs import Recorder
from tests.prover.l1_faults import Tampering
from tests.sequencer.l1.test_poster import Site, site
from tests.sequencer.node_world import (
    BRIDGE,
    BUY,
    DOLLAR,
    FIRST,
    PRICES,
    RECIPIENT,
    SELL,
    genesis,
    genesis_store,
    key,
    order,
    owner,
    request,
    signed_order,
    signed_request,
    tick,
)

# What no batch on L1 holds.
OF_ITS_OWN = (ORDER_KEY, TAKEN_KEY, RECEIPTS_KEY, RESCUE_KEY, CURSOR_KEY, NOT_BEFORE_KEY, WRITE_KEY, IDENTITY_KEY)
# This world keeps no books.
BOOKS = (HISTORY_KEY, LISTED_KEY)
UNPOSTED = (*OF_ITS_OWN, *BOOKS, LIFE_KEY, HEAD_KEY, RING_KEY)
NOW = 2_000_000_000_000


@pytest.fixture(autouse=True)
def quiet() -> Iterator[Any]:
    """No log lines between the tests' dots."""
    with structlog.testing.capture_logs() as lines:
        yield lines


def untold(batch: int, of: int) -> None:
    """Nobody watches."""


def record_of(here: Site) -> DeploymentRecord:
    """What a node remembers of the rollup."""
    return DeploymentRecord(here.deployment, genesis())


async def consume(here: Site) -> None:
    """What waits in the queue on L1 reaches the engine."""
    block = await here.client.newest_block()
    for log in await here.client.logs(here.deployment.bridge, [], 0, block.number):
        event = decode_log(here.deployment.identity, log)
        if isinstance(event, Enqueued) and event.index == here.world.engine.view.commitment.queue_taken:
            here.world.process(event.operation)


async def enter(here: Site, tag: int, trader: int, **fields: int) -> None:
    """An entry of a trader's own."""
    signer = DigestSigner(owner(trader), partial(signatures.sign, key(trader)))
    given = msgspec.structs.replace(encoding.entry(tag, 0, 0), **{"account": FIRST + trader, **fields})
    payload = operations.entry_payload(tag, given)
    await here.client.send(development_key(3), owner(trader), value=10**18, gas=30_000)
    data = calls.encode_entry(tag, payload)
    await here.client.send(signer, here.deployment.bridge, data, 10**14, gas=calls.entry_gas(payload))


async def traded(here: Site) -> None:
    """Two batches with fills, a withdrawal, entries of every fate and a close that goes on over chunks."""
    world = here.world
    deposits = [(owner(trader), 100_000 * DOLLAR) for trader in range(3)]
    await fund(here.client, development_key(3), here.deployment.token, here.deployment.bridge, deposits)
    await consume(here)
    world.tick()
    world.order(0, SELL, PRICES[0])
    assert world.order(1, BUY, PRICES[0]).status == "filled"
    world.request(constants.WITHDRAW, 0, amount=DOLLAR, recipient=RECIPIENT)
    world.seal()
    world.tick()
    world.seal()
    await here.poster.post_once()
    await enter(here, constants.FORCED_WITHDRAW, 1, amount=DOLLAR)
    await enter(here, constants.FORCED_WITHDRAW, 2, account=FIRST)
    await enter(here, constants.LEAVE, 0)
    await consume(here)
    world.order(2, SELL, PRICES[0] + 100, slot=7)
    for _ in range(4):
        world.tick()
        world.seal()
    await here.poster.post_once()


@asynccontextmanager
async def venue() -> AsyncIterator[Site]:
    """A site that has traded and posted all of it."""
    async with site() as here:
        await traded(here)
        record, chunks = await here.poster.head()
        assert (record.number, chunks) == (2, here.world.engine.chunk_count)
        yield here


def balance(lists: Lists, account: int) -> int:
    """What an account's rows come to, micro-dollars."""

    def every(kind: Kind) -> list[Any]:
        return [lists.row(kind, account, number) for number in range(*lists.ends(kind, account))]

    moved = sum(row.amount - row.fee for row in every(MOVEMENTS))
    return moved + sum(row.realised - row.fee for row in every(FILLS)) - sum(row.paid for row in every(PAYMENTS))


def rows(store: Any) -> dict[bytes, bytes]:
    """All that L1 can give back."""
    return {at: value for at, value in store.iterate(b"") if not at.startswith(UNPOSTED)}


@pytest.mark.trio
async def test_the_rows_are_those_that_the_engine_wrote(tmp_path: Path) -> None:
    async with venue() as here:
        seen: list[tuple[int, int]] = []
        told = await rebuild_state(
            here.client, record_of(here), tmp_path, NOW, lambda batch, of: seen.append((batch, of))
        )
    world = here.world
    assert seen == [(1, 2), (2, 2)]
    assert (told.batches, told.chunks, told.root) == (2, world.engine.chunk_count, "0x" + world.engine.state.root.hex())
    assert (told.withdrawals, told.queue_entries) == (world.engine.globals.withdrawal_count, 6)
    assert [path.name for path in tmp_path.iterdir()] == [STATE]
    store = LevelDbStore(tmp_path / STATE)
    assert rows(store) == rows(world.store)
    assert store.get(IDENTITY_KEY) == record_of(here).encode()
    codes_seen = [entry.code for entry in world.engine.entries]
    assert codes.OK in codes_seen
    assert codes.NOT_OWNER in codes_seen
    assert any(entry.withdrawal is not None for entry in world.engine.entries)
    engine = Engine(BufferedStore(store), here.deployment.domain)
    lists = Lists(store)
    for trader in range(3):
        assert balance(lists, FIRST + trader) == margin.collateral(engine.account(FIRST + trader))
    assert [lists.ends(TRADES, 0), lists.ends(FILLS, FIRST)] == [(0, 1), (0, 1)]
    assert (engine.cursor, engine.chunk_count) == (0, world.engine.chunk_count)
    # Whatever somebody signed before may have been cancelled by a receipt that nobody knows any more.
    assert engine.orders.not_before_ms == NOW + constants.CLOCK_TOLERANCE
    # What comes now is counted behind all that was, here and where it was lost.
    time = engine.globals.tick_time + constants.TICK_STEP
    ticked = engine.process(Input(now=time, operation=tick(time, domain=here.deployment.domain)))
    assert ticked.code == codes.OK
    written = [lists.last(TRADES, 0).mark, lists.last(FILLS, FIRST).mark, (world.engine.inputs + 1) << 24]
    assert max(written) < ticked.effects[0].sequence < 2**63
    store.close()


@pytest.mark.trio
async def test_a_close_that_went_on_over_batches_has_ended(tmp_path: Path) -> None:
    async with venue() as here:
        world = here.world
        assert (world.engine.globals.head_account, world.engine.entries[-1].done) == (FIRST, False)
        # Prices have to be newer than the entry; the other side is in profit at them, and is closed along.
        world.now = world.engine.entries[-1].time
        for _ in range(4):
            world.tick((PRICES[0] + 6_000, *PRICES[1:]))
            world.seal()
        await here.client.call("evm_increaseTime", [60])
        await here.client.call("evm_mine", [])
        assert world.engine.entries[-1].done
        await here.poster.post_once()
        await rebuild_state(here.client, record_of(here), tmp_path, NOW, untold)
    store = LevelDbStore(tmp_path / STATE)
    assert rows(store) == rows(world.store)
    store.close()


@pytest.mark.trio
async def test_where_l1_does_not_give_all_there_is_no_state(tmp_path: Path) -> None:
    async with venue() as here:

        def tampered(method: str, change: Any) -> L1Client:
            def tamper(asked: str, params: Any, result: Any) -> Any:
                return change(result) if asked == method else result

            return L1Client(here.client.url, L1Options(attempts=1), transport=Tampering(tamper))

        for method, change, sentence in (
            ("eth_getLogs", lambda logs: logs[:-1], "genesis log|logs at batch"),
            ("eth_getLogs", lambda logs: [], "genesis log"),
        ):
            async with tampered(method, change) as client:
                with pytest.raises(L1Unavailable, match=sentence):
                    await rebuild_state(client, record_of(here), tmp_path, NOW, untold)
            assert not (tmp_path / STATE).exists()
        # A failure leaves nothing behind, and what a kill has left is in nobody's way.
        assert not (tmp_path / UNFINISHED).exists()
        (tmp_path / UNFINISHED).mkdir()
        await rebuild_state(here.client, record_of(here), tmp_path, NOW, untold)
        assert (tmp_path / STATE).exists()


@pytest.mark.trio
async def test_nobody_builds_on_a_batch_that_does_not_replay(tmp_path: Path) -> None:
    async with venue() as here:
        here.seal(1)
        lie = here.world.engine.chunk_record(here.world.engine.chunk_count)
        assert lie is not None
        record, _ = await here.poster.head()
        commitment = encoding.commitment_from_bytes(lie.commitment)
        commitment.withdrawn_total += DOLLAR
        lie.commitment, lie.post_root = encoding.commitment_bytes(commitment), encoding.state_root(commitment)
        data = here.poster._encode(record, [lie])  # the poster itself would refuse it
        await here.client.send(development_key(0), here.deployment.bridge, data, gas=3_000_000)
        with pytest.raises(Contradicted, match=r"batch 3 .* `catenary challenger` proves that"):
            await rebuild_state(here.client, record_of(here), tmp_path, NOW, untold)
    assert not (tmp_path / STATE).exists()


def test_what_a_kill_left_half_built_is_no_part_of_a_state(tmp_path: Path) -> None:
    half = LevelDbStore(tmp_path / UNFINISHED)
    half.write({b"half": b"a state"}, sync=True)
    half.close()
    record = DeploymentRecord(Deployment(31_337, BRIDGE, b"", b""), genesis())
    genesis_state(tmp_path, record)
    assert [path.name for path in tmp_path.iterdir()] == [STATE]
    store = LevelDbStore(tmp_path / STATE)
    assert rows(store) == rows(genesis_store(funds=False))
    store.close()


async def undone(here: Site, operations_: list[bytes], committed_ms: int) -> None:
    """A batch of the seat's that holds these and is proven wrong; the seat is taken again."""
    body = committed_ms.to_bytes(constants.TIMESTAMP_LENGTH, "big") + b"".join(operations_)
    honest = batch.Commitment.decode(here.world.sealed[-1].commitment)
    words = list(honest.words())
    words[3] += 1
    false = type(honest)(*words)
    record, _ = await here.poster.head()
    data = calls.encode_commit(record.number, record.batch_hash, [batch.Chunk(body, false.root())], false)
    receipt = await here.client.send(development_key(0), here.deployment.bridge, data, gas=3_000_000)
    events = [decode_log(here.deployment.identity, log) for log in receipt.logs]
    (committed,) = (event for event in events if isinstance(event, BatchCommitted))
    replay = ChainReplay(MemoryStore(), here.deployment.identity)
    settings = Settings(signer=development_key(3), poll_seconds=0.05)
    await Challenger(here.client, replay, Recorder(), settings).run(True)
    assert (await here.head(), committed.batch.header.number) == (record.number, record.number + 1)
    await here.poster.take_seat("again")


@pytest.mark.trio
async def test_owners_are_told_what_a_proof_undid_and_what_came_again_is_not_void(tmp_path: Path) -> None:
    async with site() as here:
        await traded(here)
        world, domain = here.world, here.deployment.domain

        world.now = (await here.client.newest_block()).timestamp * 1_000
        paid = request(world.now, FIRST + 2, slot=201, amount=DOLLAR, recipient=RECIPIENT)
        grant = request(world.now, FIRST + 2, slot=5, recipient=owner(9))
        requests = [
            signed_request(tag, given, key(2), domain)
            for tag, given in ((constants.WITHDRAW, paid), (constants.SET_AGENT, grant))
        ]
        # The second one is what a liar makes up in somebody's name.
        orders = [
            signed_order(order(world.now, FIRST + 1, BUY, PRICES[0], slot=slot), key(signer), domain)
            for slot, signer in ((31, 1), (33, 2))
        ]
        await undone(here, [*requests, *orders], world.now)
        # One is sent again.
        assert world.process(requests[1]).code == codes.OK
        world.seal()
        assert await here.poster.post_once()
        await rebuild_state(here.client, record_of(here), tmp_path, world.now, untold)
    store = LevelDbStore(tmp_path / STATE)
    engine = Engine(BufferedStore(store), domain)
    told = [
        [(view.operation, view.slot, view.send_again) for view in map(voided_view, engine.voided_of(FIRST + trader))]
        for trader in range(3)
    ]
    store.close()
    assert told == [[], [("order", 31, "sign_anew")], [("withdraw", 201, "as_signed")]]
